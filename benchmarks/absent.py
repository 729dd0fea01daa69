"""Folders that are not there when a command is measured."""

from __future__ import annotations

import itertools
from pathlib import Path

_numbers = itertools.count()


def absent(*folders: Path) -> None:
    """Put folders aside, which the benchmark's own folder takes with it in the end.

    They are not removed: for seconds after many files were, ext4 takes long to make new ones, and
    whoever is measured next would pay for that.
    """
    for folder in folders:
        if folder.exists():
            folder.rename(folder.with_name(f".{folder.name}-{next(_numbers)}"))
