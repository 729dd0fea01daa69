"""Folders of Go files, and definitions, that are in a revision what they are here, as git knows without reading one.

A link stands for such a folder in the revision's tree: most of a large repository need not be written out.
Whatever could make a checkout write other bytes than are here, or git take a changed file for the same, is
taken for a difference.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import process
from procession_tasks.graph.git import Git

# What a checkout may do to a file, but for line ends by configuration.
_CONVERTING = ("text", "crlf", "eol", "ident", "filter", "working-tree-encoding")
_ATTRIBUTES = ".gitattributes"
_CONVERTED = f":(exclude,attr:{' '.join(f'!{name}' for name in _CONVERTING)})"  # git excludes what has none of these
_DEFINING = frozenset(["image.yaml", "manifest"])
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
_PLAIN = "H "  # the tag of an entry that nobody told git to take for unchanged
_MODULE = "go.mod"  # Go tells of a module by its folder's real name
_REGULAR = ("100644 ", "100755 ")  # a link may lead to what is not the same


class _Folders:
    """What a revision has in each folder; "" is the topmost.

    `changed` are the folders of which a file is not here what it is there, `mixed` those with files other than Go's.
    """

    def __init__(self, paths: Iterable[str], changed: Iterable[str]) -> None:
        self.names: dict[str, list[str]] = {"": []}
        self.below: dict[str, list[str]] = {}
        self.changed = set(map(_folder, changed))
        self.mixed = {_folder(path) for path in paths if not path.endswith(".go")}
        for path in paths:
            folder, _, name = path.rpartition("/")
            (self.names.get(folder) or self._add(folder)).append(name)

    def _add(self, folder: str) -> list[str]:
        """Add a folder, and the ones above it; return its names, of which there are none yet."""
        if folder not in self.names:
            self.names[folder] = []
            above, _, name = folder.rpartition("/")
            self._add(above)
            self.below.setdefault(above, []).append(name)
        return self.names[folder]

    def unchanged(self, top: str, path: str = "") -> Iterator[str]:
        """Go through the topmost folders that are here, below `top`, what they are in the revision.

        Of a definition it is the whole or nothing: what is below is read as part of an image, where links are links.
        """
        if path and self._is_same(path, f"{top}/{path}"):
            yield path
        elif not self._is_definition(path):
            for name in self.below.get(path, ()):
                yield from self.unchanged(top, f"{path}/{name}" if path else name)

    def _is_definition(self, path: str) -> bool:
        return not _DEFINING.isdisjoint(self.names[path])

    def _is_same(self, path: str, place: str, *, within_definition: bool = False) -> bool:
        """Tell whether all that is in a folder here is in the revision, and the same: Go's files and definitions."""
        within_definition = within_definition or self._is_definition(path)
        if path in self.changed or (path in self.mixed and not within_definition):
            return False
        try:
            with os.scandir(place) as entries:
                here = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
        except OSError:
            return False
        below = self.below.get(path, ())
        there = dict.fromkeys(self.names[path], False) | dict.fromkeys(below, True)
        return here == there and all(
            self._is_same(f"{path}/{name}", f"{place}/{name}", within_definition=within_definition) for name in below
        )


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Asked:
    """What git is asked of the files here, at once: which differ from a tree, and what a checkout does to which."""

    changed: Future[list[str] | None]
    tagged: Future[list[str] | None]
    settings: Future[process.Finished]
    converted: Future[list[str] | None]


def ask(git: Git, tree: str, pool: Executor) -> Asked:
    """Ask git, and return without waiting for it."""
    changed = ("diff-index", "--name-only", "--no-renames", "--ignore-submodules=none", "-z", tree)
    return Asked(
        pool.submit(git.lines, *_STRICT, *changed),
        pool.submit(git.lines, *_STRICT, "ls-files", "-v", "-z"),
        pool.submit(git.ask, "config", "--get", "core.autocrlf"),
        pool.submit(git.lines, "ls-files", "-z", "--", ":(top)", _CONVERTED),
    )


def unchanged_folders(top: Path, entries: Mapping[str, str], asked: Asked) -> list[str]:
    """Name the topmost of these folders, relative to `top`, the work tree; `entries` has ls-tree's line of each path.

    Empty where anything is unusual: git fails, settings or other attributes convert what is checked out.
    """
    changed, converted = _changed(asked), _converted(asked)
    if changed is None or converted is None or _ATTRIBUTES in map(os.path.basename, changed.intersection(entries)):
        return []
    special = (path for path, line in entries.items() if not line.startswith(_REGULAR) or path.endswith(_MODULE))
    return list(_Folders(entries, {*changed, *converted, *special}).unchanged(os.fspath(top)))


def _changed(asked: Asked) -> set[str] | None:
    """Find the files that are not here what they are in the tree, or that git was told to take for the same.

    None when git fails.
    """
    changed, tagged = asked.changed.result(), asked.tagged.result()
    if changed is None or tagged is None:
        return None
    return {*changed, *(line[len(_PLAIN) :] for line in tagged if not line.startswith(_PLAIN))}


def _converted(asked: Asked) -> list[str] | None:
    """Find the files of which a checkout may write anything else than what is stored; None when it may of any."""
    settings = asked.settings.result().stdout.strip().lower()
    return asked.converted.result() if settings in (b"", b"false") else None
