"""Brings one blob into a repository: from another one, or by an upload that survives broken connections."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from procession_tasks import files, interruption
from procession_tasks.errors import BuildError
from procession_tasks.image.layout import Descriptor
from procession_tasks.publish.failure import LostUploadError, PassingError, RefusedError, persistently
from procession_tasks.publish.registry import Registry, Upload

_SMALL = 1024 * 1024  # what is left and smaller goes with the request that ends the upload
_PIECE = 64 * 1024
Advance = Callable[[int], None]


def upload_blob(
    registry: Registry, path: str, blob: Descriptor, file: Path, others: Iterable[str], advance: Advance
) -> bool:
    """Bring a blob into a repository, and tell whether its bytes had to be sent.

    `others` are repositories of the registry that may have the blob.  `advance` is told of bytes
    as they are sent, negative when they have to be sent again.  Raises BuildError, also when the
    file is not what its descriptor says.
    """
    begun: Upload | None = None
    for other in others:
        try:
            begun = persistently(partial(registry.begin_upload, path, blob.digest, other))
        except RefusedError:  # who may push here may not read there
            continue
        if begun is None:
            advance(blob.size)
            return False
    _verify(blob, file)
    with file.open("rb") as stream:
        persistently(_Transfer(registry, path, blob, stream, begun, advance).attempt)
    return True


def _verify(blob: Descriptor, file: Path) -> None:
    try:
        is_whole = file.stat().st_size == blob.size and f"sha256:{files.sha256(file)}" == blob.digest
    except OSError as error:
        raise BuildError(f"{file}: {os.strerror(error.errno or 0).lower()}", hint="build the image again") from None
    if not is_whole:
        raise BuildError(f"{file}: must be the blob of that name, got another", hint="build the image again")


class _Transfer:
    """The transfer of one blob, in as many attempts as it takes."""

    def __init__(
        self, registry: Registry, path: str, blob: Descriptor, stream: IO[bytes], begun: Upload | None, advance: Advance
    ) -> None:
        self._registry = registry
        self._path = path
        self._blob = blob
        self._stream = stream
        self._upload = begun  # the last place that the registry told
        self._is_fresh = True  # nothing has been tried with it
        self._advance = advance
        self._counted = 0

    def attempt(self) -> None:
        """Send what the registry has not got yet; raises PassingError when there has to be another attempt."""
        upload = self._found() or self._begun()
        if upload is None:
            return self.count(self._blob.size)
        self._upload, self._is_fresh = upload, False
        self.count(upload.received)
        is_continued = upload.received > 0
        try:
            self._send(upload)
        except LostUploadError:
            self._upload = None
            raise
        except (PassingError, RefusedError):
            raise
        except BuildError as error:
            if not is_continued:
                raise
            # What a registry puts together from two requests may be wrong; of one it must be right.
            self._upload = None
            raise PassingError(error.message, hint=error.hint) from None

    def count(self, sent: int) -> None:
        """Tell how far the transfer is."""
        self._advance(sent - self._counted)
        self._counted = sent

    def _found(self) -> Upload | None:
        """Find the upload to go on with, if there is one."""
        if self._upload is None or self._is_fresh:
            return self._upload
        try:
            found = self._registry.status(self._path, self._upload)
        except LostUploadError:
            return None
        return found if found.received <= self._blob.size else None

    def _begun(self) -> Upload | None:
        """Begin to upload; nothing is left to do if an attempt went well that seemed to fail."""
        if not self._is_fresh and self._registry.has_blob(self._path, self._blob.digest):
            return None
        return self._registry.begin_upload(self._path)

    def _send(self, upload: Upload) -> None:
        if self._blob.size - upload.received > _SMALL:
            rest = _Rest(self._stream, upload.received, self._blob.size, self.count)
            self._upload = upload = self._registry.send(self._path, upload, rest)
            if upload.received != self._blob.size:
                place, size = f"{self._registry.host}/{self._path}", self._blob.size
                raise PassingError(f"{place}: must take {size} bytes of a blob, got {upload.received}")
        rest = _Rest(self._stream, upload.received, self._blob.size, self.count)
        self._registry.finish(self._path, upload, self._blob.digest, rest)


class _Rest:
    """What comes after a place of a file, as it is sent."""

    def __init__(self, stream: IO[bytes], start: int, end: int, count: Callable[[int], None]) -> None:
        self.size = end - start
        self._stream = stream
        self._start = start
        self._count = count

    def __iter__(self) -> Iterator[bytes]:
        """Read the file piece by piece; raises InterruptedWorkError."""
        self._stream.seek(self._start)
        self._count(self._start)
        while chunk := self._stream.read(_PIECE):
            interruption.check()
            yield chunk
            self._count(self._stream.tell())  # asked for the next piece, the last has been sent
