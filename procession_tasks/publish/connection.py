"""Sends HTTP requests to registries and to what they redirect to.

TLS is verified always; plain HTTP goes to this machine, and where it was asked for.  Messages
name the host alone: addresses of uploads and of proxies hold secrets.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import ssl
import threading
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Protocol
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ProxyError, SSLError
from urllib3.exceptions import TimeoutError as UrllibTimeoutError

from procession_tasks import interruption
from procession_tasks.errors import BuildError
from procession_tasks.publish.failure import PassingError, seconds
from procession_tasks.publish.trust import trust
from procession_tasks.web import is_loopback, pool

CONNECT_TIMEOUT_S = 15.0
TIMEOUT_S = 60.0  # for an answer to begin: a registry verifies a large blob before it answers
AT_ONCE = 4
_OK = 200
_PIECE = 256 * 1024
_ANSWER_LIMIT = 4 * 1024 * 1024  # what registries take for a manifest
_REDIRECTION_LIMIT = 5
_REPEAT = (307, 308)
_MOVED = (301, 302, 303, *_REPEAT)
_PASSING = (408, 425, 429)  # the server was waiting or is asked too often; RFC 9110, 8470 and 6585
_SERVER_ERROR = 500
_PORTS = {"https": 443, "http": 80}
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")  # as versions of OpenSSL say it
_SERVE = "serve the registry over TLS, or push with --insecure"
_LEAD = "have the registry, or the proxy before it, tell HTTPS addresses"


class Body(Protocol):
    """What is sent: `size` bytes, from their begin each time they are iterated."""

    size: int

    def __iter__(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered; `url` is where it came from, after redirections."""

    status: int
    url: str
    headers: urllib3.HTTPHeaderDict
    body: bytes


class Connection:
    """Connections to hosts, which stay open; several threads may use them.

    `plain_hosts` may be spoken to without TLS, like this machine, if they know none.
    """

    def __init__(self, environment: Mapping[str, str], plain_hosts: Collection[str] = ()) -> None:
        self._environment = environment
        self._plain_hosts = plain_hosts
        self._without_tls: set[str] = set()
        self._managers: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        into: IO[bytes] | None = None,
    ) -> Answer:
        """Send a request, follow redirections, and return what is answered.

        What answers well with a body of any length is written `into` a file, if one is given, and is not in the
        answer.  Another host than the first gets no Authorization header.  Raises PassingError when nobody
        answers and for answers that ask for patience (429, 5xx), BuildError for what does not
        pass: bad certificates, plain HTTP.
        """
        headers = {"User-Agent": "procession-tasks", **(headers or {})}
        for _ in range(_REDIRECTION_LIMIT):
            answer = _patient(self._send(method, url, headers, body, into))
            location = answer.headers.get("Location")
            if not location or answer.status not in (_MOVED if method in ("GET", "HEAD") else _REPEAT):
                return answer
            target = urljoin(answer.url, location)
            if server(target) != server(answer.url):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise BuildError(f"{urlsplit(url).netloc}: must not redirect more than {_REDIRECTION_LIMIT} times")

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None, into: IO[bytes] | None
    ) -> Answer:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        may_be_plain = is_loopback(host) or host in self._plain_hosts
        if parts.scheme == "https" and host in self._without_tls:
            parts = parts._replace(scheme="http")
        if parts.scheme != "https" and not (parts.scheme == "http" and may_be_plain):
            raise BuildError(f"{host or 'a redirection'}: must be reached over HTTPS, got {parts.scheme}", hint=_LEAD)
        try:
            return self._exchange(method, parts.geturl(), headers, body, into)
        except SSLError as error:
            if not (may_be_plain and _knows_no_tls(error)):
                raise _unanswered(host, error) from None
        except (HTTPError, OSError, http.client.HTTPException) as error:
            raise _unanswered(host, error) from None
        self._without_tls.add(host)  # nothing but the greeting has been sent
        return self._send(method, url, headers, body, into)

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None, into: IO[bytes] | None
    ) -> Answer:
        interruption.check()
        if body is not None and not isinstance(body, bytes):
            headers = {**headers, "Content-Length": str(body.size)}
        response = self._manager(url).request(
            method, url, body=body, headers=headers, redirect=False, retries=False, preload_content=False
        )
        with contextlib.closing(response):
            if into is not None and response.status == _OK:
                for piece in response.stream(_PIECE, decode_content=False):
                    interruption.check()
                    into.write(piece)
            content = response.read(_ANSWER_LIMIT + 1)
            if len(content) <= _ANSWER_LIMIT:
                response.drain_conn()
                response.release_conn()
                return Answer(response.status, url, response.headers, content)
        raise BuildError(f"{urlsplit(url).netloc}: must answer with at most {_ANSWER_LIMIT} bytes, got more")

    def _manager(self, url: str) -> urllib3.PoolManager:
        """Return the connections to a host; certificates and proxies are its own."""
        parts = urlsplit(url)
        with self._lock:
            key = (parts.scheme, parts.netloc)
            if key not in self._managers:
                self._managers[key] = self._made(parts.scheme, parts.netloc)
            return self._managers[key]

    def _made(self, scheme: str, host: str) -> urllib3.PoolManager:
        context = trust(host, self._environment) if scheme == "https" else None
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=TIMEOUT_S)
        return pool(scheme, host, self._environment, context, timeout, AT_ONCE)


