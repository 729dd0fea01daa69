"""What takes images out of the build, as people type it: push, kubernetes, deploy, run, up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.image.layout import Layout

pytestmark = pytest.mark.slow  # each builds

BASE = {
    "kustomization.yaml": "resources: [api.yaml]\n",
    "api.yaml": """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: api}
automountServiceAccountToken: false
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: sample}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      serviceAccountName: api
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: api
          image: sample.example/api
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
""",
}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Debian's registry on a port of its own; its log is beside its configuration."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    folder = tmp_path / "registry"
    folder.mkdir()
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    (folder / "config.yml").write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": address}}))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        host, _, port = address.partition(":")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                break
            time.sleep(0.02)
        yield address
    finally:
        process.terminate()
        process.wait()


def top(workspace: Any, name: str) -> str:
    return Layout(workspace.path(f"build/oci/{name}")).top.digest


# push


def test_a_push_builds_sends_and_leaves_what_deploys_read(workspace: Any, registry: str) -> None:
    first = workspace.build("push", "--registry", f"{registry}/team", "api")
    pinned = f"{registry}/team/api@{top(workspace, 'api')}"
    assert f"{pinned}\n  1.0.0: " in first.out
    assert json.loads(workspace.read("build/pushed/api.json")) == {
        "name": "sample.example/api",
        "repository": f"{registry}/team/api",
        "digest": top(workspace, "api"),
        "tags": ["1.0.0"],
    }
    assert not workspace.path("build/oci/iam").exists()
    second = workspace.build("push", "--registry", f"{registry}/team", "api")
    assert f"{pinned}\n  1.0.0: was there\n" in second.out


def test_a_tag_moves_only_by_force(workspace: Any, registry: str) -> None:
    push = ("push", "--registry", registry)
    workspace.build(*push, "api")
    before = top(workspace, "api")
    workspace.edit("services/internal/apionly/api.go", '"api', '"changed')
    refused = workspace.doit(*push, "api")
    assert refused.status == 1
    assert f"{registry}/api:1.0.0: must not be moved to another image: it names {before}" in refused.err
    assert "hint: give the image another version, or push it with --force\n" in refused.err
    assert json.loads(workspace.read("build/pushed/api.json"))["digest"] == before
    moved = workspace.build(*push, "--force", "--tag", "edge", "--tag", "latest", "api")
    # Of each of two platforms, the program's layer and the configuration.
    assert re.search(r"^  1\.0\.0, edge, latest: 4 blobs of [0-9.]+ MB uploaded, 1 blobs of", moved.out, re.MULTILINE)
    assert json.loads(workspace.read("build/pushed/api.json"))["tags"] == ["1.0.0", "edge", "latest"]


def test_the_setting_says_where_images_go_and_without_one_their_names_do(workspace: Any, registry: str) -> None:
    workspace.edit(
        "pyproject.toml",
        "[tool.procession.go]",
        f'[tool.procession]\nregistry = "{registry}/set"\n[tool.procession.go]',
    )
    assert f"{registry}/set/api@" in workspace.build("push:api").out
    workspace.edit("deploy/aci/api/manifest", "sample.example/api", "api")
    workspace.edit("pyproject.toml", f'registry = "{registry}/set"\n', "")
    ended = workspace.doit("push:api")
    assert ended.status == 1
    assert "deploy/aci/api/manifest: name: " in ended.err
    assert "hint: set registry under [tool.procession], or give --registry\n" in ended.err


def test_a_registry_that_is_down_changes_nothing_and_a_repeat_works(workspace: Any, registry: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    ended = workspace.doit("push", "--registry", nobody, "api")
    assert ended.status == 1
    assert "Traceback" not in ended.err
    assert nobody in ended.err
    assert not workspace.path("build/pushed").exists()
    workspace.build("push", "--registry", registry, "api")


def test_a_name_that_is_no_image_is_told(workspace: Any) -> None:
    ended = workspace.doit("push", "--registry", "127.0.0.1:1", "apo")
    assert ended.status == 2
    assert "hint: did you mean api? images are api, iam\n" in ended.err


# kubernetes and deploy


@pytest.fixture
def base(workspace: Any) -> Any:
    """A workspace that has a base for Kubernetes."""
    if not Path(sys.executable).with_name("kubectl").exists() and shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    for name, text in BASE.items():
        workspace.write(f"deploy/kubernetes/{name}", text)
    workspace.environment["KUBECONFIG"] = str(workspace.path("no-cluster"))
    return workspace


def test_what_is_rendered_has_the_digest_that_is_pushed(base: Any, registry: str) -> None:
    pushed = base.build("push", "--registry", registry, "api")
    rendered = base.build("kubernetes", "--registry", registry)
    image = f"{registry}/api@{top(base, 'api')}"
    assert f"image: {image}\n" in rendered.out
    assert f"{image}\n" in pushed.out
    assert rendered.out.startswith("apiVersion: "), "nothing else is on stdout"
    folder = base.build("kubernetes", "--registry", registry, "--output", "rendered")
    assert sorted(os.listdir(base.path("rendered"))) == sorted(line.rpartition("/")[2] for line in folder.out.split())
    assert any(image in base.read(f"rendered/{name}") for name in os.listdir(base.path("rendered")))


def test_what_was_not_pushed_is_not_deployed(base: Any) -> None:
    ended = base.doit("deploy", "--registry", "registry.example")
    assert ended.status == 1
    assert f"registry.example/api@{top(base, 'api')}: must be pushed before it is deployed\n" in ended.err
    assert "hint: doit push --registry registry.example api\n" in ended.err


def test_without_a_cluster_that_is_said(base: Any, registry: str) -> None:
    base.build("push", "--registry", registry, "api")
    for words in (("deploy",), ("deploy", "--dry-run")):
        ended = base.doit(*words, "--registry", registry)
        assert ended.status == 1
        assert "Traceback" not in ended.err
        assert "kubectl" in ended.err
        assert "hint: " in ended.err


def test_a_base_that_does_not_fit_its_images_is_an_error_of_validate(base: Any) -> None:
    assert "deploy/kubernetes: ok\n" in base.build("validate").out
    base.edit("deploy/kubernetes/api.yaml", "image: sample.example/api\n", "image: sample.example/apo\n")
    for words in (("validate",), ("kubernetes",)):
        ended = base.doit(*words)
        assert ended.status != 0
        assert re.search(r"^deploy/kubernetes/api\.yaml:23: .*image: .*sample\.example/apo", ended.err, re.MULTILINE)
        assert ended.out.count("apiVersion") == 0


# run and up


def test_an_engine_that_is_not_there_is_told_before_anything_is_built(workspace: Any) -> None:
    workspace.write("deploy/system.yaml", "images: {api: {}}\n")
    ended = workspace.doit("up", PROCESSION_ENGINE="/nowhere/podman")
    assert (ended.status, ended.ran) == (1, ())
    assert "engine: must be a program on PATH, got '/nowhere/podman'\n" in ended.err
    assert not workspace.path("build/bin").exists()


def test_the_command_of_rkt_is_printed_where_there_is_none(workspace: Any) -> None:
    ended = workspace.doit("run:api", "--rkt", "--", "-v", PATH=f"{Path(sys.executable).parent}:/usr/bin:/bin")
    if shutil.which("rkt"):
        pytest.skip("rkt is installed, and would run")
    assert ended.status == 1
    [command] = [line for line in ended.out.splitlines() if line.startswith("rkt ")]
    assert str(workspace.aci("api")) in command
    assert command.endswith(" -- -v")
    assert "engine: must be a program on PATH, got 'rkt'\n" in ended.err


def test_a_system_that_names_what_there_is_not_is_refused_with_its_line(workspace: Any) -> None:
    workspace.write("deploy/system.yaml", "images:\n  api: {needs: [iem]}\n  iam: {}\n")
    ended = workspace.doit("ps")
    assert ended.status == 3
    assert "deploy/system.yaml:2: images.api.needs[0]: " in ended.err
    assert "hint: did you mean iam?" in ended.err
