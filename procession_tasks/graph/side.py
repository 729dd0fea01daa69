"""One side of a comparison: a tree's plans, and what its programs are compiled from."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from procession_tasks.errors import BuildError
from procession_tasks.graph.golists import GoLists
from procession_tasks.graph.planned import Plan, ProgramPlan
from procession_tasks.graph.plans import Plans
from procession_tasks.graph.revision import RevisionError, Tree
from procession_tasks.graph.selection import select
from procession_tasks.graph.session import STATE, Session
from procession_tasks.states import States


@dataclass(eq=False)
class Side:
    """A tree: `session` is in its folder, and nothing is written there.

    `lists` has what its programs are compiled from; `like` is another tree of the project whose plans are loaded.
    `problems` has what keeps an image from being planned.
    """

    session: Session
    lists: GoLists
    like: Side | None = None
    plans: dict[str, tuple[Plan, ...]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    planned: Plans = field(init=False)

    def __post_init__(self) -> None:
        self.planned = Plans(self.session, self.like.planned if self.like else None)

    def load(self) -> None:
        """Plan every image; raises BuildError with what is wrong with any."""
        self.plans = self.planned.load()

    @property
    def programs(self) -> list[ProgramPlan]:
        """The programs of all images, on every platform."""
        return [program for plans in self.plans.values() for plan in plans for program in plan.programs]

    def load_sound(self) -> None:
        """Plan the images whose definitions are right, and note what is wrong with others.

        Raises BuildError when not even their names can be told.
        """
        try:
            self.load()
        except BuildError:
            from procession_tasks.graph.definitions import definitions  # not needed when all is known

            for name in definitions(self.session).image_names():
                select([f"build:{name}"])
                try:
                    self.plans |= self.planned.load()
                except BuildError as error:
                    self.problems[name] = error.message.partition("\n")[0]
            select(["build"])


def see_project(root: Path, revision: str) -> None:
    """See that a tree has this project; raises RevisionError."""
    try:
        has = "procession" in tomllib.loads((root / "pyproject.toml").read_text("utf-8")).get("tool", {})
    except (OSError, ValueError):
        has = False
    if not has:
        rule = "must have this project, whose pyproject.toml has [tool.procession]"
        raise RevisionError(f"--since: {rule}, got {revision!r}", hint="choose a later revision")


def beside(session: Session, tree: Tree) -> Session:
    """Make the session of the same project in the tree of a revision."""
    states = States(tree.root, tree.root / STATE / "states", session.states, tree.unchanged)
    return Session(tree.root, session.environment, states)
