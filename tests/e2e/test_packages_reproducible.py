"""The same pins give the same bytes: whoever builds them, wherever, from whatever store and mirror."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ARTEFACTS = ("build/aci", "build/oci", "build/rootfs", "build/state/packages")
NOBODY = 65534
ENVIRONMENTS = {
    "a time zone": {"TZ": "Pacific/Kiritimati"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "another locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "LANGUAGE": "tr"},
    "a hash seed": {"PYTHONHASHSEED": "1"},
    "another hash seed": {"PYTHONHASHSEED": "4294967295"},
    "settings of apt and dpkg": {"APT_CONFIG": "/nonexistent", "DPKG_ROOT": "/nonexistent", "DEB_HOST_ARCH": "s390x"},
    "another home": {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent", "GNUPGHOME": "/nonexistent"},
}
RICH_IMAGE = """\
debian:
  packages: [rich]
platforms: [linux/amd64]
accounts:
  users: [{name: mail, uid: 8, gid: 8}]
"""

_expected: dict[str, bytes] = {}


def member(name: str, content: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


# What a tree on a disk can have only where root made it.
RICH = (
    member("./usr/bin/", type=tarfile.DIRTYPE, mode=0o755),
    member("./usr/bin/mail", b"#!/bin/sh\n", mode=0o4755),
    member("./usr/bin/lock", b"of a group", mode=0o2755, gid=8),
    member("./usr/bin/again", type=tarfile.LNKTYPE, linkname="./usr/bin/mail", mode=0o4755),
    member("./usr/bin/link", type=tarfile.SYMTYPE, linkname="mail", mode=0o777),
    member("./var/mail/", type=tarfile.DIRTYPE, mode=0o2775, gid=8),
    member("./var/mail/box", b"mine", mode=0o600, uid=8, gid=8, mtime=1_700_000_000),
    member("./var/tmp/", type=tarfile.DIRTYPE, mode=0o1777),
    member("./etc/unreadable", b"", mode=0),
    member("./usr/sbin/ping", b"ping", mode=0o755, pax_headers={"SCHILY.xattr.user.sample": "a value"}),
    member("./srv/ü/\udcff", b"a name that is not UTF-8"),
)


@pytest.fixture
def rich(supply: Any, locked: Any) -> Any:
    """The repository, with an image that holds what only root could make on a disk."""
    supply.handmade("rich", *RICH)
    supply.image(locked, "rich", "/usr/bin/mail", "mail", RICH_IMAGE)
    locked.build("lock:rich")
    return locked


@pytest.fixture
def expected(supply: Any, rich: Any, tmp_path: Path) -> dict[str, bytes]:
    """What a build in a plain place gives."""
    if not _expected:
        plain = copied(supply, rich, tmp_path / "plain")
        plain.build(PROCESSION_CACHE_DIR=str(tmp_path / "plain-cache"))
        _expected.update(plain.files(*ARTEFACTS))
    return dict(_expected)


def copied(supply: Any, workspace: Any, root: Path) -> Any:
    """Copy the definitions and locks of a repository, as a checkout has them."""
    other = supply.repository(root)
    shutil.copytree(workspace.path("deploy"), other.path("deploy"), dirs_exist_ok=True)
    return other


@pytest.fixture
def umask() -> Iterator[Any]:
    """Set the umask until the test ends."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def assert_same(workspace: Any, expected: dict[str, bytes]) -> None:
    got = workspace.files(*ARTEFACTS)
    assert got.keys() == expected.keys()
    assert [name for name in got if got[name] != expected[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment_does_not_leak_in(rich: Any, expected: dict[str, bytes], name: str) -> None:
    rich.build(**ENVIRONMENTS[name])
    assert_same(rich, expected)
    assert rich.build().ran == (), "and what was built in it is as good without it"


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder", ["r", "a/folder/with a space/and-a-rather-long-name-of-its-own-for-a-repository/ü"], ids=["short", "long"]
)
def test_the_folders_of_repository_and_store_do_not_matter(
    supply: Any, rich: Any, expected: dict[str, bytes], tmp_path: Path, folder: str
) -> None:
    other = copied(supply, rich, tmp_path / folder)
    other.build(PROCESSION_CACHE_DIR=str(tmp_path / folder / "store of ü"))
    assert_same(other, expected)


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002], ids=oct)
def test_the_umask_does_not_matter(
    supply: Any, rich: Any, expected: dict[str, bytes], umask: Any, tmp_path: Path, mask: int
) -> None:
    umask(mask)
    other = copied(supply, rich, tmp_path / "masked")
    other.build()
    assert_same(other, expected)


