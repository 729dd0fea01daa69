"""Keeps this machine's cache within its size: what was not used for longest goes first."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from procession_tasks import files

if TYPE_CHECKING:
    from procession_tasks.cache.disk import Disk  # who asks for the tally has no use for one

_TALLY = "size"  # what was there after the last collection, and what was written since
_ROOM = 0.9  # a collection makes some room, or every build would need one
_ABANDONED_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Held:
    """A file of the cache; `used` is when, in nanoseconds since 1970."""

    path: str
    size: int
    used: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection left and what it removed, in bytes and files."""

    left: int
    removed: int
    files: int


def held(folder: Path) -> Iterator[Held]:
    """List results and contents."""
    for kind in ("ac", "cas"):
        yield from _below(os.fspath(folder / kind))


def tally(folder: Path) -> int | None:
    """Return how many bytes the cache held when that was last noted; None if it never was."""
    return _read(folder / _TALLY)


def collect_garbage(disk: Disk, limit: int, written: int) -> Collected | None:
    """Remove what is too much after so many bytes were written; None if that is nothing, or others are at work.

    Files are not looked at while the tally says that there is room.  Raises OSError.
    """
    noted = disk.folder / _TALLY
    known = _read(noted)
    if known is not None and known + written <= limit:
        files.write(noted, b"%d\n" % (known + written))
        return None
    with disk.alone() as is_alone:
        return collect(disk.folder, limit) if is_alone else None


def collect(folder: Path, limit: int) -> Collected:
    """Remove what was not used for longest until the rest fits well; raises OSError."""
    _sweep(folder / "tmp")
    found = sorted(held(folder), key=lambda one: (one.used, one.path))
    left = total = sum(one.size for one in found)
    removed = 0
    if total > limit:
        for one in found:
            if left <= limit * _ROOM:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one.path)
            left -= one.size
            removed += 1
    files.write(folder / _TALLY, b"%d\n" % left)
    return Collected(left, total - left, removed)


def _read(noted: Path) -> int | None:
    try:
        return int(noted.read_bytes())
    except (OSError, ValueError):
        return None


def _below(folder: str) -> Iterator[Held]:
    try:
        scan = os.scandir(folder)
    except FileNotFoundError:
        return
    with scan:
        for entry in scan:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)
                continue
            with contextlib.suppress(FileNotFoundError):
                stat = entry.stat(follow_symlinks=False)
                yield Held(entry.path, stat.st_size, stat.st_mtime_ns)


def _sweep(folder: Path) -> None:
    """Remove what killed runs have left; a run that is still writing is younger."""
    oldest = (time.time() - _ABANDONED_S) * 1e9
    for one in _below(os.fspath(folder)):
        if one.used < oldest:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one.path)
