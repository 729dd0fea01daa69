"""What of an appc manifest becomes an OCI image configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from procession_tasks.definition.manifest import ImageManifest, parse_manifest
from procession_tasks.image.configuration import configuration, manifest_annotations, tag, without_counterpart
from procession_tasks.platform import Platform

AMD64 = Platform("linux", "amd64")


def manifest(app: dict[str, Any] | None = None, **more: Any) -> ImageManifest:
    content = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/team/api", **more}
    if app is not None:
        content["app"] = {"exec": ["/bin/api"], "user": "0", "group": "0", **app}
    return parse_manifest(json.dumps(content).encode(), "manifest")


def config(app: dict[str, Any] | None = None, **more: Any) -> Any:
    return configuration(manifest(app, **more), AMD64, "65532:65532", 0)["config"]


@pytest.mark.parametrize(
    ("app", "key", "expected"),
    [
        ({"exec": ["/bin/api", "-v"]}, "Entrypoint", ["/bin/api", "-v"]),
        ({}, "User", "65532:65532"),
        ({"environment": [{"name": "B", "value": "2=3"}, {"name": "A", "value": ""}]}, "Env", ["B=2=3", "A="]),
        ({}, "WorkingDir", "/"),
        ({"workingDirectory": "/srv"}, "WorkingDir", "/srv"),
        ({"ports": [{"name": "dns", "protocol": "udp", "port": 53}]}, "ExposedPorts", {"53/udp": {}}),
        (
            {"ports": [{"name": "many", "protocol": "tcp", "port": 80, "count": 3}]},
            "ExposedPorts",
            {"80/tcp": {}, "81/tcp": {}, "82/tcp": {}},
        ),
        ({"mountPoints": [{"name": "data", "path": "/var/lib/api"}]}, "Volumes", {"/var/lib/api": {}}),
    ],
)
def test_what_the_app_says_is_said_in_other_words(app: dict[str, Any], key: str, expected: Any) -> None:
    assert config(app)[key] == expected


@pytest.mark.parametrize("key", ["Env", "ExposedPorts", "Volumes", "StopSignal", "Cmd"])
def test_what_the_app_does_not_say_is_not_said(key: str) -> None:
    assert key not in config({})


def test_an_image_without_app_starts_nothing() -> None:
    assert config().keys() == {"Labels"}


def test_annotations_become_labels_under_the_names_that_oci_has_for_them() -> None:
    said = {
        "authors": "us",
        "homepage": "https://example.com",
        "documentation": "https://example.com/d",
        "team.example/x": "y",
    }
    annotations = [{"name": name, "value": value} for name, value in said.items()]
    labels = config({}, annotations=annotations, labels=[{"name": "version", "value": "1.0"}])["Labels"]
    prefix = "org.opencontainers.image."
    assert labels == {
        f"{prefix}authors": "us",
        f"{prefix}documentation": "https://example.com/d",
        f"{prefix}title": "api",
        f"{prefix}url": "https://example.com",
        f"{prefix}version": "1.0",
        "team.example/x": "y",
    }
    assert list(labels) == sorted(labels)
    beside = manifest_annotations(manifest({}, annotations=annotations))
    assert beside == {f"{prefix}title": "api"} | {
        k: v for k, v in labels.items() if k.startswith(prefix) and "version" not in k
    }


def test_of_two_labels_of_one_name_an_annotation_wins() -> None:
    labels = {"userLabels": {"a": "1", "team.example/x": "1", "org.opencontainers.image.title": "API"}}
    said = config(labels, annotations=[{"name": "team.example/x", "value": "2"}])["Labels"]
    assert said == {"a": "1", "team.example/x": "2", "org.opencontainers.image.title": "API"}


def test_the_stop_signal_is_an_annotation_of_the_manifest() -> None:
    annotations = [{"name": "org.opencontainers.image.stopsignal", "value": "SIGQUIT"}]
    assert config({}, annotations=annotations)["StopSignal"] == "SIGQUIT"
    assert "stopsignal" not in str(manifest_annotations(manifest({}, annotations=annotations)))


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux/amd64", {"os": "linux", "architecture": "amd64"}),
        ("linux/arm", {"os": "linux", "architecture": "arm", "variant": "v7"}),
    ],
)
def test_the_platform_is_named_as_oci_names_it(platform: str, expected: dict[str, str]) -> None:
    said = configuration(manifest({}), Platform.parse(platform), "0:0", 0)
    assert {key: said[key] for key in ("os", "architecture", "variant") if key in said} == expected


def test_the_time_is_the_one_that_is_given() -> None:
    assert configuration(manifest({}), AMD64, "0:0", 86_400)["created"] == "1970-01-02T00:00:00Z"


def test_what_oci_cannot_say_is_named() -> None:
    handler = {"eventHandlers": [{"name": "pre-start", "exec": ["/bin/prepare"]}]}
    groups = {"supplementaryGIDs": [5]}
    dependencies = [{"imageName": "example.com/base"}]
    said = manifest({**handler, **groups}, pathWhitelist=["/bin"], dependencies=dependencies)
    assert list(without_counterpart(said)) == [
        "app.eventHandlers",
        "app.supplementaryGIDs",
        "dependencies",
        "pathWhitelist",
    ]
    assert list(without_counterpart(manifest(pathWhitelist=["/bin"]))) == ["pathWhitelist"]
    assert list(without_counterpart(manifest({}))) == []


@pytest.mark.parametrize(("version", "expected"), [("1.0", "1.0"), ("1.0+dfsg~rc1", "1.0_dfsg_rc1"), (None, "latest")])
def test_a_tag_is_the_version_as_registries_take_it(version: str | None, expected: str) -> None:
    labels = [{"name": "version", "value": version}] if version else []
    assert tag(manifest({}, labels=labels)) == expected
