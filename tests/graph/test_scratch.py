"""Temporary folders go with their process, and those of killed ones with the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from procession_tasks.graph.scratch import scratch

HOLDER = """\
import sys
from pathlib import Path
from procession_tasks.graph.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "file").write_text("text")
    print(folder, flush=True)
    sys.stdin.read()
"""
LONG_AGO = 1_000_000_000


@contextmanager
def holder(place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Have another process hold a folder that was made long ago."""
    command = [sys.executable, "-c", HOLDER, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().rstrip("\n"))
        os.utime(folder, (LONG_AGO, LONG_AGO))
        yield process, folder


def test_a_folder_is_gone_in_the_end(tmp_path: Path) -> None:
    with scratch(tmp_path) as folder:
        (folder / "tree").mkdir()
        assert folder.parent == tmp_path.resolve()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    with holder(tmp_path) as (process, left):
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert left.exists()
        with scratch(tmp_path):
            assert not left.exists()


def test_the_folder_of_a_process_that_is_there_stays(tmp_path: Path) -> None:
    with holder(tmp_path) as (_, held), scratch(tmp_path):
        assert (held / "file").read_text() == "text"


@pytest.mark.parametrize("name", ["procession-other", "tree"])
def test_what_others_made_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    os.utime(tmp_path / name, (LONG_AGO, LONG_AGO))
    with scratch(tmp_path):
        assert (tmp_path / name).exists()


def test_a_new_folder_may_not_be_locked_yet(tmp_path: Path) -> None:
    (new := tmp_path / "procession-tree-new").mkdir()
    with scratch(tmp_path):
        assert new.exists()
    os.utime(new, (LONG_AGO, LONG_AGO))
    with scratch(tmp_path):
        assert not new.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (link := tmp_path / "procession-tree-link").symlink_to("precious")
    os.utime(link, (LONG_AGO, LONG_AGO), follow_symlinks=False)
    with scratch(tmp_path):
        assert (tmp_path / "precious").is_dir()
