"""What the last run that had work to do did, kept for whoever asks later: why, and where its time went."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import kept
from procession_tasks.graph.session import STATE

BUILT, CACHED, FRESH, FAILED, SKIPPED = "built", "cached", "fresh", "failed", "skipped"
_FILE = f"{STATE}/last-run"
_FORMAT = 1

# What was moved from or to a cache elsewhere, when that started, the seconds it took, its bytes.
Transfer = tuple[str, float, float, int]


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a task; times are seconds from the run's begin.

    `how` is built, cached, fresh, failed or skipped.  `why` is the chain that led to it, first what
    changed, then the tasks, itself last; empty for one that did not run.  `where` is the cache or the
    engine that it came from, `saved` the seconds of work that this spared.  `thread` counts from 0.
    """

    name: str
    how: str
    started: float = 0.0
    seconds: float = 0.0
    why: tuple[str, ...] = ()
    where: str | None = None
    saved: float = 0.0
    thread: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """A run: what was asked for, when it began (in seconds since 1970), and what became of each task.

    A task comes after those that it needs.
    """

    words: tuple[str, ...]
    begun: float
    seconds: float
    status: int
    tasks: tuple[Ran, ...]
    transfers: tuple[Transfer, ...] = ()


def last(root: Path) -> Run | None:
    """Read what the last run that had work to do did; None when nothing is known of one."""
    record = kept.load(root / _FILE)
    if not isinstance(record, tuple) or record[0] != _FORMAT:
        return None
    words, begun, seconds, status, tasks, transfers = record[1:]
    return Run(words, begun, seconds, status, tuple(Ran(*task) for task in tasks), transfers)


def keep(root: Path, run: Run) -> None:
    """Keep a run in place of the one before it."""
    with contextlib.suppress(OSError):  # a full disk costs an explanation, no more
        kept.save(root / _FILE, (_FORMAT, *dataclasses.astuple(run)))
