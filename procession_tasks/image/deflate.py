"""Gzip that has the same bytes on every machine and for every number of threads.

The input is cut into blocks of one size; each is compressed on its own, with the 32 KiB before
it as dictionary, so that nothing but the input and `COMPRESSOR` decides the output.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self

from procession_tasks.errors import BuildError

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

LEVEL = 2
BLOCK = 256 * 1024  # larger ones are no faster, and no smaller when compressed
_LIBRARY = "2.3.3"  # of zlib-ng itself, whose code decides the bytes
_PACKAGE = "zlib-ng==1.1.0"  # the Python package that brings it
COMPRESSOR = f"zlib-ng {_LIBRARY} level {LEVEL} block {BLOCK}"

# Magic, deflate, no flags, no time, no extra flags, unknown system: RFC 1952, section 2.3.
_HEADER = bytes((0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255))
_WINDOW = 32 * 1024
_MOST_THREADS = 8  # one thread reads and hashes; it cannot feed more


@dataclass(slots=True)
class _Block:
    content: bytes
    dictionary: bytes
    last: bool
    answer: SimpleQueue[bytes | Exception] = field(default_factory=SimpleQueue)


class GzipWriter:
    """A stream that writes what it is given to `out` as one gzip member.

    Used in a `with`; the member is complete when the block ends well, and `out` stays open.
    Holds a few blocks for each thread and no more.  Raises BuildError for another zlib-ng
    than `COMPRESSOR` names.

    Source: RFC 1951, RFC 1952.
    """

    def __init__(self, out: SupportsWrite[bytes], *, threads: int | None = None) -> None:
        from zlib_ng import zlib_ng  # loaded only by a build that packs

        check_library(str(zlib_ng.ZLIBNG_RUNTIME_VERSION))
        self._crc32 = zlib_ng.crc32
        self._out = out
        self._input = bytearray()
        self._dictionary = b""
        self._crc = self._size = 0
        self._blocks: SimpleQueue[_Block | None] = SimpleQueue()
        self._pending: deque[_Block] = deque()
        count = threads or min(len(os.sched_getaffinity(0)), _MOST_THREADS)
        self._threads = [Thread(target=_work, args=(self._blocks,), daemon=True) for _ in range(count)]

    def __enter__(self) -> Self:
        self._out.write(_HEADER)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._stop()

    def write(self, content: bytes) -> None:
        """Take more input; it is compressed once a block is full."""
        self._input += content
        while len(self._input) > BLOCK:  # a full block waits: it may be the last
            self._submit(bytes(self._input[:BLOCK]), last=False)
            del self._input[:BLOCK]

    def _submit(self, content: bytes, *, last: bool) -> None:
        block = _Block(content, self._dictionary, last)
        self._pending.append(block)
        self._blocks.put(block)
        self._crc = self._crc32(content, self._crc)
        self._size += len(content)
        self._dictionary = content[-_WINDOW:]
        if len(self._pending) > 2 * len(self._threads):
            self._write_oldest()

    def _write_oldest(self) -> None:
        answer = self._pending.popleft().answer.get()
        if isinstance(answer, Exception):
            raise answer
        self._out.write(answer)

    def _finish(self) -> None:
        self._submit(bytes(self._input), last=True)
        while self._pending:
            self._write_oldest()
        self._out.write(self._crc.to_bytes(4, "little") + (self._size % 2**32).to_bytes(4, "little"))

    def _stop(self) -> None:
        for _ in self._threads:
            self._blocks.put(None)
        for thread in self._threads:
            thread.join()


def check_library(version: str) -> None:
    """Refuse a zlib-ng that `COMPRESSOR` does not name: its output may differ.

    Raises BuildError.
    """
    if version != _LIBRARY:
        hint = f"pip install {_PACKAGE}"
        raise BuildError(f"zlib-ng: must be version {_LIBRARY}, got {version}", hint=hint)


def _work(blocks: SimpleQueue[_Block | None]) -> None:
    while (block := blocks.get()) is not None:
        try:
            block.answer.put(_deflated(block))
        except Exception as error:  # noqa: BLE001  the thread that waits for the answer raises it
            block.answer.put(error)


def _deflated(block: _Block) -> bytes:
    """Compress one block so that it ends on a byte, as the next one begins there."""
    from zlib_ng import zlib_ng

    compressor = zlib_ng.compressobj(LEVEL, zlib_ng.DEFLATED, -zlib_ng.MAX_WBITS, zdict=block.dictionary)
    flush = zlib_ng.Z_FINISH if block.last else zlib_ng.Z_SYNC_FLUSH
    return compressor.compress(block.content) + compressor.flush(flush)
