"""What is told of packages that cannot be chosen, had, trusted, unpacked or put together, and what is left behind."""

from __future__ import annotations

import re
import shutil
import struct
import tarfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each starts doit

LOCK, YAML, MANIFEST = (f"deploy/aci/db/{name}" for name in ("packages.lock.yaml", "image.yaml", "manifest"))
WEB_LOCK, WEB_YAML = "deploy/aci/web/packages.lock.yaml", "deploy/aci/web/image.yaml"
SETTINGS = "pyproject.toml"
FAILED, DEFINITION = 1, 3
DEBS = {
    "base": "debian/pool/main/b/base/base_1.0-1_all.deb",
    "libserver": "debian/pool/main/l/libserver/libserver_1.0-1_amd64.deb",
    "server": "debian/pool/main/s/server/server_1.0-1_amd64.deb",
}
INRELEASE = "debian/dists/bookworm/InRelease"
Act = Callable[[Any, Any], object]


def rows(table: Iterable[str], *quick: str) -> list[Any]:
    """Make the rows of a test, the ones that are not quick marked as slow."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in table]


def refused(workspace: Any, *words: str, tasks: tuple[str, ...] = (), **environment: str) -> str:
    """Run what must fail after some tasks, and return what is told, in words that are the same on every machine.

    How the action was run, and where its log is, is left out.
    """
    ended = workspace.doit(*words, **environment)
    assert (ended.status, ended.ran) == (FAILED, tasks), ended.out + ended.err
    assert "Traceback" not in ended.err
    failed, _, told = re.sub(r"^  log: build/state/logs/.*\n", "", ended.err, flags=re.MULTILINE).partition("\n")
    assert failed == f"{words[0]}: failed" or words[0].startswith("build:")
    told = re.sub(r"^  (command|log): .*\n", "", told, flags=re.MULTILINE)
    return told.replace(str(workspace.root.parent), "TMP")


def half_made(workspace: Any) -> list[str]:
    """What stands under build/ of trees and images, and the temporary names."""
    found = (name for name in workspace.files("build") if "/state/" not in name or ".part" in name)
    return [name for name in found if name != "build/.gitignore"]


def sha256(supply: Any, name: str) -> str:
    """The digest that the archive's indexes have for a package of amd64."""
    pins = supply.archive._stanzas
    return next(pin.sha256 for pin in pins if pin.name == name and pin.architecture in ("amd64", "all"))


# Choosing packages

OF_DB = f"{YAML}: debian, for linux/amd64:\n"
CHOICES: dict[str, tuple[Act, str]] = {
    "packages that there are not": (
        lambda _, images: images.edit(YAML, "[server]", "[serve, nothing-like-it]"),
        (
            f"{OF_DB}nothing-like-it: must be a package for amd64, there is none\n  hint: look for it in another suite\n"
            "serve: must be a package for amd64, there is none\n  hint: did you mean server?\n"
        ),
    ),
    "what is needed and not there": (
        lambda supply, _: supply.server("1.0-2", depends="libserver (>= 2), adduser, nosuch | nor"),
        (
            f"{OF_DB}server: needs libserver (>= 2), got libserver 1.0-1; server is asked for\n"
            "  hint: add a suite that has it, or omit what can be done without\n"
            "server: needs nosuch | nor, got no nosuch and no nor; server is asked for\n"
            "  hint: add a suite that has it, or omit what can be done without\n"
        ),
    ),
    "packages that are not to be together": (
        lambda supply, images: [
            supply.package("page", "1.0-2"),
            supply.server("1.0-2", Conflicts="page"),
            images.edit(YAML, "[server]", "[server, page]"),
        ],
        (
            f"{OF_DB}server: conflicts with page, got page 1.0-2; server is asked for; page is asked for\n"
            "  hint: ask for an alternative to one of them, or omit one\n"
        ),
    ),
    "a package that breaks what it needs": (
        lambda supply, _: supply.server("1.0-2", Breaks="libserver (<< 2)"),
        (
            f"{OF_DB}server: conflicts with libserver (<< 2), got libserver 1.0-1; server is asked for;"
            " libserver is needed by server\n"
            "  hint: ask for an alternative to one of them, or omit one\n"
        ),
    ),
    "omissions that omit nothing": (
        lambda _, images: images.edit(YAML, "omit: {", "omit: {lbserver: why, zzz: why, "),
        (
            f"{OF_DB}omit: must name what would be there otherwise, got lbserver\n  hint: did you mean libserver?\n"
            "omit: must name what would be there otherwise, got zzz\n  hint: remove it\n"
        ),
    ),
    "a package that one platform has not": (
        lambda supply, images: [
            supply.package("only", "1.0-1", "amd64"),
            images.edit(YAML, "[server]", "[server, only]"),
        ],
        (
            f"{YAML}: debian, for linux/arm64:\n"
            "only: must be a package for arm64, there is none\n  hint: look for it in another suite\n"
        ),
    ),
}


