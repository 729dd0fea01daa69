"""A cache that speaks Bazel's HTTP protocol: nginx, bazel-remote, an object store behind either.

``GET`` and ``PUT`` of ``<url>/cas/<sha256>`` are contents and of ``<url>/ac/<sha256>`` results.
Whoever answers vouches for nothing: contents are digested by who accepts them.

Source: Bazel, "Remote Caching", HTTP Caching Protocol.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import ssl
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as UrllibTimeoutError

from procession_tasks import interruption
from procession_tasks.cache import wire
from procession_tasks.cache.reapi import EMPTY, ActionResult, Digest
from procession_tasks.cache.remote import (
    CONNECT_TIMEOUT_S,
    STALL_TIMEOUT_S,
    Accept,
    Blob,
    GoneError,
    Pace,
    RemoteError,
    WrongBytesError,
    patience,
)
from procession_tasks.cache.settings import Endpoint
from procession_tasks.errors import BuildError
from procession_tasks.web import pool

_AT_ONCE = 8
_CHUNK = 256 * 1024
_RESULT_LIMIT = 16 * 1024 * 1024
_SMALL = 64 * 1024
_ASK_FIRST = 64 * 1024  # a content of this size is only sent when it is not there
_OK, _NOT_FOUND, _GONE = 200, 404, 410
_MOVED = range(300, 400)
_PASSING = (408, 425, 429)
_SERVER_ERROR = 500


class HttpCache:
    """Results and contents on a server, by their digests; as `Remote`."""

    knows_directories = False

    def __init__(self, endpoint: Endpoint, environment: Mapping[str, str]) -> None:
        self.name = endpoint.name
        self._url = endpoint.url
        parts = urlsplit(endpoint.url)
        context = _trust(endpoint, environment) if parts.scheme == "https" else None
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=STALL_TIMEOUT_S)
        self._pool = pool(parts.scheme, parts.netloc, environment, context, timeout, _AT_ONCE)
        self._headers = {"User-Agent": "procession-tasks"}
        if endpoint.access.authorization:
            self._headers["Authorization"] = endpoint.access.authorization

    def result(self, key: Digest) -> ActionResult | None:
        """Return what is stored under an action's digest, None when that is nothing; raises RemoteError."""
        found: list[bytes] = []
        self._in_time(lambda _: found.extend(self._result(key)), [key], _SMALL)
        try:
            return wire.decode(ActionResult, found[0]) if found else None
        except ValueError:
            raise WrongBytesError("a result is none") from None

    def put_result(self, key: Digest, result: ActionResult) -> None:
        """Store a result; raises RemoteError."""
        content = wire.encode(result)
        blob = Blob(Digest(key.hash, len(content)), content)
        self._in_time(lambda _: self._put(f"ac/{key.hash}", blob), [key], len(content))

    def fetch(self, digests: Collection[Digest], accept: Accept) -> None:
        """Have contents accepted, in any order; raises RemoteError, and OSError when one cannot be kept."""
        size = sum(digest.size_bytes for digest in digests)
        self._in_time(lambda digest: self._fetch(digest, accept), digests, size)

    def send(self, blobs: Collection[Blob]) -> None:
        """Store contents; large ones only if they are not there.  Raises RemoteError."""
        sent = [blob for blob in blobs if blob.digest != EMPTY]
        self._in_time(self._send, sent, sum(blob.digest.size_bytes for blob in sent))

    def close(self) -> None:
        """Let go of connections."""
        self._pool.clear()

    @staticmethod
    def _in_time(do: Callable[[Any], object], items: Collection[Any], size: int) -> None:
        """Do something with all items, a few at once; an answer that drips is not waited for."""
        try:
            interruption.few_at_once(do, items, _AT_ONCE, patience(size) + CONNECT_TIMEOUT_S)
        except TimeoutError:
            raise RemoteError("too slow") from None

    def _result(self, key: Digest) -> list[bytes]:
        """Return the one answer, or none."""
        with self._answer("GET", f"ac/{key.hash}") as response:
            if response.status in (_NOT_FOUND, _GONE):
                return []
            _expect(response)
            content = bytearray()
            for piece in _pieces(response):
                content += piece
                if len(content) > _RESULT_LIMIT:
                    raise WrongBytesError("a result is larger than any")
            return [bytes(content)]

    def _fetch(self, digest: Digest, accept: Accept) -> None:
        with self._answer("GET", f"cas/{digest.hash}") as response:
            if response.status in (_NOT_FOUND, _GONE):
                raise GoneError("a blob is not there, though a result names it")
            _expect(response)
            accept(digest, _pieces(response))

    def _send(self, blob: Blob) -> None:
        if blob.digest.size_bytes >= _ASK_FIRST:
            with self._answer("HEAD", f"cas/{blob.digest.hash}") as response:
                if response.status == _OK:
                    return
        self._put(f"cas/{blob.digest.hash}", blob)

    def _put(self, path: str, blob: Blob) -> None:
        size = blob.digest.size_bytes
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        with self._answer("PUT", path, headers, _paced(blob)) as response:
            _expect(response)

    @contextlib.contextmanager
    def _answer(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Iterator[bytes] | None = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Send a request; no redirection is followed, which could lead a credential astray."""
        interruption.check()
        url, sent = f"{self._url}/{path}", {**self._headers, **(headers or {})}
        try:
            response = self._pool.request(
                method, url, body=body, headers=sent, redirect=False, retries=False, preload_content=False
            )
            with contextlib.closing(response):
                yield response
                if not response.read1(_SMALL, decode_content=False) or not response.read1(_SMALL, decode_content=False):
                    response.release_conn()  # all was read: the connection can be used again
        except (HTTPError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
            raise _unanswered(error) from None


def _pieces(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Read an answer as it comes."""
    pace = Pace()
    # Not in whole chunks: a server that drips would be waited for until one is full.
    while piece := response.read1(_CHUNK, decode_content=False):
        interruption.check()
        pace.advance(len(piece))
        yield piece


def _paced(blob: Blob) -> Iterator[bytes]:
    pace = Pace()
    for chunk in blob.chunks():
        interruption.check()
        yield chunk
        pace.advance(len(chunk))


def _expect(response: urllib3.BaseHTTPResponse) -> None:
    """Take success alone; raises RemoteError for anything else."""
    status = response.status
    if _OK <= status < _MOVED.start:
        return
    words = f"HTTP {status} {http.client.responses.get(status, '')}".rstrip()
    if status in _MOVED:
        words += " (redirections are not followed)"
    raise RemoteError(words, lasts=status < _SERVER_ERROR and status not in _PASSING)


def _unanswered(error: Exception) -> RemoteError:
    """Say what happened in words that hold nothing of the address."""
    if isinstance(error, SSLError | ssl.SSLError):
        return RemoteError(_tls_words(error), lasts=True)
    if isinstance(error, NewConnectionError):
        return RemoteError("nobody answers")
    if isinstance(error, UrllibTimeoutError | TimeoutError):
        return RemoteError("no answer in time")
    return RemoteError("the connection ended")


def _tls_words(error: BaseException) -> str:
    reason = error.args[0] if error.args else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {reason.verify_message.partition(',')[0].lower()}"
    what = getattr(reason, "reason", None)
    return (
        f"no secure connection: {what.replace('_', ' ').lower()}" if isinstance(what, str) else "no secure connection"
    )


def _trust(endpoint: Endpoint, environment: Mapping[str, str]) -> ssl.SSLContext:
    """Trust the authority that is named, else those of the machine."""
    access = endpoint.access
    context = ssl.create_default_context()
    named = [environment.get("SSL_CERT_FILE"), access.authority]
    for file in [one for one in named if one]:
        with _readable(file):
            context.load_verify_locations(file)
    if access.certificate:
        with _readable(access.certificate):
            context.load_cert_chain(access.certificate, access.keyfile)
    return context


@contextlib.contextmanager
def _readable(file: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = "something else" if isinstance(error, ssl.SSLError) else os.strerror(error.errno or 0).lower()
        raise BuildError(f"{file}: must be a certificate in PEM that can be read, got {what}") from None
