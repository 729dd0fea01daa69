"""The module files of a program, and the modules it has from elsewhere as a proxy for `go` in an input root.

Source: Go Modules Reference, "go.mod files", "Workspaces", "GOPROXY protocol" and "Module cache".
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.cache.merkle import File, Node
from procession_tasks.cache.part import NotRemoteError, Part, file_blob, part
from procession_tasks.cache.reapi import Digest
from procession_tasks.cache.remote import Blob
from procession_tasks.golang.modules import module_files, vendored
from procession_tasks.golang.program import Mode

_OF_PROXY = (".info", ".mod", ".zip")  # what `go` asks a proxy for


@dataclass(frozen=True, slots=True)
class Modules:
    """`files` tell `go` which modules there are, relative to the repository; `fetched` is a proxy with the others'."""

    files: tuple[str, ...]
    fetched: Part | None


def modules(root: Path, mode: Mode, environment: Mapping[str, str]) -> Modules:
    """Find what `go` needs to know of modules, in the repository and in the module cache.

    Raises NotRemoteError for a module that is replaced by a folder outside of the repository.
    """
    listed = module_files(root, mode)
    if outside := [path for path in listed if path.startswith(("/", "../"))]:
        raise NotRemoteError(f"{posixpath.dirname(outside[0])}: is a module outside of the repository")
    there = tuple(path for path in listed if (root / path).is_file())
    return Modules(there, None if vendored(mode) in there else _fetched(root, there, _module_cache(environment)))


def _module_cache(environment: Mapping[str, str]) -> Path:
    if named := environment.get("GOMODCACHE"):
        return Path(named)
    paths = environment.get("GOPATH", "").split(os.pathsep)
    return Path(paths[0] or Path(environment.get("HOME", "/"), "go"), "pkg", "mod")


def _fetched(root: Path, paths: tuple[str, ...], cache: Path) -> Part | None:
    """Collect what the module cache has of the modules that go.sum vouches for."""
    nodes: dict[str, Node] = {}
    blobs: dict[Digest, Blob | bytes] = {}
    for path in sorted(
        {name for sums in paths if sums.endswith(".sum") for name in _summed((root / sums).read_text(encoding="utf-8"))}
    ):
        file = cache / "cache" / "download" / path
        if file.is_file():
            blob = file_blob(file)
            nodes[path] = File(blob.digest)
            blobs[blob.digest] = blob
    return part(nodes, blobs) if nodes else None


def _summed(text: str) -> Iterator[str]:
    """Name the files of a module cache that a go.sum is about."""
    for line in text.splitlines():
        words = line.split()
        if len(words) != 3:  # noqa: PLR2004  # path, version and checksum
            continue
        version, _, of = words[1].partition("/")
        for ending in (".mod",) if of else _OF_PROXY:
            yield f"{_escaped(words[0])}/@v/{_escaped(version)}{ending}"


def _escaped(name: str) -> str:
    """Write a name for file systems that do not tell capitals."""
    return re.sub(r"[A-Z]", lambda found: f"!{found[0].lower()}", name)
