"""The command lines of podman, docker and rkt, and which of them is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from procession_tasks.definition.system import Part, Publish
from procession_tasks.errors import BuildError
from procession_tasks.run import rkt
from procession_tasks.run.client import Client
from procession_tasks.run.engine import Engine, choose

FULL = {
    "ports": [{"name": "http", "protocol": "tcp", "port": 8080}, {"name": "log", "protocol": "udp", "port": 514}],
    "mountPoints": [{"name": "data", "path": "/data"}, {"name": "keys", "path": "/keys", "readOnly": True}],
    "supplementaryGIDs": [7],
    "isolators": [
        {"name": "resource/cpu", "value": {"limit": "500m"}},
        {"name": "resource/memory", "value": {"limit": "1Ki"}},
        {"name": "os/linux/no-new-privileges", "value": True},
        {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_CHOWN"]}},
    ],
}
PART = Part(
    environment=(("A", "1"), ("B", "x y")), arguments=("--verbose",), publish=(Publish("http", 18080), Publish("log"))
)
CONFINED = [
    "--cap-drop=ALL",
    "--cap-add=CHOWN",
    "--security-opt=no-new-privileges",
    "--memory=1024",
    "--cpus=0.5",
    "--group-add=7",
    "--publish=127.0.0.1:18080:8080/tcp",
    "--publish=127.0.0.1:514:514/udp",
    "--volume=sample-api-data:/data",
    "--volume=sample-api-keys:/keys:ro",
    "--tmpfs=/tmp",
    "--env=A=1",
    "--env=B=x y",
]
NAMED = ["--name", "sample-api", "--hostname", "sample-api", "--network", "sample", "--pull=never"]


def words(engine: Engine, container: Any, *, detached: bool) -> list[str]:
    return list(engine.run(container, "sha256:1", detached=detached))


def test_podman_is_told_everything(make_sample: Any) -> None:
    container, _ = make_sample(part=PART, **FULL)
    engine = Engine(("podman", "--runtime", "runc"), ("--ulimit", "nofile=64:64"))
    assert words(engine, container, detached=True) == [
        *("podman", "--runtime", "runc", "run", "--detach", f"--label=procession.key={engine.key(container)}"),
        *NAMED,
        *("--label=procession.system=sample", "--label=procession.level=0", "--read-only", "--read-only-tmpfs=false"),
        *CONFINED,
        *("--ulimit", "nofile=64:64", "sha256:1", "--verbose"),
    ]


def test_docker_is_told_the_same_but_for_what_it_does_not_do_anyway(make_sample: Any) -> None:
    container, _ = make_sample(part=PART, **FULL)
    engine = Engine(("/usr/bin/docker",))
    assert words(engine, container, detached=False) == [
        *("/usr/bin/docker", "run", "--rm", f"--label=procession.key={engine.key(container)}"),
        *NAMED,
        *("--label=procession.system=sample", "--label=procession.level=0", "--read-only"),
        *CONFINED,
        *("sha256:1", "--verbose"),
    ]


def test_a_mount_point_at_tmp_is_a_volume_and_no_file_system_in_memory(make_sample: Any) -> None:
    container, _ = make_sample(mountPoints=[{"name": "tmp", "path": "/tmp"}])
    found = words(Engine(("docker",)), container, detached=True)
    assert "--volume=sample-api-tmp:/tmp" in found
    assert "--tmpfs=/tmp" not in found


def test_the_key_tells_containers_apart_by_what_they_are_started_with(make_sample: Any) -> None:
    first, _ = make_sample()
    engine = Engine(("podman",))
    same, _ = make_sample()
    assert engine.key(first) == engine.key(same)
    others = [make_sample(part=Part(environment=(("A", "1"),)))[0], make_sample(part=Part(arguments=("-v",)))[0]]
    keys = {engine.key(first), *map(engine.key, others), Engine(("podman",), ("--init",)).key(first)}
    assert len(keys) == 4


def test_podman_takes_the_layout_and_docker_the_archive(make_sample: Any) -> None:
    _, image = make_sample()
    assert Engine(("podman",)).load(image) == ("podman", "pull", "--quiet", "oci:linux-amd64")
    archive = "/sample/build/oci/api/linux-amd64.tar"
    assert Engine(("docker",)).load(image) == ("docker", "load", "--quiet", "--input", archive)


def test_rkt_reads_the_manifest_itself_and_is_told_the_rest(make_sample: Any) -> None:
    container, image = make_sample(part=PART, **FULL)
    assert list(rkt.command(container, image, Engine(("podman",), ("--init",)))) == [
        *("rkt", "--insecure-options=image", "run", "--net=default", "--dns=host", "--hostname=sample-api"),
        *("--port=http:127.0.0.1:18080", "--port=log:127.0.0.1:514"),
        "--volume=data,kind=empty,readOnly=false,uid=904,gid=905,mode=0700",
        "--volume=keys,kind=empty,readOnly=true,uid=904,gid=905,mode=0700",
        *("/sample/build/aci/api.aci", "--readonly-rootfs=true", "--environment=A=1", "--environment=B=x y"),
        *("--", "--verbose"),
    ]


def test_rkt_gets_its_own_options(make_sample: Any) -> None:
    container, image = make_sample()
    found = rkt.command(container, image, Engine(("rkt", "--debug"), ("--net=host",)))
    assert found[:3] == ("rkt", "--debug", "--insecure-options=image")
    assert found.index("--net=host") > found.index("--net=default")


@pytest.fixture
def path(tmp_path: Path) -> Any:
    """Make a PATH with these programs."""

    def make(*names: str) -> str:
        for name in names:
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        return str(tmp_path)

    return make


def test_podman_comes_before_docker_unless_one_is_named(path: Any) -> None:
    environment = {"PATH": path("docker")}
    assert choose(None, (), environment) == Engine(("docker",))
    environment = {"PATH": path("podman")}
    assert choose(None, ("--init",), environment) == Engine(("podman",), ("--init",))
    assert choose("docker", (), environment) == Engine(("docker",))


def test_the_environment_counts_more_than_the_settings(path: Any) -> None:
    environment = {"PATH": path("podman", "docker"), "PROCESSION_ENGINE": "podman --runtime 'run c'"}
    assert choose("docker", ("--init",), environment) == Engine(("podman", "--runtime", "run c"), ("--init",))
    environment["PROCESSION_ENGINE_OPTIONS"] = "--memory=0 --cpus=0"
    assert choose("docker", ("--init",), environment).options == ("--memory=0", "--cpus=0")
    environment["PROCESSION_ENGINE_OPTIONS"] = ""
    assert choose("docker", ("--init",), environment).options == ()


def test_rkt_may_be_named_where_it_is_not_installed() -> None:
    assert choose("rkt", (), {"PATH": "/nowhere"}).kind == "rkt"


@pytest.mark.parametrize(
    ("named", "environment", "said"),
    [
        (None, {}, "podman or docker must be on PATH to run images, got neither\n  hint: install podman"),
        ("podman", {}, "engine: must be a program on PATH, got 'podman'\n  hint: install podman, or name another"),
        ("/opt/docker", {}, "engine: must be a program on PATH, got '/opt/docker'\n  hint: install docker"),
        ("nerdctl", {}, "engine: must be podman, docker or rkt, got 'nerdctl'"),
        ("podman 'x", {}, 'engine: must be words as a shell reads them, got "podman \'x"'),
        (None, {"PROCESSION_ENGINE_OPTIONS": '"'}, "PROCESSION_ENGINE_OPTIONS: must be words as a shell reads them"),
    ],
)
def test_an_engine_that_cannot_be_used_is_told(named: Any, environment: dict[str, str], said: str) -> None:
    with pytest.raises(BuildError) as caught:
        choose(named, (), {"PATH": "/nowhere"} | environment)
    assert str(caught.value).startswith(said)


def test_a_system_needs_another_engine_than_rkt(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="must be podman or docker for a system, got 'rkt'"):
        Client(Engine(("rkt",)), tmp_path, {})


@pytest.mark.parametrize(
    ("says", "hint"),
    [
        ("Cannot connect to the Docker daemon at unix:///nowhere. Is the docker daemon running?", True),
        ("permission denied while trying to connect to the Docker daemon socket at unix:///nowhere", True),
        ("failed to connect to the docker API at unix:///nowhere; check if the path is correct", True),
        ("Error response from daemon: Conflict.", False),
    ],
)
def test_a_daemon_that_is_not_there_is_told(tmp_path: Path, path: Any, says: str, *, hint: bool) -> None:
    docker = Path(path("docker"), "docker")
    docker.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit 1\n")
    with pytest.raises(BuildError) as caught:
        Client(Engine((str(docker),)), tmp_path, {}).states("sample")
    said = f"docker ps: {says}"
    if hint:
        said += "\n  hint: start docker's daemon, or name another engine in PROCESSION_ENGINE"
    assert str(caught.value) == said
