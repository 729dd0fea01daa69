"""What makes a task stale, as a value and in words.  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CHANGED, NEW, DELETED = "content", "new", "deleted"
OUTPUT, LOST = "output", "lost"
DECLARATION, COMMAND, ENVIRONMENT, TOOLCHAIN, VERSION = "declaration", "command", "environment", "toolchain", "version"
NEVER, UNCERTAIN, FAULTY, ASKED = "never", "uncertain", "faulty", "asked"
ADDED, UNKNOWN = "added", "unknown"

NEVER_BUILT = "it was never built here"
_MOST = 3  # names in a reason

# What stands behind one name, and behind several.
_ENDS = {
    CHANGED: ("changed", "changed"),
    NEW: ("is new", "are new"),
    DELETED: ("was deleted", "were deleted"),
    OUTPUT: ("is not as it was built", "are not as they were built"),
    LOST: ("is gone", "are gone"),
}
_SENTENCES = {
    NEVER: NEVER_BUILT,
    UNCERTAIN: "an input was written while it was used",
    FAULTY: "its sources were not listed to the end, or go found fault with them",
    ADDED: "it was not there before",
    ASKED: "it was asked for, stale or not",
    DECLARATION: "its declaration changed: command, flags, environment, toolchain or our own format",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason of a task to run.

    `subject` is a path for what concerns a file (a folder as any), else the flag, variable, tool or
    package that was `before` and is `after`; the two are empty where nothing is known of them.  Of what is
    unknown it is the reason.
    """

    what: str
    subject: str = ""
    before: str = ""
    after: str = ""

    @property
    def is_input(self) -> bool:
        """Whether it is about what a task is made from, rather than about the task itself."""
        return self.what in (CHANGED, NEW, DELETED)


def words(causes: Iterable[Cause]) -> str:
    """Say it in a line, a few names of each kind; empty for none."""
    kinds: dict[str, list[Cause]] = {}
    for cause in causes:
        kinds.setdefault(cause.what, []).append(cause)
    return "; ".join(part for what, of_kind in kinds.items() for part in _of_kind(what, of_kind))


def _of_kind(what: str, causes: list[Cause]) -> list[str]:
    if what in _ENDS:
        names = sorted({cause.subject for cause in causes})
        return [f"{some(names)} {_ENDS[what][len(names) > 1]}"]
    if what in _SENTENCES:
        return [_SENTENCES[what]]
    if what == UNKNOWN:
        return [f"it cannot be told ({causes[0].subject})"]
    shown = [_change(cause) for cause in causes[:_MOST]]
    return [*shown, f"{len(causes) - _MOST} more"] if len(causes) > _MOST else shown


def _change(cause: Cause) -> str:
    """Say what became of a flag, a variable, a tool or a package."""
    if not cause.before:
        return f"{cause.subject} {cause.after}".rstrip() + " was added"
    if not cause.after:
        return f"{cause.subject} {cause.before} was removed"
    return f"{cause.subject} changed from {cause.before} to {cause.after}"


def some(names: Iterable[str]) -> str:
    """Name the first few."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _MOST} more" if len(ordered) > _MOST else ""
    return ", ".join(ordered[:_MOST]) + more
