"""Whether an image is within its size budget, and what grew if it is not.  Pure.

What counts is the bytes of its files, as `doit sizes` says them: they are known before anything is
packed, and no compressor changes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from procession_tasks.image.difference_text import amount, shown
from procession_tasks.rootfs.tree import Entry

FORMAT = 1  # of what is remembered of an image
_MOST = 8  # lines of what grew


@dataclass(frozen=True, slots=True)
class Held:
    """The bytes of each file of an image, under what it came with: a package, ``go``, ``rootfs``."""

    files: Mapping[str, Mapping[str, int]]

    @property
    def total(self) -> int:
        """The bytes of all files; a hard link costs nothing."""
        return sum(sum(sizes.values()) for sizes in self.files.values())

    def of(self, owner: str) -> Mapping[str, int]:
        """Return the files of an owner; none of one that is not there."""
        return self.files.get(owner, {})


def held(entries: Iterable[Entry], owners: Mapping[str, str]) -> Held:
    """Sort an image's files by what they came with."""
    files: dict[str, dict[str, int]] = {}
    for entry in entries:
        if entry.type == "file":
            files.setdefault(owners[entry.path], {})[entry.path] = entry.size
    return Held(files)


def dump(what: Held) -> bytes:
    """Render what is remembered of an image that is within its budget: a line a file, as JSON."""
    rows = sorted((owner, path, size) for owner, sizes in what.files.items() for path, size in sizes.items())
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def parse(text: bytes) -> Held:
    """Read what `dump` wrote; nothing of what is something else."""
    files: dict[str, dict[str, int]] = {}
    try:
        for owner, path, size in map(json.loads, text.splitlines()):
            files.setdefault(owner, {})[path] = int(size)
    except (ValueError, TypeError):
        return Held({})
    return Held(files)


def excess(budget: int, now: Held, before: Held) -> tuple[str, ...]:
    """Say what is too much and what grew since the image last was within its budget, largest first; empty if nothing.

    The first line is what was got; the others tell what grew, or what there is if nothing did.
    """
    if now.total <= budget:
        return ()
    too_much = f"{amount(now.total)}, {amount(now.total - budget)} too much"
    title, rows = "what grew since it last was within its budget:", sorted(_growth(now, before))
    if not (before.files and rows):
        title, rows = "what it holds:", sorted(_holdings(now))
    more = [f"and {len(rows) - _MOST} more"] if len(rows) > _MOST else []
    return (too_much, title, *(f"  {row}" for _, _, row in rows[:_MOST]), *(f"  {line}" for line in more))


def _growth(now: Held, before: Held) -> Iterator[tuple[int, str, str]]:
    """Tell each owner that has grown, with the file that has grown most; what sorts lines comes first."""
    for owner, sizes in now.files.items():
        was, total = before.of(owner), sum(sizes.values())
        if (growth := total - sum(was.values())) > 0:
            file = _largest({path: size - was.get(path, 0) for path, size in sizes.items()})
            change = f"{amount(sum(was.values()))} -> {amount(total)}" if was else "new"
            yield -growth, owner, f"{'+' + amount(growth):>9}  {shown(owner)}: {change} (/{shown(file)})"


def _holdings(now: Held) -> Iterator[tuple[int, str, str]]:
    """Tell what each owner has, with its largest file."""
    for owner, sizes in now.files.items():
        total = sum(sizes.values())
        yield -total, owner, f"{amount(total):>9}  {shown(owner)} (/{shown(_largest(sizes))})"


def _largest(sizes: Mapping[str, int]) -> str:
    return min(sizes, key=lambda path: (-sizes[path], path))
