"""Showing a registry who asks: challenges, passwords and tokens."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.publish.authorization import parse_challenges
from procession_tasks.publish.push import push
from procession_tasks.publish.registry import Registry

BASIC = "Basic " + base64.b64encode(b"pusher:pass:word").decode()
OWN = "repository:team/api:pull,push"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], []),
        ([""], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a b"'], [("basic", {"realm": "a b"})]),
        (["BASIC Realm=plain"], [("basic", {"realm": "plain"})]),
        (
            ['Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a:pull,push"'],
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "registry.example",
                        "scope": "repository:a:pull,push",
                    },
                )
            ],
        ),
        (['Bearer realm="a" , service = "b"'], [("bearer", {"realm": "a", "service": "b"})]),
        ([r'Bearer realm="say \"a\", \\ b"'], [("bearer", {"realm": r'say "a", \ b'})]),
        (
            ['Basic realm="a", Bearer realm="b",service="c"'],
            [("basic", {"realm": "a"}), ("bearer", {"realm": "b", "service": "c"})],
        ),
        (['Basic realm="a"', 'Bearer realm="b"'], [("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        (['Negotiate, Bearer realm=""'], [("negotiate", {}), ("bearer", {"realm": ""})]),
    ],
)
def test_challenges_are_read(headers: list[str], found: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, one.parameters) for one in parse_challenges(headers)] == found


class Bench:
    """A registry that wants tokens, and somebody who has logged in to it."""

    def __init__(self, faulty: Any, environment: dict[str, str], layout: Any) -> None:
        self.faulty = faulty
        self.layout = layout
        self.registry = Registry(faulty.host, environment)

    def push(self, path: str = "team/api", **how: Any) -> Any:
        return push(self.layout, self.registry, path, ["1"], **how)

    def failure(self) -> BuildError:
        with pytest.raises(BuildError) as failed:
            self.push()
        assert "pass" not in str(failed.value)
        return failed.value

    def shown(self) -> list[str]:
        """How the registry was shown who asks, request by request."""
        both = zip(self.faulty.asked, self.faulty.headers, strict=True)
        return [headers.get("Authorization", "") for asked, headers in both if "/v2/" in asked]


@pytest.fixture
def bench(faulty: Any, environment: dict[str, str], write: Any, log_in: Callable[..., None]) -> Bench:
    faulty.login = (BASIC,)
    log_in(environment, faulty.host)
    return Bench(faulty, environment, write.image("api", [b"layer"]))


def test_a_token_is_asked_for_once(bench: Bench) -> None:
    bench.push()

    assert bench.faulty.tokens_given == [f"GET {BASIC} registry.example {OWN}"]
    bench.faulty.asked.clear()
    bench.push()
    assert bench.faulty.asked == ["HEAD /v2/team/api/manifests/1"]


def test_each_repository_has_a_token_of_its_own(bench: Bench) -> None:
    bench.push()
    bench.push("team/iam")

    assert bench.faulty.tokens_given[1:] == [f"GET {BASIC} registry.example repository:team/iam:pull,push"]


def test_a_mount_needs_a_token_for_both_repositories(bench: Bench) -> None:
    bench.push("team/iam")
    pushed = bench.push(neighbours={"team/iam": bench.layout})

    assert pushed.mounted.blobs == 2
    assert bench.faulty.tokens_given[1:] == [
        f"GET {BASIC} registry.example {OWN}",
        f"GET {BASIC} registry.example {OWN} repository:team/iam:pull",
    ]


def test_a_token_that_the_registry_takes_no_more_is_renewed(bench: Bench) -> None:
    bench.push()
    bench.faulty.valid.clear()
    bench.push()

    assert bench.shown()[-2:] == ["Bearer token1", "Bearer token2"]


def test_a_token_that_expires_before_each_request_is_renewed_before_each(bench: Bench) -> None:
    bench.faulty.expires_in = 0.000001
    bench.push()

    assert "team/api" in bench.faulty.manifests
    shown = bench.shown()[1:]
    assert len(shown) == len(set(shown))


def test_a_token_that_expires_in_the_middle_of_a_blob_is_renewed(
    bench: Bench, write: Any, make_layer: Callable[..., bytes]
) -> None:
    bench.layout = write.image("large", [make_layer("large", 3_000_000)])
    bench.faulty.fail("PATCH ", status=401, headers=(("WWW-Authenticate", bench.faulty.challenge),))
    bench.push()

    assert len(bench.faulty.tokens_given) == 2
    assert bench.faulty.manifests["team/api"].keys() == {"1", bench.layout.top.digest}


def test_tokens_that_are_never_good_enough_end_the_push(bench: Bench) -> None:
    bench.faulty.fail("/v2/", times=100, status=401, headers=(("WWW-Authenticate", bench.faulty.challenge),))
    failure = bench.failure()

    assert failure.message == f"{bench.faulty.host}/team/api: must know who pushes, got HTTP 401 Unauthorized"
    assert failure.hint == f"podman login {bench.faulty.host}"
    assert len(bench.faulty.tokens_given) == 1


def test_who_has_not_logged_in_asks_for_a_token_of_everybody(
    faulty: Any, environment: dict[str, str], write: Any
) -> None:
    faulty.login = ("",)
    Bench(faulty, environment, write.image("api", [b"layer"])).push()

    assert faulty.tokens_given == [f"GET  registry.example {OWN}"]


def test_an_identity_token_is_exchanged(
    faulty: Any, environment: dict[str, str], write: Any, log_in: Callable[..., None]
) -> None:
    faulty.login = ("long-lived",)
    log_in(environment, faulty.host, identitytoken="long-lived")
    Bench(faulty, environment, write.image("api", [b"layer"])).push()

    assert faulty.tokens_given == [f"POST long-lived registry.example {OWN}"]
    assert not any(headers.get("Authorization", "").startswith("Basic") for headers in faulty.headers)


def test_a_token_service_that_does_not_know_the_user_is_told(bench: Bench) -> None:
    bench.faulty.login = ("somebody else",)
    failure = bench.failure()

    assert failure.message == f"{bench.faulty.host}: its token service must take the credential, got HTTP 401"
    assert failure.hint == f"podman login {bench.faulty.host}"
    bench.faulty.login = (BASIC,)
    bench.push()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"token": ""}', b'{"token": "a\\nb"}', b'{"token": "a", "expires_in": "x"}']
)
def test_a_token_service_that_answers_something_else_is_told(bench: Bench, content: bytes) -> None:
    bench.faulty.fail("/token", status=200, content=content)

    assert bench.failure().message.startswith(f"{bench.faulty.host}: its token service must answer with a token")


def test_a_token_service_that_asks_for_patience_gets_it(bench: Bench) -> None:
    bench.faulty.fail("/token", times=2, status=503)

    assert bench.push().manifests == 1


def test_a_token_may_be_called_an_access_token(bench: Bench) -> None:
    bench.faulty.valid.add("other")
    bench.faulty.fail("/token", status=200, content=json.dumps({"access_token": "other"}).encode())

    assert bench.push().manifests == 1


def test_a_password_is_not_sent_to_a_token_service_over_plain_http(bench: Bench) -> None:
    challenge = 'Bearer realm="http://registry.example/token",service="x"'
    bench.faulty.fail("/v2/", status=401, headers=(("WWW-Authenticate", challenge),))

    assert bench.failure().message == "registry.example: must be reached over HTTPS, got http"


def test_another_host_that_wants_to_be_shown_who_asks_is_shown_nothing(
    bench: Bench, new_faulty: Callable[[], Any]
) -> None:
    storage = new_faulty()
    storage.login = (BASIC,)
    bench.faulty.redirect("HEAD .*blobs", 307, f"http://{storage.host}")

    assert "must know who pushes, got HTTP 401" in bench.failure().message
    assert storage.tokens_given == []
    assert not any("Authorization" in headers for headers in storage.headers)


def test_who_may_not_push_there_is_told(bench: Bench) -> None:
    denied = b'{"errors": [{"code": "DENIED", "message": "requested access is denied"}]}'
    bench.faulty.fail("POST", times=2, status=403, content=denied)
    failure = bench.failure()

    place = f"{bench.faulty.host}/team/api"
    said = "HTTP 403 Forbidden (DENIED: requested access is denied)"
    assert failure.message == f"{place}: must allow this user to push, got {said}"
    assert failure.hint == f"podman login {bench.faulty.host}, as a user who may push there"
