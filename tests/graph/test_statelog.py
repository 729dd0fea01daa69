"""The log that remembers what finished, cut short, damaged, and written by two at once."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.graph.statelog import StateLog

LAST = "deps:"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tasks.log"


def opened(path: Path) -> StateLog:
    return StateLog(str(path), codec=None)


def finish(log: StateLog, task: str, value: Any = "made") -> None:
    """What doit stores of a task that ran: its values, then its dependencies."""
    log.set(task, "_values_:", {"value": value})
    log.set(task, "checker:", "ContentChecker")
    log.set(task, "source.go", f"state of {value}")
    log.set(task, LAST, ("source.go",))


def value(log: StateLog, task: str) -> Any:
    found = log.get(task, "_values_:")
    return found and found["value"]


def test_a_new_log_knows_nothing_and_makes_no_file(path: Path) -> None:
    log = opened(path)
    assert log.get("go-compile:api", LAST) is None
    assert not log.in_("go-compile:api")
    log.dump()
    assert not path.parent.exists()


def test_a_finished_task_is_on_disk_before_the_run_ends(path: Path) -> None:
    log = opened(path)
    finish(log, "go-compile:api")
    other = opened(path)
    assert value(other, "go-compile:api") == "made"
    assert other.get("go-compile:api", "source.go") == "state of made"
    assert other.get("go-compile:api", LAST) == ["source.go"]


def test_a_task_is_not_finished_until_its_dependencies_are_stored(path: Path) -> None:
    log = opened(path)
    log.set("go-compile:api", "_values_:", {"value": 1})
    assert not opened(path).in_("go-compile:api")
    log.dump()
    assert opened(path).get("go-compile:api", "_values_:") == {"value": 1}


def test_the_last_record_of_a_task_counts(path: Path) -> None:
    log = opened(path)
    for number in range(3):
        finish(log, "pack-aci:api", number)
    finish(log, "pack-aci:iam", "other")
    assert value(opened(path), "pack-aci:api") == 2
    assert value(opened(path), "pack-aci:iam") == "other"


def test_a_dependency_that_is_gone_is_gone_from_the_record(path: Path) -> None:
    log = opened(path)
    finish(log, "a")
    log.set("a", "other.go", "state")
    log.set("a", LAST, ("other.go",))
    assert opened(path).get("a", "source.go") is None
    assert opened(path).get("a", "other.go") == "state"


def test_a_log_cut_at_any_byte_has_exactly_the_whole_records(path: Path) -> None:
    log, ends = opened(path), []
    for number in range(4):
        finish(log, f"task:{number}", f"värde {number}")
        ends.append(path.stat().st_size)
    content = path.read_bytes()
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        left = opened(path)
        known = [number for number in range(4) if left.in_(f"task:{number}")]
        assert known == [number for number in range(4) if ends[number] <= cut]
        assert [value(left, f"task:{number}") for number in known] == [f"värde {number}" for number in known]


def test_a_log_goes_on_behind_a_record_that_was_cut_short(path: Path) -> None:
    log = opened(path)
    finish(log, "a")
    whole = path.stat().st_size
    finish(log, "b")
    content = path.read_bytes()
    for cut in range(whole, len(content)):
        path.write_bytes(content[:cut])
        later = opened(path)
        finish(later, "c")
        again = opened(path)
        assert (again.in_("a"), again.in_("b"), again.in_("c")) == (True, False, True)


def test_a_flipped_byte_forgets_at_most_one_task_and_invents_none(path: Path) -> None:
    log = opened(path)
    for name in ("a", "b", "c"):
        finish(log, name, name * 3)
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 0x08
        path.write_bytes(damaged)
        left = opened(path)
        values = [value(left, name) for name in ("a", "b", "c")]
        assert all(found in {None, name * 3} for found, name in zip(values, ("a", "b", "c"), strict=True))
        assert sum(found is None for found in values) <= (2 if content[position] == 0x0A else 1)


def test_an_old_record_does_not_stand_in_for_a_damaged_newer_one(path: Path) -> None:
    log = opened(path)
    finish(log, "a", "old")
    finish(log, "a", "new")
    path.write_bytes(path.read_bytes()[:-2] + b"xx")
    assert not opened(path).in_("a")


@pytest.mark.parametrize("content", [b"", b"\n\n\n", b"\0" * 500, b"\xff\xfe", b"a\tb\tc", b'{"json": 1}'])
def test_what_is_no_log_is_an_empty_one(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    log = opened(path)
    assert not log.in_("a")
    finish(log, "a")
    assert opened(path).in_("a")


def test_two_that_append_at_once_keep_what_both_finished(path: Path) -> None:
    one, two = opened(path), opened(path)
    assert not one.in_("a")
    assert not two.in_("b")
    finish(one, "a")
    finish(two, "b")
    finish(one, "c")
    assert all(opened(path).in_(name) for name in ("a", "b", "c"))


def test_a_forgotten_task_stays_forgotten(path: Path) -> None:
    log = opened(path)
    finish(log, "a")
    finish(log, "b")
    log.remove("a")
    assert not log.in_("a")
    assert not opened(path).in_("a")
    assert opened(path).in_("b")


def test_to_forget_what_was_never_known_writes_nothing(path: Path) -> None:
    opened(path).remove("a")
    assert not path.exists()


def test_all_can_be_forgotten(path: Path) -> None:
    log = opened(path)
    finish(log, "a")
    other = opened(path)
    finish(other, "b")
    other.remove_all()
    assert not opened(path).in_("a")
    assert not opened(path).in_("b")


def test_reading_and_closing_writes_nothing(path: Path) -> None:
    finish(opened(path), "a")
    before = path.stat()
    log = opened(path)
    assert log.in_("a")
    log.dump()
    assert path.stat() == before


def test_a_long_log_is_rewritten_without_what_is_superseded(path: Path) -> None:
    log = opened(path)
    for number in range(1000):
        finish(log, f"task:{number % 3}", number)
    log.remove("task:0")
    before = path.stat().st_size
    log.dump()
    assert path.stat().st_size < before / 100
    left = opened(path)
    assert [value(left, f"task:{number}") for number in range(3)] == [None, 997, 998]
    finish(log, "later")
    assert opened(path).in_("later")
    assert os.listdir(path.parent) == [path.name]


def test_a_log_of_live_records_is_left_as_it_is(path: Path) -> None:
    log = opened(path)
    for number in range(1000):
        finish(log, f"task:{number}", number)
    before = path.stat().st_ino
    log.dump()
    assert path.stat().st_ino == before


def test_a_log_that_cannot_be_written_costs_the_memory_not_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = opened(tmp_path / "state" / "tasks.log")
    assert not log.in_("a")
    (tmp_path / "state").write_text("a file in the way\n")
    finish(log, "a")
    assert "a is not remembered: " in capsys.readouterr().err
    assert value(log, "a") == "made"


def test_the_log_is_one_readable_line_a_task(path: Path) -> None:
    log = opened(path)
    finish(log, "a", "ü\n\t")
    finish(log, "b")
    lines = [line.split(b"\t") for line in path.read_bytes().split(b"\n") if line]
    assert [line[0] for line in lines] == [b"a", b"b"]
    assert json.loads(lines[0][2])["_values_:"] == {"value": "ü\n\t"}


def test_what_is_no_log_is_told_and_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tasks.log"
    path.write_bytes(b"garbage\n")
    log = StateLog(str(path), None)
    assert not log.in_("pack-aci:api")
    assert "tasks.log: is damaged" in capsys.readouterr().err
    assert path.read_bytes() == b"garbage\n"
    log.set("pack-aci:api", "result:", 1)
    log.set("pack-aci:api", "deps:", ("a",))
    assert StateLog(str(path), None).in_("pack-aci:api")
    assert capsys.readouterr().err == ""
