"""Programs in the foreground, and those whose lines are passed on."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import process
from procession_tasks.errors import BuildError


def run(tmp_path: Path, script: str, stop: Any = None) -> int:
    environment = {"PATH": os.environ["PATH"]}
    return process.foreground(["sh", "-c", script], folder=tmp_path, environment=environment, stop=stop)


def once(there: Path, do: Callable[[], None]) -> None:
    """Do something in another thread when a file is there."""

    def wait() -> None:
        while not there.exists():
            time.sleep(0.01)
        do()

    threading.Thread(target=wait, daemon=True).start()


def test_a_program_in_the_foreground_prints_where_we_do_and_its_status_is_returned(tmp_path: Path, capfd: Any) -> None:
    assert run(tmp_path, "echo out; echo err >&2; exit 7") == 7
    assert capfd.readouterr() == ("out\n", "err\n")


def test_an_interruption_calls_for_a_stop(tmp_path: Path, interrupt: Callable[[], None]) -> None:
    once(tmp_path / "started", interrupt)
    script = "touch started; while ! [ -e stop ]; do sleep 0.02; done; exit 3"
    assert run(tmp_path, script, (tmp_path / "stop").touch) == 3


def test_without_a_way_to_stop_it_the_program_is_terminated(tmp_path: Path, interrupt: Callable[[], None]) -> None:
    once(tmp_path / "started", interrupt)
    assert run(tmp_path, "trap 'exit 4' TERM; touch started; while :; do sleep 0.02; done") == 4


def test_a_second_interruption_kills_it(tmp_path: Path, interrupt: Callable[[], None]) -> None:
    once(tmp_path / "started", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "echo $$ > pid; touch started; sleep 60 & wait; sleep 60", interrupt)
    pid = int((tmp_path / "pid").read_text())
    assert not Path("/proc", str(pid)).exists()


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="/no/such: cannot be started: No such file or directory"):
        process.foreground(["/no/such"], folder=tmp_path, environment={})


def test_lines_are_passed_on_whichever_way_they_come(tmp_path: Path) -> None:
    lines: list[bytes] = []
    script = ["/bin/sh", "-c", "echo one; echo two >&2; printf three; exit 5"]
    assert process.stream(script, folder=tmp_path, environment={}, tell=lines.append) == 5
    assert lines == [b"one\n", b"two\n", b"three"]


def test_a_program_ends_when_nobody_takes_its_lines(tmp_path: Path) -> None:
    def tell(line: bytes) -> None:
        raise BrokenPipeError(line)

    with pytest.raises(BrokenPipeError):
        process.stream(
            ["/bin/sh", "-c", "echo $$ > pid; echo; exec sleep 60"], folder=tmp_path, environment={}, tell=tell
        )
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


@pytest.mark.parametrize("script", ["sleep 60", "sleep 60 & wait", "trap '' INT TERM; while :; do sleep 0.05; done"])
def test_a_program_that_does_not_answer_in_time_is_ended_with_its_children(tmp_path: Path, script: str) -> None:
    began = time.monotonic()
    with pytest.raises(BuildError, match=r"sh: must answer within 0\.3 s"):
        process.run(["sh", "-c", script], folder=tmp_path, environment={"PATH": os.environ["PATH"]}, timeout=0.3)
    assert time.monotonic() - began < 10


def test_a_program_that_answers_in_time_is_heard(tmp_path: Path) -> None:
    ended = process.run(
        ["sh", "-c", "cat; exit 3"], folder=tmp_path, environment=dict(os.environ), stdin=b"heard", timeout=60
    )
    assert (ended.status, ended.stdout) == (3, b"heard")
