"""Asking a container whether it serves, and asking this machine who holds a port."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession_tasks.definition.system import Health, Part, Publish
from procession_tasks.errors import BuildError
from procession_tasks.run import health
from procession_tasks.run.health import trouble
from procession_tasks.run.ports import Socket, check_free


@pytest.fixture
def server() -> Iterator[Callable[..., int]]:
    """Serve each connection by a function on a port."""
    sockets: list[socket.socket] = []

    def serve(answer: Callable[[socket.socket], None]) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def work() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        threading.Thread(target=work, daemon=True).start()
        return int(listening.getsockname()[1])

    yield serve
    for one in sockets:
        one.shutdown(socket.SHUT_RDWR)
        one.close()


@pytest.fixture
def asked(make_sample: Any) -> Callable[..., str | None]:
    """Ask a port as an image's health says."""

    def ask(port: int, **how: Any) -> str | None:
        part = Part(publish=(Publish("p", port),), health=Health("p", **how))
        container, _ = make_sample(part=part, ports=[{"name": "p", "protocol": "tcp", "port": 1}])
        return trouble(container)

    return ask


def saying(text: bytes, hears: bytes = b"") -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        while hears and hears not in connection.recv(4096):
            pass
        connection.sendall(text)

    return answer


def waiting(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def test_a_container_that_nobody_says_how_to_ask_is_well(make_sample: Any) -> None:
    assert trouble(make_sample()[0]) is None


def test_over_http_only_200_is_well(server: Any, asked: Any) -> None:
    assert (
        asked(server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"GET /ready?x=1 ")), path="/ready?x=1")
        is None
    )
    port = server(saying(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", b"\r\n\r\n"))
    assert asked(port, path="/") == f"http://127.0.0.1:{port}/: status 503"


def test_what_is_no_http_is_told(server: Any, asked: Any) -> None:
    port = server(saying(b"hello\r\n\r\n", b"\r\n\r\n"))
    assert asked(port, path="/") == f"127.0.0.1:{port}: hello"


def test_over_tcp_the_answer_has_what_is_expected(server: Any, asked: Any) -> None:
    assert asked(server(saying(b"VERSION 1\r\n", b"version\r\n")), send="version\r\n", expect="VERSION") is None
    assert asked(server(saying(b"5.5.5-10.11-MariaDB\0")), expect="MariaDB") is None
    port = server(saying(b"ERROR\r\n", b"version\r\n"))
    assert asked(port, send="version\r\n", expect="VERSION") == f"127.0.0.1:{port}: hung up after b'ERROR\\r\\n'"


def test_one_that_says_nothing_is_not_waited_for_in_vain(server: Any, asked: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(health, "_PATIENCE_S", 0.2)
    port = server(waiting)
    assert asked(port, expect="hello") == f"127.0.0.1:{port}: answers b'', which has no b'hello'"
    assert "timed out" in str(asked(port, path="/"))


def test_a_connection_that_stays_is_well_and_one_that_is_dropped_is_not(server: Any, asked: Any) -> None:
    assert asked(server(waiting)) is None
    port = server(lambda _: None)
    assert asked(port) == f"127.0.0.1:{port}: hung up after b''"


def test_nobody_there_is_told(asked: Any) -> None:
    with socket.socket() as bound:  # bound, so nobody else gets it, and not listening
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert "Connection refused" in str(asked(port))
        assert "Connection refused" in str(asked(port, path="/"))


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_taken_is_told_with_its_process(make_sample: Any, address: str) -> None:
    with socket.create_server((address, 0)) as listening:
        port = listening.getsockname()[1]
        part = Part(publish=(Publish("p", port),))
        container, _ = make_sample(part=part, ports=[{"name": "p", "protocol": "tcp", "port": 1}])
        with pytest.raises(BuildError) as caught:
            check_free([container], frozenset())
        message = str(caught.value)
        assert message.startswith(f"sample-api: port {port} of 127.0.0.1 must be free for p, got ")
        assert f"(process {os.getpid()})\n  hint: stop it, or choose another" in message
        check_free([container], frozenset({Socket("tcp", port)}))  # held by what is to be replaced
    check_free([container], frozenset())


def test_ports_of_udp_are_looked_at_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        taken = Socket("udp", bound.getsockname()[1])
        assert taken.is_taken
        assert taken.holder().endswith(f"(process {os.getpid()})")
    assert not taken.is_taken
