"""Packed images, started as their own manifests say: without privilege, on a read-only root."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).with_name("probe.py")
IMAGES = ("api", "etcd", "iam", "memcached", "mysql", "prometheus")
PATIENCE_S = 60.0


def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait until something holds and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain until {what}"
        time.sleep(0.005)
    return found


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


@dataclass(frozen=True)
class Image:
    """An unpacked image; how it is run is read from its own manifest and accounts."""

    rootfs: Path
    app: Mapping[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return {variable["name"]: variable["value"] for variable in self.app["environment"]}

    @property
    def mount_points(self) -> dict[str, str]:
        return {point["name"]: point["path"] for point in self.app.get("mountPoints", [])}

    @property
    def port(self) -> int:
        """The first port."""
        return int(self.app["ports"][0]["port"])

    @property
    def memory(self) -> int:
        """The most memory that it may use, in bytes."""
        (value,) = (item["value"] for item in self.app["isolators"] if item["name"] == "resource/memory")
        return int(value["limit"][:-2]) * {"Mi": 2**20, "Gi": 2**30}[value["limit"][-2:]]

    @cached_property
    def uid(self) -> int:
        return self._number("etc/passwd", self.app["user"])

    @cached_property
    def gid(self) -> int:
        return self._number("etc/group", self.app["group"])

    def _number(self, file: str, name: str) -> int:
        lines = (self.rootfs / file).read_text().splitlines()
        return int(next(line.split(":")[2] for line in lines if line.startswith(f"{name}:")))


def unpack(archive: Path, folder: Path) -> Image:
    """Unpack an archive, with the owners it names if we may, and add the places that every runtime adds."""
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="fully_trusted", numeric_owner=True)
    rootfs = folder / "rootfs"
    for name in ("dev", "proc", "sys", "etc"):
        (rootfs / name).mkdir(exist_ok=True)
    (rootfs / "etc/hosts").touch()
    return Image(rootfs, json.loads((folder / "manifest").read_text())["app"])


@dataclass(frozen=True)
class Run:
    """What is to be run: an image, its arguments and environment, and folders of this machine by mount point.

    `hosts` is the file of host names; `network` is a process whose network is used, or None for a new one.
    """

    image: Image
    arguments: list[str]
    environment: dict[str, str]
    volumes: dict[str, Path]
    hosts: Path
    network: int | None


def bubblewrap_command(run: Run, info: int) -> list[str]:
    """Make the command that runs it with bwrap as the image's user, which writes the process number to `info`."""
    command = [*entering(run.network), *becoming(run.image.uid, run.image.gid), "bwrap"]
    command += ["--unshare-user", "--uid", str(run.image.uid), "--gid", str(run.image.gid), "--cap-drop", "ALL"]
    command += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", *([] if run.network else ["--unshare-net"])]
    command += ["--as-pid-1", "--die-with-parent", "--info-fd", str(info)]
    command += ["--ro-bind", str(run.image.rootfs), "/", "--proc", "/proc", "--tmpfs", "/dev"]
    # Not --dev, whose terminals take a user namespace more, and then nsenter would need privilege.
    for device in ("full", "null", "random", "urandom", "zero"):
        command += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    command += ["--remount-ro", "/dev"]
    command += ["--ro-bind", str(run.hosts), "/etc/hosts", "--chdir", run.image.app["workingDirectory"], "--clearenv"]
    for path, folder in run.volumes.items():
        command += ["--bind", str(folder), path]
    for name, value in run.environment.items():
        command += ["--setenv", name, value]
    return [*command, "--", *run.arguments]


def runc_config(run: Run) -> dict[str, Any]:
    """Make the config.json of a bundle.

    Source: OCI runtime specification 1.0, "Configuration".
    """
    network = {"type": "network"} | ({"path": f"/proc/{run.network}/ns/net"} if run.network else {})
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/etc/hosts", "type": "bind", "source": str(run.hosts), "options": ["bind", "ro"]},
        *(
            {"destination": path, "type": "bind", "source": str(folder), "options": ["bind", "nosuid", "nodev"]}
            for path, folder in run.volumes.items()
        ),
    ]
    none: dict[str, list[str]] = {name: [] for name in ("bounding", "effective", "inheritable", "permitted", "ambient")}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": run.image.uid, "gid": run.image.gid},
            "args": run.arguments,
            "env": [f"{name}={value}" for name, value in run.environment.items()],
            "cwd": run.image.app["workingDirectory"],
            "capabilities": none,
            "rlimits": [],
            "noNewPrivileges": True,
        },
        "root": {"path": str(run.image.rootfs), "readonly": True},
        "mounts": mounts,
        "linux": {
            "namespaces": [network, *({"type": name} for name in ("pid", "ipc", "uts", "mount"))],
            "resources": {"memory": {"limit": run.image.memory}},
        },
    }


def entering(pid: int | None) -> list[str]:
    """Make the beginning of a command that is run in the network of a process, if one is given."""
    if pid is None:
        return []
    if os.geteuid() == 0:
        return ["nsenter", f"--target={pid}", "--net", "--"]
    return ["nsenter", f"--target={pid}", "--user", "--net", "--preserve-credentials", "--"]


