"""Finds the program that an image starts in the list of what the image holds.  Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from procession_tasks.definition.shape import did_you_mean
from procession_tasks.rootfs.tree import Entry

_LINK_LIMIT = 40  # what Linux follows before it calls a path a loop (path_resolution(7))
_RULE = "must be a program that the image holds, by its absolute path"


def missing_program(path: str, entries: Iterable[Entry]) -> tuple[str, str, str | None] | None:
    """Say which rule a program breaks, what was got and a hint; None for a file that may be executed."""
    by_path = {entry.path: entry for entry in entries}
    entry = _resolved(path, by_path)
    if entry is None or entry.type == "directory":
        programs = sorted(f"/{one.path}" for one in by_path.values() if one.type == "file" and one.mode & 0o111)
        same = [program for program in programs if posixpath.basename(program) == posixpath.basename(path)]
        return _RULE, repr(path), f"there is {', '.join(same)}" if same else did_you_mean(path, programs)
    if not entry.mode & 0o111:
        hint = f'add {{path: /{entry.path}, type: file, mode: "0755"}} to paths, or chmod +x it in rootfs/'
        return _RULE, f"{path!r}, which is not executable (mode {entry.mode:04o})", hint
    return None


def _resolved(path: str, by_path: Mapping[str, Entry]) -> Entry | None:
    """Follow links inside the image, part by part as the kernel does."""
    here: list[str] = []
    ahead = path.split("/")[::-1]
    entry, links = None, 0
    while ahead and links <= _LINK_LIMIT:
        part = ahead.pop()
        if part == "..":
            here = here[:-1]
        elif part not in ("", "."):
            here.append(part)
        entry = by_path.get("/".join(here))
        if entry is not None and entry.type == "symlink":
            links += 1
            here = [] if entry.link.startswith("/") else here[:-1]
            ahead += entry.link.split("/")[::-1]
    if entry is not None and entry.type == "hardlink":
        return by_path.get(entry.link)
    return None if ahead else entry
