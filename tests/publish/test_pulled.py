"""Fetching blobs of a repository, from Debian's docker-registry and from one that fails as it is told."""

from __future__ import annotations

from typing import Any

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.publish.pulled import PulledBlobs
from procession_tasks.publish.push import push
from procession_tasks.publish.registry import Registry

LAYER = b"layer" * 1_000_000  # more than an answer may have that is kept in memory


@pytest.fixture
def layout(write: Any) -> Any:
    return write.image("api", [LAYER])


def pulled(host: str, environment: dict[str, str], layout: Any) -> PulledBlobs:
    """Push the layout, and return what can be fetched of it."""
    push(layout, Registry(host, environment), "team/api", ["1"])
    return PulledBlobs(Registry(host, environment), "team/api")


def read(blobs: PulledBlobs, digest: str) -> bytes:
    found = blobs.open(digest)
    assert found is not None
    with found:
        return found.read()


def test_everything_that_was_pushed_can_be_fetched(docker_registry: Any, environment: Any, layout: Any) -> None:
    blobs = pulled(docker_registry.host, environment, layout)
    assert blobs.name == f"{docker_registry.host}/team/api"
    for blob in (layout.top, *layout.children(layout.top)):
        assert read(blobs, blob.digest) == layout.path(blob.digest).read_bytes()
    assert blobs.open(f"sha256:{'0' * 64}") is None
    assert PulledBlobs(Registry(docker_registry.host, environment), "nobody/s").open(layout.top.digest) is None


def test_a_connection_that_ends_is_made_again_and_nothing_stays_of_before(
    faulty: Any, environment: Any, layout: Any
) -> None:
    blobs, layer = pulled(faulty.host, environment, layout), layout.children(layout.top)[1]
    faulty.fail("GET .*blobs", lose=True)
    faulty.fail("GET .*blobs", status=503)
    faulty.fail("GET .*blobs", status=200, headers=(("Content-Length", "900"),), content=b"begun")
    assert read(blobs, layer.digest) == LAYER


def test_blobs_may_be_elsewhere(faulty: Any, environment: Any, layout: Any) -> None:
    blobs, layer = pulled(faulty.host, environment, layout), layout.children(layout.top)[1]
    faulty.redirect("GET .*blobs", 307)
    assert read(blobs, layer.digest) == LAYER
    assert faulty.asked[-1].startswith("GET /moved/")


def test_no_more_than_reading_is_asked_for(faulty: Any, environment: Any, layout: Any, log_in: Any) -> None:
    pulled(faulty.host, environment, layout)
    log_in(environment, faulty.host)
    faulty.login = ("Basic cHVzaGVyOnBhc3M6d29yZA==", "")
    read(PulledBlobs(Registry(faulty.host, environment), "team/api"), layout.top.digest)
    assert [asked.rpartition(" ")[2] for asked in faulty.tokens_given] == ["repository:team/api:pull"]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "must know who pulls, got HTTP 401 Unauthorized"),
        (403, "must allow this user to pull, got HTTP 403 Forbidden"),
        (400, "got HTTP 400 Bad Request"),
    ],
)
def test_a_registry_that_gives_nothing_is_told(
    faulty: Any, environment: Any, layout: Any, status: int, told: str
) -> None:
    blobs = pulled(faulty.host, environment, layout)
    faulty.fail("GET .*blobs", times=2, status=status)
    with pytest.raises(BuildError, match=told):
        blobs.open(layout.top.digest)
