"""Finds the main packages of a module by looking at its files: no Go is started."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_COMMENT = re.compile(rb"//[^\n]*|/\*.*?\*/", re.DOTALL)
_CLAUSE = re.compile(rb"\s*package\s+(\w+)")
_IGNORED = re.compile(rb"^//\s*(go:build|\+build)\s+ignore\s*$", re.MULTILINE)
_MODULE = re.compile(r"^module\s+\"?([^\s\"]+)", re.MULTILINE)
_REQUIRED = re.compile(r"^(?:require)?\s+([^\s/]+\.[^\s]+) v[0-9]", re.MULTILINE)
_HEAD = 64 * 1024  # a package clause comes after nothing but comments


def main_packages(module: Path) -> tuple[str, ...]:
    """List the folders of a module that hold a main package, such as ``./cmd/api``, sorted."""
    return tuple(sorted(_written(module, folder) for folder in _folders(module) if package_name(folder) == "main"))


def package_name(folder: Path) -> str | None:
    """Read which package a folder holds; None for none.  Files that are run by hand alone do not count."""
    names = {name for file in sorted(folder.glob("*.go")) if (name := _clause(file)) is not None}
    return "main" if "main" in names else next(iter(sorted(names)), None)


def module_path(module: Path) -> str:
    """Read what a module is called; empty if its go.mod does not say."""
    found = _MODULE.search(_text(module / "go.mod"))
    return found[1] if found else ""


def required(module: Path) -> tuple[str, ...]:
    """List the modules that a module's go.mod requires."""
    return tuple(_REQUIRED.findall(_text(module / "go.mod")))


def _folders(module: Path) -> Iterator[Path]:
    """Go through what `go list ./...` would: see `go help packages`."""
    for place, folders, files in os.walk(module):
        if place != str(module) and "go.mod" in files:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name[0] not in "._" and name not in ("testdata", "vendor")]
        if any(name.endswith(".go") for name in files):
            yield Path(place)


def _clause(file: Path) -> str | None:
    if file.name.endswith("_test.go") or file.name[0] in "._":
        return None
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError:
        return None
    found = None if _IGNORED.search(head) else _CLAUSE.match(_COMMENT.sub(b"", head))
    return found[1].decode() if found else None


def _written(module: Path, folder: Path) -> str:
    relative = folder.relative_to(module).as_posix()
    return "." if relative == "." else f"./{relative}"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
