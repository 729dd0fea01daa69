"""A small repository of its own for each test, and doit run in it as a user runs it."""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import json
import lzma
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from procession_tasks.debian.pin import Pin
from tests.doitserver import DoitServer

REPOSITORY = Path(__file__).resolve().parent.parent
# Builds are to do their work: what one test makes is not to be found by the next.  The tests of caches turn them on.
os.environ["PROCESSION_CACHE"] = "off"
for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_EVENT_NAME", "GITLAB_CI", "CI_MERGE_REQUEST_IID"):
    os.environ.pop(name, None)  # the tests are in a CI of their own making

PYPROJECT = """\
[tool.procession.go]
version = "1.27.3"
modules = ["services"]
"""

MAIN = """\
package main

import "sample.example/services/internal/{only}"
import "sample.example/services/internal/shared"

var version = "devel"

func main() {{ println(version, {only}.Word(), shared.Word()) }}
"""

WORD = """\
package {name}

// Word says who it is.
func Word() string {{ return "{name}" }}
"""

IMAGE = """\
go:
  package: ./cmd/{name}
  binary: /bin/{name}
platforms: [linux/amd64, linux/arm64]
accounts:
  users: [{{name: app, uid: 65532, gid: 65532}}]
"""


def shortened(content: bytes) -> bytes:
    """The content, or what identifies it where a difference of two would fill the screen."""
    if len(content) <= 16 * 1024:
        return content
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}".encode()


@dataclass(frozen=True)
class Ended:
    """How a doit run ended; `ran` is the names of the tasks that ran and succeeded."""

    status: int
    out: str
    err: str
    ran: tuple[str, ...] = field(default=())


def packed_last(names: list[str]) -> tuple[str, ...]:
    """Put what packs at the end, by name: two tasks of an image do it at once, and either may end first."""
    packing = sorted(name for name in names if name.startswith("pack-"))
    return (*(name for name in names if name not in packing), *packing)


@functools.cache
def doit_server() -> DoitServer:
    """What runs doit for the tests of this process."""
    return DoitServer()


def pytest_unconfigure() -> None:
    """End it with them."""
    if doit_server.cache_info().currsize:
        doit_server().close()


