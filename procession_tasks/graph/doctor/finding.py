"""What was found out about one thing that a machine has or lacks.  Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from procession_tasks.errors import BuildError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing: what was found of it, what it is for, and how to get it where it is not there.

    `needed` if this repository cannot do without it, by its definitions or its settings.
    """

    name: str
    found: str
    use: str
    there: bool = True
    needed: bool = False
    remedy: str = ""

    @property
    def status(self) -> str:
        """Say ok, missing for what is needed, or absent for what nothing here needs."""
        if self.there:
            return "ok"
        return "missing" if self.needed else "absent"


def found_by(find: Callable[[], str], name: str, use: str, *, needed: bool, remedy: str = "") -> Finding:
    """Find something by what raises BuildError where it is not there."""
    try:
        return Finding(name, find(), use, needed=needed)
    except BuildError as error:
        return Finding(name, error.message, use, there=False, needed=needed, remedy=error.hint or remedy)
