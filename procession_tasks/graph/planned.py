"""The steps of an image as doit's tasks are made from them, and kept from run to run.  Pure.

Light on purpose: a run with nothing to do imports this and not what makes it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from procession_tasks.golang.program import Mode, Program
from procession_tasks.platform import Platform
from procession_tasks.step import Step


@dataclass(frozen=True, slots=True)
class ProgramPlan:
    """One program of an image: what it is, and the steps that list and compile it."""

    program: Program
    list: Step
    compile: Step

    @property
    def what(self) -> str:
        """The program in words."""
        return f"{self.program.package} for {self.program.mode.platform}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of one image on one platform; `name` is what its tasks are called after the colon.

    Only an image with packages has a step that fetches them, and only one with a size budget one that checks it.
    """

    name: str
    image: str
    platform: Platform
    programs: tuple[ProgramPlan, ...]
    fetch: Step | None
    inject: Step
    pack: Step
    pack_oci: Step
    archive_oci: Step
    check_size: Step | None = None


def flatten(value: Any) -> Any:
    """Turn a plan into plain tuples, to be kept; as `dataclasses.astuple` does, which copies each string."""
    if isinstance(value, tuple):
        return tuple(map(flatten, value))
    if dataclasses.is_dataclass(value):
        return tuple(flatten(getattr(value, field.name)) for field in dataclasses.fields(value))
    return value


def restore(flat: Any) -> Plan:
    """Turn what `flatten` made back into the plan."""
    name, image, platform, programs, fetch, *steps = flat
    return Plan(
        name,
        image,
        Platform(*platform),
        tuple(_program(*program) for program in programs),
        fetch and Step(*fetch),
        *(step and Step(*step) for step in steps),
    )


def _program(program: Any, listing: Any, compiling: Any) -> ProgramPlan:
    (module, workspace, platform, *rest), *others = program
    mode = Mode(module, workspace, Platform(*platform), *rest)
    return ProgramPlan(Program(mode, *others), Step(*listing), Step(*compiling))
