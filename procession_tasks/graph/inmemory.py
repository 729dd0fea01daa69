"""A temporary folder in memory, for files that are read once: no disk has to find room for each of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path("/dev/shm")  # noqa: S108  # Linux: a file system in memory that any user may write to
_MOUNTS = Path("/proc/self/mounts")
_BLOCK = 4096
_MOST = 256 * 1024 * 1024
_CHOSEN = ("TMPDIR", "TEMP", "TMP")


def room(files: int, size: int, environment: Mapping[str, str], folder: Path = _FOLDER) -> Path | None:
    """Find a folder in memory for so many files of so many bytes together; None where there is none to use.

    Half of what is free is left to others, and a tree that is large for memory goes to the disk.
    Who sets TMPDIR has chosen a place, and gets that.
    """
    needed = size + (files + 1) * 2 * _BLOCK  # a file ends within a block, and a folder or an inode takes one
    if any(environment.get(name) for name in _CHOSEN) or needed > _MOST or not _is_in_memory(folder):
        return None
    with contextlib.suppress(OSError):
        system = os.statvfs(folder)
        inodes = system.f_favail if system.f_files else 2 * needed  # 0 is for no limit
        if 2 * needed <= system.f_bavail * system.f_frsize and 4 * files <= inodes and os.access(folder, os.W_OK):
            return folder
    return None


def _is_in_memory(folder: Path) -> bool:
    try:
        mounts = [line.split() for line in _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()]
    except OSError:
        return False
    kinds = [kind for _, place, kind, *_ in mounts if place == os.fspath(folder)]
    return kinds[-1:] == ["tmpfs"]  # the last one hides those before
