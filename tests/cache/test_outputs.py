"""Outputs: what was made comes back as it was, and a result that lies writes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procession_tasks.cache import outputs, wire
from procession_tasks.cache.disk import Disk
from procession_tasks.cache.merkle import File, tree_of
from procession_tasks.cache.reapi import (
    ActionResult,
    Digest,
    Directory,
    DirectoryNode,
    FileNode,
    OutputDirectory,
    OutputFile,
    OutputSymlink,
    SymlinkNode,
    Tree,
    digest_of,
)
from procession_tasks.cache.remote import WrongBytesError

OUTPUTS = ("build/list", "build/tree", "build/program")


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    opened = Disk(tmp_path / "cache")
    opened.open()
    return opened


def make(root: Path) -> None:
    tree = root / "build/tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "bin").mkdir()
    (tree / "bin/tool").write_bytes(b"\x7fELF" * 1000)
    (tree / "bin/tool").chmod(0o755)
    (tree / "etc").symlink_to("/absolute/etc")
    (tree / "é").write_text("")
    (root / "build/list").write_text("a list")
    (root / "build/program").write_text("#!")
    (root / "build/program").chmod(0o755)


def keep(root: Path, disk: Disk) -> ActionResult:
    result, blobs = outputs.collect(root, OUTPUTS)
    for digest, blob in blobs.items():
        disk.accept(digest, blob.chunks())
    return result


def shape(root: Path) -> dict[str, tuple[str, object]]:
    found: dict[str, tuple[str, object]] = {}
    for path in sorted((root / "build").rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("folder", oct(path.stat().st_mode & 0o777))
        else:
            found[name] = (oct(path.stat().st_mode & 0o777), path.read_bytes())
    return found


def test_outputs_come_back_as_they_were(tmp_path: Path, disk: Disk) -> None:
    make(tmp_path / "one")
    result = keep(tmp_path / "one", disk)
    (tmp_path / "two").mkdir()

    outputs.restore(tmp_path / "two", OUTPUTS, result, disk)

    assert shape(tmp_path / "two") == shape(tmp_path / "one")


def test_what_was_there_before_gives_way(tmp_path: Path, disk: Disk) -> None:
    make(tmp_path)
    before = shape(tmp_path)
    result = keep(tmp_path, disk)
    (tmp_path / "build/tree/stale").write_text("")
    (tmp_path / "build/tree/bin/tool").unlink()
    (tmp_path / "build/list").unlink()
    (tmp_path / "build/list").mkdir()
    (tmp_path / "build/program").unlink()
    (tmp_path / "build/program").symlink_to("/etc/passwd")

    outputs.restore(tmp_path, OUTPUTS, result, disk)

    assert shape(tmp_path) == before


def test_the_first_output_is_missing_when_another_cannot_be_had(tmp_path: Path, disk: Disk) -> None:
    make(tmp_path)
    result = keep(tmp_path, disk)
    damaged = disk.path(digest_of(b"\x7fELF" * 1000))
    damaged.chmod(0o644)
    damaged.write_bytes(b"\x7fELF" * 999 + b"EVIL")

    with pytest.raises(WrongBytesError):
        outputs.restore(tmp_path, OUTPUTS, result, disk)

    assert not (tmp_path / "build/list").exists()
    assert not list((tmp_path / "build").glob(".*"))


def test_an_output_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        outputs.collect(tmp_path, OUTPUTS)


FILE = OutputFile("build/program", digest_of(b""))
FOLDER = OutputDirectory("build/tree", digest_of(b"tree"))
LIST = OutputFile("build/list", digest_of(b""))

WRONG = {
    "an output is missing": ActionResult(output_files=(FILE,), output_directories=(FOLDER,)),
    "an output too many": ActionResult(
        output_files=(FILE, LIST, OutputFile("/etc/cron.d/x", digest_of(b""))), output_directories=(FOLDER,)
    ),
    "another place": ActionResult(
        output_files=(OutputFile("../program", digest_of(b"")), LIST), output_directories=(FOLDER,)
    ),
    "the same twice": ActionResult(output_files=(FILE, FILE, LIST), output_directories=(FOLDER,)),
    "no digest of SHA-256": ActionResult(
        output_files=(OutputFile("build/program", Digest("/etc/passwd", 1)), LIST), output_directories=(FOLDER,)
    ),
    "a digest that leads out": ActionResult(
        output_files=(FILE, LIST), output_directories=(OutputDirectory("build/tree", Digest("../" * 9 + "x", 1)),)
    ),
    "no digest": ActionResult(output_files=(OutputFile("build/program"), LIST), output_directories=(FOLDER,)),
    "a link": ActionResult(
        output_files=(FILE, LIST), output_directories=(FOLDER,), output_symlinks=(OutputSymlink("x", "/"),)
    ),
    "a failure": ActionResult(output_files=(FILE, LIST), output_directories=(FOLDER,), exit_code=1),
    "nothing": ActionResult(),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_result_that_is_not_of_the_step_is_told(what: str) -> None:
    assert outputs.is_of(ActionResult(output_files=(FILE, LIST), output_directories=(FOLDER,)), OUTPUTS)
    assert not outputs.is_of(WRONG[what], OUTPUTS)


EVIL = {
    "a name that leads out": Tree(Directory(files=(FileNode("../../escaped", digest_of(b"")),))),
    "a digest that is a path": Tree(Directory(files=(FileNode("a", Digest("../../victim", 6)),))),
    "an absolute name": Tree(Directory(files=(FileNode("/escaped", digest_of(b"")),))),
    "a file through a link": Tree(
        Directory(
            directories=(DirectoryNode("a", digest_of(wire.encode(Directory()))),), symlinks=(SymlinkNode("a", "/tmp"),)
        ),
        (Directory(),),
    ),
    "a folder that is not there": Tree(Directory(directories=(DirectoryNode("a", digest_of(b"?")),))),
}


@pytest.mark.parametrize("what", EVIL)
def test_a_tree_that_lies_writes_nothing(what: str, tmp_path: Path, disk: Disk) -> None:
    tree = wire.encode(EVIL[what])
    disk.accept(digest_of(tree), [tree])
    result = ActionResult(output_directories=(OutputDirectory("build/tree", digest_of(tree)),))

    with pytest.raises(ValueError, match="tree|twice"):
        outputs.restore(tmp_path / "root", ("build/tree",), result, disk)

    assert not (tmp_path / "root").exists()
    assert not (tmp_path / "escaped").exists()


def test_all_contents_of_a_result_are_named(tmp_path: Path, disk: Disk) -> None:
    make(tmp_path)
    result = keep(tmp_path, disk)
    named = outputs.direct(result) | outputs.indirect(outputs.trees(result, disk))
    assert named == outputs.collect(tmp_path, OUTPUTS)[1].keys()


def test_bytes_that_are_no_tree_are_refused(disk: Disk) -> None:
    disk.accept(digest_of(b"\xff"), [b"\xff"])
    with pytest.raises(ValueError, match="short"):
        outputs.trees(ActionResult(output_directories=(OutputDirectory("a", digest_of(b"\xff")),)), disk)


def test_equal_outputs_are_equal_results(tmp_path: Path) -> None:
    make(tmp_path / "one")
    make(tmp_path / "two")
    assert outputs.collect(tmp_path / "one", OUTPUTS)[0] == outputs.collect(tmp_path / "two", OUTPUTS[::-1])[0]
    assert tree_of({"a": File(digest_of(b""))}) == tree_of({"a": File(digest_of(b""))})
