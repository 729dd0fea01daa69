"""What packages say of one another: Depends, Conflicts, Provides and their like.  Pure.

Source: Debian Policy 7.1, deb-control(5), and what dpkg takes in a binary package.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from procession_tasks.debian.version import satisfies, sort_key

_RELATION = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*)(?::(?P<qualifier>[a-z0-9][a-z0-9-]*))?"
    r"(?:\s*\(\s*(?P<operator>[<>=]*)\s*(?P<version>[^\s()<>=]+)\s*\))?"
)
# The single signs stand for what they meant before there were double ones (Debian Policy 7.1).
_OPERATORS = {"<<": "<<", "<=": "<=", "<": "<=", "": "=", "=": "=", ">": ">=", ">=": ">=", ">>": ">>"}


@dataclass(frozen=True, slots=True)
class Relation:
    """A package or what it may provide, in some of its versions.

    `qualifier` is ``any``, an architecture or empty; `operator` is one of ``<<``, ``<=``, ``=``,
    ``>=``, ``>>``, or empty for every version.
    """

    name: str
    qualifier: str = ""
    operator: str = ""
    version: str = ""

    def allows(self, version: str) -> bool:
        """Tell whether a version will do; an empty one, of what has none, only where every version does."""
        return not self.operator or (version != "" and satisfies(version, self.operator, self.version))

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name


# Of which one is enough, in the order of preference.
Alternatives = tuple[Relation, ...]


def spell(alternatives: Sequence[Relation]) -> str:
    """Spell alternatives as a control file does."""
    return " | ".join(map(str, alternatives))


def parse_depends(text: str) -> tuple[Alternatives, ...]:
    """Parse a field such as Depends, all of whose groups of alternatives must be there.

    Raises ValueError for what dpkg refuses in a binary package, which includes the restrictions
    ``[amd64]`` and ``<!nocheck>`` of source packages.
    """
    if not text.strip():
        return ()
    return tuple(tuple(_relation(item) for item in group.split("|")) for group in text.split(","))


def parse_conflicts(text: str) -> tuple[Relation, ...]:
    """Parse Conflicts or Breaks; raises ValueError as `parse_depends` does, and for alternatives."""
    groups = parse_depends(text)
    for group in groups:
        if len(group) > 1:
            raise ValueError(f"must not have alternatives, got {spell(group)!r}")
    return tuple(group[0] for group in groups)


def parse_provides(text: str) -> tuple[Relation, ...]:
    """Parse Provides; raises ValueError as `parse_conflicts` does.

    What is provided with an operator other than ``=`` is no one version and left out, as apt does.
    """
    return tuple(relation for relation in parse_conflicts(text) if relation.operator in ("", "="))


def _relation(item: str) -> Relation:
    found = _RELATION.fullmatch(item.strip())
    if found is None or (found["operator"] or "") not in _OPERATORS:
        raise ValueError(f"must be a package such as libc6 (>= 2.36), got {item.strip()!r}")
    if found["version"] is None:
        return Relation(found["name"], found["qualifier"] or "")
    sort_key(found["version"])
    return Relation(found["name"], found["qualifier"] or "", _OPERATORS[found["operator"]], found["version"])
