"""What happened in a run, for machines (JSON), for people (Markdown) and for the pages of a CI (annotations).  Pure.

Texts of others (file names, what a compiler says) never end what they stand in, be it a table, a
block or a command.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from procession_tasks.graph.plaintext import plain
from procession_tasks.graph.record import BUILT, CACHED, FAILED, FRESH, SKIPPED

VERSION = 1  # of the JSON; raised when a key goes or means something else
_LONGEST = 60_000  # of a summary's errors; GitHub drops a summary of more than 1 MiB

# Compiled when they are needed: of most runs nothing went wrong.
_PLACE = r"(?P<file>[^\s:][^:]*):(?P<line>[1-9][0-9]{0,8}):(?:[0-9]+:)? (?P<message>.*)"
_PACKAGE = r"# \S+"  # what go says before the errors of a package
_MARKED = r"([\\`*_\[\]|~#])"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task; `platform` is None for one that is about all, both are for one of no image.

    `started` and `seconds` are from the run's start; `why` it ran is one line, empty if it did not.
    `where` is the cache it came from, and `saved` the seconds that making it had taken.
    """

    name: str
    image: str | None
    platform: str | None
    how: str
    started: float = 0.0
    seconds: float = 0.0
    why: str = ""
    where: str = ""
    saved: float = 0.0


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What became of an image on one platform.

    `seconds` is the time in which any of its tasks ran.  `digest` is that of its OCI manifest, `size` what a
    registry holds of it, in bytes; with `aci_id` they are None for what this run did not bring up to date.
    """

    name: str
    platform: str
    how: str
    seconds: float
    why: str
    digest: str | None = None
    aci_id: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that went wrong, and where in the repository if that was said; `task` may be empty."""

    task: str
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.file else self.message


