"""How the packages of images are chosen and pinned, what becomes of the pins, and what is told of newer versions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow  # each starts doit

DB, WEB = "deploy/aci/db/packages.lock.yaml", "deploy/aci/web/packages.lock.yaml"
YAML, MANIFEST = "deploy/aci/db/image.yaml", "deploy/aci/db/manifest"
OF_A_RUN = {"build", "build/state", "build/state/lock"}
LATER, EARLIER = datetime(2026, 2, 1, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC)
USAGE, DEFINITION = 2, 3


def locked_packages(workspace: Any, file: str = DB, platform: str = "linux/amd64") -> dict[str, dict[str, Any]]:
    """What a lock says of the packages of a platform, by their names, read by another reader."""
    return {pin["name"]: pin for pin in yaml.safe_load(workspace.read(file))["packages"][platform]}


def pool(requests: list[str]) -> list[str]:
    """The packages among what a mirror was asked for, sorted."""
    return sorted(Path(request.partition(" ")[0]).name for request in requests if "/pool/" in request)


# Choosing packages


def test_lock_chooses_packages_of_the_signed_indexes_and_pins_them_to_the_byte(unlocked: Any, supply: Any) -> None:
    ended = unlocked.build("lock:db")
    assert ended.out == (
        f"{DB}: 3 packages for linux/amd64, 3 packages for linux/arm64\n"
        "  base: 1.0-1, new\n  libserver: 1.0-1, new\n  server: 1.0-1, new\n"
    )
    assert ended.err == ""
    lock = yaml.safe_load(unlocked.read(DB))
    assert (lock["roots"], lock["omit"], lock["suites"]) == (["server"], ["adduser"], ["bookworm"])
    assert list(lock["packages"]) == ["linux/amd64", "linux/arm64"]
    for platform, of in lock["packages"].items():
        architecture = platform.partition("/")[2]
        named = [(pin["name"], pin["version"], pin["architecture"]) for pin in of]
        assert named == [
            ("base", "1.0-1", "all"),
            ("libserver", "1.0-1", architecture),
            ("server", "1.0-1", architecture),
        ]
        for pin in of:
            content = (supply.archive.folder / pin["repository"] / pin["path"]).read_bytes()
            assert (pin["size"], pin["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    signer = supply.archive.keys.fingerprint("archive")
    for index, architecture in zip(lock["indexes"], ("amd64", "arm64"), strict=True):
        packages = supply.archive.folder / f"debian/dists/bookworm/main/binary-{architecture}/Packages"
        assert index["sha256"] == hashlib.sha256(packages.read_bytes()).hexdigest()
        assert (index["date"], index["signers"]) == ("20260102T030405Z", [signer])


def test_a_lock_names_no_mirror_and_no_path_of_the_machine(unlocked: Any, tmp_path: Path) -> None:
    unlocked.build("lock")
    for text in ("127.0.0.1", "http", str(tmp_path)):
        assert text not in unlocked.read(DB) + unlocked.read(WEB)


def test_lock_downloads_indexes_and_no_packages(unlocked: Any, supply: Any) -> None:
    unlocked.build("lock")
    asked = list(supply.mirror.requests)
    assert asked[0] == "/debian/dists/bookworm/InRelease"
    assert len(asked) == len(set(asked)) == 3, "one InRelease and an index for each architecture, for both images"
    assert pool(asked) == []
    assert not supply.store.exists()
    unlocked.build("lock")
    assert supply.mirror.requests[3:] == asked[:1], "what the Release file says is here already is not fetched again"


def test_a_second_lock_writes_nothing_and_says_so(locked: Any, written: Any) -> None:
    with written(locked.path("deploy")) as names:
        ended = locked.build("lock:db")
    assert ended.out == f"{DB}: 3 packages for linux/amd64, 3 packages for linux/arm64\n"
    assert names == set()


def test_images_to_lock_are_tasks_or_words_and_all_of_them_without_any(locked: Any) -> None:
    good = {file: locked.read(file) for file in (DB, WEB)}
    for words, files in ((("lock:db",), {DB}), (("lock", "db"), {DB}), (("lock", "web", "db"), {DB, WEB})):
        for file in good:
            locked.path(file).unlink(missing_ok=True)
        locked.build(*words)
        assert {file: locked.read(file) for file in good if locked.path(file).exists()} == {
            file: good[file] for file in files
        }


def test_the_order_of_words_in_a_definition_does_not_change_the_lock(locked: Any, supply: Any) -> None:
    supply.package("one", depends="other")
    supply.package("other")
    supply.archive.publish()
    locks = []
    for packages, omit in (
        ("server, one, page", "{adduser: why, other: why}"),
        ("page, server, one", "{other: w, adduser: w}"),
    ):
        text = f"debian:\n  packages: [{packages}]\n  omit: {omit}\nplatforms: [linux/arm64, linux/amd64]\n"
        locked.write(YAML, text)
        locked.write(MANIFEST, locked.read(MANIFEST).replace('"server"', '"0"'))
        locked.build("lock:db")
        locks.append(locked.read(DB))
    assert locks[0] == locks[1]


def test_lock_says_what_is_new_changed_and_dropped_and_on_which_platforms(locked: Any, supply: Any) -> None:
    supply.package("extra", files={"usr/share/extra": b"extra\n"})
    supply.server("1.0-2", ("amd64",), depends="extra, adduser")
    supply.archive.publish()
    ended = locked.build("lock:db")
    assert ended.out == (
        f"{DB}: 2 packages for linux/amd64, 3 packages for linux/arm64\n"
        "  base: 1.0-1, dropped (linux/amd64)\n"
        "  extra: 1.0-1, new (linux/amd64)\n"
        "  libserver: 1.0-1, dropped (linux/amd64)\n"
        "  server: 1.0-1 -> 1.0-2 (linux/amd64)\n"
    )
    assert ended.err == f"warning: {DB}: platforms differ: server: 1.0-1 on linux/arm64, 1.0-2 on linux/amd64\n"


def test_lock_tells_of_a_version_whose_bytes_are_others_now(locked: Any, supply: Any) -> None:
    pins = [pin for pin in supply.archive._stanzas if pin.name == "base"]
    supply.archive.remove_package(pins[0])
    supply.package("base", files={"etc/issue": b"other\n"})
    supply.archive.publish()
    assert "\n  base: 1.0-1, other bytes\n" in locked.build("lock:db").out


def test_lock_warns_of_an_index_that_is_older_than_the_one_before(locked: Any, supply: Any) -> None:
    supply.archive.publish(date=EARLIER)
    ended = locked.build("lock:db")
    assert ended.err == "".join(
        f"warning: {DB}: the index of bookworm for {architecture} is of 20251201T000000Z,"
        " older than 20260102T030405Z before\n"
        for architecture in ("amd64", "arm64")
    )
    assert "20251201T000000Z" in locked.read(DB)


def test_a_newer_index_with_the_same_packages_changes_nothing_but_the_lock(packed: Any, supply: Any) -> None:
    supply.archive.publish(date=LATER)
    ended = packed.build("lock")
    assert "->" not in ended.out
    assert "20260201T000000Z" in packed.read(DB)
    assert sorted(packed.build().ran) == ["fetch-packages:db", "fetch-packages:web"]


def test_a_security_suite_is_one_line_away(locked: Any, supply: Any) -> None:
    security = {"repository": "debian-security", "suite": "bookworm-security"}
    supply.server("1.0-1+deb12u1", **security)
    supply.archive.publish(**security)
    locked.edit(YAML, "debian:\n", "debian:\n  suites: [bookworm, bookworm-security]\n")
    assert "  server: 1.0-1 -> 1.0-1+deb12u1\n" in locked.build("lock:db").out
    pinned = locked_packages(locked)
    assert (pinned["server"]["repository"], pinned["server"]["suite"]) == ("debian-security", "bookworm-security")
    assert pinned["libserver"]["repository"] == "debian"
    locked.build("build:db")
    assert locked.read("build/rootfs/db/linux-amd64/usr/sbin/server") == "server 1.0-1+deb12u1 for amd64\n"


# Locks that cannot be used, and how they are mended


def halves(workspace: Any) -> None:
    """Merge the indexes of one lock and the packages of another, as a careless merge does."""
    ours = workspace.read(DB)
    theirs = ours.replace("20260102T030405Z", "20270102T030405Z").replace("1.0-1", "1.0-9")
    middle = ours.index("packages:\n")
    workspace.write(DB, ours[:middle] + theirs[theirs.index("packages:\n") :])


RELOCK = "  hint: doit lock:db writes it anew\n"
# How a lock and its definition come apart, and everything that is said of it.
DISAGREEMENTS: dict[str, tuple[Callable[[Any], object], str]] = {
    "another package": (
        lambda workspace: workspace.edit(YAML, "packages: [server]", "packages: [server, page]"),
        f"{DB}:1: roots: must be the packages of image.yaml (page, server), got server\n{RELOCK}",
    ),
    "another omission": (
        lambda workspace: workspace.edit(YAML, "omit: {", "omit: {base: w, "),
        f"{DB}:1: omit: must be the omit of image.yaml (adduser, base), got adduser\n{RELOCK}",
    ),
    "no omission": (
        lambda workspace: workspace.edit(YAML, "  omit: {adduser: users are declared under accounts}\n", ""),
        f"{DB}:1: omit: must be the omit of image.yaml (none), got adduser\n{RELOCK}",
    ),
    "other suites": (
        lambda workspace: workspace.edit(YAML, "debian:\n", "debian:\n  suites: [trixie]\n"),
        f"{DB}:1: suites: must be the suites of image.yaml (trixie), got bookworm\n{RELOCK}",
    ),
    "other suites by default": (
        lambda workspace: workspace.write("pyproject.toml", workspace.read("pyproject.toml") + 'suites = ["sid"]\n'),
        f"{DB}:1: suites: must be the suites of image.yaml (sid), got bookworm\n{RELOCK}",
    ),
    "another platform": (
        lambda workspace: workspace.edit(YAML, "linux/arm64]", "linux/arm64, linux/s390x]"),
        (
            f"{DB}:1: packages: must be the platforms of image.yaml (linux/amd64, linux/arm64, linux/s390x),"
            f" got linux/amd64, linux/arm64\n{RELOCK}"
        ),
    ),
    "one platform less": (
        lambda workspace: workspace.edit(YAML, ", linux/arm64]", "]"),
        f"{DB}:1: packages: must be the platforms of image.yaml (linux/amd64), got linux/amd64, linux/arm64\n{RELOCK}",
    ),
    "everything": (
        lambda workspace: workspace.write(
            YAML, "debian: {packages: [page], suites: [sid]}\naccounts: {users: [{name: server, uid: 1, gid: 1}]}\n"
        ),
        (
            f"{DB}:1: omit: must be the omit of image.yaml (none), got adduser\n{RELOCK}"
            f"{DB}:1: packages: must be the platforms of image.yaml (linux/amd64), got linux/amd64, linux/arm64\n{RELOCK}"
            f"{DB}:1: roots: must be the packages of image.yaml (page), got server\n{RELOCK}"
            f"{DB}:1: suites: must be the suites of image.yaml (sid), got bookworm\n{RELOCK}"
        ),
    ),
}
# What becomes of a lock that nobody should touch, and everything that is said of it.
BROKEN: dict[str, tuple[Callable[[Any], object], str]] = {
    "not there": (
        lambda workspace: workspace.path(DB).unlink(),
        f"{DB}:1: must be a readable file, got No such file or directory\n  hint: doit lock:db writes it\n",
    ),
    "edited by hand": (
        lambda workspace: workspace.edit(DB, '"1.0-1"', '"1.0-2"'),
        f"{DB}:3: checksum: must be as it was written: the file was edited, or merged from two\n{RELOCK}",
    ),
    "a package taken out": (
        lambda workspace: workspace.write(DB, re.sub(r'  - \{name: "base".*\n', "", workspace.read(DB), count=1)),
        f"{DB}:3: checksum: must be as it was written: the file was edited, or merged from two\n{RELOCK}",
    ),
    "a comment at its end": (
        lambda workspace: workspace.write(DB, workspace.read(DB) + "# pinned by hand\n"),
        f"{DB}:3: checksum: must be as it was written: the file was edited, or merged from two\n{RELOCK}",
    ),
    "merged in halves": (
        halves,
        f"{DB}:3: checksum: must be as it was written: the file was edited, or merged from two\n{RELOCK}",
    ),
}
# What is no lock at all: why differs, the way out does not.
NO_LOCKS: dict[str, Callable[[Any], object]] = {
    "of a format to come": lambda workspace: workspace.edit(DB, "format: 1", "format: 2"),
    "empty": lambda workspace: workspace.write(DB, ""),
    "with the marks of a merge": lambda workspace: workspace.edit(DB, "packages:\n", "<<<<<<< HEAD\npackages:\n"),
    "with a platform twice": lambda workspace: workspace.edit(DB, "  linux/arm64:\n", "  linux/amd64:\n"),
}


def rows(table: Iterable[str], *quick: str) -> list[Any]:
    """Make the rows of a test, the ones that are not quick marked as slow."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in table]


