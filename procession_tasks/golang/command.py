"""Runs the go command, with the environment and the toolchain that a mode declares."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from procession_tasks import process
from procession_tasks.golang import toolchain
from procession_tasks.golang.context import Context
from procession_tasks.golang.program import Mode, environment


def run_go(
    context: Context,
    mode: Mode,
    command: Iterable[str],
    scratch: Path | None = None,
    more: Mapping[str, str] | None = None,
) -> process.Finished:
    """Run a `go` command of this mode in the repository.

    `scratch` is where it puts what it needs on the way; whoever gives it removes it, which `go`
    itself does not when it is killed.  `more` is environment that changes no byte.  Raises
    BuildError when the pinned toolchain is not there.
    """
    found = toolchain.find(mode.version, context.environment)
    declared = dict(environment(mode))
    if mode.workspace:
        declared["GOWORK"] = os.fspath(context.root / mode.workspace)
    if scratch:
        declared["GOTMPDIR"] = os.fspath(scratch)
    places = toolchain.places(context.environment) | dict(more or {})
    argv = [os.fspath(found.go), *list(command)[1:]]
    return process.run(argv, folder=context.root, environment=places | declared)
