"""A copy of the repository that a benchmark is run in, so that nothing of it is touched."""

from __future__ import annotations

import shutil
from pathlib import Path


def copied(repository: Path, root: Path) -> Path:
    """Copy what images are made from into a new folder, and return that."""
    for part in ("deploy", "services"):
        shutil.copytree(repository / part, root / part, symlinks=True)
    for part in ("dodo.py", "pyproject.toml"):
        shutil.copyfile(repository / part, root / part)
    return root
