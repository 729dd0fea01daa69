"""Downloads from mirrors that are slow, broken, or not what they should be."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import interruption
from procession_tasks.debian import download as downloads
from procession_tasks.debian import transport
from procession_tasks.debian.download import Wanted, download, read
from procession_tasks.debian.failure import FailedDownloadError
from procession_tasks.debian.repositories import Place
from procession_tasks.interruption import InterruptedWorkError

pytestmark = pytest.mark.usefixtures("in_haste")

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
WANTED = Wanted(hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
PATH = "pool/a.deb"
PIECE = 128 * 1024


class Bench:
    """A mirror with one file, and where it is downloaded to."""

    def __init__(self, folder: Path, new_mirror: Callable[..., Any]) -> None:
        self.served = folder / "served"
        self.serve(PATH, CONTENT)
        self.mirror = new_mirror(self.served)
        self.place = Place(f"{self.mirror.url}/debian")
        self.target = folder / "store/a"
        self.part = folder / "store/a.part"
        self.advanced: list[int] = []

    def serve(self, path: str, content: bytes) -> None:
        file = self.served / "debian" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def fail(self, times: int | None = None, **how: object) -> None:
        self.mirror.fail(f"/debian/{PATH}", times, **how)

    def have_part(self, content: bytes) -> None:
        self.part.parent.mkdir(exist_ok=True)
        self.part.write_bytes(content)

    def download(self, path: str = PATH, place: Place | None = None, wanted: Wanted = WANTED) -> None:
        download(place or self.place, path, self.target, wanted, self.advanced.append)

    def failure(self, place: Place | None = None, wanted: Wanted = WANTED) -> str:
        """Why the download fails; nothing is there then, and no address is told."""
        with pytest.raises(FailedDownloadError) as failed:
            self.download(place=place, wanted=wanted)
        said = f"{failed.value} {failed.value!r}"
        told = ("127.0.0.1", "localhost", self.mirror.url.rpartition(":")[2], "example", "secret", "::1", "://")
        assert [word for word in told if word in said] == []
        assert not self.target.exists()
        return str(failed.value)

    @property
    def asked(self) -> list[str]:
        """The ranges that were asked for, in order; empty for the whole."""
        return [asked.partition(" bytes=")[2] for asked in self.mirror.requests]


@pytest.fixture
def impatient(in_haste: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take half a second of nothing for no answer, and try twice."""
    monkeypatch.setattr(transport, "TIMEOUT_S", 0.5)
    monkeypatch.setattr(downloads, "_WAITS_S", (0.01,))


@pytest.fixture
def bench(tmp_path: Path, new_mirror: Callable[..., Any]) -> Bench:
    return Bench(tmp_path, new_mirror)


def is_done(bench: Bench) -> bool:
    return bench.target.read_bytes() == CONTENT and not bench.part.exists() and sum(bench.advanced) == len(CONTENT)


def test_a_file_is_downloaded_whole(bench: Bench) -> None:
    bench.download()

    assert is_done(bench)
    assert bench.mirror.requests == [f"/debian/{PATH}"]
    assert bench.mirror.headers[0]["User-Agent"] == "procession-tasks"


def test_an_empty_file_needs_no_answer(bench: Bench) -> None:
    bench.download(wanted=Wanted(hashlib.sha256(b"").hexdigest(), 0))

    assert bench.target.read_bytes() == b""
    assert bench.mirror.requests == []


def test_what_is_there_is_not_asked_for(bench: Bench) -> None:
    bench.target.parent.mkdir()
    bench.target.write_bytes(CONTENT)
    bench.download()

    assert is_done(bench)
    assert bench.mirror.requests == []


