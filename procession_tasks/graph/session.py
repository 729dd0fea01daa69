"""What all tasks of one doit run share: the repository, what files hold, the Go listings."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from procession_tasks.errors import BuildError
from procession_tasks.states import States

if TYPE_CHECKING:
    from procession_tasks.cache.execution import Engine
    from procession_tasks.golang.context import Context
    from procession_tasks.golang.inputs import Inputs
    from procession_tasks.golang.program import Mode
    from procession_tasks.graph.caching import Caching
    from procession_tasks.graph.happened import Happened
    from procession_tasks.graph.notes import Notes

STATE = "build/state"
DATABASE = f"{STATE}/tasks.log"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a task made was taken from a cache: which one, and the seconds that making it had taken."""

    where: str
    seconds: float


@dataclass(eq=False)
class Session:
    """One run in one repository; `root` is the folder of dodo.py.

    `asked_for` are the variables of the environment whose value decides what is stale.
    `up_to_date` is the number of tasks that a finished run leaves up to date, None while
    something else is left to do.  `afterwards` is done when the tasks are done and the tree is free for other runs, and
    returns the exit status.  `bug` is set by an error that no user can mend,
    `moved` by an input that changed while it was used.  `taken` are the tasks that caches had
    the outcome of, `executed` those whose work an engine did, by its name; `caches` and `engine` are
    those that were asked.  `happened` is there if somebody wants to know
    what the run does, `notes` once it has work to do; `begun` is when it did, by the monotonic clock.
    """

    root: Path
    environment: dict[str, str]
    states: States
    asked_for: set[str] = field(default_factory=lambda: {"SOURCE_DATE_EPOCH"})
    up_to_date: int | None = None
    bug: bool = False
    moved: bool = False
    afterwards: Callable[[], int] | None = None
    taken: dict[str, Taken] = field(default_factory=dict)
    executed: dict[str, str] = field(default_factory=dict)
    caches: Caching | None = None
    engine: Engine | None = None
    happened: Happened | None = None
    notes: Notes | None = None
    begun: float = field(default_factory=time.monotonic)
    _inputs: dict[Mode, Inputs] = field(default_factory=dict)

    def variables(self, names: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
        """Return variables of the environment and their values, sorted; None for one that is unset."""
        return tuple((name, self.environment.get(name)) for name in sorted(names))

    @property
    def go(self) -> Context:
        """Where Go runs."""
        from procession_tasks.golang.context import Context  # a run with nothing to do needs no Go

        return Context(self.root, self.states, self.environment)

    @property
    def is_certain(self) -> bool:
        """Whether this run may be remembered: no input moved while it was used or listed."""
        return not self.moved and all(inputs.is_kept for inputs in self._inputs.values())

    def inputs(self, mode: Mode) -> Inputs:
        """Return the inputs of a mode's programs, kept under ``build/state/closures``."""
        if mode not in self._inputs:
            from procession_tasks.golang.inputs import Inputs  # as above

            if mode.cc:
                self.asked_for.add("PATH")  # it leads to the C compiler
            self._inputs[mode] = Inputs(self.go, mode, self.root / STATE / "closures" / mode.name)
        return self._inputs[mode]


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
