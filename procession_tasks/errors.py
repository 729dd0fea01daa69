"""What a user can mend, said so that they can: where, rule, what was got, a hint."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


class BuildError(Exception):
    """Something the user can mend; shown without a traceback.

    `message` is lower case and names its place first; `hint` is one command or edit.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n  hint: {hint}")
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule at one place of a file.

    `file` is relative to the repository; `line` counts from 1; `key` is dotted, with
    list positions in brackets (``app.ports[0].port``), empty for the whole file.
    `got` is what stood there, as it should be printed; None where nothing did.
    """

    file: str
    line: int
    key: str
    rule: str
    got: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:" + (f" {self.key}:" if self.key else "")
        got = "" if self.got is None else f", got {self.got}"
        hint = "" if self.hint is None else f"\n  hint: {self.hint}"
        return f"{place} {self.rule}{got}{hint}"


def _as_read(key: str) -> list[str | int]:
    """Order list positions by number: ``ports[8]`` before ``ports[10]``."""
    return [int(part) if part.isdigit() else part for part in re.split(r"([0-9]+)", key)]


class DefinitionError(BuildError):
    """A definition is wrong: every problem found, sorted by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda p: (p.file, p.line, _as_read(p.key), p.rule)))
        super().__init__("\n".join(map(str, self.problems)))