@dataclass(frozen=True, slots=True)
class Report:
    """A run: `misses` counts what caches were asked for in vain; bytes are those of contents."""

    status: int
    seconds: float
    tasks: tuple[Outcome, ...] = ()
    images: tuple[BuiltImage, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    misses: int = 0
    fetched: int = 0
    sent: int = 0

    @property
    def hits(self) -> dict[str, int]:
        """How many tasks each cache had the outcome of."""
        return dict(sorted(Counter(task.where for task in self.tasks if task.how == CACHED).items()))

    @property
    def saved(self) -> float:
        """The seconds of work that caches spared."""
        return sum(task.saved for task in self.tasks)


def mistakes(task: str, message: str, is_file: Callable[[str], bool]) -> list[Mistake]:
    """Divide a message into what it says of each place; all of it is one mistake where it names none.

    `is_file` tells a path of the repository from what only looks like one, such as a host and its port.
    """
    found: list[Mistake] = []
    for line in plain(message).strip("\n").splitlines():
        place = re.fullmatch(_PLACE, line)
        if place and is_file(place["file"]):
            found.append(Mistake(task, place["message"], place["file"], int(place["line"])))
        elif found:
            last = found.pop()
            more = "" if re.fullmatch(_PACKAGE, line) else f"\n{line}"
            found.append(dataclasses.replace(last, message=last.message + more))
        elif not re.fullmatch(_PACKAGE, line):
            found.append(Mistake(task, line))
    return found


def to_json(report: Report) -> bytes:
    """Render the report that docs/ci.md describes."""
    whole = summary(report)
    document = {name: whole[name] for name in ("version", "status", "seconds")}
    document["tasks"] = [_task(task) for task in report.tasks]
    return (json.dumps({**document, **whole}, indent=2) + "\n").encode()


def summary(report: Report) -> dict[str, Any]:
    """Say how a run ended, for machines: all but the single tasks."""
    return {
        "version": VERSION,
        "status": report.status,
        "seconds": round(report.seconds, 3),
        "images": [_image(image) for image in report.images],
        "cache": {
            "hits": report.hits,
            "misses": report.misses,
            "saved_seconds": round(report.saved, 3),
            "fetched_bytes": report.fetched,
            "sent_bytes": report.sent,
        },
        "errors": [dataclasses.asdict(mistake) | {"task": mistake.task or None} for mistake in report.mistakes],
    }


def _task(task: Outcome) -> dict[str, Any]:
    return {
        "name": task.name,
        "image": task.image,
        "platform": task.platform,
        "outcome": task.how,
        "started": round(task.started, 3),
        "seconds": round(task.seconds, 3),
        "why": task.why or None,
        "from": task.where or None,
        "saved_seconds": round(task.saved, 3),
    }


def _image(image: BuiltImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "platform": image.platform,
        "outcome": image.how,
        "digest": image.digest,
        "aci_id": image.aci_id,
        "size": image.size,
        "seconds": round(image.seconds, 3),
        "why": image.why or None,
    }


def to_markdown(report: Report) -> str:
    """Render a summary: a row an image, what caches did, what went wrong."""
    parts = [f"### {_heading(report)}", _table(report.images), _tasks(report), _digests(report.images)]
    return "\n\n".join(filter(None, [*parts, _errors(report.mistakes)])) + "\n"


def _heading(report: Report) -> str:
    ended = {0: "Images", 130: "Interrupted"}.get(report.status, "Failed")
    said = _counted(image.how for image in report.images)
    return f"{ended}: {said}" if said else ended


def _table(images: Iterable[BuiltImage]) -> str:
    rows = [
        f"| {_text(image.name)} {image.platform} | {_short(image.digest)} | {image.how} | {size_of(image.size)} "
        f"| {image.seconds:.1f} s | {_text(image.why)} |"
        for image in images
    ]
    head = ["| image | digest | outcome | size | time | why |", "| --- | --- | --- | ---: | ---: | --- |"]
    return "\n".join([*head, *rows]) if rows else ""


def _tasks(report: Report) -> str:
    if not report.tasks:
        return ""
    total = "1 task" if len(report.tasks) == 1 else f"{len(report.tasks)} tasks"
    lines = [f"{total} in {report.seconds:.1f} s: {_counted(task.how for task in report.tasks)}."]
    if report.hits or report.misses:
        hits = ", ".join(f"{count} from {_text(where)}" for where, count in report.hits.items())
        lines.append(f"Cache hits: {hits or 'none'}; misses: {report.misses}; work spared: {report.saved:.1f} s.")
    if report.fetched or report.sent:
        lines.append(f"Fetched: {size_of(report.fetched)}; sent: {size_of(report.sent)}.")
    return " ".join(lines)


def _counted(outcomes: Iterable[str]) -> str:
    counted = Counter(outcomes)
    return ", ".join(f"{counted[how]} {how}" for how in (BUILT, CACHED, FRESH, FAILED, SKIPPED) if counted[how])


def _digests(images: Iterable[BuiltImage]) -> str:
    known = [f"{one.name} {one.platform} {one.digest or '-'} {one.aci_id or '-'}" for one in images if one.digest]
    block = _block("\n".join(known))
    return f"<details><summary>Digests and ACI image IDs</summary>\n\n{block}\n\n</details>" if known else ""


def _errors(found: Iterable[Mistake]) -> str:
    text = "\n".join(map(str, found))
    cut = "\n…" if len(text) > _LONGEST else ""
    return f"#### Errors\n\n{_block(text[:_LONGEST] + cut)}" if text else ""


def _block(text: str) -> str:
    """Quote text; the fence is longer than any in it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{plain(text)}\n{fence}"


def _text(text: str) -> str:
    """Have text stand in a cell of a table as it is."""
    import html  # most runs have no summary

    return re.sub(_MARKED, r"\\\1", html.escape(" ".join(plain(text).split()), quote=False))


def _short(digest: str | None) -> str:
    return f"`{digest[:19]}`" if digest else ""


def size_of(size: int | None) -> str:
    """Write a number of bytes as registries count; nothing for what is not known."""
    if size is None:
        return ""
    for unit in ("B", "kB", "MB"):
        if size < 1000 or unit == "MB":  # noqa: PLR2004  # as registries count
            break
        size /= 1000  # type: ignore[assignment]
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def to_annotations(report: Report, prefix: str = "") -> list[str]:
    """Render GitHub's workflow commands, one a mistake; `prefix` leads from its repository to ours."""
    return [_annotation(mistake, prefix) for mistake in report.mistakes]


def _annotation(mistake: Mistake, prefix: str) -> str:
    place = {"file": f"{prefix}{mistake.file}", "line": str(mistake.line)} if mistake.file else {}
    properties = place | {"title": mistake.task or "doit"}
    said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::error {said}::{_data(mistake.message)}"


def _data(text: str) -> str:
    return plain(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
