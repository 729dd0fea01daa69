"""Divides an image into layers, so that what changes often is small and what images share is one.  Pure.

From the bottom: the packages that the images of a project have in common, the other packages,
what the definition brings, and each program.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from procession_tasks.errors import BuildError
from procession_tasks.rootfs.tree import Entry, ordered

PROGRAM = "go"  # how a list of owners calls what was compiled
_DEFINED = ("accounts", "paths", "rootfs")
_REMOVES = ".wh."  # OCI image specification 1.1, "Image Layer Filesystem Changeset", Whiteouts


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer adds: entries in the order of an archive, each under a folder of the same layer; `what` says it."""

    what: str
    entries: tuple[Entry, ...]


def divide(entries: Iterable[Entry], owners: Mapping[str, str], base: Collection[str]) -> tuple[Layer, ...]:
    """Divide an image's entries; a path that is no folder is in one layer, and there is at least one.

    `owners` says what each path came with and `base` names the packages of the lowest layer.  A
    folder is in every layer that has something below it, always as the image has it in the end,
    so that unpacking a layer changes nothing of another; one with nothing below it comes with the
    definition.  So the layer of `base` depends on the files of its packages alone.  Raises
    BuildError for names that no layer can hold.
    """
    tree = {entry.path: entry for entry in entries}
    _check_names(tree)
    members: dict[tuple[int, str], set[str]] = {}
    for entry in tree.values():
        if entry.type != "directory":
            path = entry.link if entry.type == "hardlink" else entry.path
            place = _place(path, owners.get(path, "rootfs"), base)
            members.setdefault(place, set()).update((entry.path, *_parents(entry.path)))
    there = set().union(*members.values())
    alone = tree.keys() - there
    if alone or not tree:
        members.setdefault(_DEFINITION, set()).update(alone, *map(_parents, alone))
    return tuple(_layer(place, paths, tree, owners) for place, paths in sorted(members.items()))


_BASE, _PACKAGES, _DEFINITION = (0, ""), (1, ""), (2, "")


def _check_names(paths: Iterable[str]) -> None:
    """Refuse what unpacking would take for an order to take a file away, and not for a file."""
    reserved = sorted(path for path in paths if posixpath.basename(path).startswith(_REMOVES))
    if reserved:
        rule = f"a name in an OCI layer must not begin with {_REMOVES}, which marks what is removed"
        shown = (path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for path in reserved)
        hint = "rename it, or build only the ACI: doit pack-aci:NAME"
        raise BuildError("\n".join(f"/{path}: {rule}" for path in shown), hint=hint)


def _place(path: str, owner: str, base: Collection[str]) -> tuple[int, str]:
    if owner == PROGRAM:
        return 3, path
    if owner in _DEFINED:
        return _DEFINITION
    return _BASE if owner in base else _PACKAGES


def _layer(
    place: tuple[int, str], paths: Collection[str], tree: Mapping[str, Entry], owners: Mapping[str, str]
) -> Layer:
    chosen = ordered(tree[path] for path in paths)
    if place in (_BASE, _PACKAGES):
        names = {owners[entry.path] for entry in chosen if entry.type != "directory"}
        return Layer(f"packages: {', '.join(sorted(names))}", chosen)
    return Layer(f"program: /{place[1]}" if place[1] else "definition: rootfs, accounts and paths", chosen)


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
