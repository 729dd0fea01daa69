"""Builds again whenever something changes that the last build looked at."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.graph.cause import some
from procession_tasks.graph.located import USAGE
from procession_tasks.graph.watched import CHANGED, GONE, NEW, Changes, Looked

_PAUSE_S = 0.2
_SHARE = 0.02  # of a processor that looking may take: with many files there are longer pauses
_QUIET_S = 0.1  # who saves several files, or one in several steps, does it within that
_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Built:
    """How a build ended, what it looked at, and the paths of that which were written while it ran."""

    status: int
    looked: Looked
    moved: tuple[str, ...]


def watch(root: Path, build: Callable[[], Built], tell: Callable[[str], None]) -> int:
    """Build, and go on until it is interrupted.

    Returns the exit status of a first build that was asked for wrongly, or got to look at nothing.
    """
    built = build()
    if built.status == USAGE or not len(built.looked):
        return built.status
    looked = built.looked
    tell(f"watching {len(looked)} files and folders, Ctrl-C ends it")
    while True:
        changes: Changes = dict.fromkeys(built.moved, (CHANGED, None)) or wait(looked)
        tell(f"{_now()} {told(changes, root)}")
        before, started = looked.again(), time.monotonic()
        built = build()
        # What a build that fails could not look at, an earlier one may have.
        looked = built.looked.joined(before) if built.status else built.looked
        tell(f"{_now()} {_ended(built.status)} after {time.monotonic() - started:.1f} s")


def wait(looked: Looked) -> Changes:
    """Return what changed once it has and nothing more does for a moment."""
    while True:
        begun = time.thread_time()
        found = looked.changes()
        pause = max(_PAUSE_S, (time.thread_time() - begun) / _SHARE)
        deadline = time.monotonic() + _PATIENCE_S
        while found:
            time.sleep(_QUIET_S)
            again = looked.changes()
            if again == found or time.monotonic() > deadline:
                return again or found
            found = again
        time.sleep(pause)


def told(changes: Mapping[str, tuple[str, object]], root: Path) -> str:
    """Say in a line what changed, the first few by name."""
    parts = []
    for how, verb in ((CHANGED, "changed"), (NEW, "came"), (GONE, "went")):
        if paths := [os.path.relpath(path, root) for path, (what, _) in changes.items() if what == how]:
            parts.append(f"{some(paths)} {verb}")
    return ", ".join(parts)


def _ended(status: int) -> str:
    if status < 0:
        return f"ended by signal {-status}"
    return f"failed with status {status}" if status else "done"


def _now() -> str:
    return time.strftime("%H:%M:%S")
