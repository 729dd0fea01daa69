"""What `go list` says of programs, taken from caches and kept there.

What decides about a program is only known once `go list` has said it.  So there are two entries:
one, under what is known before, names what was looked at in some tree; the other, under what
these things hold in this tree, is the answer.  The first only proposes: a proposal that fits no
tree of now costs a look, never a wrong answer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping

from procession_tasks.cache import outputs
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


def take(plans: Mapping[str, ProgramPlan], session: Session) -> dict[str, dict[str, Package]]:
    """Return what caches know of programs, by the program and then by import path."""
    caches = caching(session)
    found: dict[str, dict[str, Package]] = {}
    for task, plan in plans.items() if caches else ():
        if caches and (listed := _take(plan, caches, session)):
            found[plan.program.package], where, seconds = listed
            session.taken[task] = Taken(where, seconds)
    return found


def keep(plans: Iterable[ProgramPlan], listed: Mapping[str, Package], seconds: float, session: Session) -> None:
    """Store what `go list` said of programs, but for those it found fault with and those that were edited."""
    if (caches := caching(session)) is None:
        return
    for plan in plans:
        mode, package = plan.program.mode, plan.program.package
        inputs = session.inputs(mode)
        if not inputs.holds(package):
            continue
        looked_at = inputs.looked_at(package)
        asked = _asked(plan.list, looked_at, inputs, caches, session)
        if asked is None or inputs.has_moved(package) or not caches.contents.are_same(asked.inputs):
            continue
        below = closure.closure(closure.main_package(package, listed, mode.module), listed)
        _store(caches, asked, _LISTING, closure.dump(below), seconds)
        if (proposing := _proposing(plan, caches)) is not None:
            known = [one for one in _proposals(proposing, caches) if one != looked_at]
            text = json.dumps([dataclasses.asdict(one) for one in (looked_at, *known)][:_MOST], separators=(",", ":"))
            _store(caches, proposing, _PROPOSALS, text.encode(), 0)


def _take(plan: ProgramPlan, caches: Caching, session: Session) -> tuple[dict[str, Package], str, float] | None:
    inputs = session.inputs(plan.program.mode)
    proposing = _proposing(plan, caches)
    for looked_at in _proposals(proposing, caches) if proposing else ():
        asked = _asked(plan.list, looked_at, inputs, caches, session)
        if asked and (listed := _read(asked, caches)):
            return listed
    return None


def _read(asked: Asked, caches: Caching) -> tuple[dict[str, Package], str, float] | None:
    read: list[dict[str, Package]] = []
    found = caches.store.take(asked.keyed, lambda result, disk: read.append(closure.load(outputs.only(result, disk))))
    return (read[-1], found.where, found.seconds) if found else None


def _proposing(plan: ProgramPlan, caches: Caching) -> Asked | None:
    """Look up by what is known before `go list` runs: the command, the environment, the module's own file."""
    module_file = posixpath.normpath(f"{plan.program.mode.module}/go.mod")
    return caches.ask(_step(plan.list, "go-looked-at", _PROPOSALS), [module_file])


def _proposals(asked: Asked, caches: Caching) -> Iterator[LookedAt]:
    """Read the proposals of every cache, each once, those of this machine first."""
    seen: list[LookedAt] = []
    for text in caches.store.texts(asked.keyed):
        for one in _parsed(text):
            if one not in seen:
                seen.append(one)
                yield one


def _parsed(text: bytes) -> list[LookedAt]:
    """Read proposals, a few: who wrote them may be anybody."""
    try:
        rows = json.loads(text)[:_MOST]
        found = [LookedAt(tuple(row["files"]), tuple(row["folders"])) for row in rows]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [one for one in found if all(map(closure.is_inside, (*one.files, *one.folders)))]


def _asked(step: Step, looked_at: LookedAt, inputs: Inputs, caches: Caching, session: Session) -> Asked | None:
    """Look up by what was looked at, as it is in this tree."""
    lines = [f"file {path}" for path in looked_at.files]
    lines += [f"folder {path} {_names(os.path.join(session.root, path))}" for path in looked_at.folders]
    note = digest_of("\n".join([*inputs.compiler, *lines]).encode("utf-8", "surrogateescape"))
    more: dict[str, Node] = {_NOTE: File(note)}
    try:
        looked = [path for path in looked_at.files if os.path.isfile(session.root / path)]
        return caches.ask(_step(step, "go-list", _LISTING), looked, more)
    except OSError:
        return None  # a source that cannot be read: Go says so


def _names(folder: str) -> str:
    try:
        names = "\0".join(sorted(os.listdir(folder)))
    except OSError:
        return "-"
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()


def _step(step: Step, kind: str, output: str) -> Step:
    """Declare what is cached: not the list for people, whose digests are this machine's affair."""
    command = (*step.command[:2], f"--format={_FORMAT}", *step.command[2:])
    return dataclasses.replace(step, kind=kind, command=command, inputs=(), outputs=(output,))


def _store(caches: Caching, asked: Asked, name: str, text: bytes, seconds: float) -> None:
    digest = digest_of(text)
    result = ActionResult(output_files=(OutputFile(name, digest),))
    caches.store.keep(asked.keyed, result, {digest: Blob(digest, text)}, seconds)
