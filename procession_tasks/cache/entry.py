"""A result as it is stored: bound to its key, with what it said and how long it took.  Pure.

Servers keep whatever is put under a key, so an entry names the action it is of; one that stands
under another's key is not used.  The metadata that REAPI has for such things travels with it.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from procession_tasks.cache import wire
from procession_tasks.cache.reapi import (
    PACKAGE,
    TYPES,
    ActionResult,
    Any,
    Digest,
    Duration,
    ExecutedActionMetadata,
)

_KEY_TYPE = f"{TYPES}{PACKAGE}.Digest"
_MADE_HERE = "type.googleapis.com/procession.cache.v1.MadeHere"
_NANOS = 1_000_000_000


def bound(result: ActionResult, key: Digest, seconds: float = 0.0) -> ActionResult:
    """Add to a result the action that it is of, and how long that took."""
    metadata = ExecutedActionMetadata(
        auxiliary_metadata=(Any(_KEY_TYPE, wire.encode(key)),),
        virtual_execution_duration=Duration(int(seconds), int(seconds % 1 * _NANOS)),
    )
    return dataclasses.replace(result, execution_metadata=metadata)


def is_bound(result: ActionResult, key: Digest) -> bool:
    """Tell whether a result says that it is of this action."""
    return wire.encode(key) in attached(result, _KEY_TYPE)


def marked(result: ActionResult) -> ActionResult:
    """Note on this machine's copy of a result that it was made here, whoever else vouches for it."""
    return attach(result, _MADE_HERE, b"")


def unmarked(result: ActionResult) -> ActionResult:
    """Take away a note that came from elsewhere."""
    metadata = result.execution_metadata or ExecutedActionMetadata()
    rest = tuple(one for one in metadata.auxiliary_metadata if one.type_url != _MADE_HERE)
    return dataclasses.replace(result, execution_metadata=dataclasses.replace(metadata, auxiliary_metadata=rest))


def is_marked(result: ActionResult) -> bool:
    """Tell whether a result of this machine's cache was made here."""
    return bool(attached(result, _MADE_HERE))


def keys(result: ActionResult) -> set[str]:
    """Name the actions that a result says it is of, by the hex SHA-256."""
    found = set()
    for value in attached(result, _KEY_TYPE):
        with contextlib.suppress(ValueError):
            found.add(wire.decode(Digest, value).hash)
    return found


def seconds(result: ActionResult) -> float:
    """Return how long the action took where it was run."""
    metadata = result.execution_metadata
    took = metadata.virtual_execution_duration if metadata else None
    return 0.0 if took is None else took.seconds + took.nanos / _NANOS


def attach(result: ActionResult, kind: str, value: bytes) -> ActionResult:
    """Add a message to what is known of a result."""
    metadata = result.execution_metadata or ExecutedActionMetadata()
    more = (*metadata.auxiliary_metadata, Any(kind, value))
    return dataclasses.replace(result, execution_metadata=dataclasses.replace(metadata, auxiliary_metadata=more))


def attached(result: ActionResult, kind: str) -> tuple[bytes, ...]:
    """Return the messages of a kind that are known of a result."""
    return tuple(_attached(result, kind))


def _attached(result: ActionResult, kind: str) -> Iterator[bytes]:
    if result.execution_metadata:
        yield from (one.value for one in result.execution_metadata.auxiliary_metadata if one.type_url == kind)
