"""What a step tells the user beside its outcome: warnings and notes, which are part of what it made."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)
# Shows how far the work of a thread is, by its identity; there while somebody looks on.
_shows: Callable[[int, str], None] | None = None


def say(text: str) -> None:
    """Tell a line on stderr, and whoever collects in this thread."""
    if (collected := _collected.get()) is not None:
        collected.append(text)
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Tell what is odd but no reason to stop, and no part of what a step made."""
    sys.stderr.write(f"warning: {text}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def collecting() -> Iterator[list[str]]:
    """Collect what is said in this thread while the block runs."""
    said: list[str] = []
    token = _collected.set(said)
    try:
        yield said
    finally:
        _collected.reset(token)


def show_with(shows: Callable[[int, str], None] | None) -> None:
    """Have what long work says of how far it is shown by this, or by nobody from now on."""
    global _shows  # noqa: PLW0603  # one terminal for all threads of the process
    _shows = shows


def shower() -> Callable[[str], None] | None:
    """Return what shows how far the work of this thread is, also to be used by others; None if nothing does."""
    return None if _shows is None else functools.partial(_shows, threading.get_ident())
