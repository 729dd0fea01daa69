"""What is staged on disk, and the lists beside it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.definition.model import NO_ACCOUNTS, Accounts, User
from procession_tasks.definition.model import Path as Declared
from procession_tasks.errors import BuildError
from procession_tasks.image.tarball import write_tree
from procession_tasks.rootfs import tree
from procession_tasks.rootfs.content import Range
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.stage import image_sources, stage
from procession_tasks.rootfs.tree import Entry


def ranged(folder: Path, whole: bytes, offset: int, size: int, digest: str = "") -> Range:
    data = folder / "x.data"
    data.write_bytes(whole)
    return Range(data, offset, size, digest or hashlib.sha256(whole[offset : offset + size]).hexdigest())


def one(path: str, content: Any, mode: int = 0o644) -> dict[str, Source]:
    return {path: Source(Entry(path, "file", mode), f"etcd-server: /{path}", content, "etcd-server")}


def staged(folder: Path, sources: dict[str, Source]) -> dict[str, Entry]:
    stage(sources, folder / "tree", folder / "tree.files", folder / "tree.owners")
    return {entry.path: entry for entry in tree.parse((folder / "tree.files").read_bytes())}


@pytest.mark.parametrize(("offset", "size"), [(0, 3), (2, 5), (7, 0), (0, 2_500_000), (1_048_575, 1_048_577)])
def test_a_range_of_the_store_is_copied(tmp_path: Path, offset: int, size: int) -> None:
    whole = bytes(i % 251 for i in range(2_500_000))
    entries = staged(tmp_path, one("etcd", ranged(tmp_path, whole, offset, size), 0o4755))
    assert (tmp_path / "tree/etcd").read_bytes() == whole[offset : offset + size]
    assert entries["etcd"].size == size
    assert entries["etcd"].digest == hashlib.sha256(whole[offset : offset + size]).hexdigest()
    assert entries["etcd"].mode == 0o4755
    assert (tmp_path / "tree/etcd").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize("damage", ["changed", "short", "gone", "link"])
def test_a_store_that_is_damaged_is_told_and_leaves_what_was_there(tmp_path: Path, damage: str) -> None:
    staged(tmp_path, one("old", b"old"))
    content = ranged(tmp_path, b"0123456789", 2, 6)
    data = content.path
    if damage == "changed":
        data.write_bytes(b"0123X56789")
    elif damage == "short":
        data.write_bytes(b"0123")
    else:
        data.rename(tmp_path / "elsewhere")
        if damage == "link":
            data.symlink_to("elsewhere")
    with pytest.raises(BuildError) as caught:
        staged(
            tmp_path,
            one("usr/bin/etcd", content)
            | {
                "usr": Source(Entry("usr", "directory", 0o755), ""),
                "usr/bin": Source(Entry("usr/bin", "directory", 0o755), ""),
            },
        )
    assert str(caught.value).startswith("etcd-server: /usr/bin/etcd: ")
    if damage in ("changed", "short"):
        assert "must be what was unpacked from the package, byte for byte, got sha256 " in str(caught.value)
        assert caught.value.hint == f"rm {data}, which is then unpacked anew"
    assert os.listdir(tmp_path / "tree") == ["old"]
    assert not (tmp_path / "tree.files").exists()
    assert not (tmp_path / ".tree.part").exists()


def test_hard_links_are_listed_with_the_file_before_them_and_can_be_packed(tmp_path: Path) -> None:
    sources = one("b", b"perl") | {"c": Source(Entry("c", "hardlink", 0o644, link="b"), "", None, "perl")}
    entries = staged(tmp_path, sources)
    assert entries["c"] == Entry("c", "hardlink", 0o644, link="b")
    assert (tmp_path / "tree/b").stat().st_ino == (tmp_path / "tree/c").stat().st_ino
    with (tmp_path / "tar").open("wb") as out:
        write_tree(out, entries.values(), tmp_path / "tree", mtime=0)


def test_the_owners_are_listed_with_the_same_names_and_order_as_the_files(tmp_path: Path) -> None:
    names = ["a b", "a", "a.b", "caf\udce9", "z\\"]
    sources = {
        name: Source(Entry(name, "file", 0o644), "", b"", f"owner-{number}") for number, name in enumerate(names)
    }
    staged(tmp_path, sources)
    lines = (tmp_path / "tree.owners").read_bytes().splitlines()
    assert [line.split(b" ")[1] for line in lines] == [
        line.split(b" ")[6] for line in (tmp_path / "tree.files").read_bytes().splitlines()
    ]
    assert tree.parse_owners((tmp_path / "tree.owners").read_bytes()) == {
        name: f"owner-{number}" for number, name in enumerate(names)
    }


def test_a_list_of_owners_is_written_only_when_asked_for(tmp_path: Path) -> None:
    stage(one("a", b""), tmp_path / "tree", tmp_path / "tree.files")
    assert sorted(os.listdir(tmp_path)) == ["tree", "tree.files"]


def test_the_umask_has_no_say(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        staged(tmp_path, one("d/f", b"", 0o755) | {"d": Source(Entry("d", "directory", 0o700), "")})
    finally:
        os.umask(old)
    assert [(tmp_path / "tree" / path).stat().st_mode & 0o777 for path in ("d", "d/f")] == [0o755, 0o755]


def test_the_parts_of_a_definition_own_their_paths(tmp_path: Path) -> None:
    (tmp_path / "rootfs/etc").mkdir(parents=True)
    (tmp_path / "rootfs/etc/motd").touch()
    paths = [Declared("tmp", "directory", 0o1777), Declared("l", "symlink", target="etc")]
    sources = image_sources(
        Accounts((User("app", 1, 1),)), paths, "deploy", tmp_path / "rootfs", [("bin/app", tmp_path / "app")]
    )
    assert {path: source.owner for path, source in sources.items()} == {
        "bin": "go",
        "bin/app": "go",
        "etc": "rootfs",
        "etc/motd": "rootfs",
        "etc/passwd": "accounts",
        "etc/group": "accounts",
        "l": "paths",
        "tmp": "paths",
    }


def test_all_files_that_are_declared_and_not_there_are_told(tmp_path: Path) -> None:
    paths = [Declared("b", "file", 0o600), Declared("a", "file", 0o600)]
    with pytest.raises(BuildError) as caught:
        image_sources(NO_ACCOUNTS, paths, "deploy", tmp_path / "rootfs", [])
    assert [line[-2:] for line in str(caught.value).splitlines()[::2]] == ["/a", "/b"]
