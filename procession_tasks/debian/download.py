"""Downloads over HTTP, HTTPS and from files: resumed where they stopped, verified before they count."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol, TypeVar

from procession_tasks import files, interruption

T = TypeVar("T")
Kind = Literal["gone", "changed", "unreachable"]

_TIMEOUT_S = 30.0
_WAITS_S = (0.3, 1.0, 3.0)  # before each further attempt
_CHUNK = 128 * 1024
_GONE = (404, 410)
_PARTIAL, _BAD_RANGE, _SERVER_ERROR = 206, 416, 500


class FailedDownloadError(Exception):
    """Why something cannot be had: it is gone, it is other bytes, or nobody answers; no address is named."""

    def __init__(self, kind: Kind, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind
        self.what = what


class _TransientError(FailedDownloadError):
    """What may be better in a moment."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file must be: bytes, and SHA-256 in lower-case hex."""

    size: int
    sha256: str


class _BadRangeError(_TransientError):
    """The server has no such part of the file."""


class _Response(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def download(
    url: str, target: Path, wanted: Wanted, proxy: str | None = None, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Bring a file under its final name, once it is whole and verified.

    What an interrupted run left beside it (``.part``) is continued; another process that is at
    it is waited for.  `advance` is told of bytes as they come, negative when they are dropped.
    Raises FailedDownloadError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _claimed(target) as part:
        if part is None:
            advance(wanted.size)
            return
        resumed = part.seek(0, os.SEEK_END)
        advance(resumed)
        _transfer(url, part, wanted, proxy, advance)
        if resumed and not _is(part, wanted):
            _drop(part, advance)  # what was there may be of another file
            _transfer(url, part, wanted, proxy, advance)
        if not _is(part, wanted):
            got = _digest(part) if part.seek(0, os.SEEK_END) == wanted.size else f"{part.tell()} bytes"
            expected = f"sha256 {wanted.sha256}" if part.tell() == wanted.size else f"{wanted.size} bytes"
            _drop(part, advance)
            raise FailedDownloadError("changed", f"must have {expected}, got {got}")
        Path(part.name).replace(target)


def read(url: str, limit: int, proxy: str | None = None) -> bytes:
    """Return a small file; raises FailedDownloadError, for one larger than `limit` too."""

    def fetch() -> bytes:
        with _opened(url, 0, proxy) as (response, _):
            return response.read(limit + 1)

    content = _persistently(fetch)
    if len(content) > limit:
        raise FailedDownloadError("changed", f"must be at most {limit} bytes, got more")
    return content


@contextlib.contextmanager
def _claimed(target: Path) -> Iterator[IO[bytes] | None]:
    """Open a target's partial file for this process alone; None when the target has come about meanwhile."""
    name = target.with_name(f"{target.name}.part")
    while True:
        with open(name, "r+b", buffering=0, opener=_open_or_make) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if not _is_at(stream, name):
                continue  # who had it before has renamed or removed it
            if target.exists():
                name.unlink()
                yield None
            else:
                yield stream
            return


def _open_or_make(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)


def _is_at(stream: IO[bytes], name: Path) -> bool:
    try:
        return os.path.samestat(os.stat(name), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _transfer(url: str, part: IO[bytes], wanted: Wanted, proxy: str | None, advance: Callable[[int], None]) -> None:
    """Append to the partial file until it has the wanted size, as often as it takes."""

    def attempt() -> None:
        start = part.seek(0, os.SEEK_END)
        if start > wanted.size:
            start = _drop(part, advance)
        if start == wanted.size:
            return
        try:
            with _opened(url, start, proxy) as (response, continued):
                if start and not continued:
                    _drop(part, advance)
                _append(response, part, wanted, advance)
        except _BadRangeError:
            _drop(part, advance)
            raise

    _persistently(attempt)


def _append(response: _Response, part: IO[bytes], wanted: Wanted, advance: Callable[[int], None]) -> None:
    with files.naming(Path(part.name)):
        while chunk := response.read(_CHUNK):
            interruption.check()
            if part.tell() + len(chunk) > wanted.size:
                raise FailedDownloadError("changed", f"must have {wanted.size} bytes, got more")
            unwritten = memoryview(chunk)
            while unwritten:
                unwritten = unwritten[part.write(unwritten) :]
            advance(len(chunk))
    if part.tell() < wanted.size:
        raise _TransientError("changed", f"must have {wanted.size} bytes, got {part.tell()}")


def _drop(part: IO[bytes], advance: Callable[[int], None]) -> int:
    """Begin anew."""
    advance(-part.seek(0, os.SEEK_END))
    part.seek(0)
    part.truncate()
    return 0


def _persistently(do: Callable[[], T]) -> T:
    """Do something again after failures that may pass."""
    for wait in _WAITS_S:
        interruption.check()
        try:
            return do()
        except _TransientError:
            time.sleep(wait)
    return do()


@contextlib.contextmanager
def _opened(url: str, start: int, proxy: str | None) -> Iterator[tuple[_Response, bool]]:
    """Ask for what follows a place in a file; the flag tells whether the answer begins there.

    Everything that the network does is raised as FailedDownloadError, while the answer is read too.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # mirrors may be files
    proxies = None if proxy is None else {"http": proxy, "https": proxy}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
    try:
        with opener.open(request, timeout=_TIMEOUT_S) as response:
            yield response, response.status == _PARTIAL
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error) from None
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _unanswered(error) from None


def _refused(error: urllib.error.HTTPError) -> FailedDownloadError:
    if error.code in _GONE:
        return FailedDownloadError("gone", f"HTTP {error.code}")
    what = f"HTTP {error.code} {error.reason}"
    if error.code == _BAD_RANGE:
        return _BadRangeError("changed", what)
    return (_TransientError if error.code >= _SERVER_ERROR else FailedDownloadError)("unreachable", what)


def _unanswered(error: Exception) -> FailedDownloadError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, FileNotFoundError):  # of a file: address
        return FailedDownloadError("gone", "no such file")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FailedDownloadError("unreachable", f"its certificate is not good: {reason.verify_message}")
    if isinstance(reason, TimeoutError):
        return _TransientError("unreachable", "no answer in time")
    if isinstance(reason, OSError) and reason.strerror:
        return _TransientError("unreachable", reason.strerror.lower())
    return _TransientError("unreachable", str(reason).lower() or "the connection ended")


def _is(part: IO[bytes], wanted: Wanted) -> bool:
    return part.seek(0, os.SEEK_END) == wanted.size and _digest(part) == wanted.sha256


def _digest(part: IO[bytes]) -> str:
    part.seek(0)
    digest = hashlib.sha256()
    while chunk := part.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
