"""Up-to-date checking: doit's file checker on XXH3-128, and what doit itself does not check."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from doit import Globals
from doit.dependency import FileChangedChecker

from procession_tasks.graph.session import session
from procession_tasks.states import ABSENT

if TYPE_CHECKING:
    from procession_tasks.golang.difference import Difference
    from procession_tasks.graph.cause import Cause
    from procession_tasks.step import Step

_UNCERTAIN = "an input moved"


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
    step's own was written while the action ran.  `causes` is why the step has to run, as last asked;
    empty if it need not.  Its `repr` is that in words, for `doit info`.
    """

    def __init__(self, step: Step, moved: Callable[[], bool] = lambda: False) -> None:
        self.step = step
        self._session = session()
        self._moved = moved
        self.causes: tuple[Cause, ...] = ()

    @functools.cached_property
    def _digest(self) -> str:
        return self.step.digest  # who lists tasks has no use for it

    def __call__(self, task: Any, values: dict[str, Any]) -> bool:
        states = self._session.states
        for path in task.file_dep:
            states.state(path)  # seen now, before the action runs
        self.causes = self._stale(values)
        return not self.causes

    def __repr__(self) -> str:
        return _words(self.causes)

    def configure_task(self, task: Any) -> None:
        """Have doit ask for what to remember (only after the action succeeded)."""
        task.value_savers.append(self._made)

    def _stale(self, values: dict[str, Any]) -> tuple[Cause, ...]:
        """Find what is not as it was when the step was last made."""
        states, outputs = self._session.states, values.get("outputs", {})
        if values.get("declared") == self._digest and states.same(outputs.items()):
            return ()
        from procession_tasks.graph.cause import DECLARATION, LOST, NEVER, OUTPUT, UNCERTAIN, Cause  # it is stale

        if not values:
            return (Cause(NEVER),)
        if values["declared"] != self._digest:
            if values["declared"] == _UNCERTAIN:
                return (Cause(UNCERTAIN),)
            return self._declared_otherwise(values["declared"]) or (Cause(DECLARATION),)
        changed = ((path, states.state(path)) for path, made in outputs.items() if states.state(path) != made)
        return tuple(Cause(LOST if state == ABSENT else OUTPUT, path) for path, state in changed)

    def _declared_otherwise(self, digest: str) -> tuple[Cause, ...]:
        """Say which part of the declaration is another; nothing if what it was is not known any more."""
        from procession_tasks.graph.declaration import changes  # it is stale
        from procession_tasks.graph.remembered import remembered

        before = remembered(self._session.root).step(f"{self.step.kind}:{self.step.subject}", digest)
        return changes(before, self.step) if before else ()

    def _made(self) -> dict[str, Any]:
        """Remember what was made, unless an input was written meanwhile: what went in is not known then."""
        states = self._session.states
        states.forget(self.step.outputs)
        if self._moved() or any(map(states.has_moved, self.step.inputs)):
            self._session.moved = True
            return {"declared": _UNCERTAIN}
        return {"declared": self._digest, "outputs": {path: states.state(path) for path in self.step.outputs}}


class Inputs(Protocol):
    """What knows whether a program's inputs are as they were listed."""

    def fresh(self, package: str) -> bool: ...

    def differences(self, package: str) -> Iterable[Difference]: ...

    def digest(self, package: str) -> str: ...

    def text(self, package: str) -> bytes: ...


class Listed:
    """An `uptodate` item: nothing moved that could change what `go list` says of a program.

    Programs of several images may be one package, and what is kept of that was asked for by any of them: so
    this task's list has to be of what is kept.  `causes` as those of `Declared`.
    """

    def __init__(self, inputs: Inputs, package: str) -> None:
        self._inputs = inputs
        self._package = package
        self.causes: tuple[Cause, ...] = ()

    def __call__(self, task: Any, values: dict[str, Any]) -> bool:
        is_fresh = self._inputs.fresh(self._package)
        if is_fresh and values.get("listed") == self._inputs.digest(self._package):
            self.causes = ()
        elif is_fresh:
            self.causes = _of_lists(task.targets[0], self._inputs.text(self._package))
        else:
            self.causes = _of_listing(self._inputs.differences(self._package))
        return not self.causes

    def configure_task(self, task: Any) -> None:
        """As that of `Declared`."""
        task.value_savers.append(lambda: {"listed": self._inputs.digest(self._package)})

    def __repr__(self) -> str:
        return _words(self.causes)