@pytest.mark.parametrize("mistake", rows(CHOICES, "packages that there are not"))
def test_packages_that_cannot_be_chosen_leave_the_lock_as_it_was(
    supply: Any, locked: Any, written: Any, mistake: str
) -> None:
    make, message = CHOICES[mistake]
    make(supply, locked)
    supply.archive.publish()
    with written(locked.path("deploy")) as names:
        assert refused(locked, "lock:db") == message
    assert names == set()


def test_a_lock_that_fails_does_not_keep_others_from_being_made(supply: Any, locked: Any) -> None:
    good = locked.read(WEB_LOCK)
    locked.path(WEB_LOCK).unlink()
    locked.edit(YAML, "[server]", "[serve]")
    ended = locked.doit("lock")
    assert ended.status == FAILED
    assert ended.err.startswith("lock:db: failed\n")
    assert locked.read(WEB_LOCK) == good


DECLARATIONS: dict[str, tuple[str, str, str]] = {
    "a misspelt key": (
        "  packages:",
        "  package:",
        "2: debian.package: must be a known key\n  hint: did you mean packages?\n",
    ),
    "no reason": (
        "{adduser: users are declared under accounts}",
        "{adduser: ''}",
        "3: debian.omit.adduser: must be a reason, in words, got ''\n",
    ),
    "a list of omissions": (
        "{adduser: users are declared under accounts}",
        "[adduser]",
        "3: debian.omit: must be a mapping, got a list\n",
    ),
    "an omission of what is asked for": (
        "omit: {",
        "omit: {server: why, ",
        "3: debian.omit: must not omit what packages asks for, got server\n  hint: remove it from one of the two\n",
    ),
    "no package": ("[server]", "[]", ""),
    "a package that cannot be one": ("[server]", "[Server]", ""),
    "a package twice": ("[server]", "[server, server]", "2: debian.packages: must name each once, got server\n"),
    "an absolute pattern": ("[usr/share/man]", "[/usr/share/man]", ""),
    "a pattern that leads out": ("[usr/share/man]", "[usr/../../etc]", ""),
    "an unknown rule to waive": (
        "  prune:",
        "  waive: {lnk: {a: why}}\n  prune:",
        "4: debian.waive.lnk: must be one of clash, copyright, library, link, script, got 'lnk'\n  hint: did you mean link?\n",
    ),
}


@pytest.mark.parametrize("mistake", rows(DECLARATIONS, "a misspelt key"))
def test_a_wrong_declaration_is_refused_before_anything_runs(
    supply: Any, locked: Any, written: Any, mistake: str
) -> None:
    old, new, message = DECLARATIONS[mistake]
    locked.edit(YAML, old, new)
    with written(locked.root) as names:
        for words in (("lock:db",), ("build:db",), ("lock", "--check")):
            ended = locked.doit(*words)
            assert (ended.status, ended.out) == (DEFINITION, "")
            assert (ended.err == f"{YAML}:{message}") if message else ended.err.startswith(f"{YAML}:"), ended.err
    assert names <= {"build", "build/state", "build/state/lock"}
    assert supply.mirror.requests == []


# Indexes that cannot be had or trusted

KEYRING = "TMP/archive.gpg"
UNTRUSTED = f"{INRELEASE}: must be signed by a key of {KEYRING}: "
PACKAGES = "debian/dists/bookworm/main/binary-amd64/Packages"


def alter(supply: Any, name: str, old: str, new: str) -> None:
    path = supply.archive.folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def alter_indexes(supply: Any) -> None:
    """Have another server in the indexes, with the same size."""
    for path in (supply.archive.folder / "debian/dists/bookworm/main").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1] + b"?")


