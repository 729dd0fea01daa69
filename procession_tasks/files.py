"""Files that are whole or not there: atomic writes, digests, locks."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import xxhash

_CHUNK = 256 * 1024


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that gets its final name only when the block ends well.

    Makes parent folders.  On any error, Ctrl-C included, nothing is left behind and what had
    the name before stays.  A killed run leaves at most a ``.part`` file beside it, which the
    next one overwrites.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        with naming(path), temporary.open("xb") as stream:  # "x" writes through no link
            yield stream
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Have an error of the system name the file that is written; a failed write does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def write_all(descriptor: int, content: bytes) -> None:
    """Write to an open file until all is written."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def on_disk(text: str) -> str:
    """Spell a name for the system: its bytes are UTF-8 whatever the locale says of file names."""
    return text if text.isascii() else os.fsdecode(text.encode("utf-8", "surrogateescape"))


def from_disk(name: str) -> str:
    """Undo `on_disk`: read a name that the system gave as UTF-8."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")


def write(path: Path, content: bytes) -> None:
    """Write a whole file under its final name, or not at all."""
    with atomic(path) as stream:
        stream.write(content)


def write_if_changed(path: Path, content: bytes) -> bool:
    """Write unless the file already holds exactly this, and tell whether it was written."""
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return False
    write(path, content)
    return True


def xxh3(path: str | os.PathLike[str]) -> str:
    """Digest a file's content with XXH3-128, as lower-case hex.

    Raises OSError when it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        digest = xxhash.xxh3_128()
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
        return digest.hexdigest()
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Digest a file's content with SHA-256, as lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
