"""What all tasks of one doit run share: the repository, what files hold, the Go listings."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path

from procession_tasks.errors import BuildError
from procession_tasks.golang.inputs import Context, Inputs
from procession_tasks.golang.program import Mode
from procession_tasks.states import States

STATE = "build/state"


@dataclass(eq=False)
class Session:
    """One run in one repository; `root` is the folder of dodo.py."""

    root: Path
    environment: dict[str, str]
    states: States
    inputs_by_mode: dict[Mode, Inputs] = field(default_factory=dict)

    @property
    def go(self) -> Context:
        """Where Go runs."""
        return Context(self.root, self.states, self.environment)

    def inputs(self, mode: Mode) -> Inputs:
        """Return the inputs of a mode's programs, kept under ``build/state/closures``."""
        if mode not in self.inputs_by_mode:
            path = self.root / STATE / "closures" / mode.name
            self.inputs_by_mode[mode] = Inputs(self.go, mode, path)
        return self.inputs_by_mode[mode]


@functools.lru_cache(maxsize=1)
def session() -> Session:
    """Return the session of this process, in the folder doit has changed to."""
    root = Path.cwd()
    return Session(root, dict(os.environ), States(root, root / STATE / "states"))


def source_date(environment: dict[str, str]) -> int:
    """Return the time inside artefacts, in seconds since 1970: SOURCE_DATE_EPOCH, else 0.

    Raises BuildError when the variable is no such number.
    """
    text = environment.get("SOURCE_DATE_EPOCH", "0")
    if not text.isascii() or not text.isdigit() or int(text) >= 2**33:
        hint = "unset it, or give seconds since 1970"
        raise BuildError(f"SOURCE_DATE_EPOCH: must be a whole number of seconds, got {text!r}", hint=hint)
    return int(text)
