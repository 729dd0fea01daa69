"""Blobs that come into a registry over connections that break, stall, and lead elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from procession_tasks import interruption
from procession_tasks.errors import BuildError
from procession_tasks.image.layout import Layout
from procession_tasks.interruption import InterruptedWorkError
from procession_tasks.publish import connection
from procession_tasks.publish.push import push
from procession_tasks.publish.registry import Registry
from procession_tasks.publish.upload import upload_blob

pytestmark = pytest.mark.slow

LARGE = 3_000_000
PATCH, FINISH, STATUS, BEGIN = "PATCH .*uploads", "PUT .*uploads", "GET .*uploads", "POST .*uploads"


class Bench:
    """A large blob, a registry to upload it to, and what was told of the progress."""

    def __init__(self, faulty: Any, environment: dict[str, str], layout: Layout) -> None:
        self.faulty = faulty
        self.environment = environment
        self.layout = layout
        self.blob = layout.children(layout.top)[1]
        self.content = layout.path(self.blob.digest).read_bytes()
        self.advanced: list[int] = []

    def upload(self, *others: str) -> bool:
        registry = Registry(self.faulty.host, self.environment)
        file = self.layout.path(self.blob.digest)
        return upload_blob(registry, "team/api", self.blob, file, others, self.advanced.append)

    def is_there(self) -> bool:
        """Tell whether the registry has it, and the progress adds up."""
        return (
            self.faulty.blobs.get("team/api") == {self.blob.digest: self.content}
            and sum(self.advanced) == self.blob.size
        )

    def failure(self) -> str:
        """Why the upload fails; no address of an upload is told."""
        with pytest.raises(BuildError) as failed:
            self.upload()
        assert "uploads/" not in str(failed.value)
        assert "state=" not in str(failed.value)
        return failed.value.message

    @property
    def asked(self) -> list[str]:
        """What the registry was asked, by method, with the part that was sent."""
        both = zip(self.faulty.asked, self.faulty.headers, strict=True)
        return [f"{asked.split()[0]} {headers.get('Content-Range', '')}".rstrip() for asked, headers in both]


@pytest.fixture
def bench(faulty: Any, environment: dict[str, str], write: Any, make_layer: Callable[..., bytes]) -> Bench:
    return Bench(faulty, environment, write.image("api", [make_layer("large", LARGE)]))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take half a second of nothing for no answer."""
    monkeypatch.setattr(connection, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.5)  # for sending, too


def test_a_large_blob_is_sent_and_then_finished(bench: Bench) -> None:
    assert bench.upload()
    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "PUT"]


def test_a_small_blob_is_sent_with_the_request_that_finishes_it(
    faulty: Any, environment: dict[str, str], write: Any, make_layer: Callable[..., bytes]
) -> None:
    bench = Bench(faulty, environment, write.image("small", [make_layer("small", 10)]))
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST", "PUT"]


@pytest.mark.parametrize("cut", [1, 2, 1_000_000, LARGE])
def test_a_broken_upload_is_continued_where_the_registry_has_come_to(bench: Bench, cut: int) -> None:
    bench.faulty.fail(PATCH, cut=cut)
    bench.upload()

    assert bench.is_there()
    rest = {1: ["PATCH"], LARGE: []}.get(cut, [f"PATCH {cut}-{LARGE - 1}"])
    if cut == 1:  # a registry that has one byte says the same as one that has none
        assert bench.asked[:4] == ["POST", "PATCH", "GET", "PATCH"]
    else:
        assert bench.asked == ["POST", "PATCH", "GET", *rest, "PUT"]


def test_what_is_left_and_small_finishes_the_upload(bench: Bench) -> None:
    bench.faulty.fail(PATCH, cut=LARGE - 10)
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "GET", f"PUT {LARGE - 10}-{LARGE - 1}"]


def test_an_upload_breaks_several_times_and_ends(bench: Bench) -> None:
    bench.faulty.fail(PATCH, cut=900_000)
    bench.faulty.fail(PATCH, cut=100_000)
    bench.faulty.fail(STATUS, status=503)
    bench.upload()

    assert bench.is_there()
    assert bench.asked[-2:] == [f"PATCH 1000000-{LARGE - 1}", "PUT"]


def test_an_upload_that_the_registry_has_forgotten_begins_anew(bench: Bench) -> None:
    bench.faulty.fail(PATCH, cut=900_000, forget=True)
    bench.faulty.fail(STATUS, forget=True)
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "GET", "HEAD", "POST", "PATCH", "PUT"]


