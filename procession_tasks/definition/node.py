"""A value as somebody wrote it: what it is, and where it stands.

Apart from the parser of YAML, which settings in TOML do not need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["mapping", "list", "text", "integer", "number", "boolean", "null"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file, where it stands, and the text it was written as.

    `value` is a tuple of (key node, value node) pairs for a mapping, a tuple of nodes for a
    list, a bool for a boolean, and the text as written otherwise.
    """

    kind: Kind
    value: Any
    line: int

    def __str__(self) -> str:
        match self.kind:
            case "mapping":
                return "a mapping"
            case "list":
                return "a list"
            case "null":
                return "nothing"
            case "boolean":
                return str(self.value).lower()
            case "text":
                return f"{self.value!r}"
        return str(self.value)
