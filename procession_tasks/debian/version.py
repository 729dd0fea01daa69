"""The order of Debian versions.  Pure.

Source: Debian Policy 5.6.12 and deb-version(7).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

# A number, or the weights of the characters before one; the two take turns.
_Part = tuple[tuple[int, ...] | int, ...]
Key = tuple[int, _Part, _Part]

_EPOCH_LIMIT = 2**31 - 1  # dpkg keeps it in an int
_UPSTREAM = re.compile(r"[0-9][A-Za-z0-9.+~:-]*")
_REVISION = re.compile(r"[A-Za-z0-9.+~]+")
_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "<<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">>": operator.gt,
}


def sort_key(version: str) -> Key:
    """Return what sorts as the version does: equal for `1.0` and `1.0-0`, which dpkg takes for one.

    Raises ValueError for what is no version.
    """
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, "0"
    if not re.fullmatch(r"[0-9]{1,10}", epoch) or int(epoch) > _EPOCH_LIMIT:
        raise ValueError(f"must have a number up to {_EPOCH_LIMIT} for its epoch, got {version!r}")
    if not _UPSTREAM.fullmatch(upstream):
        raise ValueError(f"must begin with a digit and hold letters, digits and .+~:- only, got {version!r}")
    if not _REVISION.fullmatch(revision):
        raise ValueError(f"must have letters, digits and .+~ after the last hyphen, got {version!r}")
    return int(epoch), _part(upstream), _part(revision)


def _part(text: str) -> _Part:
    pieces = re.findall(r"([^0-9]*)([0-9]*)", text)
    part: list[tuple[int, ...] | int] = []
    for letters, digits in pieces[:-1]:  # the last matches the empty end
        part += [_weights(letters), int(digits or 0)]
    return (*part, _weights(""))


def _weights(letters: str) -> tuple[int, ...]:
    """Weigh each character, and the end: a tilde before the end, that before letters, those before the rest."""
    return (*(-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256 for c in letters), 0)


def compare(a: str, b: str) -> int:
    """Return -1, 0 or 1 as `a` is earlier than `b`, equal or later; raises ValueError for what is no version."""
    first, second = sort_key(a), sort_key(b)
    return (first > second) - (first < second)


def satisfies(version: str, relation: str, wanted: str) -> bool:
    """Tell whether `version` is ``<<``, ``<=``, ``=``, ``>=`` or ``>>`` the one wanted.

    Raises ValueError for what is no version.
    """
    return _COMPARISONS[relation](compare(version, wanted), 0)
