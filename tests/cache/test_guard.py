"""A server that fails is left alone before it costs much, and one that fails now and then is not."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from procession_tasks.cache import guard as module
from procession_tasks.cache.guard import Guard
from procession_tasks.cache.remote import GoneError, RemoteError, WrongBytesError


def failing(error: Exception) -> Callable[[], str]:
    def fail() -> str:
        raise error

    return fail


@pytest.fixture
def warned() -> list[str]:
    return []


@pytest.fixture
def guard(warned: list[str], monkeypatch: pytest.MonkeyPatch) -> Guard:
    monkeypatch.setattr(Guard, "_pause", staticmethod(lambda: None))
    return Guard("cache https://c.example", "building without it", warned.append)


def test_an_answer_is_passed_on(guard: Guard) -> None:
    assert guard.ask(lambda: "answer", "nothing") == "answer"


def test_a_failure_is_tried_once_more(guard: Guard, warned: list[str]) -> None:
    answers = iter([RemoteError("reset"), "answer"])

    def do() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert guard.ask(do, "nothing") == "answer"
    guard.tell()
    assert warned == ["cache https://c.example: failed once: reset"]


def test_a_server_that_is_down_is_asked_twice_and_then_no_more(guard: Guard, warned: list[str]) -> None:
    asked = []

    def do() -> str:
        asked.append(1)
        raise RemoteError("nobody answers")

    assert [guard.ask(do, "nothing") for _ in range(10)] == ["nothing"] * 10
    assert len(asked) == 3
    assert warned == ["cache https://c.example: nobody answers; building without it"]
    guard.tell()
    assert len(warned) == 1


def test_a_refusal_is_final(guard: Guard, warned: list[str]) -> None:
    assert guard.ask(failing(RemoteError("HTTP 403 Forbidden", lasts=True)), None) is None
    assert not guard.is_open
    assert warned == ["cache https://c.example: HTTP 403 Forbidden; building without it"]


def test_a_healthy_server_may_fail_now_and_then(guard: Guard) -> None:
    for _ in range(50):
        for _ in range(5):
            guard.ask(lambda: "answer", "nothing")
        guard.ask(failing(RemoteError("HTTP 502 Bad Gateway")), "nothing")
    assert guard.is_open


@pytest.mark.parametrize("error", [GoneError("a blob is not there"), WrongBytesError("a blob is wrong")])
def test_what_is_gone_or_damaged_says_nothing_of_the_server(error: Exception, guard: Guard, warned: list[str]) -> None:
    for _ in range(100):
        guard.ask(failing(error), "nothing")
    assert guard.is_open
    guard.tell()
    assert warned == [f"cache https://c.example: failed 100 times: {error}"]


def test_time_that_is_lost_counts_as_well(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOSS_S", 0.03)

    def slow() -> str:
        time.sleep(0.05)
        raise RemoteError("no answer in time")

    guard.ask(slow, "nothing")
    assert not guard.is_open
