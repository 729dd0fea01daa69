"""What `go list` says of programs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from procession_tasks.errors import BuildError
from procession_tasks.golang import closure
from procession_tasks.golang.closure import Package
from procession_tasks.golang.command import run_go
from procession_tasks.golang.context import Context
from procession_tasks.golang.program import Mode, list_command
from procession_tasks.golang.said import said


def packages(programs: Sequence[str], mode: Mode, context: Context) -> dict[str, Package]:
    """List these programs with one `go list`: every package of theirs, by import path.

    Raises BuildError when Go cannot say: a broken go.mod, the wrong Go, no C compiler.
    """
    finished = run_go(context, mode, list_command(mode, programs))
    if finished.status != 0:
        what = said(finished.stderr, mode.module, os.fspath(context.root))
        raise BuildError(what or f"go list: exit status {finished.status}")
    listed = closure.parse_list(finished.stdout.decode("utf-8", "surrogateescape"))
    return closure.packages(listed, context.root, _checksums(listed, mode, context.root))


def _checksums(listed: Iterable[Mapping[str, Any]], mode: Mode, root: Path) -> dict[str, str]:
    sums = [Path(folder, "go.sum") for folder in sorted(closure.module_folders(listed))]
    if mode.workspace:
        sums.append(root / f"{mode.workspace}.sum")
    return closure.checksums(path.read_text(encoding="utf-8") for path in sums if path.is_file())
