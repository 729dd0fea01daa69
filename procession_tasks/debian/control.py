"""Debian control files: stanzas of fields.  Pure.

Source: Debian Policy 5.1 and deb822(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FIELD = re.compile(r"([!-9;-~]+)[ \t]*:(.*)")


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Parse each stanza of a text, in order, as `parse_stanza` does."""
    for block in re.split(r"\n(?:[ \t]*\n)+", text):
        if block.strip():
            yield parse_stanza(block)


def parse_stanza(text: str) -> dict[str, str]:
    """Parse one stanza into its fields, named as they are written and in their order.

    The lines of a value are joined with newlines, without space at either end but for the one
    that begins a continuation.  Raises ValueError that says what is wrong, and in which line.
    """
    fields: dict[str, list[str]] = {}
    seen: set[str] = set()
    value: list[str] | None = None
    for number, line in enumerate(text.strip("\n").split("\n"), 1):
        if line.startswith((" ", "\t")):
            if value is None or not line.strip():
                raise ValueError(f"line {number} must begin a field, got {line!r}")
            value.append(" " + line.strip())
            continue
        found = _FIELD.fullmatch(line)
        if found is None or line.startswith(("#", "-")):
            raise ValueError(f"line {number} must be a field such as Version: 1.0, got {line!r}")
        name = found[1]
        if name.lower() in seen:
            raise ValueError(f"line {number} must not repeat a field, got {name}")
        seen.add(name.lower())
        value = fields[name] = [found[2].strip()]
    return {name: "\n".join(lines) for name, lines in fields.items()}