INDEXES: dict[str, tuple[Act, str]] = {
    "not signed": (
        lambda supply, _: supply.archive.publish(sign=False),
        f"{UNTRUSTED}it is not signed, or not whole\n",
    ),
    "signed by a stranger": (
        lambda supply, _: supply.archive.publish(key="stranger"),
        f"{UNTRUSTED}it was signed by a key that is not in the keyring\n",
    ),
    "altered after it was signed": (
        lambda supply, _: alter(supply, INRELEASE, "Origin: Sample", "Origin: Simple"),
        f"{UNTRUSTED}its text was altered after it was signed\n",
    ),
    "the page of a portal": (
        lambda supply, _: supply.mirror.fail(f"/{INRELEASE}", content=b"<html>log in</html>"),
        f"{UNTRUSTED}it is not signed, or not whole\n",
    ),
    "expired": (
        lambda supply, _: supply.archive.publish(valid_until=datetime(2026, 1, 10, tzinfo=UTC)),
        (
            f"{INRELEASE}: must not be expired, got one that was valid until 2026-01-10\n"
            '  hint: use another mirror; or set expired = "warn" under [tool.procession.debian]\n'
        ),
    ),
    "of another suite": (
        lambda supply, _: supply.archive.publish(Suite="trixie", Codename="trixie"),
        f"{INRELEASE}: must be of the suite bookworm, got trixie (trixie)\n",
    ),
    "a list of packages that was altered": (
        lambda supply, _: alter_indexes(supply),
        f"{PACKAGES}: changed: must have the sha256 ",
    ),
    "a list of packages that is not there": (
        lambda supply, _: shutil.rmtree(supply.archive.folder / "debian/dists/bookworm/main"),
        (f"{PACKAGES}: gone: HTTP 404 Not Found\n  hint: the mirror may be at work, try again in minutes\n"),
    ),
    "a suite that is not there": (
        lambda _, images: images.edit(YAML, "debian:\n", "debian:\n  suites: [trixie]\n"),
        "debian/dists/trixie/InRelease: gone: HTTP 404 Not Found\n  hint: see whether this is a suite that the mirror has\n",
    ),
    "a platform that is not there": (
        lambda _, images: images.edit(YAML, "linux/amd64", "linux/s390x"),
        "debian/dists/bookworm/main/binary-s390x/Packages: must be listed in the suite's Release file\n",
    ),
    "no keyring": (
        lambda supply, _: supply.archive.keyring.unlink(),
        (
            f"{KEYRING}: must be a keyring: no such file or directory\n"
            "  hint: apt-get install debian-archive-keyring, or set keyring under [tool.procession.debian]\n"
        ),
    ),
    "no gpgv": (
        lambda _, images: images.environment.update(PATH="/nonexistent"),
        "gpgv: cannot be started: No such file or directory\n  hint: apt-get install gpgv\n",
    ),
    "no mirror": (
        lambda _, images: [
            images.environment.pop("PROCESSION_DEBIAN_MIRROR"),
            images.environment.update(PATH="/nonexistent"),
        ],
        (
            "debian: nothing says where this repository is\n"
            "  hint: set PROCESSION_DEBIAN_MIRROR, or mirror under [tool.procession.debian], to the URL of a mirror;"
            " or add the repository to this machine's apt sources\n"
        ),
    ),
    "an address that is none": (
        lambda _, images: images.environment.update(PROCESSION_DEBIAN_MIRROR="ftp://user:secret@mirror.example"),
        (
            "PROCESSION_DEBIAN_MIRROR: must be the URL of a folder\n"
            "  hint: such as http://mirror.example/debian or file:///srv/mirror/debian\n"
        ),
    ),
}


@pytest.mark.parametrize("mistake", rows(INDEXES, "not signed"))
def test_an_index_that_cannot_be_trusted_changes_no_lock(supply: Any, locked: Any, written: Any, mistake: str) -> None:
    make, message = INDEXES[mistake]
    make(supply, locked)
    with written(locked.path("deploy")) as names:
        told = refused(locked, "lock:db")
    assert told.startswith(message) if message.endswith(" ") else told == message
    assert names == set()


@pytest.mark.parametrize("mistake", ["not signed", "expired", "no keyring", "no gpgv"])
def test_a_build_with_a_lock_needs_no_index(supply: Any, locked: Any, mistake: str) -> None:
    INDEXES[mistake][0](supply, locked)
    locked.build("build:db")


def test_one_reason_that_fails_all_locks_is_told_once(supply: Any, locked: Any) -> None:
    supply.archive.publish(sign=False)
    told = locked.doit("lock").err
    assert told.count("must be signed") == 1
    assert "failed for the same reason" in told


