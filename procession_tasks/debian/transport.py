"""Opens a file of a repository over HTTP or HTTPS, or on a disk.

Whatever goes wrong is a FailedDownloadError: the library's own texts name addresses, and
addresses can hold passwords.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import os
import re
import ssl
import urllib.error
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol
from urllib import request
from urllib.parse import quote, unquote, urlsplit

from procession_tasks.debian.failure import BadRangeError, FailedDownloadError, NoAnswerError, PassingError
from procession_tasks.debian.repositories import Place

TIMEOUT_S = 15.0  # for a connection, and for each piece of an answer
_PARTIAL, _BAD_RANGE, _SERVER_ERROR = 206, 416, 500
_GONE = (404, 410)
_PASSING = (408, 429)  # the server was waiting or is asked too often; RFC 9110 and 6585


class _Stream(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class Answer:
    """The bytes of a file from `start` on; `size` is the whole file's, None when it is not told."""

    def __init__(self, stream: _Stream, start: int, size: int | None) -> None:
        self.start = start
        self.size = size
        self._stream = stream
        self._at = start

    def read(self, most: int) -> bytes:
        """Read what has come, nothing at the end; raises FailedDownloadError."""
        left = most if self.size is None else min(most, self.size - self._at)
        if left <= 0:
            return b""
        try:
            chunk = self._stream.read1(left)
        except (OSError, http.client.HTTPException) as error:
            raise _unanswered(error, PassingError) from None
        if not chunk and self.size is not None:
            raise PassingError("unreachable", f"the connection ended after {self._at} of {self.size} bytes")
        self._at += len(chunk)
        return chunk


@contextlib.contextmanager
def opened(place: Place, path: str, start: int = 0) -> Iterator[Answer]:
    """Ask for a file, relative to the base of a repository; without what is before `start` if that can be had.

    A redirection to another host is followed, one to something that is not HTTP is not.
    Raises FailedDownloadError.
    """
    if place.url.startswith("file:"):
        with _local(place, path) as file:
            file.seek(start)
            yield Answer(file, start, os.fstat(file.fileno()).st_size)
        return
    with _response(place, path, start) as response:
        begun = start if response.status == _PARTIAL else 0
        if begun and not response.headers.get("Content-Range", "").startswith(f"bytes {begun}-"):
            raise BadRangeError("changed", "the server sends another part than it was asked for")
        size = None if response.length is None else begun + response.length
        yield Answer(response, begun, size)


def _local(place: Place, path: str) -> BufferedReader:
    try:
        return Path(unquote(urlsplit(place.url).path), path).open("rb")
    except FileNotFoundError:
        raise FailedDownloadError("gone", "no such file") from None
    except OSError as error:
        raise FailedDownloadError("unreachable", str(error.strerror).lower()) from None


def _response(place: Place, path: str, start: int) -> Any:
    base = urlsplit(place.url)
    user, _, host = base.netloc.rpartition("@")
    # Some servers take a plus for a space, unless it is quoted.
    asked = request.Request(f"{base.scheme}://{host}{base.path}/{quote(path)}")  # noqa: S310  # no file: comes here
    asked.add_header("User-Agent", "procession-tasks")
    if start:
        asked.add_header("Range", f"bytes={start}-")
    if user:  # not for the host of a redirection
        asked.add_unredirected_header("Authorization", "Basic " + base64.b64encode(unquote(user).encode()).decode())
    try:
        return _opener(place.proxy).open(asked, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(error.code) from None
    except (OSError, http.client.HTTPException) as error:
        raise _unanswered(error, NoAnswerError) from None
    except ValueError:  # a name that cannot be one
        raise FailedDownloadError("unreachable", "the address is not one") from None


@functools.cache
def _opener(proxy: str | None) -> request.OpenerDirector:
    """Make what follows redirections and knows no scheme but HTTP and HTTPS; no proxy is the environment's."""
    context = ssl.create_default_context()  # made once: it reads all certificates of the machine
    context.set_alpn_protocols(["http/1.1"])
    proxies = {"http": proxy, "https": proxy} if proxy else {}
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(None if proxy is None else proxies),
        request.HTTPHandler(),
        request.HTTPSHandler(context=context),
        request.HTTPRedirectHandler(),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _refused(status: int) -> FailedDownloadError:
    """Tell what a status means, in the words of the standard and not those of the server."""
    what = f"HTTP {status} {http.client.responses.get(status, '')}".rstrip()
    if status in _GONE:
        return FailedDownloadError("gone", what)
    if status == _BAD_RANGE:
        return BadRangeError("changed", what)
    passes = status >= _SERVER_ERROR or status in _PASSING
    return (PassingError if passes else FailedDownloadError)("unreachable", what)


def _unanswered(error: Exception, passing: type[PassingError]) -> FailedDownloadError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    lasts = isinstance(reason, str | ssl.SSLCertVerificationError)
    return (FailedDownloadError if lasts else passing)("unreachable", _words(reason))


def _words(reason: BaseException | str) -> str:
    """Tell what the system or the library says, as far as it holds nothing of the address."""
    words = "no answer that can be understood"
    if isinstance(reason, str):  # about the scheme; ours is known
        words = "a proxy or a redirection is not HTTP"
    elif isinstance(reason, ssl.SSLCertVerificationError):
        words = f"its certificate is not good: {reason.verify_message.partition(',')[0].lower()}"  # a name follows
    elif isinstance(reason, TimeoutError):
        words = "no answer in time"
    elif isinstance(reason, ssl.SSLError):
        words = f"no secure connection: {(reason.reason or 'unknown').replace('_', ' ').lower()}"
    elif isinstance(reason, OSError) and reason.strerror:
        words = reason.strerror.lower()
    elif found := re.match(r"Tunnel connection failed: ([0-9]{3})", str(reason)):
        words = f"the proxy answers with HTTP {found[1]}"
    elif isinstance(reason, ConnectionError | http.client.IncompleteRead):
        words = "the connection ended"
    return words