def server(url: str) -> tuple[str, int | None]:
    """Return what is equal for URLs of one server: its host, and its port unless it is the scheme's own."""
    parts = urlsplit(url)
    return parts.hostname or "", None if parts.port == _PORTS.get(parts.scheme) else parts.port


def _patient(answer: Answer) -> Answer:
    if answer.status < _SERVER_ERROR and answer.status not in _PASSING:
        return answer
    what = f"HTTP {answer.status} {http.client.responses.get(answer.status, '')}".rstrip()
    after = seconds(answer.headers.get("Retry-After"), datetime.now(UTC))
    asks = f"; it asks to wait {after:.0f} seconds" if after else ""
    raise PassingError(f"{urlsplit(answer.url).netloc}: {what}{asks}", hint="try again later", after=after)


def _unanswered(host: str, error: Exception) -> BuildError:
    """Tell what failed, in words that hold nothing of the address."""
    if _knows_no_tls(error):
        return BuildError(f"{host}: must be reached over HTTPS, got plain HTTP", hint=_SERVE)
    lasts = _reason(error, ssl.SSLCertVerificationError)
    if isinstance(lasts, ssl.SSLCertVerificationError):
        words = lasts.verify_message.partition(",")[0].lower()
        hint = f"put the certificate of its authority into ~/.config/containers/certs.d/{host}/ca.crt"
        return BuildError(f"{host}: its certificate is not good: {words}", hint=hint)
    return PassingError(f"{host}: {_words(error)}", hint="see whether the registry works and its name is right")


def _knows_no_tls(error: Exception) -> bool:
    """Tell whether what came for an answer is not TLS at all."""
    reason = _reason(error, ssl.SSLError)
    return isinstance(reason, ssl.SSLError) and reason.reason in _NO_TLS


def _words(error: Exception) -> str:
    system = _reason(error, OSError)
    if found := re.search(r"Tunnel connection failed: ([0-9]{3})", str(error)):
        return f"the proxy answers with HTTP {found[1]}"
    if isinstance(system, TimeoutError) or (system is None and isinstance(error, UrllibTimeoutError)):
        words = "no answer in time"
    elif isinstance(system, ssl.SSLError):
        words = f"no secure connection: {(system.reason or 'unknown').replace('_', ' ').lower()}"
    elif isinstance(system, OSError) and system.strerror:
        words = system.strerror.lower()
    else:
        words = "the connection ended"
    return f"the proxy: {words}" if isinstance(error, ProxyError) else words


def _reason(error: BaseException | None, kind: type[Exception]) -> BaseException | None:
    """Find what a failure comes from, in what the library has wrapped around it."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        if isinstance(one, kind) and not isinstance(one, HTTPError):
            return one
        seen.add(id(one))
        waiting += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
    return None
