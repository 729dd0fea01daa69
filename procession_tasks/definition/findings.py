"""What is wrong with one JSON file, collected until all of it was read.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from procession_tasks.definition.gojson import Member, Node
from procession_tasks.errors import Problem

_LONGEST_SHOWN = 60


class Fault(NamedTuple):
    """A rule that a value breaks, and what may mend it."""

    rule: str
    hint: str | None = None


class BrokenError(Exception):
    """The value does not fit, and that was already reported."""


@dataclass(slots=True)
class Report:
    """What is found out while one file is read: its problems, and the line of every key.

    `strict` makes a problem of every unknown and every repeated key; otherwise only of an
    unknown key that is one slip away from a known one, since Go drops it without a word.
    """

    file: str
    text: str
    strict: bool
    problems: list[Problem] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def add(self, node: Node, key: str, fault: Fault) -> BrokenError:
        """Report the value that stands at a node."""
        self.problems.append(Problem(self.file, node.line, key, fault.rule, self._shown(node), fault.hint))
        return BrokenError()

    def add_missing(self, node: Node, key: str, fault: Fault) -> None:
        """Report what the object at a node does not have."""
        self.problems.append(Problem(self.file, node.line, key, fault.rule, None, fault.hint))

    def add_unknown(self, member: Member, key: str, known: Iterable[str]) -> None:
        """Report a key no field has, unless it may be ignored."""
        names = list(known)
        slips = [name for name in names if is_one_slip(fold(member.key), fold(name))]
        if slips or self.strict:
            near = f'did you mean "{slips[0]}"?' if slips else did_you_mean(member.key, names)
            hint = near or "known keys: " + ", ".join(names)
            self.problems.append(Problem(self.file, member.line, key, "must be a known key", None, hint))

    def add_repeated(self, member: Member, key: str) -> None:
        """Report a key that stood in its object before, where that is not allowed."""
        if self.strict:
            hint = f"first given on line {self.lines[key]}"
            self.problems.append(Problem(self.file, member.line, key, "must be given once", None, hint))

    def _shown(self, node: Node) -> str:
        if node.kind in {"object", "array"}:
            return {"object": "an object", "array": "a list"}[node.kind]
        raw = self.text[node.start : node.end]
        raw = re.sub("[\ud800-\udfff]", "\ufffd", raw)
        return raw if len(raw) <= _LONGEST_SHOWN else raw[:_LONGEST_SHOWN] + "…"


def join(key: str, name: str) -> str:
    """Append a name to a dotted key."""
    return f"{key}.{name}" if key else name


def fold(key: str) -> str:
    """Bring a key to the form in which Go compares it: the long s and the Kelvin sign are letters too."""
    return key.replace("\u017f", "s").lower()


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Suggest the known word nearest to a misspelt one, or None when nothing is near."""
    import difflib  # only a failing path pays for it

    by_fold = {fold(name): name for name in known}
    near = difflib.get_close_matches(fold(word), list(by_fold), n=1, cutoff=cutoff)
    return f'did you mean "{by_fold[near[0]]}"?' if near else None


def is_one_slip(word: str, other: str) -> bool:
    """Tell if one letter too many, too few or wrong, or two swapped, make one word of the other."""
    same = next((i for i, pair in enumerate(zip(word, other, strict=False)) if pair[0] != pair[1]), None)
    same = min(len(word), len(other)) if same is None else same
    left, right = word[same:], other[same:]
    swapped = left[1:2] + left[:1] + left[2:]
    return word != other and (left[1:] in {right, right[1:]} or left == right[1:] or swapped == right)
