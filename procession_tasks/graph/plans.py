"""Plans every selected image, from its definition or from what an earlier run kept of it.

A kept plan counts while all it was made from is the same: the definition's files by content,
the settings, our own code.  So a run with nothing to do parses no definition.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import Any

from procession_tasks import kept
from procession_tasks.graph.planned import Plan, flatten, restore
from procession_tasks.graph.selection import selected
from procession_tasks.graph.session import STATE, Session, session, source_date
from procession_tasks.graph.settled import code
from procession_tasks.platform import host
from procession_tasks.states import ABSENT

_SETTINGS = "pyproject.toml"
_PARTS = ("manifest", "image.yaml", "packages.lock.yaml", "rootfs")


class Plans:
    """The plans of one run, by image; each image's usual platform comes first.

    Those of another tree of the project may be `known`: they count where all they were made from is the same here.
    """

    def __init__(self, session: Session, known: Plans | None = None) -> None:
        self._session = session
        self._known = known
        self._path = session.root / STATE / "plans"
        self._kept: dict[str, Any] = {}
        self._made: dict[str, tuple[Any, tuple[Plan, ...]]] = {}
        self._learnt = False

    def load(self) -> dict[str, tuple[Plan, ...]]:
        """Plan the images that the command line selects, sorted by name.

        Raises BuildError with the problems of every wrong definition.
        """
        record = self._known.learnt() if self._known else kept.load(self._path)
        common = (code(), self._session.states.state(_SETTINGS), source_date(self._session.environment), str(host()))
        if not isinstance(record, dict) or record.get("common") != common:
            record = {"common": common, "project": None, "images": {}}
        self._kept = record
        if record["project"] is None:
            self._learn_project()
        names = self._names()
        missing = [name for name in names if not self._holds(name)]
        if missing:
            self._learn(missing)
        return {name: self._restored(name) for name in names}

    def save(self) -> None:
        """Keep what this run planned."""
        if self._learnt:
            with contextlib.suppress(OSError):  # a full disk costs time in the next run, no more
                kept.save(self._path, self._kept)
            self._learnt = False

    def learnt(self) -> dict[str, Any]:
        """Return what is known after `load`, as it is kept; for another tree to go on from."""
        return {**self._kept, "images": dict(self._kept["images"])}

    def made(self, name: str, flat: Any) -> tuple[Plan, ...] | None:
        """Return the plans of an image as `load` did, if they are what `flat` stands for."""
        was, plans = self._made.get(name, (None, ()))
        return plans if was == flat else None

    def _names(self) -> list[str]:
        folder = self._kept["project"][0]
        chosen = selected()
        if chosen is not None and all(self._is_definition(f"{folder}/{name}") for name in chosen):
            return sorted(chosen)
        return sorted(name for name in self._folders(folder) if self._is_definition(f"{folder}/{name}"))

    def _folders(self, folder: str) -> list[str]:
        self._session.states.listing(folder)  # a run looks at it, for whoever remembers runs
        try:
            return os.listdir(self._session.root / folder)
        except OSError:
            names: list[str] = self._definitions().image_names()  # which says what is wrong with the folder
            return names

    def _is_definition(self, folder: str) -> bool:
        state = self._session.states.state
        return state(f"{folder}/image.yaml") != ABSENT or state(f"{folder}/manifest") != ABSENT

    def _holds(self, name: str) -> bool:
        planned = self._kept["images"].get(name)
        return planned is not None and planned[0] == self._made_from(name, planned[1])

    def _restored(self, name: str) -> tuple[Plan, ...]:
        """Return the plans of an image; the same objects as another tree's where they are the same there."""
        flat = self._kept["images"][name][1]
        plans = self._known.made(name, flat) if self._known else None
        self._made[name] = flat, plans or tuple(map(restore, flat))
        return self._made[name][1]

    def _made_from(self, name: str, plans: Any) -> Any:
        """State everything that a plan was made from beside the settings and our code."""
        states, folder = self._session.states, f"{self._kept['project'][0]}/{name}"
        files = tuple(map(states.state, [f"{folder}/{part}" for part in _PARTS]))
        packages = sorted({(program[0][0][0], program[0][1]) for plan in plans for program in plan[3]})
        there = tuple(
            states.listing(os.path.normpath(f"{module}/{package}")) != ABSENT
            for module, package in packages
            if package.startswith(".")
        )
        return files, there, self._workspaces

    @functools.cached_property
    def _workspaces(self) -> tuple[tuple[str, str], ...]:
        """The go.work file that each module is part of, at most as far up as the repository."""
        found = []
        for module in self._kept["project"][1]:
            for folder in (Path(module), *Path(module).parents):
                if self._session.states.state(os.path.normpath(folder / "go.work")) != ABSENT:
                    found.append((module, os.path.normpath(folder / "go.work")))
                    break
        return tuple(found)

    def _learn_project(self) -> None:
        project = self._definitions().project
        self._kept["project"] = (project.definitions, project.go.modules)
        self._learnt = True

    def _learn(self, names: list[str]) -> None:
        workspaces = dict(self._workspaces)
        for name, plans in self._definitions().plans(names, workspaces).items():
            flat = tuple(map(flatten, plans))
            self._kept["images"][name] = (self._made_from(name, flat), flat)
        self._learnt = True

    def _definitions(self) -> Any:
        from procession_tasks.graph.definitions import definitions  # not needed when all is kept

        return definitions(self._session)


@functools.lru_cache(maxsize=1)
def plans() -> Plans:
    """Return the plans of this process's session."""
    return Plans(session())
