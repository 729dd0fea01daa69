"""What happened in a run, put together when it is over for those who asked: a file, and GitHub Actions.

Only a run that somebody wants to know about imports this.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from procession_tasks import files
from procession_tasks.errors import BuildError
from procession_tasks.graph.cause import NEVER_BUILT
from procession_tasks.graph.planned import Plan
from procession_tasks.graph.record import BUILT, CACHED, FAILED, FRESH, SKIPPED, Ran
from procession_tasks.graph.report import (
    BuiltImage,
    Mistake,
    Outcome,
    Report,
    mistakes,
    to_annotations,
    to_json,
    to_markdown,
)
from procession_tasks.graph.selection import is_about_locks
from procession_tasks.graph.session import Session
from procession_tasks.graph.stages import by_image
from procession_tasks.image.layout import Layout

if TYPE_CHECKING:
    from procession_tasks.cache.store import Account

# What is looked up in caches before it is done.
_LOOKED_UP = frozenset(["go-inputs", "go-compile", "inject-binary", "inject-packages", "pack-aci", "pack-oci"])
_WORST_FIRST = (FAILED, SKIPPED, BUILT, CACHED, FRESH)


class Happened:
    """What a run did, and what went wrong in it.

    `file` is where the report is to go, None for nowhere; `summarizes` tells whether a summary is of use.
    `account` is what the run had of caches, None if it asked none; `listens` is told of it all in the end.
    """

    def __init__(self, session: Session, file: str | None, *, summarizes: bool) -> None:
        self.account: Account | None = None
        self.listens: Callable[[Report], None] | None = None
        self._session = session
        self._file = file
        self._summarizes = summarizes
        self._outcomes: tuple[Outcome, ...] = ()
        self._plans: Sequence[Plan] = ()
        self._images: tuple[BuiltImage, ...] = ()
        self._mistakes: dict[str, Mistake] = {}

    @property
    def images(self) -> tuple[BuiltImage, ...]:
        """What became of each image that was asked for, once that is `finish`ed."""
        return self._images

    def failed(self, task: str, message: str) -> None:
        """Note what went wrong, each thing once; `task` is empty for what is about none."""
        for mistake in mistakes(task, message, lambda path: (self._session.root / path).is_file()):
            self._mistakes.setdefault(str(mistake), mistake)

    def finish(self, ran: Iterable[Ran], reason: Callable[[str], str]) -> None:
        """Take what became of the tasks, and look at what there is now, while no other run can change it."""
        found = tuple(ran)
        if found and not is_about_locks():  # else there are no plans, or not even locks for them
            self._plans = [one for of_image in by_image().values() for one in of_image]
        places = dict(_places(self._plans))
        self._outcomes = tuple(_outcome(one, places.get(one.name, (None, None)), reason(one.name)) for one in found)
        of_place: dict[tuple[str | None, str | None], list[Outcome]] = {}
        for one in self._outcomes:
            of_place.setdefault((one.image, one.platform), []).append(one)
        images = (self._image(one, of_place.get((one.image, str(one.platform)), [])) for one in self._plans)
        self._images = tuple(filter(None, images))

    def tell(self, status: int) -> int:
        """Write the report, and what GitHub Actions takes; returns the exit status, which failing to write changes."""
        report = self._report(status)
        if self.listens:
            self.listens(report)
        environment = self._session.environment
        if environment.get("GITHUB_ACTIONS") == "true":
            sys.stderr.writelines(f"{line}\n" for line in to_annotations(report, _prefix(self._session.root)))
            summary = environment.get("GITHUB_STEP_SUMMARY")
            if summary and (self._summarizes or report.mistakes):
                _append(summary, to_markdown(report))
        if self._file is not None:
            try:
                files.write(Path(self._file), to_json(report))
            except OSError as error:
                rule = "must be a file that can be written"
                sys.stderr.write(f"doit: --report: {rule}, got {self._file!r}: {error.strerror}\n")
                return status or 1
        return status

    def _report(self, status: int) -> Report:
        seconds = time.monotonic() - self._session.begun
        tasks, found = self._outcomes, tuple(self._mistakes.values())
        if self.account is None:
            return Report(status, seconds, tasks, self._images, found)
        misses = sum(map(_is_miss, tasks))
        return Report(status, seconds, tasks, self._images, found, misses, self.account.fetched, self.account.sent)

    def _image(self, plan: Plan, own: Sequence[Outcome]) -> BuiltImage | None:
        """Say what became of an image, if it was asked for: how it was packed, if all went well before that.

        `own` is what became of its tasks.
        """
        packed = {one.name.partition(":")[0]: one.how for one in own if one.name.startswith("pack-")}
        if not packed:
            return None
        bad = [one.how for one in own if one.how in (FAILED, SKIPPED)]
        how = min(bad or packed.values(), key=_WORST_FIRST.index)
        image = BuiltImage(plan.image, str(plan.platform), how, _time_of(own), self._why(own))
        if bad:
            return image
        if "pack-aci" in packed and (self._file or self.listens):  # no table has room for it
            image = dataclasses.replace(image, aci_id="".join(self._text(plan.pack.outputs[1]).split()) or None)
        return (
            _with_digest(image, self._session.root / plan.pack_oci.option("output")) if "pack-oci" in packed else image
        )

    def _why(self, tasks: Sequence[Outcome]) -> str:
        """Say why an image's first stale task ran."""
        first = next((one.why for one in tasks if one.why), "")
        missed = next((one.name for one in tasks if _is_miss(one)), None) if self._session.caches else None
        return f"{first}; no cache had {missed}" if first == NEVER_BUILT and missed else first

    def _text(self, path: str) -> str:
        try:
            return (self._session.root / path).read_text("utf-8", "surrogateescape")
        except OSError:
            return ""


