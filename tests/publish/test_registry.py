"""Registries that answer late, wrongly, or not at all, and the ways to them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.publish import connection, failure
from procession_tasks.publish.connection import server
from procession_tasks.publish.failure import seconds
from procession_tasks.publish.push import push
from procession_tasks.publish.registry import Registry

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WRONG = f"sha256:{'0' * 64}"


class Bench:
    """An image, and a registry to push it to."""

    def __init__(self, faulty: Any, environment: dict[str, str], layout: Any) -> None:
        self.faulty = faulty
        self.environment = environment
        self.layout = layout
        self.place = f"{faulty.host}/team/api"

    def push(self, **how: Any) -> Any:
        return push(self.layout, Registry(self.faulty.host, self.environment), "team/api", ["1"], **how)

    def failure(self, **how: Any) -> BuildError:
        """Why a push fails; the next one works."""
        with pytest.raises(BuildError) as failed:
            self.push(**how)
        self.push()
        assert self.faulty.manifests["team/api"].keys() == {"1", self.layout.top.digest}
        return failed.value


@pytest.fixture
def bench(faulty: Any, environment: dict[str, str], write: Any) -> Bench:
    return Bench(faulty, environment, write.image("api", [b"layer"]))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("request_", ["HEAD .*manifests", "HEAD .*blobs", "PUT .*manifests"])
def test_a_registry_that_asks_for_patience_gets_it(bench: Bench, request_: str, status: int) -> None:
    bench.faulty.fail(request_, times=3, status=status)

    assert bench.push().manifests == 1


@pytest.mark.parametrize("request_", ["HEAD .*manifests", "HEAD .*blobs", "PUT .*manifests"])
def test_an_answer_that_is_lost_is_asked_for_again(bench: Bench, request_: str) -> None:
    bench.faulty.fail(request_, times=3, lose=True)

    assert bench.push().manifests == 1


def test_patience_ends(bench: Bench) -> None:
    bench.faulty.fail("HEAD", times=4, status=429)
    failed = bench.failure()

    assert failed.message == f"{bench.faulty.host}: HTTP 429 Too Many Requests"
    assert failed.hint == "try again later"


def test_a_wait_is_as_long_as_the_registry_asks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(failure, "_WAITS_S", (1.0, 2.0, 4.0))
    monkeypatch.setattr(failure, "_pause", waits.append)
    for headers in ((), (("Retry-After", "7"),), (("Retry-After", "3"),)):
        bench.faulty.fail("HEAD .*manifests/1", status=503, headers=headers)
    bench.push()

    assert waits == [1, 7, 4]


def test_a_registry_that_wants_to_be_left_alone_for_long_is_left_alone(bench: Bench) -> None:
    bench.faulty.fail("HEAD", status=429, headers=(("Retry-After", "3600"),))
    failed = bench.failure()

    assert failed.message == f"{bench.faulty.host}: HTTP 429 Too Many Requests; it asks to wait 3600 seconds"


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        ("120", 120),
        (" 5 ", 5),
        ("Fri, 02 Jan 2026 03:05:05 GMT", 60),
        ("Fri, 02 Jan 2026 03:04:00 GMT", 0),
        ("Fri, 02 Jan 2026 03:05:05 -0000", 60),
        ("soon", 0),
        ("-1", 0),
        ("1.5", 0),
        ("²", 0),
    ],
)
def test_how_long_to_wait_is_seconds_or_a_date(header: str | None, wait: float) -> None:
    assert seconds(header, NOW) == wait


@pytest.mark.parametrize(
    ("request_", "status", "content", "message"),
    [
        (
            "POST",
            404,
            b'{"errors": [{"code": "NAME_UNKNOWN", "message": "repository name not known to registry"}]}',
            "must be a repository of a registry, got HTTP 404 Not Found (NAME_UNKNOWN: repository name not known to registry)",
        ),
        (
            "PUT .*manifests",
            400,
            b'{"errors": [{"code": "MANIFEST_INVALID"}]}',
            "must be taken by the registry, got HTTP 400 Bad Request (MANIFEST_INVALID)",
        ),
        ("PUT .*manifests", 413, b"<html>", "must be taken by the registry, got HTTP 413 Request Entity Too Large"),
        ("PUT .*manifests", 405, b'{"errors": []}', "must be taken by the registry, got HTTP 405 Method Not Allowed"),
        ("PUT .*manifests", 200, b"", "must be taken by the registry, got HTTP 200 OK"),
        (
            "PUT .*manifests",
            400,
            b'{"errors": [{"code": "X", "message": "a\\u001b[31m\\nb"}]}',
            "must be taken by the registry, got HTTP 400 Bad Request (X: a [31m b)",
        ),
        ("HEAD .*blobs", 400, b"", "must be taken by the registry, got HTTP 400 Bad Request"),
    ],
)
def test_a_refusal_is_told_with_the_registrys_reason(
    bench: Bench, request_: str, status: int, content: bytes, message: str
) -> None:
    bench.faulty.fail(request_, times=2 if request_ == "POST" else 1, status=status, content=content)

    assert bench.failure().message == f"{bench.place}: {message}"


def test_a_wrong_digest_for_a_manifest_is_told(bench: Bench) -> None:
    bench.faulty.fail("PUT .*manifests", digest=WRONG)
    with pytest.raises(BuildError) as failed:
        bench.push()

    assert (
        failed.value.message
        == f"{bench.place}: must have stored what it was sent, {bench.layout.top.digest}, got {WRONG}"
    )


def test_a_registry_that_tells_no_digests_is_asked_for_the_manifest(bench: Bench, write: Any) -> None:
    bench.faulty.hides_digests = True
    bench.push()
    bench.faulty.asked.clear()

    assert bench.push().manifests == 0
    assert bench.faulty.asked == ["HEAD /v2/team/api/manifests/1", "GET /v2/team/api/manifests/1"]
    bench.layout = write.image("other", [b"other"])
    with pytest.raises(BuildError, match="must not be moved to another image"):
        bench.push()


def test_a_digest_that_is_none_is_not_repeated(bench: Bench) -> None:
    bench.push()
    bench.faulty.fail("HEAD", digest="\x1b[31mred")
    bench.faulty.asked.clear()

    assert bench.push().manifests == 0
    assert bench.faulty.asked == ["HEAD /v2/team/api/manifests/1", "GET /v2/team/api/manifests/1"]


def test_who_asks_is_told_as_the_program(bench: Bench) -> None:
    bench.push()

    assert {headers["User-Agent"] for headers in bench.faulty.headers} == {"procession-tasks"}


def test_a_large_answer_is_not_read_to_its_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_ANSWER_LIMIT", 1000)
    bench.faulty.fail("PUT .*manifests", status=400, content=b"x" * 1001)

    assert bench.failure().message == f"{bench.faulty.host}: must answer with at most 1000 bytes, got more"


def test_what_is_no_registry_is_told(environment: dict[str, str], bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(BuildError) as refused:
        push(bench.layout, Registry(f"127.0.0.1:{port}", environment), "api", ["1"])
    with pytest.raises(BuildError) as unknown:
        push(bench.layout, Registry("registry.invalid", environment), "api", ["1"])

    assert refused.value.message == f"127.0.0.1:{port}: connection refused"
    assert unknown.value.message.startswith("registry.invalid: ")
    assert "name" in unknown.value.message


def test_plain_http_is_for_this_machine_and_who_asks_for_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.setattr(connection, "is_loopback", lambda host: False)  # as if it were another machine
    with pytest.raises(
        BuildError, match=f"{bench.faulty.host}: must be reached over HTTPS, got plain HTTP\n  hint: .* --insecure"
    ):
        bench.push()
    assert bench.faulty.asked == []
    registry = Registry(bench.faulty.host, environment, insecure=True)

    assert push(bench.layout, registry, "team/api", ["1"]).manifests == 1


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_a_proxy_of_the_environment_is_used(name: str, bench: Bench, new_faulty: Callable[[], Any]) -> None:
    proxy = new_faulty()
    environment = {**bench.environment, name: f"http://user:pass%20word@{proxy.host}"}
    with pytest.raises(BuildError) as failed:
        push(bench.layout, Registry("registry.invalid", environment), "api", ["1"])

    assert "pass" not in str(failed.value)
    assert failed.value.message.startswith("registry.invalid: the proxy")


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("https://registry.example/a", "https://registry.example/b?c", True),
        ("https://registry.example", "https://registry.example:443/", True),
        ("https://registry.example:5000", "https://REGISTRY.example:5000/", True),
        ("https://registry.example", "https://registry.example:5000", False),
        ("https://registry.example", "https://registry.example.evil.example", False),
        ("https://registry.example", "https://registry.example@evil.example", False),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001", False),
    ],
)
def test_a_server_is_a_host_and_a_port(one: str, other: str, *, are_same: bool) -> None:
    assert (server(one) == server(other)) == are_same
