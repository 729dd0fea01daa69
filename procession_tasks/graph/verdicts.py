"""Which tasks a build would run, and what leads to that: doit's own decision, task by task, told apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from doit import Globals

from procession_tasks.graph.cause import ASKED, DELETED, NEVER, Cause, words
from procession_tasks.graph.checker import causes

STALE, WAITING, FRESH = "stale", "waiting", "fresh"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a build does with a task that makes files.

    It runs one that is stale, for `causes`; one that is waiting if what a task `behind` it gives is then
    not what it was made from, as `causes` say of what is there now; and none that is fresh.
    """

    name: str
    how: str
    causes: tuple[Cause, ...] = ()
    behind: tuple[str, ...] = ()


class Graph:
    """The tasks of a repository, and which of them makes what."""

    def __init__(self, tasks: Mapping[str, Any]) -> None:
        self._tasks = tasks
        self._makers: dict[str, str] = {path: task.name for task in tasks.values() for path in task.targets}
        self._behind: dict[str, tuple[str, ...]] = {}

    def artefacts(self, name: str) -> list[str]:
        """Name the tasks that make the files which a task stands for: itself, or those that it joins."""
        task = self._tasks[name]
        if task.targets:
            return [name]
        return list(dict.fromkeys(found for needed in task.task_dep for found in self.artefacts(needed)))

    def behind(self, name: str) -> tuple[str, ...]:
        """Name the tasks that make what a task is made from."""
        if (found := self._behind.get(name)) is None:
            makers = map(self.maker, sorted(self._tasks[name].file_dep))
            found = self._behind[name] = tuple(dict.fromkeys(maker for maker in makers if maker))
        return found

    def maker(self, path: str) -> str | None:
        """Name the task that makes a path, or the folder it is in."""
        while path:
            if (name := self._makers.get(path)) is not None:
                return name
            path = path.rpartition("/")[0]
        return None

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Name these tasks and all that make something for them, those first."""
        found: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in found:
                for maker in self.behind(name):
                    visit(maker)
                found[name] = None

        for name in names:
            visit(name)
        return list(found)

    def judge(self, names: Iterable[str]) -> dict[str, Verdict]:
        """Say of these tasks and all behind them what a build would do; in order."""
        found: dict[str, Verdict] = {}
        for name in self.in_order(names):
            found[name] = self._judge(name, found)
        return found

    def all_fresh(self, names: Iterable[str]) -> dict[str, Verdict]:
        """Say the same where it is known that nothing is stale."""
        return {name: Verdict(name, FRESH) for name in self.in_order(names)}

    def _judge(self, name: str, known: Mapping[str, Verdict]) -> Verdict:
        task = self._tasks[name]
        behind = tuple(maker for maker in self.behind(name) if known[maker].how != FRESH)
        status = Globals.dep_manager.get_status(task, self._tasks, get_log=True)
        if status.status == "up-to-date":
            return Verdict(name, WAITING if behind else FRESH, behind=behind)
        missing = (Cause(DELETED, path) for path in status.reasons.get("missing_file_dep", ()))
        found = (*(cause for cause in causes(task) if cause.what != ASKED), *missing)
        own = tuple(cause for cause in found if not (cause.is_input and self.maker(cause.subject) in behind))
        return Verdict(name, STALE if own or not behind else WAITING, own or found, behind)


def chain(name: str, verdicts: Mapping[str, Verdict]) -> tuple[str, ...]:
    """Return the shortest way from what changed to a task: what changed in words, then tasks; empty for a fresh one."""
    verdict = verdicts[name]
    if verdict.how == STALE:
        return words(verdict.causes), name
    if verdict.how == FRESH:
        return ()
    return (*min((chain(behind, verdicts) for behind in verdict.behind), key=len), name)


def chains(names: Iterable[str], verdicts: Mapping[str, Verdict]) -> list[tuple[str, ...]]:
    """Return the shortest ways to tasks, shortest first; those that differ in the end alone are one, with all ends."""
    ways: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        if way := chain(name, verdicts):
            ways.setdefault(way[:-1], []).append(name)
    return sorted(((*way, ", ".join(ends)) for way, ends in ways.items()), key=len)


def others(names: Iterable[str], verdicts: Mapping[str, Verdict]) -> Iterator[tuple[str, ...]]:
    """Return what is stale behind tasks and on none of their shortest ways, but for what was never built."""
    told = {word for name in names for word in chain(name, verdicts)}
    for verdict in verdicts.values():
        if verdict.how == STALE and verdict.name not in told and verdict.causes != (Cause(NEVER),):
            yield words(verdict.causes), verdict.name
