"""Layouts to push, Debian's docker-registry to judge, and a registry that fails as it is told."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from procession_tasks.image.layout import CONFIG, INDEX, LAYER, MANIFEST, Layout
from procession_tasks.publish import failure

Document = dict[str, Any]


def found(name: str) -> str:
    """Find a program that judges our output, or skip the test and say which is missing."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(name: str, size: int = 1000) -> bytes:
    """Bytes that stand for a layer; the same for the same name."""
    return random.Random(name).randbytes(size)


class Writer:
    """Writes layouts below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def image(self, name: str, layers: Iterable[bytes], **configuration: str) -> Layout:
        """Write the layout of one platform."""
        folder = self.folder / name
        return self._finish(folder, self._manifest(folder, layers, configuration))

    def index(self, name: str, images: Iterable[tuple[str, Iterable[bytes]]]) -> Layout:
        """Write the layout of several platforms, each with its architecture and layers."""
        folder = self.folder / name
        manifests = []
        for architecture, layers in images:
            manifest = self._manifest(folder, layers, {"architecture": architecture})
            manifests.append(manifest | {"platform": {"os": "linux", "architecture": architecture}})
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
        return self._finish(folder, self._add(folder, INDEX, json.dumps(document).encode()))

    def _manifest(self, folder: Path, layers: Iterable[bytes], configuration: Document) -> Document:
        described = [self._add(folder, LAYER, content) for content in layers]
        said = {"os": "linux", "architecture": "amd64", **configuration}
        said["rootfs"] = {"type": "layers", "diff_ids": [one["digest"] for one in described]}
        config = self._add(folder, CONFIG, json.dumps(said).encode())
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": described}
        # Nobody who parses and renders it again would give these bytes.
        return self._add(folder, MANIFEST, json.dumps(document, indent=3).encode())

    def _add(self, folder: Path, media_type: str, content: bytes) -> Document:
        digest = digest_of(content)
        blob = folder / "blobs" / digest.replace(":", "/")
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _finish(self, folder: Path, top: Document) -> Layout:
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
        return Layout(folder)


@pytest.fixture(scope="session")
def find_tool() -> Callable[[str], str]:
    return found


@pytest.fixture(scope="session")
def make_layer() -> Callable[..., bytes]:
    return layer


@pytest.fixture(scope="session")
def log_in() -> Callable[..., None]:
    """Write down a credential for a host as `podman login` would."""

    def write_down(environment: dict[str, str], host: str, user: str = "pusher:pass:word", **more: str) -> None:
        file = Path(environment["XDG_RUNTIME_DIR"], "containers/auth.json")
        file.parent.mkdir(exist_ok=True)
        entry = {"auth": base64.b64encode(user.encode()).decode(), **more}
        file.write_text(json.dumps({"auths": {host: entry}}))

    return write_down


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "layouts")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who has logged in nowhere."""
    home = tmp_path / "home"
    (home / "run").mkdir(parents=True)
    return {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "PATH": "/usr/bin:/bin"}


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again without long waits."""
    monkeypatch.setattr(failure, "_WAITS_S", (0.01, 0.01, 0.01))


# A real registry


class DockerRegistry:
    """Debian's docker-registry on a port of its own; what it was asked is in its log."""

    def __init__(self, folder: Path, **http: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        auth = http.pop("auth", None)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        configuration: Document = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.host, "secret": "secret", **http},
        }
        if auth:
            configuration["auth"] = auth
        (folder / "config.yml").write_text(json.dumps(configuration))
        self._process: subprocess.Popen[bytes] | None = None
        self._secure = "tls" in http
        self.start()

    def start(self) -> None:
        argv = [found("docker-registry"), "serve", str(self.folder / "config.yml")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while time.monotonic() < end and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def asked(self) -> list[str]:
        """What it was asked since the last time: method, path without what is not the same each time, and status."""
        time.sleep(0.05)  # the log line comes after the answer
        lines = re.findall(r'"([A-Z]+) (\S+) HTTP/[^"]*" ([0-9]+)', self.log)
        new, self._seen = lines[getattr(self, "_seen", 0) :], len(lines)
        return [
            f"{method} {re.sub(r'uploads/[^?]+', 'uploads/…', urlsplit(path).path)} {status}"
            for method, path, status in new
        ]


@pytest.fixture
def new_docker_registry(tmp_path: Path) -> Iterator[Callable[..., DockerRegistry]]:
    """Start docker-registry with further settings of its `http` section and `auth`."""
    found("docker-registry")
    started: list[DockerRegistry] = []

    def start(**settings: Any) -> DockerRegistry:
        started.append(DockerRegistry(tmp_path / f"registry{len(started)}", **settings))
        return started[-1]

    yield start
    for registry in started:
        registry.stop()


@pytest.fixture
def docker_registry(new_docker_registry: Callable[..., DockerRegistry]) -> DockerRegistry:
    """Let everybody push, without TLS."""
    return new_docker_registry()


# A registry that fails


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer.

    `status` with `headers` and `content`: nothing but that; `cut`: the connection ends after so many bytes of
    the request's body were taken; `stall`: after so many, nothing comes until the registry is told to go on;
    `lose`: it does what it is asked, and the connection ends without an answer; `digest`: the answer names this
    digest; `take`: it takes so many bytes of the body and says so; `forget`: what it has of an upload is gone, too.
    """

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
    cut: int | None = None
    stall: int | None = None
    lose: bool = False
    digest: str = ""
    take: int | None = None
    forget: bool = False


_REDIRECTIONS = (307, 308)


class FaultyRegistry:
    """A registry in memory that keeps to the specification, but for what it is told to do wrong.

    `token`: wants a token that it gives for that user and password; `mounts`: repositories that
    blobs can be taken from; `location`: what locations of uploads begin with.
    """

    def __init__(self) -> None:
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, bytes]] = {}
        self.uploads: dict[str, bytearray] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.tokens_given: list[str] = []  # the scopes and how they were asked for
        self.go_on = threading.Event()
        self.location = ""
        self.login: tuple[str, str] | None = None  # how tokens are asked for: Authorization, or the form
        self.expires_in = 300
        self.valid: set[str] = set()
        self.unreadable: set[str] = set()
        self.hides_digests = False
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                with contextlib.suppress(ConnectionError):
                    registry.answer(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer  # noqa: N815  # the library's names

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.host = f"127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def fail(self, request: str, times: int = 1, **how: Any) -> None:
        """Have the next answers to requests that match (method, blank, path) be wrong, as in `Fault`."""
        self._faults += [(request, Fault(**how))] * times

    def redirect(self, request: str, status: int, to: str = "") -> None:
        """Redirect the next request that matches to another path, or to a server."""
        self._faults.insert(0, (request, Fault(status=status, headers=(("Location", to or "/moved"),))))

    @property
    def challenge(self) -> str:
        """What it wants to be shown."""
        return f'Bearer realm="http://{self.host}/token",service="registry.example"'

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        request = f"{to.command} {to.path}"
        with self._lock:
            self.asked.append(request)
            self.headers.append(dict(to.headers.items()))
            at = next((i for i, (pattern, _) in enumerate(self._faults) if re.search(pattern, request)), None)
            fault = Fault() if at is None else self._faults.pop(at)[1]
        length = int(to.headers.get("Content-Length", 0))
        if fault.cut is not None or fault.stall is not None:
            taken = to.rfile.read(min(length, fault.cut if fault.cut is not None else fault.stall or 0))
            if to.command == "PATCH" and not fault.forget:
                self.uploads[_last(to.path)] += taken
            if fault.stall is not None:
                self.go_on.wait(30)
            _hang_up(to)
            return
        content = to.rfile.read(length)[: fault.take]
        if fault.forget:
            self.uploads.clear()
        if fault.status:
            headers = dict(fault.headers)
            if fault.status in _REDIRECTIONS and not urlsplit(headers["Location"]).path.startswith("/v2"):
                headers["Location"] = headers["Location"].removesuffix("/moved") + "/moved" + to.path
            _send(to, fault.status, fault.content, headers)
            return
        status, body, headers = self._answer(to, content)
        if fault.digest:
            headers["Docker-Content-Digest"] = fault.digest
        if self.hides_digests:
            headers.pop("Docker-Content-Digest", None)
        if fault.lose:
            _hang_up(to)
        else:
            _send(to, status, body, headers)

    def _answer(self, to: BaseHTTPRequestHandler, content: bytes) -> tuple[int, bytes, dict[str, str]]:
        parts = urlsplit(to.path.removeprefix("/moved"))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/token":
            return self._token(to, parse_qs(parts.query or content.decode()))
        if self.login and to.headers.get("Authorization", "").removeprefix("Bearer ") not in self.valid:
            return 401, _error("UNAUTHORIZED"), {"WWW-Authenticate": self.challenge}
        path, kind, name = re.fullmatch(r"/v2/(.+)/(manifests|blobs/uploads|blobs)/([^/]*)", parts.path).groups()
        if kind == "manifests":
            return self._manifest(to, path, name, content)
        if kind == "blobs":
            content = self.blobs.get(path, {}).get(name)
            return (404 if content is None else 200), content or b"", {"Docker-Content-Digest": name}
        if to.command == "POST":
            return self._begin(path, query)
        return self._upload(to, path, name, content, query.get("digest"))

    def _begin(self, path: str, query: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        digest, other = query.get("mount", ""), query.get("from", "")
        if other in self.unreadable:
            return 403, _error("DENIED"), {}
        if digest in self.blobs.get(other, {}):
            self.blobs.setdefault(path, {})[digest] = self.blobs[other][digest]
            return 201, b"", {"Docker-Content-Digest": digest, "Location": f"/v2/{path}/blobs/{digest}"}
        with self._lock:
            name = f"upload{len(self.asked)}"
            self.uploads[name] = bytearray()
        return 202, b"", {"Location": f"{self.location}/v2/{path}/blobs/uploads/{name}?state=1", "Range": "0-0"}

    def _upload(
        self, to: BaseHTTPRequestHandler, path: str, name: str, content: bytes, digest: str | None
    ) -> tuple[int, bytes, dict[str, str]]:
        if name not in self.uploads:
            return 404, _error("BLOB_UPLOAD_UNKNOWN"), {}
        upload = self.uploads[name]
        placed = to.headers.get("Content-Range")
        begins = int(placed.partition("-")[0]) if placed else len(upload) if to.command == "PUT" else 0
        where = {"Location": f"{self.location}/v2/{path}/blobs/uploads/{name}?state={len(upload)}"}
        if to.command != "GET" and content:
            if begins != len(upload):
                return 416, b"", where | {"Range": f"0-{max(0, len(upload) - 1)}"}
            upload += content
        if to.command != "PUT":
            return 204 if to.command == "GET" else 202, b"", where | {"Range": f"0-{max(0, len(upload) - 1)}"}
        if digest_of(bytes(upload)) != digest:
            return 400, _error("DIGEST_INVALID"), {}
        self.blobs.setdefault(path, {})[digest] = bytes(self.uploads.pop(name))
        return 201, b"", {"Docker-Content-Digest": digest, "Location": f"/v2/{path}/blobs/{digest}"}

    def _manifest(
        self, to: BaseHTTPRequestHandler, path: str, name: str, content: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        there = self.manifests.setdefault(path, {})
        if to.command == "PUT":
            document = json.loads(content)
            needed = [document["config"], *document["layers"]] if "config" in document else []
            below = {**self.blobs.get(path, {}), **there}
            if not {one["digest"] for one in needed + document.get("manifests", [])} <= below.keys():
                return 400, _error("MANIFEST_BLOB_UNKNOWN"), {}
            there[name] = there[digest_of(content)] = content
            return 201, b"", {"Docker-Content-Digest": digest_of(content)}
        if name not in there:
            return 404, _error("MANIFEST_UNKNOWN"), {}
        return 200, there[name], {"Docker-Content-Digest": digest_of(there[name])}

    def _token(self, to: BaseHTTPRequestHandler, asked: dict[str, list[str]]) -> tuple[int, bytes, dict[str, str]]:
        how = to.headers.get("Authorization") or asked.get("refresh_token", [""])[0]
        self.tokens_given.append(f"{to.command} {how} {asked['service'][0]} {' '.join(asked['scope'])}")
        if how not in (self.login or ()):
            return 401, _error("UNAUTHORIZED"), {}
        token = f"token{len(self.tokens_given)}"
        self.valid.add(token)
        return 200, json.dumps({"token": token, "expires_in": self.expires_in}).encode(), {}


def _hang_up(to: BaseHTTPRequestHandler) -> None:
    to.close_connection = True
    to.connection.shutdown(socket.SHUT_RDWR)


def _last(path: str) -> str:
    return urlsplit(path).path.rpartition("/")[2]


def _error(code: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()


def _send(to: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name, value)
    to.send_header("Content-Length", str(len(body)))
    to.end_headers()
    if to.command != "HEAD":
        to.wfile.write(body)


@pytest.fixture
def new_faulty() -> Iterator[Callable[[], FaultyRegistry]]:
    started: list[FaultyRegistry] = []

    def start() -> FaultyRegistry:
        started.append(FaultyRegistry())
        return started[-1]

    yield start
    for registry in started:
        registry.close()


@pytest.fixture
def faulty(new_faulty: Callable[[], FaultyRegistry]) -> FaultyRegistry:
    """A registry in memory that fails as it is told."""
    return new_faulty()


class Cutter:
    """Stands before a registry, and cuts the first connections that carry more than so many bytes to it."""

    def __init__(self, port: int, after: int, times: int = 1) -> None:
        self._port = port
        self._after = after
        self._times = times
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def left(self) -> int:
        """How many connections it still would cut."""
        return self._times

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
                threading.Thread(
                    target=self._pump, args=(client, server), kwargs={"limited": True}, daemon=True
                ).start()

    def _pump(self, source: socket.socket, target: socket.socket, *, limited: bool = False) -> None:
        carried = 0
        with contextlib.suppress(OSError), source, target:
            while chunk := source.recv(16 * 1024):
                carried += len(chunk)
                if limited and self._times and carried > self._after:
                    self._times -= 1
                    break
                target.sendall(chunk)
            for end in (source, target):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def new_cutter() -> Iterator[Callable[..., Cutter]]:
    started: list[Cutter] = []

    def start(port: int, after: int, times: int = 1) -> Cutter:
        started.append(Cutter(port, after, times))
        return started[-1]

    yield start
    for cutter in started:
        cutter.close()


@dataclass(frozen=True)
class Certificates:
    """An authority made by openssl, and what it says of 127.0.0.1; and a client's own."""

    authority: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """TLS certificates that no machine trusts."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run([found("openssl"), *words], cwd=folder, check=True, capture_output=True)

    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    openssl(*new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt")
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    openssl(*new, *signed, *names, "-subj", "/CN=registry", "-keyout", "server.key", "-out", "server.crt")
    return Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")


class TokenService:
    """Gives tokens that docker-registry takes: signed by a key whose certificate it knows.

    Who shows the right Authorization header may do everything below ``team/``; others nothing.
    """

    def __init__(self, folder: Path, authorization: str) -> None:
        self.scopes: list[list[str]] = []  # what each token was asked for
        self._key = folder / "token.key"
        self.certificate = folder / "token.crt"
        new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=tokens"]
        argv = [found("openssl"), *new, "-keyout", str(self._key), "-out", str(self.certificate)]
        subprocess.run(argv, check=True, capture_output=True)
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
                service.scopes.append(scopes)
                allowed = scopes if self.headers.get("Authorization") == authorization else []
                _send(self, 200, json.dumps({"token": service.token(allowed)}).encode(), {})

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.realm = f"http://127.0.0.1:{self.server.server_port}/token"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def settings(self) -> Document:
        """How a registry is told to want its tokens."""
        bundle = str(self.certificate)
        return {"token": {"realm": self.realm, "service": "registry", "issuer": "tokens", "rootcertbundle": bundle}}

    def token(self, scopes: Iterable[str]) -> str:
        """Sign what may be done; RFC 7519 and the distribution project's token specification."""
        wanted = (scope.split(":") for scope in scopes)
        access = [{"type": t, "name": n, "actions": a.split(",")} for t, n, a in wanted if n.startswith("team/")]
        pem = self.certificate.read_text().splitlines()
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(line for line in pem if "-----" not in line)]}
        now = int(time.time())
        claims = {"iss": "tokens", "aud": "registry", "sub": "pusher", "jti": str(len(self.scopes)), "access": access}
        claims |= {"nbf": now - 10, "iat": now - 10, "exp": now + 300}
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        argv = [found("openssl"), "dgst", "-sha256", "-sign", str(self._key)]
        signature = subprocess.run(argv, input=signed, check=True, capture_output=True).stdout
        return (signed + b"." + _base64(signature)).decode()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


@pytest.fixture
def token_service(tmp_path: Path) -> Iterator[TokenService]:
    """A service that gives tokens to `pusher` with the password `pass:word`."""
    service = TokenService(tmp_path, "Basic " + base64.b64encode(b"pusher:pass:word").decode())
    yield service
    service.close()
