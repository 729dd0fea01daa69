"""The task creators: a group a stage, a task an image in each.

A platform other than the usual one shows in the name: ``go-compile:api@linux-arm64``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from doit.task import Task

from procession_tasks.golang.program import Mode
from procession_tasks.graph import ends
from procession_tasks.graph.actions import tool
from procession_tasks.graph.batch import Batch
from procession_tasks.graph.checker import Listed
from procession_tasks.graph.indexing import index
from procession_tasks.graph.planned import Plan, ProgramPlan
from procession_tasks.graph.selection import is_about_locks, may_need
from procession_tasks.graph.session import session
from procession_tasks.graph.stages import by_image, each_plan, group, joint, task, usual


def create_tasks() -> Iterator[Task]:
    """Create every task that the command line may lead to."""
    for stage in ends.ABOUT_LOCKS if is_about_locks() else _stages():
        if may_need(_name(stage)):
            yield from stage()


def stage_purposes() -> dict[str, str]:
    """Name every stage, with what it does."""
    return {_name(stage): stage.__doc__ or "" for stage in _stages()}


def _stages() -> tuple[Callable[[], Iterator[Task]], ...]:
    making = (_go_inputs, _go_compile, _fetch_packages, _inject_binary, _inject_packages, _check_size)
    packing = (_pack_aci, _pack_oci, _index_oci, _archive_oci, _build, _release)
    return (*making, *packing, *ends.OTHERS, *ends.ABOUT_LOCKS)


def _name(stage: Callable[[], Iterator[Task]]) -> str:
    return stage.__name__.strip("_").replace("_", "-")


def _go_inputs() -> Iterator[Task]:
    """list what each Go program is compiled from"""
    batches = _batches("programs.list_inputs")
    names: dict[Mode, list[str]] = {}
    for one in _programs():
        name = f"go-inputs:{one.list.subject}"
        names.setdefault(one.program.mode, []).append(name)
        batch = batches[one.program.mode]
        fresh = Listed(session().inputs(one.program.mode), one.program.package)
        yield task(
            one.list, partial(batch.run, name), f"list what {one.what} is compiled from", [batch.join(name, one), fresh]
        )
    for mode, tasks in names.items():
        yield Task(f"_go-inputs:{mode.name}", None, task_dep=tasks, uptodate=[True])
    yield from group("go-inputs", _go_inputs, [f"go-inputs:{one.list.subject}" for one in _programs(usual=True)])


def _go_compile() -> Iterator[Task]:
    """compile the Go programs"""
    batches = _batches("programs.compile_programs")
    for one in _programs():
        name = f"go-compile:{one.compile.subject}"
        batch = batches[one.program.mode]
        listed = [f"_go-inputs:{one.program.mode.name}"]
        moved = partial(session().inputs(one.program.mode).has_moved, one.program.package)
        joined = [batch.join(name, one)]
        yield task(one.compile, partial(batch.run, name), f"compile {one.what}", joined, listed, moved)
    for image in each_plan():
        if len(image.programs) > 1:
            tasks = [f"go-compile:{one.compile.subject}" for one in image.programs]
            yield joint(f"go-compile:{image.name}", f"compile the programs of {image.image}", tasks)
    yield from group("go-compile", _go_compile, [f"go-compile:{one.compile.subject}" for one in _programs(usual=True)])


def _fetch_packages() -> Iterator[Task]:
    """download the packages that images are locked to, once for all"""
    for one in each_plan():
        if one.fetch:
            doc = f"download the packages of {one.image} for {one.platform}"
            yield task(one.fetch, tool("packages.fetch", one.fetch, one.inject, session()), doc)
    yield from group("fetch-packages", _fetch_packages, usual("fetch-packages"))


def _inject_binary() -> Iterator[Task]:
    """stage the file systems of images of Go programs"""
    yield from _inject("inject-binary")
    yield from group("inject-binary", _inject_binary, usual("inject-binary"))


def _inject_packages() -> Iterator[Task]:
    """stage the file systems of images of packages"""
    yield from _inject("inject-packages")
    yield from group("inject-packages", _inject_packages, usual("inject-packages"))


def _inject(kind: str) -> Iterator[Task]:
    for one in each_plan():
        if one.inject.kind == kind:
            doc = f"stage the file system of {one.image} for {one.platform}"
            yield task(one.inject, tool("caching.run", "tools.inject", one.inject, session()), doc)


def _check_size() -> Iterator[Task]:
    """see that images are within their size budgets"""
    for one in each_plan():
        if one.check_size:
            doc = f"see that {one.image} for {one.platform} is within its size budget"
            yield task(one.check_size, tool("budgets.check", one.check_size, session()), doc)
    yield from group("check-size", _check_size, usual("check-size"))


def _checked(one: Plan) -> list[str]:
    """Name what has to go well before an image is packed."""
    return [f"check-size:{one.name}"] if one.check_size else []


def _pack_aci() -> Iterator[Task]:
    """pack App Container Images"""
    for one in each_plan():
        doc = f"pack {one.pack.outputs[0]}"
        yield task(one.pack, tool("caching.run", "tools.pack", one.pack, session()), doc, task_dep=_checked(one))
    yield from group("pack-aci", _pack_aci, usual("pack-aci"))


def _pack_oci() -> Iterator[Task]:
    """pack OCI images"""
    for one in each_plan():
        doc = f"pack {one.pack_oci.outputs[0]}, an OCI image layout"
        work = tool("caching.run", "oci.pack", one.pack_oci, session())
        yield task(one.pack_oci, work, doc, task_dep=_checked(one))
    yield from group("pack-oci", _pack_oci, usual("pack-oci"))


def _index_oci() -> Iterator[Task]:
    """join the OCI images of all platforms under one index"""
    for image, of_image in by_image().items():
        step = index(of_image)
        doc = f"join the OCI images of {image} for {', '.join(str(one.platform) for one in of_image)}"
        packed = [f"pack-oci:{one.name}" for one in of_image]
        yield task(step, tool("oci.join", step, session()), doc, task_dep=packed)
    yield from group("index-oci", _index_oci, [f"index-oci:{image}" for image in by_image()])


def _archive_oci() -> Iterator[Task]:
    """put OCI images into archives that docker load and podman load take"""
    for one in each_plan():
        doc = f"put {one.pack_oci.outputs[0]} into an archive"
        packed = [f"pack-oci:{one.name}"]
        yield task(one.archive_oci, tool("oci.archive", one.archive_oci, session()), doc, task_dep=packed)
    yield from group("archive-oci", _archive_oci, usual("archive-oci"))


def _build() -> Iterator[Task]:
    """bring every image up to date for this machine's platform (the default)"""
    for one in each_plan():
        doc = f"bring the image {one.image} up to date for {one.platform}"
        yield joint(f"build:{one.name}", doc, [f"pack-aci:{one.name}", f"pack-oci:{one.name}"])
    yield from group("build", _build, usual("build"))


def _release() -> Iterator[Task]:
    """bring every image up to date for all platforms it declares"""
    for image, of_image in by_image().items():
        doc = f"bring the image {image} up to date for {', '.join(str(one.platform) for one in of_image)}"
        packed = [f"{stage}:{one.name}" for one in of_image for stage in ("build", "archive-oci")]
        yield joint(f"release:{image}", doc, [*packed, f"index-oci:{image}"])
    yield from group("release", _release, [f"release:{image}" for image in by_image()])


def _batches(work: str) -> dict[Mode, Batch]:
    """Make a batch for each mode, whose work is a function as `tool` names it."""
    modes = {one.program.mode for one in _programs()}
    return {mode: Batch(lambda plans: tool(work, plans, session())()) for mode in modes}


def _programs(*, usual: bool = False) -> Iterator[ProgramPlan]:
    for one in (of_image[0] for of_image in by_image().values()) if usual else each_plan():
        yield from one.programs
