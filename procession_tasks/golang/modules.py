"""The files that say which modules there are: a module's, the workspace's, those of folders in a module's place."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path

from procession_tasks.golang.program import Mode


def module_files(root: Path, mode: Mode) -> tuple[str, ...]:
    """List the go.mod, go.sum, go.work and vendor/modules.txt files that Go reads for a mode, sorted.

    They are relative to the repository at `root`, begin with ``..`` where a module is outside of it,
    and need not be there.
    """
    beside = posixpath.dirname(mode.workspace) or "." if mode.workspace else mode.module
    listed = [mode.workspace, f"{mode.workspace}.sum"] if mode.workspace else []
    folders = [mode.module]
    if mode.workspace:
        text = _text(root, mode.workspace)
        folders += [_folder(beside, words[0]) for words in _directives(text, "use")]
        folders += _replaced(root, mode.workspace)
    for folder in list(folders):
        folders += _replaced(root, posixpath.join(folder, "go.mod"))
    listed += [posixpath.normpath(f"{folder}/{name}") for folder in folders for name in ("go.mod", "go.sum")]
    vendored = {posixpath.normpath(f"{folder}/vendor/modules.txt") for folder in (beside, *folders)}
    return tuple(sorted({*listed, *vendored}))


def vendored(mode: Mode) -> str:
    """Name the file that says which modules are vendored, if there is one."""
    beside = posixpath.dirname(mode.workspace) or "." if mode.workspace else mode.module
    return posixpath.normpath(f"{beside}/vendor/modules.txt")


def _replaced(root: Path, path: str) -> list[str]:
    """List the folders that stand for modules."""
    words = _directives(_text(root, path), "replace")
    targets = [line[line.index("=>") + 1] for line in words if "=>" in line[:-1]]
    local = [target for target in targets if target.startswith(("./", "../", "/")) or target in (".", "..")]
    return [_folder(posixpath.dirname(path), target) for target in local]


def _folder(above: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(above, path))


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