@pytest.mark.parametrize("mistake", rows(DISAGREEMENTS | BROKEN, "another package"))
def test_a_lock_that_is_not_of_its_definition_is_refused_before_anything_runs(
    locked: Any, supply: Any, written: Any, mistake: str
) -> None:
    make, message = (DISAGREEMENTS | BROKEN)[mistake]
    make(locked)
    with written(locked.root) as names:
        for words in (("lock", "--check", "db"), ("build:db",)):
            ended = locked.doit(*words)
            assert (ended.status, ended.out, ended.err) == (DEFINITION, "", message), words
    assert names <= OF_A_RUN
    assert supply.mirror.requests == []


@pytest.mark.parametrize("mistake", NO_LOCKS)
def test_what_is_no_lock_is_told_with_the_one_way_out(locked: Any, mistake: str) -> None:
    NO_LOCKS[mistake](locked)
    for words in (("lock", "--check", "db"), ("build:db",)):
        ended = locked.doit(*words)
        assert (ended.status, ended.out) == (DEFINITION, "")
        assert ended.err.startswith(f"{DB}:")
        assert [line for line in ended.err.splitlines(keepends=True) if "hint" in line] == [RELOCK]


@pytest.mark.parametrize("mistake", rows(BROKEN | NO_LOCKS, "merged in halves"))
def test_lock_mends_what_became_of_a_lock(locked: Any, mistake: str) -> None:
    good = locked.read(DB)
    make = BROKEN[mistake][0] if mistake in BROKEN else NO_LOCKS[mistake]
    make(locked)
    ended = locked.build("lock:db")
    assert locked.read(DB) == good
    assert ended.out.startswith(f"{DB}: 3 packages for linux/amd64, 3 packages for linux/arm64\n")
    assert ended.err == ""
    locked.build("lock", "--check")


