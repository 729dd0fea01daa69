"""Removes what a step made, and nothing else."""

from __future__ import annotations

import contextlib
import inspect
import shutil
from pathlib import Path

from procession_tasks.step import Step


class Remover:
    """A step's clean action: removes outputs, what a killed run left beside them, empty folders."""

    # doit looks up the parameters of every action; saying them once spares it the search.
    __signature__ = inspect.Signature([inspect.Parameter("dryrun", inspect.Parameter.POSITIONAL_OR_KEYWORD)])

    def __init__(self, step: Step, root: Path) -> None:
        self._step = step
        self._root = root

    def __call__(self, dryrun: bool) -> None:  # noqa: FBT001  # doit passes it by this name
        for output in self._step.outputs:
            path = self._root / output
            for found in (path, *sorted(path.parent.glob(".*.part"))):
                if found.exists() or found.is_symlink():
                    _remove(found, found.relative_to(self._root), dryrun=dryrun)
        if not dryrun:
            _remove_empty_folders(self._step, self._root)


def _remove(path: Path, shown: Path, *, dryrun: bool) -> None:
    print(f"would remove {shown}" if dryrun else f"remove {shown}")
    if dryrun:
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _remove_empty_folders(step: Step, root: Path) -> None:
    for output in step.outputs:
        for folder in Path(output).parents:
            if folder in (Path("build"), Path(".")):
                break
            with contextlib.suppress(OSError):  # not empty, or not there
                (root / folder).rmdir()
