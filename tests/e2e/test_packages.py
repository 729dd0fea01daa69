"""Images of Debian packages: what a build does once, what again, and what it leaves alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow  # each builds

DB, WEB = "deploy/aci/db/packages.lock.yaml", "deploy/aci/web/packages.lock.yaml"
YAML, MANIFEST = "deploy/aci/db/image.yaml", "deploy/aci/db/manifest"
OF_DB = ("fetch-packages:db", "inject-packages:db", "pack-aci:db", "pack-oci:db")
OF_WEB = ("fetch-packages:web", "inject-packages:web", "pack-aci:web", "pack-oci:web")
ARTEFACTS = ("build/aci", "build/oci", "build/rootfs", "build/state/packages")
LATER, EARLIER = datetime(2026, 2, 1, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC)
FAILED, USAGE, DEFINITION = 1, 2, 3


def artefacts(workspace: Any) -> dict[str, bytes]:
    return workspace.files(*ARTEFACTS)


def locked_packages(workspace: Any, file: str = DB, platform: str = "linux/amd64") -> dict[str, dict[str, Any]]:
    """What a lock says of the packages of a platform, by their names, read by another reader."""
    return {pin["name"]: pin for pin in yaml.safe_load(workspace.read(file))["packages"][platform]}


def pool(requests: list[str]) -> list[str]:
    """The packages among what a mirror was asked for, sorted."""
    return sorted(Path(request.partition(" ")[0]).name for request in requests if "/pool/" in request)


# A build with nothing to do


def test_the_first_build_makes_everything_and_the_second_nothing(locked: Any, written: Any) -> None:
    first = locked.build()
    assert sorted(first.ran) == sorted(OF_DB + OF_WEB)
    assert first.out.endswith("\n8 tasks run, 0 up to date\n")
    assert first.err == ""
    for image in ("db", "web"):
        assert Path(f"{locked.aci(image)}.id").read_text().startswith("sha512-")
    with written(locked.root) as names:
        second = locked.build()
    assert (second.ran, second.out) == ((), "nothing to do: 8 tasks up to date\n")
    assert names == set(), "not even its own state is written"


def test_a_second_build_needs_no_process_no_mirror_and_no_store(locked: Any, supply: Any, audit: Any) -> None:
    locked.build(**audit.environment)
    assert "socket.connect" in audit.events(), "a build that downloads is seen"
    supply.mirror.close()
    shutil.rmtree(supply.cache)
    assert locked.build(**audit.environment).out == "nothing to do: 8 tasks up to date\n"
    assert audit.events() == ["watching"]
    assert not supply.cache.exists()


def test_touching_every_file_builds_nothing(packed: Any) -> None:
    packed.build()
    for path in packed.root.rglob("*"):
        os.utime(path, follow_symlinks=False)
    assert packed.build().ran == ()
    before = packed.files("build/state")
    assert packed.build().ran == ()
    assert packed.files("build/state") == before


# The store


def test_what_was_removed_is_built_again_from_the_store_alone(packed: Any, supply: Any, audit: Any) -> None:
    before = artefacts(packed)
    shutil.rmtree(packed.path("build"))
    supply.mirror.close()
    assert sorted(packed.build(**audit.environment).ran) == sorted(OF_DB + OF_WEB)
    assert artefacts(packed) == before
    assert audit.events() == ["watching"]


def test_images_that_share_packages_download_each_once(locked: Any, supply: Any) -> None:
    locked.build()
    assert sorted(supply.mirror.requests) == pool_paths(locked, "linux/amd64")
    locked.build("release")
    both = {*pool_paths(locked, "linux/amd64"), *pool_paths(locked, "linux/arm64")}
    assert sorted(supply.mirror.requests) == sorted(both)


def pool_paths(workspace: Any, platform: str) -> list[str]:
    """What both images are locked to on a platform, as a mirror is asked for it."""
    pins = [*locked_packages(workspace, DB, platform).values(), *locked_packages(workspace, WEB, platform).values()]
    return sorted({f"/{pin['repository']}/{pin['path']}" for pin in pins})


def test_fetching_is_all_of_a_build_that_needs_the_mirror(locked: Any, supply: Any) -> None:
    assert locked.build("fetch-packages:db").ran == ("fetch-packages:db",)
    supply.mirror.close()
    assert locked.build("build:db").ran == ("inject-packages:db", "pack-aci:db", "pack-oci:db")


@pytest.mark.parametrize("gone", ["", "debian", "debian/packages", "debian/unpacked", "debian/indexes"])
def test_what_is_gone_of_the_store_comes_back_when_it_is_needed(packed: Any, supply: Any, gone: str) -> None:
    before = artefacts(packed)
    shutil.rmtree(supply.cache / gone, ignore_errors=True)
    shutil.rmtree(packed.path("build"))
    packed.build()
    assert artefacts(packed) == before
    fetched = sorted(supply.mirror.requests)
    assert fetched == ([] if gone in ("debian/unpacked", "debian/indexes") else pool_paths(packed, "linux/amd64"))


def test_staging_anew_fetches_what_the_store_has_no_more(packed: Any, supply: Any) -> None:
    """The list of packages is up to date, so that no fetch comes before."""
    shutil.rmtree(supply.cache)
    packed.write("deploy/aci/db/rootfs/etc/motd", "this is db\n")
    assert packed.build("build:db").ran == ("inject-packages:db", "pack-aci:db", "pack-oci:db")
    assert pool(supply.mirror.requests) == ["base_1.0-1_all.deb", "libserver_1.0-1_amd64.deb", "server_1.0-1_amd64.deb"]


def test_a_package_may_be_put_into_the_store_by_hand(locked: Any, supply: Any) -> None:
    supply.store.mkdir(parents=True)
    for pin in locked_packages(locked).values():
        deb = supply.archive.folder / pin["repository"] / pin["path"]
        shutil.copyfile(deb, supply.store / f"{pin['sha256']}.deb")
    supply.mirror.close()
    assert locked.build("build:db").ran == OF_DB


# Edits of a definition


ALL, ONLY_STAGED, ONLY_PACKED = (
    OF_DB,
    ("inject-packages:db", "pack-aci:db", "pack-oci:db"),
    ("pack-aci:db", "pack-oci:db"),
)
EDITS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "a comment": (YAML, "debian:\n", "# a database\ndebian:\n", ()),
    "the reason of an omission": (YAML, "users are declared under accounts", "another reason", ()),
    "the order of keys": (YAML, "  packages: [server]\n  omit:", "  omit:", ()),
    "another pattern": (YAML, "[usr/share/man]", "[usr/share/man, etc/issue]", ONLY_STAGED),
    "a pattern less": (YAML, "  prune: [usr/share/man]\n", "", ONLY_STAGED),
    "a pattern that takes what another takes": (
        YAML,
        "[usr/share/man]",
        "[usr/share/man, usr/share/man/man8]",
        ONLY_STAGED[:1],
    ),
    "something to keep": (YAML, "[usr/share/man]\n", "[usr/share/man]\n  keep: [usr/share/man/man8]\n", ONLY_STAGED),
    "the mode of a path": (YAML, '"0700"', '"0750"', ONLY_STAGED),
    "the owner of a path": (YAML, "uid: 901, gid: 901}\n", "uid: 901, gid: 0}\n", ONLY_STAGED),
    "another account": (YAML, "gid: 901}]", "gid: 901}, {name: other, uid: 902, gid: 902}]", ONLY_STAGED),
    "the form of a mode": (YAML, '"0700"', '"700"', ()),
    "an argument in the manifest": (MANIFEST, '"/usr/sbin/server"', '"/usr/sbin/server", "-v"', ONLY_PACKED),
    "a space in the manifest": (MANIFEST, '"acKind": ', '"acKind":   ', ONLY_PACKED),
    "a pattern for all images": ("pyproject.toml", "keyring =", 'prune = ["etc/issue"]\nkeyring =', ONLY_STAGED),
    "a setting of the archive": ("pyproject.toml", "keyring =", 'expired = "warn"\nkeyring =', ()),
    "where the mirror is": ("pyproject.toml", "keyring =", 'mirror = "http://mirror.example"\nkeyring =', ()),
}
QUICK_EDITS = {"another pattern", "an argument in the manifest"}


@pytest.mark.parametrize(
    "edit", [pytest.param(name, marks=() if name in QUICK_EDITS else pytest.mark.slow) for name in EDITS]
)
def test_an_edit_does_again_what_depends_on_it_and_no_more(packed: Any, supply: Any, edit: str) -> None:
    file, old, new, ran = EDITS[edit]
    before = packed.aci("db").read_bytes()
    if edit == "the order of keys":
        packed.edit(YAML, "  prune: [usr/share/man]\n", "  prune: [usr/share/man]\n  packages: [server]\n")
    packed.edit(file, old, new)
    supply.mirror.close()
    assert packed.build("build:db").ran == ran
    assert (packed.aci("db").read_bytes() == before) == ("pack-aci:db" not in ran or edit == "a space in the manifest")
    assert packed.build("build:db").ran == ()


def test_what_an_edit_changed_is_as_in_a_build_from_nothing(packed: Any, supply: Any, tmp_path: Path) -> None:
    packed.edit(YAML, "[usr/share/man]", "[usr/share/man, etc/issue]")
    packed.write("deploy/aci/db/rootfs/etc/motd", "this is db\n")
    packed.build("build:db")
    after = artefacts(packed)
    assert "build/rootfs/db/linux-amd64/etc/issue" not in after
    assert after["build/rootfs/db/linux-amd64/etc/motd"] == b"this is db\n"
    shutil.rmtree(packed.path("build"))
    packed.build()
    assert artefacts(packed) == after


def test_a_file_of_the_definition_replaces_that_of_a_package_and_is_told(packed: Any) -> None:
    packed.write("deploy/aci/db/rootfs/etc/server.conf", "port = 4321\n")
    ended = packed.build("build:db")
    assert ended.ran == ONLY_STAGED
    assert packed.read("build/rootfs/db/linux-amd64/etc/server.conf") == "port = 4321\n"
    assert ended.err == "note: deploy/aci/db/rootfs/etc/server.conf: replaces /etc/server.conf of server\n"
    shutil.rmtree(packed.path("deploy/aci/db/rootfs"))
    assert packed.build("build:db").ran == ONLY_STAGED
    assert packed.read("build/rootfs/db/linux-amd64/etc/server.conf") == "port = 1234\n"


@pytest.mark.parametrize(
    ("name", "ran"),
    [
        ("build/state/packages/db@linux-amd64.packages", OF_DB[:1]),
        ("build/rootfs/db/linux-amd64.files", OF_DB[1:2]),
        ("build/rootfs/db/linux-amd64.owners", OF_DB[1:2]),
        ("build/rootfs/db/linux-amd64/usr/sbin/server", OF_DB[1:2]),
        ("build/aci/db-1.0.0-linux-amd64.aci", OF_DB[2:3]),
        ("build/oci/db/linux-amd64/index.json", OF_DB[3:]),
    ],
)
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_what_is_not_as_it_was_built_is_built_again(packed: Any, name: str, ran: tuple[str, ...], how: str) -> None:
    packed.build()
    before, path = artefacts(packed), packed.path(name)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert set(ran) <= set(packed.build().ran) <= set(OF_DB)
    assert artefacts(packed) == before
    assert packed.build().ran == ()


# A lock made anew


def test_a_newer_version_in_the_lock_rebuilds_the_images_that_have_it(packed: Any, supply: Any) -> None:
    before = packed.aci("web").read_bytes()
    supply.server("1.0-2")
    supply.archive.publish()
    assert packed.build().ran == (), "what there is elsewhere changes no image"
    packed.build("lock")
    assert sorted(packed.build().ran) == ["fetch-packages:db", "fetch-packages:web", *OF_DB[1:]]
    assert packed.read("build/rootfs/db/linux-amd64/usr/sbin/server") == "server 1.0-2 for amd64\n"
    assert packed.aci("web").read_bytes() == before


def test_a_lock_that_changes_for_one_platform_leaves_the_others_alone(packed: Any, supply: Any) -> None:
    packed.build("release:db")
    before = artefacts(packed)
    supply.server("1.0-2", ("arm64",))
    supply.archive.publish()
    packed.build("lock:db")
    assert packed.build("build:db").ran == ("fetch-packages:db",)
    assert artefacts(packed) == before
    ran = packed.build("release:db").ran
    joined = ("archive-oci:db@linux-arm64", "index-oci:db")
    assert sorted(ran) == sorted([*(f"{name}@linux-arm64" for name in OF_DB), *joined])
    staged = packed.read("build/rootfs/db/linux-arm64/usr/sbin/server")
    assert staged == "server 1.0-2 for arm64\n"
    of_all = ("build/oci/db/blobs/", "build/oci/db/index.json")
    changed = {name for name in changed_files(before, artefacts(packed)) if "arm64" not in name}
    assert {name for name in changed if not name.startswith(of_all)} == set()


def changed_files(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_going_back_to_an_older_lock_gives_the_bytes_it_gave_before(packed: Any, supply: Any) -> None:
    before, lock = artefacts(packed), packed.read(DB)
    supply.server("1.0-2")
    supply.archive.publish()
    packed.build("lock:db")
    packed.build()
    assert artefacts(packed) != before
    packed.write(DB, lock)
    supply.mirror.close()
    assert packed.build().ran == OF_DB
    assert artefacts(packed) == before


def test_a_version_that_the_mirror_has_no_more_is_built_from_the_store(packed: Any, supply: Any) -> None:
    before = artefacts(packed)
    for pin in [pin for pin in supply.archive._stanzas if pin.name == "server"]:
        supply.archive.remove_package(pin)
    supply.server("1.0-2")
    supply.archive.publish()
    shutil.rmtree(packed.path("build"))
    packed.build()
    assert artefacts(packed) == before


def test_a_version_that_the_mirror_has_no_more_comes_from_a_snapshot(locked: Any, supply: Any, tmp_path: Path) -> None:
    """A snapshot has each repository as it was at the date of the index that the lock names."""
    shutil.copytree(
        supply.archive.folder / "debian", supply.archive.folder / "snapshots/debian/20260102T030405Z", symlinks=True
    )
    for pin in [pin for pin in supply.archive._stanzas if pin.name == "server"]:
        supply.archive.remove_package(pin)
    supply.archive.publish(date=LATER)
    locked.build("build:db", PROCESSION_DEBIAN_SNAPSHOT=f"{supply.archive.url}/snapshots")
    server = "pool/main/s/server/server_1.0-1_amd64.deb"
    assert f"/debian/{server}" in supply.mirror.requests
    assert f"/snapshots/debian/20260102T030405Z/{server}" in supply.mirror.requests


# What is in an image


def test_an_image_holds_what_its_packages_ship_and_its_definition_says(packed: Any) -> None:
    with tarfile.open(packed.aci("db")) as archive:
        members = {member.name: member for member in archive}
        content = {
            name: archive.extractfile(member).read().decode() for name, member in members.items() if member.isfile()
        }
    assert content["rootfs/usr/sbin/server"] == "server 1.0-1 for amd64\n"
    assert content["rootfs/etc/issue"] == "sample\n"
    assert content["rootfs/etc/passwd"] == (
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        "server:x:901:901::/nonexistent:/usr/sbin/nologin\n"
    )
    assert {name for name in members if "share/man" in name or "adduser" in name} == set(), "pruned, and omitted"
    of_server = members["rootfs/var/lib/server"]
    assert (of_server.isdir(), of_server.mode, of_server.uid, of_server.gid) == (True, 0o700, 901, 901)
    assert members["rootfs/usr/sbin/server"].mode == 0o755
    assert {(member.uid, member.gid) for name, member in members.items() if name != "rootfs/var/lib/server"} == {(0, 0)}
    for package in ("base", "libserver", "server"):
        assert f"Package: {package}\n" in content[f"rootfs/var/lib/dpkg/status.d/{package}"]
        assert content[f"rootfs/usr/share/doc/{package}/copyright"] == f"of {package}\n"


def test_an_image_for_another_platform_has_its_packages_and_says_so(packed: Any) -> None:
    ran = packed.build("release:db").ran
    joined = ("archive-oci:db", "archive-oci:db@linux-arm64", "index-oci:db")
    assert sorted(ran) == sorted([*(f"{name}@linux-arm64" for name in OF_DB), *joined])
    with tarfile.open(packed.aci("db", "linux-arm64")) as archive:
        labels = json.load(archive.extractfile("manifest"))["labels"]
        assert archive.extractfile("rootfs/usr/sbin/server").read() == b"server 1.0-1 for arm64\n"
        assert "rootfs/usr/lib/libserver.arm64" in archive.getnames()
    assert {label["name"]: label["value"] for label in labels}["arch"] == "aarch64"
    assert packed.build("release:db").ran == ()


def test_a_go_program_and_packages_can_be_in_one_image(packed: Any, new_workspace: Any) -> None:
    new_workspace.add_service(packed, "api")
    packed.edit(YAML, "debian:\n", "go: {package: ./cmd/api, binary: /usr/bin/api}\ndebian:\n")
    packed.edit(MANIFEST, '"/usr/sbin/server"', '"/usr/bin/api"')
    ran = packed.build("build:db").ran
    assert set(ran) == {"go-inputs:db", "go-compile:db", "inject-packages:db", "pack-aci:db", "pack-oci:db"}
    tree = packed.path("build/rootfs/db/linux-amd64")
    assert (tree / "usr/bin/api").read_bytes() == packed.path("build/bin/linux-amd64/api").read_bytes()
    assert (tree / "usr/sbin/server").is_file()
    packed.edit("services/internal/apionly/api.go", '"apionly"', '"edited"')
    assert set(packed.build("build:db").ran) == set(ran)
    packed.edit(YAML, "[usr/share/man]", "[usr/share/man, etc/issue]")
    assert packed.build("build:db").ran == ONLY_STAGED


# Questions


def test_validate_and_list_start_nothing_connect_to_nothing_and_write_nothing(
    locked: Any, audit: Any, written: Any
) -> None:
    with written(locked.root) as names:
        listed = locked.build("list", "--all", "--deps", **audit.environment).out
        validated = locked.build("validate", **audit.environment)
    assert " -  deploy/aci/db/packages.lock.yaml\n" in listed
    assert sorted(validated.out.splitlines()) == ["deploy/aci/db: ok", "deploy/aci/web: ok"]
    assert audit.events() == ["watching", "watching"]
    assert names == set()


def test_list_and_info_lead_to_the_packages(packed: Any) -> None:
    told = ["base 1.0-1 all", "libserver 1.0-1 amd64", "server 1.0-1 amd64"]
    listed = packed.build("list", "--deps", "inject-packages:db").out
    assert [line.removeprefix(" -  ") for line in listed.splitlines() if re.search(r" (all|amd64)$", line)] == told
    for task in ("fetch-packages:db", "inject-packages:db"):
        assert "\nsources    : \n" + "".join(f" - {line}\n" for line in told) in packed.build("info", task).out


def test_info_tells_why_packages_would_be_fetched_or_staged(packed: Any, supply: Any) -> None:
    supply.archive.publish(date=LATER)
    packed.build("lock:db")
    packed.edit(YAML, "[usr/share/man]", "[usr/share/man, etc/issue]")
    for task, why in (("fetch-packages:db", f"    - {DB}\n"), ("inject-packages:db", " * --prune etc/issue was added")):
        ended = packed.doit("info", task)
        assert ended.status == 1
        assert "\nstatus     : run\n * " in ended.out
        assert why in ended.out


def test_sizes_tell_what_each_package_takes_and_add_up(packed: Any) -> None:
    lines = packed.build("sizes:web").out.splitlines()
    assert lines[0] == "web for linux-amd64: 0.0 MB in 13 files"
    assert [line.split()[-1] for line in lines[1:]] == ["libserver", "page", "base", "accounts"]
    assert sum(int(line.split()[2]) for line in lines[1:]) == 13


def test_sizes_are_those_of_the_staged_files_largest_first(locked: Any, supply: Any) -> None:
    supply.package("data", files={"srv/data": bytes(3_456_789), "srv/more": bytes(1000)})
    supply.package("page", "1.0-2", depends="data", files={"usr/bin/page": bytes(1_200_000)})
    supply.archive.publish()
    locked.build("lock:web")
    assert locked.build("sizes:web").ran == OF_WEB[:2]
    lines = locked.build("sizes:web").out.splitlines()
    files = [path for path in locked.path("build/rootfs/web/linux-amd64").rglob("*") if path.is_file()]
    total = sum(path.stat().st_size for path in files)
    assert lines[0] == f"web for linux-amd64: {total / 1e6:.1f} MB in {len(files)} files"
    assert [re.split(r" +", line.strip()) for line in lines[1:3]] == [
        ["3.46", "MB", "4", "files", "data"],
        ["1.20", "MB", "3", "files", "page"],
    ]


def test_clean_leaves_the_locks_and_the_store(packed: Any, supply: Any) -> None:
    before, locks = artefacts(packed), {name: packed.read(name) for name in (DB, WEB)}
    packed.write("build/rootfs/db/mine", "kept\n")
    packed.build("clean")
    left = {name for name in packed.files("build") if not name.startswith("build/state/")}
    assert left == {"build/.gitignore", "build/rootfs/db/mine"}
    assert not packed.path("build/rootfs/web").exists(), "empty folders go too"
    assert {name: packed.read(name) for name in (DB, WEB)} == locks
    packed.path("build/rootfs/db/mine").unlink()
    supply.mirror.close()
    assert sorted(packed.build().ran) == sorted(OF_DB + OF_WEB)
    assert artefacts(packed) == before


def test_cleaning_one_image_leaves_the_other(packed: Any) -> None:
    packed.build("clean", "build:db")
    assert packed.aci("web").is_file()
    assert [name for name in artefacts(packed) if "/db" in name] == []
    assert packed.build().ran == OF_DB


def test_a_finished_image_is_what_its_packages_and_definition_say(packed: Any) -> None:
    ended = packed.build("verify:db")
    aci, oci = ended.out.splitlines()
    assert re.fullmatch(r"build/aci/db-1\.0\.0-linux-amd64\.aci: ok, sha512-[0-9a-f]{128}", aci)
    assert re.fullmatch(r"build/oci/db/linux-amd64: ok, sha256:[0-9a-f]{64}", oci)


def test_the_reference_tool_takes_images_of_packages(packed: Any, actool: str) -> None:
    for image in ("db", "web"):
        ended = subprocess.run([actool, "--debug", "validate", str(packed.aci(image))], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        assert "valid app container image" in ended.stdout + ended.stderr