def test_checking_locks_says_which_are_good_and_neither_writes_nor_connects(
    locked: Any, audit: Any, written: Any
) -> None:
    with written(locked.root) as names:
        ended = locked.build("lock", "--check", **audit.environment)
        assert ended.out == f"{DB}: ok\n{WEB}: ok\n"
        assert locked.build("lock", "--check", "web").out == f"{WEB}: ok\n"
        assert locked.build("lock", "--check", "lock:db").out == f"{DB}: ok\n"
    assert audit.events() == ["watching"]
    assert names == set()


def test_checking_locks_tells_of_every_bad_one(locked: Any) -> None:
    locked.path(WEB).unlink()
    locked.edit(YAML, "[server]", "[serve]")
    ended = locked.doit("lock", "--check")
    assert (ended.status, ended.out) == (DEFINITION, "")
    assert [line.partition(":")[0] for line in ended.err.splitlines() if not line.startswith(" ")] == [DB, WEB]
    assert locked.doit("lock", "--check", "web").err.startswith(f"{WEB}:1: must be a readable file")


@pytest.mark.parametrize("words", [("lock", "dbx"), ("lock:dbx",), ("lock", "--check", "dbx"), ("outdated:dbx",)])
def test_an_unknown_image_to_lock_is_a_wrong_usage(locked: Any, written: Any, words: tuple[str, ...]) -> None:
    with written(locked.root) as names:
        ended = locked.doit(*words)
    assert (ended.status, ended.out) == (USAGE, "")
    told, hint = ended.err.splitlines()
    assert re.fullmatch(r"doit: must be .*, got '.*dbx'", told)
    assert re.fullmatch(r"  hint: (did you mean db\? )?images are db, web", hint)
    assert names <= OF_A_RUN


