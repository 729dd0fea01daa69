"""Comparing images: what counts as different, and how it is told to people and machines."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from procession_tasks.image.difference import aspects, difference
from procession_tasks.image.difference_json import to_json
from procession_tasks.image.difference_text import amount, grown, render
from procession_tasks.image.inventory import Inventory, Item, StoredLayer, flat, packages, settings

PROGRAM = Item("bin/api", "file", 0o755, size=1000, sha256="aa")
BASE = StoredLayer("sha256:" + "b" * 64, 10, "packages: base")
TOP = StoredLayer("sha256:" + "c" * 64, 20, "program: /bin/api")


def image(*items: Item, **more: Any) -> Inventory:
    told = {"settings": {}, "packages": {}, "stored": 30, "layers": (BASE, TOP)} | more
    return Inventory("one", {item.path: item for item in items}, **told)


def lines(before: Inventory, after: Inventory, title: str) -> list[str]:
    """What a section says."""
    text = render(difference(before, dataclasses.replace(after, name="other"))).splitlines()
    start = text.index(title) + 1
    return [line[2:] for line in text[start:] if line.startswith("  ")][: _length(text[start:])]


def _length(text: list[str]) -> int:
    return next((number for number, line in enumerate(text) if not line.startswith("  ")), len(text))


def test_an_image_is_equal_to_itself() -> None:
    found = difference(image(PROGRAM), image(PROGRAM))
    assert found.is_none
    assert render(found) == "one and one are equal\n"
    assert json.loads(to_json(found))["equal"] is True


def test_files_come_go_and_change() -> None:
    grew = dataclasses.replace(PROGRAM, size=3000, sha256="bb")
    gone, new = Item("etc/old", "file", 0o600, 1, 2, 5), Item("etc/link", "symlink", 0o777, link="old")
    assert lines(image(PROGRAM, gone), image(grew, new), "files") == [
        "~ /bin/api   1.0 kB -> 3.0 kB (+2.0 kB)",
        "+ /etc/link  -> old",
        "- /etc/old   0600 1:2  5 B",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mode": 0o4755}, "mode 0755 -> 4755"),
        ({"uid": 5, "gid": 6}, "owner 0:0 -> 5:6"),
        ({"sha256": "bb"}, "1.0 kB -> 1.0 kB (other bytes)"),
        ({"sha256": "bb", "mode": 0o700}, "1.0 kB -> 1.0 kB (other bytes), mode 0755 -> 0700"),
        ({"xattrs": (("security.capability", b"x"),)}, "attributes security.capability"),
        ({"type": "symlink", "link": "busybox", "size": 0, "sha256": ""}, "file -> symlink: -> busybox"),
        ({"type": "hardlink", "link": "bin/x"}, "file -> hardlink: 0755 0:0  a hard link of /bin/x"),
    ],
)
def test_what_is_different_of_a_path_is_told(change: dict[str, Any], told: str) -> None:
    assert lines(image(PROGRAM), image(dataclasses.replace(PROGRAM, **change)), "files") == [f"~ /bin/api  {told}"]


def test_files_of_another_time_alone_are_counted_and_not_listed() -> None:
    items = [dataclasses.replace(PROGRAM, path=f"etc/{n}") for n in range(3)]
    later = [dataclasses.replace(item, mtime=1) for item in items]
    found = difference(image(*items), image(*later))
    assert (found.files, found.times, found.is_none) == ((), 3, False)
    assert lines(image(*items), image(*later), "files") == ["~ the time of 3 files that are else the same"]


def test_a_time_is_no_aspect_of_what_differs_otherwise_for_people() -> None:
    changed = dataclasses.replace(PROGRAM, mtime=1, mode=0o700)
    [change] = difference(image(PROGRAM), image(changed)).files
    assert aspects(change) == ("mode", "mtime")
    assert lines(image(PROGRAM), image(changed), "files") == ["~ /bin/api  mode 0755 -> 0700"]


def test_packages_have_their_versions() -> None:
    before, after = image(packages={"a": "1", "b": "1", "c": "1"}), image(packages={"a": "2", "c": "1", "d": "1"})
    assert lines(before, after, "packages") == ["~ a  1 -> 2", "- b  1", "+ d  1"]


def test_layers_are_shared_or_not() -> None:
    new = StoredLayer("sha256:" + "d" * 64, 21, "program: /bin/api")
    after = image(layers=(BASE, new))
    assert lines(image(), after, "layers") == [
        "= sha256:bbbbbbbbbbbb       10 B  packages: base",
        "- sha256:cccccccccccc       20 B  program: /bin/api",
        "+ sha256:dddddddddddd       21 B  program: /bin/api",
    ]
    assert lines(image(), after, "totals")[-1] == "to fetch  21 B for who has the first"


def test_an_aci_and_an_oci_image_are_compared_by_what_both_can_say() -> None:
    said = {"user": "1:1"}
    aci = image(PROGRAM, settings=said, layers=None, manifest={"app.isolators.memory": "1"}, stored=7)
    oci = image(PROGRAM, settings=said)
    found = difference(aci, oci)
    assert found.is_none
    assert render(found) == "one and one are equal, as far as an ACI and an OCI image can be\n"
    assert json.loads(to_json(found))["layers"] is None


def test_what_only_an_aci_says_counts_between_two_of_them() -> None:
    aci = image(layers=None, manifest={"app.isolators.memory": "1"})
    other = dataclasses.replace(aci, manifest={"app.isolators.memory": "2"})
    assert lines(aci, other, "configuration") == ["~ app.isolators.memory  1 -> 2"]


def test_names_move_no_cursor_and_end_no_line() -> None:
    hostile = Item("etc/\x1b[2J\nx\udcff", "file", 0o644)
    text = render(difference(image(), image(hostile)))
    assert r"+ /etc/\x1b[2J\x0ax\xff" in text
    assert "\x1b" not in text
    document = json.loads(to_json(difference(image(), image(hostile))))
    assert document["files"]["added"][0]["name"] == "etc/\x1b[2J\nx\\xff"


def test_the_json_has_all_of_it() -> None:
    changed = dataclasses.replace(PROGRAM, mode=0o700)
    document = json.loads(to_json(difference(image(PROGRAM), image(changed, packages={"a": "1"}, stored=40))))
    assert [document[key] for key in ("version", "equal")] == [1, False]
    assert document["before"] == {"name": "one", "format": "oci", "files": 1, "size": 1000, "stored": 30}
    [one] = document["files"]["changed"]
    assert (one["name"], one["before"]["mode"], one["after"]["mode"]) == ("bin/api", "0755", "0700")
    assert one["what"] == ["mode"]
    assert document["packages"] == {"added": [{"name": "a", "after": "1"}], "removed": [], "changed": []}
    assert [layer["what"] for layer in document["layers"]["shared"]] == ["packages: base", "program: /bin/api"]


@pytest.mark.parametrize(
    ("size", "told"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (5 * 10**12, "5000.0 GB")]
)
def test_sizes_are_powers_of_1000(size: int, told: str) -> None:
    assert amount(size) == told
    assert grown(0, size) == f"+{told}"
    assert size == 0 or grown(size, 0) == f"-{told}"


# What images say


def test_packages_come_from_descriptions_of_either_kind() -> None:
    texts = {
        "var/lib/dpkg/status.d/one": b"Package: one\nVersion: 1.0-1\n",
        "var/lib/dpkg/status.d/one.md5sums": b"x  y\n",
        "var/lib/dpkg/status": (
            b"Package: two\nStatus: install ok installed\nVersion: 2\n\n"
            b"Package: gone\nStatus: deinstall ok config-files\nVersion: 3\n"
        ),
        "var/lib/dpkg/status.d/odd": b"\xff no stanza\n",
    }
    assert packages(texts) == {"one": "1.0-1", "two": "2"}


def test_a_configuration_becomes_a_flat_table() -> None:
    config = {
        "os": "linux",
        "architecture": "arm",
        "variant": "v7",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Env": ["A=1", "B=x=y"],
            "Entrypoint": ["/bin/api"],
            "ExposedPorts": {"80/tcp": {}},
            "Volumes": {"/data": {}},
            "Labels": {"a": "b"},
            "User": "",
            "Healthcheck": {"Test": ["NONE"]},
        },
    }
    assert settings(config, {"c": "d"}) == {
        "platform": "linux/arm/v7",
        "created": "1970-01-01T00:00:00Z",
        "environment.A": "1",
        "environment.B": "x=y",
        "exec": '["/bin/api"]',
        "ports.80/tcp": "exposed",
        "volumes./data": "declared",
        "labels.a": "b",
        "annotations.c": "d",
        "Healthcheck": '{"Test": ["NONE"]}',
    }


def test_a_manifest_becomes_a_flat_table_by_names() -> None:
    manifest = {
        "name": "example.com/a",
        "labels": [{"name": "version", "value": "1"}],
        "app": {"exec": ["/a", "b"], "ports": [{"name": "http", "port": 80, "protocol": "tcp"}]},
        "annotations": [{"name": "twice", "value": "1"}, {"name": "twice", "value": "2"}],
    }
    assert flat(manifest) == {
        "name": "example.com/a",
        "labels.version": "1",
        "app.exec": '["/a", "b"]',
        "app.ports.http.port": "80",
        "app.ports.http.protocol": "tcp",
        "annotations": '[{"name": "twice", "value": "1"}, {"name": "twice", "value": "2"}]',
    }
