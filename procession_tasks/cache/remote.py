"""What every cache elsewhere is to the rest: a place to ask, that may fail in any way at any time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from procession_tasks.cache.reapi import ActionResult, Digest

CONNECT_TIMEOUT_S = 2.0
STALL_TIMEOUT_S = 3.0  # for an answer to begin, and between two pieces of it
_SLOWEST = 100_000  # bytes a second below which a transfer is given up
_CHUNK = 256 * 1024


class RemoteError(Exception):
    """A cache did not do what it was asked; the text says what happened, and holds no secret.

    `lasts` tells that asking again is of no use: it refuses us, or is none that we can speak to.
    """

    def __init__(self, text: str, *, lasts: bool = False) -> None:
        super().__init__(text)
        self.lasts = lasts


class GoneError(RemoteError):
    """A blob is not there, though a result names it."""


class WrongBytesError(RemoteError):
    """A blob is not what its digest says."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A content to be sent: in memory, or a file whose bytes the digest promises."""

    digest: Digest
    content: bytes | Path

    def read(self) -> bytes:
        """Return it whole; for small ones."""
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    def chunks(self) -> Iterator[bytes]:
        """Read it piece by piece."""
        if isinstance(self.content, bytes):
            yield self.content
            return
        descriptor = os.open(self.content, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while chunk := os.read(descriptor, _CHUNK):
                yield chunk
        finally:
            os.close(descriptor)


# Takes the pieces of a blob as they come; raises WrongBytesError, or OSError when they cannot be kept.
Accept = Callable[[Digest, Iterable[bytes]], None]


class Remote(Protocol):
    """A cache on a server.  Every method may be called from several threads, and raises RemoteError."""

    name: str  # as messages call it: scheme and host
    # Whether it only knows a result as long as it has every directory of its trees, as servers of the
    # Remote Execution API may; others take a tree for a content like any.
    knows_directories: bool

    def result(self, key: Digest) -> ActionResult | None:
        """Return what is stored under an action's digest, None when that is nothing."""

    def put_result(self, key: Digest, result: ActionResult) -> None:
        """Store a result, whose blobs are all there."""

    def fetch(self, digests: Collection[Digest], accept: Accept) -> None:
        """Have blobs accepted, in any order; raises GoneError for one that is not there."""

    def send(self, blobs: Collection[Blob]) -> None:
        """Store blobs that are not there yet."""

    def close(self) -> None:
        """Let go of connections."""


class Pace:
    """Sees that a transfer is not slower than is worth waiting for."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._moved = 0

    def advance(self, count: int) -> None:
        """Note so many bytes more; raises RemoteError when the whole is too slow by now."""
        self._moved += count
        if time.monotonic() - self._started > patience(self._moved):
            raise RemoteError("too slow")


def patience(size: int) -> float:
    """Return the seconds that a transfer of so many bytes may take at most."""
    return STALL_TIMEOUT_S + size / _SLOWEST
