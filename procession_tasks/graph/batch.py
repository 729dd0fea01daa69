"""Runs what several stale tasks ask for in one go: one `go list`, one `go build`.

doit decides and runs task by task.  The first task of a batch that doit asks about has the
others decided too, by doit's own function; the first whose action runs does the work of all
that are stale, and each takes its own part of the outcome.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

from doit import Globals
from doit.dependency import UptodateCalculator

from procession_tasks.errors import BuildError

# Does the work of the given tasks and returns, for each that failed, what went wrong.
Work = Callable[[dict[str, Any]], dict[str, BuildError]]


class Batch:
    """The tasks whose work can be done together; each brings what the work needs to know of it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._members: dict[str, Any] = {}
        self._stale: set[str] | None = None
        self._lock = threading.Lock()
        self._outcome: dict[str, BuildError | None] = {}

    def join(self, name: str, part: Any) -> Together:
        """Add a task and its part of the work; what is returned goes first into its `uptodate`."""
        self._members[name] = part
        return Together(self)

    def decide(self, tasks: dict[str, Any]) -> None:
        """Find out which members are stale, once, before any of their actions runs."""
        if self._stale is None:
            self._stale = set()  # also keeps the members' own questions from coming back here
            status = Globals.dep_manager.get_status
            members = (tasks[name] for name in self._members if name in tasks)
            self._stale |= {task.name for task in members if status(task, tasks).status != "up-to-date"}

    def run(self, name: str) -> None:
        """Do the work of this task, and of every stale one with it, unless it was done already.

        Raises the BuildError that concerns this task.
        """
        with self._lock:
            if name not in self._outcome:
                names = sorted(({name} | (self._stale or set())) - self._outcome.keys())
                failed = self._work({member: self._members[member] for member in names})
                self._outcome |= {member: failed.get(member) for member in names}
        if error := self._outcome[name]:
            raise error


class Together(UptodateCalculator):  # type: ignore[misc]  # doit has no types
    """An `uptodate` item that decides for a whole batch and has no say in the task's own verdict."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self._batch = batch

    def __call__(self) -> None:
        self._batch.decide(self.tasks_dict)


Together.__signature__ = inspect.Signature([])  # spares doit the search
