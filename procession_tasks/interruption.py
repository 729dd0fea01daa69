"""Whether the user has asked to stop: long work looks here between two pieces of it."""

from __future__ import annotations

import threading

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
