"""Calls to a server that speaks gRPC: every one ends in time, when the user asks to stop, and in plain words.

The package grpcio is imported by who opens a channel, and by nobody else.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from procession_tasks import interruption, web
from procession_tasks.cache import wire
from procession_tasks.cache.remote import CONNECT_TIMEOUT_S, STALL_TIMEOUT_S, RemoteError
from procession_tasks.cache.settings import Access, Endpoint
from procession_tasks.cache.status import StatusError, failure
from procession_tasks.cache.watch import Watch
from procession_tasks.errors import BuildError

M = TypeVar("M")

_LOOK_S = 0.1
_OPTIONS = (
    ("grpc.primary_user_agent", "procession-tasks"),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),  # who asks again waits anyhow
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT_S * 1000)),
    ("grpc.keepalive_time_ms", 60_000),  # servers end a connection on which there are more
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.use_local_subchannel_pool", 1),  # closed is closed, though another channel leads there
)


class Channel:
    """Calls to one server, from any thread; a connection is made by the first.

    All of them raise RemoteError, and InterruptedWorkError a moment after the user asked to stop.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Raise BuildError without grpcio, and for files and tokens that are none."""
        self._grpc = _grpc()
        self._metadata = _metadata(endpoint.access)
        self._channel = _opened(self._grpc, endpoint)

    def ask(self, method: str, request: Any, kind: type[M], seconds: float = STALL_TIMEOUT_S) -> M:
        """Send one message and return the answer."""
        with self._begun("unary_unary", method, request, seconds, future=True) as call:
            while True:
                try:
                    return _decoded(kind, call.result(_LOOK_S))
                except self._grpc.FutureTimeoutError:
                    interruption.check()
                except self._grpc.RpcError as error:
                    raise _failure(error) from None

    @contextlib.contextmanager
    def listen(
        self, method: str, request: Any, kind: type[M], *, most: float, stall: float | None = None
    ) -> Iterator[Iterator[M]]:
        """Send one message and read many, for `most` seconds, none of them after more than `stall`.

        Whoever leaves the block early gives up the call.
        """
        watch = Watch(stall)
        with self._begun("unary_stream", method, request, most) as call, watch.over(call):
            yield self._pieces(call, watch, kind)

    def tell(self, method: str, requests: Iterable[Any], kind: type[M], *, most: float) -> M:
        """Send many messages, for `most` seconds and none that takes too long, and return the one answer."""
        watch = Watch()
        passed_on = watch.passed_on(requests)
        with self._begun("stream_unary", method, passed_on, most, future=True) as call, watch.over(call):
            try:
                return _decoded(kind, call.result())
            except (self._grpc.RpcError, self._grpc.FutureCancelledError) as error:
                raise watch.reason(_failure(error)) from None

    def close(self) -> None:
        """End the connection, and calls that are under way."""
        self._channel.close()

    def _pieces(self, call: Any, watch: Watch, kind: type[M]) -> Iterator[M]:
        while True:
            watch.wait()
            try:
                content = next(call, None)
            except self._grpc.RpcError as error:
                raise watch.reason(_failure(error)) from None
            watch.rest()
            if content is None:
                return
            yield _decoded(kind, content)

    @contextlib.contextmanager
    def _begun(self, way: str, method: str, request: Any, seconds: float, *, future: bool = False) -> Iterator[Any]:
        """Begin a call that is given up at the end of the block, if it has not ended by then."""
        try:
            callable_ = getattr(self._channel, way)(f"/{method}", request_serializer=wire.encode)
            begin = callable_.future if future else callable_
            call = begin(request, timeout=seconds, metadata=self._metadata)
        except ValueError:
            raise RemoteError("the connection is closed") from None
        try:
            yield call
        finally:
            call.cancel()


def _grpc() -> Any:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what fails is said by who called
    try:
        import grpc  # only a gRPC server needs it, and it takes longer than a build with nothing to do
    except ImportError:
        hint = "pip install 'procession-tasks[remote]'"
        raise BuildError("the URL needs the package grpcio", hint=hint) from None
    return grpc


def _opened(grpc: Any, endpoint: Endpoint) -> Any:
    scheme, _, rest = endpoint.url.partition("://")
    host, _, path = rest.partition("/")
    if path:
        raise BuildError(
            f"{endpoint.name}: must be a host alone for gRPC, got /{path}", hint="set the instance instead"
        )
    secure = scheme == "grpcs"
    options = [*_OPTIONS, ("grpc.enable_http_proxy", int(not web.is_loopback(host)))]
    target = host if host.rpartition("]")[2].rpartition(":")[2].isdigit() else f"{host}:{443 if secure else 80}"
    if not secure:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(*_certificates(endpoint.access)), options)


def _certificates(access: Access) -> tuple[bytes | None, bytes | None, bytes | None]:
    """Return whom to trust, our key and our certificate; OpenSSL judges them, because gRPC says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority = access.authority
    trusted = _read(authority, partial(context.load_verify_locations, authority)) if authority else _trusted()
    if access.certificate is None or access.keyfile is None:
        return trusted, None, None
    load = partial(context.load_cert_chain, access.certificate, access.keyfile, password=b"")
    certificate = _read(access.certificate, load)
    return trusted, _read(access.keyfile, load), certificate


def _read(path: Path, judge: partial[None]) -> bytes:
    try:
        judge()
        return path.read_bytes()
    except (OSError, ValueError) as error:
        what = "something else" if isinstance(error, ssl.SSLError) else str(getattr(error, "strerror", error)).lower()
        raise BuildError(f"{path}: must be in PEM and without a password, got {what}") from None


def _trusted() -> bytes | None:
    """Read the authorities that the machine trusts; with none gRPC has its own."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return Path(paths.cafile).read_bytes()
    found = sorted(Path(paths.capath).glob("*.pem")) if paths.capath else []
    return b"\n".join(path.read_bytes() for path in found) or None


def _metadata(access: Access) -> tuple[tuple[str, str], ...]:
    header = access.authorization
    if header and not (header.isascii() and header.isprintable()):
        raise BuildError("the token must be one line of ASCII")
    return (("authorization", header),) if header else ()


def _decoded(kind: type[M], content: bytes) -> M:
    try:
        return wire.decode(kind, content)
    except ValueError:
        raise StatusError("INTERNAL", "its answer makes no sense") from None


def _failure(error: Any) -> StatusError:
    code = error.code() if hasattr(error, "code") else None
    return failure(code.name if code else "CANCELLED", error.details() or "" if code else "")
