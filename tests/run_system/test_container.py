"""What a manifest and deploy/system.yaml say, as a container."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from procession_tasks.definition.system import Part, Publish, System
from procession_tasks.run.container import Binding, Volume, container, containers, quantity


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("100m", Decimal("0.1")),
        ("1", 1),
        (2, 2),
        ("1.5", Decimal("1.5")),
        (".5", Decimal("0.5")),
        ("128Mi", 128 * 1024**2),
        ("1Gi", 1024**3),
        ("1k", 1000),
        ("1M", 10**6),
        ("2E", 2 * 10**18),
        ("1e3", 1000),
        ("1E3", 1000),
        ("5n", Decimal("5e-9")),
        (" 1Ki ", 1024),
    ],
)
def test_quantities_are_read_as_the_specification_has_them(written: Any, meant: Any) -> None:
    assert quantity(written) == meant


def test_a_manifest_without_isolators_gives_a_container_without_rights_and_limits(make_sample: Any) -> None:
    found, _ = make_sample()
    assert (found.name, found.capabilities, found.no_new_privileges) == ("sample-api", (), False)
    assert (found.memory, found.cpus, found.bindings, found.volumes) == (None, None, (), ())


def test_isolators_become_rights_and_limits(make_sample: Any) -> None:
    isolators = [
        {"name": "resource/cpu", "value": {"request": "100m", "limit": "1500m"}},
        {"name": "resource/memory", "value": {"request": "1Mi", "limit": "128Mi"}},
        {"name": "os/linux/no-new-privileges", "value": True},
        {"name": "os/linux/capabilities-retain-set", "value": {"set": ["CAP_NET_BIND_SERVICE", "CAP_CHOWN"]}},
    ]
    found, _ = make_sample(isolators=isolators, supplementaryGIDs=[7, 9])
    assert found.capabilities == ("CHOWN", "NET_BIND_SERVICE")
    assert (found.no_new_privileges, found.memory, found.cpus) == (True, 128 * 1024**2, Decimal("1.5"))
    assert found.groups == (7, 9)


def test_a_request_alone_is_no_limit(make_sample: Any) -> None:
    found, _ = make_sample(isolators=[{"name": "resource/memory", "value": {"request": "1Mi"}}])
    assert found.memory is None


def test_mount_points_become_volumes_that_the_image_is_part_of_the_name_of(make_sample: Any) -> None:
    points = [{"name": "data", "path": "/var/lib/x"}, {"name": "keys", "path": "/keys", "readOnly": True}]
    found, _ = make_sample(mountPoints=points)
    assert found.volumes == (
        Volume("data", "sample-api-data", "/var/lib/x", read_only=False),
        Volume("keys", "sample-api-keys", "/keys", read_only=True),
    )


def test_ports_are_published_each_of_a_range_unless_others_are_named(make_sample: Any) -> None:
    ports = [
        {"name": "http", "protocol": "tcp", "port": 80, "count": 2},
        {"name": "log", "protocol": "udp", "port": 514},
    ]
    found, _ = make_sample(ports=ports)
    assert found.bindings == (
        Binding("http", "tcp", 80, 80),
        Binding("http", "tcp", 81, 81),
        Binding("log", "udp", 514, 514),
    )
    found, _ = make_sample(part=Part(publish=(Publish("http", 8080),)), ports=ports)
    assert found.bindings == (Binding("http", "tcp", 80, 8080), Binding("http", "tcp", 81, 8081))
    assert found.binding("http").host_port == 8080
    assert make_sample(part=Part(publish=()), ports=ports)[0].bindings == ()


def test_containers_come_in_order_with_their_height_above_what_they_need(make_sample: Any) -> None:
    images = {name: make_sample(name)[1] for name in ("a", "b", "c", "d")}
    system = System((("a", Part(("b", "c"))), ("b", Part(("c",))), ("c", Part()), ("d", Part())), "s")
    found = {item.image: item.level for item in containers(system, images)}
    assert found == {"c": 0, "d": 0, "b": 1, "a": 2}
    assert [item.image for item in containers(system, images, "b")] == ["c", "b"]


def test_an_image_that_the_system_has_not_is_run_as_its_manifest_says(make_sample: Any) -> None:
    _, built = make_sample("other", environment=[{"name": "A", "value": "b"}])
    found = container(System((), "sample"), built)
    assert (found.name, found.environment, found.health) == ("sample-other", (), None)
