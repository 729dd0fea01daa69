"""Which images and tasks differ between two trees of a project, by what they are made from: nothing is built."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import procession_tasks
from procession_tasks.golang.ingredients import Ingredients
from procession_tasks.graph.cause import ADDED, CHANGED, DELETED, NEW, UNKNOWN, Cause
from procession_tasks.graph.declaration import changes
from procession_tasks.graph.indexing import index
from procession_tasks.graph.lists import Comparison
from procession_tasks.graph.planned import Plan, ProgramPlan
from procession_tasks.graph.side import Side
from procession_tasks.graph.verdicts import FRESH, STALE, WAITING, Graph, Verdict
from procession_tasks.platform import Platform
from procession_tasks.states import ABSENT
from procession_tasks.step import Step

COME, GONE, TOUCHED = "new", "gone", "changed"

Causes = Mapping[str, tuple[Cause, ...]]  # of tasks

# What says which versions of our own tools there are; dodo.py may hold anything.
_TOOLS = ("dodo.py", "constraints.txt", "requirements.txt", "pylock.toml", "uv.lock", "poetry.lock", "pdm.lock")


@dataclass(frozen=True, slots=True)
class Affected:
    """An image that is not as it was: new, gone or changed; `verdicts` has each task, `artefacts` those at the end."""

    image: str
    how: str
    platforms: tuple[str, ...] = ()
    artefacts: tuple[str, ...] = ()
    verdicts: Mapping[str, Verdict] | None = None


def affected(old: Side, new: Side, top: Path) -> list[Affected]:
    """Compare two sides whose plans are loaded, image by image; `top` is the repository's folder.

    An image that differs is always among them; one that does not may be, where it cannot be known without
    building.
    """
    everywhere = tuple(_of_tools(old.session.root, new.session.root, top))
    listed = _Listed(old, new)
    found = []
    for image in sorted(old.plans.keys() | old.problems.keys() | new.plans.keys()):
        if image not in new.plans:
            found.append(Affected(image, GONE))
            continue
        steps = dict(_steps(new.plans[image]))
        direct: Causes = dict.fromkeys(steps, (Cause(ADDED),))
        if image in old.plans:
            before = steps if old.plans[image] == new.plans[image] else dict(_steps(old.plans[image]))
            direct = _direct(before, steps, old, new, listed)
            if not everywhere and not any(direct.values()):
                continue
        elif image in old.problems:
            direct = dict.fromkeys(steps, (Cause(UNKNOWN, old.problems[image]),))
        verdicts = _spread(steps, {name: (*everywhere, *direct.get(name, ())) for name in steps})
        if any(verdict.how != FRESH for verdict in verdicts.values()):
            how = TOUCHED if image in old.plans or image in old.problems else COME
            found.append(Affected(image, how, *_ends(new.plans[image], verdicts), verdicts))
    return found


class _Listed:
    """What programs are compiled from on both sides."""

    def __init__(self, old: Side, new: Side) -> None:
        self._old, self._new = old.lists, new.lists
        self._comparison = Comparison()

    def causes(self, task: str) -> tuple[Cause, ...]:
        """Say what differs in what a program is compiled from; nothing of one that is declared otherwise."""
        before, after = self._old.of(task), self._new.of(task)
        if isinstance(before, Ingredients) and isinstance(after, Ingredients):
            return self._comparison.differences(before, after)
        unknown = next((said for said in (after, before) if isinstance(said, str)), None)
        return () if unknown is None or before is None else (Cause(UNKNOWN, unknown),)


def alike(old: Side, new: Side) -> list[ProgramPlan]:
    """Find the programs of the old side that are declared as on the new one: others differ anyway."""
    after = {one.list.subject: one for one in new.programs}
    return [one for one in old.programs if after.get(one.list.subject) == one]


def _steps(plans: Iterable[Plan]) -> Iterator[tuple[str, Step]]:
    of_image = tuple(plans)
    for plan in of_image:
        programs = [step for program in plan.programs for step in (program.list, program.compile)]
        for step in (*programs, plan.fetch, plan.inject, plan.pack, plan.pack_oci, plan.archive_oci):
            if step:
                yield f"{step.kind}:{step.subject}", step
    step = index(of_image)
    yield f"{step.kind}:{step.subject}", step


def _direct(before: Mapping[str, Step], after: Mapping[str, Step], old: Side, new: Side, listed: _Listed) -> Causes:
    """Say of each task what differs in its declaration, and in those of its inputs that no task makes."""
    made = {path for step in after.values() for path in step.outputs}
    found: dict[str, tuple[Cause, ...]] = {}
    for name, step in after.items():
        if name not in before:
            found[name] = (Cause(ADDED),)
        elif step.kind == "fetch-packages":
            found[name] = (*changes(before[name], step), *_of_lock(step, old, new))
        else:
            sources = [path for path in step.inputs if path not in made]
            different = (cause for path in sources for cause in _of_source(path, old, new))
            found[name] = (*changes(before[name], step), *different, *listed.causes(name))
    return found


def _of_source(path: str, old: Side, new: Side) -> Iterator[Cause]:
    before, after = old.session.states.state(path), new.session.states.state(path)
    if before == after or _is_under_build(path):
        return
    if not (before.startswith("tree-") and after.startswith("tree-")):
        yield Cause(NEW if before == ABSENT else DELETED if after == ABSENT else CHANGED, path)
        return
    was, is_now = (
        {name: (kind, content) for name, kind, content in side.session.states.held(path)[1]} for side in (old, new)
    )
    for name in sorted(was | is_now):
        if was.get(name) != is_now.get(name):
            kind = NEW if name not in was else DELETED if name not in is_now else CHANGED
            yield Cause(kind, f"{path}/{name}")


def _is_under_build(path: str) -> bool:
    """Tell what is made here, be it by a task that is not looked at: it follows from what is compared."""
    return path.startswith("build/")


def _of_lock(step: Step, old: Side, new: Side) -> tuple[Cause, ...]:
    """Compare the packages of a platform; a lock that differs for another one is the same here."""
    lock, platform = step.option("lock"), Platform.parse(step.option("platform"))
    if old.session.states.state(lock) == new.session.states.state(lock):
        return ()
    from procession_tasks.graph.definitions import definitions  # only a lock that differs is read
    from procession_tasks.graph.versions import compared

    image = Path(lock).parent.name
    pins = [
        definitions(side.session).lock(definitions(side.session).image(image)).pins(platform) for side in (old, new)
    ]
    return compared(*pins)


def _spread(steps: Mapping[str, Step], direct: Causes) -> dict[str, Verdict]:
    """Follow differences to all that is made from what differs."""
    graph = Graph({name: _node(name, step) for name, step in steps.items()})
    found: dict[str, Verdict] = {}
    for name in graph.in_order(steps):
        behind = tuple(maker for maker in graph.behind(name) if found[maker].how != FRESH)
        how = STALE if direct[name] else WAITING if behind else FRESH
        found[name] = Verdict(name, how, direct[name], behind)
    return found


def _node(name: str, step: Step) -> Any:
    return SimpleNamespace(name=name, file_dep=frozenset(step.inputs), targets=step.outputs, task_dep=())


def _ends(plans: Iterable[Plan], verdicts: Mapping[str, Verdict]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the platforms that differ, and the archives."""
    ends = [(str(plan.platform), f"{stage}:{plan.name}") for plan in plans for stage in ("pack-aci", "pack-oci")]
    differ = [(platform, name) for platform, name in ends if verdicts[name].how != FRESH]
    touched = [name for name, verdict in verdicts.items() if verdict.how != FRESH]
    joined = [name for name in touched if name.startswith("index-oci:")]
    artefacts = (*(name for _, name in differ), *joined)
    return tuple(dict.fromkeys(platform for platform, _ in differ)), artefacts or tuple(touched)


