"""What is told of a long download, on a terminal and elsewhere."""

from __future__ import annotations

import io
import threading
from types import SimpleNamespace

import pytest

from procession_tasks.debian import progress as progresses
from procession_tasks.debian.progress import Progress


class Stderr(io.StringIO):
    """What a test reads of stderr."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progresses, "time", clock)
    return clock


def replaced(stderr: Stderr, monkeypatch: pytest.MonkeyPatch) -> Stderr:
    monkeypatch.setattr(progresses, "sys", SimpleNamespace(stderr=stderr))
    return stderr


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Stderr:
    monkeypatch.setenv("TERM", "xterm")
    return replaced(Stderr(is_terminal=True), monkeypatch)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Stderr:
    return replaced(Stderr(is_terminal=False), monkeypatch)


def go(progress: Progress, clock: Clock, *steps: tuple[float, int]) -> None:
    """Let time pass and bytes come."""
    for seconds, count in steps:
        clock.now += seconds
        progress.advance(count)


def test_what_takes_less_than_a_second_is_not_told(clock: Clock, terminal: Stderr) -> None:
    progress = Progress("downloading x", 10_000_000)
    go(progress, clock, (0.5, 5_000_000), (0.4, 5_000_000))
    progress.finish()

    assert terminal.getvalue() == ""


def test_on_a_terminal_one_line_is_drawn_again(clock: Clock, terminal: Stderr) -> None:
    progress = Progress("downloading x", 10_000_000)
    go(progress, clock, (1.0, 5_000_000), (0.15, 1_000_000), (0.15, 1_000_000), (0.3, -6_500_000))
    progress.finish()

    assert terminal.getvalue() == (
        "\rdownloading x:  5.0 of 10.0 MB"
        "\rdownloading x:  7.0 of 10.0 MB"
        "\rdownloading x:  0.5 of 10.0 MB"
        "\rdownloading x:  0.5 of 10.0 MB\n"
    )


def test_in_a_log_a_line_is_added_every_few_seconds(clock: Clock, log: Stderr) -> None:
    progress = Progress("downloading x", 10_000_000)
    go(progress, clock, (1.0, 1_000_000), (4.9, 1_000_000), (0.1, 1_000_000))
    progress.finish()

    assert log.getvalue() == (
        "downloading x:  1.0 of 10.0 MB\ndownloading x:  3.0 of 10.0 MB\ndownloading x:  3.0 of 10.0 MB\n"
    )


@pytest.mark.parametrize("term", ["dumb", None])
def test_a_terminal_that_cannot_go_back_gets_lines(
    clock: Clock, terminal: Stderr, monkeypatch: pytest.MonkeyPatch, term: str | None
) -> None:
    if term:
        monkeypatch.setenv("TERM", term)
    else:
        monkeypatch.delenv("TERM")
    progress = Progress("downloading x", 1_000_000)
    go(progress, clock, (1.0, 500_000), (1.0, 500_000))
    progress.finish()

    assert terminal.getvalue() == "downloading x: 0.5 of 1.0 MB\ndownloading x: 1.0 of 1.0 MB\n"


def test_who_waits_is_told_that_nothing_comes(clock: Clock, log: Stderr) -> None:
    progress = Progress("downloading x", 1_000_000)
    go(progress, clock, (2.0, 0))

    assert log.getvalue() == "downloading x: 0.0 of 1.0 MB\n"


def test_nothing_is_told_after_the_end(clock: Clock, terminal: Stderr) -> None:
    progress = Progress("downloading x", 1_000_000)
    go(progress, clock, (1.0, 500_000))
    progress.finish()
    before = terminal.getvalue()
    go(progress, clock, (9.0, 500_000))

    assert terminal.getvalue() == before


def test_a_closed_stderr_stops_no_download(clock: Clock, log: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(log, "write", broken)
    progress = Progress("downloading x", 1_000_000)
    go(progress, clock, (2.0, 500_000))
    progress.finish()


def test_bytes_of_several_threads_add_up(clock: Clock, log: Stderr) -> None:
    progress = Progress("downloading x", 8_000_000)
    threads = [threading.Thread(target=lambda: [progress.advance(1_000) for _ in range(1_000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    go(progress, clock, (1.0, 0))

    assert log.getvalue() == "downloading x: 8.0 of 8.0 MB\n"
