"""Whether what `go list` said of a package in one tree holds in another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xxhash

from procession_tasks.golang.context import Context
from procession_tasks.golang.header import is_listed_alike


def is_alike(package: Mapping[str, Any], there: Context, here: Context) -> bool:
    """Tell whether `go list` says here what it said there of a package, as `Inputs` keeps it.

    That is so where the same names are in its folders, and what differs are Go files below their headers.
    """
    if any(here.states.listing(path) != names for path, names in package["folders"]):
        return False
    pairs = (*package["files"], *package["ignored"])
    return here.states.same(pairs) or all(_is_alike(path, state, there, here) for path, state in pairs)


def _is_alike(path: str, before: str, there: Context, here: Context) -> bool:
    after = here.states.state(path)
    if before == after or not path.endswith(".go"):
        return before == after
    was, is_now = _content(path, before, there), _content(path, after, here)
    return was is not None and is_now is not None and is_listed_alike(was, is_now)


def _content(path: str, state: str, context: Context) -> bytes | None:
    """Read a file that is in this state; None for what has become of anything else meanwhile."""
    try:
        content = (context.root / path).read_bytes()
    except OSError:
        return None
    return content if xxhash.xxh3_128_hexdigest(content) == state else None
