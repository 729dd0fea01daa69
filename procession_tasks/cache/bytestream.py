"""Large blobs as the messages of google.bytestream, and back.  Pure but for reading what is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from procession_tasks.cache.reapi import Digest
from procession_tasks.cache.remote import Blob, RemoteError, WrongBytesError
from procession_tasks.cache.services import ReadResponse, WriteRequest

_PIECE = 1024 * 1024


def pieces_of(name: str, blob: Blob) -> Iterator[WriteRequest]:
    """Split a blob into messages; the first says what it is, the last that it is whole.

    Raises RemoteError for a file that has become shorter, and OSError.
    """
    at = 0
    for chunk in blob.chunks():
        for start in range(0, len(chunk), _PIECE):
            piece = chunk[start : start + _PIECE]
            end = at + len(piece)
            yield WriteRequest("" if at else name, at, end >= blob.digest.size_bytes, piece)
            at = end
    if at < blob.digest.size_bytes:
        raise RemoteError(f"the blob {blob.digest.hash} has become shorter")


def contents(digest: Digest, messages: Iterable[ReadResponse]) -> Iterator[bytes]:
    """Take the bytes out of messages; raises WrongBytesError for more of them than there can be."""
    room = digest.size_bytes
    for message in messages:
        room -= len(message.data)
        if room < 0:
            raise WrongBytesError(f"the blob {digest.hash} is longer than it is said to be")
        yield message.data