@pytest.mark.slow
def test_a_cold_store_and_a_warm_one_give_the_same_bytes(supply: Any, rich: Any, expected: dict[str, bytes]) -> None:
    for gone in (None, "build", "build", "cache/debian/unpacked"):
        if gone:
            shutil.rmtree(rich.root.parent / gone if gone.startswith("cache") else rich.path(gone))
        rich.build("-a")
        assert_same(rich, expected)


@pytest.mark.slow
def test_the_mirror_and_the_way_its_packages_come_do_not_matter(
    supply: Any, rich: Any, expected: dict[str, bytes], tmp_path: Path
) -> None:
    rich.build(PROCESSION_DEBIAN_MIRROR=f"file://{supply.archive.folder}", PROCESSION_CACHE_DIR=str(tmp_path / "other"))
    assert_same(rich, expected)


@pytest.mark.slow
def test_locks_made_in_two_places_are_the_same(supply: Any, rich: Any, tmp_path: Path, umask: Any) -> None:
    rich.build("lock")
    umask(0o077)
    other = copied(supply, rich, tmp_path / "another/place")
    names = [f"deploy/aci/{image}/packages.lock.yaml" for image in ("db", "rich", "web")]
    for name in names:
        other.path(name).unlink()
    other.build(
        "lock",
        PROCESSION_DEBIAN_MIRROR=f"file://{supply.archive.folder}",
        PROCESSION_CACHE_DIR=str(tmp_path / "other"),
        TZ="Asia/Tokyo",
        LC_ALL="C",
        PYTHONHASHSEED="7",
    )
    assert [other.read(name) for name in names] == [rich.read(name) for name in names]


@pytest.mark.slow
def test_a_release_for_every_platform_is_the_same_in_two_places(supply: Any, locked: Any, tmp_path: Path) -> None:
    locked.build("release", LC_ALL="C", TZ="UTC")
    other = copied(supply, locked, tmp_path / "another/place")
    other.build(
        "release", LC_ALL="C.UTF-8", TZ="Asia/Tokyo", PYTHONHASHSEED="7", PROCESSION_CACHE_DIR=str(tmp_path / "other")
    )
    assert locked.aci("db", "linux-arm64").is_file()
    assert_same(other, locked.files(*ARTEFACTS))


