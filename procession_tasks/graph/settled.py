"""Runs that left nothing to do, remembered by everything they looked at.

Whether there is something to do follows from the states of the files a run looks at, the
environment, doit's database and our own code.  While all of these are the same, so is the
answer, and a run need not make a task to find it.  What moved is for the graph to say: nothing
is decided here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import xxhash

import procession_tasks
from procession_tasks import kept
from procession_tasks.graph.session import DATABASE, STATE, Session

_MOST = 16  # command lines to remember


def still_settled(words: Sequence[str], session: Session) -> int | None:
    """Return how many tasks are up to date if there is still nothing to do, else None."""
    record = kept.load(_path(words, session))
    if not isinstance(record, tuple):
        return None
    count, common, variables, names, digest = record
    if common != _common(words, session) or variables != session.variables(name for name, _ in variables):
        return None
    states: int | None = count if session.states.digest(names) == digest else None
    return states


def remember(words: Sequence[str], session: Session) -> None:
    """Remember a run that ended well, if it leaves nothing to do and is certain of what it saw."""
    count = session.up_to_date
    if count is None or not session.is_certain:
        return
    names = session.states.seen()
    variables = session.variables(session.asked_for)
    record = (count, _common(words, session), variables, names, session.states.digest(names))
    path = _path(words, session)
    if kept.load(path) != record:
        with contextlib.suppress(OSError):  # a full disk costs time in the next run, no more
            kept.save(path, record)
            _drop_oldest(os.path.dirname(path))


def code() -> tuple[tuple[str, int, int], ...]:
    """State our own code by the size and time of its files: it decides what everything means."""
    return tuple(_sources(os.path.dirname(procession_tasks.__file__)))


def _sources(folder: str) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    with os.scandir(folder) as scan:
        for entry in sorted(scan, key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                stat = entry.stat()
                found.append((entry.name, stat.st_size, stat.st_mtime_ns))
            elif entry.is_dir() and entry.name != "__pycache__":
                found += _sources(entry.path)
    return found


def _common(words: Sequence[str], session: Session) -> Any:
    database = ()
    with contextlib.suppress(OSError):
        stat = os.stat(session.root / DATABASE)
        database = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)  # type: ignore[assignment]
    return tuple(words), code(), database


def _path(words: Sequence[str], session: Session) -> Any:
    name = xxhash.xxh3_64_hexdigest("\0".join(words).encode("utf-8", "surrogateescape"))
    return session.root / STATE / "settled" / name


def _drop_oldest(folder: str) -> None:
    with os.scandir(folder) as scan:
        found = sorted(scan, key=lambda entry: entry.stat().st_mtime_ns)
    for entry in found[:-_MOST]:
        os.unlink(entry.path)