def _of_tools(old: Path, new: Path, top: Path) -> Iterator[Cause]:
    """Say what differs of the tools themselves; what that does to an image is not known."""
    for name in _TOOLS:
        before, after = _content(old / name), _content(new / name)
        if before != after:
            yield Cause(NEW if before is None else DELETED if after is None else CHANGED, name)
    if _dependencies(old) != _dependencies(new):
        yield Cause(CHANGED, "project.dependencies in pyproject.toml")
    yield from _of_code(old, new, top)


def _of_code(old: Path, new: Path, top: Path) -> Iterator[Cause]:
    """Say what differs of our own code, where it is in the repository."""
    package = Path(procession_tasks.__file__).resolve().parent
    if not package.is_relative_to(top) or "site-packages" in package.parts:
        return
    below = os.path.relpath(package, new)
    before, after = (
        {path.relative_to(folder): path for path in folder.rglob("*.py")} for folder in (old / below, package)
    )
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            yield Cause(NEW if name in after else DELETED, os.path.normpath(f"{below}/{name}"))
        elif before[name].read_bytes() != after[name].read_bytes():
            yield Cause(CHANGED, os.path.normpath(f"{below}/{name}"))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _dependencies(root: Path) -> Any:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8")).get("project", {})
    return project.get("dependencies") if isinstance(project, dict) else project
