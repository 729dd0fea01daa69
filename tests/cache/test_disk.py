"""The cache on this machine: whole files or none, verified when read, kept within its size."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from procession_tasks.cache import entry, inspect, wire
from procession_tasks.cache.collect import collect, collect_garbage, held
from procession_tasks.cache.disk import Disk
from procession_tasks.cache.reapi import EMPTY, ActionResult, Digest, OutputFile, digest_of
from procession_tasks.cache.remote import WrongBytesError

CONTENT = b"content" * 100
DIGEST = digest_of(CONTENT)
KEY = digest_of(b"action")
RESULT = entry.bound(ActionResult(output_files=(OutputFile("out", DIGEST),)), KEY)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    opened = Disk(tmp_path / "cache")
    opened.open()
    return opened


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_layout_is_the_one_of_bazel(disk: Disk) -> None:
    disk.accept(DIGEST, [CONTENT[:5], CONTENT[5:]])
    disk.put_result(KEY, RESULT)

    assert (disk.folder / "cas" / DIGEST.hash[:2] / DIGEST.hash).read_bytes() == CONTENT
    assert (disk.folder / "ac" / KEY.hash[:2] / KEY.hash).read_bytes() == wire.encode(RESULT)
    assert files(disk.folder / "tmp") == []


def test_what_was_stored_is_there(disk: Disk) -> None:
    disk.accept(DIGEST, [CONTENT])
    disk.put_result(KEY, RESULT)

    assert disk.has(DIGEST)
    assert disk.read(DIGEST) == CONTENT
    assert disk.result(KEY) == RESULT
    assert disk.written == len(CONTENT) + len(wire.encode(RESULT))


def test_what_was_not_stored_is_not(disk: Disk) -> None:
    assert not disk.has(DIGEST)
    assert disk.result(KEY) is None
    with pytest.raises(WrongBytesError, match="cannot be read"):
        disk.read(DIGEST)


@pytest.mark.parametrize("name", ["../../victim", "{victim}", "", "A" * 64, "a" * 63])
def test_what_is_no_digest_leads_nowhere(name: str, disk: Disk, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("victim")
    digest = Digest(name.format(victim=victim), 6)

    assert not disk.has(digest)
    with pytest.raises(WrongBytesError, match="a digest is none"):
        disk.read(digest)
    with pytest.raises(WrongBytesError, match="a digest is none"):
        disk.accept(digest, [b"victim"])
    assert victim.read_text() == "victim"


def test_the_empty_content_is_always_there(disk: Disk) -> None:
    assert disk.has(EMPTY)
    assert disk.read(EMPTY) == b""


@pytest.mark.parametrize("wrong", [b"", CONTENT[:-1], CONTENT + b"x", b"x" + CONTENT[1:]])
def test_wrong_bytes_are_not_taken(disk: Disk, wrong: bytes) -> None:
    with pytest.raises(WrongBytesError):
        disk.accept(DIGEST, [wrong])
    assert not [name for name in files(disk.folder) if name.startswith(("cas/", "tmp/"))]


def test_a_content_that_was_edited_is_found_out_and_forgotten(disk: Disk) -> None:
    disk.accept(DIGEST, [CONTENT])
    path = disk.path(DIGEST)
    path.chmod(0o644)
    path.write_bytes(b"X" + CONTENT[1:])

    with pytest.raises(WrongBytesError, match="not what its name says"):
        disk.read(DIGEST)
    assert not disk.has(DIGEST)


def test_a_result_that_was_cut_short_is_not_there(disk: Disk) -> None:
    disk.put_result(KEY, RESULT)
    path = disk.folder / "ac" / KEY.hash[:2] / KEY.hash
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-3])
    assert disk.result(KEY) is None


def test_an_error_while_a_content_comes_leaves_nothing(disk: Disk) -> None:
    def breaking():
        yield CONTENT[:10]
        raise OSError(errno.ENOSPC, "no space left on device")

    with pytest.raises(OSError, match="no space"):
        disk.accept(DIGEST, breaking())
    assert files(disk.folder) == ["lock"]


PUTTER = """
import sys
from pathlib import Path
from procession_tasks.cache.disk import Disk
from procession_tasks.cache.reapi import digest_of
disk = Disk(Path(sys.argv[1]))
disk.open()
for number in range(300):
    content = b"%d" % number * 1000
    disk.accept(digest_of(content), [content])
    assert disk.read(digest_of(content)) == content
