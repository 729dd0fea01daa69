"""Reads the tar of any image in one pass, packed by whom it may be; only the list of members is kept.

`members` reads our own archives, strictly, to verify them; what is compared may be of others.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, cast

from procession_tasks import interruption
from procession_tasks.errors import BuildError
from procession_tasks.image.inventory import Item

_CHUNK = 256 * 1024
_KEPT_LIMIT = 32 * 1024 * 1024  # bytes of a file whose content is of use
_XATTR = "SCHILY.xattr."
_MAGIC: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_ZSTD = b"\x28\xb5\x2f\xfd"
_BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)


class Metered(io.RawIOBase):
    """A stream whose bytes are counted and digested as they are read."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """Say that it can be read, which is all."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, as io.RawIOBase has it."""
        interruption.check()
        content = self._stream.read(len(buffer))
        buffer[: len(content)] = content
        self._sha256.update(content)
        self.size += len(content)
        return len(content)

    @property
    def digest(self) -> str:
        """The digest of what was read so far."""
        return f"sha256:{self._sha256.hexdigest()}"


@contextmanager
def unpacking(stream: IO[bytes] | io.RawIOBase, where: str) -> Iterator[BinaryIO]:
    """Open what a stream holds once it is decompressed; all of it has been read when the block ends well.

    Raises BuildError that begins with `where`, also for what in the block finds no tar.
    """
    buffered = io.BufferedReader(cast("Any", stream), _CHUNK)
    start = buffered.peek(len(_ZSTD))
    if start.startswith(_ZSTD):
        hint = "skopeo copy --dest-compress-format gzip --dest-force-compress-format makes one that can"
        raise BuildError(f"{where}: is compressed with zstd, which cannot be read", hint=hint)
    opener = next((opener for magic, opener in _MAGIC.items() if start.startswith(magic)), None)
    try:
        plain = opener(buffered, "rb") if opener else buffered
        yield plain
        for source in (plain, buffered):
            while source.read(_CHUNK):
                pass
    except _BROKEN as error:
        raise _damaged(where, error) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(where, error) from None  # gzip says so of what it cannot read


def read_tar(stream: BinaryIO, is_kept: Callable[[str], bool]) -> Iterator[tuple[Item, bytes]]:
    """Read the members in their order, with the content of those whose path is to be kept; else it is empty.

    Paths have no slash at either end; the root is left out.
    """
    with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
        while (info := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # it would keep them all
            if path := _clean(info.name):
                yield _item(tar, info, path, is_kept)


def _item(tar: tarfile.TarFile, info: tarfile.TarInfo, path: str, is_kept: Callable[[str], bool]) -> tuple[Item, bytes]:
    size, digest, kept = 0, "", b""
    content = tar.extractfile(info) if info.isreg() else None
    if content is not None:
        size = info.size
        digest, kept = _digested(content, keeps=is_kept(path) and size <= _KEPT_LIMIT)
    link = info.linkname if info.issym() else _clean(info.linkname) if info.islnk() else ""
    mode = 0o777 if info.issym() else info.mode & 0o7777
    return (
        Item(path, _type(info), mode, info.uid, info.gid, size, digest, link, _attributes(info), int(info.mtime)),
        kept,
    )


def _digested(content: IO[bytes], *, keeps: bool) -> tuple[str, bytes]:
    sha256, kept = hashlib.sha256(), []
    while chunk := content.read(_CHUNK):
        sha256.update(chunk)
        if keeps:
            kept.append(chunk)
    return sha256.hexdigest(), b"".join(kept)


def _type(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return "directory"
    if info.issym():
        return "symlink"
    if info.islnk():
        return "hardlink"
    return "file" if info.isreg() else "device"


def _clean(name: str) -> str:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise tarfile.ReadError(f"a path must not lead out of the image, got {name!r}")
    return "/".join(parts)


def _attributes(info: tarfile.TarInfo) -> tuple[tuple[str, bytes], ...]:
    found = {name: value for name, value in info.pax_headers.items() if name.startswith(_XATTR)}
    return tuple(
        sorted((name.removeprefix(_XATTR), value.encode("utf-8", "surrogateescape")) for name, value in found.items())
    )


def _damaged(where: str, error: Exception) -> BuildError:
    return BuildError(
        f"{where}: must be a whole tar archive, got a damaged one: {str(error).lower() or 'it ends early'}"
    )
