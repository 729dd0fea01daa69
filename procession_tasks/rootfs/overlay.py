"""Lays what a definition says over what packages ship.  Pure but for reading the definition's files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Mapping

from procession_tasks.definition.model import Path as DeclaredPath
from procession_tasks.rootfs.content import Range, read
from procession_tasks.rootfs.links import destination, link_texts
from procession_tasks.rootfs.merge import Source


@dataclasses.dataclass(frozen=True, slots=True)
class Overlaid:
    """The sources of both, by path; what the definition replaced, in words; and what is wrong."""

    sources: dict[str, Source]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def overlaid(
    packages: Mapping[str, Source], definition: Mapping[str, Source], paths: Iterable[DeclaredPath]
) -> Overlaid:
    """Merge the sources of a definition into those of packages.

    The definition's files and links win over files and links, and its declared folders give
    mode and owner to folders.  A folder is no file and no file a folder, but a declared link
    may stand for an empty folder.
    """
    unchanged = {path.path for path in paths if path.type == "directory" and path.mode is None}
    merged = dict(packages)
    notes, problems, refused = [], [], ""
    for path in sorted(definition):
        source, below = definition[path], packages.get(path)
        if refused and path.startswith(refused):
            continue
        if below is None:
            merged[path] = source
        elif source.entry.type == "directory" == below.entry.type:
            merged[path] = _folder(source, below, keeps_mode=path in unchanged)
        elif _may_replace(source, below, packages):
            merged[path] = source
            notes += [] if _is_same(source, below) else [f"{source.origin}: replaces /{path} of {below.owner}"]
        else:
            refused = f"{path}/"
            problems.append(_refusal(source, below, packages))
    return Overlaid(merged, tuple(notes), tuple(problems))


def _folder(source: Source, below: Source, *, keeps_mode: bool) -> Source:
    """Only a folder that is declared has a mode and owner of its own; git records none."""
    if source.owner != "paths":
        return below
    mode = below.entry.mode if keeps_mode else source.entry.mode
    return dataclasses.replace(source, entry=dataclasses.replace(source.entry, mode=mode))


def _may_replace(source: Source, below: Source, packages: Collection[str]) -> bool:
    if source.entry.type == "directory":
        return False
    if below.entry.type != "directory":
        return True
    is_empty = not any(path.startswith(f"{below.entry.path}/") for path in packages)
    return source.entry.type == "symlink" and is_empty


def _is_same(source: Source, below: Source) -> bool:
    if source.entry.type != "file" or not isinstance(below.content, Range):
        return source.entry.link == below.entry.link != ""
    return hashlib.sha256(read(source.content, source.origin)).hexdigest() == below.content.sha256


def _refusal(source: Source, below: Source, packages: Mapping[str, Source]) -> str:
    path, kind = source.entry.path, below.entry.type
    hint = f"prune {path}, or leave it out of the definition"
    if source.entry.type == "directory" and kind == "symlink":
        hint = f"put it where the link leads: /{destination(path, link_texts(packages))}"
    rule = f"a {source.entry.type} must not take the place of a {kind} ({below.owner})"
    return f"{source.origin}: {rule}, got /{path}\n  hint: {hint}"
