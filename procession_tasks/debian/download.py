"""Downloads files of a repository: resumed where they stopped, verified before they count."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from procession_tasks import files, interruption
from procession_tasks.debian.failure import BadRangeError, FailedDownloadError, PassingError
from procession_tasks.debian.repositories import Place

if TYPE_CHECKING:
    from procession_tasks.debian.transport import Answer

T = TypeVar("T")
Advance = Callable[[int], None]

_WAITS_S = (0.3, 1.0, 3.0)  # before each further attempt
_LOOK_S = 0.1
_CHUNK = 128 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file must be: SHA-256 in lower-case hex, and bytes."""

    sha256: str
    size: int

    def is_in(self, path: Path) -> bool:
        """Tell whether a path has exactly this, which reads all of it."""
        try:
            return path.stat().st_size == self.size and files.sha256(path) == self.sha256
        except FileNotFoundError:
            return False


def download(place: Place, path: str, target: Path, wanted: Wanted, advance: Advance = lambda _: None) -> None:
    """Bring a file of a repository under its final name, once it is whole and verified.

    What an interrupted run left beside it (``.part``) is continued; another process that is at
    it is waited for; what has the name and is something else is replaced.  `advance` is told of
    bytes as they come, negative when they are dropped.  Raises FailedDownloadError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _claimed(target, wanted, advance) as part:
        if part is None:
            advance(wanted.size)
            return
        transfer = partial(_persistently, partial(_transfer, place, path, part, wanted))
        transfer()
        got = part.sha256()
        if got != wanted.sha256 and part.is_patched:
            part.drop()
            transfer()
            got = part.sha256()
        if got != wanted.sha256:
            part.drop()
            raise FailedDownloadError("changed", f"must have the sha256 {wanted.sha256}, got {got}")
        part.path.replace(target)


def read(place: Place, path: str, limit: int) -> bytes:
    """Return a small file of a repository; raises FailedDownloadError, for one larger than `limit` too."""
    from procession_tasks.debian.transport import opened  # costs more than a build that downloads nothing

    def attempt() -> bytes:
        content = bytearray()
        with opened(place, path) as answer:
            while chunk := answer.read(_CHUNK):
                interruption.check()
                content += chunk
                if len(content) > limit:
                    raise FailedDownloadError("changed", f"must have at most {limit} bytes, got more")
        return bytes(content)

    return _persistently(attempt)


class _Part:
    """A file that is not whole yet; nobody else writes it while it is open.

    `is_patched` where not all of it is from one answer, which may be of another file than the next.
    """

    def __init__(self, stream: FileIO, path: Path, advance: Advance) -> None:
        self.path = path
        self.size = stream.seek(0, os.SEEK_END)
        self.is_patched = self.size > 0
        self._stream = stream
        self._advance = advance
        advance(self.size)

    def append(self, chunk: bytes) -> None:
        with files.naming(self.path):
            unwritten = memoryview(chunk)
            while unwritten:
                unwritten = unwritten[self._stream.write(unwritten) :]
        self.size += len(chunk)
        self._advance(len(chunk))

    def drop(self) -> None:
        self._stream.seek(0)
        self._stream.truncate()
        self._advance(-self.size)
        self.size = 0
        self.is_patched = False

    def sha256(self) -> str:
        self._stream.seek(0)
        return hashlib.file_digest(self._stream, "sha256").hexdigest()


@contextlib.contextmanager
def _claimed(target: Path, wanted: Wanted, advance: Advance) -> Iterator[_Part | None]:
    """Open a target's partial file for this process alone; None when the target has come about meanwhile."""
    name = target.with_name(f"{target.name}.part")
    while not wanted.is_in(target):  # or a run that ends here would leave a partial file of nothing
        with open(name, "r+b", buffering=0, opener=_open_or_make) as stream:
            _lock(stream, advance)
            if not _is_at(stream, name):
                continue  # who had it before has renamed or removed it
            if wanted.is_in(target):
                name.unlink()
                yield None
            else:
                yield _Part(stream, name, advance)
            return
    yield None


def _open_or_make(path: str, flags: int) -> int:
    """Open a file for writing, and never what a link that somebody put there leads to."""
    flags |= os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    os.unlink(path)
    return os.open(path, flags, 0o644)


def _lock(stream: FileIO, advance: Advance) -> None:
    """Wait until no other process has the file; `advance` may tell that nothing comes."""
    while True:
        try:
            return fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            interruption.check()
            advance(0)
            time.sleep(_LOOK_S)


def _is_at(stream: FileIO, name: Path) -> bool:
    try:
        return os.path.samestat(os.stat(name, follow_symlinks=False), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _transfer(place: Place, path: str, part: _Part, wanted: Wanted) -> None:
    """Append to a partial file until it has the wanted size."""
    from procession_tasks.debian.transport import opened  # as above

    if part.size == wanted.size:
        return
    try:
        with opened(place, path, part.size) as answer:
            _receive(answer, part, wanted)
    except BadRangeError:
        part.drop()
        raise


def _receive(answer: Answer, part: _Part, wanted: Wanted) -> None:
    if answer.size not in (None, wanted.size):
        raise FailedDownloadError("changed", f"must have {wanted.size} bytes, got {answer.size}")
    if answer.start != part.size:
        part.drop()
    part.is_patched = part.size > 0
    while chunk := answer.read(_CHUNK):
        interruption.check()
        if part.size + len(chunk) > wanted.size:
            raise FailedDownloadError("changed", f"must have {wanted.size} bytes, got more")
        part.append(chunk)
    if part.size < wanted.size:
        raise FailedDownloadError("changed", f"must have {wanted.size} bytes, got {part.size}")


def _persistently(do: Callable[[], T]) -> T:
    """Do something again after failures that may pass."""
    for wait in _WAITS_S:
        try:
            return do()
        except PassingError:
            _pause(wait)
    return do()


def _pause(seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        interruption.check()
        time.sleep(min(left, _LOOK_S))
