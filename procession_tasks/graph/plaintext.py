"""Text that others made, fit to be shown.  Pure."""

from __future__ import annotations

_CONTROL = {code: "�" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def plain(text: str) -> str:
    """Replace control characters, which move a terminal's cursor and spoil a log."""
    return text.translate(_CONTROL)