class Workspace:
    """A repository with a Go module of programs and an image for each."""

    def __init__(self, root: Path, names: tuple[str, ...] = ("api", "iam")) -> None:
        self.root = root
        self.environment = dict(os.environ)
        self.write("pyproject.toml", PYPROJECT)
        self.write("dodo.py", (REPOSITORY / "dodo.py").read_text())
        self.write("build/.gitignore", "*\n!.gitignore\n")
        self.write("services/go.mod", "module sample.example/services\n\ngo 1.27\n")
        self.write("services/internal/shared/shared.go", WORD.format(name="shared"))
        for name in names:
            self.add_service(name)

    def add_service(self, name: str) -> None:
        """Add a program that imports a package of its own and the shared one, and its image."""
        self.write(f"services/internal/{name}only/{name}.go", WORD.format(name=f"{name}only"))
        self.write(f"services/cmd/{name}/main.go", MAIN.format(only=f"{name}only"))
        manifest = {
            "acKind": "ImageManifest",
            "acVersion": "0.8.11",
            "name": f"sample.example/{name}",
            "labels": [{"name": "version", "value": "1.0.0"}],
            "app": {"exec": [f"/bin/{name}"], "user": "app", "group": "app"},
        }
        self.write(f"deploy/aci/{name}/manifest", json.dumps(manifest, indent=2) + "\n")
        self.write(f"deploy/aci/{name}/image.yaml", IMAGE.format(name=name))
        self.write(f"deploy/aci/{name}/rootfs/etc/motd", f"this is {name}\n")

    def path(self, name: str) -> Path:
        return self.root / name

    def read(self, name: str) -> str:
        return self.path(name).read_text()

    def write(self, name: str, text: str) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        text = self.read(name)
        assert old in text
        self.write(name, text.replace(old, new))

    def doit(self, *words: str, **environment: str) -> Ended:
        """Run doit to its end."""
        ended = doit_server().run(words, self.root, self.environment | environment, patience=300)
        ran = re.findall(r"^(\S+) +[0-9.]+ s$", ended.stdout, re.MULTILINE)
        return Ended(ended.returncode, ended.stdout, ended.stderr, packed_last(ran))

    def build(self, *words: str, **environment: str) -> Ended:
        """Run doit and expect it to succeed."""
        ended = self.doit(*words, **environment)
        assert ended.status == 0, ended.out + ended.err
        return ended

    def aci(self, name: str, platform: str = "linux-amd64") -> Path:
        """The archive of an image."""
        return self.path(f"build/aci/{name}-1.0.0-{platform}.aci")

    def files(self, *folders: str) -> dict[str, bytes]:
        """What the folders hold now, by path: links as their text, large files as their digest."""
        found = {}
        for folder in folders:
            for path in sorted(self.path(folder).rglob("*")):
                name = str(path.relative_to(self.root))
                if path.is_symlink():
                    found[name] = os.readlink(path).encode()
                elif path.is_file():
                    found[name] = shortened(path.read_bytes())
        return found


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A repository with the images api and iam, not yet built."""
    return Workspace(tmp_path / "repository")


@pytest.fixture(scope="session")
def new_workspace() -> type[Workspace]:
    """To make repositories in other places or with other services."""
    return Workspace


def tool(name: str) -> str:
    """Find a program that judges our output, or skip the test and say which is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def actool() -> str:
    """The reference tool for App Container Images."""
    return tool("actool")


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    """Mount something on a folder until the test ends; skip where that is not allowed."""
    for program in ("mount", "umount"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    mounted: list[Path] = []

    def on(folder: Path, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"mount needs root: {done.stderr.strip()}")
        if folder not in mounted:
            mounted.append(folder)

    yield on
    for folder in reversed(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer of a mirror.

    `status`: nothing but that; `location`: a redirection; `content`: other bytes; `cut`: the
    connection ends after so many bytes; `stall`: after so many bytes nothing comes until the
    mirror is told to go on; `length`: whether it is told beforehand; `shifted`: the answer to a
    range begins a byte too early.
    """

    status: int = 0
    location: str = ""
    content: bytes | None = None
    cut: int | None = None
    stall: int | None = None
    length: bool = True
    shifted: bool = False


class Mirror:
    """Serves a folder over HTTP, as badly as it is told to."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self.folder = folder
        self.requests: list[str] = []  # path as it came, and the range if there is one
        self.headers: list[Message] = []
        self.ignores_ranges = False
        self.go_on = threading.Event()
        self._faults: dict[str, list[Fault]] = {}
        self._always: dict[str, Fault] = {}
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):
                    mirror.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = _Server((address, 0), Handler)
        host = f"[{address}]" if ":" in address else address
        self.url = f"http://{host}:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def fail(self, path: str, times: int | None = None, **how: object) -> None:
        """Have the answers for a path be wrong, as in `Fault`; always, or only the next few."""
        fault = Fault(**how)
        if times is None:
            self._always[path] = fault
        else:
            self._faults.setdefault(path, []).extend([fault] * times)

    def close(self) -> None:
        """Refuse connections from now on."""
        if self._thread.is_alive():
            self.go_on.set()
            self.server.shutdown()
            self.server.server_close()
            self._thread.join()

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        path, asked = unquote(urlsplit(to.path).path), to.headers.get("Range", "")
        self.requests.append(f"{to.path} {asked}".rstrip())
        self.headers.append(to.headers)
        waiting = self._faults.get(path)
        fault = waiting.pop(0) if waiting else self._always.get(path, Fault())
        file = self.folder / path.lstrip("/")
        if fault.status or fault.location:
            _head(to, fault.status or 302, Location=fault.location)
        elif not file.is_file():
            _head(to, 404)
        else:
            content = file.read_bytes() if fault.content is None else fault.content
            self._send(to, content, 0 if self.ignores_ranges else int(asked[6:-1] or 0), fault)

    def _send(self, to: BaseHTTPRequestHandler, content: bytes, start: int, fault: Fault) -> None:
        if start >= len(content) > 0:
            _head(to, 416)
            return
        start -= fault.shifted and start > 0
        length = str(len(content) - start) if fault.length else ""
        if start:
            _head(to, 206, Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}", Content_Length=length)
        else:
            _head(to, 200, Content_Length=length)
        end = len(content) if fault.cut is None else start + fault.cut
        if fault.stall is not None:
            to.wfile.write(content[start : start + fault.stall])
            to.wfile.flush()
            self.go_on.wait(30)
            start += fault.stall
        to.wfile.write(content[start:end])


def _head(to: BaseHTTPRequestHandler, status: int, **fields: str) -> None:
    to.send_response(status)
    for name, value in fields.items():
        if value:
            to.send_header(name.replace("_", "-"), value)
    to.end_headers()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)


