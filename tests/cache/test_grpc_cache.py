"""A cache that speaks gRPC, as buildbox-casd does: what is kept there comes back, and what fails fails soon and in words."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import interruption
from procession_tasks.cache import bytestream, capabilities, services
from procession_tasks.cache.grpc_cache import GrpcCache
from procession_tasks.cache.reapi import EMPTY, ActionResult, Digest, OutputFile, digest_of
from procession_tasks.cache.remote import Blob, GoneError, RemoteError, WrongBytesError
from procession_tasks.cache.services import ServerCapabilities
from procession_tasks.cache.settings import Access, Endpoint
from procession_tasks.cache.status import StatusError, code_name, failure
from procession_tasks.errors import BuildError

pytestmark = pytest.mark.slow  # a server is started for each

MIB = 1024 * 1024
NOBODY = Access()
KEY = digest_of(b"an action")
TOKEN = "s3cret-t0ken"


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


def blob(content: bytes) -> Blob:
    return Blob(digest_of(content), content)


class Kept:
    """Accepts what has the bytes that its digest says."""

    def __init__(self) -> None:
        self.contents: dict[Digest, bytes] = {}

    def __call__(self, digest: Digest, pieces: Iterable[bytes]) -> None:
        content = b"".join(pieces)
        if digest_of(content) != digest:
            raise WrongBytesError("other bytes")
        self.contents[digest] = content


@pytest.fixture
def opened() -> Iterator[Callable[..., GrpcCache]]:
    with contextlib.ExitStack() as stack:

        def start(url: str, access: Access = NOBODY, instance: str = "") -> GrpcCache:
            cache = GrpcCache(Endpoint(url, instance, access))
            stack.callback(cache.close)
            return cache

        yield start


def test_blobs_of_any_size_come_back_as_they_were_sent(casd: Any, opened: Any, tmp_path: Path) -> None:
    sizes = (0, 1, 1000, 65536, MIB - 1, MIB, MIB + 1, 5 * MIB + 7)
    blobs = [blob(noise(size)) for size in sizes]
    file = tmp_path / "file"
    file.write_bytes(noise(3 * MIB, 1))
    blobs += [Blob(digest_of(file.read_bytes()), file)]
    cache, kept = opened(casd().url), Kept()

    cache.send(blobs)
    cache.fetch([one.digest for one in blobs], kept)

    assert kept.contents == {one.digest: one.read() for one in blobs}


def test_more_blobs_than_one_message_holds_come_back(casd: Any, opened: Any) -> None:
    blobs = [blob(noise(3000, number)) for number in range(3000)]
    cache, kept = opened(casd().url), Kept()

    cache.send(blobs)
    cache.fetch([one.digest for one in blobs], kept)

    assert len(kept.contents) == 3000


def test_what_stands_twice_is_handed_over_once(casd: Any, opened: Any) -> None:
    one = blob(b"once")
    cache = opened(casd().url)
    accepted: list[Digest] = []

    cache.send([one, one])
    cache.fetch([one.digest, one.digest], lambda digest, _: accepted.append(digest))

    assert accepted == [one.digest]


def test_the_empty_blob_is_neither_sent_nor_asked_for(opened: Any) -> None:
    cache, kept = opened("grpc://127.0.0.1:1"), Kept()  # where nobody answers

    cache.send([Blob(EMPTY, b"")])
    cache.fetch([EMPTY], kept)

    assert kept.contents == {EMPTY: b""}
    assert cache.find_missing([EMPTY]) == set()


def test_only_what_is_not_there_is_missing(casd: Any, opened: Any) -> None:
    there, elsewhere = blob(b"there"), digest_of(b"elsewhere")
    cache = opened(casd().url)

    cache.send([there])

    assert cache.find_missing([there.digest, elsewhere, EMPTY]) == {elsewhere}


def test_a_result_comes_back_and_an_unknown_one_is_none(casd: Any, opened: Any) -> None:
    one = blob(b"output")
    result = ActionResult(output_files=(OutputFile("build/out", one.digest, is_executable=True),), stdout_raw=b"said")
    cache = opened(casd().url)

    assert cache.result(KEY) is None
    cache.send([one])
    cache.put_result(KEY, result)

    found = cache.result(KEY)
    assert found is not None
    assert (found.output_files, found.stdout_raw) == (result.output_files, b"said")


def test_many_threads_share_a_cache(casd: Any, opened: Any) -> None:
    cache = opened(casd().url)

    def work(number: int) -> None:
        mine, kept = [blob(noise(2000, number)), blob(noise(2 * MIB, number))], Kept()
        cache.send(mine)
        cache.fetch([one.digest for one in mine], kept)
        assert len(kept.contents) == 2
        assert cache.result(digest_of(bytes(number))) is None

    interruption.few_at_once(work, range(12), 6)


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_a_blob_that_is_not_there_is_gone(size: int, casd: Any, opened: Any) -> None:
    with pytest.raises(GoneError, match="is not there any more"):
        opened(casd().url).fetch([Digest("0" * 64, size)], Kept())


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_who_accepts_finds_wrong_bytes(size: int, casd: Any, opened: Any) -> None:
    server = casd()
    one = blob(noise(size))
    cache = opened(server.url)
    cache.send([one])
    stored = next(path for path in server.folder.rglob("*") if path.is_file() and path.stat().st_size == size)
    stored.chmod(0o644)
    stored.write_bytes(bytes(size))

    with pytest.raises(WrongBytesError):
        cache.fetch([one.digest], Kept())
    with pytest.raises(WrongBytesError):
        cache.read(one.digest)


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_what_accepting_raises_comes_through(size: int, casd: Any, opened: Any) -> None:
    def full(_: Digest, pieces: Iterable[bytes]) -> None:
        next(iter(pieces))
        raise OSError(28, "no space left on device")

    one = blob(noise(size))
    cache = opened(casd().url)
    cache.send([one])

    with pytest.raises(OSError, match="no space left"):
        cache.fetch([one.digest], full)


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_bytes_that_changed_since_they_were_digested_are_not_kept(size: int, casd: Any, opened: Any) -> None:
    with pytest.raises(RemoteError, match="another digest") as raised:
        opened(casd().url).send([Blob(digest_of(noise(size)), bytes(size))])
    assert not raised.value.lasts


@pytest.mark.parametrize("size", [1000, 3 * MIB])
def test_a_file_that_went_or_shrank_is_not_sent(size: int, casd: Any, opened: Any, tmp_path: Path) -> None:
    cache = opened(casd().url)
    digest = digest_of(noise(size))
    short = tmp_path / "short"
    short.write_bytes(b"short")

    with pytest.raises(RemoteError, match="gone cannot be read to be sent"):
        cache.send([Blob(digest, tmp_path / "gone")])
    with pytest.raises(RemoteError, match="has become shorter|another digest"):
        cache.send([Blob(digest, short)])


def test_a_server_that_never_stops_is_stopped() -> None:
    endless = (services.ReadResponse(bytes(1000)) for _ in itertools.count())

    with pytest.raises(WrongBytesError, match="is longer than it is said to be"):
        list(bytestream.contents(Digest("0" * 64, 2500), endless))


# Who may do what


def test_who_may_only_read_cannot_write(grpc_front: Any, authority: Any, opened: Any) -> None:
    server = grpc_front(token=TOKEN, read_token="reader")
    writer, reader = (opened(server.url, Access(t, authority=authority.certificate)) for t in (TOKEN, "reader"))
    one, kept = blob(b"output"), Kept()
    writer.send([one])
    writer.put_result(KEY, ActionResult(stdout_raw=b"said"))

    reader.fetch([one.digest], kept)
    assert kept.contents
    assert reader.result(KEY) is not None
    for refused in (lambda: reader.put_result(KEY, ActionResult()), lambda: reader.send([blob(b"other")])):
        with pytest.raises(RemoteError, match=r"^does not let us \(permission denied\)$") as raised:
            refused()
        assert raised.value.lasts


@pytest.mark.parametrize("token", [None, "wrong-t0ken"])
def test_who_is_not_known_learns_that_and_the_token_is_not_told(
    token: str | None, grpc_front: Any, authority: Any, opened: Any
) -> None:
    server = grpc_front(token=TOKEN, read_token="reader")

    with pytest.raises(RemoteError, match=r"^does not know us \(unauthenticated\)$") as raised:
        opened(server.url, Access(token, authority=authority.certificate)).result(KEY)
    assert raised.value.lasts


def test_a_server_that_the_machine_does_not_trust_is_not_asked(grpc_front: Any, opened: Any) -> None:
    with pytest.raises(RemoteError, match="^its certificate is not good$") as raised:
        opened(grpc_front().url, Access(TOKEN)).result(KEY)
    assert raised.value.lasts


def test_the_machine_may_be_told_whom_to_trust(
    grpc_front: Any, authority: Any, opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))

    assert opened(grpc_front().url).result(KEY) is None


def test_a_certificate_for_another_host_is_refused(grpc_front: Any, authority: Any, opened: Any) -> None:
    server = grpc_front(wrong_name=True)

    with pytest.raises(RemoteError, match="^its certificate is for another host$") as raised:
        opened(server.url, Access(authority=authority.certificate)).result(KEY)
    assert raised.value.lasts


def test_a_server_may_want_our_certificate(grpc_front: Any, authority: Any, opened: Any) -> None:
    server = grpc_front(client_ca=True)
    certificate, key = authority.client("builder")
    access = Access(authority=authority.certificate, certificate=certificate, keyfile=key)

    assert opened(server.url, access).result(KEY) is None
    with pytest.raises(RemoteError, match="refuses the call|does not take our certificate") as raised:
        opened(server.url, Access(authority=authority.certificate)).result(KEY)
    assert raised.value.lasts


@pytest.mark.parametrize("which", ["authority", "certificate"])
def test_what_is_no_certificate_is_named(which: str, authority: Any, tmp_path: Path) -> None:
    certificate, key = authority.client("builder")
    broken = tmp_path / "broken.pem"
    broken.write_text("no PEM\n")
    paths = {"authority": authority.certificate, "certificate": certificate, "keyfile": key} | {which: broken}

    with pytest.raises(BuildError, match="broken.pem: must be in PEM and without a password, got something else"):
        GrpcCache(Endpoint("grpcs://localhost:1", "", Access(**paths)))


def test_a_token_that_no_header_can_hold_is_refused_without_saying_it() -> None:
    with pytest.raises(BuildError, match="^the token must be one line of ASCII$"):
        GrpcCache(Endpoint("grpc://localhost:1", "", Access(f"{TOKEN}\n")))


# Servers that are none, or others


def test_an_unknown_instance_is_named(casd: Any, opened: Any) -> None:
    with pytest.raises(RemoteError, match="has no instance of the name 'main'") as raised:
        opened(casd().url, instance="main").result(KEY)
    assert raised.value.lasts


@pytest.mark.parametrize(("tls", "scheme"), [(False, "grpc"), (True, "grpcs")])
def test_a_server_that_speaks_only_http_is_told(
    *, tls: bool, scheme: str, nginx: Any, authority: Any, opened: Any
) -> None:
    url = nginx(tls=tls).url
    access = Access(authority=authority.certificate)

    with pytest.raises(RemoteError, match="^does not speak gRPC$") as raised:
        opened(f"{scheme}://{url.partition('://')[2]}", access).result(KEY)
    assert raised.value.lasts


def test_a_server_that_speaks_no_tls_is_told(casd: Any, opened: Any) -> None:
    with pytest.raises(RemoteError, match="^does not speak TLS$") as raised:
        opened(casd().url.replace("grpc:", "grpcs:")).result(KEY)
    assert raised.value.lasts


def test_a_url_with_a_path_is_refused() -> None:
    with pytest.raises(
        BuildError, match=r"grpc://host:1: must be a host alone for gRPC, got /main\n  hint: set the inst"
    ):
        GrpcCache(Endpoint("grpc://host:1/main", "", NOBODY))


def test_without_grpcio_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)

    with pytest.raises(BuildError, match="the URL needs the package grpcio") as raised:
        GrpcCache(Endpoint("grpc://localhost:1", "", NOBODY))
    assert raised.value.hint == "pip install 'procession-tasks[remote]'"


def server(**changes: Any) -> ServerCapabilities:
    good = {
        "cache_capabilities": services.CacheCapabilities(
            (services.SHA256,), services.ActionCacheUpdateCapabilities(update_enabled=True)
        ),
        "execution_capabilities": services.ExecutionCapabilities(services.SHA256, exec_enabled=True),
        "low_api_version": services.SemVer(2, 0),
        "high_api_version": services.SemVer(2, 3),
    }
    return ServerCapabilities(**(good | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cache_capabilities": None}, "is no cache"),
        ({"cache_capabilities": services.CacheCapabilities((2, 9, 77))}, "must know digests by SHA256, got SHA1, BLAKE3, number 77"),
        ({"cache_capabilities": services.CacheCapabilities()}, "must know digests by SHA256, got none"),
        ({"low_api_version": services.SemVer(3, 0), "high_api_version": services.SemVer(3, 4)}, "must speak version 2 of the API, got 3.0 to 3.4"),
        ({"high_api_version": services.SemVer(1, 9), "low_api_version": services.SemVer(1)}, "must speak version 2 of the API, got 1.0 to 1.9"),
        ({"execution_capabilities": None}, "executes nothing"),
        ({"execution_capabilities": services.ExecutionCapabilities(services.SHA256)}, "executes nothing"),
        ({"execution_capabilities": services.ExecutionCapabilities(2, exec_enabled=True)}, "must know digests by SHA256, got SHA1"),
    ],
)  # fmt: skip
def test_a_server_that_cannot_do_what_we_need_is_told_what_is_missing(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RemoteError) as raised:
        capabilities.check_engine(server(**changes))
    assert str(raised.value) == message
    assert raised.value.lasts


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"low_api_version": services.SemVer(3), "high_api_version": services.SemVer(3), "deprecated_api_version": services.SemVer(2)},
        {"low_api_version": None, "high_api_version": None},
        {"execution_capabilities": services.ExecutionCapabilities(2, exec_enabled=True, digest_functions=(2, services.SHA256))},
    ],
)  # fmt: skip
def test_a_server_that_can_is_taken(changes: dict[str, Any]) -> None:
    capabilities.check_engine(server(**changes))


@pytest.mark.parametrize(("named", "limit"), [(0, 4 * MIB), (-1, 4 * MIB), (64 * MIB, 4 * MIB), (MIB, MIB), (10, 0)])
def test_a_batch_is_never_larger_than_a_message(named: int, limit: int) -> None:
    cache = services.CacheCapabilities((services.SHA256,), max_batch_total_size_bytes=named)
    most = capabilities.batch_limit(server(cache_capabilities=cache))
    assert max(0, limit - 128 * 1024) <= most <= limit


def test_a_server_that_takes_few_bytes_at_once_gets_streams(casd: Any, opened: Any) -> None:
    cache, kept = opened(casd().url), Kept()
    little = services.CacheCapabilities((services.SHA256,), max_batch_total_size_bytes=66 * 1024)
    cache._capabilities = server(cache_capabilities=little)
    blobs = [blob(noise(size)) for size in (1, 1000, 5000, 5001)]

    cache.send(blobs)
    cache.fetch([one.digest for one in blobs], kept)

    assert len(kept.contents) == 4


def test_a_server_that_takes_no_results_is_not_sent_any(casd: Any, opened: Any) -> None:
    cache = opened(casd().url)
    cache._capabilities = server(cache_capabilities=services.CacheCapabilities((services.SHA256,)))

    with pytest.raises(RemoteError, match="takes no results from clients") as raised:
        cache.put_result(KEY, ActionResult())
    assert raised.value.lasts


# Failures that pass


def soon(do: Callable[[], object], within: float) -> RemoteError:
    """Have something fail in time."""
    started = time.monotonic()
    with pytest.raises(RemoteError) as raised:
        do()
    assert time.monotonic() - started < within
    assert not raised.value.lasts
    return raised.value


def test_a_server_that_is_not_there_is_told_at_once_and_found_when_it_is_back(casd: Any, opened: Any) -> None:
    behind = casd()
    cache = opened(behind.url)
    assert cache.result(KEY) is None
    behind.stop()

    assert "nobody answers (connection refused)" in {str(soon(lambda: cache.result(KEY), 1)) for _ in range(3)}
    behind.start()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with contextlib.suppress(RemoteError):
            assert cache.result(KEY) is None
            break
        time.sleep(0.1)
    else:
        pytest.fail("not found again")


def test_a_host_without_an_address_is_told(opened: Any) -> None:
    assert str(soon(lambda: opened("grpc://nowhere.invalid:1").result(KEY), 5)) == "no such host"


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_hangs_from_the_start_is_given_up(
    *, tls: bool, casd: Any, grpc_front: Any, authority: Any, faulty: Any, opened: Any
) -> None:
    proxy = faulty(grpc_front().url if tls else casd().url)
    proxy.hang()

    error = soon(lambda: opened(proxy.url, Access(authority=authority.certificate)).result(KEY), 6)
    assert str(error) == "no answer in time"


@pytest.fixture
def begun(casd: Any, faulty: Any, opened: Any) -> tuple[GrpcCache, Any, Blob]:
    """A cache with a large blob, behind a proxy that will fail."""
    proxy = faulty(casd().url)
    cache = opened(proxy.url)
    large = blob(noise(8 * MIB))
    cache.send([large])
    return cache, proxy, large


def test_a_server_that_hangs_in_the_middle_is_given_up(begun: tuple[GrpcCache, Any, Blob]) -> None:
    cache, proxy, large = begun
    other = blob(noise(8 * MIB, 1))
    assert cache.find_missing([other.digest])
    proxy.hang()

    assert str(soon(lambda: cache.fetch([large.digest], Kept()), 6)) == "no answer in time"
    assert str(soon(lambda: cache._write(other), 6)) == "no answer in time"
    proxy.heal()


def test_a_server_that_answers_too_slowly_is_given_up(begun: tuple[GrpcCache, Any, Blob], opened: Any) -> None:
    cache, proxy, _ = begun
    small = blob(noise(300_000))
    cache.send([small])
    proxy.trickle(20_000)

    assert str(soon(lambda: cache.fetch([small.digest], Kept()), 9)) == "no answer in time"


@pytest.mark.parametrize("fault", ["truncate", "reset"])
def test_an_answer_that_ends_early_is_told(fault: str, begun: tuple[GrpcCache, Any, Blob]) -> None:
    cache, proxy, large = begun
    proxy.truncate(300_000) if fault == "truncate" else proxy.reset()

    assert str(soon(lambda: cache.fetch([large.digest], Kept()), 3)) == "the connection broke"
    proxy.heal()
    time.sleep(0.3)
    cache.fetch([large.digest], Kept())


def test_a_connection_that_ends_in_an_upload_is_told(begun: tuple[GrpcCache, Any, Blob]) -> None:
    cache, proxy, _ = begun
    proxy.cut_uploads(300_000)

    assert str(soon(lambda: cache.send([blob(noise(8 * MIB, 1))]), 3)) == "the connection broke"


@pytest.mark.parametrize("way", ["ask", "read", "write"])
def test_who_asks_to_stop_waits_for_no_server(
    way: str, begun: tuple[GrpcCache, Any, Blob], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, proxy, large = begun
    asked = threading.Event()
    monkeypatch.setattr(interruption, "_asked", asked)
    other = blob(noise(8 * MIB, 1))
    ways = {
        "ask": lambda: cache.result(KEY),
        "read": lambda: cache._read(large.digest, Kept()),
        "write": lambda: cache._write(other),
    }
    proxy.hang()
    threading.Timer(0.3, asked.set).start()
    started = time.monotonic()

    with pytest.raises(interruption.InterruptedWorkError):
        ways[way]()
    assert time.monotonic() - started < 1.5
    proxy.heal()


def test_a_closed_cache_says_so(casd: Any, opened: Any) -> None:
    cache = opened(casd().url)
    cache.close()

    with pytest.raises(RemoteError, match="the connection is closed"):
        cache.result(KEY)


def test_nothing_is_printed_when_a_server_fails(
    casd: Any, opened: Any, faulty: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    proxy = faulty(casd().url)
    cache = opened(proxy.url)
    gone = Blob(Digest("0" * 64, 3 * MIB), tmp_path / "gone")
    for do in (
        lambda: cache.send([gone]),
        lambda: opened(proxy.url.replace("grpc:", "grpcs:")).result(KEY),
        lambda: (proxy.reset(), cache.result(KEY)),
    ):
        with pytest.raises(RemoteError):
            do()

    assert capfd.readouterr() == ("", "")


# Words


@pytest.mark.parametrize(
    ("code", "details", "words", "lasts"),
    [
        ("UNAUTHENTICATED", "token s3cret is wrong", "does not know us (unauthenticated)", True),
        ("PERMISSION_DENIED", "", "does not let us (permission denied)", True),
        ("UNIMPLEMENTED", "Received http2 header with status: 404", "does not know the call (unimplemented)", True),
        ("INVALID_ARGUMENT", "", "takes the call for wrong (invalid argument)", True),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "no answer in time", False),
        ("RESOURCE_EXHAUSTED", "", "has no room for it (resource exhausted)", False),
        ("DATA_LOSS", "at /secret/place", "failed (data loss)", False),
        ("UNAVAILABLE", "whatever", "is not there at the moment (unavailable)", False),
        ("UNAVAILABLE", "Received http2 header with status: 503", "is not there at the moment (HTTP 503)", False),
        ("UNAVAILABLE", "Received http2 header with status: 429", "is not there at the moment (HTTP 429)", False),
        ("INTERNAL", "Received http2 header with status: 400", "refuses the call (HTTP 400)", True),
        ("UNAVAILABLE", "SSLV3_ALERT_BAD_CERTIFICATE: Invalid certificate verification context", "does not take our certificate", True),
    ],
)  # fmt: skip
def test_a_failure_is_told_in_words_of_ours_alone(code: str, details: str, words: str, *, lasts: bool) -> None:
    error = failure(code, details)

    assert isinstance(error, StatusError)
    assert (str(error), error.code, error.lasts) == (words, code, lasts)


def test_codes_have_the_names_that_grpc_gives_them() -> None:
    import grpc

    assert {code.value[0]: code.name for code in grpc.StatusCode} == {n: code_name(n) for n in range(17)}
    assert (code_name(17), code_name(-1)) == ("UNKNOWN", "UNKNOWN")


def test_no_descriptor_is_left_open(casd: Any, opened: Any) -> None:
    cache = opened(casd().url)
    large = blob(noise(3 * MIB))
    cache.send([large])
    cache.fetch([large.digest], Kept())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        cache.fetch([large.digest], Kept())

    assert len(os.listdir("/proc/self/fd")) <= before + 1