def test_what_is_there_and_something_else_is_replaced(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    for make in (
        lambda: bench.target.write_bytes(OTHER),
        lambda: bench.target.write_bytes(CONTENT[:-1]),
        lambda: bench.target.symlink_to(tmp_path / "precious"),
        lambda: bench.target.symlink_to(tmp_path / "nowhere"),
    ):
        bench.target.parent.mkdir(exist_ok=True)
        bench.target.unlink(missing_ok=True)
        bench.advanced.clear()
        make()
        bench.download()

        assert is_done(bench)
        assert not bench.target.is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_connection_that_ends_is_continued(bench: Bench) -> None:
    bench.fail(2, cut=100_000)
    bench.download()

    assert is_done(bench)
    assert bench.asked == ["", "100000-", "200000-"]


def test_a_connection_that_always_ends_is_given_up_and_continued_by_the_next_run(bench: Bench) -> None:
    bench.fail(cut=50_000)

    assert bench.failure() == "unreachable: the connection ended after 200000 of 300000 bytes"
    assert len(bench.asked) == 4
    assert bench.part.read_bytes() == CONTENT[:200_000]
    bench.advanced.clear()
    bench.download()
    assert is_done(bench)
    assert bench.asked[4:] == ["200000-", "250000-"]


def test_an_interrupted_download_is_continued_by_the_next_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = iter([None, None])

    def check() -> None:
        if next(pieces, "stop"):
            raise InterruptedWorkError

    with monkeypatch.context() as patch, pytest.raises(InterruptedWorkError):
        patch.setattr(interruption, "check", check)
        bench.download()
    kept = bench.part.read_bytes()
    assert CONTENT.startswith(kept)
    assert 0 < len(kept) < len(CONTENT)

    bench.advanced.clear()
    bench.download()
    assert is_done(bench)
    assert bench.asked == ["", f"{len(kept)}-"]


def test_a_server_that_ignores_ranges_sends_it_all_again(bench: Bench) -> None:
    bench.mirror.ignores_ranges = True
    bench.fail(1, cut=100_000)
    bench.download()

    assert is_done(bench)
    assert bench.asked == ["", "100000-"]


@pytest.mark.parametrize("fault", [{"status": 416}, {"shifted": True}])
def test_a_range_that_cannot_be_had_is_no_more_asked_for(bench: Bench, fault: dict[str, object]) -> None:
    bench.have_part(CONTENT[:100_000])
    bench.fail(1, **fault)
    bench.download()

    assert is_done(bench)
    assert bench.asked == ["100000-", ""]


@pytest.mark.parametrize("content", [OTHER[:100_000], OTHER, OTHER + OTHER, b"\0"])
def test_what_an_earlier_run_left_of_another_file_is_dropped(bench: Bench, content: bytes) -> None:
    for place in (bench.place, Place(f"file://{bench.served}/debian")):
        bench.have_part(content)
        bench.target.unlink(missing_ok=True)
        bench.advanced.clear()
        bench.download(place=place)

        assert is_done(bench)
    assert bench.asked[-1] == ""


def test_what_an_earlier_run_left_whole_is_not_downloaded_again(bench: Bench) -> None:
    bench.have_part(CONTENT)
    bench.download()

    assert is_done(bench)
    assert bench.mirror.requests == []


def test_halves_of_two_files_do_not_count_as_the_file(bench: Bench) -> None:
    bench.fail(1, content=OTHER, cut=100_000)
    bench.download()

    assert is_done(bench)
    assert bench.asked == ["", "100000-", ""]


@pytest.mark.parametrize(("status", "words"), [(404, "HTTP 404 Not Found"), (410, "HTTP 410 Gone")])
def test_what_is_gone_is_asked_for_once(bench: Bench, status: int, words: str) -> None:
    bench.fail(status=status)

    assert bench.failure() == f"gone: {words}"
    assert bench.asked == [""]


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "HTTP 401 Unauthorized"), (403, "HTTP 403 Forbidden"), (418, "HTTP 418 I'm a Teapot"), (499, "HTTP 499")],
)
def test_a_refusal_is_taken_as_it_is(bench: Bench, status: int, words: str) -> None:
    bench.fail(status=status)

    assert bench.failure() == f"unreachable: {words}"
    assert bench.asked == [""]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(bench: Bench, status: int) -> None:
    bench.fail(3, status=status)
    bench.download()

    assert is_done(bench)


def test_a_server_that_stays_in_trouble_is_given_up(bench: Bench) -> None:
    bench.fail(status=503)

    assert bench.failure() == "unreachable: HTTP 503 Service Unavailable"
    assert len(bench.asked) == 4


