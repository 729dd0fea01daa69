"""What a step reads, by SHA-256: the nodes of its input root, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
import stat as stat_bits
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import files
from procession_tasks.cache.merkle import File, Folder, Link, Node
from procession_tasks.cache.reapi import Digest
from procession_tasks.states import Key, settled

_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Known:
    """A file as it was read: where, what `stat` said, what it held, and whether a change would show."""

    place: str
    key: Key
    file: File
    is_settled: bool


class Contents:
    """Digests of the files below `root`; each is read once a run unless it changes."""

    def __init__(self, root: Path) -> None:
        self._root = os.fspath(root)
        self._known: dict[str, _Known] = {}

    def nodes(self, paths: Iterable[str]) -> dict[str, Node]:
        """Say what is at paths and, for folders, below them; what is not there is left out.

        A link is followed where it is asked for by name, and is a link below a folder.  Raises
        OSError for a file that cannot be read.
        """
        found: dict[str, Node] = {}
        for path in paths:
            found.update(self._at(path))
        return found

    def are_same(self, nodes: Mapping[str, Node]) -> bool:
        """Tell whether files are still what they were when they were digested.

        Size, times and inode tell, but for a file that was read in the tick of its last change: it is read again.
        """
        for path, node in nodes.items():
            if isinstance(node, File) and path in self._known:
                known = self._known[path]
                try:
                    if _key(os.stat(known.place)) != known.key:
                        return False
                    if not known.is_settled and _digest(known.place).digest != node.digest:
                        return False
                except OSError:
                    return False
        return True

    def is_file(self, path: str) -> bool:
        """Tell whether there is a file at a path."""
        return os.path.isfile(os.path.join(self._root, path))

    def names(self, folder: str) -> str:
        """Digest the names in a folder; a dash for one that cannot be read."""
        try:
            names = "\0".join(sorted(os.listdir(os.path.join(self._root, folder))))
        except OSError:
            return "-"
        return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()

    def _at(self, path: str) -> Iterator[tuple[str, Node]]:
        place = os.path.join(self._root, path)
        try:
            stat = os.stat(place)
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat_bits.S_ISDIR(stat.st_mode):
            yield path, Folder()
            yield from self._below(path, place)
        else:
            yield path, self._file(path, place, stat)

    def _below(self, folder: str, place: str) -> Iterator[tuple[str, Node]]:
        with os.scandir(place) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{folder}/{files.from_disk(entry.name)}"
            if entry.is_symlink():
                yield path, Link(files.from_disk(os.readlink(entry.path)))
            elif entry.is_dir():
                yield path, Folder()
                yield from self._below(path, f"{place}/{entry.name}")
            else:
                yield path, self._file(path, f"{place}/{entry.name}", entry.stat())

    def _file(self, path: str, place: str, stat: os.stat_result) -> File:
        known = self._known.get(path)
        if known is not None and known.key == _key(stat) and known.is_settled:
            return known.file
        started = time.time_ns()
        file = _digest(place)
        self._known[path] = _Known(place, _key(stat), file, settled(_key(stat), started))
        return file


class Look:
    """A look on behalf of several steps that share most of what they read: at each thing once.

    And once more when they have run, for whether it is still the same.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._nodes: dict[str, dict[str, Node]] = {}
        self._files: dict[str, bool] = {}
        self._names: dict[str, str] = {}
        self._same: dict[str, bool] = {}

    def nodes(self, paths: Iterable[str]) -> dict[str, Node]:
        """Say what is at paths, as `Contents` does."""
        found: dict[str, Node] = {}
        for path in paths:
            if (at := self._nodes.get(path)) is None:
                at = self._nodes[path] = self._contents.nodes([path])
            found.update(at)
        return found

    def is_file(self, path: str) -> bool:
        """Tell whether there is a file at a path."""
        if path not in self._files:
            self._files[path] = self._contents.is_file(path)
        return self._files[path]

    def are_same(self, nodes: Mapping[str, Node]) -> bool:
        """Tell of nodes of this look whether they are still what they were, as `Contents` does."""
        for path, node in nodes.items():
            if path not in self._same:
                self._same[path] = self._contents.are_same({path: node})
            if not self._same[path]:
                return False
        return True

    def names(self, folder: str) -> str:
        """Digest the names in a folder; a dash for one that cannot be read."""
        if folder not in self._names:
            self._names[folder] = self._contents.names(folder)
        return self._names[folder]


def _digest(place: str) -> File:
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        hasher, size = hashlib.sha256(), 0
        while chunk := os.read(descriptor, _CHUNK):
            hasher.update(chunk)
            size += len(chunk)
    finally:
        os.close(descriptor)
    return File(Digest(hasher.hexdigest(), size), bool(mode & 0o100))


def _key(stat: os.stat_result) -> Key:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
