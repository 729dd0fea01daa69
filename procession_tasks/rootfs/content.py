"""Reads the bytes that an image's files are made of: of files, of ranges of the store's files, of memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import interruption
from procession_tasks.errors import BuildError

_CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes within a file, and the SHA-256 that they must have, in lower-case hex."""

    path: Path
    offset: int
    size: int
    sha256: str


Content = Path | Range | bytes | None


class DamagedError(BuildError):
    """A file of the store has changed since a package was unpacked into it; `path` may be removed."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message, hint=f"rm {path}, which is then unpacked anew")
        self.path = path


def chunks(content: Content, origin: str) -> Iterator[bytes]:
    """Read content piece by piece; ranges are not checked.

    `origin` is the place that an error names.  Raises BuildError for a file that cannot be
    read, a symbolic link included.
    """
    if not isinstance(content, Path | Range):
        yield content or b""
        return
    path = content if isinstance(content, Path) else content.path
    offset, left = (0, None) if isinstance(content, Path) else (content.offset, content.size)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BuildError(f"{origin}: cannot be read: {error.strerror}") from None
    try:
        if offset:
            os.lseek(descriptor, offset, os.SEEK_SET)
        while chunk := os.read(descriptor, _CHUNK if left is None else min(left, _CHUNK)):
            interruption.check()
            yield chunk
            left = None if left is None else left - len(chunk)
    finally:
        os.close(descriptor)


def check(content: Content, digest: str, origin: str) -> None:
    """See that what was read of a range has the SHA-256 it must have; raises DamagedError."""
    if isinstance(content, Range) and content.sha256 != digest:
        rule = "must be what was unpacked from the package, byte for byte"
        raise DamagedError(content.path, f"{origin}: {rule}, got sha256 {digest}")


def read(content: Content, origin: str) -> bytes:
    """Read content as a whole, checked; raises BuildError."""
    whole = b"".join(chunks(content, origin))
    check(content, hashlib.sha256(whole).hexdigest(), origin)
    return whole
