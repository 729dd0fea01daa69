"""How what `go list` looked at is not as it was: files, and names in folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from procession_tasks.states import ABSENT, States

# What Go compiles, by the ends of names; the rest of a folder of sources is nothing to it.
_COMPILED = (
    ".go", ".c", ".cc", ".cpp", ".cxx", ".m", ".h", ".hh", ".hpp", ".hxx", ".f", ".F", ".for", ".f90", ".s", ".S",
    ".sx", ".swig", ".swigcxx", ".syso",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not as it was when `go list` read it: its state then and now.

    A folder is one whose names changed, in a way that cannot be named.
    """

    path: str
    before: str
    after: str


def of_files(pairs: Iterable[tuple[str, str]], states: States) -> list[Difference]:
    """Find the files that are in another state than the one they are paired with."""
    found = ((path, before, states.state(path)) for path, before in pairs)
    return [Difference(path, before, after) for path, before, after in found if after != before]


def of_package(package: Mapping[str, Any], states: States, root: Path) -> tuple[Difference, ...]:
    """Find how a package, as `Inputs` keeps it, is not as it was; nothing for one that is."""
    pairs = (*package["files"], *package["ignored"])
    folders = [path for path, names in package["folders"] if states.listing(path) != names]
    if not folders and states.same(pairs):
        return ()
    changed = of_files(pairs, states)
    known = {path for path, _ in (*pairs, *package["folders"])}
    for folder in folders:
        changed += [Difference(path, ABSENT, states.state(path)) for path in _new(folder, known, root)]
        if not any(os.path.dirname(one.path) == folder for one in changed):
            changed.append(Difference(folder, "", ""))
    return tuple(changed)


def _new(folder: str, known: set[str], root: Path) -> list[str]:
    """Find what is in a folder that `go list` would look at and did not know."""
    embeds = any(os.path.dirname(path) == folder and not _may_be_compiled(path) for path in known)
    try:
        names = sorted(os.listdir(root / folder))
    except OSError:
        return []
    paths = [os.path.join(folder, name) for name in names if embeds or _may_be_compiled(name)]
    return [path for path in paths if path not in known]


def _may_be_compiled(path: str) -> bool:
    """Tell whether the name alone lets Go look into a file of a package; tests are no part of a program."""
    name = os.path.basename(path)
    return name.endswith(_COMPILED) and not name.startswith(("_", ".")) and not name.endswith("_test.go")
