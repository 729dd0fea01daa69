"""What is rendered is pinned, the same every time, and what Kubernetes' own schemas allow."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from procession_tasks.errors import BuildError
from procession_tasks.publish.kubernetes.base import read_base
from procession_tasks.publish.kubernetes.images import Runs
from procession_tasks.publish.kubernetes.kubectl import Kubectl
from procession_tasks.publish.kubernetes.objects import images, objects
from procession_tasks.publish.kubernetes.render import Pin, render, write_folder

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def pins(images: dict[str, Runs]) -> dict[str, Pin]:
    return {name: Pin(f"registry.example/team/{each.short}", DIGEST) for name, each in images.items()}


@pytest.fixture
def rendered(base: Path, kubectl: Kubectl, pins: dict[str, Pin]) -> str:
    return render(kubectl, base / "deploy/kubernetes", base / "build/kubernetes", pins)


def test_every_image_is_pinned_where_it_was_pushed(rendered: str) -> None:
    found = {image for one in objects(rendered) for _, image in images(one.value)}

    assert len(found) == 6
    assert all(re.fullmatch(r"registry\.example/team/procession-[a-z]+@sha256:[0-9a-f]{64}", image) for image in found)
    assert "procession.example/" not in rendered


def test_rendering_again_gives_the_same_bytes(
    rendered: str, base: Path, kubectl: Kubectl, pins: dict[str, Pin]
) -> None:
    overlay = base / "build/kubernetes/kustomization.yaml"
    before = (overlay.read_bytes(), overlay.stat().st_mtime_ns)
    backwards = dict(reversed(pins.items()))

    assert render(kubectl, base / "deploy/kubernetes", overlay.parent, backwards) == rendered
    assert (overlay.read_bytes(), overlay.stat().st_mtime_ns) == before


def test_all_of_the_base_is_rendered_into_its_namespace(rendered: str, base: Path) -> None:
    keys = [one.key for one in objects(rendered)]
    declared = {(one.kind, one.name) for one in read_base(base, "deploy/kubernetes").resources}

    assert {(key.kind, key.name) for key in keys} >= declared
    assert {key.namespace for key in keys} == {"", "procession"}
    assert [key.kind for key in keys if not key.namespace] == ["Namespace"]
    assert keys[0].kind == "Namespace"  # what is in it comes after it


def test_everything_says_what_it_is_part_of(rendered: str) -> None:
    for one in objects(rendered):
        assert one.value["metadata"]["labels"]["app.kubernetes.io/part-of"] == "procession"
        assert "app.kubernetes.io/name" in one.value["metadata"]["labels"] or one.key.kind == "ConfigMap"


def test_no_secret_is_in_the_repository(rendered: str) -> None:
    assert "Secret" not in {one.key.kind for one in objects(rendered)}


def test_a_changed_configuration_has_another_name(
    rendered: str, base: Path, kubectl: Kubectl, pins: dict[str, Pin]
) -> None:
    """So its pods are made anew."""
    scrapes = base / "deploy/kubernetes/config/prometheus.yml"
    scrapes.write_text(scrapes.read_text().replace("15s", "30s"))
    again = render(kubectl, base / "deploy/kubernetes", base / "build/kubernetes", pins)

    def name(text: str) -> str:
        (found,) = set(re.findall(r"procession-prometheus-[a-z0-9]{10}\b", text))
        return str(found)

    assert name(again) != name(rendered)


@pytest.mark.slow
def test_the_schemas_of_the_last_three_versions_allow_it(rendered: str) -> None:
    judge = pytest.importorskip("kubernetes_validate")
    newest = tuple(map(int, judge.latest_version().split(".")[:2]))
    for minor in range(newest[1] - 2, newest[1] + 1):
        for one in objects(rendered):
            judge.validate(one.value, f"{newest[0]}.{minor}", strict=True)


def test_an_image_without_a_pin_is_refused(base: Path, kubectl: Kubectl, pins: dict[str, Pin]) -> None:
    del pins["procession.example/procession-api"]
    with pytest.raises(BuildError) as refused:
        render(kubectl, base / "deploy/kubernetes", base / "build/kubernetes", pins)
    assert str(refused.value) == (
        "deployment/procession-api: api: image: must be pinned as name@sha256:…, got 'procession.example/procession-api'\n"
        "  hint: images: in the kustomization must name it with a digest"
    )


def test_what_kustomize_refuses_is_told_as_it_says(base: Path, kubectl: Kubectl, pins: dict[str, Pin]) -> None:
    (base / "deploy/kubernetes/api.yaml").unlink()
    with pytest.raises(BuildError, match=r"^kubectl kustomize: accumulating resources: .*api\.yaml"):
        render(kubectl, base / "deploy/kubernetes", base / "build/kubernetes", pins)


def test_an_overlay_of_a_cluster_is_rendered_like_the_base(base: Path, kubectl: Kubectl, pins: dict[str, Pin]) -> None:
    own = base / "deploy/production"
    own.mkdir()
    patch = {
        "target": {"kind": "Deployment", "name": "procession-api"},
        "patch": '[{"op": "replace", "path": "/spec/replicas", "value": 5}]',
    }
    (own / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["../kubernetes"], "patches": [patch]}))
    found = {
        one.key.name: one.value
        for one in objects(render(kubectl, own, base / "build/kubernetes", pins))
        if one.is_workload
    }

    assert found["procession-api"]["spec"]["replicas"] == 5
    assert found["procession-api"]["spec"]["template"]["spec"]["containers"][0]["image"].endswith(DIGEST)


def test_a_folder_has_a_file_an_object(rendered: str, tmp_path: Path, kubectl: Kubectl) -> None:
    folder = tmp_path / "out"
    names = write_folder(folder, rendered)

    assert names == sorted(path.name for path in folder.iterdir())
    assert len(names) == len(objects(rendered))
    assert "deployment-procession-api.yaml" in names
    texts = "---\n".join((folder / name).read_text() for name in names)
    assert sorted(map(str, yaml.safe_load_all(texts))) == sorted(str(one.value) for one in objects(rendered))
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": names}))
    assert sorted(map(str, yaml.safe_load_all(kubectl.kustomize(folder)))) == sorted(
        str(one.value) for one in objects(rendered)
    )


def test_a_folder_loses_what_is_rendered_no_more_and_nothing_else(rendered: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_folder(folder, rendered)
    (folder / "own.yaml").write_text("kind: Mine\n")
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    kept = [one.text for one in objects(rendered) if one.key.kind != "Service"]
    names = write_folder(folder, "---\n".join(kept))
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}

    assert after.keys() == {*names, "own.yaml"}
    assert not [name for name in names if name.startswith("service-")]
    assert after.items() <= times.items()


def test_two_objects_of_one_name_are_not_written_over_each_other(tmp_path: Path) -> None:
    text = "kind: Service\nmetadata: {name: a, namespace: x}\n---\nkind: Service\nmetadata: {name: a}\n"
    with pytest.raises(BuildError, match=r"service-a\.yaml: must be one object, .* got two \(namespaces x, none\)"):
        write_folder(tmp_path / "out", text)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["- a\n", "kind: Service\n", "just text\n"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="must be objects of Kubernetes, got"):
        objects(text)


def test_images_are_found_wherever_pods_are_described() -> None:
    pod: dict[str, Any] = {
        "containers": [{"name": "a", "image": "x"}],
        "initContainers": [{"name": "b", "image": "y"}, {}],
    }
    job = {"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}
    assert list(images(job)) == [("a", "x"), ("b", "y"), ("", "")]


def test_the_kubectl_beside_python_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("venv", "path"):
        (tmp_path / folder).mkdir()
        program = tmp_path / folder / "kubectl"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/python"))
    environment = {"PATH": str(tmp_path / "path")}

    assert Kubectl.find(tmp_path, environment).program == str(tmp_path / "venv/kubectl")
    (tmp_path / "venv/kubectl").unlink()
    assert Kubectl.find(tmp_path, environment).program == str(tmp_path / "path/kubectl")
    for without in ({}, {"PATH": str(tmp_path / "venv")}):
        with pytest.raises(BuildError) as refused:
            Kubectl.find(tmp_path, without)
        assert str(refused.value) == (
            "kubectl: must be installed, got none\n"
            "  hint: pip install 'procession-tasks[kubernetes]', or install kubectl from where your cluster's tools come from"
        )