def test_the_missing_lock_of_another_image_is_not_in_the_way(locked: Any) -> None:
    locked.path(WEB).unlink()
    assert "pack-aci:db" in locked.build("build:db").ran
    assert locked.doit().status == DEFINITION


# Newer versions


def test_outdated_lists_newer_versions_and_security_updates_first(locked: Any, supply: Any, written: Any) -> None:
    security = {"repository": "debian-security", "suite": "bookworm-security"}
    supply.package("base", "1.0-2")
    supply.server("1.0-1+deb12u1", **security)
    supply.server("1.0-1+deb12u2", ("arm64",), **security)
    supply.archive.publish()
    supply.archive.publish(**security)
    with written(locked.path("deploy")) as names:
        told = locked.build("outdated:db").out
    assert told == (
        f"{DB}: 3 have newer versions\n"
        "  server 1.0-1 -> 1.0-1+deb12u1 (bookworm-security) for linux/amd64\n"
        "  server 1.0-1 -> 1.0-1+deb12u2 (bookworm-security) for linux/arm64\n"
        "  base 1.0-1 -> 1.0-2 (bookworm)\n"
    )
    assert names == set()
    assert pool(supply.mirror.requests) == []
    both = locked.build("outdated").out
    assert f"{DB}: 3 have newer versions\n" in both
    assert f"{WEB}: 1 have newer versions\n  base 1.0-1 -> 1.0-2 (bookworm)\n" in both


def test_outdated_says_when_there_is_nothing_newer(locked: Any, supply: Any) -> None:
    security = {"repository": "debian-security", "suite": "bookworm-security"}
    supply.server("0.9-1+deb11u1", **security)
    supply.archive.publish(**security)
    assert locked.build("outdated:db").out == f"{DB}: nothing newer\n"