class Keys:
    """Signing keys in a folder of their own, each made when it is first asked for."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._made: set[str] = set()

    def gpg(self, *words: str, at: str = "", given: bytes = b"") -> bytes:
        """Run gpg, if need be at another time such as 20200101T000000."""
        faked = ["--faked-system-time", at] if at else []
        command = [tool("gpg"), "--homedir", str(self._home), "--batch", "--quiet", "--yes", *faked, *words]
        return subprocess.run(command, input=given, capture_output=True, check=True).stdout

    def make(self, name: str, *, at: str = "", expires: str = "never") -> str:
        """Make a key unless it is there, and return the name that gpg knows it by."""
        user = f"{name}@keys.example"
        if name not in self._made:
            self.gpg("--passphrase", "", "--quick-gen-key", user, "ed25519", "sign", expires, at=at)
            self._made.add(name)
        return user

    def fingerprint(self, name: str) -> str:
        listed = self.gpg("--with-colons", "--list-keys", self.make(name)).decode()
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))

    def revoke(self, name: str) -> None:
        """Make a key's own revocation certificate count."""
        certificate = self._home / f"openpgp-revocs.d/{self.fingerprint(name)}.rev"
        self.gpg("--import", given=certificate.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))

    def sign(self, text: bytes, *names: str, at: str = "", options: tuple[str, ...] = ()) -> bytes:
        """Clear-sign a text with keys."""
        users = [word for name in names for word in ("--local-user", self.make(name))]
        return self.gpg(*options, *users, "--clearsign", "--output", "-", at=at, given=text)

    def export(self, keyring: Path, *names: str) -> Path:
        """Write the public keys to a keyring."""
        keyring.write_bytes(self.gpg("--export", *map(self.make, names)))
        return keyring


