"""What is measured: nothing to do, everything touched, one change; for each size."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import competitors, tools
from benchmarks.generate import LDFLAGS, Workspace, generate
from benchmarks.measure import Case, Command, Launcher, rounds, tell
from benchmarks.tools import BASH, BASH_CHANGED, LIST, MAKE, NINJA, ONE, OURS, PLAIN, Tools


@dataclass(frozen=True)
class Plan:
    """The rounds in which a size is measured; 0 leaves a part out.

    With nothing to do, of that the Bash script; after everything was touched, of that the tools
    that then build everything; after a change in one service, in the shared tree, of these Bash.
    """

    services: int
    noop: int
    bash: int = 0
    touched: int = 0
    touched_others: int = 0
    edits: int = 0
    shared: int = 0
    bash_edits: int = 0
    relink: int = 0


@dataclass
class Results:
    """The cases of one size, in the order they were measured, and notes about them."""

    services: int
    cases: list[Case]
    notes: list[str]

    def case(self, start: str) -> Case:
        """Return the case whose title begins so."""
        return next(case for case in self.cases if case.title.startswith(start))


def measure(found: Tools, launcher: Launcher, work: Path, plan: Plan) -> Results:
    """Generate a workspace, build it with every tool, and measure what the plan asks for."""
    workspace = generate(work / f"services-{plan.services}", plan.services)
    competitors.write_all(workspace, found.go)
    suite = Suite(found, launcher, workspace, plan)
    results = Results(plan.services, [], [suite.first_builds()])
    for part in (suite.noop, suite.one, suite.touched, suite.edits, suite.relink):
        results.cases += part()
    return results


def measure_one(found: Tools, launcher: Launcher, work: Path, services: int, *, count: int, all_built: bool) -> Results:
    """Measure one service of many with nothing to do; make and ninja build no other before."""
    workspace = generate(work / f"services-{services}", services)
    competitors.write_all(workspace, found.go)
    mine, other = tools.ours(found, workspace), tools.others(found, workspace, workspace.middle)
    measured = [*tools.bare(found), mine[ONE], mine[LIST], other[MAKE], other[NINJA]]
    first = [mine[OURS] if all_built else mine[ONE], other[MAKE], other[NINJA]]
    notes = [_first(launcher, first)]
    if all_built:
        measured.append(mine[OURS])
    else:
        notes.append("only this service was built before, so the kept state is smaller than after a full build")
    _warm(launcher, measured)
    return Results(services, [rounds(launcher, "one service, nothing to do", measured, count)], notes)


class Suite:
    """The measurements of one workspace."""

    def __init__(self, found: Tools, launcher: Launcher, workspace: Workspace, plan: Plan) -> None:
        self._found = found
        self._launcher = launcher
        self._workspace = workspace
        self._plan = plan
        self._units = tools.bare(found)
        self._ours = tools.ours(found, workspace)
        self._others = tools.others(found, workspace)

    def first_builds(self) -> str:
        """Build everything with every tool; they share a Go cache, so only the first of them compiles."""
        first = [self._ours[OURS], self._others[MAKE], self._others[NINJA], self._others[PLAIN]]
        return _first(self._launcher, [*first, *([self._others[BASH]] if self._plan.bash else [])])

    def noop(self) -> list[Case]:
        """Measure builds with nothing to do."""
        fast = [*self._units, self._ours[OURS], self._ours[LIST], *self._pick(MAKE, NINJA, PLAIN)]
        slow = self._pick(BASH, BASH_CHANGED)[: self._plan.bash]  # a single round is too dear for both
        _warm(self._launcher, fast)
        fewer = {command.name: self._plan.bash for command in slow}
        return [rounds(self._launcher, "nothing to do", [*fast, *slow], self._plan.noop, fewer=fewer)]

    def one(self) -> list[Case]:
        """Measure builds of one service with nothing to do."""
        single = tools.others(self._found, self._workspace, self._workspace.middle)
        measured = [*self._units, self._ours[ONE], single[MAKE], single[NINJA], single[PLAIN]]
        if self._plan.bash:
            measured.append(single[BASH])
        return [rounds(self._launcher, "one service, nothing to do", measured, self._plan.noop)]

    def touched(self) -> list[Case]:
        """Measure the two builds after every file was given a new time."""
        first, second = Case("every file touched, first build after"), Case("every file touched, build after that")
        fast, slow = [*self._units, self._ours[OURS]], self._pick(MAKE, NINJA, PLAIN)
        for number in range(self._plan.touched):
            for command in [*fast, *(slow if number < self._plan.touched_others else ())]:
                self._workspace.touch()
                time.sleep(0.1)  # as long after as anyone would type: a file just written is not trusted
                first.samples.setdefault(command.name, []).append(self._launcher.run(command))
                second.samples.setdefault(command.name, []).append(self._launcher.run(command))
        cases = [first, second] if self._plan.touched else []
        for case in cases:
            tell(case, [*fast, *(slow if self._plan.touched_others else ())])
        if cases and self._plan.edits:
            self._settle()
        return cases

    def edits(self) -> list[Case]:
        """Measure builds after one file was changed."""
        space, plan = self._workspace, self._plan
        cases = []
        edits: list[tuple[str, Callable[[], None], int]] = [
            ("a comment changed in one service", space.edit_comment, plan.edits),
            ("code changed in one service", space.edit_code, plan.edits),
            ("code changed in a shared package", space.edit_shared, plan.shared),
        ]
        measured = [
            *self._units,
            self._ours[OURS],
            *self._pick(MAKE, NINJA, PLAIN, *([BASH] if plan.bash_edits else [])),
        ]
        for title, edit, count in edits:
            if count:
                fewer = {BASH: min(plan.bash_edits, count)}
                cases.append(rounds(self._launcher, title, measured, count, before=edit, fewer=fewer))
        return cases

    def relink(self) -> list[Case]:
        """Measure one `go build` of everything against one for each service, after a shared change."""
        if not self._plan.relink:
            return []
        go, module, environment = str(self._found.go), self._workspace.module, self._found.environment
        flags = ("build", "-trimpath", "-buildvcs=false", f"-ldflags={LDFLAGS}")
        words = f"{go} {' '.join(flags[:-1])} '-ldflags={LDFLAGS}'"
        words = f"{go} {' '.join(flags[:-1])} '-ldflags={LDFLAGS}'"
        loop = f"for name in cmd/*; do {words} -o ../each/ ./$name || exit; done"
        for folder in ("at-once", "each"):
            (self._workspace.root / folder).mkdir()
        commands = [
            Command("one go build of all", (go, *flags, "-o", "../at-once/", "./cmd/..."), module, environment),
            Command("one go build a service", (str(self._found.bash), "-c", loop), module, environment),
        ]
        edit = self._workspace.edit_shared
        return [rounds(self._launcher, "linking after a shared change", commands, self._plan.relink, before=edit)]

    def _settle(self) -> None:
        """Bring every tool's outputs up to date, unmeasured."""
        for command in [self._ours[OURS], *self._pick(MAKE, NINJA, PLAIN)]:
            self._launcher.run(command)

    def _pick(self, *names: str) -> list[Command]:
        return [self._others[name] for name in names]


def _first(launcher: Launcher, commands: Sequence[Command]) -> str:
    samples = {command.name: launcher.run(command) for command in commands}
    figures = ", ".join(f"{name} {sample.wall:.1f} s" for name, sample in samples.items())
    sys.stderr.write(f"first builds: {figures}\n")
    return f"first builds, in this order, with one Go cache that only the first had to fill: {figures}"


def _warm(launcher: Launcher, commands: Sequence[Command]) -> None:
    """Run everything once, unmeasured: compiled Python, kept state, page cache."""
    for command in commands:
        launcher.run(command)
