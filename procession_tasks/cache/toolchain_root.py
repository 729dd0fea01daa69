"""The Go toolchain as a part of input roots: what `go build` needs of it, and digests that are kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from procession_tasks import files, kept
from procession_tasks.cache.merkle import File, Node
from procession_tasks.cache.part import NotRemoteError, Part, part
from procession_tasks.cache.reapi import Digest
from procession_tasks.cache.remote import Blob
from procession_tasks.platform import host

_FORMAT = 1
_FILES = ("VERSION", "go.env", "bin/go")
_TOOLS = ("asm", "compile", "link", "preprofile")
_FOLDERS = ("lib/fips140", "lib/time", "pkg/include", "src")
_ELSEWHERE = ("src/cmd",)  # the tools' own sources: they are there compiled
_EXECUTABLE = 0o100

# What a file's digest is kept with: size, times and inode, which change when its bytes do.
_Kept = tuple[int, int, int, int, str]


def toolchain_part(goroot: Path, record: Path) -> Part:
    """Digest the toolchain whose files are below `goroot`; only what changed since `record` was written is read.

    It is for workers like this machine.  Raises NotRemoteError for a toolchain that lacks something.
    """
    try:
        key = (_FORMAT, os.fspath(goroot), (goroot / "VERSION").read_text(encoding="utf-8"))
        known = _known(record, key)
        found = {path: _digested(entry, known.get(path)) for path, entry in _needed(goroot)}
    except OSError as error:
        raise NotRemoteError(f"{error.filename}: is needed of the toolchain, and cannot be read") from None
    if {path: states for path, (states, _) in found.items()} != known:
        _keep(record, {"key": key, "files": {path: states for path, (states, _) in found.items()}})
    return _part(goroot, found)


def _part(goroot: Path, found: dict[str, tuple[_Kept, bool]]) -> Part:
    nodes: dict[str, Node] = {}
    blobs: dict[Digest, Blob | bytes] = {}
    for path, (states, is_executable) in found.items():
        digest = Digest(states[-1], states[0])
        nodes[path] = File(digest, is_executable)
        blobs[digest] = Blob(digest, goroot / path)
    return part(nodes, blobs)


def _needed(goroot: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Find what `go build` needs without cgo, by path below the toolchain."""
    tools = f"pkg/tool/{host().os}_{host().arch}"
    for path in (*_FILES, *(f"{tools}/{name}" for name in _TOOLS)):
        yield path, _entry(goroot / path)
    for folder in _FOLDERS:
        if (goroot / folder).is_dir():
            yield from _below(goroot, folder)


def _entry(path: Path) -> os.DirEntry[str]:
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name == path.name:
                return entry
    raise FileNotFoundError(2, "no such file", os.fspath(path))


def _below(goroot: Path, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(goroot / folder) as entries:
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.is_dir():
                if entry.name != "testdata" and path not in _ELSEWHERE:
                    yield from _below(goroot, path)
            elif not entry.name.endswith("_test.go"):
                yield path, entry


def _digested(entry: os.DirEntry[str], before: _Kept | None) -> tuple[_Kept, bool]:
    status = entry.stat()
    states = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    digest = before[-1] if before and before[:-1] == states else files.sha256(Path(entry.path))
    return (*states, digest), bool(status.st_mode & _EXECUTABLE)


def _known(record: Path, key: tuple[Any, ...]) -> dict[str, _Kept]:
    held = kept.load(record)
    return dict(held["files"]) if isinstance(held, dict) and held.get("key") == key else {}


def _keep(record: Path, value: dict[str, Any]) -> None:
    try:
        kept.save(record, value)
    except OSError:  # a full disk costs time in the next run, no more
        return
