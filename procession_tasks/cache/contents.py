"""What a step reads, by SHA-256: the nodes of its input root, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
import stat as stat_bits
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from procession_tasks.cache.merkle import File, Folder, Link, Node
from procession_tasks.cache.reapi import Digest

_CHUNK = 256 * 1024
_TICK_NS = 20_000_000  # two ticks of a 100 Hz kernel, as `states` has it

# size, mtime_ns, ctime_ns, inode
_Key = tuple[int, int, int, int]


class Contents:
    """Digests of the files below `root`; each is read once a run unless it changes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, tuple[_Key, File, bool]] = {}

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
                key, file, is_settled = self._known[path]
                try:
                    if _key(os.stat(self._root / path)) != key:
                        return False
                    if not is_settled and self._digest(path).digest != file.digest:
                        return False
                except OSError:
                    return False
        return True

    def _at(self, path: str) -> Iterator[tuple[str, Node]]:
        try:
            stat = os.stat(self._root / path)
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat_bits.S_ISDIR(stat.st_mode):
            yield path, Folder()
            yield from self._below(path)
        else:
            yield path, self._file(path, stat)

    def _below(self, folder: str) -> Iterator[tuple[str, Node]]:
        with os.scandir(self._root / folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.is_symlink():
                yield path, Link(os.readlink(entry.path))
            elif entry.is_dir():
                yield path, Folder()
                yield from self._below(path)
            else:
                yield path, self._file(path, entry.stat())

    def _file(self, path: str, stat: os.stat_result) -> File:
        known = self._known.get(path)
        if known is not None and known[0] == _key(stat):
            return known[1]
        started = time.time_ns()
        file = self._digest(path)
        self._known[path] = (_key(stat), file, stat.st_ctime_ns + _TICK_NS < started)
        return file

    def _digest(self, path: str) -> File:
        descriptor = os.open(self._root / path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            mode = os.fstat(descriptor).st_mode
            hasher, size = hashlib.sha256(), 0
            while chunk := os.read(descriptor, _CHUNK):
                hasher.update(chunk)
                size += len(chunk)
        finally:
            os.close(descriptor)
        return File(Digest(hasher.hexdigest(), size), bool(mode & 0o100))


def _key(stat: os.stat_result) -> _Key:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
