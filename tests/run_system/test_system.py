"""The project's system on podman: it starts in order, serves, is left alone, fails and stops without a rest."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.definition.system import Health
from procession_tasks.errors import BuildError
from procession_tasks.run.client import Client
from procession_tasks.run.engine import Engine
from procession_tasks.run.foreground import run, run_rkt
from procession_tasks.run.status import listening, logs, ps
from procession_tasks.run.system import down, up

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0


def start(podman: Any, *names: str) -> list[str]:
    """Bring the system up and return what was told of it, without times."""
    podman.told.clear()
    up(podman.containers(*names), podman.images, podman.client, podman.tell)
    return [re.sub(r" after [0-9.]+ s", "", line) for line in podman.told if ": loading" not in line]


def ask(port: int, path: str, body: Any = None) -> tuple[Any, dict[str, str]]:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", content, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.loads(answer.read()), dict(answer.headers)


def until(holds: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain until {what}"
        time.sleep(0.1)
    return found


def test_the_whole_system_serves_and_leaves_nothing(podman: Any) -> None:
    told = start(podman)
    assert sorted(told) == [f"procession-{name}: healthy" for name in sorted(podman.images)]
    assert told.index("procession-api: healthy") > max(
        told.index(f"procession-{name}: healthy") for name in ("etcd", "iam", "memcached")
    )
    api = podman.port("api")
    made, _ = ask(api, "/v1/users", {"name": "anna", "email": "anna@example.org"})
    for cached in ("miss", "hit"):
        found, headers = ask(api, f"/v1/users/{made['id']}")
        assert (found["name"], headers["X-Cache"]) == ("anna", cached)
    assert ask(podman.port("iam"), "/v1/users")[0]["users"][0]["id"] == made["id"]  # it is iam that has her

    def registered() -> list[str]:
        key = base64.b64encode(b"/procession/services/").decode()
        end = base64.b64encode(b"/procession/services0").decode()
        found = ask(podman.port("etcd"), "/v3/kv/range", {"key": key, "range_end": end})[0]
        return [base64.b64decode(item["key"]).decode() for item in found.get("kvs", ())]

    assert until(registered, "api is registered") == ["/procession/services/procession-api/procession-api:8080"]

    def targets() -> dict[str, str]:
        found = ask(podman.port("prometheus"), "/api/v1/targets")[0]["data"]["activeTargets"]
        return {target["scrapePool"]: target["health"] for target in found}

    wanted = dict.fromkeys(("procession-api", "procession-iam", "prometheus"), "up")
    until(lambda: targets() == wanted, "Prometheus has scraped all")

    rows = [line.split() for line in ps(podman.containers(), podman.client).splitlines()]
    assert rows[0] == ["name", "state", "health", "ports", "version", "image"]
    assert sorted((row[0], row[1], row[2], row[3]) for row in rows[1:]) == [
        (f"procession-{name}", "running", "healthy", str(podman.port(name))) for name in sorted(podman.images)
    ]
    assert f"procession-api         http       127.0.0.1:{api}\n" in listening(podman.containers())

    podman.told.clear()
    down("procession", podman.client, podman.tell)
    assert podman.told[0] == "procession-prometheus: removed"
    assert podman.told[1] == "procession-api: removed"
    assert len(podman.told) == len(podman.images)
    assert podman.left.keys() == {"volumes"}
    down("procession", podman.client, podman.tell, volumes=True)
    assert podman.left == {}


def test_containers_have_no_more_rights_than_their_manifest_says(podman: Any) -> None:
    podman.only("etcd", "memcached")
    start(podman)
    for name, user in (("etcd", "901:901"), ("memcached", "903:903")):
        (found,) = json.loads(podman("container", "inspect", f"procession-{name}"))
        assert (found["Config"]["User"], found["BoundingCaps"]) == (user, ["CAP_NET_BIND_SERVICE"])
        host = found["HostConfig"]
        assert (host["ReadonlyRootfs"], host["Privileged"], host["SecurityOpt"]) == (True, False, ["no-new-privileges"])
        limits = {"etcd": 512, "memcached": 128}
        assert (host["Memory"], host["NanoCpus"]) == (limits[name] * 1024**2, 10**9)
        bound = [place["HostIp"] for places in host["PortBindings"].values() for place in places or ()]
        assert bound == ["127.0.0.1"]
    (found,) = json.loads(podman("container", "inspect", "procession-etcd"))
    assert [(mount["Destination"], mount["Name"]) for mount in found["Mounts"]] == [
        ("/var/lib/etcd", "procession-etcd-data")
    ]
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{found['State']['Pid']}/status").read_text().splitlines()
    )
    assert (status["NoNewPrivs"], status["Uid"].split()[0], int(status["CapBnd"], 16)) == ("1", "901", 1 << 10)
    mounts = [line.split() for line in Path(f"/proc/{found['State']['Pid']}/mountinfo").read_text().splitlines()]
    writable = {place for _, _, _, _, place, options, *_ in mounts if "rw" in options.split(",")}
    assert "/" not in writable
    assert {"/tmp", "/var/lib/etcd"} <= writable
    assert not {"/run", "/var/tmp"} & writable


def test_what_runs_already_is_left_alone_and_what_changed_is_replaced(podman: Any) -> None:
    podman.only("iam", "memcached")
    assert sorted(start(podman)) == ["procession-iam: healthy", "procession-memcached: healthy"]
    before = podman.client.states("procession")
    assert sorted(start(podman)) == ["procession-iam: was running", "procession-memcached: was running"]
    assert podman.client.states("procession") == before
    podman.change("memcached", arguments=("--memory-limit=32",))
    assert sorted(start(podman)) == ["procession-iam: was running", "procession-memcached: healthy"]
    podman("stop", "procession-iam")
    assert sorted(start(podman)) == ["procession-iam: healthy", "procession-memcached: was running"]
    with socket.create_connection(("127.0.0.1", podman.port("memcached")), timeout=10) as stream:
        stream.sendall(b"stats\r\nquit\r\n")
        said = b"".join(iter(lambda: stream.recv(4096), b""))
    assert b"STAT limit_maxbytes 33554432\r\n" in said


def test_data_outlives_the_containers(podman: Any) -> None:
    podman.only("iam")
    start(podman)
    made, _ = ask(podman.port("iam"), "/v1/users", {"name": "anna", "email": "anna@example.org"})
    down("procession", podman.client, podman.tell)
    start(podman)
    assert ask(podman.port("iam"), f"/v1/users/{made['id']}")[0] == made


def test_only_what_is_named_and_what_it_needs_is_started(podman: Any) -> None:
    podman.only("iam", "memcached", "etcd")
    podman.change("iam", needs=("memcached",))
    assert start(podman, "iam") == ["procession-memcached: healthy", "procession-iam: healthy"]


def test_limits_can_be_switched_off_where_they_cannot_be_had(podman: Any) -> None:
    podman.only("memcached")
    podman.client.engine = Engine(("podman",), ("--memory=0", "--cpus=0"))
    start(podman)
    (found,) = json.loads(podman("container", "inspect", "procession-memcached"))
    assert (found["HostConfig"]["Memory"], found["HostConfig"]["NanoCpus"]) == (0, 0)


def test_a_failure_takes_with_it_what_was_started_and_leaves_what_ran(podman: Any) -> None:
    podman.only("iam", "memcached", "etcd")
    start(podman, "etcd")
    podman.change("iam", needs=("memcached",), arguments=("--no-such-flag",))
    with pytest.raises(BuildError) as caught:
        start(podman)
    message = str(caught.value)
    assert message.startswith(
        "procession-iam: must keep running, got an end with status 2\n  what it printed last:\n  | "
    )
    assert "no-such-flag" in message
    assert message.endswith("\n  hint: doit run:iam runs it by itself; what this run had started was removed again")
    assert podman.left["containers"] == ["procession-etcd"]
    podman.change("iam", arguments=())
    assert sorted(start(podman)) == [
        "procession-etcd: was running",
        "procession-iam: healthy",
        "procession-memcached: healthy",
    ]


def test_one_that_stays_unhealthy_is_told_with_its_log(podman: Any) -> None:
    podman.only("iam")
    podman.change("iam", health=Health("http", "/no/such/path", within=1))
    with pytest.raises(BuildError) as caught:
        start(podman)
    message = str(caught.value)
    assert (
        f"procession-iam: must be healthy within 1 s, got http://127.0.0.1:{podman.port('iam')}/no/such/path" in message
    )
    assert '"msg":"listening"' in message
    assert podman.left.keys() == {"volumes"}


def test_a_port_in_use_is_found_before_anything_starts(podman: Any) -> None:
    podman.only("iam", "memcached")
    with socket.create_server(("127.0.0.1", podman.port("memcached"))), pytest.raises(BuildError) as caught:
        start(podman)
    assert f"procession-memcached: port {podman.port('memcached')} of 127.0.0.1 must be free" in str(caught.value)
    assert podman.left == {}
    start(podman)


def test_a_network_without_a_name_server_is_told(podman: Any, tmp_path: Path) -> None:
    configuration = Path(podman.client.environment["CONTAINERS_CONF"])
    text = configuration.read_text().replace("netavark", "cni").replace("/net", "/cni")
    (tmp_path / "containers.conf").write_text(text)
    environment = podman.client.environment | {"CONTAINERS_CONF": str(tmp_path / "containers.conf")}
    podman.client = Client(Engine(("podman",)), tmp_path, environment)
    plugins = Path("/usr/lib/cni")
    if not (plugins / "bridge").exists():
        pytest.skip("containernetworking-plugins are not installed")
    if (plugins / "dnsname").exists():
        pytest.skip("the dnsname plugin is installed")
    podman.only("memcached")
    with pytest.raises(BuildError) as caught:
        start(podman)
    assert "podman: containers must find one another by name, got a network without a name server" in str(caught.value)
    assert podman.left.get("networks") is None
    assert podman.left.get("containers") is None


def test_a_container_of_somebody_else_is_not_touched(podman: Any) -> None:
    podman.only("memcached", "iam")
    start(podman, "memcached")
    image = podman.images["memcached"].config
    down("procession", podman.client, podman.tell)
    podman("run", "--detach", "--net=none", "--name", "procession-memcached", image)
    with pytest.raises(BuildError, match="podman run: .*procession-memcached.*already in use"):
        start(podman)
    assert podman.left["containers"] == ["procession-memcached"]
    down("procession", podman.client, podman.tell, volumes=True)
    assert podman.left == {"containers": ["procession-memcached"]}


def test_an_interruption_leaves_nothing_and_a_repeat_works(podman: Any, interrupt: Callable[[], None]) -> None:
    podman.only("iam", "memcached", "etcd")
    podman.change("iam", needs=("memcached",), health=Health("http", "/no/such/path"))

    def tell(text: str) -> None:
        if text.startswith("procession-memcached: healthy"):
            interrupt()

    with pytest.raises(KeyboardInterrupt):
        up(podman.containers(), podman.images, podman.client, tell)
    assert podman.left.keys() <= {"volumes"}
    podman.change("iam", health=None)
    assert "procession-iam: started" in start(podman)


def test_down_works_when_half_of_it_is_gone(podman: Any) -> None:
    podman.only("iam", "memcached", "etcd")
    start(podman)
    podman("rm", "--force", "-t", "0", "procession-iam")
    podman("stop", "-t", "0", "procession-etcd")
    podman("volume", "rm", "procession-iam-data")
    row = next(line for line in ps(podman.containers(), podman.client).splitlines() if "iam" in line)
    assert row == "procession-iam        not there"
    assert "exited (" in ps(podman.containers(), podman.client)
    podman.only("iam")  # what is no longer defined goes too
    assert "not defined" in ps(podman.containers(), podman.client)
    down("procession", podman.client, podman.tell, volumes=True)
    assert podman.left == {}
    down("procession", podman.client, podman.tell, volumes=True)


def test_logs_are_told_with_names(podman: Any, capsys: Any) -> None:
    podman.only("iam", "memcached")
    start(podman)
    capsys.readouterr()
    logs(["iam"], podman.client, "procession")
    told = capsys.readouterr().out
    assert told.startswith('procession-iam | {"time":')
    assert '"msg":"listening"' in told
    logs([], podman.client, "procession")
    assert 'procession-iam       | {"time"' in capsys.readouterr().out
    with pytest.raises(BuildError, match="procession-etcd: must be a container that is there, got|must be a container"):
        logs(["etcd"], podman.client, "procession")


def test_logs_are_followed_until_an_interruption(
    podman: Any, capsys: Any, monkeypatch: Any, interrupt: Callable[[], None]
) -> None:
    podman.only("iam")
    start(podman)
    follow, seen = podman.client.follow, []

    def followed(name: str, tell: Callable[[bytes], None], *, more: bool) -> None:
        def look(line: bytes) -> None:
            tell(line)
            seen.append(line)
            if b"listening" in line:
                ask(podman.port("iam"), "/v1/users")
            if b'"path":"/v1/users"' in line:
                interrupt()

        follow(name, look, more=more)

    monkeypatch.setattr(podman.client, "follow", followed)
    with pytest.raises(KeyboardInterrupt):
        logs([], podman.client, "procession", follow=True)
    assert 'procession-iam | {"time"' in capsys.readouterr().out
    assert any(b'"path":"/v1/users"' in line for line in seen)


def test_one_image_runs_in_the_foreground_until_an_interruption(
    podman: Any, capfd: Any, interrupt: Callable[[], None]
) -> None:
    podman.only("iam")
    container = podman.container("iam")
    import threading

    def stop() -> None:
        until(lambda: "listening" in str(podman.client.log("procession-iam", 9)), "it listens")
        interrupt()

    threading.Thread(target=stop, daemon=True).start()
    assert run(container, podman.images["iam"], podman.client, podman.tell) == 0
    assert podman.told[-1] == f"procession-iam: http is reached on 127.0.0.1:{podman.port('iam')}"
    assert '"msg":"stopped"' in "".join(capfd.readouterr())
    assert podman.left == {"volumes": ["procession-iam-data"]}


def test_the_exit_status_of_a_program_in_the_foreground_is_passed_on(podman: Any, capfd: Any) -> None:
    podman.change("iam", arguments=("--no-such-flag",))
    assert run(podman.container("iam"), podman.images["iam"], podman.client, podman.tell) == 2
    assert "no-such-flag" in "".join(capfd.readouterr())
    assert podman.left.keys() <= {"volumes"}


def test_one_that_runs_already_is_not_run_twice(podman: Any) -> None:
    podman.only("iam")
    start(podman)
    with pytest.raises(BuildError, match="procession-iam: must not be there already, got one that is running"):
        run(podman.container("iam"), podman.images["iam"], podman.client, podman.tell)
    assert podman.client.states("procession")["procession-iam"].is_running


def test_rkt_that_is_not_there_is_told_with_its_command(podman: Any) -> None:
    if shutil.which("rkt"):
        pytest.skip("rkt is installed")
    image = podman.images["etcd"]
    with pytest.raises(BuildError, match="must be a program on PATH, got 'rkt'"):
        run_rkt(podman.container("etcd"), image, Engine(("rkt",)), image.layout, {"PATH": "/nowhere"}, podman.tell)
    assert podman.told[0].startswith("rkt --insecure-options=image run --net=default")
    assert f"uid=901,gid=901,mode=0700 '{image.aci}' --readonly-rootfs=true" in podman.told[0]
    assert image.aci.exists()
