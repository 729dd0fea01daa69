"""Notes what becomes of the tasks of one run, and why; only a run that has work to do imports this."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from doit import Globals

from procession_tasks.graph import record
from procession_tasks.graph.cause import (
    ASKED,
    COMMAND,
    DECLARATION,
    ENVIRONMENT,
    NEVER,
    TOOLCHAIN,
    UNCERTAIN,
    Cause,
    words,
)
from procession_tasks.graph.checker import causes, step_of
from procession_tasks.graph.record import BUILT, CACHED, FRESH, SKIPPED, Ran, Run, Transfer
from procession_tasks.graph.remembered import is_missing, remember
from procession_tasks.graph.session import Session

_DECLARES = frozenset([ASKED, COMMAND, DECLARATION, ENVIRONMENT, NEVER, TOOLCHAIN, UNCERTAIN])


@dataclass(frozen=True, slots=True)
class Start:
    """When and where a task started; `reason` is its own, `chain` leads from what changed to it."""

    moment: float
    reason: str
    chain: tuple[str, ...]
    thread: int


class Notes:
    """The notes of one run; the reporter makes them, from several threads.

    `tasks` are all there are, `selected` the names of those that were asked for.  `ran` is there once they
    are `finish`ed, each after those that it needs; `moves` are transfers by the monotonic clock.
    """

    def __init__(self, session: Session, tasks: Mapping[str, Any], selected: Sequence[str]) -> None:
        self._session = session
        self._tasks, self._selected = tasks, selected
        self._makers = {path: task.name for task in tasks.values() for path in task.targets}
        self._starts: dict[str, Start] = {}
        self._ended: dict[str, Ran] = {}
        self._threads: dict[int, int] = {}
        self._lock = threading.Lock()
        self._declares = False  # whether something was declared, or a folder held something, that is not remembered
        self.ran: tuple[Ran, ...] = ()
        self.moves: Sequence[Transfer] = ()

    def started(self, task: Any, moment: float, thread: int, recorded: Mapping[str, Any]) -> None:
        """Note that a task started, and why; `recorded` is what was of it before.

        Of tasks that need one another, first the one that is needed.
        """
        found = causes(task, recorded)
        reason, chain = self._why(task, found)
        is_more = any(cause.what in _DECLARES for cause in found) or any(map(os.path.isdir, task.dep_changed))
        with self._lock:
            self._declares |= is_more
            number = self._threads.setdefault(thread, len(self._threads))
        self._starts[task.name] = Start(moment - self._session.begun, reason, chain, number)

    def ended(self, task: Any, how: str) -> None:
        """Note how a task ended."""
        now = self._now()
        start = self._starts.get(task.name) or Start(now, "", (), 0)
        where, saved = None, 0.0
        if how == BUILT and (taken := self._session.taken.get(task.name)):
            how, where, saved = CACHED, taken.where, taken.seconds
        elif how == BUILT:
            where = self._session.executed.get(task.name)
        seconds = now - start.moment
        self._ended[task.name] = Ran(task.name, how, start.moment, seconds, start.chain, where, saved, start.thread)

    def reason(self, name: str) -> str:
        """Return why a task ran, without what led to it; empty for one that did not."""
        return self._starts[name].reason if name in self._starts else ""

    def finish(self, fresh: Iterable[str]) -> None:
        """Note what became of every task that was asked for or needed and makes a file, and of any other that ended.

        `fresh` are those that were up to date.
        """
        is_fresh = frozenset(fresh)
        known = [
            name for name in needed(self._tasks, self._selected) if name in self._ended or self._tasks[name].targets
        ]
        self.ran = tuple(self._ended.get(name) or Ran(name, FRESH if name in is_fresh else SKIPPED) for name in known)
        if self._declares or is_missing(self._session.root):
            steps = (step for task in self._tasks.values() if (step := step_of(task)))
            remember(self._session, steps, Globals.dep_manager.backend)

    def keep(self, asked: Iterable[str], status: int) -> None:
        """Keep what the run did, once it is over; not that of one which made no file."""
        if self._starts:
            begun, seconds = self._session.begun, self._now()
            moves = tuple((what, at - begun, took, size) for what, at, took, size in self.moves)
            run = Run(tuple(asked), time.time() - seconds, seconds, status, self.ran, moves)
            record.keep(self._session.root, run)

    def _now(self) -> float:
        return time.monotonic() - self._session.begun

    def _why(self, task: Any, found: Iterable[Cause]) -> tuple[str, tuple[str, ...]]:
        """Say why a task runs, and what led to it: the shortest chain there is."""
        made = [cause.subject for cause in found if cause.is_input and self._maker(cause.subject)]
        own = [cause for cause in found if cause.subject not in made]
        reason = words(found)
        if own or not made:
            return reason, (words(own), task.name)
        behind = min((self._starts[self._maker(path)].chain for path in made), key=len)
        return reason, (*behind, task.name)

    def _maker(self, path: str) -> str:
        """Name the task of this run that has written a path; empty when there is none."""
        while path:
            if (name := self._makers.get(path)) is not None:
                return name if name in self._starts else ""
            path = os.path.dirname(path)
        return ""


def needed(tasks: Mapping[str, Any], selected: Iterable[str]) -> list[str]:
    """Name the tasks that were asked for and all they depend on, which come first."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in found:
            for other in tasks[name].task_dep:
                visit(other)
            found[name] = None

    for name in selected:
        visit(name)
    return list(found)
