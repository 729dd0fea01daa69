"""The creators of tasks that nothing else depends on: they tell, check, choose, push and run."""

from __future__ import annotations

from collections.abc import Iterator

from doit.task import Task

from procession_tasks.graph import asked
from procession_tasks.graph.actions import told, tool
from procession_tasks.graph.selection import is_asked, selected
from procession_tasks.graph.session import session
from procession_tasks.graph.stages import UNCAPTURED, by_image, each_plan, group, usual, with_packages


def validate() -> Iterator[Task]:
    """check definitions without building"""
    for image, of_image in by_image().items():
        action = told(tool("checks.validate", of_image[0], session()), session())
        doc = f"check the definition of {image}"
        yield Task(f"validate:{image}", [action], subtask_of="validate", doc=doc, io=UNCAPTURED)
    checks = [f"validate:{image}" for image in by_image()]
    if selected() is None and (session().root / "deploy/kubernetes").is_dir():
        action = told(tool("deploying.validate", session()), session())
        yield Task("_validate-kubernetes", [action], io=UNCAPTURED)
        checks.append("_validate-kubernetes")
    yield from group("validate", validate, checks)


def verify() -> Iterator[Task]:
    """read finished images back and check them against their definitions"""
    for one in each_plan():
        action = told(tool("checks.verify", one, session()), session())
        doc = f"check {one.pack.outputs[0]} and {one.pack_oci.outputs[0]} against their definition"
        packed = [f"pack-aci:{one.name}", f"pack-oci:{one.name}"]
        yield Task(f"verify:{one.name}", [action], subtask_of="verify", doc=doc, task_dep=packed, io=UNCAPTURED)
    yield from group("verify", verify, usual("verify"))


def sizes() -> Iterator[Task]:
    """say what images hold, largest first, by package"""
    for one in each_plan():
        action = told(tool("sizes.tell", one.inject, one.check_size, session()), session())
        staged = [f"{one.inject.kind}:{one.name}"]
        doc = f"say what {one.image} holds for {one.platform}, largest first"
        yield Task(f"sizes:{one.name}", [action], subtask_of="sizes", doc=doc, task_dep=staged, io=UNCAPTURED)
    yield from group("sizes", sizes, usual("sizes"))


def push() -> Iterator[Task]:
    """push images for all their platforms to a registry"""
    for image in by_image():
        action = told(tool("pushing.push", image, asked.pushing.get(), session()), session())
        joined = [f"index-oci:{image}"]
        doc = f"push the image {image} for all its platforms"
        yield Task(f"push:{image}", [action], subtask_of="push", doc=doc, task_dep=joined, io=UNCAPTURED)
    yield from group("push", push, [f"push:{image}" for image in by_image()])


def run() -> Iterator[Task]:
    """run an image in the foreground, as a container of this machine's engine"""
    stages: tuple[str, ...] = ("pack-oci",)
    if is_asked("run"):
        from procession_tasks.graph import running  # nothing else runs images

        stages = running.stages(session(), asked.running.get())
    for image, of_image in by_image().items():
        action = told(tool("running.prepare", image, asked.running.get(), session()), session())
        packed = [f"{stage}:{of_image[0].name}" for stage in stages]
        doc = f"run the image {image}; what follows is for the program"
        yield Task(f"run:{image}", [action], subtask_of="run", doc=doc, task_dep=packed, io=UNCAPTURED)
    # For the list alone: images run one at a time.
    yield Task("run", None, uptodate=[True], has_subtask=True, doc=run.__doc__)


def lock() -> Iterator[Task]:
    """choose the packages of images anew, and pin them"""
    for image in with_packages():
        action = told(tool("locking.lock", image, session()), session())
        doc = f"choose the packages of {image} anew from the signed indexes, and pin them"
        yield Task(f"lock:{image}", [action], subtask_of="lock", doc=doc, io=UNCAPTURED)
    yield from group("lock", lock, [f"lock:{image}" for image in with_packages()])


def outdated() -> Iterator[Task]:
    """list pinned packages that there are newer versions of, security updates first"""
    for image in with_packages():
        action = told(tool("locking.outdated", image, session()), session())
        doc = f"list packages of {image} that there are newer versions of"
        yield Task(f"outdated:{image}", [action], subtask_of="outdated", doc=doc, io=UNCAPTURED)
    yield from group("outdated", outdated, [f"outdated:{image}" for image in with_packages()])


ABOUT_LOCKS = (lock, outdated)
OTHERS = (validate, verify, sizes, push, run)
