"""A temporary folder that does not outlive its process for long: whoever makes the next removes a killed one's."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "procession-tree-"
_NEW_S = 60  # one that was just made may not be locked yet


@contextlib.contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder below `parent`, by default where temporary files go, and remove it in the end.

    The kernel drops its lock with the process, however it ends.  Raises OSError when there is no room.
    """
    place = parent or Path(tempfile.gettempdir())
    _remove_left(place)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place, ignore_cleanup_errors=True) as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: nobody takes it for left
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield Path(folder).resolve()
        finally:
            os.close(descriptor)


def _remove_left(place: Path) -> None:
    """Remove our user's folders that no process has locked."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _is_old(entry):
                _remove_unlocked(entry.path)


def _is_old(entry: os.DirEntry[str]) -> bool:
    stat = entry.stat(follow_symlinks=False)
    return stat.st_uid == os.getuid() and stat.st_mtime + _NEW_S < time.time()


def _remove_unlocked(folder: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
