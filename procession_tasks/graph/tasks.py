"""The task creators: a group a stage, a task an image in each.

A platform other than the usual one shows in the name: ``go-compile:api@linux-arm64``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from doit.exceptions import InvalidDodoFile
from doit.task import Task

from procession_tasks.errors import BuildError
from procession_tasks.golang.program import Mode
from procession_tasks.graph.actions import guarded, told, tool
from procession_tasks.graph.batch import Batch
from procession_tasks.graph.checker import Declared, Listed
from procession_tasks.graph.clean import Remover
from procession_tasks.graph.plan import index
from procession_tasks.graph.planned import Plan, ProgramPlan
from procession_tasks.graph.plans import plans
from procession_tasks.graph.selection import is_about_locks, may_need, selected
from procession_tasks.graph.session import session
from procession_tasks.step import Step

_OF_SOME = frozenset(["fetch-packages", "inject-binary", "inject-packages"])  # stages that not every image goes through
_UNCAPTURED = {"capture": False}  # doit captures by swapping sys.stdout under all threads


def create_tasks() -> Iterator[Task]:
    """Create every task that the command line may lead to."""
    making = (_go_inputs, _go_compile, _fetch_packages, _inject_binary, _inject_packages, _pack_aci)
    packing = (_pack_oci, _index_oci, _archive_oci, _build, _release)
    about_locks = (_lock, _outdated)
    for stage in about_locks if is_about_locks() else (*making, *packing, _validate, _verify, _sizes, *about_locks):
        if may_need(stage.__name__.strip("_").replace("_", "-")):
            yield from stage()


def _go_inputs() -> Iterator[Task]:
    """list what each Go program is compiled from"""
    batches = _batches("programs.list_inputs")
    names: dict[Mode, list[str]] = {}
    for one in _programs():
        name = f"go-inputs:{one.list.subject}"
        names.setdefault(one.program.mode, []).append(name)
        batch = batches[one.program.mode]
        fresh = Listed(session().inputs(one.program.mode), one.program.package)
        yield _task(
            one.list, partial(batch.run, name), f"list what {one.what} is compiled from", [batch.join(name, one), fresh]
        )
    for mode, tasks in names.items():
        yield Task(f"_go-inputs:{mode.name}", None, task_dep=tasks, uptodate=[True])
    yield from _group("go-inputs", _go_inputs, [f"go-inputs:{one.list.subject}" for one in _programs(usual=True)])


def _go_compile() -> Iterator[Task]:
    """compile the Go programs"""
    batches = _batches("programs.compile_programs")
    for one in _programs():
        name = f"go-compile:{one.compile.subject}"
        batch = batches[one.program.mode]
        listed = [f"_go-inputs:{one.program.mode.name}"]
        moved = partial(session().inputs(one.program.mode).has_moved, one.program.package)
        joined = [batch.join(name, one)]
        yield _task(one.compile, partial(batch.run, name), f"compile {one.what}", joined, listed, moved)
    for image in _plans():
        if len(image.programs) > 1:
            tasks = [f"go-compile:{one.compile.subject}" for one in image.programs]
            yield _joint(f"go-compile:{image.name}", f"compile the programs of {image.image}", tasks)
    yield from _group("go-compile", _go_compile, [f"go-compile:{one.compile.subject}" for one in _programs(usual=True)])


def _fetch_packages() -> Iterator[Task]:
    """download the packages that images are locked to, once for all"""
    for one in _plans():
        if one.fetch:
            doc = f"download the packages of {one.image} for {one.platform}"
            yield _task(one.fetch, tool("packages.fetch", one.fetch, session()), doc)
    yield from _group("fetch-packages", _fetch_packages, _usual("fetch-packages"))


def _inject_binary() -> Iterator[Task]:
    """stage the file systems of images of Go programs"""
    yield from _inject("inject-binary")
    yield from _group("inject-binary", _inject_binary, _usual("inject-binary"))


def _inject_packages() -> Iterator[Task]:
    """stage the file systems of images of packages"""
    yield from _inject("inject-packages")
    yield from _group("inject-packages", _inject_packages, _usual("inject-packages"))


def _inject(kind: str) -> Iterator[Task]:
    for one in _plans():
        if one.inject.kind == kind:
            doc = f"stage the file system of {one.image} for {one.platform}"
            yield _task(one.inject, tool("tools.inject", one.inject, session()), doc)


def _pack_aci() -> Iterator[Task]:
    """pack App Container Images"""
    for one in _plans():
        yield _task(one.pack, tool("tools.pack", one.pack, session()), f"pack {one.pack.outputs[0]}")
    yield from _group("pack-aci", _pack_aci, _usual("pack-aci"))


def _pack_oci() -> Iterator[Task]:
    """pack OCI images"""
    for one in _plans():
        doc = f"pack {one.pack_oci.outputs[0]}, an OCI image layout"
        yield _task(one.pack_oci, tool("oci.pack", one.pack_oci, session()), doc)
    yield from _group("pack-oci", _pack_oci, _usual("pack-oci"))


def _index_oci() -> Iterator[Task]:
    """join the OCI images of all platforms under one index"""
    for image, of_image in _by_image().items():
        step = index(of_image)
        doc = f"join the OCI images of {image} for {', '.join(str(one.platform) for one in of_image)}"
        packed = [f"pack-oci:{one.name}" for one in of_image]
        yield _task(step, tool("oci.join", step, session()), doc, task_dep=packed)
    yield from _group("index-oci", _index_oci, [f"index-oci:{image}" for image in _by_image()])


def _archive_oci() -> Iterator[Task]:
    """put OCI images into archives that docker load and podman load take"""
    for one in _plans():
        doc = f"put {one.pack_oci.outputs[0]} into an archive"
        packed = [f"pack-oci:{one.name}"]
        yield _task(one.archive_oci, tool("oci.archive", one.archive_oci, session()), doc, task_dep=packed)
    yield from _group("archive-oci", _archive_oci, _usual("archive-oci"))


def _build() -> Iterator[Task]:
    """bring every image up to date for this machine's platform (the default)"""
    for one in _plans():
        doc = f"bring the image {one.image} up to date for {one.platform}"
        yield _joint(f"build:{one.name}", doc, [f"pack-aci:{one.name}", f"pack-oci:{one.name}"])
    yield from _group("build", _build, _usual("build"))


