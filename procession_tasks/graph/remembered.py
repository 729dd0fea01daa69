"""What stands behind the digests that decide: how steps were declared, what input folders held.

doit's database has digests alone, which is all that a decision needs.  What they were made from is
kept beside it, for those who ask what changed; without it they are told less.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from procession_tasks import kept
from procession_tasks.graph.cause import CHANGED, DELETED, NEW, Cause
from procession_tasks.graph.session import STATE, Session
from procession_tasks.step import Step

_FILE = f"{STATE}/declared"

# What is below a folder: by path, the kind and state of it.
Held = dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Remembered:
    """Steps by their task, and what folders held by their state."""

    steps: Mapping[str, Any]
    folders: Mapping[str, tuple[str, Any]]

    def step(self, name: str, digest: str) -> Step | None:
        """Return how a task was declared, if that is what has this digest."""
        step = Step(*self.steps[name]) if name in self.steps else None
        return step if step and step.digest == digest else None

    def folder(self, path: str, state: str) -> Held | None:
        """Return what a folder held, if that is what is in this state."""
        known, held = self.folders.get(path, ("", ()))
        return {name: (kind, content) for name, kind, content in held} if known == state else None


@functools.lru_cache(maxsize=2)
def remembered(root: Path) -> Remembered:
    """Read what is kept in a repository."""
    record = kept.load(root / _FILE)
    return Remembered(*record) if isinstance(record, tuple) else Remembered({}, {})


def remember(session: Session, steps: Iterable[Step], backend: Any) -> None:
    """Keep how steps were declared that are recorded so, and what their folders held then."""
    before = remembered(session.root)
    new, folders = dict(before.steps), dict(before.folders)
    for step in steps:
        name = f"{step.kind}:{step.subject}"
        values = backend.get(name, "_values_:") or {}
        if values.get("declared") == step.digest:
            new[name] = tuple(getattr(step, field) for field in Step.__slots__)
        for path in step.inputs:
            state = backend.get(name, path) or ""
            if state.startswith("tree-") and folders.get(path, ("",))[0] != state:
                _add(session, path, state, folders)
    with contextlib.suppress(OSError):  # a full disk costs details, no more
        kept.save(session.root / _FILE, (new, folders))


def changed_below(path: str, before: str, session: Session) -> list[Cause]:
    """Name what changed below a folder since it was in a state; nothing where that is not known."""
    if not before.startswith("tree-") or (old := remembered(session.root).folder(path, before)) is None:
        return []
    try:
        new = {name: (kind, content) for name, kind, content in session.states.held(path)[1]}
    except OSError:  # it is gone, or no folder
        return []
    names = [name for name in sorted(old | new) if old.get(name) != new.get(name)]
    shown = [name for name in names if "folder" not in (*old.get(name, ()), *new.get(name, ()))]
    return [Cause(_kind(name, old, new), f"{path}/{name}") for name in shown or names]


def _kind(name: str, old: Held, new: Held) -> str:
    return NEW if name not in old else DELETED if name not in new else CHANGED


def is_missing(root: Path) -> bool:
    """Tell whether nothing is kept at all."""
    return not os.path.exists(root / _FILE)


def _add(session: Session, path: str, state: str, folders: dict[str, Any]) -> None:
    """Look what a folder holds, and note it if that is what was recorded."""
    with contextlib.suppress(OSError):
        now, held = session.states.held(path)
        if now == state:
            folders[path] = (state, tuple(held))
