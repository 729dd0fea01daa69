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
    folders = [mode.module]
    beside = posixpath.dirname(mode.workspace) or "." if mode.workspace else mode.module
    listed = [mode.workspace, f"{mode.workspace}.sum"] if mode.workspace else []
    if mode.workspace:
        text = _text(root, mode.workspace)
        folders += [_folder(beside, words[0]) for words in _directives(text, "use")]
        folders += _replaced(root, mode.workspace)
    for folder in list(folders):
        folders += _replaced(root, posixpath.join(folder, "go.mod"))
    vendored = posixpath.normpath(f"{beside}/vendor/modules.txt")
    listed += [posixpath.normpath(f"{folder}/{name}") for folder in folders for name in ("go.mod", "go.sum")]
    there = tuple(sorted({path for path in (*listed, vendored) if (root / path).is_file()}))
    return Modules(there, None if vendored in there else _fetched(root, there, _module_cache(environment)))


def _replaced(root: Path, path: str) -> list[str]:
    """List the folders that stand for modules."""
    words = _directives(_text(root, path), "replace")
    targets = [line[line.index("=>") + 1] for line in words if "=>" in line[:-1]]
    local = [target for target in targets if target.startswith(("./", "../", "/")) or target in (".", "..")]
    return [_folder(posixpath.dirname(path), target) for target in local]


def _folder(above: str, path: str) -> str:
    folder = posixpath.normpath(posixpath.join(above, path))
    if folder.startswith("/") or folder.split("/")[0] == "..":
        raise NotRemoteError(f"{path}: is a module outside of the repository")
    return folder


def _text(root: Path, path: str) -> str:
    try:
        return (root / path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""  # `go` says what is wrong with it


def _directives(text: str, verb: str) -> Iterator[list[str]]:
    """Read the directives of one kind in a go.mod or go.work file, alone or in a block, as words."""
    block = ""
    for line in text.splitlines():
        words = [word.strip('"`') for word in line.partition("//")[0].split()]
        if words[1:] == ["("]:
            block = words[0]
        elif words == [")"]:
            block = ""
        elif words and block == verb:
            yield words
        elif words[1:] and not block and words[0] == verb:
            yield words[1:]


def _module_cache(environment: Mapping[str, str]) -> Path:
    if named := environment.get("GOMODCACHE"):
        return Path(named)
    paths = environment.get("GOPATH", "").split(os.pathsep)
    return Path(paths[0] or Path(environment.get("HOME", "/"), "go"), "pkg", "mod")


def _fetched(root: Path, paths: tuple[str, ...], cache: Path) -> Part | None:
    """Collect what the module cache has of the modules that go.sum vouches for."""
    nodes: dict[str, Node] = {}
    blobs: dict[Digest, Blob | bytes] = {}
    for path in sorted({name for sums in paths if sums.endswith(".sum") for name in _summed(_text(root, sums))}):
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