"""


def test_many_processes_may_store_the_same_at_once(disk: Disk) -> None:
    command = [sys.executable, "-c", PUTTER, str(disk.folder)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[1] for process in running] == [b""] * 4
    assert len(files(disk.folder / "cas")) == 300
    assert files(disk.folder / "tmp") == []


def stored(disk: Disk, count: int, size: int = 1000) -> list[Digest]:
    """Store contents, each used a second after the one before."""
    digests = []
    for number in range(count):
        content = bytes([number]) * size
        digests.append(digest_of(content))
        disk.accept(digests[-1], [content])
        moment = time.time() - 1000 + number
        os.utime(disk.path(digests[-1]), (moment, moment))
    return digests


def test_what_was_not_used_for_longest_goes_first(disk: Disk) -> None:
    digests = stored(disk, 10)
    done = collect(disk.folder, 5000)

    assert (done.left, done.removed, done.files) == (4000, 6000, 6)
    assert [disk.has(digest) for digest in digests] == [False] * 6 + [True] * 4


def test_use_keeps_a_content(disk: Disk) -> None:
    digests = stored(disk, 10)
    assert disk.has(digests[0])
    collect(disk.folder, 5000)
    assert [disk.has(digest) for digest in digests] == [True] + [False] * 6 + [True] * 3


def test_what_fits_stays(disk: Disk) -> None:
    stored(disk, 10)
    assert collect(disk.folder, 10_000).files == 0


def test_files_are_counted_only_when_there_may_be_too_many(disk: Disk) -> None:
    stored(disk, 10)
    disk.close()
    assert collect_garbage(disk, 100_000, 10_000).files == 0  # nothing is known yet
    assert collect_garbage(disk, 100_000, 80_000) is None
    assert (disk.folder / "size").read_text() == "90000\n"
    stored(disk, 3)
    assert collect_garbage(disk, 5_000, 20_000).files > 0


def test_nothing_is_removed_while_another_run_uses_the_cache(disk: Disk) -> None:
    digests = stored(disk, 10)
    mine = Disk(disk.folder)

    assert collect_garbage(mine, 1, 1) is None
    assert all(map(disk.has, digests))
    disk.close()
    assert collect_garbage(mine, 1, 1).files == 10


def test_what_killed_runs_left_is_swept_once_it_is_old(disk: Disk) -> None:
    for name, age in (("old", 2 * 86400), ("young", 60)):
        path = disk.folder / "tmp" / name
        path.write_text("")
        os.utime(path, (time.time() - age,) * 2)
    collect(disk.folder, 1000)
    assert files(disk.folder / "tmp") == ["young"]


def test_an_inspection_finds_what_is_damaged_and_removes_it(disk: Disk) -> None:
    good, edited = stored(disk, 2)
    disk.put_result(KEY, RESULT)
    disk.put_result(good, RESULT)  # under another action's key
    path = disk.path(edited)
    path.chmod(0o644)
    path.write_bytes(b"edited")
    (disk.folder / "ac/00").mkdir()
    (disk.folder / "ac/00/garbage").write_bytes(b"<html>")
    (disk.folder / "cas/stray").write_bytes(b"")

    found = {str(Path(path).relative_to(disk.folder)): wrong for path, wrong in inspect.damaged(disk.folder)}

    assert found == {
        f"ac/{KEY.hash[:2]}/{KEY.hash}": "",
        f"ac/{good.hash[:2]}/{good.hash}": "is of another action",
        f"cas/{good.hash[:2]}/{good.hash}": "",
        f"cas/{edited.hash[:2]}/{edited.hash}": "is not what its name says",
        "ac/00/garbage": "is no result",
        "cas/stray": "is no content",
    }
    assert disk.has(good)
    assert not disk.has(edited)
    assert [one.path for one in held(disk.folder) if Path(one.path).name in ("garbage", "stray")] == []
    assert all(not wrong for _, wrong in inspect.damaged(disk.folder))


def test_a_read_only_cache_can_be_read(disk: Disk) -> None:
    disk.accept(DIGEST, [CONTENT])
    disk.put_result(KEY, RESULT)
    for path in disk.folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert disk.has(DIGEST)
    assert disk.result(KEY) == RESULT
