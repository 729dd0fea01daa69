"""Files that are whole or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import xxhash

from procession_tasks import files


def test_a_file_appears_with_its_folders_when_it_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    with files.atomic(path) as stream:
        stream.write(b"half")
        assert not path.exists()
        stream.write(b" and whole")
    assert path.read_bytes() == b"half and whole"
    assert os.listdir(path.parent) == ["file"]


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_what_fails_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(error), files.atomic(path) as stream:
        stream.write(b"half")
        raise error
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["file"]


def test_what_a_killed_run_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".file.part").write_bytes(b"a longer piece from before")
    files.write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_a_reader_keeps_the_file_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, b"before")
    with path.open("rb") as reader:
        files.write(path, b"after")
        assert reader.read() == b"before"


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert files.write_if_changed(path, b"one")
    before = path.stat()
    assert not files.write_if_changed(path, b"one")
    assert path.stat() == before
    assert files.write_if_changed(path, b"two")
    assert path.read_bytes() == b"two"


def test_a_folder_in_the_way_is_an_error_that_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        files.write(tmp_path / "file", b"text")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_all_is_written_however_little_the_system_takes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, piece: write(descriptor, piece[:4099]))
    with (tmp_path / "file").open("wb") as file:
        files.write_all(file.fileno(), content)
    assert (tmp_path / "file").read_bytes() == content


@pytest.mark.parametrize("size", [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 600_000])
def test_digests_are_those_of_the_whole_file(tmp_path: Path, size: int) -> None:
    path, content = tmp_path / "file", bytes(range(256)) * (size // 256 + 1)
    path.write_bytes(content[:size])
    assert files.xxh3(path) == xxhash.xxh3_128_hexdigest(content[:size])
    assert files.sha256(path) == hashlib.sha256(content[:size]).hexdigest()


def test_what_cannot_be_read_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.xxh3(tmp_path / "nothing")
    opened = os.listdir("/proc/self/fd")
    with pytest.raises(IsADirectoryError):
        files.xxh3(tmp_path)
    assert os.listdir("/proc/self/fd") == opened
