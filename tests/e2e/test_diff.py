"""`doit diff`: two images, or one and what was pushed of it, as people type it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once

ACI = "build/aci/api-1.0.0-linux-amd64.aci"


def kept(workspace: Any, name: str = "api") -> str:
    """Keep an image as it is now, for later."""
    shutil.copytree(workspace.path(f"build/oci/{name}/linux-amd64"), workspace.path("before"), dirs_exist_ok=True)
    return "before"


def differs(workspace: Any, *words: str) -> dict[str, Any]:
    """What two images differ in, as machines are told."""
    ended = workspace.doit("diff", "--json", *words)
    assert ended.status == 1, ended.out + ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


def sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("  "):
            found[list(found)[-1]].append(line.strip())
        elif not line.startswith(("---", "+++")):
            found[line] = []
    return found


def test_an_image_is_equal_in_all_its_forms(workspace: Any) -> None:
    workspace.build("build:api", "archive-oci:api")
    for other in (ACI, "build/oci/api/linux-amd64", "build/oci/api/linux-amd64.tar", f"./{ACI}"):
        ended = workspace.doit("diff", "api", other)
        assert (ended.status, ended.err) == (0, "")
        assert ended.out.startswith(f"build/oci/api/linux-amd64 and {other} are equal")


def test_every_edit_shows(workspace: Any) -> None:
    workspace.build("build:api")
    before, aci = kept(workspace), workspace.path("before.aci")
    shutil.copy(workspace.aci("api"), aci)
    workspace.write("deploy/aci/api/rootfs/etc/new", "new\n")
    workspace.path("deploy/aci/api/rootfs/etc/motd").chmod(0o755)
    workspace.edit("services/internal/apionly/api.go", '"api', '"another-api')
    workspace.edit(
        "deploy/aci/api/manifest", '"user": "app"', '"environment": [{"name":"A","value":"1"}],"user": "app"'
    )
    workspace.edit("deploy/aci/api/image.yaml", "uid: 65532, gid", "uid: 65533, gid")
    workspace.build("build:api")
    ended = workspace.doit("diff", before, "api")
    assert ended.status == 1
    told = sections(ended.out)
    assert [line.split()[:2] for line in told["files"]] == [
        ["~", "/bin/api"],
        ["~", "/etc/motd"],
        ["+", "/etc/new"],
        ["~", "/etc/passwd"],
    ]
    assert told["files"][1].endswith("  mode 0644 -> 0755")
    assert told["files"][2].endswith("  0644 0:0  4 B")
    assert told["configuration"] == ["+ environment.A  1", "~ user  65532:65532 -> 65533:65532"]
    assert [line[0] for line in told["layers"]] == ["-", "-", "+", "+"]
    assert "unpacked" in told["totals"][0]
    of_acis, of_oci = differs(workspace, "before.aci", ACI), differs(workspace, before, "api")
    assert of_acis["files"] == of_oci["files"]
    assert [one["name"] for one in of_acis["configuration"]["added"]] == ["app.environment.A"]


def test_a_judge_finds_the_same_files(workspace: Any) -> None:
    workspace.build("build:api", "build:iam")
    listed = []
    for name in ("api", "iam"):
        with tarfile.open(workspace.aci(name)) as archive:
            listed.append({one.name.removeprefix("rootfs/"): one.size for one in archive if "/" in one.name})
    files = differs(workspace, "api", "iam")["files"]
    assert {one["name"]: one["before"]["size"] for one in files["removed"]} == {
        name: size for name, size in listed[0].items() if name not in listed[1]
    }
    assert {one["name"]: one["after"]["size"] for one in files["added"]} == {
        name: size for name, size in listed[1].items() if name not in listed[0]
    }


def test_platforms_are_compared(workspace: Any) -> None:
    workspace.build("release:api")
    found = differs(workspace, "api", "api@linux-arm64")
    assert [one["name"] for one in found["files"]["changed"]] == ["bin/api"]
    assert found["configuration"]["changed"][0] == {
        "name": "platform",
        "before": "linux/amd64",
        "after": "linux/arm64",
    }
    assert workspace.doit("diff", "build/oci/api@linux-arm64", "api@linux-arm64").status == 0
    assert workspace.doit("diff", "build/oci/api", "api").status == 0


def test_packages_have_their_versions(packed: Any, supply: Any) -> None:
    before = kept(packed, "db")
    supply.server("1.1-1")
    supply.archive.publish()
    packed.build("lock:db")
    packed.build("build:db")
    ended = packed.doit("diff", before, "db")
    told = sections(ended.out)
    assert told["packages"] == ["~ server  1.0-1 -> 1.1-1"]
    assert any(line.startswith("~ /usr/sbin/server ") for line in told["files"])
    assert packed.doit("diff", "db", "build/aci/db-1.0.0-linux-amd64.aci").status == 0


def test_an_image_that_skopeo_made_of_ours_holds_the_same(workspace: Any) -> None:
    skopeo = shutil.which("skopeo")
    if skopeo is None:
        pytest.skip("skopeo is not installed")
    workspace.build("build:api")
    copied = [skopeo, "copy", "-q", "--insecure-policy", "oci:build/oci/api/linux-amd64", "oci:copy:1"]
    subprocess.run(copied, cwd=workspace.root, check=True, capture_output=True)
    assert workspace.doit("diff", "api", "copy").status == 0


def test_an_image_that_actool_makes_holds_the_same(workspace: Any, actool: str) -> None:
    workspace.build("build:api")
    with tarfile.open(workspace.aci("api")) as archive:
        archive.extractall(workspace.path("unpacked"), filter="fully_trusted")
    command = [actool, "build", "--overwrite", "unpacked", "theirs.aci"]
    subprocess.run(command, cwd=workspace.root, check=True, capture_output=True)
    found = differs(workspace, ACI, "theirs.aci")
    assert (found["files"]["added"], found["files"]["removed"]) == ([], [])
    assert {what for one in found["files"]["changed"] for what in one["what"]} <= {"uid", "gid", "mtime"}


# What was pushed


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Debian's registry on a port of its own, which can be stopped by ending the process beside it."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "registry")}, "delete": {"enabled": True}}
    settings = {"version": 0.1, "storage": storage, "http": {"addr": f"127.0.0.1:{port}"}}
    (tmp_path / "config.yml").write_text(json.dumps(settings))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", tmp_path / "config.yml"], stdout=log, stderr=log)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.02)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


def test_one_image_is_compared_with_what_was_pushed_of_it(workspace: Any, registry: str, tmp_path: Path) -> None:
    workspace.build("push", "--registry", f"{registry}/team", "api")
    digest = json.loads(workspace.read("build/pushed/api.json"))["digest"]
    equal = workspace.doit("diff", "api")
    assert (equal.status, equal.err) == (0, "")
    assert equal.out == f"{registry}/team/api@{digest} and build/oci/api/linux-amd64 are equal\n"
    workspace.write("deploy/aci/api/rootfs/etc/new", "new\n")
    workspace.build("release:api")
    log = (tmp_path / "log").read_text().count("GET /v2/team/api/blobs")
    found = differs(workspace, "api")
    assert [one["name"] for one in found["files"]["added"]] == ["etc/new"]
    assert found["before"]["name"] == f"{registry}/team/api@{digest}"
    assert [len(found["layers"][which]) for which in ("shared", "removed", "added")] == [1, 1, 1]
    fetched = (tmp_path / "log").read_text().count("GET /v2/team/api/blobs") - log
    assert fetched <= 6, "the program's layer is here, and is not fetched"


def test_what_was_pushed_and_cannot_be_had_is_told(workspace: Any, registry: str) -> None:
    workspace.build("push", "--registry", registry, "api")
    record = json.loads(workspace.read("build/pushed/api.json"))
    workspace.write("deploy/aci/api/rootfs/etc/new", "new\n")
    workspace.build("release:api")
    workspace.write("build/pushed/api.json", json.dumps(record | {"repository": f"{registry}/other"}))
    ended = workspace.doit("diff", "api")
    assert (ended.status, ended.out) == (2, "")
    place = f"{registry}/other: must have {record['digest']}, got none"
    assert f"api: what was pushed must be in build/oci or in the registry: {place}\n" in ended.err
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    workspace.write("build/pushed/api.json", json.dumps(record | {"repository": f"{nobody}/api"}))
    ended = workspace.doit("diff", "api")
    assert ended.status == 2
    assert f"or in the registry: {nobody}: connection refused\n" in ended.err


# Mistakes


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "doit: diff must be given one image or two, got none\n"),
        (("api", "iam", "api"), "doit: diff must be given one image or two, got 3\n"),
        (("--jsn", "api"), "doit: option --jsn not recognized\n  hint: doit diff --help lists the options\n"),
        (
            ("apo", "api"),
            "apo: must be an image of this repository, an .aci, .* got no such thing\n  hint: did you mean api",
        ),
        (("xyz", "api"), "got no such thing\n  hint: images are api, iam\n"),
        (("apo",), "apo: must be an image of this repository .*\n  hint: did you mean api"),
        (("api",), "api: must have been pushed from here\n  hint: doit push api, or "),
        (("api", "iam"), "api: must have been built for linux/amd64\n  hint: doit build:api\n"),
        (("api@linux-arm64", "iam"), "api: must have been built for linux/arm64\n  hint: doit build:api@linux-arm64\n"),
        (("dodo.py", "api"), "dodo.py: must be an image of this repository, .* got something else\n"),
        (("services", "api"), "services: must be an image: .* got a folder without index.json\n"),
    ],
)
def test_what_is_no_image_is_told(workspace: Any, words: tuple[str, ...], told: str) -> None:
    ended = workspace.doit("diff", *words)
    assert (ended.status, ended.out) == (2, "")
    assert re.search(told, ended.err), ended.err
    assert "Traceback" not in ended.err
    assert not workspace.path("build/state").exists(), "looking leaves nothing behind"


def test_help_says_what_an_image_may_be(workspace: Any) -> None:
    ended = workspace.build("diff", "--help")
    assert "An IMAGE is one of this repository (api, api@linux-arm64), an .aci, " in " ".join(ended.out.split())
    assert "--json" in ended.out


def test_a_damaged_image_is_told(workspace: Any) -> None:
    workspace.build("build:api", "archive-oci:api")
    whole = workspace.aci("api").read_bytes()
    workspace.path("cut.aci").write_bytes(whole[: len(whole) // 2])
    workspace.path("flipped.aci").write_bytes(whole[:-2000] + bytes([whole[-2000] ^ 1]) + whole[-1999:])
    archive = workspace.path("build/oci/api/linux-amd64.tar").read_bytes()
    workspace.path("cut.tar").write_bytes(archive[: len(archive) // 2])
    layout = workspace.path(kept(workspace))
    layer = max((layout / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer.write_bytes(layer.read_bytes()[:-1])
    for name in ("cut.aci", "flipped.aci", "cut.tar", "before"):
        ended = workspace.doit("diff", name, "api")
        assert (ended.status, ended.out) == (2, ""), name
        assert ended.err.startswith(f"{name}: ")
        assert "Traceback" not in ended.err


def test_a_wrong_setting_ends_as_it_does_everywhere(workspace: Any) -> None:
    workspace.write("pyproject.toml", "[tool.procession]\nnonsense = 1\n")
    assert workspace.doit("diff", "api", "iam").status == 3


def test_a_folder_of_the_name_of_an_image_is_the_image_unless_it_is_written_as_a_path(workspace: Any) -> None:
    workspace.build("build:api", "build:iam")
    shutil.copytree(workspace.path("build/oci/iam/linux-amd64"), workspace.path("api"))
    assert workspace.doit("diff", "api", "./api").status == 1
    assert workspace.doit("diff", "./api", "iam").status == 0