def _release() -> Iterator[Task]:
    """bring every image up to date for all platforms it declares"""
    for image, of_image in _by_image().items():
        doc = f"bring the image {image} up to date for {', '.join(str(one.platform) for one in of_image)}"
        packed = [f"{stage}:{one.name}" for one in of_image for stage in ("build", "archive-oci")]
        yield _joint(f"release:{image}", doc, [*packed, f"index-oci:{image}"])
    yield from _group("release", _release, [f"release:{image}" for image in _by_image()])


def _validate() -> Iterator[Task]:
    """check definitions without building"""
    for image, of_image in _by_image().items():
        action = told(tool("checks.validate", of_image[0], session()), session())
        doc = f"check the definition of {image}"
        yield Task(f"validate:{image}", [action], subtask_of="validate", doc=doc, io=_UNCAPTURED)
    yield from _group("validate", _validate, [f"validate:{image}" for image in _by_image()])


def _verify() -> Iterator[Task]:
    """read finished images back and check them against their definitions"""
    for one in _plans():
        action = told(tool("checks.verify", one, session()), session())
        doc = f"check {one.pack.outputs[0]} against its definition"
        packed = [f"pack-aci:{one.name}"]
        yield Task(f"verify:{one.name}", [action], subtask_of="verify", doc=doc, task_dep=packed, io=_UNCAPTURED)
    yield from _group("verify", _verify, _usual("verify"))