def _outcome(ran: Ran, place: tuple[str | None, str | None], reason: str) -> Outcome:
    where = ran.where if ran.how == CACHED and ran.where else ""
    return Outcome(ran.name, *place, ran.how, ran.started, ran.seconds, reason, where, ran.saved)


def _places(plans: Iterable[Plan]) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Say of which image and platform each task is."""
    for one in plans:
        programs = [step for program in one.programs for step in (program.list, program.compile)]
        for step in (*programs, one.fetch, one.inject, one.check_size, one.pack, one.pack_oci, one.archive_oci):
            if step:
                yield f"{step.kind}:{step.subject}", (one.image, str(one.platform))
        yield f"index-oci:{one.image}", (one.image, None)


def _is_miss(task: Outcome) -> bool:
    return task.how in (BUILT, FAILED) and task.name.partition(":")[0] in _LOOKED_UP


def _time_of(tasks: Iterable[Outcome]) -> float:
    """Add up the time in which any of these ran."""
    seconds = end = 0.0
    for one in sorted(tasks, key=lambda one: one.started):
        seconds += max(0.0, one.started + one.seconds - max(end, one.started))
        end = max(end, one.started + one.seconds)
    return seconds


def _with_digest(image: BuiltImage, folder: Path) -> BuiltImage:
    try:
        layout = Layout(folder)
        size = layout.top.size + sum(one.size for one in layout.children(layout.top))
    except BuildError:  # something else changed it behind our back: the next build makes it anew
        return image
    return dataclasses.replace(image, digest=layout.top.digest, size=size)


def _prefix(root: Path) -> str:
    """Return what leads from the git repository, where a CI looks for files, to our folder in it."""
    for folder in (root, *root.parents):
        if (folder / ".git").exists():
            below = root.relative_to(folder).as_posix()
            return "" if below == "." else f"{below}/"
    return ""


def _append(file: str, text: str) -> None:
    try:
        with open(file, "a", encoding="utf-8", errors="replace") as stream:
            stream.write(text)
    except OSError as error:
        sys.stderr.write(f"warning: GITHUB_STEP_SUMMARY: {os.fspath(file)} cannot be written: {error.strerror}\n")