def test_an_answer_that_is_lost_is_not_paid_for_twice(bench: Bench) -> None:
    bench.faulty.fail(FINISH, lose=True)
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "PUT", "GET", "HEAD"]


def test_a_part_whose_answer_is_lost_is_not_sent_again(bench: Bench) -> None:
    bench.faulty.fail(PATCH, lose=True)
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "GET", "PUT"]


def test_what_was_put_together_wrongly_is_sent_as_a_whole(bench: Bench) -> None:
    bench.faulty.fail(PATCH, cut=1_000_000)
    bench.faulty.fail(FINISH, status=400, content=b'{"errors": [{"code": "DIGEST_INVALID"}]}')
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "GET", f"PATCH 1000000-{LARGE - 1}", "PUT", "HEAD", "POST", "PATCH", "PUT"]


def test_what_was_sent_as_a_whole_and_is_wrong_is_told(bench: Bench) -> None:
    bench.faulty.fail(FINISH, status=400, content=b'{"errors": [{"code": "DIGEST_INVALID"}]}')

    said = "HTTP 400 Bad Request (DIGEST_INVALID)"
    assert bench.failure() == f"{bench.faulty.host}/team/api: must be taken by the registry, got {said}"


def test_a_registry_that_takes_a_part_gets_the_rest(bench: Bench) -> None:
    bench.faulty.fail(PATCH, take=1_000_000)
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "GET", f"PATCH 1000000-{LARGE - 1}", "PUT"]


def test_a_registry_that_has_more_than_there_is_gets_all_anew(bench: Bench) -> None:
    bench.faulty.fail(PATCH, cut=1_000_000)
    bench.faulty.fail(STATUS, status=204, headers=(("Range", f"0-{LARGE}"),))
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "GET", "HEAD", "POST", "PATCH", "PUT"]


def test_a_part_that_the_registry_has_already_is_found_out(bench: Bench) -> None:
    bench.faulty.fail(PATCH, status=416, headers=(("Range", "0-99"),))
    bench.upload()

    assert bench.is_there()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("request_", [BEGIN, PATCH, FINISH])
def test_a_registry_that_asks_for_patience_gets_it(bench: Bench, request_: str, status: int) -> None:
    bench.faulty.fail(request_, times=2, status=status)
    bench.upload()

    assert bench.is_there()


def test_a_registry_that_stays_out_of_order_is_told_in_the_end(bench: Bench) -> None:
    bench.faulty.fail(PATCH, times=4, status=503)
    assert bench.failure() == f"{bench.faulty.host}: HTTP 503 Service Unavailable"

    bench.advanced.clear()
    bench.upload()
    assert bench.is_there()


@pytest.mark.usefixtures("impatient")
def test_a_registry_that_stalls_in_the_middle_of_a_blob_is_left_and_asked_again(bench: Bench) -> None:
    bench.faulty.fail(PATCH, stall=1_000_000)
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "GET", f"PATCH 1000000-{LARGE - 1}", "PUT"]


@pytest.mark.usefixtures("impatient")
def test_a_registry_that_stalls_always_is_told_and_a_repeat_works(bench: Bench) -> None:
    bench.faulty.fail(PATCH, times=4, stall=0)
    assert bench.failure() == f"{bench.faulty.host}: no answer in time"

    bench.advanced.clear()
    bench.upload()
    assert bench.is_there()