def test_an_expired_index_can_be_accepted_with_a_warning(supply: Any, locked: Any) -> None:
    INDEXES["expired"][0](supply, locked)
    locked.edit(SETTINGS, "keyring =", 'expired = "warn"\nkeyring =')
    ended = locked.build("lock:db")
    assert ended.err == f"warning: {INRELEASE}: was valid until 2026-01-10\n"


# Packages that cannot be had

WAYS = (
    "  hint: {first}; or put each file into TMP/cache/debian/packages as <sha256>.deb;"
    " or set snapshot under [tool.procession.debian]\n"
)


def test_packages_that_are_gone_changed_or_unreachable_are_told_all_at_once(supply: Any, locked: Any) -> None:
    sha256s = {name: sha256(supply, name) for name in DEBS}
    (supply.archive.folder / DEBS["base"]).unlink()
    changed = supply.archive.folder / DEBS["libserver"]
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    supply.mirror.fail(f"/{DEBS['server']}", status=403)
    supply.package("base", "1.0-2")
    supply.archive.publish()
    told = refused(locked, "fetch-packages:db")
    got = told.partition(", got ")[2][:64]
    assert told == (
        f"{LOCK}: 3 of 3 packages cannot be had\n"
        "  base 1.0-1 all: gone: HTTP 404 Not Found; bookworm has 1.0-2 now\n"
        f"    {DEBS['base']} sha256 {sha256s['base']}\n"
        f"  libserver 1.0-1 amd64: changed: must have the sha256 {sha256s['libserver']}, got {got};"
        " bookworm has the same version now\n"
        f"    {DEBS['libserver']} sha256 {sha256s['libserver']}\n"
        "  server 1.0-1 amd64: unreachable: HTTP 403 Forbidden\n"
        f"    {DEBS['server']} sha256 {sha256s['server']}\n"
    ) + WAYS.format(first="doit lock:db chooses anew")
    assert half_made(locked) == []
    assert list(supply.store.glob("*.deb")) == []


def test_a_mirror_that_refuses_connections_is_told(supply: Any, locked: Any) -> None:
    supply.mirror.close()
    told = refused(locked, "build:db")
    assert told.startswith(f"{LOCK}: 3 of 3 packages cannot be had\n")
    assert told.count(": unreachable: connection refused\n") == 3
    assert told.endswith(
        WAYS.format(
            first="see whether the network and the mirror work, or set PROCESSION_DEBIAN_MIRROR to another mirror"
        )
    )
    assert half_made(locked) == []


def test_what_could_be_had_is_kept_for_the_next_attempt(supply: Any, locked: Any) -> None:
    supply.mirror.fail(f"/{DEBS['server']}", times=1, status=404)
    assert "1 of 3 packages cannot be had" in refused(locked, "build:db")
    before = [request for request in supply.mirror.requests if ".deb" in request]
    assert len(before) == 3
    locked.build("build:db")
    assert [request for request in supply.mirror.requests if ".deb" in request][3:] == [f"/{DEBS['server']}"]


def test_a_password_of_the_mirror_is_shown_nowhere(supply: Any, locked: Any) -> None:
    supply.mirror.fail(f"/{DEBS['server']}", status=403)
    secret = supply.archive.url.replace("//", "//user:hush-hush@")
    told = refused(locked, "build:db", PROCESSION_DEBIAN_MIRROR=secret)
    told += refused(locked, "lock:db", PROCESSION_DEBIAN_MIRROR=f"{secret}/nothing")
    locked.build("lock:db", PROCESSION_DEBIAN_MIRROR=secret)
    assert "hush-hush" not in told
    for folder in (locked.root, supply.cache):
        assert [path for path in folder.rglob("*") if path.is_file() and b"hush-hush" in path.read_bytes()] == []


def test_a_download_that_breaks_off_is_continued_where_it_stopped(supply: Any, locked: Any) -> None:
    supply.mirror.fail(f"/{DEBS['server']}", times=2, cut=300)
    locked.build("build:db")
    asked = [request for request in supply.mirror.requests if DEBS["server"] in request]
    assert asked == [f"/{DEBS['server']}{part}" for part in ("", " bytes=300-", " bytes=600-")]


def test_a_download_that_always_breaks_off_is_continued_by_the_next_run(supply: Any, locked: Any) -> None:
    size = (supply.archive.folder / DEBS["server"]).stat().st_size
    supply.mirror.fail(f"/{DEBS['server']}", times=4, cut=10)
    told = refused(locked, "build:db")
    assert f"  server 1.0-1 amd64: unreachable: the connection ended after 40 of {size} bytes\n" in told
    locked.build("build:db")
    assert supply.mirror.requests[-1] == f"/{DEBS['server']} bytes=40-"