def _sizes() -> Iterator[Task]:
    """say what images hold, largest first, by package"""
    for one in _plans():
        action = told(tool("sizes.tell", one.inject, session()), session())
        staged = [f"{one.inject.kind}:{one.name}"]
        doc = f"say what {one.image} holds for {one.platform}, largest first"
        yield Task(f"sizes:{one.name}", [action], subtask_of="sizes", doc=doc, task_dep=staged, io=_UNCAPTURED)
    yield from _group("sizes", _sizes, _usual("sizes"))


def _lock() -> Iterator[Task]:
    """choose the packages of images anew, and pin them"""
    for image in _with_packages():
        action = told(tool("locking.lock", image, session()), session())
        doc = f"choose the packages of {image} anew from the signed indexes, and pin them"
        yield Task(f"lock:{image}", [action], subtask_of="lock", doc=doc, io=_UNCAPTURED)
    yield from _group("lock", _lock, [f"lock:{image}" for image in _with_packages()])


def _outdated() -> Iterator[Task]:
    """list pinned packages that there are newer versions of, security updates first"""
    for image in _with_packages():
        action = told(tool("locking.outdated", image, session()), session())
        doc = f"list packages of {image} that there are newer versions of"
        yield Task(f"outdated:{image}", [action], subtask_of="outdated", doc=doc, io=_UNCAPTURED)
    yield from _group("outdated", _outdated, [f"outdated:{image}" for image in _with_packages()])


def _task(
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
        io=_UNCAPTURED,
    )


def _is_input(path: str) -> bool:
    """Tell whether an input is a dependency; a definition may do without a rootfs/ folder."""
    return not path.endswith("/rootfs") or (session().root / path).is_dir()


def _joint(name: str, doc: str, tasks: list[str]) -> Task:
    """Make a task that stands for others; it is up to date, so that a no-op records nothing."""
    return Task(name, None, task_dep=tasks, uptodate=[True], subtask_of=name.partition(":")[0], doc=doc)


def _group(name: str, creator: Callable[[], object], tasks: list[str]) -> Iterator[Task]:
    """Make the task that stands for a whole stage, if there is anything in it."""
    if tasks:
        yield Task(name, None, task_dep=tasks, uptodate=[True], has_subtask=True, doc=creator.__doc__)


def _usual(kind: str) -> list[str]:
    """Name a stage's tasks for the platform that `build` is for, of the images that have one."""
    usual = (of_image[0] for of_image in _by_image().values())
    return [f"{kind}:{one.name}" for one in usual if kind not in _OF_SOME or kind in _kinds(one)]


def _kinds(one: Plan) -> set[str]:
    return {step.kind for step in (one.fetch, one.inject) if step}


def _batches(work: str) -> dict[Mode, Batch]:
    """Make a batch for each mode, whose work is a function as `tool` names it."""
    modes = {one.program.mode for one in _programs()}
    return {mode: Batch(lambda plans: tool(work, plans, session())()) for mode in modes}


def _programs(*, usual: bool = False) -> Iterator[ProgramPlan]:
    for of_image in _by_image().values():
        for one in of_image[:1] if usual else of_image:
            yield from one.programs


def _plans() -> Iterator[Plan]:
    for of_image in _by_image().values():
        yield from of_image


def _with_packages() -> list[str]:
    """Name the selected images that have packages; their locks are not looked at."""
    if not is_about_locks():
        return [image for image, of_image in _by_image().items() if of_image[0].fetch]
    from procession_tasks.graph.definitions import definitions  # only a lock is made without a plan

    try:
        found: list[str] = definitions(session()).with_packages(selected())
    except BuildError as error:
        raise InvalidDodoFile(str(error)) from None
    return found


@functools.lru_cache(maxsize=1)
def _by_image() -> dict[str, tuple[Plan, ...]]:
    """Plan the selected images; doit ends with the message of a mistake the user can mend."""
    try:
        return plans().load()
    except BuildError as error:
        raise InvalidDodoFile(str(error)) from None
