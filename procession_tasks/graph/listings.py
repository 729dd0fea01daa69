"""What `go list` says of programs, taken from caches and kept there.

What decides about a program is only known once `go list` has said it.  So there are two entries:
one, under what is known before, names what was looked at in some tree; the other, under what
these things hold in this tree, is the answer.  The first only proposes: a proposal that fits no
tree of now costs a look, never a wrong answer.
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping

from procession_tasks.cache import outputs
from procession_tasks.cache.contents import Look
from procession_tasks.cache.merkle import File, Node
from procession_tasks.cache.reapi import ActionResult, OutputFile, digest_of
from procession_tasks.cache.remote import Blob
from procession_tasks.golang import closure
from procession_tasks.golang.closure import Package
from procession_tasks.golang.inputs import Inputs, LookedAt
from procession_tasks.graph.caching import Asked, Caching, caching
from procession_tasks.graph.planned import ProgramPlan
from procession_tasks.graph.session import Session, Taken
from procession_tasks.step import Step

_FORMAT = 1
_MOST = 4  # proposals: branches of a repository look at different things
_NOTE = ".procession/looked-at"  # in the input root: what was looked at, and the names in folders
_PROPOSALS, _LISTING = "proposals.json", "listing.json"


class Lookups:
    """Looks up what `go list` says of the programs of one mode, and keeps what it said then."""

    def __init__(self, caches: Caching, session: Session) -> None:
        self._caches = caches
        self._session = session
        self._look = Look(caches.contents)

    def take(self, plans: Mapping[str, ProgramPlan]) -> dict[str, dict[str, Package]]:
        """Return what caches know of programs, by the program and then by import path."""
        found: dict[str, dict[str, Package]] = {}
        for task, plan in plans.items():
            if listed := self._take(plan):
                found[plan.program.package], where, seconds = listed
                self._session.taken[task] = Taken(where, seconds)
        return found

    def keep(self, plans: Iterable[ProgramPlan], listed: Mapping[str, Package], seconds: float) -> None:
        """Store what `go list` said of programs, but for those it found fault with and those that were edited."""
        for plan in plans:
            mode, package = plan.program.mode, plan.program.package
            inputs = self._session.inputs(mode)
            if not inputs.holds(package):
                continue
            looked_at = inputs.looked_at(package)
            asked = self._asked(plan.list, looked_at, inputs)
            if asked is None or inputs.has_moved(package) or not self._is_same(asked, looked_at):
                continue
            below = closure.closure(closure.main_package(package, listed, mode.module), listed)
            self._store(asked, _LISTING, closure.dump(below), seconds)
            if (proposing := self._proposing(plan)) is not None:
                known = [one for one in self._proposals(proposing) if one != looked_at]
                rows = [{"files": one.files, "folders": one.folders} for one in (looked_at, *known)][:_MOST]
                self._store(proposing, _PROPOSALS, json.dumps(rows, separators=(",", ":")).encode(), 0)

    def _take(self, plan: ProgramPlan) -> tuple[dict[str, Package], str, float] | None:
        inputs = self._session.inputs(plan.program.mode)
        proposing = self._proposing(plan)
        for looked_at in self._proposals(proposing) if proposing else ():
            asked = self._asked(plan.list, looked_at, inputs)
            if asked and (listed := self._read(asked)):
                return listed
        return None

    def _read(self, asked: Asked) -> tuple[dict[str, Package], str, float] | None:
        read: list[dict[str, Package]] = []
        found = self._caches.store.take(
            asked.keyed, lambda result, disk: read.append(closure.load(outputs.only(result, disk)))
        )
        return (read[-1], found.where, found.seconds) if found else None

    def _proposing(self, plan: ProgramPlan) -> Asked | None:
        """Look up by what is known before `go list` runs: the command, the environment, the module's own file."""
        module_file = posixpath.normpath(f"{plan.program.mode.module}/go.mod")
        return self._caches.ask(_step(plan.list, "go-looked-at", _PROPOSALS), [module_file])

    def _proposals(self, asked: Asked) -> Iterator[LookedAt]:
        """Read the proposals of every cache, each once, those of this machine first."""
        seen: list[LookedAt] = []
        for text in self._caches.store.texts(asked.keyed):
            for one in _parsed(text):
                if one not in seen:
                    seen.append(one)
                    yield one

    def _asked(self, step: Step, looked_at: LookedAt, inputs: Inputs) -> Asked | None:
        """Look up by what was looked at, as it is in this tree.

        It is looked at once, before `go list` runs: what changes then is not held by `inputs`.
        """
        lines = [f"file {path}" for path in looked_at.files]
        lines += [f"folder {path} {self._look.names(path)}" for path in looked_at.folders]
        note = digest_of("\n".join([*inputs.compiler, *lines]).encode("utf-8", "surrogateescape"))
        more: dict[str, Node] = {_NOTE: File(note)}
        try:
            looked = [path for path in looked_at.files if self._look.is_file(path)]
            return self._caches.ask(_step(step, "go-list", _LISTING), looked, more, self._look)
        except OSError:
            return None  # a source that cannot be read: Go says so

    def _is_same(self, asked: Asked, looked_at: LookedAt) -> bool:
        """Tell whether files are what they were when they were looked up, and those that were not there are not now."""
        absent = (path for path in looked_at.files if path not in asked.inputs)
        return self._look.are_same(asked.inputs) and not any(map(self._caches.contents.is_file, absent))

    def _store(self, asked: Asked, name: str, text: bytes, seconds: float) -> None:
        digest = digest_of(text)
        result = ActionResult(output_files=(OutputFile(name, digest),))
        self._caches.store.keep(asked.keyed, result, {digest: Blob(digest, text)}, seconds)


def lookups(session: Session) -> Lookups | None:
    """Begin to look up programs of one mode; None where there are no caches."""
    caches = caching(session)
    return Lookups(caches, session) if caches else None


def _parsed(text: bytes) -> list[LookedAt]:
    """Read proposals, a few: who wrote them may be anybody."""
    try:
        rows = json.loads(text)[:_MOST]
        found = [LookedAt(tuple(row["files"]), tuple(row["folders"])) for row in rows]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [one for one in found if all(map(closure.is_inside, (*one.files, *one.folders)))]


def _step(step: Step, kind: str, output: str) -> Step:
    """Declare what is cached: not the list for people, whose digests are this machine's affair."""
    command = (*step.command[:2], f"--format={_FORMAT}", *step.command[2:])
    return dataclasses.replace(step, kind=kind, command=command, inputs=(), outputs=(output,))