# A store that is not what it was


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if how != "gone":
        path.write_bytes({"changed": content[:-1] + b"?", "cut short": content[:-10], "empty": b""}[how])


@pytest.mark.parametrize("how", rows(["changed", "cut short", "empty"], "changed"))
def test_a_package_that_changed_in_the_store_is_told_and_downloaded_anew(supply: Any, packed: Any, how: str) -> None:
    before = packed.files("build/aci", "build/rootfs")
    deb = supply.store / f"{sha256(supply, 'server')}.deb"
    content = deb.read_bytes()
    damage(deb, how)
    shutil.rmtree(packed.path("build"))
    ended = packed.build()
    assert ended.err == (
        f"warning: {deb}: must be server 1.0-1 amd64 to the byte, got something else; it is downloaded anew\n"
    )
    assert deb.read_bytes() == content
    assert packed.files("build/aci", "build/rootfs") == before


def test_a_package_that_changed_in_the_store_and_cannot_be_had_is_not_used(supply: Any, packed: Any) -> None:
    damage(supply.store / f"{sha256(supply, 'server')}.deb", "changed")
    shutil.rmtree(packed.path("build"))
    supply.mirror.fail(f"/{DEBS['server']}", status=404)
    told = refused(packed, "build:db")
    assert f"{LOCK}: 1 of 3 packages cannot be had\n" in told
    assert half_made(packed) == []


@pytest.mark.parametrize("suffix", ["data", "contents"])
@pytest.mark.parametrize("how", ["changed", "cut short", "empty", "gone"])
def test_an_unpacked_package_that_changed_is_never_used(supply: Any, packed: Any, suffix: str, how: str) -> None:
    before = packed.files("build/aci", "build/rootfs")
    unpacked = supply.cache / "debian/unpacked"
    for path in unpacked.glob(f"*.{suffix}"):
        damage(path, how)
    shutil.rmtree(packed.path("build"))
    supply.mirror.close()
    packed.build()
    assert packed.files("build/aci", "build/rootfs") == before


# Packages that want out


