"""Bytes that are read once, in order, uncompressed on the way; memory stays flat whatever their number."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from procession_tasks import interruption

CHUNK = 256 * 1024
_XZ_MEMORY = 128 * 1024 * 1024  # xz -9 asks for 65 MiB to unpack; a header can ask for 4 GiB


class BrokenError(Exception):
    """A package breaks a rule of its format; the place is inside the package, whoever opened it names the file."""


class Stream:
    """Reads pieces of any size from chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Read exactly this many bytes at once; raises BrokenError when there are fewer."""
        piece = self._chunk[self._at : self._at + size]
        if len(piece) < size:
            return b"".join(self.pieces(size))
        self._at += size
        return piece

    def pieces(self, size: int) -> Iterator[bytes]:
        """Read exactly this many bytes, a chunk at a time; raises BrokenError when there are fewer."""
        while size:
            if self._at == len(self._chunk):
                self._chunk, self._at = next(self._chunks, b""), 0
                if not self._chunk:
                    raise BrokenError(f"a tar archive must be whole, got its end {size} bytes too early")
            piece = self._chunk[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """Read to the end, where compressed content is checked for being whole."""
        yield self._chunk[self._at :]
        yield from self._chunks


def limited(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Pass chunks on until they are more than `limit` bytes; raises BrokenError then."""
    left = limit
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise BrokenError(f"must unpack to at most {limit} bytes, got more")
        yield chunk


def inflated(chunks: Iterator[bytes], suffix: str) -> Iterator[bytes]:
    """Uncompress what has this suffix of a name: ``.gz``, ``.xz``, ``.bz2`` or none.

    Raises BrokenError for another suffix, and for content that is not one whole compressed stream.
    """
    if not suffix:
        return chunks
    if suffix not in _DECOMPRESSORS:
        known = ", ".join(sorted(_DECOMPRESSORS))
        raise BrokenError(f"must be compressed as one of {known} or not at all, got {suffix}")
    return _inflated(chunks, _DECOMPRESSORS[suffix]())


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    ".bz2": bz2.BZ2Decompressor,
    ".gz": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    ".xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY),
}


def _inflated(chunks: Iterator[bytes], decompressor: _Decompressor) -> Iterator[bytes]:
    for chunk in chunks:
        yield from _pieces(chunk, decompressor)
        if decompressor.eof:
            break
    else:
        raise BrokenError("must be a whole compressed stream, got its end too early")
    if decompressor.unused_data or next(chunks, b""):
        raise BrokenError("must be one compressed stream, got more behind it")


def _pieces(chunk: bytes, decompressor: _Decompressor) -> Iterator[bytes]:
    """Uncompress a chunk, however much it holds, a bounded piece at a time."""
    while True:
        interruption.check()
        try:
            piece = decompressor.decompress(chunk, CHUNK)
        except (zlib.error, lzma.LZMAError, OSError) as error:
            raise BrokenError(f"must be a sound compressed stream, got: {error}") from None
        if piece:
            yield piece
        if decompressor.eof or len(piece) < CHUNK:
            return
        chunk = getattr(decompressor, "unconsumed_tail", b"")  # bz2 and lzma keep it themselves
