"""The project's own images, built once, and podman with a store of its own to run them."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import process
from procession_tasks.definition.imagefile import image_names
from procession_tasks.definition.load import load_image
from procession_tasks.definition.manifest import ImageManifest, parse_manifest
from procession_tasks.definition.project import load_project
from procession_tasks.definition.system import Health, Part, Publish, System, load_system
from procession_tasks.run.built import Built, read_built
from procession_tasks.run.client import Client
from procession_tasks.run.container import Container, container, containers
from procession_tasks.run.engine import Engine

REPOSITORY = Path(__file__).resolve().parents[2]
CONTAINERS_CONF = """\
[containers]
default_ulimits = []
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{place}/tmp"
static_dir = "{place}/store/libpod"
volume_path = "{place}/store/volumes"
[network]
network_backend = "netavark"
network_config_dir = "{place}/net"
"""
STORAGE_CONF = """\
[storage]
driver = "overlay"
graphroot = "{place}/store"
runroot = "{place}/run"
"""


def manifest_of(name: str = "api", **app: Any) -> ImageManifest:
    """A manifest of which only the app matters."""
    app = {"exec": [f"/bin/{name}"], "user": "0", "group": "0"} | app
    written = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"sample.example/{name}", "app": app}
    return parse_manifest(json.dumps(written).encode(), "manifest")


def sample(name: str = "api", part: Part | None = None, **app: Any) -> tuple[Container, Built]:
    """A container of an image that was never built, and that image."""
    manifest = manifest_of(name, **app)
    layout = Path("/sample/build/oci", name, "linux-amd64")
    built = Built(
        name=name,
        manifest=manifest,
        layout=layout,
        archive=layout.with_suffix(".tar"),
        aci=Path(f"/sample/build/aci/{name}.aci"),
        config="sha256:" + "c" * 64,
        digest="sha256:" + "d" * 64,
        full_name=f"sample.example/{name}:1.0.0",
        user="904:905",
    )
    return container(System(((name, part or Part()),), "sample"), built), built


@pytest.fixture
def make_sample() -> Callable[..., tuple[Container, Built]]:
    return sample


def free_ports(count: int) -> list[int]:
    """Choose ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    numbers = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return numbers


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which everything is built."""
    shared = tmp_path_factory.getbasetemp()
    root = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "system"
    root.mkdir(exist_ok=True)
    with (root / "lock").open("w") as lock:  # of several processes that test, the first builds
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "built").exists():
            build(root / "Project One")
            (root / "built").touch()
    return root / "Project One"


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


@dataclass
class Podman:
    """A client of podman, and the system that it is to run, on free ports."""

    client: Client
    system: System
    images: dict[str, Built]
    told: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        self.told.append(text)

    def change(self, name: str, **part: Any) -> None:
        """Have the system say something else of an image."""
        parts = dict(self.system.images)
        parts[name] = dataclasses.replace(parts[name], **part)
        self.system = dataclasses.replace(self.system, images=tuple(sorted(parts.items())))

    def only(self, *names: str) -> None:
        """Leave these images alone in the system."""
        parts = tuple((name, dataclasses.replace(part, needs=())) for name, part in self.system.images if name in names)
        self.system = dataclasses.replace(self.system, images=parts)

    def containers(self, *names: str) -> tuple[Container, ...]:
        return containers(self.system, self.images, *names)

    def container(self, name: str) -> Container:
        return container(self.system, self.images[name])

    def port(self, name: str) -> int:
        """The port of this machine that leads to an image's first."""
        return self.container(name).bindings[0].host_port

    def __call__(self, *words: str) -> str:
        """Ask podman something that must succeed."""
        done = self.client.ask(*words)
        assert done.status == 0, done.stderr.decode()
        return done.stdout.decode()

    def listed(self, *words: str) -> list[str]:
        return self(*words).split()

    @property
    def left(self) -> dict[str, list[str]]:
        """What there is of the system."""
        every = {"containers": ("ps", "--all", "--format={{.Names}}"), "volumes": ("volume", "ls", "--quiet")}
        found = {what: sorted(self.listed(*words)) for what, words in every.items()}
        networks = [name for name in self.listed("network", "ls", "--format={{.Name}}") if name != "podman"]
        return {what: names for what, names in (found | {"networks": networks}).items() if names}


@pytest.fixture(scope="session")
def podman_store() -> Iterator[dict[str, str]]:
    """The environment in which podman has a store and networks of its own."""
    from_path = {name: shutil.which(name) for name in ("podman", "runc", "conmon", "iptables")}
    helpers = {name: Path("/usr/lib/podman", name) for name in ("netavark", "aardvark-dns")}
    missing = [name for name, found in from_path.items() if not found]
    missing += [name for name, path in helpers.items() if not path.exists() and not shutil.which(name)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"not installed: {', '.join(missing)}" if missing else "podman needs root here")
    place = Path(tempfile.mkdtemp(prefix="podman-"))  # sockets have short names
    (place / "containers.conf").write_text(CONTAINERS_CONF.format(place=place))
    (place / "storage.conf").write_text(STORAGE_CONF.format(place=place))
    environment = os.environ | {
        "CONTAINERS_CONF": str(place / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(place / "storage.conf"),
    }
    yield environment
    subprocess.run(["podman", "rm", "--force", "--all"], env=environment, capture_output=True, check=False)
    subprocess.run(["umount", place / "store/overlay"], capture_output=True, check=False)
    shutil.rmtree(place)


@pytest.fixture
def podman(podman_store: dict[str, str], project: Path) -> Iterator[Podman]:
    """podman and the project's system; what a test leaves is removed."""
    settings = load_project(project)
    found = {name: load_image(project, settings, name) for name in image_names(project, settings)}
    images = {
        name: read_built(
            name,
            image.manifest,
            project / f"build/oci/{name}/linux-amd64",
            project / f"build/oci/{name}/linux-amd64.tar",
            project / f"build/aci/{image.stem}-linux-amd64.aci",
        )
        for name, image in found.items()
    }
    client = Client(Engine(("podman",)), project, podman_store)
    podman = Podman(client, load_system(project, {name: image.manifest for name, image in found.items()}), images)
    for (name, part), number in zip(podman.system.images, free_ports(len(images)), strict=True):
        assert isinstance(part.health, Health)
        podman.change(name, publish=(Publish(part.health.port, number),))
    with Path(tempfile.gettempdir(), "procession-podman.lock").open("w") as lock:  # name servers share a folder
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield podman
        for words in (
            ("rm", "--force", "--all", "-t", "0"),
            ("network", "prune", "--force"),
            ("volume", "prune", "--force"),
        ):
            podman.client.ask(*words)


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Interrupt the main thread as Ctrl-C does; test runners ignore it otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    yield
    assert process._running == set()
