"""What the programs of one side of a comparison are compiled from, asked of Go beside other work."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from procession_tasks.errors import BuildError
from procession_tasks.golang.closure import Package
from procession_tasks.golang.context import Context
from procession_tasks.golang.ingredients import Ingredients
from procession_tasks.golang.inputs import Inputs
from procession_tasks.golang.program import Mode
from procession_tasks.graph.planned import ProgramPlan


@dataclass(eq=False, slots=True)
class _Asked:
    """What is asked of the programs of one mode, if any are stale; `coming` is the answer, until it is learnt."""

    inputs: Inputs
    packages: frozenset[str]
    stale: list[str]
    started: int
    coming: Future[Mapping[str, Package]] | None = None


class GoLists:
    """The lists of a tree's programs; nothing is written there."""

    def __init__(self, context: Context, pool: Executor) -> None:
        self._context = context
        self._pool = pool
        self._programs: dict[str, tuple[Mode, str]] = {}
        self._asked: dict[Mode, _Asked] = {}

    def ask(self, programs: Iterable[ProgramPlan], known: Path, like: GoLists | None = None) -> None:
        """Have Go list what is not known of programs, and return without waiting for it; to be called once.

        `known` is a folder with what Go said before, here or in a tree like this.  It is relied on as by a build:
        while all that was looked at is the same.  Then comes what is known of a tree `like` this one.  Without
        one, Go is not asked yet about what it said something of before: see `ask_rest`.
        """
        for one in programs:
            self._programs[f"go-inputs:{one.list.subject}"] = one.program.mode, one.program.package
        modes = {mode for mode, _ in self._programs.values()}
        # First what keeps nobody waiting: Go, where nothing is known yet, or else what is known here.
        for mode in sorted(modes, key=lambda mode: ((known / mode.name).exists() == (like is None), mode.name)):
            self._asked[mode] = self._begin(mode, known, like)

    def ask_rest(self, context: Context) -> None:
        """Take what Go said before, if it would say the same here as in the tree of `context`; or ask it."""
        for asked in self._asked.values():
            if asked.stale and not asked.coming:
                with contextlib.suppress(BuildError):  # told of each program
                    asked.inputs.adopt(asked.packages, asked.inputs.elsewhere(context))
                    asked.stale = [package for package in asked.stale if not asked.inputs.fresh(package)]
                self._list(asked)

    def learn_until(self, other: Future[Any]) -> None:
        """Learn what Go answers as long as something else is not there."""
        for mode, asked in self._asked.items():
            if asked.coming:
                wait((asked.coming, other), return_when=FIRST_COMPLETED)
            if other.done():
                return
            with contextlib.suppress(BuildError):  # told of each program
                self.inputs(mode)

    def of(self, task: str) -> Ingredients | str | None:
        """Say what a program is compiled from, or in words why that is not known; None for one never asked about."""
        if task not in self._programs:
            return None
        mode, package = self._programs[task]
        try:
            inputs = self.inputs(mode)
        except BuildError as error:
            return error.message.partition("\n")[0]
        return "go list found fault with it" if inputs.is_broken(package) else inputs.ingredients(package)

    def _begin(self, mode: Mode, known: Path, like: GoLists | None) -> _Asked:
        kept = like.kept(mode, self._context) if like else None
        inputs = kept or Inputs(self._context, mode, known / mode.name, only_looks=True)
        packages = frozenset(package for of_mode, package in self._programs.values() if of_mode == mode)
        asked = _Asked(inputs, packages, [], time.time_ns())
        try:
            if like and not all(map(inputs.fresh, packages)):
                with contextlib.suppress(BuildError):  # what Go cannot say there it may say here
                    inputs.adopt(packages, like.inputs(mode))
            asked.stale = sorted(package for package in packages if not inputs.fresh(package))
            if like or not all(map(inputs.holds, packages)):
                self._list(asked)
        except BuildError as error:
            asked.coming = Future()
            asked.coming.set_exception(error)
        return asked

    def _list(self, asked: _Asked) -> None:
        if asked.stale:
            asked.coming = self._pool.submit(asked.inputs.listing, asked.stale)

    def kept(self, mode: Mode, context: Context) -> Inputs | None:
        """Return what was known of a mode at first, for another tree; None for one that was not asked about."""
        return self._asked[mode].inputs.elsewhere(context) if mode in self._asked else None

    def inputs(self, mode: Mode) -> Inputs:
        """Return what is known of a mode once Go has answered; raises BuildError when it cannot."""
        asked = self._asked[mode]
        if asked.coming:
            asked.inputs.learn(asked.stale, asked.coming.result(), asked.started)
            asked.stale, asked.coming = [], None
        return asked.inputs
