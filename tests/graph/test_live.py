"""What is drawn at the bottom of a terminal: how much of it fits, and in which order."""

from __future__ import annotations

import re

import pytest

from procession_tasks.graph.live import Look, Running, State, finished, frame, lasted

WIDE = Look(80, 24, colours=False, unicode=True)
ENDED = {"built": 3, "cached": 4, "fresh": 2}


def look(columns: int, rows: int = 24, *, colours: bool = False, unicode: bool = True) -> Look:
    return Look(columns, rows, colours, unicode)


def state(*running: Running, total: int = 32, ended: dict[str, int] | None = None) -> State:
    return State(0.0, total, running, ENDED if ended is None else ended)


def test_a_line_an_action_oldest_first_and_the_whole_below() -> None:
    lines = frame(state(Running("go-compile:iam", 3.0), Running("go-compile:api", 1.0)), 5.2, WIDE)
    assert lines == [
        f"{'go-compile:api':<40}    4.2 s",
        f"{'go-compile:iam':<40}    2.2 s",
        "━" * 8 + "─" * 22 + "  9/32  3 built, 4 cached, 2 fresh  5.2 s",
    ]


def test_times_stand_where_those_of_finished_actions_stand() -> None:
    line = finished("go-compile:api", 4.2, "", "built", WIDE)
    running, _ = frame(state(Running("go-compile:api", 1.0)), 5.2, WIDE)
    assert line == f"{'go-compile:api':<40}   4.20 s"
    assert len(line) == len(running)


def test_how_far_an_action_is_stands_behind_its_time() -> None:
    (line, _) = frame(state(Running("fetch-packages:db", 0.0, "downloading: 1.0 of 2.0 MB")), 1.0, WIDE)
    assert line.endswith("1.0 s  downloading: 1.0 of 2.0 MB")


@pytest.mark.parametrize("columns", [1, 2, 3, 10, 20, 21, 40, 60, 79, 80, 81, 160, 400])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_line_reaches_the_last_column(columns: int, *, unicode: bool) -> None:
    running = [Running(f"inject-packages:{name}@linux-arm64", 0.0, "x" * 200) for name in ("a" * 80, "b", "")]
    for ended in ({}, ENDED, {"built": 1000, "cached": 1000, "fresh": 1000, "failed": 1000}):
        for now in (0.0, 59.99, 100_000.0):
            lines = frame(state(*running, ended=ended), now, look(columns, unicode=unicode))
            assert len(lines) == 4
            assert [line for line in lines if len(line) > max(1, columns - 1)] == []


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 24])
def test_the_lines_leave_a_row_to_what_scrolls(rows: int) -> None:
    running = [Running(f"go-compile:{number}", 0.0) for number in range(10)]
    lines = frame(state(*running), 1.0, look(80, rows))
    assert len(lines) <= max(1, rows - 1)
    assert "9/32" in lines[-1]
    if 2 < rows < 12:
        assert lines[-2] == f"and {10 - (rows - 3)} more"


@pytest.mark.parametrize(
    ("columns", "last"),
    [
        (20, "9/32  5.2 s"),
        (43, "9/32  3 built, 4 cached, 2 fresh  5.2 s"),
        (50, "━━──────  9/32  3 built, 4 cached, 2 fresh  5.2 s"),
    ],
)
def test_a_narrow_terminal_has_the_numbers_before_the_bar(columns: int, last: str) -> None:
    assert frame(state(), 5.2, look(columns)) == [last]


def test_without_unicode_all_is_ascii() -> None:
    lines = frame(state(Running("n" * 100, 0.0)), 5.2, look(80, unicode=False))
    assert all(map(str.isascii, lines))


def test_colours_change_no_width() -> None:
    plain = frame(state(Running("go-compile:api", 0.0)), 5.2, look(80))
    coloured = frame(state(Running("go-compile:api", 0.0)), 5.2, look(80, colours=True))
    assert [re.sub(r"\x1b\[[0-9]*m", "", line) for line in coloured] == plain
    assert "\x1b[32m" in coloured[-1], "green"
    assert "\x1b[31m" in frame(state(ended={"built": 8, "failed": 1}), 5.2, look(80, colours=True))[-1], (
        "red once one failed"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 00 s"), (125.9, "2 min 05 s"), (7200, "120 min 00 s")],
)
def test_times_are_told_as_people_do(seconds: float, text: str) -> None:
    assert lasted(seconds) == text


def test_more_that_ended_than_was_asked_for_is_no_more_than_all() -> None:
    assert "2/2" in frame(state(total=2, ended={"built": 3}), 1.0, WIDE)[-1]


def test_nothing_to_make_has_a_bar_too() -> None:
    assert frame(state(total=0, ended={}), 1.0, WIDE) == ["─" * 30 + "  0/0  1.0 s"]