def recorded(task: Any) -> dict[str, Any]:
    """Return what is recorded of the inputs that doit found to be different, and of which inputs there were.

    When the task has run there is something else.
    """
    get = Globals.dep_manager.backend.get
    return {name: get(task.name, name) for name in ("deps:", *task.dep_changed)}


def causes(task: Any, before: Mapping[str, Any] | None = None) -> tuple[Cause, ...]:
    """Say why a task runs, once doit has asked: what it found is known by then.

    `before` is what was `recorded` of it before it ran, by default what is.
    """
    from procession_tasks.graph.cause import ASKED, NEVER, Cause  # it is stale

    found: list[Cause] = []
    for item, _, _ in reversed(task.uptodate):  # the step itself before what is behind it
        if isinstance(item, Declared | Listed):
            found += item.causes
        if Cause(NEVER) in found:
            return (Cause(NEVER),)
    found += _of_inputs(task, recorded(task) if before is None else before)
    return tuple(found) or (Cause(ASKED),)


def step_of(task: Any) -> Step | None:
    """Return the step that a task is made of; None for one that makes nothing."""
    return next((item.step for item, _, _ in task.uptodate if isinstance(item, Declared)), None)


def _of_inputs(task: Any, recorded: Mapping[str, Any]) -> list[Cause]:
    """Say which inputs doit found to be different."""
    from procession_tasks.graph.cause import CHANGED, DELETED, NEW, Cause  # it is stale

    before = {*(recorded["deps:"] or ())}
    found = [Cause(CHANGED if path in before else NEW, path) for path in sorted(task.dep_changed)]
    found = [part for cause in found for part in _of_folder(cause, recorded)]
    step = step_of(task)
    if found and step and step.kind == "fetch-packages":
        from procession_tasks.graph.versions import version_changes  # for packages alone

        return [*version_changes(step, session().root)] or found
    return found + [Cause(DELETED, path) for path in sorted(before - task.file_dep)]


def _of_folder(cause: Cause, recorded: Mapping[str, Any]) -> tuple[Cause, ...]:
    """Say what changed in a folder, if that is known; of anything else, and of what is new, the cause itself."""
    from procession_tasks.graph.remembered import changed_below  # it is stale

    before = recorded.get(cause.subject) or ""
    return (*changed_below(cause.subject, before, session()),) or (cause,)


def _of_listing(differences: Iterable[Difference]) -> tuple[Cause, ...]:
    """Say what made `go list` worth asking again."""
    from procession_tasks.graph.cause import CHANGED, DELETED, FAULTY, NEW, Cause  # it is stale

    kinds = {(True, False): NEW, (False, True): DELETED}
    found = ((kinds.get((one.before == ABSENT, one.after == ABSENT), CHANGED), one.path) for one in differences)
    return tuple(Cause(kind, path) for kind, path in found) or (Cause(FAULTY),)


def _of_lists(path: str, text: bytes) -> tuple[Cause, ...]:
    """Say in what a list of inputs is not what is known by now."""
    from procession_tasks.graph.cause import FAULTY, Cause  # it is stale
    from procession_tasks.graph.lists import differences

    before = b""
    with contextlib.suppress(OSError):
        before = (session().root / path).read_bytes()
    return differences(before, text) or (Cause(FAULTY),)


def _words(causes: Iterable[Cause]) -> str:
    from procession_tasks.graph.cause import words  # who asks for a reason has one

    return words(causes)


# doit looks up the parameters of every `uptodate` callable; saying them once spares it the search.
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_SIGNATURE = inspect.Signature([inspect.Parameter("task", _POSITIONAL), inspect.Parameter("values", _POSITIONAL)])
Declared.__signature__ = Listed.__signature__ = _SIGNATURE  # type: ignore[attr-defined]