class DebianArchive:
    """A small archive of Debian packages with signed indexes, in a folder and over HTTP.

    What was added shows in the indexes once it is published.
    """

    def __init__(self, mirror: Mirror, keys: Keys, keyring: Path) -> None:
        self.folder = mirror.folder
        self.mirror = mirror
        self.keys = keys
        self.keyring = keyring
        self._stanzas: dict[Pin, str] = {}

    @property
    def url(self) -> str:
        """The mirror that has the archive's repositories."""
        return self.mirror.url

    def add_package(
        self,
        name: str,
        version: str = "1.0-1",
        architecture: str = "all",
        depends: str = "",
        files: Mapping[str, bytes] | None = None,
        scripts: Mapping[str, str] | None = None,
        *,
        repository: str = "debian",
        suite: str = "bookworm",
        **fields: str,
    ) -> Pin:
        """Build a package with dpkg-deb; programs are executable, `Multi_Arch` is the field Multi-Arch."""
        written = {"Package": name, "Version": version, "Architecture": architecture, "Depends": depends}
        written |= {"Maintainer": "A <a@people.example>", "Description": f"the package {name}"}
        written |= {field.replace("_", "-"): value for field, value in fields.items()}
        stanza = "".join(f"{field}: {value}\n" for field, value in written.items() if value)
        pool = f"pool/main/{name[0]}/{name}/{name}_{version.partition(':')[2] or version}_{architecture}.deb"
        deb = self.folder / repository / pool
        deb.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as tree:
            _fill(Path(tree), {"DEBIAN/control": stanza.encode()}, 0o644)
            _fill(Path(tree), {f"DEBIAN/{script}": text.encode() for script, text in (scripts or {}).items()}, 0o755)
            _fill(Path(tree), files or {}, 0o644)
            command = [tool("dpkg-deb"), "--root-owner-group", "-b", tree, str(deb)]
            environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        size, sha256 = deb.stat().st_size, hashlib.sha256(deb.read_bytes()).hexdigest()
        pin = Pin(name, version, architecture, name, repository, suite, pool, size, sha256)
        self._stanzas[pin] = f"{stanza}Filename: {pool}\nSize: {size}\nSHA256: {sha256}\n"
        return pin

    def remove_package(self, pin: Pin) -> None:
        """Take a package away, from the next indexes too."""
        del self._stanzas[pin]
        (self.folder / pin.repository / pin.path).unlink()

    def publish(
        self,
        suite: str = "bookworm",
        valid_until: datetime | None = None,
        date: datetime = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        *,
        repository: str = "debian",
        sign: bool = True,
        key: str | tuple[str, ...] = "archive",
        by_hash: bool = True,
        forms: tuple[str, ...] = ("", ".xz"),
        **fields: str,
    ) -> None:
        """Write the indexes of a suite for amd64 and arm64, and sign them."""
        dists = self.folder / repository / "dists" / suite
        written = {"Origin": "Sample", "Suite": suite, "Codename": suite, "Date": _rfc(date)}
        written |= {"Valid-Until": _rfc(valid_until)} if valid_until else {}
        written |= {"Acquire-By-Hash": "yes"} if by_hash else {}
        written |= {"Architectures": "all amd64 arm64", "Components": "main"}
        written |= {field.replace("_", "-"): value for field, value in fields.items()}
        sums = ""
        for architecture in ("amd64", "arm64"):
            listed = [
                text
                for pin, text in self._stanzas.items()
                if (pin.repository, pin.suite) == (repository, suite) and pin.architecture in (architecture, "all")
            ]
            packages = "\n".join(listed).encode()
            for form in {"", *forms}:
                path, content = f"main/binary-{architecture}/Packages{form}", _PACKED[form](packages)
                digest = hashlib.sha256(content).hexdigest()
                sums += f" {digest} {len(content)} {path}\n"
                _fill(dists, {path: content} if form in forms else {}, 0o644)
                hashed = f"main/binary-{architecture}/by-hash/SHA256/{digest}"
                _fill(dists, {hashed: content} if by_hash and form in forms else {}, 0o644)
        release = "".join(f"{field}: {value}\n" for field, value in written.items() if value) + f"SHA256:\n{sums}"
        names = (key,) if isinstance(key, str) else key
        inrelease = self.keys.sign(release.encode(), *names) if sign else release.encode()
        _fill(dists, {"InRelease": inrelease, "Release": release.encode()}, 0o644)


_PACKED = {
    "": bytes,
    ".xz": lambda content: lzma.compress(content, preset=0),
    ".gz": lambda content: gzip.compress(content, mtime=0),
}


def _rfc(date: datetime) -> str:
    return date.strftime("%a, %d %b %Y %H:%M:%S UTC")


def _fill(folder: Path, content: Mapping[str, bytes], mode: int) -> None:
    """Write files; what is in a folder of programs is executable."""
    for name, data in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if path.parent.name in ("bin", "sbin") else mode)


@pytest.fixture
def new_mirror() -> Iterator[Callable[..., Mirror]]:
    """Serve a folder over HTTP, from an address of this machine."""
    mirrors: list[Mirror] = []

    def serve(folder: Path, address: str = "127.0.0.1") -> Mirror:
        mirrors.append(Mirror(folder, address))
        return mirrors[-1]

    yield serve
    for mirror in mirrors:
        mirror.close()


@pytest.fixture(scope="session")
def signing_keys() -> Iterator[Keys]:
    """Keys of a gpg that knows no others; its folder has a short name, as sockets must."""
    for name in ("gpg", "gpgconf"):
        tool(name)
    with tempfile.TemporaryDirectory(prefix="gpg-", ignore_cleanup_errors=True) as home:
        yield Keys(Path(home))
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


@pytest.fixture
def debian_archive(signing_keys: Keys, tmp_path: Path, new_mirror: Callable[..., Mirror]) -> DebianArchive:
    """An archive without packages; the keyring beside it has the key that its indexes are signed with."""
    for name in ("dpkg-deb", "gpgv"):
        tool(name)
    (tmp_path / "archive").mkdir()
    keyring = signing_keys.export(tmp_path / "archive.gpg", "archive")
    return DebianArchive(new_mirror(tmp_path / "archive"), signing_keys, keyring)
