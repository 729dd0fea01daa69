"""One side of a comparison: a tree's plans, and what its programs are compiled from."""

from __future__ import annotations

import contextlib
import shutil
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from procession_tasks.errors import BuildError
from procession_tasks.golang.inputs import Inputs
from procession_tasks.golang.program import Mode
from procession_tasks.graph.definitions import definitions
from procession_tasks.graph.planned import Plan, ProgramPlan
from procession_tasks.graph.plans import Plans
from procession_tasks.graph.revision import RevisionError
from procession_tasks.graph.selection import select
from procession_tasks.graph.session import STATE, Session
from procession_tasks.states import States


class WrongHereError(BuildError):
    """A definition of the tree that is worked on is wrong."""


@dataclass(eq=False)
class Side:
    """A tree: `session` is in its folder, and nothing is written there.

    `listings` is a folder of this side's own for what `go list` says; `known` is one with what it said before, here or
    of a tree like this.  `problems` has what keeps an image from being planned.
    """

    session: Session
    listings: Path
    known: Path
    plans: dict[str, tuple[Plan, ...]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def load(self) -> None:
        """Plan every image; raises BuildError with what is wrong with any."""
        self.plans = Plans(self.session).load()

    def load_sound(self) -> None:
        """Plan the images whose definitions are right, and note what is wrong with others.

        Raises BuildError when not even their names can be told.
        """
        try:
            self.load()
        except BuildError:
            for name in definitions(self.session).image_names():
                select([f"build:{name}"])
                try:
                    self.plans |= Plans(self.session).load()
                except BuildError as error:
                    self.problems[name] = error.message.partition("\n")[0]
            select(["build"])

    def inputs(self, programs: Iterable[ProgramPlan]) -> dict[str, bytes | str]:
        """List what programs are compiled from, by task: the lines, or in words why that is not known.

        What was known before is relied on as by a build: while all that was looked at is the same.
        """
        by_mode: dict[Mode, dict[str, str]] = {}
        for one in programs:
            by_mode.setdefault(one.program.mode, {})[f"go-inputs:{one.list.subject}"] = one.program.package
        found: dict[str, bytes | str] = {}
        for mode, packages in by_mode.items():
            found |= self._of_mode(mode, packages)
        return found

    def _of_mode(self, mode: Mode, packages: dict[str, str]) -> dict[str, bytes | str]:
        self.listings.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # nothing is known yet
            shutil.copyfile(self.known / mode.name, self.listings / mode.name)
        inputs = Inputs(self.session.go, mode, self.listings / mode.name)
        try:
            if stale := sorted({package for package in packages.values() if not inputs.fresh(package)}):
                started = time.time_ns()
                inputs.learn(stale, inputs.listing(stale), started)
            return {
                task: "go list found fault with it" if inputs.is_broken(package) else inputs.text(package)
                for task, package in packages.items()
            }
        except BuildError as error:
            return dict.fromkeys(packages, error.message.partition("\n")[0])


def see_project(root: Path, revision: str) -> None:
    """See that a tree has this project; raises RevisionError."""
    try:
        has = "procession" in tomllib.loads((root / "pyproject.toml").read_text("utf-8")).get("tool", {})
    except (OSError, ValueError):
        has = False
    if not has:
        rule = "must have this project, whose pyproject.toml has [tool.procession]"
        raise RevisionError(f"--since: {rule}, got {revision!r}", hint="choose a later revision")


def beside(session: Session, root: Path) -> Session:
    """Make the session of the same project in another tree, which takes over what is known of this one's plans."""
    other = root / STATE
    with contextlib.suppress(OSError):
        other.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(session.root / STATE / "plans", other / "plans")
    return Session(root, session.environment, States(root, other / "states"))