def becoming(uid: int, gid: int) -> list[str]:
    """Make the beginning of a command that is run as another user, where we may; else we stay who we are."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--"]


@dataclass(frozen=True)
class Server:
    """A started image; `pid` is its first process, as this machine numbers it, and `network` one with its network."""

    image: Image
    process: subprocess.Popen[bytes]
    pid: int
    network: int
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def probing(self, question: str, **arguments: Any) -> list[str]:
        """Make the command that asks a question of probe.py, at the first port if no other is given."""
        asked = json.dumps({"port": self.image.port} | arguments)
        return [*entering(self.network), sys.executable, str(PROBE), question, asked]

    def ask(self, question: str, **arguments: Any) -> Any:
        """Ask a question of probe.py and return the answer."""
        command = self.probing(question, **arguments)
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert asked.returncode == 0, asked.stderr + self.log
        return json.loads(asked.stdout)

    def get(self, path: str, body: Any = None, **arguments: Any) -> Any:
        """Ask for JSON that must be there."""
        answer = self.ask("http", path=path, body=body, **arguments)
        assert answer["status"] == 200, answer
        return json.loads(answer["text"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the first process a signal and return the exit status."""
        os.kill(self.pid, number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end and return the exit status."""
        return self.process.wait(timeout=PATIENCE_S)


@dataclass
class Runtime:
    """Runs images with bwrap or runc, and keeps their folders under its own."""

    name: str
    folder: Path
    servers: list[Server] = field(default_factory=list)

    def start(
        self, image: Image, *arguments: str, beside: Server | None = None, volumes: Any = None, **environment: str
    ) -> Server:
        """Start an image, with further arguments and environment.

        `volumes` are folders by the name of the mount point; the other mount points get fresh ones.
        With `beside` it shares the network of another server, as the containers of a pod do.
        """
        place = self.folder / str(len(self.servers))
        place.mkdir(mode=0o755)
        hosts = place / "hosts"
        hosts.write_text("127.0.0.1 localhost procession-api procession-iam\n")
        given = volumes or {}
        folders = {path: given.get(name) or self.volume(image) for name, path in image.mount_points.items()}
        environment = image.environment | environment
        network = beside.network if beside else None
        run = Run(image, [*image.app["exec"], *arguments], environment, folders, hosts, network)
        with (place / "log").open("wb") as log:
            process, pid = (self._bubblewrap if self.name == "bwrap" else self._runc)(run, place, log)
        self.servers.append(Server(image, process, pid, network or pid, place / "log"))
        return self.servers[-1]

    def volume(self, image: Image) -> Path:
        """Make an empty folder that belongs to the image's user and is closed to others."""
        made = Path(tempfile.mkdtemp(dir=self.folder))
        if os.geteuid() == 0:
            os.chown(made, image.uid, image.gid)
        return made

    def _bubblewrap(self, run: Run, _place: Path, log: Any) -> tuple[subprocess.Popen[bytes], int]:
        reader, writer = os.pipe()
        command = bubblewrap_command(run, writer)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[writer])
        os.close(writer)
        said = b""
        with os.fdopen(reader, "rb", buffering=0) as stream:
            while b"}" not in said and (more := stream.read(4096)):
                said += more
        assert said, Path(log.name).read_text()
        return process, int(json.loads(said)["child-pid"])

    def _runc(self, run: Run, place: Path, log: Any) -> tuple[subprocess.Popen[bytes], int]:
        (place / "config.json").write_text(json.dumps(runc_config(run)))
        command = ["runc", "--root", str(self.folder / "runc"), "run", "--bundle", str(place)]
        command += ["--pid-file", str(place / "pid"), f"proof-{os.getpid()}-{place.name}"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: process.poll() is not None or (place / "pid").exists(), "runc has started")
        assert (place / "pid").exists(), Path(log.name).read_text()
        return process, int((place / "pid").read_text())

    def end(self) -> None:
        """Kill what still runs."""
        for server in self.servers:
            if server.process.poll() is None:
                server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the packed images: that which PROCESSION_PROOF names, or those of a build in a copy."""
    if given := os.environ.get("PROCESSION_PROOF"):
        return Path(given)
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    root = (shared or tmp_path_factory.getbasetemp()) / "proof"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:  # of several processes that test, the first builds
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "built").exists():
            build(root / "project")
            (root / "built").touch()
    return root / "project/build/aci"


def build(root: Path) -> None:
    """Build all images in a copy of the project."""
    shutil.rmtree(root, ignore_errors=True)
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("procession_tasks", "deploy", "services"):
        shutil.copytree(REPOSITORY / name, root / name, symlinks=True, ignore=unwanted)
    for name in ("dodo.py", "pyproject.toml"):
        shutil.copyfile(REPOSITORY / name, root / name)
    command = [sys.executable, "-m", "doit", "build"]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="session")
def workplace() -> Iterator[Path]:
    """A folder that users of images can reach, unlike that of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="procession-proof-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def images(archives: Path, workplace: Path) -> dict[str, Image]:
    """All images, unpacked from their archives."""
    found = {}
    for name in IMAGES:
        (archive,) = archives.glob(f"procession-{name}-*-linux-amd64.aci")
        found[name] = unpack(archive, workplace / name)
    return found


def refusal(name: str) -> str | None:
    """Say why a runtime cannot be used here, or None."""
    for program in (name, "nsenter", "setpriv"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if name == "runc":
        return None if os.geteuid() == 0 else "runc needs root"
    command = [*becoming(65534, 65534), "bwrap", "--unshare-user", "--unshare-net", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"bwrap may not make namespaces here: {tried.stderr.strip()}"


def _runtime(name: str, workplace: Path) -> Iterator[Runtime]:
    if why := refusal(name):
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(dir=workplace))
    folder.chmod(0o755)
    runtime = Runtime(name, folder)
    yield runtime
    runtime.end()
    shutil.rmtree(folder)


@pytest.fixture(params=["bwrap", "runc"])
def runtime(request: pytest.FixtureRequest, workplace: Path) -> Iterator[Runtime]:
    """Each of the runtimes."""
    yield from _runtime(request.param, workplace)


@pytest.fixture
def bubblewrap(workplace: Path) -> Iterator[Runtime]:
    """The runtime that needs no privilege."""
    yield from _runtime("bwrap", workplace)
