"""What a run tells machines while it goes on: one JSON object a line; docs/output.md describes them."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from typing import Any

from doit.exceptions import BaseFail, UnmetDependency

from procession_tasks.graph.notes import needed
from procession_tasks.graph.report import VERSION, Report, summary
from procession_tasks.graph.reporter import BuildReporter
from procession_tasks.graph.session import session


class JsonReporter(BuildReporter):
    """Tells when a task begins and how it ended; people are told of failures and warnings on stderr, as ever."""

    desc = "one JSON object a line"

    def __init__(self, outstream: Any, options: dict[str, Any]) -> None:
        super().__init__(outstream, options)
        self._is_watched = False
        self._stdout = sys.stdout
        self._message, self._log = "", ""

    def initialize(self, tasks: Any, selected_tasks: Any) -> None:
        super().initialize(tasks, selected_tasks)
        sys.stdout = sys.stderr  # what tasks print is no JSON
        total = sum(bool(tasks[name].targets) for name in needed(tasks, selected_tasks))
        self._event("begun", version=VERSION, tasks=total)

    def execute_task(self, task: Any) -> None:
        super().execute_task(task)
        why = self._notes.reason(task.name) if task.targets else ""
        self._event("started", task=task.name, why=why or None)

    def skip_uptodate(self, task: Any) -> None:
        super().skip_uptodate(task)
        if task.targets:
            self._finished(task, "fresh")

    def skip_ignore(self, task: Any) -> None:
        super().skip_ignore(task)
        self._finished(task, "ignored")

    def add_success(self, task: Any) -> None:
        super().add_success(task)
        taken = session().taken.get(task.name)
        if taken:
            self._finished(task, "cached", **{"from": taken.where, "saved_seconds": round(taken.seconds, 3)})
        elif task.actions:
            self._finished(task, "built" if task.targets else "done")

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        super().add_failure(task, fail)
        if not isinstance(fail, UnmetDependency):
            self._finished(task, "failed", message=self._message.rstrip(), log=self._log or None)
        elif task.targets:
            self._finished(task, "skipped")

    def complete_run(self) -> None:
        sys.stdout = self._stdout
        super().complete_run()

    def tell_failure(self, task: Any, message: str) -> str | None:
        log = super().tell_failure(task, message)
        self._message, self._log = message, log or ""
        return log

    def write(self, text: str) -> None:
        """Tell people nothing."""

    def _finished(self, task: Any, outcome: str, **more: Any) -> None:
        started = self._started.get(task.name)
        seconds = 0.0 if started is None else time.monotonic() - started
        self._event("finished", task=task.name, outcome=outcome, seconds=round(seconds, 3), **more)

    def _event(self, event: str, **more: Any) -> None:
        """Write a line, whole: tasks begin in several threads."""
        at = round(time.monotonic() - session().begun, 3)
        with self._lock:
            _put({"event": event, "at": at, **more}, self.outstream)


def summarize(report: Report, outfile: Any) -> None:
    """Write the last line: how it all ended, as in `--report`; `outfile` is as doit takes it."""
    document = {"event": "summary", "at": round(report.seconds, 3), **summary(report)}
    if not isinstance(outfile, str):
        _put(document, outfile)
        return
    with contextlib.suppress(OSError), open(outfile, "a", encoding="utf-8") as stream:  # doit wrote the others there
        _put(document, stream)


def _put(document: dict[str, Any], stream: Any) -> None:
    stream.write(json.dumps(document) + "\n")
    stream.flush()
