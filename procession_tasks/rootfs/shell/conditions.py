"""Decides what conditions of a script come to, as far as that is known without running it.  Pure.

Source: POSIX.1-2017, test; dpkg(1), --compare-versions.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence

# Stands for text that only running the script would tell.
UNKNOWN = "\0"
# What is at a path, which may be followed to what a link leads to: its type, or None for nothing.
Lookup = Callable[[str, bool], str | None]

_TYPES = {"-f": "file", "-d": "directory", "-L": "symlink", "-h": "symlink"}
_PRESENT = ("-e", "-r", "-w", "-x", "-s")
_UNARY = (*_TYPES, *_PRESENT, "-n", "-z", *(f"-{letter}" for letter in "abcgkoptuvGNOS"))
_OF_UPGRADES = (".dpkg-backup", ".dpkg-bak", ".dpkg-dist", ".dpkg-old", ".dpkg-remove")  # what they leave
_TEXTUAL = ("=", "==", "!=")
_NUMERIC: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}
_BINARY = (*_TEXTUAL, *_NUMERIC, "=~", "<", ">", "-nt", "-ot", "-ef")
# How dpkg compares no version at all with any other: it is before them, or with -nl behind them.
_NO_VERSION = {
    **dict.fromkeys(("lt", "le", "ne", "<<", "<=", "<", "ge-nl", "gt-nl"), True),
    **dict.fromkeys(("gt", "ge", "eq", ">>", ">=", ">", "=", "lt-nl", "le-nl"), False),
}


def compared_versions(argv: Sequence[str]) -> bool | None:
    """Decide ``dpkg --compare-versions`` where the first version is empty, as on a first installation."""
    match argv:
        case [_, "--compare-versions", "", operator, other] if other not in ("", UNKNOWN):
            return _NO_VERSION.get(operator)
    return None


def tested(argv: Sequence[str], lookup: Lookup) -> bool | None:
    """Decide ``test``, ``[`` or ``[[``.

    What a path holds counts when there is something.  That nothing is there may be because the
    script has not run, so it decides nothing, but of what only an upgrade leaves.
    """
    words = list(argv[1:])
    if argv[0] in ("[", "[["):
        words = words[:-1]
    test = _Test(words, lookup, patterns=argv[0] == "[[")
    value = test.any_of()
    return value if test.place == len(words) else None


class _Test:
    """Reads an expression by descent."""

    def __init__(self, words: list[str], lookup: Lookup, *, patterns: bool) -> None:
        self._words = words
        self._lookup = lookup
        self._patterns = patterns
        self.place = 0

    def any_of(self) -> bool | None:
        value = self._all_of()
        while self._take("-o", "||"):
            other = self._all_of()
            value = True if True in (value, other) else None if None in (value, other) else False
        return value

    def _all_of(self) -> bool | None:
        value = self._one()
        while self._take("-a", "&&"):
            other = self._one()
            value = False if False in (value, other) else None if None in (value, other) else True
        return value

    def _take(self, *words: str) -> bool:
        found = self.place < len(self._words) and self._words[self.place] in words
        self.place += found
        return found

    def _one(self) -> bool | None:
        rest = self._words[self.place :]
        if len(rest) > 2 and rest[1] in _BINARY:  # noqa: PLR2004  # left, operator, right
            self.place += 3
            return self._binary(rest[0], rest[1], rest[2])
        if len(rest) > 1 and self._take("!"):
            value = self._one()
            return None if value is None else not value
        if len(rest) > 1 and rest[0] in _UNARY:
            self.place += 2
            return self._unary(rest[0], rest[1])
        if self._take("("):
            value = self.any_of()
            return value if self._take(")") else None
        self.place += bool(rest)
        return self._unary("-n", rest[0] if rest else "")

    def _binary(self, left: str, operator: str, right: str) -> bool | None:
        if UNKNOWN in left + right:
            return None
        if operator in _TEXTUAL:
            same = fnmatch.fnmatchcase(left, right) if self._patterns else left == right
            return same == (operator != "!=")
        if operator in _NUMERIC:
            try:
                return _NUMERIC[operator](int(left), int(right))
            except ValueError:
                return None
        return None

    def _unary(self, operator: str, operand: str) -> bool | None:
        if operator in ("-n", "-z"):
            is_known = UNKNOWN not in operand or operand.strip(UNKNOWN)
            return (operator == "-n") == bool(operand) if is_known else None
        if UNKNOWN in operand or operator not in (*_TYPES, *_PRESENT):
            return None
        found = self._lookup(operand, _TYPES.get(operator) != "symlink")
        if found is None:
            return False if operand.endswith(_OF_UPGRADES) else None
        return found == _TYPES[operator] if operator in _TYPES else True
