"""Whether the user has asked to stop: long work looks here between two pieces of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

_LOOK_S = 0.1
_asked = threading.Event()


class InterruptedWorkError(Exception):
    """The work was given up half-way; whoever raises it leaves nothing behind."""


def ask() -> None:
    """Ask all work of this process to stop."""
    _asked.set()


def check() -> None:
    """Raise InterruptedWorkError if work was asked to stop."""
    if _asked.is_set():
        raise InterruptedWorkError


def few_at_once(do: Callable[[T], object], items: Iterable[T], most: int = 1, longest_s: float | None = None) -> None:
    """Do something that may hang with all items, in at most so many threads, and wait for it.

    Who asked to stop waits no more, and what hangs ends with the process.  After a failure nothing
    new begins; the first is raised when all that had begun has ended.  Raises TimeoutError when not
    all has ended after `longest_s`.
    """
    end = None if longest_s is None else time.monotonic() + longest_s
    waiting = list(items)
    given = iter(waiting)
    raised: list[BaseException] = []
    given_up = threading.Event()

    def work() -> None:
        for item in given:  # each is given to one thread: a list's iterator is atomic
            try:
                do(item)
            except BaseException as error:  # noqa: BLE001  # raised again by who waits
                raised.append(error)
            if raised or given_up.is_set():
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(most, len(waiting)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            check()
            if end is not None and time.monotonic() > end:
                given_up.set()
                raise TimeoutError
            thread.join(_LOOK_S)
    if raised:
        raise raised[0]