@pytest.mark.parametrize(
    ("fault", "got"),
    [
        ({"content": OTHER}, f"the sha256 {WANTED.sha256}, got {hashlib.sha256(OTHER).hexdigest()}"),
        ({"content": OTHER, "length": False}, f"the sha256 {WANTED.sha256}, got {hashlib.sha256(OTHER).hexdigest()}"),
        ({"content": CONTENT + b"x"}, "300000 bytes, got 300001"),
        ({"content": CONTENT + b"x", "length": False}, "300000 bytes, got more"),
        ({"content": CONTENT[:-1]}, "300000 bytes, got 299999"),
        ({"content": CONTENT[:-1], "length": False}, "300000 bytes, got 299999"),
        ({"content": b"<html>Log in</html>"}, "300000 bytes, got 19"),
        ({"content": b""}, "300000 bytes, got 0"),
    ],
)
def test_other_bytes_are_refused(bench: Bench, fault: dict[str, object], got: str) -> None:
    bench.fail(**fault)

    assert bench.failure() == f"changed: must have {got}"
    assert bench.asked == [""]
    bench.fail()
    bench.advanced.clear()
    bench.download()
    assert is_done(bench)


def test_a_file_whose_length_is_not_told_is_downloaded(bench: Bench) -> None:
    bench.fail(length=False)
    bench.download()

    assert is_done(bench)


def test_a_mirror_that_refuses_connections_is_unreachable(bench: Bench) -> None:
    bench.mirror.close()

    assert bench.failure() == "unreachable: connection refused"


def test_a_name_that_nobody_has_is_unreachable(bench: Bench) -> None:
    assert bench.failure(Place("http://mirror.invalid/debian")).startswith("unreachable: ")
    assert bench.failure(Place("http://a..b/debian")) == "unreachable: the address is not one"
    assert bench.failure(Place(f"http://{'a' * 64}.invalid/debian")) == "unreachable: the address is not one"


@pytest.mark.usefixtures("impatient")
def test_an_answer_that_stalls_is_continued(bench: Bench) -> None:
    bench.fail(1, stall=100_000)
    bench.download()

    assert is_done(bench)
    assert bench.asked == ["", "100000-"]


@pytest.mark.usefixtures("impatient")
def test_answers_that_all_stall_are_given_up(bench: Bench) -> None:
    bench.fail(stall=10)

    assert bench.failure() == "unreachable: no answer in time"
    assert bench.part.read_bytes() == CONTENT[:20]


@pytest.fixture
def odd_server() -> Iterator[Callable[[bytes | None], Place]]:
    """A server that says the same to everybody and hangs up; None for one that says nothing at all."""
    listening = socket.create_server(("127.0.0.1", 0))
    said: list[bytes | None] = []
    ended = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(10_000)
                if said[0] is None:
                    ended.wait(20)
                else:
                    connection.sendall(said[0])

    threading.Thread(target=serve, daemon=True).start()

    def place(words: bytes | None) -> Place:
        said.append(words)
        return Place(f"http://127.0.0.1:{listening.getsockname()[1]}/debian")

    yield place
    ended.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (b"", "the connection ended"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer that can be understood"),
        (b"\0\xff" * 40_000, "no answer that can be understood"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200, "no answer that can be understood"),
        (b"HTTP/1.1 503 mirror.example is\x1b[31m full\r\n\r\n", "HTTP 503 Service Unavailable"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "the connection ended"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc", "the connection ended"),
    ],
)
def test_what_is_no_http_is_unreachable(
    bench: Bench, odd_server: Callable[[bytes | None], Place], words: bytes, told: str
) -> None:
    assert bench.failure(odd_server(words)) == f"unreachable: {told}"


@pytest.mark.usefixtures("impatient")
def test_a_server_that_says_nothing_is_unreachable(bench: Bench, odd_server: Callable[[bytes | None], Place]) -> None:
    assert bench.failure(odd_server(None)) == "unreachable: no answer in time"


