"""What a program is compiled from: the packages below it, read from `go list`.  Only looks at folders."""

from __future__ import annotations

import dataclasses
import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SOURCES = (
    "GoFiles", "CgoFiles", "CFiles", "CXXFiles", "MFiles", "HFiles", "FFiles", "SFiles", "SwigFiles",
    "SwigCXXFiles", "SysoFiles", "EmbedFiles", "InvalidGoFiles",
)  # fmt: skip
_IGNORED = ("IgnoredGoFiles", "IgnoredOtherFiles")
_GLOB = frozenset("*?[\\")


@dataclass(frozen=True, slots=True)
class Package:
    """One package outside the standard library.

    `files` are compiled in or embedded; `ignored` are left out for their build constraints,
    which an edit may change; `folders` are those whose list of names decides about both.  All
    are relative to the repository and empty for a package of the module cache, which `module`
    (path, version and checksum) stands for.  `home` is the folder of its module, None there.
    """

    path: str
    name: str
    files: tuple[str, ...]
    ignored: tuple[str, ...]
    folders: tuple[str, ...]
    module: str
    home: str | None
    imports: tuple[str, ...]
    broken: bool


def parse_list(text: str) -> list[dict[str, Any]]:
    """Read the output of `go list -e -deps -json`, without the standard library.

    Raises ValueError when it is not that.
    """
    return [listed for listed in _objects(text) if not listed.get("Standard")]


def module_folders(listing: Iterable[Mapping[str, Any]]) -> set[str]:
    """Collect the folders of the modules that are built from source rather than fetched."""
    folders = set()
    for listed in listing:
        module = listed.get("Module", {})
        used = module.get("Replace") or module
        if used.get("Dir") and (module.get("Main") or not used.get("Version")):
            folders.add(used["Dir"])
    return folders


def packages(listing: Iterable[Mapping[str, Any]], root: Path, sums: Mapping[str, str]) -> dict[str, Package]:
    """Turn a listing into packages, by import path; `sums` is what `checksums` read."""
    return {listed["ImportPath"]: _package(listed, root, sums) for listed in listing}


def closure(main: str, packages: Mapping[str, Package]) -> tuple[Package, ...]:
    """Collect a package and everything it imports, sorted by import path."""
    found: dict[str, Package] = {}
    waiting = [main]
    while waiting:
        package = packages.get(waiting.pop())
        if package is not None and package.path not in found:
            found[package.path] = package
            waiting.extend(package.imports)
    return tuple(found[path] for path in sorted(found))


def main_package(folder: str, packages: Mapping[str, Package], module: str) -> str:
    """Find the import path of a package written as ``./folder`` of a module, or as itself."""
    if not folder.startswith("."):
        return folder
    wanted = posixpath.normpath(f"{module}/{folder}")
    for package in packages.values():
        if package.folders and package.folders[0] == wanted:
            return package.path
    return folder


def checksums(texts: Iterable[str]) -> dict[str, str]:
    """Read go.sum files: the checksum of each ``path version`` that has one for its content."""
    sums = {}
    for text in texts:
        for line in text.splitlines():
            name, _, checksum = line.strip().rpartition(" ")
            if name and not name.endswith("/go.mod"):
                sums[name] = checksum
    return sums


def dump(packages: Iterable[Package]) -> bytes:
    """Render packages, to be read by `load` on any machine."""
    rows = [dataclasses.asdict(package) for package in sorted(packages, key=lambda package: package.path)]
    return json.dumps(rows, sort_keys=True, separators=(",", ":")).encode()


