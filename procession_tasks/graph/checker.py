"""Up-to-date checking: doit's file checker on XXH3-128, and what doit itself does not check."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from doit import Globals
from doit.dependency import FileChangedChecker

from procession_tasks.graph.session import session
from procession_tasks.states import ABSENT

if TYPE_CHECKING:
    from procession_tasks.step import Step

NEVER_BUILT = "it was never built here"
_UNCERTAIN = "an input moved"
_MOST = 3  # names in a reason


class ContentChecker(FileChangedChecker):  # type: ignore[misc]  # doit has no types
    """Compares what files and folders hold; a file is read at most once a run.

    The state that gets recorded is the one seen before the action ran, so an edit made during
    a build is seen by the next one.
    """

    CheckerError = FileNotFoundError

    def __init__(self) -> None:
        self._states = session().states

    def exists(self, file_path: str) -> bool:
        return self._states.state(file_path) != ABSENT

    def info(self, file_path: str) -> str:
        state = self._states.state(file_path)
        if state == ABSENT:
            raise FileNotFoundError(file_path)
        return state

    def check_modified(self, file_path: str, file_stat: str, state: str) -> bool:
        del file_path
        return file_stat != state

    def get_state(self, dep: str, current_state: str | None) -> str | None:
        state = self._states.state(dep)
        return None if state == current_state else state


class Declared:
    """An `uptodate` item: the step is declared as it was, and its outputs are as it left them.

    doit checks that targets exist; an output that was edited, cut short or swapped is made
    again, not trusted.  `moved` tells whether an input behind the
    step's own was written while the action ran.  Its `repr` is the reason, for `doit info`.
    """

    def __init__(self, step: Step, moved: Callable[[], bool] = lambda: False) -> None:
        self._step = step
        self._digest = step.digest
        self._session = session()
        self._moved = moved
        self._reason = ""

    def __call__(self, task: Any, values: dict[str, Any]) -> bool:
        states = self._session.states
        for path in task.file_dep:
            states.state(path)  # seen now, before the action runs
        self._reason = self._stale(values)
        return not self._reason

    def __repr__(self) -> str:
        return self._reason

    @property
    def reason(self) -> str:
        """Why the step has to run, as last asked; empty if it need not."""
        return self._reason

    def configure_task(self, task: Any) -> None:
        """Have doit ask for what to remember (only after the action succeeded)."""
        task.value_savers.append(self._made)

    def _stale(self, values: dict[str, Any]) -> str:
        if not values:
            return NEVER_BUILT
        if values.get("declared") == _UNCERTAIN:
            return "an input was written while it was used"
        if values.get("declared") != self._digest:
            return "its declaration changed: command, flags, environment, toolchain or our own format"
        for path, state in values.get("outputs", {}).items():
            if self._session.states.state(path) != state:
                return f"{path} is not as it was built"
        return ""

    def _made(self) -> dict[str, Any]:
        """Remember what was made, unless an input was written meanwhile: what went in is not known then."""
        states = self._session.states
        states.forget(self._step.outputs)
        if self._moved() or any(map(states.has_moved, self._step.inputs)):
            self._session.moved = True
            return {"declared": _UNCERTAIN}
        return {"declared": self._digest, "outputs": {path: states.state(path) for path in self._step.outputs}}


class Inputs(Protocol):
    """What knows whether a program's inputs are as they were listed."""

    def fresh(self, package: str) -> bool: ...


class Listed:
    """An `uptodate` item: nothing moved that could change what `go list` says of a program."""

    def __init__(self, inputs: Inputs, package: str) -> None:
        self._inputs = inputs
        self._package = package
        self._is_fresh = True

    def __call__(self) -> bool:
        self._is_fresh = self._inputs.fresh(self._package)
        return self._is_fresh

    def __repr__(self) -> str:
        return "a source, a folder of sources, a module file or the C compiler is not as it was listed"

    @property
    def reason(self) -> str:
        """As that of `Declared`."""
        return "" if self._is_fresh else repr(self)


def why(task: Any) -> str:
    """Say in a line why a task runs, when it starts: what doit found when it asked is known by then."""
    for item, _, _ in reversed(task.uptodate):  # the step itself before what is behind it
        if isinstance(item, Declared | Listed) and item.reason:
            return item.reason
    if task.dep_changed:
        return f"{some(task.dep_changed)} changed"
    gone = {*(Globals.dep_manager.backend.get(task.name, "deps:") or ())} - task.file_dep
    return f"{some(gone)} went" if gone else "it was asked for, stale or not"


def some(names: Iterable[str]) -> str:
    """Name the first few."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _MOST} more" if len(ordered) > _MOST else ""
    return ", ".join(ordered[:_MOST]) + more


# doit looks up the parameters of every `uptodate` callable; saying them once spares it the search.
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
Declared.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [inspect.Parameter("task", _POSITIONAL), inspect.Parameter("values", _POSITIONAL)]
)
Listed.__signature__ = inspect.Signature([])  # type: ignore[attr-defined]