def test_a_disk_that_is_full_is_told_with_the_file(bench: Bench, tmp_path: Path) -> None:
    if shutil.which("mount") is None:
        pytest.skip("mount is not installed")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("mount needs root")
    try:
        with pytest.raises(OSError, match="No space left") as failed:
            download(bench.place, PATH, small / "a", WANTED)
        assert (failed.value.errno, failed.value.filename) == (errno.ENOSPC, str(small / "a.part"))
        assert [path.name for path in small.iterdir()] == ["a.part"]
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


def test_a_link_in_the_place_of_the_partial_file_is_not_written_through(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    bench.part.parent.mkdir()
    for aim in ("precious", "nowhere"):
        bench.part.symlink_to(tmp_path / aim)
        bench.target.unlink(missing_ok=True)
        bench.advanced.clear()
        bench.download()

        assert is_done(bench)
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_threads_that_want_the_same_file_download_it_once(bench: Bench) -> None:
    bench.fail(1, stall=PIECE)
    threads = [threading.Thread(target=bench.download) for _ in range(3)]
    for thread in threads:
        thread.start()
    bench.mirror.go_on.set()
    for thread in threads:
        thread.join()

    assert bench.target.read_bytes() == CONTENT
    assert not bench.part.exists()
    assert bench.asked == [""]


PROCESS = """\
import sys
from pathlib import Path
from procession_tasks.debian.download import Wanted, download
from procession_tasks.debian.repositories import Place
url, target, sha256, size = sys.argv[1:]
print("begins", flush=True)
download(Place(url), "pool/a.deb", Path(target), Wanted(sha256, int(size)))
"""


@pytest.fixture
def start(bench: Bench) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a process that downloads the same file; returns when it begins."""
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", PROCESS, bench.place.url, bench.target, WANTED.sha256, str(WANTED.size)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout
        assert started[-1].stdout.readline() == "begins\n"
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_another_process_waits_for_the_one_that_is_at_it(bench: Bench, start: Callable[[], Any]) -> None:
    bench.fail(1, stall=100_000)
    first = start()
    until(lambda: len(bench.asked) == 1)
    second = start()
    time.sleep(0.3)

    assert second.poll() is None
    bench.mirror.go_on.set()
    assert (first.wait(20), second.wait(20)) == (0, 0)
    assert bench.asked == [""]
    assert bench.target.read_bytes() == CONTENT
    assert not bench.part.exists()


def test_another_process_goes_on_where_a_killed_one_was(bench: Bench, start: Callable[[], Any]) -> None:
    bench.fail(1, stall=100_000)
    first = start()
    until(lambda: bench.part.exists() and bench.part.stat().st_size == 100_000)
    second = start()
    first.send_signal(signal.SIGKILL)

    assert second.wait(20) == 0
    assert bench.asked == ["", "100000-"]
    assert bench.target.read_bytes() == CONTENT


def test_who_waits_for_another_process_can_be_interrupted(
    bench: Bench, start: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fail(1, stall=100_000)
    start()
    until(lambda: len(bench.asked) == 1)

    def check() -> None:
        raise InterruptedWorkError

    monkeypatch.setattr(interruption, "check", check)
    with pytest.raises(InterruptedWorkError):
        bench.download()


AWKWARD = ("g++_1%3a2.0~rc1+b1.deb", "a b.deb", "a?b#c.deb", "a%2bb.deb", "caf\u00e9.deb", "a&b;c=d,e@f.deb")


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_is_asked_for_as_it_is(bench: Bench, name: str) -> None:
    bench.serve(f"pool/{name}", CONTENT)
    for place in (bench.place, Place(f"file://{bench.served}/debian")):
        bench.target.unlink(missing_ok=True)
        bench.advanced.clear()
        bench.download(f"pool/{name}", place)

        assert is_done(bench)
    assert "+" not in bench.mirror.requests[0]  # some servers take it for a space


def test_a_mirror_may_be_a_folder(bench: Bench) -> None:
    place = Place(f"file://{bench.served}/debian")
    bench.have_part(CONTENT[:100_000])
    bench.download(place=place)

    assert is_done(bench)
    assert bench.mirror.requests == []


@pytest.mark.parametrize("folder", ["a b", "a%b", "caf\u00e9"])
def test_a_folder_is_named_as_urls_name_it(bench: Bench, tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).symlink_to(bench.served)
    bench.download(place=Place(f"{(tmp_path / folder).as_uri()}/debian"))

    assert is_done(bench)


def test_what_a_folder_does_not_have_is_gone(bench: Bench) -> None:
    place = Place(f"file://{bench.served}/debian")
    (bench.served / "debian" / PATH).unlink()
    assert bench.failure(place) == "gone: no such file"

    (bench.served / "debian" / PATH).mkdir()
    assert bench.failure(place) == "unreachable: is a directory"


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", CONTENT[:10]])
def test_other_bytes_in_a_folder_are_refused(bench: Bench, content: bytes) -> None:
    bench.serve(PATH, content)
    bench.have_part(CONTENT[:100])

    assert bench.failure(Place(f"file://{bench.served}/debian")) == (
        f"changed: must have 300000 bytes, got {len(content)}"
    )


def test_a_redirection_to_another_host_is_followed_without_the_password(
    bench: Bench, new_mirror: Callable[..., Any]
) -> None:
    other = new_mirror(bench.served)
    bench.fail(location=f"{other.url}/debian/{PATH}")
    bench.have_part(CONTENT[:100_000])
    bench.download(place=Place(bench.place.url.replace("//", "//user:secret@")))

    assert is_done(bench)
    assert other.requests == [f"/debian/{PATH} bytes=100000-"]
    assert bench.mirror.headers[0]["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
    assert other.headers[0]["Authorization"] is None


def test_a_relative_redirection_is_followed(bench: Bench) -> None:
    bench.fail(1, status=308, location="../pool/a.deb")
    bench.download()

    assert is_done(bench)


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/a", "data:,a", "gopher://example"])
def test_a_redirection_to_anything_but_http_is_refused(bench: Bench, location: str) -> None:
    bench.fail(location=location)

    assert bench.failure() in ("unreachable: HTTP 302 Found", "unreachable: a proxy or a redirection is not HTTP")
    assert bench.asked == [""]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # urllib forgets the connection
def test_a_redirection_to_no_address_is_refused(bench: Bench) -> None:
    bench.fail(location="//[")

    assert bench.failure() == "unreachable: the address is not one"
    gc.collect()


def test_redirections_in_a_circle_are_refused(bench: Bench) -> None:
    bench.fail(location=f"/debian/{PATH}")

    assert bench.failure() == "unreachable: HTTP 302 Found"


@pytest.mark.parametrize(
    ("user", "header"),
    [("user:secret", "dXNlcjpzZWNyZXQ="), ("us%40er:s%3aecret", "dXNAZXI6czplY3JldA=="), ("user", "dXNlcg==")],
)
def test_a_password_is_sent_and_never_told(bench: Bench, user: str, header: str) -> None:
    place = Place(bench.place.url.replace("//", f"//{user}@"))
    bench.fail(1, status=401)

    assert bench.failure(place) == "unreachable: HTTP 401 Unauthorized"
    bench.download(place=place)
    assert is_done(bench)
    assert bench.mirror.headers[0]["Authorization"] == f"Basic {header}"
    bench.mirror.close()
    bench.target.unlink()
    assert bench.failure(place) == "unreachable: connection refused"


def test_a_mirror_may_have_an_ipv6_address(bench: Bench, new_mirror: Callable[..., Any]) -> None:
    try:
        mirror = new_mirror(bench.served, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    bench.download(place=Place(f"{mirror.url}/debian"))

    assert is_done(bench)


class TestProxies:
    """Proxies are the environment's, unless apt has its own."""

    PLACE = "http://mirror.example/debian"

    @pytest.fixture
    def proxy(self, bench: Bench) -> str:
        return str(bench.mirror.url)

    def test_the_environments_is_used(self, bench: Bench, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", proxy)
        bench.download(place=Place(self.PLACE))

        assert is_done(bench)
        assert bench.mirror.requests == [f"{self.PLACE}/{PATH}"]

    def test_apts_own_wins(self, bench: Bench, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        bench.download(place=Place(self.PLACE, proxy.replace("//", "//user:secret@")))

        assert is_done(bench)
        assert bench.mirror.headers[0]["Proxy-Authorization"] == "Basic dXNlcjpzZWNyZXQ="

    def test_apt_may_want_none(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        bench.download(place=Place(bench.place.url, ""))

        assert is_done(bench)

    def test_hosts_can_be_excepted(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert bench.failure() == "unreachable: connection refused"

        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        bench.download()
        assert is_done(bench)

    def test_a_refusal_is_told(self, bench: Bench, proxy: str) -> None:
        secret = proxy.replace("//", "//user:secret@")
        assert bench.failure(Place("https://mirror.example/debian", secret)) == (
            "unreachable: the proxy answers with HTTP 501"
        )
        bench.mirror.close()
        assert bench.failure(Place(self.PLACE, secret)) == "unreachable: connection refused"

    def test_one_of_another_kind_is_refused(self, bench: Bench) -> None:
        assert bench.failure(Place(self.PLACE, "socks5h://user:secret@127.0.0.1:9")) == (
            "unreachable: a proxy or a redirection is not HTTP"
        )


class TestCertificates:
    """HTTPS mirrors are known by their certificates."""

    @pytest.fixture
    def secured(self, bench: Bench, tmp_path: Path) -> Place:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -keyout key.pem"
        names = ["-out", "certificate.pem", "-subj", "/CN=mirror.example", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*command.split(), *names], cwd=tmp_path, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
        bench.mirror.server.socket = context.wrap_socket(bench.mirror.server.socket, server_side=True)
        bench.mirror.server.handle_error = lambda *_: None  # what the server thinks of a client that hangs up
        return Place(bench.place.url.replace("http:", "https:"))

    def test_a_known_one_is_good(
        self, bench: Bench, secured: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        bench.fail(1, cut=100_000)
        bench.download(place=secured)

        assert is_done(bench)
        assert bench.asked == ["", "100000-"]

    def test_one_that_nobody_vouches_for_is_refused(self, bench: Bench, secured: Place) -> None:
        assert bench.failure(secured) == "unreachable: its certificate is not good: self-signed certificate"
        assert bench.mirror.requests == []

    def test_one_of_another_host_is_refused_without_its_name(
        self, bench: Bench, secured: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        place = Place(secured.url.replace("127.0.0.1", "localhost"))

        assert bench.failure(place) == "unreachable: its certificate is not good: hostname mismatch"

    def test_a_server_without_any_is_told(self, bench: Bench) -> None:
        place = Place(bench.place.url.replace("http:", "https:"))

        assert bench.failure(place).startswith("unreachable: no secure connection: ")


class TestReading:
    """Small files are read into memory."""

    def test_a_file_is_read_whole(self, bench: Bench) -> None:
        assert read(bench.place, PATH, len(CONTENT)) == CONTENT
        assert read(Place(f"file://{bench.served}/debian"), PATH, len(CONTENT)) == CONTENT

    def test_a_larger_one_than_expected_is_refused(self, bench: Bench) -> None:
        for fault in ({}, {"length": False}):
            bench.fail(**fault)
            with pytest.raises(FailedDownloadError, match="^changed: must have at most 299999 bytes, got more$"):
                read(bench.place, PATH, len(CONTENT) - 1)

    def test_one_that_was_cut_off_is_read_again(self, bench: Bench) -> None:
        bench.fail(2, cut=100)

        assert read(bench.place, PATH, len(CONTENT)) == CONTENT
        assert bench.asked == ["", "", ""]

    def test_one_that_is_not_there_is_gone(self, bench: Bench) -> None:
        with pytest.raises(FailedDownloadError, match="^gone: HTTP 404 Not Found$"):
            read(bench.place, "none", 10)


def test_only_downloading_loads_what_speaks_http() -> None:
    loaded = "import sys, procession_tasks.debian.{}; print(*sys.modules)"
    for module in ("store", "archive"):
        command = [sys.executable, "-S", "-c", loaded.format(module)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        modules = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

        assert {"ssl", "socket", "http.client", "urllib.request", "email", "tempfile"}.isdisjoint(modules), module