def test_who_stops_an_upload_stops_it_while_nothing_moves(bench: Bench, stopping: threading.Event) -> None:
    bench.faulty.fail(PATCH, stall=1_000_000)

    def stop() -> None:
        while not any(asked.startswith("PATCH") for asked in bench.faulty.asked):
            time.sleep(0.01)
        interruption.ask()

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(InterruptedWorkError):
        push(bench.layout, Registry(bench.faulty.host, bench.environment), "team/api", ["1"])
    assert bench.faulty.manifests["team/api"] == {}
    stopping.clear()
    push(bench.layout, Registry(bench.faulty.host, bench.environment), "team/api", ["1"])
    assert bench.layout.top.digest in bench.faulty.manifests["team/api"]


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have an event of its own that says whether to stop."""
    event = threading.Event()
    monkeypatch.setattr(interruption, "_asked", event)
    yield event
    event.set()


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("request_", [BEGIN, PATCH, FINISH, STATUS])
def test_a_redirection_to_another_path_is_followed(bench: Bench, request_: str, status: int) -> None:
    bench.faulty.fail(PATCH, cut=1_000_000)
    bench.upload()  # to learn where the upload of the next try will be
    bench.faulty.blobs.clear()
    bench.advanced.clear()
    bench.faulty.fail(PATCH, cut=1_000_000)
    bench.faulty.redirect(request_, status)
    bench.upload()

    assert bench.is_there()


def test_an_upload_may_go_to_another_host_which_does_not_learn_who_sends(
    bench: Bench, new_faulty: Callable[[], Any], log_in: Callable[..., None]
) -> None:
    storage = new_faulty()
    storage.uploads = bench.faulty.uploads
    storage.blobs = bench.faulty.blobs
    bench.faulty.location = f"http://{storage.host}"
    log_in(bench.environment, bench.faulty.host)
    bench.upload()

    assert bench.is_there()
    assert bench.asked == ["POST"]
    assert [asked.split()[0] for asked in storage.asked] == ["PATCH", "PUT"]
    assert bench.faulty.headers[0]["Authorization"].startswith("Basic ")
    assert not any("Authorization" in headers for headers in storage.headers)


def test_an_upload_that_is_redirected_to_another_host_does_not_tell_who_sends(
    bench: Bench, new_faulty: Callable[[], Any], log_in: Callable[..., None]
) -> None:
    storage = new_faulty()
    storage.uploads = bench.faulty.uploads
    storage.blobs = bench.faulty.blobs
    bench.faulty.redirect(PATCH, 307, f"http://{storage.host}")
    log_in(bench.environment, bench.faulty.host)
    bench.upload()

    assert bench.is_there()
    assert not any("Authorization" in headers for headers in storage.headers)
    assert all("Authorization" in headers for headers in bench.faulty.headers)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("http://registry.example/elsewhere", "registry.example: must be reached over HTTPS, got http"),
        ("file:///etc/passwd", "a redirection: must be reached over HTTPS, got file"),
    ],
)
def test_a_redirection_to_plain_http_elsewhere_is_not_followed(bench: Bench, location: str, message: str) -> None:
    for how in (
        {"status": 202, "headers": (("Location", location),)},
        {"status": 307, "headers": (("Location", location),)},
    ):
        bench.faulty.fail(BEGIN, **how)
        assert bench.failure() == message
    assert set(bench.advanced) <= {0}


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirection_that_would_drop_what_is_sent_is_not_followed(bench: Bench, status: int) -> None:
    bench.faulty.fail(BEGIN, status=status, headers=(("Location", "/v2/team/api/blobs/uploads/"),))

    assert bench.failure().startswith(f"{bench.faulty.host}/team/api: must be taken by the registry, got HTTP {status}")


def test_redirections_in_a_circle_are_left(bench: Bench) -> None:
    bench.faulty.fail(BEGIN, times=5, status=307, headers=(("Location", "/v2/team/api/blobs/uploads/"),))

    assert bench.failure() == f"{bench.faulty.host}: must not redirect more than 5 times"


def test_an_upload_without_a_place_to_go_is_told(bench: Bench) -> None:
    bench.faulty.fail(BEGIN, status=202)

    assert bench.failure() == f"{bench.faulty.host}/team/api: must say where an upload goes, got no Location"


def test_a_wrong_digest_for_a_blob_is_told(bench: Bench) -> None:
    wrong = f"sha256:{'0' * 64}"
    bench.faulty.fail(FINISH, digest=wrong)

    assert (
        bench.failure()
        == f"{bench.faulty.host}/team/api: must have stored what it was sent, {bench.blob.digest}, got {wrong}"
    )


def test_a_blob_is_mounted_from_the_first_repository_that_has_it(bench: Bench) -> None:
    bench.faulty.blobs["team/iam"] = {bench.blob.digest: bench.content}

    assert not bench.upload("team/none", "team/iam", "team/more")
    assert bench.is_there()
    assert bench.asked == ["POST", "POST"]


def test_what_cannot_be_mounted_is_uploaded_where_the_registry_has_begun(bench: Bench) -> None:
    assert bench.upload("team/iam")
    assert bench.is_there()
    assert bench.asked == ["POST", "PATCH", "PUT"]


def test_a_repository_that_may_not_be_read_is_no_obstacle(bench: Bench) -> None:
    bench.faulty.unreadable.add("team/iam")

    assert bench.upload("team/iam")
    assert bench.is_there()
