"""Bazel's HTTP protocol, spoken with nginx."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.cache import wire
from procession_tasks.cache.http_cache import HttpCache
from procession_tasks.cache.reapi import EMPTY, ActionResult, Digest, OutputFile, digest_of
from procession_tasks.cache.remote import Blob, GoneError, RemoteError
from procession_tasks.cache.settings import Access, endpoint

SMALL, LARGE = b"small", os.urandom(1) * 3_000_000
KEY = digest_of(b"action")
RESULT = ActionResult(output_files=(OutputFile("out", digest_of(SMALL)),))


def cache(url: str, **access: Any) -> HttpCache:
    return HttpCache(endpoint(url, "", Access(**access)), {})


class Taken(dict[Digest, bytes]):
    """Accepts contents as they come."""

    def __call__(self, digest: Digest, chunks: Any) -> None:
        self[digest] = b"".join(chunks)


def blobs(*contents: bytes) -> list[Blob]:
    return [Blob(digest_of(content), content) for content in contents]


def test_what_is_sent_can_be_fetched(nginx: Callable[..., Any]) -> None:
    server = nginx()
    sender, receiver, taken = cache(server.url), cache(f"{server.url}/"), Taken()
    sender.send(blobs(SMALL, LARGE, b""))
    sender.put_result(KEY, RESULT)

    assert receiver.result(KEY) == RESULT
    receiver.fetch([digest_of(SMALL), digest_of(LARGE)], taken)
    assert taken == {digest_of(SMALL): SMALL, digest_of(LARGE): LARGE}


def test_a_file_is_sent_as_it_is(nginx: Callable[..., Any], tmp_path: Path) -> None:
    server, taken = nginx(), Taken()
    (tmp_path / "file").write_bytes(LARGE)
    cache(server.url).send([Blob(digest_of(LARGE), tmp_path / "file")])
    cache(server.url).fetch([digest_of(LARGE)], taken)
    assert taken[digest_of(LARGE)] == LARGE


def test_keys_are_where_bazel_puts_them(nginx: Callable[..., Any]) -> None:
    server = nginx()
    there = cache(f"{server.url}/team/main")
    there.send(blobs(SMALL))
    there.put_result(KEY, RESULT)
    assert (server.folder / f"team/main/cas/{digest_of(SMALL).hash}").read_bytes() == SMALL
    assert (server.folder / f"team/main/ac/{KEY.hash}").read_bytes() == wire.encode(RESULT)


def test_what_is_not_there_is_nothing_and_a_missing_content_is_gone(nginx: Callable[..., Any]) -> None:
    there = cache(nginx().url)
    assert there.result(KEY) is None
    with pytest.raises(GoneError):
        there.fetch([digest_of(SMALL)], Taken())


def test_the_empty_content_is_never_sent(nginx: Callable[..., Any]) -> None:
    server = nginx()
    cache(server.url).send([Blob(EMPTY, b"")])
    assert server.log == []


def test_a_large_content_that_is_there_is_not_sent_again(nginx: Callable[..., Any]) -> None:
    server = nginx()
    cache(server.url).send(blobs(LARGE))
    cache(server.url).send(blobs(LARGE))
    assert [line.split()[0] for line in server.log] == ["HEAD", "PUT", "HEAD"]


def test_garbage_is_no_result(nginx: Callable[..., Any]) -> None:
    server = nginx()
    cache(server.url).put_result(KEY, RESULT)
    (server.folder / f"ac/{KEY.hash}").write_bytes(b"<html>not a result</html>")
    with pytest.raises(RemoteError, match="a result is none"):
        cache(server.url).result(KEY)


REFUSALS = [
    ({"token": "right"}, {}, "HTTP 403 Forbidden"),
    ({"token": "right"}, {"token": "wrong"}, "HTTP 403 Forbidden"),
    ({"read_only": True}, {}, "HTTP 403 Forbidden"),
    ({"basic": ("me", "word")}, {"user": "me", "password": "other"}, "HTTP 401 Unauthorized"),
    ({"token": "right", "read_token": "reader"}, {"token": "reader"}, "HTTP 403 Forbidden"),
]


@pytest.mark.parametrize(("options", "access", "words"), REFUSALS)
def test_who_may_not_write_is_told_at_once(
    options: dict[str, Any], access: dict[str, str], words: str, nginx: Callable[..., Any]
) -> None:
    with pytest.raises(RemoteError) as failed:
        cache(nginx(**options).url, **access).send(blobs(SMALL))
    assert (str(failed.value), failed.value.lasts) == (words, True)


GRANTS = [
    ({"token": "right"}, {"token": "right"}),
    ({"basic": ("me", "wo:rd")}, {"user": "me", "password": "wo:rd"}),
    ({"token": "right", "read_token": "reader"}, {"token": "right"}),
]


@pytest.mark.parametrize(("options", "access"), GRANTS)
def test_who_may_write_does(options: dict[str, Any], access: dict[str, str], nginx: Callable[..., Any]) -> None:
    server = nginx(**options)
    cache(server.url, **access).send(blobs(SMALL))
    assert len(server.blobs()) == 1


def test_tls_needs_the_authority_that_vouches(nginx: Callable[..., Any], authority: Any) -> None:
    server = nginx(tls=True)
    with pytest.raises(RemoteError, match="its certificate is not good: ") as failed:
        cache(server.url).result(KEY)
    assert failed.value.lasts
    assert cache(server.url, authority=authority.certificate).result(KEY) is None


def test_a_certificate_of_another_name_is_not_good(nginx: Callable[..., Any], authority: Any) -> None:
    with pytest.raises(RemoteError, match="its certificate is not good: hostname mismatch"):
        cache(nginx(wrong_name=True).url, authority=authority.certificate).result(KEY)


def test_a_server_may_ask_for_a_certificate(nginx: Callable[..., Any], authority: Any) -> None:
    server = nginx(client_ca=True)
    with pytest.raises(RemoteError, match="HTTP 400"):
        cache(server.url, authority=authority.certificate).result(KEY)
    certificate, keyfile = authority.client("developer")
    mine = cache(server.url, authority=authority.certificate, certificate=certificate, keyfile=keyfile)
    assert mine.result(KEY) is None


FAULTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "refuses": (lambda way: way.refuse(), "nobody answers|the connection ended"),
    "resets": (lambda way: way.reset(), "nobody answers|the connection ended"),
    "hangs": (lambda way: way.hang(), "no answer in time"),
    "truncates": (lambda way: way.truncate(1000), "the connection ended"),
    "is slow": (lambda way: way.trickle(20_000), "too slow|no answer in time"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_is_told_within_seconds(
    fault: str, nginx: Callable[..., Any], faulty: Callable[[str], Any]
) -> None:
    content = LARGE[:400_000]
    server = nginx()
    cache(server.url).send(blobs(content))
    way = faulty(server.url)
    there = cache(way.url)
    break_it, words = FAULTS[fault]
    break_it(way)
    started = time.monotonic()
    with pytest.raises(RemoteError, match=words):
        there.fetch([digest_of(content)], Taken())
    assert time.monotonic() - started < 9


class Odd:
    """A server that answers every request with the same bytes, as slowly as it is told to."""

    def __init__(self, answer: bytes, pause: float = 0.0, *, endless: bool = False) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._answer, self._pause, self._endless = answer, pause, endless
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._speak, args=self._listener.accept()[:1], daemon=True).start()

    def _speak(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.recv(65536)
            for at in range(0, len(self._answer), 1 if self._pause else 65536):
                connection.sendall(self._answer[at : at + (1 if self._pause else 65536)])
                time.sleep(self._pause)
            while self._endless:
                connection.sendall(b"x" * 65536)
            connection.recv(1)


ODD = {
    "drips its status": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * 9, 0.2, False),
    "drips a page for what is missing": (
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90000,
        0.05,
        False,
    ),
    "never ends": (b"HTTP/1.1 200 OK\r\n\r\n", 0.0, True),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ODD)
def test_a_server_that_answers_without_end_is_not_listened_to(what: str) -> None:
    answer, pause, endless = ODD[what]
    server = Odd(answer, pause, endless=endless)
    started = time.monotonic()
    with contextlib.suppress(RemoteError):
        assert cache(server.url).result(KEY) is None
    assert time.monotonic() - started < 8
    server.close()


def test_an_upload_that_is_cut_leaves_nothing(nginx: Callable[..., Any], faulty: Callable[[str], Any]) -> None:
    server = nginx()
    way = faulty(server.url)
    way.cut_uploads(100_000)
    with pytest.raises(RemoteError):
        cache(way.url).send(blobs(LARGE))
    assert server.blobs() == []


def test_redirections_are_not_followed(new_mirror: Callable[..., Any], tmp_path: Path) -> None:
    mirror = new_mirror(tmp_path)
    mirror.fail(f"/ac/{KEY.hash}", location="http://127.0.0.1:1/")
    with pytest.raises(RemoteError, match="redirections are not followed"):
        cache(mirror.url, token="secret").result(KEY)


def test_messages_hold_no_secret(new_mirror: Callable[..., Any], tmp_path: Path) -> None:
    mirror = new_mirror(tmp_path)
    there = cache(mirror.url.replace("//", "//me:secret@"))
    assert "secret" not in there.name
    mirror.close()
    with pytest.raises(RemoteError) as failed:
        there.result(KEY)
    assert "secret" not in str(failed.value)
