"""Folders of Go files that are in a revision what they are here, as git knows without reading one.

A link stands for such a folder in the revision's tree: most of a large repository need not be written out.
Whatever could make a checkout write other bytes than are here, or git take a changed file for the same, is
taken for a difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from procession_tasks.graph.git import Git

# What a checkout may do to a file, but for line ends by configuration.
_CONVERTING = frozenset(["text", "crlf", "eol", "ident", "filter", "working-tree-encoding"])
_ATTRIBUTES = ".gitattributes"
_DEFINING = frozenset(["image.yaml", "manifest"])  # links below these would be links of an image
_STRICT = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.checkStat=default",
    "-c",
    "core.trustctime=true",
    "-c",
    "core.fileMode=true",
)
_PLAIN = "H"  # the tag of an entry that nobody told git to take for unchanged
_REGULAR = ("100644 ", "100755 ")  # a link may lead to what is not the same


@dataclass(slots=True)
class _Folder:
    """What a revision has in a folder, and whether all of it is Go and the same here."""

    names: set[str] = field(default_factory=set)
    folders: dict[str, _Folder] = field(default_factory=dict)
    is_same: bool = True
    is_definition: bool = False


def unchanged_folders(git: Git, entries: Mapping[str, str]) -> list[str]:
    """Name the topmost of these folders, relative to the work tree; `entries` has mode and object by path.

    Empty where anything is unusual: git fails, attributes or settings convert what is checked out.
    """
    same = _unchanged(git, entries)
    if not same or _is_converting(git, entries, same):
        return []
    top = _Folder()
    for path in entries:
        *above, name = path.split("/")
        folder = top
        for part in above:
            folder = folder.folders.setdefault(part, _Folder())
        folder.names.add(name)
        folder.is_same = folder.is_same and path.endswith(".go") and path in same
        folder.is_definition = folder.is_definition or name in _DEFINING
    top.is_same = False  # it is not in any folder
    return list(_found(top, "", os.fspath(git.top)))


def _found(folder: _Folder, path: str, top: str) -> Iterator[str]:
    if folder.is_definition:
        return
    if path and _is_same(folder, f"{top}/{path}"):
        yield path
        return
    for name, below in folder.folders.items():
        yield from _found(below, f"{path}/{name}" if path else name, top)


def _is_same(folder: _Folder, place: str) -> bool:
    """Tell whether all that is in a folder here is in the revision, and the same."""
    if not folder.is_same or folder.is_definition:
        return False
    try:
        with os.scandir(place) as entries:
            here = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError:
        return False
    there = dict.fromkeys(folder.names, False) | dict.fromkeys(folder.folders, True)
    return here == there and all(_is_same(below, f"{place}/{name}") for name, below in folder.folders.items())


def _unchanged(git: Git, entries: Mapping[str, str]) -> set[str]:
    """Find the files that are in the index as in a revision, and here as in the index."""
    listed = git.lines(*_STRICT, "ls-files", "--stage", "-v", "-z")
    changed = git.lines(*_STRICT, "diff-files", "--name-only", "-z")
    if listed is None or changed is None:
        return set()
    found = set()
    for line in listed:
        described, _, path = line.partition("\t")
        tag, mode, name, stage = described.split()
        entry = f"{mode} {name}"
        if tag == _PLAIN and stage == "0" and entry.startswith(_REGULAR) and entries.get(path) == entry:
            found.add(path)
    return found.difference(changed)


def _is_converting(git: Git, entries: Mapping[str, str], same: set[str]) -> bool:
    """Tell whether a checkout may write anything else than what is stored."""
    if any(os.path.basename(path) == _ATTRIBUTES and path not in same for path in entries):
        return True
    folders = {""} | {above for path in same for above in _above(path)}
    ours = (os.path.join(folder, _ATTRIBUTES) for folder in folders)
    if any(path not in same and os.path.lexists(git.top / path) for path in ours):
        return True
    settings = git.ask("config", "--get", "core.autocrlf").stdout.strip().lower()
    if settings not in (b"", b"false"):
        return True
    paths = "\0".join([*(path for path in same if path.endswith(".go")), ""])
    told = git.ask("check-attr", "--all", "--stdin", "-z", stdin=paths.encode("utf-8", "surrogateescape"))
    names = told.stdout.split(b"\0")[1::3]
    return told.status != 0 or not _CONVERTING.isdisjoint(name.decode() for name in set(names))


def _above(path: str) -> Iterable[str]:
    while path := os.path.dirname(path):
        yield path
