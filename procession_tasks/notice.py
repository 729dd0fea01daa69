"""What a step tells the user beside its outcome: warnings and notes, which are part of what it made."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar

_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


def say(text: str) -> None:
    """Tell a line on stderr, and whoever collects in this thread."""
    if (collected := _collected.get()) is not None:
        collected.append(text)
    sys.stderr.write(f"{text}\n")
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
