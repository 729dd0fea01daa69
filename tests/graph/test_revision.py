"""Where the tree of a revision is put, and that nothing is left of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.graph import inmemory, revision
from procession_tasks.graph.git import Git, repository
from procession_tasks.graph.inmemory import room
from procession_tasks.graph.revision import Tree, materialized


@contextmanager
def tree_of_head(git: Git, root: Path) -> Iterator[Tree]:
    with ThreadPoolExecutor() as pool, materialized(revision.ask("HEAD", git, pool), root) as tree:
        yield tree


MEGABYTE = 1024 * 1024


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that passes for one in memory."""
    folder = tmp_path / "memory"
    folder.mkdir()
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\ntmpfs {folder} tmpfs rw 0 0\n")
    monkeypatch.setattr(inmemory, "_MOUNTS", mounts)
    return folder


def free(monkeypatch: pytest.MonkeyPatch, size: int, inodes: int = 10_000, most_inodes: int = 20_000) -> None:
    system = SimpleNamespace(f_bavail=size // 4096, f_frsize=4096, f_favail=inodes, f_files=most_inodes)
    monkeypatch.setattr(os, "statvfs", lambda _: system)


def test_a_tree_goes_to_memory_where_there_is_room(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free(monkeypatch, 64 * MEGABYTE)
    assert room(100, MEGABYTE, {}, memory) == memory
    assert room(100, 32 * MEGABYTE, {}, memory) is None  # half of it is left to others
    assert room(4000, MEGABYTE, {}, memory) is None  # blocks, and names
    free(monkeypatch, 4096 * MEGABYTE)
    assert room(100, 300 * MEGABYTE, {}, memory) is None
    free(monkeypatch, 64 * MEGABYTE, inodes=0, most_inodes=0)
    assert room(100, MEGABYTE, {}, memory) == memory
    free(monkeypatch, 64 * MEGABYTE, inodes=100)
    assert room(100, MEGABYTE, {}, memory) is None


def test_a_place_that_was_chosen_is_used(memory: Path) -> None:
    assert room(1, 1, {"TMPDIR": "/var/tmp"}, memory) is None
    assert room(1, 1, {"TMPDIR": ""}, memory) == memory


@pytest.mark.parametrize("mounts", ["", "tmpfs {0} tmpfs rw 0 0\n/dev/vda {0} ext4 rw 0 0\n", "tmpfs /else tmpfs rw\n"])
def test_a_folder_on_a_disk_is_not_in_memory(memory: Path, mounts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inmemory._MOUNTS.write_text(mounts.format(memory))
    assert room(1, 1, {}, memory) is None
    monkeypatch.setattr(inmemory, "_MOUNTS", memory / "nowhere")
    assert room(1, 1, {}, memory) is None


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """A repository with one commit, of a file and a link."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    root = tmp_path / "repository"
    (root / "below").mkdir(parents=True)
    (root / "below/file").write_text("text\n")
    (root / "link").symlink_to("below/file")
    for words in (("init", "-q"), ("add", "-A"), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")):
        subprocess.run(["git", *words], cwd=root, check=True)
    return repository(root, {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ})


def test_a_tree_is_written_to_memory_and_removed(git: Git, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(revision, "room", lambda *extent: asked.append(extent[:2]) or memory)
    with tree_of_head(git, git.top / "below") as tree:
        assert tree.root.is_relative_to(memory.resolve())
        assert (tree.root / "file").read_text() == "text\n"
        assert os.readlink(tree.root.parent / "link") == "below/file"
    assert asked == [(2, len("text\n") + len("below/file"))]
    assert list(memory.iterdir()) == []


def test_what_is_not_here_any_more_needs_its_room(git: Git, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git is asked of that alone; what is here is about as large as it was."""
    asked: list[tuple[int, ...]] = []
    monkeypatch.setattr(revision, "room", lambda *extent: asked.append(extent[:2]) or memory)
    (git.top / "below/file").rename(git.top / "below/other")
    (git.top / "link").unlink()
    (git.top / "link").write_text("12345678")
    with tree_of_head(git, git.top):
        pass
    assert asked == [(2, len("text\n") + len("12345678"))]


@pytest.mark.parametrize("is_there", [True, False])
def test_where_memory_fails_the_disk_is_used(
    git: Git, memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    """Between the look and the writing somebody may fill it."""
    folder = memory if is_there else memory / "gone"
    (disk := tmp_path / "disk").mkdir()
    monkeypatch.setattr(revision, "room", lambda *_: folder)
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    full = tmp_path / "git"
    full.write_text(
        f'#!/bin/sh\ncase "$*" in *--prefix={folder}/*) mkdir "${{4#--prefix=}}"; exit 1;; esac\nexec git "$@"\n'
    )
    full.chmod(0o755)
    with tree_of_head(Git(str(full), git.top, git.environment), git.top) as tree:
        assert tree.root.is_relative_to(disk.resolve())
        assert (tree.root / "below/file").read_text() == "text\n"
        assert list(memory.iterdir()) == []
    assert list(disk.iterdir()) == []


def test_a_tree_that_git_cannot_give_leaves_nothing(git: Git, memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revision, "room", lambda *_: memory)
    blob = git.ask("rev-parse", "HEAD:below/file").stdout.decode().strip()
    (git.top / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(BuildError, match=r"^git checkout-index: "), tree_of_head(git, git.top):
        pass
    assert list(memory.iterdir()) == []
