"""What the verifier expects of packages is what the build makes of them, though neither knows the other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.debian.pin import Pin
from procession_tasks.debian.unpack import unpacked
from procession_tasks.definition.load import load_image
from procession_tasks.definition.model import Project
from procession_tasks.errors import BuildError
from procession_tasks.image.expected import expected
from procession_tasks.image.expected_packages import Packages
from procession_tasks.platform import Platform
from procession_tasks.rootfs import tree
from procession_tasks.rootfs.packages import Definition, Rules, package_sources
from procession_tasks.rootfs.stage import stage

PLATFORM = Platform("linux", "amd64")
IMAGE = """\
debian: {packages: [one]}
accounts: {users: [{name: app, uid: 901, gid: 901}]}
paths:
  - {path: /var/lib/app, type: directory, mode: "0700", uid: 901, gid: 901}
  - {path: /etc/one.conf, type: file, mode: "0600", uid: 901}
  - {path: /usr/bin/linked, type: symlink, target: one}
"""
MANIFEST = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "sample.example/one"}


class Store:
    """Packages built with dpkg-deb."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages: list[tuple[Pin, Path]] = []

    def add(self, name: str, files: dict[str, bytes], **more: Any) -> None:
        """Build a package; `links`, `repeats` (hard links), `folders` and `modes` are by path."""
        if shutil.which("dpkg-deb") is None:
            pytest.skip("dpkg-deb is not installed")
        root = self.folder / name
        files = {f"usr/share/doc/{name}/copyright": b"free\n"} | files
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            (root / path).chmod(0o644)
        for path in more.get("folders", ()):
            (root / path).mkdir(parents=True, exist_ok=True)
        for path, text in more.get("links", {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to(text)
        for path, first in more.get("repeats", {}).items():
            os.link(root / first, root / path)
        for path, mode in more.get("modes", {}).items():
            (root / path).chmod(mode)
        control = f"Package: {name}\nVersion: 1.0-1\nArchitecture: all\nMaintainer: A <a@b.example>\nDescription: one\n"
        (root / "DEBIAN").mkdir(parents=True)
        (root / "DEBIAN/control").write_text(control)
        sums = [f"{hashlib.md5(content).hexdigest()}  {path}\n" for path, content in sorted(files.items())]
        (root / "DEBIAN/md5sums").write_text("".join(sums))
        deb = self.folder / f"{name}.deb"
        command = ["dpkg-deb", "--root-owner-group", "-b", str(root), str(deb)]
        subprocess.run(command, check=True, capture_output=True)
        digest, size = hashlib.sha256(deb.read_bytes()).hexdigest(), deb.stat().st_size
        pin = Pin(name, "1.0-1", "all", name, "debian", "bookworm", f"pool/{name}.deb", size, digest)
        self.packages.append((pin, deb))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "deploy/aci/one"
    (folder / "rootfs/etc").mkdir(parents=True)
    (folder / "rootfs/etc/one.conf").write_text("of the definition\n")
    (folder / "manifest").write_text(json.dumps(MANIFEST))
    (folder / "image.yaml").write_text(IMAGE)
    return tmp_path


def made(store: Store, root: Path, waive: Any = None, **rules: Any) -> set[tuple[Any, ...]]:
    """What the build stages, as its list says."""
    image = load_image(root, Project(), "one")
    held = [(pin, unpacked(deb, pin, store.folder)) for pin, deb in store.packages]
    definition = Definition(image.folder, root / image.folder / "rootfs", image.file.accounts, image.file.paths)
    packaged = package_sources(held, Rules(waive=waive or {}, **rules), definition)
    stage(packaged.sources, root / "tree", root / "tree.files")
    entries = tree.parse((root / "tree.files").read_bytes())
    return {(e.path, e.type, e.mode, e.uid, e.gid, e.size, e.digest, e.link, e.xattrs) for e in entries}


def wanted(store: Store, root: Path, **rules: Any) -> set[tuple[Any, ...]]:
    """What the verifier expects."""
    packages = Packages(tuple(store.packages), **{name: tuple(patterns) for name, patterns in rules.items()})
    members = expected(load_image(root, Project(), "one"), root, PLATFORM, {}, 0, packages).members
    return {(m.path, m.type, m.mode, m.uid, m.gid, m.size, m.sha256, m.link, m.xattrs) for m in members}


def agreed(store: Store, root: Path, waive: Any = None, **rules: Any) -> dict[str, tuple[Any, ...]]:
    """See that both say the same, and return it by path."""
    got = made(store, root, waive, **rules)
    assert got == wanted(store, root, **rules)
    return {entry[0]: entry for entry in got}


CONF = {"etc/one.conf": b"of the package\n", "usr/bin/one": b"1"}


def test_paths_of_a_merged_usr(store: Store, repository: Path) -> None:
    store.add("base", {"bin/sh": b"sh", "lib/x/libc.so": b"c"}, folders=["sbin", "var/run", "var/lock", "empty"])
    store.add("one", {"usr/bin/one": b"1", "sbin/two": b"2"} | CONF, modes={"usr/bin/one": 0o4755})
    there = agreed(store, repository)
    assert there["sbin"][1:] == ("symlink", 0o777, 0, 0, 0, "", "usr/sbin", ())
    assert there["usr/bin/one"][2] == 0o4755
    assert {"usr/bin/sh", "usr/lib/x/libc.so", "usr/sbin/two", "empty", "usr/bin/linked"} <= there.keys()
    assert there["var/run"][7] == "/run"


def test_a_link_of_one_package_where_another_has_a_folder(store: Store, repository: Path) -> None:
    store.add("one", {"opt/real/a": b"a"} | CONF, links={"opt/link": "real"})
    store.add("two", {"opt/link/b": b"b", "opt/link/deep/c": b"c"})
    there = agreed(store, repository)
    assert {"opt/real/a", "opt/real/b", "opt/real/deep/c"} <= there.keys()
    assert there["opt/link"][1] == "symlink"


def test_hard_links_are_of_the_first_by_path(store: Store, repository: Path) -> None:
    files = {"usr/z": b"same", "usr/empty": b"", "usr/other": b"same"} | CONF
    store.add("one", files, repeats={"usr/a": "usr/z", "usr/m": "usr/z", "usr/empty2": "usr/empty"})
    there = agreed(store, repository)
    assert [there[f"usr/{name}"][1] for name in "amz"] == ["file", "hardlink", "hardlink"]
    assert there["usr/z"][7] == "usr/a"
    pruned = agreed(store, repository, prune=["usr/a"])
    assert [pruned[f"usr/{name}"][1] for name in "mz"] == ["file", "hardlink"]


@pytest.mark.parametrize(
    ("prune", "keep", "gone"),
    [
        (["usr/share/doc"], [], {"usr/share/doc", "usr/share/doc/one/copyright", "usr/share/doc/one/news"}),
        (["usr/share/doc"], ["usr/share/doc/*/copyright"], {"usr/share/doc/one/news"}),
        (["usr/share/doc/*/*"], [], {"usr/share/doc/one/copyright", "usr/share/doc/one", "usr/share/doc"}),
        (["**/*.gz"], [], {"usr/share/man/man1/one.1.gz", "usr/share/man/man1", "usr/share/man"}),
        (["usr/share/m[^b]n"], [], {"usr/share/man"}),
        (["usr/share/**"], [], {"usr/share/doc/one/copyright", "usr/share", "usr/share/man"}),
    ],
)
def test_what_is_pruned_goes_with_the_folders_it_empties(
    store: Store, repository: Path, prune: list[str], keep: list[str], gone: set[str]
) -> None:
    files = {"usr/share/doc/one/news": b"x", "usr/share/man/man1/one.1.gz": b"m"}
    store.add("one", files | CONF, folders=["var/empty"])
    waive = {"copyright": {"one"}} if "usr/share/doc/one/copyright" in gone else {}
    there = agreed(store, repository, waive, prune=prune, keep=keep)
    assert not gone & there.keys()
    assert {"usr/bin/one", "var/empty"} <= there.keys()


def test_what_the_definition_says_of_a_packages_paths(store: Store, repository: Path) -> None:
    store.add("one", {"var/lib/app/seed": b"s", "etc/passwd": b"root\n"} | CONF, modes={"var/lib/app": 0o750})
    there = agreed(store, repository)
    assert there["var/lib/app"][2:5] == (0o700, 901, 901)
    assert there["etc/one.conf"][2:4] == (0o600, 901)
    assert there["etc/one.conf"][6] == hashlib.sha256(b"of the definition\n").hexdigest()


def test_certificates_and_descriptions(store: Store, repository: Path) -> None:
    certificates = {f"usr/share/ca-certificates/x/{name}.crt": name.encode() for name in "ba"}
    store.add("one", certificates | {"usr/share/ca-certificates/x/c.crt": b"c\n"} | CONF)
    local = repository / "deploy/aci/one/rootfs/usr/local/share/ca-certificates"
    local.mkdir(parents=True)
    (local / "own.crt").write_bytes(b"own")
    there = agreed(store, repository)
    assert there["etc/ssl/certs/ca-certificates.crt"][6] == hashlib.sha256(b"a\nb\nc\nown\n").hexdigest()
    assert {"var/lib/dpkg/status.d/one", "var/lib/dpkg/status.d/one.md5sums"} <= there.keys()


def test_a_package_that_is_not_the_pinned_one_is_refused(store: Store, repository: Path) -> None:
    store.add("one", CONF)
    store.packages[0][1].write_bytes(b"something else")
    with pytest.raises(BuildError, match=r"must be one 1\.0-1 all to the byte"):
        wanted(store, repository)
    store.packages[0][1].unlink()
    with pytest.raises(BuildError, match=r"must be the package one 1\.0-1 all, got no file"):
        wanted(store, repository)
