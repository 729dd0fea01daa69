"""Measures how much of a run its reporter takes at a terminal, by counting within the run."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.absent import absent
from benchmarks.generate import Workspace, generate
from benchmarks.tools import Tools

_FIRST, _FEW = "everything, Go's cache empty", 3
_NOTHING, _BUILD = 3.0, 1.0  # percent of a run with nothing to do, and of a build


@dataclass(frozen=True)
class Share:
    """The reporter's share of one kind of run: the medians of the rounds, in seconds."""

    title: str
    run: float
    within: float
    beside: float
    limit: float

    @property
    def percent(self) -> float:
        """How much of the run waited for the reporter."""
        return 100 * self.within / self.run


def measure(found: Tools, work: Path, services: int, count: int) -> Iterator[Share]:
    """Run each kind of build `count` times in a generated repository, at a terminal of 80 columns."""
    workspace = generate(work / "reporter", services)
    once = _Terminal(found, workspace, work / "seconds")
    once()
    kinds: list[tuple[str, Callable[[], object], float]] = [
        ("nothing to do", lambda: None, _NOTHING),
        ("nothing to do, every file touched", workspace.touch, _NOTHING),
        ("one service changed", workspace.edit_code, _BUILD),
        ("a shared file changed", workspace.edit_shared, _BUILD),
        ("everything, Go's cache warm", lambda: absent(workspace.root / "build"), _BUILD),
        (_FIRST, lambda: absent(workspace.root / "build", Path(found.environment["GOCACHE"])), _BUILD),
    ]
    for title, before, limit in kinds:
        runs = []
        for _ in range(_FEW if title == _FIRST else count):
            before()
            runs.append(once())
        yield Share(
            title, *(statistics.median(run[name] for run in runs) for name in ("run", "within", "beside")), limit
        )


class _Terminal:
    """Runs doit at a terminal, and tells what it counted."""

    def __init__(self, found: Tools, workspace: Workspace, counted: Path) -> None:
        self._argv = (sys.executable, str(Path(__file__).with_name("accounted.py")), str(counted))
        self._root = workspace.root
        self._environment = {**found.environment, "TERM": "xterm-256color", "PROCESSION_CACHE": "off"}
        self._counted = counted

    def __call__(self) -> dict[str, float]:
        ours, theirs = os.openpty()
        ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        process = subprocess.Popen(self._argv, cwd=self._root, env=self._environment, **ends)
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 65536):
                said += part
        os.close(ours)
        if status := process.wait():
            raise SystemExit(f"doit ended with {status} in {self._root}:\n{said[-2000:].decode(errors='replace')}")
        counted: dict[str, float] = json.loads(self._counted.read_text("ascii"))
        return counted
