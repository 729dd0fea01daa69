"""What a run tells: a line a finished task, each failure once, and how it ended."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from doit.exceptions import BaseFail, TaskFailed, UnmetDependency
from doit.reporter import ConsoleReporter

from procession_tasks.graph.session import Taken, session

if TYPE_CHECKING:
    from procession_tasks.graph.notes import Notes


class BuildReporter(ConsoleReporter):  # type: ignore[misc]  # doit has no types
    """Names what ran and how long it took; what is up to date is counted, not listed."""

    desc = "a line a task that ran, and a summary"

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        self._started: dict[str, float] = {}
        self._ran = 0
        self._fresh: list[str] = []
        self._checked = False
        self._failed: list[str] = []
        self._skipped: list[str] = []
        self._told: set[str] = set()
        self._happened = session().happened
        self._lock = threading.Lock()
        self._all: tuple[Any, Any] = ({}, ())

    def initialize(self, tasks: Any, selected_tasks: Any) -> None:
        self._all = tasks, selected_tasks

    @property
    def _notes(self) -> Notes:
        """The notes of this run, which one with nothing to do has none of."""
        during = session()
        with self._lock:
            if during.notes is None:
                from procession_tasks.graph.notes import Notes  # there is work

                during.notes = Notes(during, *self._all)
            return during.notes

    def execute_task(self, task: Any) -> None:
        self._started[task.name] = time.monotonic()
        if task.targets:
            self._notes.started(task)

    def skip_uptodate(self, task: Any) -> None:
        if task.targets:
            self._fresh.append(task.name)

    def skip_ignore(self, task: Any) -> None:
        self._checked = True  # told in every run
        super().skip_ignore(task)

    def add_success(self, task: Any) -> None:
        if not task.targets:
            self._checked = self._checked or bool(task.actions)
        else:
            self._ran += 1
            self._note(task, "built")
            seconds = time.monotonic() - self._started.get(task.name, time.monotonic())
            self.write(f"{task.name:<40} {seconds:6.2f} s{_where(task.name)}\n")
            self.outstream.flush()

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        if isinstance(fail, UnmetDependency):
            if task.targets:
                self._skipped.append(task.name)
                self._note(task, "skipped")
            return
        self._failed.append(task.name)
        if not isinstance(fail, TaskFailed):
            session().bug = True
        message = _shown(fail.message if isinstance(fail, TaskFailed) else fail.get_msg())
        self._note(task, "failed", message)
        self.outstream.flush()
        if message not in self._told:
            self._told.add(message)
            sys.stderr.write(f"{task.name}: failed\n{message.rstrip()}\n")
        else:
            sys.stderr.write(f"{task.name}: failed for the same reason\n")
        sys.stderr.flush()

    def complete_run(self) -> None:
        if not (self.runtime_errors or self._failed or self._skipped or self._checked):
            session().up_to_date = self._ran + len(self._fresh)
        session().bug = session().bug or bool(self.runtime_errors)
        for error in self.runtime_errors:
            sys.stderr.write(f"{error}\n")
            if self._happened:
                self._happened.failed("", error)
        if self._skipped:
            sys.stderr.write(f"not built, because of that: {', '.join(sorted(self._skipped))}\n")
        elif self._ran:
            self.write(f"{_tasks(self._ran)} run, {len(self._fresh)} up to date{_saved(session().taken)}\n")
        elif self._fresh and not (self._failed or self._checked):
            self.write(nothing_to_do(len(self._fresh)))
        self.outstream.flush()
        if self._happened or session().notes:
            self._notes.finish(self._fresh)
        if self._happened:
            self._happened.finish(self._notes.ran, self._notes.reason)

    def _note(self, task: Any, how: str, message: str = "") -> None:
        self._notes.ended(task, how)
        if self._happened and message:
            self._happened.failed(task.name, message)


def _where(name: str) -> str:
    """Say where a task's outcome comes from, if it was not made here."""
    if name in session().taken:
        return f"  from {session().taken[name].where}"
    return f"  on {session().executed[name]}" if name in session().executed else ""


def nothing_to_do(count: int) -> str:
    """Say that a run found these tasks up to date."""
    return f"nothing to do: {_tasks(count)} up to date\n"


def _shown(message: str) -> str:
    """Leave what others said, such as a compiler, to a terminal as it is; a log takes no control characters."""
    if sys.stderr.isatty():
        return message
    from procession_tasks.graph.report import plain  # failures alone need it

    return plain(message)


def _saved(taken: Mapping[str, Taken]) -> str:
    """Say how much of a run came from caches, and what that spared."""
    if not taken:
        return ""
    saved = sum(one.seconds for one in taken.values())
    return f"; {len(taken)} from caches, which spared {saved:.1f} s of work"


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"
