"""Leaves out what an image does not need of its packages, by patterns of paths.  Pure.

In a pattern, ``*``, ``?`` and ``[…]`` stand for characters of one part of a path, and a part
``**`` for any number of parts.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from procession_tasks.definition.shape import did_you_mean

_SPECIAL = re.compile(r"\*+|\?|\[([!^]?)(\]?[^\]/]*)\]")


def left_out(paths: Mapping[str, bool], prune: Iterable[str], keep: Iterable[str]) -> set[str]:
    """Choose the paths to leave out: what `prune` matches, with all below it, and `keep` does not.

    `paths` has for each whether it is a folder, and every folder above it.  A folder goes, too,
    that has nothing left; one that was empty from the start stays.
    """
    pruned, kept = _below(prune).match, _below(keep).match
    matched = {path for path in paths if pruned(path) and not kept(path)}
    left: dict[str, int] = {}
    for path in paths:
        parent = posixpath.dirname(path)
        left[parent] = left.get(parent, 0) + 1
    gone = set()
    for path in sorted(paths, reverse=True):  # what is in a folder comes before it
        is_emptied = paths[path] and left.get(path) == 0
        if is_emptied or (path in matched and not left.get(path)):
            gone.add(path)
            left[posixpath.dirname(path)] -= 1
    return gone


def unmatched(patterns: Sequence[str], paths: Collection[str]) -> Iterator[tuple[str, str | None]]:
    """Yield the patterns that match no path, each with a hint where a path is near."""
    expression = _below(patterns).match
    hit = {match.lastindex for path in paths if (match := expression(path))}
    for number, pattern in enumerate(patterns, 1):
        # Of several patterns that match a path, only the first one was seen above.
        if number not in hit and not any(map(_below([pattern]).match, paths)):
            depth = pattern.count("/")
            yield pattern, did_you_mean(pattern, sorted(path for path in paths if path.count("/") == depth))


def expression(pattern: str) -> str:
    """Translate a pattern to a regular expression."""
    parts = pattern.split("/")
    inner = "".join("(?:[^/]+/)*" if part == "**" else f"{_part(part)}/" for part in parts[:-1])
    return inner + ("(?:[^/]+/)*[^/]+" if parts[-1] == "**" else _part(parts[-1]))


def _below(patterns: Iterable[str]) -> re.Pattern[str]:
    """Make one expression of patterns, with a group for each, that matches what is below a match, too."""
    alternatives = "|".join(f"({expression(pattern)})" for pattern in patterns)
    return re.compile(rf"(?:{alternatives or '(?!)'})(?=/|\Z)", re.DOTALL)


def _part(part: str) -> str:
    translated, place = "", 0
    for special in _SPECIAL.finditer(part):
        translated += re.escape(part[place : special.start()]) + _special(special)
        place = special.end()
    return translated + re.escape(part[place:])


def _special(sign: re.Match[str]) -> str:
    if sign[0] == "?":
        return "[^/]"
    if sign[0].startswith("*"):
        return "[^/]*"
    characters = re.sub(r"(\w-\w)|([^\w])", lambda match: match[1] or f"\\{match[2]}", sign[2])
    try:
        return re.compile(f"[{'^/' if sign[1] else ''}{characters}]").pattern
    except re.error:  # such as an empty one, or [z-a]
        return re.escape(sign[0])
