"""What a run tells: a line a finished task, each failure once, and how it ended."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from doit.exceptions import BaseFail, TaskFailed, UnmetDependency
from doit.reporter import ConsoleReporter

from procession_tasks.graph.above import Streams, is_terminal
from procession_tasks.graph.checker import recorded, step_of
from procession_tasks.graph.session import STATE, Taken, session

if TYPE_CHECKING:
    from procession_tasks.graph.notes import Notes
    from procession_tasks.graph.progress import Progress
    from procession_tasks.graph.screen import Screen

_TALKATIVE = 2  # doit's verbosity
_SHOWN_S = 0.1  # what takes no longer is not shown while it runs


class BuildReporter(ConsoleReporter):  # type: ignore[misc]  # doit has no types
    """Names what ran and how long it took; what is up to date is counted, not listed.

    At a terminal it shows what runs while it runs, and in the end what became of each image.
    """

    desc = "a line a task that ran, and a summary"

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        self._started: dict[str, float] = {}
        self._starts: deque[tuple[Any, float, int, dict[str, Any]]] = deque()  # that are not noted yet
        self._ran = 0
        self._fresh: list[str] = []
        self._checked = False
        self._failed: list[str] = []
        self._skipped: list[str] = []
        self._told: set[str] = set()
        self._logs: frozenset[str] | None = None
        self._happened = session().happened
        self._lock = threading.Lock()
        self._all: tuple[Any, Any] = ({}, ())
        self.outstream: Any = outstream  # while somebody looks on, what stands for it
        self._terminal = outstream
        self._is_watched = is_terminal(outstream)
        self._has_begun = False
        self._streams: Streams | None = None
        self._progress: Progress | None = None
        self._screen: Screen | None = None

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
            while self._starts:
                during.notes.started(*self._starts.popleft())
            return during.notes

    def execute_task(self, task: Any) -> None:
        moment = self._started[task.name] = time.monotonic()
        if task.targets:
            self._starts.append((task, moment, threading.get_ident(), recorded(task)))
        self._begin()
        if self._progress:
            self._progress.started(task.name)

    def skip_uptodate(self, task: Any) -> None:
        if task.targets:
            self._fresh.append(task.name)
            if self._progress:
                self._progress.stopped(task.name, "fresh")

    def skip_ignore(self, task: Any) -> None:
        self._checked = True  # told in every run
        super().skip_ignore(task)

    def add_success(self, task: Any) -> None:
        if not task.targets:
            self._checked = self._checked or bool(task.actions)
            if self._progress:
                self._progress.stopped(task.name, None)
        else:
            self._ran += 1
            self._note(task, "built")
            self.tell(task)
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
        message = fail.message if isinstance(fail, TaskFailed) else fail.get_msg()
        self._note(task, "failed", message)
        self.outstream.flush()
        self.tell_failure(task, message)
        sys.stderr.flush()

    def complete_run(self) -> None:
        self._close()
        if not (self.runtime_errors or self._failed or self._skipped or self._checked):
            session().up_to_date = self._ran + len(self._fresh)
        session().bug = session().bug or bool(self.runtime_errors)
        for error in self.runtime_errors:
            sys.stderr.write(f"{error}\n")
            if self._happened:
                self._happened.failed("", error)
        self._finish()
        if self._skipped:
            sys.stderr.write(f"not built, because of that: {', '.join(sorted(self._skipped))}\n")
        elif self._ran:
            self.write(f"{_tasks(self._ran)} run, {len(self._fresh)} up to date{_saved(session().taken)}\n")
        elif self._fresh and not (self._failed or self._checked):
            self.write(nothing_to_do(len(self._fresh)))
        self.outstream.flush()

    def tell(self, task: Any) -> None:
        """Tell that a task has made something, and why it had to if that is asked for."""
        seconds, where = time.monotonic() - self._started.get(task.name, time.monotonic()), _where(task.name)
        if screen := self._watched():
            line = screen.line(task.name, seconds, where, "cached" if task.name in session().taken else "built")
        else:
            line = f"{task.name:<40} {seconds:6.2f} s{where}"
        self.write(f"{line}\n")
        if task.verbosity >= _TALKATIVE:
            self.write(f"  because {self._notes.reason(task.name)}\n")
        self._remove_log(task.name)

    def tell_failure(self, task: Any, message: str) -> str | None:
        """Tell what a failed action said, once, how it was run and where that is kept, which is returned."""
        from procession_tasks.graph.failing import block, write_log  # failures alone need it
        from procession_tasks.graph.plaintext import plain  # as above

        step = step_of(task)
        log = write_log(session().root, task.name, step, message) if step else None
        # What others said, such as a compiler, goes to a terminal as it is; a log takes no control characters.
        text = message if sys.stderr.isatty() else plain(message)
        if text in self._told:
            sys.stderr.write(f"{task.name}: failed for the same reason\n")
        else:
            self._told.add(text)
            sys.stderr.write(block(task.name, text, step, log, session().environment))
        return log

    def _remove_log(self, name: str) -> None:
        """Remove what an earlier failure of a task left; most runs find no log at all."""
        log = log_of(name)
        if self._logs is None:
            folder = session().root / os.path.dirname(log)
            self._logs = frozenset(os.listdir(folder) if folder.is_dir() else ())
        if os.path.basename(log) in self._logs:
            with contextlib.suppress(OSError):
                os.unlink(session().root / log)

    def _begin(self) -> None:
        """Begin to show and to note, now that there is something to do: before long, when others are at work."""
        with self._lock:
            if self._has_begun:
                return
            self._has_begun = True
            if self._is_watched:
                from procession_tasks.graph.progress import Progress  # nobody else needs it

                self._progress = Progress(len(self._fresh))
                self._streams = Streams(self._terminal)
                self.outstream = self._streams.above
            showing = threading.Timer(_SHOWN_S, self._show)
            showing.name, showing.daemon = "showing", True
            showing.start()

    def _show(self) -> None:
        """Do what takes a while to load."""
        self._watched()
        if self._starts:
            self._notes  # noqa: B018  # of what has started

    def _watched(self) -> Screen | None:
        """Return what somebody at the terminal sees, if anybody is there."""
        with self._lock:
            if self._screen is None and self._progress and self._streams and self._is_watched:
                from procession_tasks.graph.screen import Screen  # loaded while others work, if they take a while

                self._screen = Screen(self._terminal, self._progress, *self._all)
                self._screen.open(self._streams)
        return self._screen

    def _close(self) -> None:
        """Leave the terminal to others."""
        screen = self._watched()
        with self._lock:
            self._is_watched = False
        if self._progress:
            self._progress.close()
        if self._streams:
            self._streams.restore()
            self.outstream = self._terminal
        if screen:
            screen.close()

    def _finish(self) -> None:
        """Have those who want to know of the run told that it is over."""
        if self._happened or session().notes:
            self._notes.finish(self._fresh)
        if self._happened:
            self._happened.finish(self._notes.ran, self._notes.reason)
        is_idle = self._progress is not None and self._progress.is_idle
        if self._screen and is_idle and (table := self._screen.table(session())):
            self.write(f"\n{table}")

    def _note(self, task: Any, how: str, message: str = "") -> None:
        self._notes.ended(task, how)
        if self._progress:
            self._progress.stopped(task.name, "cached" if how == "built" and task.name in session().taken else how)
        if self._happened and message:
            self._happened.failed(task.name, message)


def log_of(name: str) -> str:
    """Name the file, relative to the repository, that keeps what a task's failed action said.

    It has no colon: GitHub takes no artefact with one, nor do some file systems.
    """
    return f"{STATE}/logs/{name.replace(':', '.').replace('/', '+')}.log"


def _where(name: str) -> str:
    """Say where a task's outcome comes from, if it was not made here."""
    if name in session().taken:
        return f"  from {session().taken[name].where}"
    return f"  on {session().executed[name]}" if name in session().executed else ""


def nothing_to_do(count: int) -> str:
    """Say that a run found these tasks up to date."""
    return f"nothing to do: {_tasks(count)} up to date\n"


def _saved(taken: Mapping[str, Taken]) -> str:
    """Say how much of a run came from caches, and what that spared."""
    if not taken:
        return ""
    saved = sum(one.seconds for one in taken.values())
    return f"; {len(taken)} from caches, which spared {saved:.1f} s of work"


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"
