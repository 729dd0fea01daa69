"""Each image serves from its packed archive: no privilege, read-only root, only its mount points to write to."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def as_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_servers_have_no_privilege_and_a_read_only_root(images: Any, runtime: Any) -> None:
    server = runtime.start(images["memcached"])
    assert server.ask("lines", say="quit\r\n") == ""
    process = Path(f"/proc/{server.pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    user = server.image.uid if os.geteuid() == 0 else os.geteuid()
    assert (status["Uid"], status["NoNewPrivs"]) == ("\t".join([str(user)] * 4), "1")
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    assert ["ro" in options.split(",") for _, _, _, _, place, options, *_ in mounts if place == "/"] == [True]
    for name in ("net", "pid", "ipc", "uts", "mnt"):
        assert os.readlink(process / "ns" / name) != os.readlink(f"/proc/self/ns/{name}")


def test_etcd_keeps_what_is_put(images: Any, runtime: Any) -> None:
    server = runtime.start(images["etcd"])
    assert server.get("/health") == {"health": "true"}
    key = {"key": as_base64("/procession/services/api")}
    server.get("/v3/kv/put", key | {"value": as_base64("10.0.0.1:8080")})
    (found,) = server.get("/v3/kv/range", key)["kvs"]
    assert base64.b64decode(found["value"]) == b"10.0.0.1:8080"
    assert server.stop() == 0, server.log


def test_etcd_takes_settings_from_the_environment_and_its_data_from_the_volume(images: Any, bubblewrap: Any) -> None:
    data = {"data": bubblewrap.volume(images["etcd"])}
    client = "http://127.0.0.1:12379"
    settings = {"ETCD_LISTEN_CLIENT_URLS": client, "ETCD_ADVERTISE_CLIENT_URLS": client}
    server = bubblewrap.start(images["etcd"], volumes=data)
    server.get("/v3/kv/put", {"key": as_base64("k"), "value": as_base64("v")})
    assert server.stop() == 0
    again = bubblewrap.start(images["etcd"], volumes=data, **settings)
    assert again.get("/v3/kv/range", {"key": as_base64("k")}, port=12379)["kvs"][0]["value"] == as_base64("v")
    assert client in json.dumps(again.get("/v3/cluster/member/list", {}, port=12379)["members"])
    assert again.stop() == 0


def test_memcached_gives_back_what_was_set(images: Any, runtime: Any) -> None:
    server = runtime.start(images["memcached"])
    said = server.ask("lines", say="version\r\nset k 0 60 5\r\nhello\r\nget k\r\nget other\r\nquit\r\n")
    assert said == "VERSION 1.6.18\r\nSTORED\r\nVALUE k 0 5\r\nhello\r\nEND\r\nEND\r\n"
    assert server.stop() == 0, server.log


def test_memcached_takes_further_arguments(images: Any, bubblewrap: Any) -> None:
    server = bubblewrap.start(images["memcached"], "--memory-limit=128")
    said = server.ask("lines", say="stats\r\nquit\r\n")
    assert f"STAT limit_maxbytes {128 * 1024 * 1024}\r\n" in said
    assert server.stop() == 0


def test_prometheus_is_ready_answers_queries_and_has_its_pages(images: Any, runtime: Any) -> None:
    server = runtime.start(images["prometheus"])
    deadline = time.monotonic() + 30
    while (answer := server.ask("http", path="/-/ready"))["status"] == 503:  # it listens before it has read its data
        assert time.monotonic() < deadline
    assert answer["status"] == 200
    answer = server.get("/api/v1/query?query=1%2B1")
    assert (answer["status"], answer["data"]["result"][1]) == ("success", "2")
    page = server.ask("http", path="/")
    assert page["status"] == 200
    assert "<title>Prometheus" in page["text"]
    assert server.stop() == 0, server.log


def test_every_file_that_prometheus_pages_ask_for_is_there(images: Any, bubblewrap: Any) -> None:
    server = bubblewrap.start(images["prometheus"])
    found = set()
    for page in ("graph", "alerts", "status", "flags", "config", "rules", "targets", "service-discovery"):
        answer = server.ask("http", path=f"/classic/{page}")
        assert answer["status"] == 200, page
        found |= set(re.findall(r'(?:src|href)="(/classic/static/[^"?]*)', answer["text"]))
    assert len(found) > 20
    assert set(server.ask("statuses", paths=sorted(found)).values()) == {200}


def test_prometheus_scrapes_the_services(images: Any, bubblewrap: Any) -> None:
    iam = bubblewrap.start(images["iam"])
    api = bubblewrap.start(images["api"], beside=iam)
    server = bubblewrap.start(images["prometheus"], beside=iam)
    assert api.get("/healthz") == iam.get("/healthz") == {"status": "ok"}
    wanted = {"prometheus", "procession-api", "procession-iam"}
    deadline = time.monotonic() + 60
    while True:
        up = server.get("/api/v1/query?query=up==1")["data"]["result"]
        if {series["metric"]["job"] for series in up} == wanted:
            break
        assert time.monotonic() < deadline, server.get("/api/v1/targets")
        time.sleep(1)
    built = server.get("/api/v1/query?query=procession_build_info")["data"]["result"]
    assert {series["metric"]["service"] for series in built} == {"procession-api", "procession-iam"}
    assert [started.stop() for started in (server, api, iam)] == [0, 0, 0]


@pytest.mark.parametrize("name", ["api", "iam"])
def test_services_answer_and_stop(images: Any, runtime: Any, name: str) -> None:
    server = runtime.start(images[name])
    assert server.get("/healthz") == {"status": "ok"}
    assert server.stop() == 0, server.log