@pytest.mark.slow
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_another_user_gets_the_same_bytes(
    supply: Any, rich: Any, expected: dict[str, bytes], needed: Any, *, warm: bool
) -> None:
    setpriv = needed("setpriv")
    if os.getuid() != 0:
        pytest.skip("setpriv needs root to become another user")
    with tempfile.TemporaryDirectory() as made:  # pytest's own folders are closed to others
        folder = Path(made)
        folder.chmod(0o755)
        shutil.copytree(rich.root, folder / "of-nobody", ignore=shutil.ignore_patterns("build"))
        (folder / "of-nobody/build").mkdir()
        shutil.copyfile(rich.path("build/.gitignore"), folder / "of-nobody/build/.gitignore")
        shutil.copyfile(supply.archive.keyring, folder / "keyring.gpg")
        for path in (folder / "of-nobody", *(folder / "of-nobody").rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        if warm:  # and of root
            rich.build()
            shutil.copytree(supply.cache, folder / "cache")
        else:
            (folder / "cache").mkdir()
            os.chown(folder / "cache", NOBODY, NOBODY)
        rich.root = folder / "of-nobody"
        rich.edit("pyproject.toml", str(supply.archive.keyring), str(folder / "keyring.gpg"))
        ended = subprocess.run(
            [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable, "-m", "doit"],
            cwd=rich.root,
            env=rich.environment | {"HOME": str(folder), "PROCESSION_CACHE_DIR": str(folder / "cache")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if ended.returncode == 126 or "Permission denied" in ended.stderr.partition("\n")[0]:
            pytest.skip(f"the Python of the tests is closed to other users: {ended.stderr.strip()}")
        assert ended.returncode == 0, ended.stderr
        assert rich.path("build/aci").stat().st_uid == NOBODY
        assert_same(rich, expected)


# What is in the archive


def test_modes_owners_and_hard_links_come_out_as_they_are_in_the_package(rich: Any, needed: Any) -> None:
    """As tar tells them, on the disk all belongs to whoever builds."""
    rich.build("build:rich")
    tree = rich.path("build/rootfs/rich/linux-amd64")
    assert {path.lstat().st_uid for path in tree.rglob("*")} == {os.getuid()}
    assert {path.lstat().st_mode & 0o7000 for path in tree.rglob("*")} == {0}
    listed = subprocess.run(
        [needed("tar"), "--numeric-owner", "--quoting-style=escape", "-tvf", rich.aci("rich")],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "TZ": "UTC", "LC_ALL": "C"},
    ).stdout
    lines = [line.split() for line in listed.splitlines()]
    told = {line[5].removeprefix("rootfs/"): (line[0], line[1], " ".join(line[6:])) for line in lines}
    assert {
        name: told[name] for name in told if name.startswith(("usr/bin", "var/mail", "var/tmp", "etc/un", "srv"))
    } == {
        "usr/bin": ("drwxr-xr-x", "0/0", ""),
        "usr/bin/again": ("-rwsr-xr-x", "0/0", ""),
        "usr/bin/link": ("lrwxrwxrwx", "0/0", "-> mail"),
        "usr/bin/lock": ("-rwxr-sr-x", "0/8", ""),
        "usr/bin/mail": ("hrwsr-xr-x", "0/0", "link to rootfs/usr/bin/again"),
        "var/mail": ("drwxrwsr-x", "0/8", ""),
        "var/mail/box": ("-rw-------", "8/8", ""),
        "var/tmp": ("drwxrwxrwt", "0/0", ""),
        "etc/unreadable": ("----------", "0/0", ""),
        "srv": ("drwxr-xr-x", "0/0", ""),
        "srv/\\303\\274": ("drwxr-xr-x", "0/0", ""),
        "srv/\\303\\274/\\377": ("-rw-r--r--", "0/0", ""),
    }
    assert {line[3] for line in lines} == {"1970-01-01"}


@pytest.mark.slow
def test_extended_attributes_come_out_as_they_are_in_the_package(rich: Any) -> None:
    rich.build("build:rich")
    with tarfile.open(rich.aci("rich")) as archive:
        records = {info.name: info.pax_headers for info in archive if "ping" in info.name}
    assert records == {"rootfs/usr/sbin/ping": {"SCHILY.xattr.user.sample": "a value"}}


@pytest.mark.slow
def test_what_tar_unpacks_is_what_dpkg_unpacks(supply: Any, rich: Any, needed: Any, tmp_path: Path) -> None:
    """dpkg-deb is the judge of files, modes, owners and links; the archive's times are its own."""
    if os.getuid() != 0:
        pytest.skip("tar needs root to make files of others")
    rich.build("build:rich")
    deb = next((supply.archive.folder / "debian/pool/main/r/rich").iterdir())
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    subprocess.run([needed("tar"), "-xpf", rich.aci("rich"), "-C", ours, "--numeric-owner"], check=True)
    subprocess.run([needed("dpkg-deb"), "-x", deb, theirs], check=True)
    assert looked_at(theirs).items() <= looked_at(ours / "rootfs").items()


def looked_at(folder: Path) -> dict[bytes, tuple[Any, ...]]:
    found = {}
    for path in folder.rglob("*"):
        stat = path.lstat()
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        name = os.fsencode(path.relative_to(folder))
        found[name] = (stat.st_mode, stat.st_uid, stat.st_gid, what, stat.st_nlink if path.is_file() else 0)
    return found


@pytest.mark.slow
def test_the_reference_tool_takes_every_platform(supply: Any, rich: Any, actool: str) -> None:
    rich.build("release")
    images = sorted(rich.path("build/aci").glob("*.aci"))
    assert len(images) == 5
    for image in images:
        ended = subprocess.run([actool, "--debug", "validate", str(image)], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        assert "valid app container image" in ended.stdout + ended.stderr


@pytest.mark.slow
def test_another_source_date_changes_the_times_and_nothing_else(supply: Any, rich: Any, tmp_path: Path) -> None:
    rich.build("build:rich", SOURCE_DATE_EPOCH="1700000000", TZ="America/St_Johns")
    dated = rich.aci("rich").read_bytes()
    with tarfile.open(rich.aci("rich")) as archive:
        assert {info.mtime for info in archive} == {1_700_000_000}
    assert rich.build("build:rich").ran == ("pack-aci:rich", "pack-oci:rich")
    assert rich.aci("rich").read_bytes() != dated
    other = copied(supply, rich, tmp_path / "another/place")
    other.build("build:rich", SOURCE_DATE_EPOCH="1700000000")
    assert other.aci("rich").read_bytes() == dated
