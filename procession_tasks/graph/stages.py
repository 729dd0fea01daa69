"""What the creators of tasks share: which images there are tasks for, and how a task is made of a step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from doit.exceptions import InvalidDodoFile
from doit.task import Task

from procession_tasks.errors import BuildError
from procession_tasks.graph.actions import guarded
from procession_tasks.graph.checker import Declared
from procession_tasks.graph.clean import Remover
from procession_tasks.graph.planned import Plan
from procession_tasks.graph.plans import plans
from procession_tasks.graph.selection import is_about_locks, is_of_usual_platform, selected
from procession_tasks.graph.session import session
from procession_tasks.states import ABSENT
from procession_tasks.step import Step

_OF_SOME = frozenset(
    ["fetch-packages", "inject-binary", "inject-packages", "check-size"]
)  # stages that not every image goes through
UNCAPTURED = {"capture": False}  # doit captures by swapping sys.stdout under all threads


def task(
    step: Step,
    do: Callable[[], None],
    doc: str,
    uptodate: Sequence[Any] = (),
    task_dep: Sequence[str] = (),
    moved: Callable[[], bool] = lambda: False,
) -> Task:
    """Make a doit task of a step; its inputs, outputs and declaration are the step's."""
    return Task(
        f"{step.kind}:{step.subject}",
        [guarded(step, session(), do)],
        file_dep=[path for path in step.inputs if _is_input(path)],
        targets=list(step.outputs),
        task_dep=list(task_dep),
        uptodate=[*uptodate, Declared(step, moved)],
        clean=[Remover(step, session().root)],
        subtask_of=step.kind,
        doc=doc,
        io=UNCAPTURED,
    )


def _is_input(path: str) -> bool:
    """Tell whether an input is a dependency; a definition may do without a rootfs/ folder."""
    return not path.endswith("/rootfs") or session().states.state(path) != ABSENT


def joint(name: str, doc: str, tasks: list[str]) -> Task:
    """Make a task that stands for others; it is up to date, so that a no-op records nothing."""
    return Task(name, None, task_dep=tasks, uptodate=[True], subtask_of=name.partition(":")[0], doc=doc)


def group(name: str, creator: Callable[[], object], tasks: list[str]) -> Iterator[Task]:
    """Make the task that stands for a whole stage, if there is anything in it."""
    if tasks:
        yield Task(name, None, task_dep=tasks, uptodate=[True], has_subtask=True, doc=creator.__doc__)


def usual(kind: str) -> list[str]:
    """Name a stage's tasks for the platform that `build` is for, of the images that have one."""
    usual = (of_image[0] for of_image in by_image().values())
    return [f"{kind}:{one.name}" for one in usual if kind not in _OF_SOME or kind in _kinds(one)]


def _kinds(one: Plan) -> set[str]:
    return {step.kind for step in (one.fetch, one.inject, one.check_size) if step}


def each_plan() -> Iterator[Plan]:
    """Go through the plans of all selected images and platforms."""
    for of_image in by_image().values():
        yield from of_image[:1] if is_of_usual_platform() else of_image


def with_packages() -> list[str]:
    """Name the selected images that have packages; their locks are not looked at."""
    if not is_about_locks():
        return [image for image, of_image in by_image().items() if of_image[0].fetch]
    from procession_tasks.graph.definitions import definitions  # only a lock is made without a plan

    try:
        found: list[str] = definitions(session()).with_packages(selected())
    except BuildError as error:
        raise InvalidDodoFile(str(error)) from None
    return found


@functools.lru_cache(maxsize=1)
def by_image() -> dict[str, tuple[Plan, ...]]:
    """Plan the selected images; doit ends with the message of a mistake the user can mend."""
    try:
        return plans().load()
    except BuildError as error:
        raise InvalidDodoFile(str(error)) from None