def load(text: bytes) -> dict[str, Package]:
    """Read what `dump` rendered, by import path; raises ValueError for anything else.

    That includes paths that lead out of the repository: who wrote it may be anybody.
    """
    try:
        rows = json.loads(text)
        packages = [Package(**{name: _frozen(held) for name, held in row.items()}) for row in rows]
    except (TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a list of packages") from error
    if not all(map(_is_sound, packages)):
        raise ValueError("not a list of packages")
    return {package.path: package for package in packages}


def is_inside(path: Any) -> bool:
    """Tell a path of the repository from one that leads elsewhere, and from what is no path."""
    return isinstance(path, str) and not path.startswith("/") and ".." not in path.split("/") and "\0" not in path


def _is_sound(package: Package) -> bool:
    paths = (package.files, package.ignored, package.folders)
    texts = (package.path, package.name, package.module)
    return (
        all(isinstance(held, tuple) and all(map(is_inside, held)) for held in paths)
        and all(isinstance(text, str) for text in texts)
        and isinstance(package.imports, tuple)
        and all(isinstance(name, str) for name in package.imports)
        and (package.home is None or is_inside(package.home))
        and package.broken is False
    )


def _frozen(held: Any) -> Any:
    return tuple(held) if isinstance(held, list) else held


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Read JSON objects that follow one another."""
    decoder = json.JSONDecoder()
    position = 0
    while (position := _skip_space(text, position)) < len(text):
        value, position = decoder.raw_decode(text, position)
        yield value


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _package(listed: Mapping[str, Any], root: Path, sums: Mapping[str, str]) -> Package:
    mapped = listed.get("ImportMap", {})
    module = listed.get("Module", {})
    used = module.get("Replace") or module
    folder = listed.get("Dir", "")
    fetched = _is_fetched(module, folder, root)
    base = "" if fetched or not folder else os.path.relpath(folder, root)
    return Package(
        path=listed["ImportPath"],
        name=listed.get("Name", ""),
        files=() if fetched else _paths(base, listed, _SOURCES) + _profile(base, listed, root),
        ignored=() if fetched else _paths(base, listed, _IGNORED),
        folders=() if fetched or not folder else (base, *_embed_folders(base, listed, root)),
        module=_module_line(module, listed, sums, fetched=fetched),
        home=None if fetched or not used.get("Dir") else os.path.relpath(used["Dir"], root),
        imports=tuple(mapped.get(name, name) for name in listed.get("Imports", ())),
        broken=bool(listed.get("Error")),
    )


def _is_fetched(module: Mapping[str, Any], folder: str, root: Path) -> bool:
    """Tell a package of the module cache, whose content its checksum pins, from a vendored one."""
    used = module.get("Replace") or module
    return bool(used.get("Version")) and not module.get("Main") and not Path(folder).is_relative_to(root)


def _paths(base: str, listed: Mapping[str, Any], kinds: Iterable[str]) -> tuple[str, ...]:
    return tuple(os.path.join(base, name) for kind in kinds for name in listed.get(kind, ()))


def _profile(base: str, listed: Mapping[str, Any], root: Path) -> tuple[str, ...]:
    """Return the profile that -pgo=auto, the default, feeds to the compiler."""
    profile = os.path.join(base, "default.pgo")
    return (profile,) if listed.get("Name") == "main" and (root / profile).is_file() else ()


def _module_line(
    module: Mapping[str, Any], listed: Mapping[str, Any], sums: Mapping[str, str], *, fetched: bool
) -> str:
    """Say what a program records of a module: its path and version, those of what replaces it, the checksum."""
    used = module.get("Replace") or module
    replaces = "" if used is module else f" for {module.get('Path', '')} {module.get('Version', '')}".rstrip()
    name = f"{used.get('Path', '')} {used.get('Version', '') or '(here)'}"
    if fetched:
        return f"{name} {sums.get(name, '-')}{replaces}"
    checksum = f" {sums[name]}" if name in sums else ""
    godebug = f" {listed['DefaultGODEBUG']}" if listed.get("DefaultGODEBUG") else ""
    return f"{name}{checksum} go{used.get('GoVersion', '')}{godebug}{replaces}"


def _embed_folders(base: str, listed: Mapping[str, Any], root: Path) -> tuple[str, ...]:
    """List the folders in which a new file could match an embed pattern."""
    folders: set[str] = set()
    for pattern in listed.get("EmbedPatterns", ()):
        parts = pattern.removeprefix("all:").split("/")
        literal = [part for i, part in enumerate(parts) if not _GLOB & set("".join(parts[: i + 1]))]
        start = os.path.join(base, *literal)
        if not (root / start).is_dir():
            start = os.path.dirname(start)
        folders.update(os.path.relpath(folder, root) for folder, _, _ in os.walk(root / start))
    return tuple(sorted(folders - {base}))
