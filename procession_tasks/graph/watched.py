"""What a run looked at, held against what is there now by what `stat` says; no file is read.

Looking often has to be cheap: a file or folder costs one `lstat`.  Only a folder whose time moved is listed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# size, mtime_ns, ctime_ns, inode; None for what is not there
Key = tuple[int, int, int, int] | None
# What is different, by path: how, and what it is now, so that two looks can be compared.
Changes = dict[str, tuple[str, Key]]

CHANGED, NEW, GONE = "changed", "new", "gone"
# What vim, Emacs, JetBrains' editors, kate and gedit put beside the file that is edited; the last is our own.
_TEMPORARY = re.compile(
    r"\..*\.sw[a-z]|4913|.*~|\.?#.*|.*___jb_(tmp|old)___|.*\.kate-swp|\.goutputstream-.*|\..*\.part"
)


def is_temporary(name: str) -> bool:
    """Tell whether a file's name is one that editors give to what they soon remove."""
    return _TEMPORARY.fullmatch(name) is not None


class Looked:
    """The files and folders that matter, as they were when they were looked at; paths are absolute."""

    def __init__(self, files: dict[str, Key], folders: dict[str, tuple[Key, frozenset[str]]]) -> None:
        self._files = files
        self._folders = folders

    def __len__(self) -> int:
        return len(self._files) + len(self._folders)

    def changes(self) -> Changes:
        """Say what is not as it was: files that changed, came or went, names that are new or gone in folders."""
        found: Changes = {}
        for path, key in self._files.items():
            try:
                stat = os.lstat(path)
            except OSError:
                now: Key = None
            else:
                now = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
            if now != key:
                found[path] = (_how(key, now), now)
        for path, (key, names) in self._folders.items():
            now = _key(path)
            if now != key:
                found |= self._named_otherwise(path, now, names)
        return found

    def again(self) -> Looked:
        """Look at the same files and folders anew."""
        files = {path: _key(path) for path in self._files}
        return Looked(files, {path: _folder(path, temporary=True) for path in self._folders})

    def joined(self, other: Looked) -> Looked:
        """Add what only the other has looked at."""
        return Looked(other._files | self._files, other._folders | self._folders)

    def flat(self) -> Any:
        """Turn it into plain values, to be kept; `Looked(*flat)` turns them back."""
        return self._files, self._folders

    def _named_otherwise(self, folder: str, now: Key, names: frozenset[str]) -> Changes:
        """List a folder whose time moved; what editors leave in it for a moment does not count."""
        there = _names(folder)
        new = {name for name in there - names if not is_temporary(name)}
        if not new and there >= names:
            self._folders[folder] = (now, names)
            return {}
        paths = {f"{folder}/{name}": NEW for name in new} | {f"{folder}/{name}": GONE for name in names - there}
        return {path: (how, _key(path)) for path, how in paths.items() if path not in self._files}


def look(root: Path, names: Iterable[str]) -> Looked:
    """Look at names as `States.seen` lists them: files, folders with all below, names of a folder with a slash."""
    files: dict[str, Key] = {}
    folders: dict[str, tuple[Key, frozenset[str]]] = {}
    for name in names:
        path = os.path.join(root, name)
        if name.endswith("/"):
            folders[path[:-1]] = _folder(path[:-1], temporary=False)
            continue
        files[path] = _key(path)
        if os.path.islink(path):
            path = os.path.realpath(path)
            files[path] = _key(path)
        if os.path.isdir(path):
            del files[path]
            _add_tree(path, files, folders)
    told = {path for path, key in files.items() if key is None and os.path.dirname(path) in folders}
    return Looked({path: key for path, key in files.items() if path not in told}, folders)


def _add_tree(top: str, files: dict[str, Key], folders: dict[str, tuple[Key, frozenset[str]]]) -> None:
    """Add what is in a folder and below; a temporary file that is there already went in, and counts when it goes."""
    for folder, below in _walk(top):
        folders[folder] = _folder(folder, temporary=True)
        files |= {path: _key(path) for path in below if not is_temporary(os.path.basename(path))}


def _walk(top: str) -> Iterator[tuple[str, list[str]]]:
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as scan:
                entries = list(scan)
        except OSError:
            entries = []
        waiting += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        yield folder, [entry.path for entry in entries if not entry.is_dir(follow_symlinks=False)]


def folders_below(root: Path, folder: str) -> Iterator[str]:
    """List a folder and all below it, each with a slash for its names; hidden ones are left out."""
    for path, _ in _walk(os.path.join(root, folder)):
        name = os.path.relpath(path, root)
        if not any(part.startswith(".") and part != "." for part in name.split("/")):
            yield f"{name}/"


def _folder(path: str, *, temporary: bool) -> tuple[Key, frozenset[str]]:
    key = _key(path)  # before the names, so that one that comes meanwhile moves it
    return key, frozenset(name for name in _names(path) if temporary or not is_temporary(name))


def _names(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _key(path: str) -> Key:
    try:
        stat = os.lstat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _how(before: Key, now: Key) -> str:
    return NEW if before is None else GONE if now is None else CHANGED
