"""What a build notes for who watches: how it ended, what it looked at, and what of that was written meanwhile."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from procession_tasks import kept
from procession_tasks.errors import BuildError
from procession_tasks.graph.selection import selected
from procession_tasks.graph.session import Session
from procession_tasks.graph.watched import Looked, folders_below, look
from procession_tasks.graph.watching import Built

_OUTPUTS = "build/"
_SETTINGS = ("pyproject.toml", "dodo.py")


def note(path: Path, session: Session, status: int, started: int, more: tuple[str, ...]) -> None:
    """Write the note of a build that has ended.

    `started` is when it began, in nanoseconds since 1970; `more` are files that it read beside what the graph
    looks at.
    """
    states = session.states
    seen = [name for name in states.seen() if not name.startswith(_OUTPUTS) and _is_plain(name, session)]
    beside = {*more, *(_beside(session) if status else ())} - {*seen}
    looked = look(session.root, [*seen, *beside])  # first, so that nothing is missed between the two
    moved = [name for name in seen if states.has_moved(name)]
    moved += [name for name in beside if _is_later(session.root / name, started)]
    paths = tuple(os.path.join(session.root, name).rstrip("/") for name in moved)
    with contextlib.suppress(OSError):  # a full disk: what was looked at before is watched on
        kept.save(path, (status, looked.flat(), paths))


def read(path: Path) -> Built | None:
    """Read a note; None if a build left none."""
    found = kept.load(path)
    if not isinstance(found, tuple):
        return None
    status, looked, moved = found
    return Built(status, Looked(*looked), moved)


def _is_plain(name: str, session: Session) -> bool:
    """Leave out pipes, sockets and devices, whose times say nothing."""
    return name.endswith("/") or not session.states.state(name).startswith("special-")


def _beside(session: Session) -> Iterator[str]:
    """Name what may mend a build that failed, though it could not come to look at it.

    All files of the definitions, and the names in all folders of the modules, for what is missing may
    be a package.
    """
    from procession_tasks.graph.definitions import definitions  # only a failure needs it

    yield from _SETTINGS
    try:
        project = definitions(session).project
        names = definitions(session).image_names()
    except BuildError:
        return
    yield f"{project.definitions}/"
    for name in sorted(selected() or names):
        folder = f"{project.definitions}/{name}"
        yield from (f"{folder}/{part}" for part in ("image.yaml", "manifest", "packages.lock.yaml", "rootfs"))
    for module in project.go.modules:
        yield from (os.path.normpath(f"{module}/{file}") for file in ("go.mod", "go.sum", "go.work"))
        yield from folders_below(session.root, module)


def _is_later(path: Path, started: int) -> bool:
    try:
        return os.lstat(path).st_ctime_ns >= started
    except OSError:
        return False
