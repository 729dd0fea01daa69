"""deploy/system.yaml: what it may say, what is said of mistakes, and the order that it leads to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from procession_tasks.definition.imagefile import image_names
from procession_tasks.definition.load import load_image
from procession_tasks.definition.manifest import ImageManifest, parse_manifest
from procession_tasks.definition.project import load_project
from procession_tasks.definition.system import (
    Health,
    Part,
    Publish,
    System,
    host_ports,
    load_system,
    parse_system,
    system_schema,
)
from procession_tasks.errors import BuildError, DefinitionError

REPOSITORY = Path(__file__).resolve().parents[2]


def manifest(name: str, **ports: int) -> ImageManifest:
    app = {
        "exec": [f"/bin/{name}"],
        "user": "0",
        "group": "0",
        "ports": [{"name": port, "protocol": "tcp", "port": number} for port, number in ports.items()],
    }
    written = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"sample.example/{name}", "app": app}
    return parse_manifest(json.dumps(written).encode(), f"deploy/aci/{name}/manifest")


def library() -> ImageManifest:
    written = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "sample.example/library"}
    return parse_manifest(json.dumps(written).encode(), "deploy/aci/library/manifest")


MANIFESTS = {
    "api": manifest("api", http=8080),
    "iam": manifest("iam", http=8081),
    "etcd": manifest("etcd", client=2379, peer=2380),
    "library": library(),
}


def system(text: str) -> System:
    return parse_system(text.encode(), MANIFESTS)


def refused(text: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        system(text)
    return str(caught.value)


def test_an_image_is_started_as_its_manifest_says_unless_more_is_said() -> None:
    found = system("images: {api: {}}")
    assert found == System((("api", Part()),), "procession")
    assert [(port.name, number) for port, number in host_ports(found.part("api"), MANIFESTS["api"])] == [("http", 8080)]


def test_everything_can_be_said() -> None:
    found = system(
        "name: sample\n"
        "images:\n"
        "  etcd: {publish: ['client:12379'], health: {port: client, path: '/health?full=1', within: 5}}\n"
        "  api: {needs: [etcd], environment: {B: x, A: ''}, arguments: [--verbose],"
        ' health: {port: http, send: "hi\\r\\n", expect: ho}}\n'
    )
    etcd = Part(publish=(Publish("client", 12379),), health=Health("client", "/health?full=1", within=5))
    api = Part(("etcd",), (("A", ""), ("B", "x")), ("--verbose",), None, Health("http", None, "hi\r\n", "ho"))
    assert found == System((("api", api), ("etcd", etcd)), "sample")
    assert [number for _, number in host_ports(etcd, MANIFESTS["etcd"])] == [12379]


def test_the_order_follows_needs_and_leaves_out_what_nobody_needs() -> None:
    found = system("images: {api: {needs: [iam]}, iam: {needs: [etcd]}, etcd: {}}")
    assert found.in_order() == ("etcd", "iam", "api")
    assert found.in_order("iam") == ("etcd", "iam")
    assert found.in_order("etcd") == ("etcd",)
    with pytest.raises(BuildError, match="must have the image that is named, got 'ectd'\n  hint: did you mean etcd?"):
        found.in_order("iam", "ectd")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1: images: must be given\n  hint: add images: the images, by name"),
        ("images: {}", "1: images: must have at least one image"),
        ("images: [api]", "1: images: must be a mapping, got a list"),
        ("images: {apy: {}}", "1: images.apy: must be an image of the repository\n  hint: did you mean api?"),
        ("images: {library: {}}", "1: images.library: must be an image with a program\n  hint: its manifest has no"),
        ("images: {api: {need: []}}", "1: images.api.need: must be a known key\n  hint: did you mean needs?"),
        ("name: My System\nimages: {}", "1: name: must be lower-case letters, digits and -, starting with a letter"),
        (
            "images:\n  api:\n    needs: [iam]\n  etcd: {}",
            "3: images.api.needs[0]: must be an image of the system, got 'iam'\n  hint: images: api, etcd",
        ),
        (
            "images:\n  iam: {needs: [api]}\n  api: {needs: [etcd]}\n  etcd: {needs: [iam]}",
            "3: images.api.needs: must not lead back to the image itself, got api -> etcd -> iam -> api",
        ),
        ("images: {api: {needs: [api]}}", "images.api.needs: must not lead back to the image itself, got api -> api"),
        (
            "images:\n  api:\n    health: {port: htp, path: /}",
            "3: images.api.health.port: must be a port of the image's manifest, got 'htp'\n  hint: did you mean http?",
        ),
        ("images: {api: {health: {path: /}}}", "images.api.health.port: must be given"),
        (
            "images: {api: {health: {port: http, path: healthz}}}",
            "path: must be an absolute path of URLs, got 'healthz'",
        ),
        ("images: {api: {health: {port: http, path: /, expect: x}}}", "health.expect: must not go with path, got 'x'"),
        ("images: {api: {health: {port: http, within: 0}}}", "within: must be a whole number from 1 to 3600, got 0"),
        (
            "images: {etcd: {publish: [client], health: {port: peer}}}",
            (
                "health.port: must be a published port, for it is asked from this machine, got 'peer'\n"
                "  hint: add peer to publish"
            ),
        ),
        (
            "images:\n  etcd:\n    publish:\n    - client\n    - web",
            "5: images.etcd.publish[1]: must be a port of the image's manifest, got 'web'\n  hint: ports: client, peer",
        ),
        ("images: {api: {publish: ['http:0']}}", "images.api.publish[0]: must be a port's name, or name:port"),
        ("images: {api: {publish: ['http:65536']}}", "images.api.publish[0]: must be a port's name, or name:port"),
        (
            "images: {api: {publish: ['http:2379']}, etcd: {}}",
            "got 2379, which is api's http too\n  hint: give another, such as publish: [client:12379]",
        ),
        ("images: {api: {environment: {A: 1}}}", "images.api.environment.A: must be a string (quote it), got 1"),
        ("images: {api: {environment: {A=B: x}}}", "must be the name of an environment variable, got 'A=B'"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, said: str) -> None:
    message = refused(text)
    assert message.startswith("deploy/system.yaml:")
    assert said in message


def test_all_problems_are_told_at_once() -> None:
    message = refused("images:\n  api: {needs: [x], publish: [y]}\n  iam: {health: {port: z}}\n  w: {}\n")
    assert message.count("deploy/system.yaml:") == 4


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError) as caught:
        load_system(tmp_path, MANIFESTS)
    said = (
        "deploy/system.yaml:1: must be a readable file, got No such file or directory\n  hint: name the images to start"
    )
    assert str(caught.value).startswith(said)


def test_editors_get_a_schema() -> None:
    properties = system_schema()["properties"]
    assert set(properties) == {"images", "name"}
    assert set(properties["images"]["additionalProperties"]["properties"]) == {
        "needs",
        "environment",
        "arguments",
        "publish",
        "health",
    }


def test_the_repository_has_a_system_of_all_its_images() -> None:
    project = load_project(REPOSITORY)
    names = image_names(REPOSITORY, project)
    found = load_system(REPOSITORY, {name: load_image(REPOSITORY, project, name).manifest for name in names})
    order = found.in_order()
    assert sorted(order) == sorted(names)
    assert all(order.index(needed) < order.index(name) for name in order for needed in found.part(name).needs)
    assert all(found.part(name).health for name in order)
