"""Where the blobs of an OCI image come from: a layout's folder, an archive of one, or several places.

Source: OCI image specification 1.1, "Image Layout".
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from procession_tasks.errors import BuildError
from procession_tasks.image.layout import Descriptor
from procession_tasks.image.streaming import Metered

_LIMIT = 4 * 1024 * 1024  # bytes of a document, which is what registries take


class Blobs(Protocol):
    """Somewhere that has blobs; `name` is how messages call it."""

    name: str

    def open(self, digest: str) -> BinaryIO | None:
        """Open a blob, None for one that is not there; it may be another than its name says."""


class FolderBlobs:
    """The blobs of a layout in a folder."""

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.name = name or str(folder)
        self._folder = folder

    def open(self, digest: str) -> BinaryIO | None:
        """As `Blobs` has it."""
        try:
            return (self._folder / "blobs" / digest.replace(":", "/")).open("rb")
        except FileNotFoundError:
            return None

    def top(self) -> Any:
        """Read index.json; raises BuildError where there is none."""
        try:
            return _parsed((self._folder / "index.json").read_bytes(), self.name)
        except FileNotFoundError:
            raise _no_image(self.name, "a folder without index.json") from None


class TarBlobs:
    """The blobs of a layout in one tar, whose members are found by where they are in it."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.name = name or str(path)
        self._path = path
        self._places = self._found()

    def open(self, digest: str) -> BinaryIO | None:
        """As `Blobs` has it."""
        place = self._places.get("blobs/" + digest.replace(":", "/"))
        return None if place is None else io.BufferedReader(_Part(self._path, *place))

    def top(self) -> Any:
        """Read index.json; raises BuildError where there is none."""
        if (place := self._places.get("index.json")) is None:
            raise _no_image(self.name, "a tar without index.json")
        with _Part(self._path, *place) as part:
            return _parsed(part.read(_LIMIT), self.name)

    def _found(self) -> dict[str, tuple[int, int]]:
        try:
            with tarfile.open(self._path, "r:") as tar:
                return {info.name.removeprefix("./"): (info.offset_data, info.size) for info in tar if info.isreg()}
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise BuildError(f"{self.name}: must be a whole tar archive, got a damaged one: {error}") from None


class AnyBlobs:
    """Blobs of several places, of which the first that has one is asked."""

    def __init__(self, name: str, places: Sequence[Blobs]) -> None:
        self.name = name
        self._places = places

    def open(self, digest: str) -> BinaryIO | None:
        """As `Blobs` has it."""
        return next((found for place in self._places if (found := place.open(digest)) is not None), None)


class _Part(io.RawIOBase):
    """A part of a file as a file of its own."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._file.seek(offset)
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(min(len(buffer), self._left))
        buffer[: len(content)] = content
        self._left -= len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


def opened(blobs: Blobs, blob: Descriptor) -> BinaryIO:
    """Open a blob that has to be there; raises BuildError."""
    found = blobs.open(blob.digest)
    if found is None:
        raise BuildError(f"{blobs.name}: must have the blob {blob.digest}, got none")
    return found


def checked(blobs: Blobs, blob: Descriptor, read: Metered) -> None:
    """See that what was read is the blob; raises BuildError."""
    if (read.digest, read.size) != (blob.digest, blob.size):
        rule = f"must hold {blob.digest} of {blob.size} bytes under that name"
        raise BuildError(f"{blobs.name}: {rule}, got {read.digest} of {read.size} bytes")


def document(blobs: Blobs, blob: Descriptor) -> Any:
    """Read a blob that is a document, an object of JSON; raises BuildError."""
    with opened(blobs, blob) as stream:
        metered = Metered(stream)
        content = io.BufferedReader(metered).read(_LIMIT + 1)
        if len(content) > _LIMIT:
            raise BuildError(f"{blobs.name}: {blob.digest} must have at most {_LIMIT} bytes, got more")
        checked(blobs, blob, metered)
    return _parsed(content, f"{blobs.name}: {blob.digest}")


def _parsed(content: bytes, where: str) -> Any:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BuildError(f"{where}: must be an object of JSON, got something else")
    return found


def _no_image(name: str, got: str) -> BuildError:
    return BuildError(f"{name}: must be an image: an .aci, an OCI image layout or an archive of one, got {got}")
