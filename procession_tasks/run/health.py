"""Asks a container from this machine whether it serves."""

from __future__ import annotations

import http.client
import socket
import time

from procession_tasks.run.container import Container

_PATIENCE_S = 2.0
_LINGER_S = 0.1
_MOST = 64 * 1024
_OK = 200


def trouble(container: Container) -> str | None:
    """Ask once, and say what is wrong; None for a container that serves, or that nobody says how to ask.

    An engine accepts connections before the container does, and then hangs up: a connection alone says nothing.
    """
    health = container.health
    if health is None:
        return None
    port = container.binding(health.port).host_port
    try:
        if health.path is not None:
            return _http(port, health.path)
        return _tcp(port, (health.send or "").encode(), (health.expect or "").encode())
    except (OSError, http.client.HTTPException) as error:
        return f"127.0.0.1:{port}: {str(error).strip() or type(error).__name__}"


def _http(port: int, path: str) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        status = connection.getresponse().status
    finally:
        connection.close()
    return None if status == _OK else f"http://127.0.0.1:{port}{path}: status {status}"


def _tcp(port: int, send: bytes, expect: bytes) -> str | None:
    deadline = time.monotonic() + (_PATIENCE_S if expect else _LINGER_S)
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as stream:
        stream.sendall(send)
        while expect not in said or not expect:
            left = deadline - time.monotonic()
            if left <= 0 or len(said) > _MOST:
                break
            stream.settimeout(left)
            try:
                more = stream.recv(4096)
            except TimeoutError:
                break
            if not more:
                return f"127.0.0.1:{port}: hung up after {said!r}"
            said += more
    return None if expect in said else f"127.0.0.1:{port}: answers {said!r}, which has no {expect!r}"
