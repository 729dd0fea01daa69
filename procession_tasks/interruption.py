"""Whether the user has asked to stop: long work looks here between two pieces of it."""

from __future__ import annotations

import threading
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


def few_at_once(do: Callable[[T], object], items: Iterable[T], most: int = 1) -> None:
    """Do something that may hang with all items, in at most so many threads, and wait for it.

    Who asked to stop waits no more, and what hangs ends with the process.  After a failure nothing
    new begins; the first is raised when all that had begun has ended.
    """
    waiting = list(items)
    given = iter(waiting)
    raised: list[BaseException] = []

    def work() -> None:
        for item in given:  # each is given to one thread: a list's iterator is atomic
            try:
                do(item)
            except BaseException as error:  # noqa: BLE001  # raised again by who waits
                raised.append(error)
            if raised:
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(most, len(waiting)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            check()
            thread.join(_LOOK_S)
    if raised:
        raise raised[0]