def member(name: str, content: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


BELOW = "must be a path below the root, without empty, . or .. or overlong parts"
HOSTILE: dict[str, tuple[Callable[[Path], list[tuple[tarfile.TarInfo, bytes]]], str]] = {
    "names that lead up": (lambda _: [member("../../../../victim/file", b"x")], f"../../../../victim/file: {BELOW}"),
    "names that lead up further on": (
        lambda _: [member("./usr/../../victim/file", b"x")],
        f"./usr/../../victim/file: {BELOW}",
    ),
    "absolute names": (lambda victim: [member(f"{victim}/file", b"x")], f"VICTIM/file: {BELOW}"),
    "a file through its own link": (
        lambda victim: [member("./out", type=tarfile.SYMTYPE, linkname=str(victim)), member("./out/file", b"x")],
        "out/file: must stand in a folder, got a symlink at 'out'",
    ),
    "a hard link to what is outside": (
        lambda victim: [member("./in", type=tarfile.LNKTYPE, linkname=f"{victim}/file")],
        f"VICTIM/file: {BELOW}",
    ),
    "a device": (
        lambda _: [member("./dev/sda", type=tarfile.BLKTYPE, devmajor=8)],
        "./dev/sda: must be a file, directory or link, got a device",
    ),
    "a pipe": (
        lambda _: [member("./run/pipe", type=tarfile.FIFOTYPE)],
        "./run/pipe: must be a file, directory or link, got a pipe",
    ),
    "one path twice": (
        lambda _: [member("./etc/it", b"x"), member("./etc/it", b"y")],
        "etc/it: must stand in the package once, got a file and a file",
    ),
    "a bomb": (
        lambda _: [member("./bomb", bytes(100 * 1024 * 1024))],
        "data.tar: must unpack to at most 67108864 bytes, got more",
    ),
}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder beside the repository that nobody has any business in."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "file").write_text("mine\n")
    return folder


@pytest.mark.parametrize("what", rows(HOSTILE, "names that lead up"))
def test_a_package_that_would_write_elsewhere_is_refused_and_nothing_of_it_is_kept(
    supply: Any, locked: Any, written: Any, victim: Path, tmp_path: Path, what: str
) -> None:
    make, message = HOSTILE[what]
    supply.handmade("page", *make(victim))
    locked.build("lock:web")
    locked.build("fetch-packages:web")
    with written(tmp_path) as names:
        told = refused(locked, "build:web")
    deb = f"TMP/cache/debian/packages/{sha256(supply, 'page')}.deb"
    assert told.replace("TMP/victim", "VICTIM") == f"{deb}: page 1.0-2 all: {message}\n"
    assert half_made(locked) == []
    outside = {name for name in names if not name.startswith(("repository/build/state", "cache/debian/unpacked"))}
    assert outside <= {"repository/build", "cache/debian"}
    assert list((supply.cache / "debian/unpacked").glob("*")) == []
    assert [path.name for path in victim.iterdir()] == ["file"]


def test_links_that_lead_out_of_the_image_stay_in_it(supply: Any, locked: Any, victim: Path) -> None:
    """Absolute ones are good in the image; they must not be followed where it is built."""
    supply.handmade(
        "page",
        member("./usr/bin/page", b"page", mode=0o755),
        member("./srv/page", type=tarfile.SYMTYPE, linkname="/usr/bin/page"),
        member("./srv/up", type=tarfile.SYMTYPE, linkname="../../../../../usr/bin/page"),
    )
    locked.build("lock:web")
    locked.build("build:web")
    with tarfile.open(locked.aci("web")) as archive:
        links = {info.name: info.linkname for info in archive if info.issym()}
    assert links == {"rootfs/srv/page": "/usr/bin/page", "rootfs/srv/up": "../../../../../usr/bin/page"}
    locked.write("deploy/aci/web/rootfs/srv/page/file", "written\n")
    assert "/srv/page" in refused(locked, "build:web")
    assert [path.name for path in victim.iterdir()] == ["file"]


def test_a_package_that_is_another_one_than_the_index_says_is_refused(supply: Any, locked: Any) -> None:
    supply.handmade("page", member("./usr/bin/page", b"page", mode=0o755))
    pin, stanza = supply.archive._stanzas.popitem()
    stanza = stanza.replace("Package: page", "Package: page").replace("Version: 1.0-2", "Version: 1.0-3")
    supply.archive._stanzas[pin] = stanza
    supply.archive.publish()
    locked.build("lock:web")
    told = refused(locked, "build:web", tasks=("fetch-packages:web",))
    assert told.endswith(".deb: page 1.0-3 all: must hold page 1.0-3 all, got page 1.0-2 all\n")
    assert half_made(locked) == []


# Packages that do not fit together


def elf(*needed: str, machine: int = 62) -> bytes:
    """Make a shared object of nothing but the libraries it needs: System V ABI, chapter 5."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in needed)
    places = [names.index(b"\0" + name.encode() + b"\0") + 1 for name in needed]
    start = 64 + 2 * 56
    tags = [(1, place) for place in places] + [(5, start + 16 * (len(needed) + 3)), (10, len(names)), (0, 0)]
    dynamic = b"".join(struct.pack("<qQ", *tag) for tag in tags)
    size = start + len(dynamic) + len(names)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<2HI3QI6H", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0
    )
    load = struct.pack("<2I6Q", 1, 4, 0, 0, 0, size, size, 8)
    found = struct.pack("<2I6Q", 2, 4, start, start, start, len(dynamic), len(dynamic), 8)
    return header + load + found + dynamic + names


def replace_page(supply: Any, locked: Any, **more: Any) -> None:
    """Put another version of a package into the image web."""
    supply.package("page", "1.0-2", **more)
    supply.archive.publish()
    locked.build("lock:web")


CLASHING = {"usr/bin/page": b"page\n", "etc/issue": b"other\n"}
SCRIPT = "#!/bin/sh\nset -e\nuseradd -r page\nmkdir -p /var/lib/page\nsome-tool --now\n"
LIBRARY = "usr/lib/x86_64-linux-gnu/libpage.so"
UNDECLARED = "page 1.0-2: a script must do nothing that is not declared, got "
# What is wrong with a package, what is told of it, and what waives it.
MISFITS: dict[str, tuple[dict[str, Any], str, str]] = {
    "a path of two packages": (
        {"depends": "base", "files": CLASHING},
        (
            "/etc/issue: must be the same in all packages that have it, got a file 0644 0:0 of base"
            " and a file 0644 0:0 of page\n"
            "  hint: prune it, or put what the image needs into rootfs/;"
            ' or waive: {clash: {"etc/issue": why}} under debian\n'
        ),
        "clash: {etc/issue: the first is as good}",
    ),
    "a library that is not there": (
        {"files": {"usr/bin/page": b"", LIBRARY: elf("libbase.so.1", "libmore.so.2")}},
        (
            f"/{LIBRARY}: must find a library it needs, got no libbase.so.1 (page)\n"
            "  hint: take back the omit or prune that leaves it out;"
            f' or waive: {{library: {{"{LIBRARY} libbase.so.1": why}}}} under debian\n'
            f"/{LIBRARY}: must find a library it needs, got no libmore.so.2 (page)\n"
            "  hint: take back the omit or prune that leaves it out;"
            f' or waive: {{library: {{"{LIBRARY} libmore.so.2": why}}}} under debian\n'
        ),
        'library: {"usr/lib/*/* lib*": a plug-in of nothing here}',
    ),
    "a script that does what nobody declared": (
        {"files": {"usr/bin/page": b""}, "scripts": {"postinst": SCRIPT}},
        (
            f"{UNDECLARED}'mkdir -p /var/lib/page' in line 4 of postinst\n"
            "  hint: add {path: /var/lib/page, type: directory, mode: …, uid: …, gid: …} to paths;"
            ' or waive: {script: {"page mkdir": why}} under debian\n'
            f"{UNDECLARED}'some-tool --now' in line 5 of postinst, a command that is not known\n"
            '  hint: declare what it does; or waive: {script: {"page some-tool": why}} under debian\n'
            f"{UNDECLARED}'useradd -r page' in line 3 of postinst\n"
            "  hint: add {name: page, uid: …, gid: …} to accounts.users;"
            ' or waive: {script: {"page useradd": why}} under debian\n'
        ),
        "script: {page mkdir: w, page some-tool: w, page useradd: w}",
    ),
}


@pytest.mark.parametrize("what", rows(MISFITS, "a path of two packages"))
def test_packages_that_do_not_fit_are_refused_unless_that_is_waived(supply: Any, locked: Any, what: str) -> None:
    more, message, waiver = MISFITS[what]
    replace_page(supply, locked, **more)
    assert refused(locked, "build:web", tasks=("fetch-packages:web",)) == message
    assert half_made(locked) == []
    locked.edit(WEB_YAML, "debian:\n", f"debian:\n  waive:\n    {waiver}\n")
    assert locked.build("build:web").ran == ("inject-packages:web", "pack-aci:web", "pack-oci:web")
    supply.mirror.close()
    locked.edit(WEB_YAML, waiver, waiver.replace(": w", ": another reason").replace("as good", "good enough"))
    assert locked.build("build:web").ran == ()


def test_a_link_that_leads_nowhere_is_refused_unless_that_is_waived(supply: Any, locked: Any) -> None:
    link = member("./usr/lib/next", type=tarfile.SYMTYPE, linkname="nowhere")
    supply.handmade("page", member("./usr/bin/page", b"", mode=0o755), link)
    locked.build("lock:web")
    assert refused(locked, "build:web", tasks=("fetch-packages:web",)) == (
        "/usr/lib/next: a link must lead to something, and there is no /usr/lib/nowhere, got a link to 'nowhere' (page)\n"
        '  hint: add usr/lib/next to prune; or waive: {link: {"usr/lib/next": why}} under debian\n'
    )
    for mend in ("waive: {link: {usr/lib/next: made by the server}}", "prune: [usr/lib/next]"):
        locked.edit(WEB_YAML, "debian:\n", f"debian:\n  {mend}\n")
        assert locked.build("build:web").ran == ("inject-packages:web", "pack-aci:web", "pack-oci:web")
        locked.edit(WEB_YAML, f"  {mend}\n", "")


def test_everything_that_does_not_fit_is_told_at_once_and_sorted(supply: Any, locked: Any) -> None:
    replace_page(
        supply,
        locked,
        depends="base",
        files=CLASHING | {LIBRARY: elf("libnone.so.1")},
        scripts={"postinst": SCRIPT},
    )
    locked.edit(WEB_YAML, "debian:\n", "debian:\n  prune: [usr/share/mann]\n  waive: {link: {usr/lib/next: why}}\n")
    told = refused(locked, "build:web", tasks=("fetch-packages:web",))
    rules = [line for line in told.splitlines() if not line.startswith("  hint: ")]
    assert rules == sorted(rules)
    assert len(rules) == 7
    assert told.count("  hint: ") == 7


def test_what_scripts_do_is_good_once_it_is_declared(supply: Any, locked: Any) -> None:
    replace_page(
        supply, locked, files={"usr/bin/page": b""}, scripts={"postinst": SCRIPT.replace("some-tool --now\n", "")}
    )
    locked.write(
        WEB_YAML,
        locked.read(WEB_YAML)
        + "accounts: {users: [{name: page, uid: 900, gid: 900}]}\n"
        + 'paths: [{path: /var/lib/page, type: directory, mode: "0700", uid: 900, gid: 900}]\n',
    )
    locked.build("build:web")


PATTERNS = {
    "prune": (
        "[usr/share/man]",
        "[usr/share/mann]",
        "prune: must match a path of the packages, got 'usr/share/mann'\n  hint: did you mean usr/share/man?\n",
    ),
    "keep": (
        "[usr/share/man]\n",
        "[usr/share/man]\n  keep: [usr/share/dok/*]\n",
        "keep: must match a path of the packages, got 'usr/share/dok/*'\n",
    ),
    "waive": (
        "  prune:",
        "  waive: {script: {server adduser: why}, link: {usr/lib/next: why}}\n  prune:",
        (
            "waive.link: must waive something that is found, got 'usr/lib/next'\n  hint: remove it\n"
            f"{YAML}: debian.waive.script: must waive something that is found, got 'server adduser'\n  hint: remove it\n"
        ),
    ),
}


@pytest.mark.parametrize("key", rows(PATTERNS, "prune"))
def test_what_a_definition_says_of_packages_must_be_about_something(supply: Any, packed: Any, key: str) -> None:
    old, new, message = PATTERNS[key]
    before = packed.files("build/aci", "build/rootfs")
    packed.edit(YAML, old, new)
    told = refused(packed, "build:db")
    assert told.startswith(f"{YAML}: debian.{message}")
    packed.edit(YAML, new, old)
    packed.build("build:db")
    assert packed.files("build/aci", "build/rootfs") == before


PROGRAMS = {
    "elsewhere": ('"/usr/bin/server"', ", got '/usr/bin/server'\n  hint: there is /usr/sbin/server\n"),
    "nowhere": ('"/usr/sbin/nothing"', ", got '/usr/sbin/nothing'\n"),
    "pruned": ('"/usr/share/man/man8/server.8"', ", got '/usr/share/man/man8/server.8'\n"),
    "no program": ('"/etc/server.conf"', ", got '/etc/server.conf', which is not executable (mode 0644)\n  hint: "),
}


@pytest.mark.parametrize("where", rows(PROGRAMS, "elsewhere"))
def test_the_program_that_is_started_must_be_in_the_image(packed: Any, where: str) -> None:
    program, message = PROGRAMS[where]
    packed.edit(MANIFEST, '"/usr/sbin/server"', program)
    told = refused(packed, "build:db")
    rule = "app.exec[0]: must be a program that the image holds, by its absolute path"
    assert told.startswith(f"{MANIFEST}:12: {rule}{message}")
    assert "rootfs/etc/server.conf" not in told, "a hint must not be about a file that is not there"


def test_the_user_that_it_runs_as_must_be_declared(packed: Any) -> None:
    packed.edit(MANIFEST, '"user": "server"', '"user": "sever"')
    ended = packed.doit("build:db")
    assert (ended.status, ended.out) == (DEFINITION, "")
    assert ended.err == (
        f"{MANIFEST}:15: app.user: must be a number, or a user under accounts in image.yaml, got 'sever'\n"
        "  hint: did you mean server?\n"
    )


def test_an_image_that_fails_does_not_keep_others_from_being_built(supply: Any, locked: Any) -> None:
    locked.edit(YAML, "usr/share/man", "usr/share/mann")
    ended = locked.doit("run", "--continue")
    assert ended.status == FAILED
    assert "pack-aci:web" in ended.ran
    assert not locked.path("build/aci/db-1.0.0-linux-amd64.aci").exists()


# The cache


def test_a_cache_that_is_no_folder_or_has_no_place_is_told(supply: Any, locked: Any) -> None:
    supply.cache.write_text("a file\n")
    for task in ("fetch-packages:db", "lock:db"):
        told = refused(locked, task)
        assert told.startswith("TMP/cache/debian/")
        assert told.endswith(": Not a directory\n")
    for name in ("PROCESSION_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        locked.environment.pop(name, None)
    assert refused(locked, "fetch-packages:db") == (
        "HOME: must be set, to find the cache\n  hint: or set PROCESSION_CACHE_DIR to a folder for it\n"
    )
