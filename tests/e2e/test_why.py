"""What `doit why` says before a build, and after one."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once

STAGES = ("go-inputs", "go-compile", "inject-binary", "pack-aci", "pack-oci")
SOURCE, DEFINITION = "services/internal/apionly/api.go", "deploy/aci/api/image.yaml"
PACKED = "pack-aci:api, pack-oci:api"
FAILED, USAGE, WRONG = 1, 2, 3

_once: list[Any] = []


@pytest.fixture
def built(new_workspace: Any, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Any:
    """A copy of a repository that was built."""
    if not _once:
        made = new_workspace(tmp_path_factory.mktemp("built") / "repository")
        made.build()
        _once.append(made)
    other = copy.copy(_once[0])
    other.root = tmp_path / "copy"
    other.environment = dict(other.environment)
    shutil.copytree(_once[0].root, other.root, symlinks=True)
    return other


def why(workspace: Any, *words: str) -> list[str]:
    return workspace.build("why", *words).out.splitlines()


def told(workspace: Any, *words: str) -> Any:
    return json.loads(workspace.build("why", "--json", *words).out)


def waiting(*stages: str) -> str:
    return "  run if what they wait for comes out different: " + ", ".join(f"{stage}:api" for stage in stages)


def through(*stages: str) -> str:
    return " → ".join([*(f"{stage}:api" for stage in stages), PACKED])


def test_nothing_was_built_yet(workspace: Any) -> None:
    assert why(workspace) == [
        "api: stale",
        "  it was never built here → pack-aci:api, pack-oci:api",
        "iam: stale",
        "  it was never built here → pack-aci:iam, pack-oci:iam",
    ]


def test_what_is_fresh_is_said_to_be(built: Any) -> None:
    assert why(built) == ["api: fresh", "iam: fresh"]
    assert why(built, "iam") == ["iam: fresh"]


def test_the_chain_leads_from_the_source_to_the_archives(built: Any) -> None:
    built.edit(SOURCE, '"apionly"', '"edited"')
    assert why(built) == [
        "api: stale",
        f"  {SOURCE} changed → {through(*STAGES[:3])}",
        waiting(*STAGES[1:]),
        "iam: fresh",
    ]


def flag(workspace: Any) -> None:
    workspace.edit(DEFINITION, "  binary:", "  ldflags: -s\n  binary:")


def variable(workspace: Any) -> None:
    workspace.edit(DEFINITION, "  binary:", "  environment: {GOAMD64: v3}\n  binary:")


CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "a new source": (
        lambda workspace: workspace.write("services/cmd/api/more.go", "package main\n"),
        f"services/cmd/api/more.go is new → {through(*STAGES[:3])}",
    ),
    "a deleted source": (
        lambda workspace: workspace.path("services/internal/apionly/api.go").unlink(),
        f"{SOURCE} was deleted → {through(*STAGES[:3])}",
    ),
    "a flag": (flag, f'-ldflags changed from "-s -w -buildid=" to -s → {through("go-compile", "inject-binary")}'),
    "a variable": (variable, f"GOAMD64 v3 was added → {through('go-compile', 'inject-binary')}"),
    "the toolchain": (
        lambda workspace: workspace.edit("pyproject.toml", "1.27.3", "1.27.4"),
        f"go changed from 1.27.3 to 1.27.4 → {through('go-compile', 'inject-binary')}",
    ),
    "a file of rootfs": (
        lambda workspace: workspace.write("deploy/aci/api/rootfs/etc/motd", "new\n"),
        f"deploy/aci/api/rootfs/etc/motd changed → {through('inject-binary')}",
    ),
    "a new file of rootfs": (
        lambda workspace: workspace.write("deploy/aci/api/rootfs/etc/new", "new\n"),
        f"deploy/aci/api/rootfs/etc/new is new → {through('inject-binary')}",
    ),
    "a deleted file of rootfs": (
        lambda workspace: workspace.path("deploy/aci/api/rootfs/etc/motd").unlink(),
        f"deploy/aci/api/rootfs/etc/motd was deleted → {through('inject-binary')}",
    ),
    "the manifest": (
        lambda workspace: workspace.edit("deploy/aci/api/manifest", '"/bin/api"', '"/bin/api", "-v"'),
        f"deploy/aci/api/manifest changed → {PACKED}",
    ),
    "a declared path": (
        lambda workspace: workspace.edit(
            DEFINITION, "platforms:", "paths: [{path: /tmp, type: directory}]\nplatforms:"
        ),
        f"""--path '["tmp", "directory", null, 0, 0, null]' was added → {through("inject-binary")}""",
    ),
    "an edited output": (
        lambda workspace: workspace.write("build/bin/linux-amd64/api", "swapped\n"),
        f"build/bin/linux-amd64/api is not as it was built → {through('go-compile', 'inject-binary')}",
    ),
    "a lost output": (
        lambda workspace: workspace.path("build/bin/linux-amd64/api").unlink(),
        f"build/bin/linux-amd64/api is gone → {through('go-compile', 'inject-binary')}",
    ),
}


@pytest.mark.parametrize(("change", "line"), CHANGES.values(), ids=CHANGES)
def test_what_changed_is_named(built: Any, change: Callable[[Any], object], line: str) -> None:
    change(built)
    assert why(built, "api")[:2] == ["api: stale", f"  {line}"]


def test_what_the_declaration_was_is_not_known_any_more(built: Any) -> None:
    built.path("build/state/declared").write_bytes(b"torn")
    flag(built)
    built.write("deploy/aci/api/rootfs/etc/motd", "new\n")
    said = why(built, "api")
    assert said[1] == f"  deploy/aci/api/rootfs changed → {through('inject-binary')}"
    assert said[2].startswith(
        "  its declaration changed: command, flags, environment, toolchain or our own format → go-c"
    )


def test_a_second_reason_is_told_too(built: Any) -> None:
    built.edit(SOURCE, '"apionly"', '"edited"')
    built.write("deploy/aci/api/rootfs/etc/motd", "new\n")
    assert why(built, "api")[1:3] == [
        f"  deploy/aci/api/rootfs/etc/motd changed → {through('inject-binary')}",
        f"  {SOURCE} changed → go-inputs:api",
    ]


def test_tasks_and_platforms_can_be_asked_about(built: Any) -> None:
    built.edit(SOURCE, '"apionly"', '"edited"')
    assert why(built, "go-compile:api", "iam") == [
        "go-compile:api: stale",
        f"  {SOURCE} changed → go-inputs:api → go-compile:api",
        "  run if what they wait for comes out different: go-compile:api",
        "iam: fresh",
    ]
    assert (
        why(built, "iam@linux-arm64")[1]
        == "  it was never built here → pack-aci:iam@linux-arm64, pack-oci:iam@linux-arm64"
    )
    assert "index-oci:iam" in why(built, "release:iam")[1]


def test_machines_are_told_each_task_s_part(built: Any) -> None:
    flag(built)
    document = told(built)
    assert document["version"] == 1
    assert [(image["name"], image["stale"]) for image in document["images"]] == [("api", True), ("iam", False)]
    tasks = {task["name"]: task for task in document["tasks"]}
    assert {name: task["status"] for name, task in tasks.items() if name.endswith(":api")} == {
        "go-inputs:api": "fresh",
        "go-compile:api": "stale",
        **{f"{stage}:api": "waiting" for stage in STAGES[2:]},
    }
    cause = {"what": "command", "subject": "-ldflags", "from": '"-s -w -buildid="', "to": "-s"}
    assert tasks["go-compile:api"]["causes"] == [cause]
    assert tasks["inject-binary:api"]["waits_for"] == ["go-compile:api"]
    changed = '-ldflags changed from "-s -w -buildid=" to -s'
    assert document["images"][0]["chains"][0] == [changed, *(f"{stage}:api" for stage in STAGES[1:4])]


def test_a_program_that_was_built_alone_makes_its_image_stale(built: Any) -> None:
    built.edit(SOURCE, '"apionly"', '"edited"')
    built.build("go-compile:api")
    assert why(built, "api") == [
        "api: stale",
        f"  build/bin/linux-amd64/api changed → {through('inject-binary')}",
        waiting("pack-aci", "pack-oci"),
    ]


def test_a_look_starts_no_process_and_writes_nothing(built: Any, audit: Any, written: Callable[[Path], Any]) -> None:
    built.edit(SOURCE, '"apionly"', '"edited"')
    with written(built.root) as names:
        for words in ((), ("api",), ("--json",), ("--last",), ("--last", "--json", "iam")):
            built.build("why", *words, **audit.environment)
    assert names == set()
    assert set(audit.events()) == {"watching"}


def test_what_a_build_knows_without_a_look_is_not_looked_at(built: Any) -> None:
    """A build that is known to find nothing to do ends before it misses what only the graph needs."""
    built.build()
    shutil.rmtree(built.path("build/state/closures"))
    assert why(built) == ["api: fresh", "iam: fresh"]
    assert why(built, "api")[0] == "api: stale"
    assert built.build().out == "nothing to do: 10 tasks up to date\n"
    assert "go-inputs:api" in built.build("build:api").ran


# The last run


def test_the_last_run_tells_why_and_where_the_chain_was_cut_off(built: Any) -> None:
    built.edit(SOURCE, '{ return "apionly" }', '{ return "apionly" } // says who')
    built.edit("deploy/aci/iam/manifest", '"/bin/iam"', '"/bin/iam", "-v"')
    built.build()
    head, *lines = why(built, "--last")
    assert head.startswith("doit build: ")
    assert lines == [
        "api: fresh",
        f"  {SOURCE} changed → go-inputs:api → go-compile:api",
        "  cut off at go-compile:api, which came out as it was",
        "iam: built",
        "  deploy/aci/iam/manifest changed → pack-aci:iam, pack-oci:iam",
    ]
    assert why(built) == ["api: fresh", "iam: fresh"]
    document = told(built, "--last")
    assert [(one["name"], one["outcome"], one["cut_off"]) for one in document["images"]] == [
        ("api", "fresh", ["go-compile:api"]),
        ("iam", "built", []),
    ]
    assert document["run"]["words"] == ["build"]


def test_what_a_cache_had_is_told_with_what_it_spared(built: Any, tmp_path: Path) -> None:
    built.environment |= {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_DIR": str(tmp_path / "cache")}
    manifest = built.read("deploy/aci/api/manifest")
    for text in (
        manifest.replace('"/bin/api"', '"/bin/api", "-v"'),
        manifest,
        manifest.replace('"/bin/api"', '"/bin/api", "-v"'),
    ):
        built.write("deploy/aci/api/manifest", text)
        built.build("build:api")
    lines = why(built, "--last", "api")[1:]
    assert lines[:2] == ["api: cached", f"  deploy/aci/api/manifest changed → {PACKED}"]
    assert lines[2].startswith("  taken from disk, which spared 0.")
    assert lines[2].endswith(" s: pack-aci:api, pack-oci:api")


def test_a_failure_is_told_with_what_led_to_it(built: Any) -> None:
    built.edit(SOURCE, '"apionly"', "nowhere")
    assert built.doit("build:api").status == FAILED
    head, *lines = why(built, "--last")
    assert head.endswith(", failed")
    assert lines == [
        "api: failed",
        f"  {SOURCE} changed → go-inputs:api → go-compile:api",
        "  go-compile:api failed",
        "iam: was not part of doit build:api",
    ]
    assert why(built, "api")[1] == f"  it was never built here → {through('go-compile', 'inject-binary')}"


# Mistakes


def test_a_name_that_is_none_is_wrong_usage(built: Any) -> None:
    ended = built.doit("why", "apii")
    assert (ended.status, ended.err) == (
        USAGE,
        "doit: must be a task or a file it makes, got 'apii'\n  hint: did you mean api? images are api, iam\n",
    )


def test_a_wrong_definition_is_told_as_by_a_build(built: Any) -> None:
    built.edit(DEFINITION, "package:", "packag:")
    ended = built.doit("why")
    assert ended.status == WRONG
    assert ended.err.startswith(f"{DEFINITION}:2: go.packag: ")


def test_there_was_no_run_yet(workspace: Any) -> None:
    ended = workspace.doit("why", "--last")
    assert (ended.status, ended.out) == (FAILED, "")
    assert ended.err == "doit: why --last must come after a build here\n  hint: doit why says what one would do\n"


@pytest.mark.parametrize("name", ["declared", "last-run", "tasks.log", "states", "plans"])
@pytest.mark.parametrize("content", [b"", b"\0\xff torn"])
def test_state_that_is_damaged_costs_details_at_most(built: Any, name: str, content: bytes) -> None:
    built.path(f"build/state/{name}").write_bytes(content)
    said = why(built, "api")
    assert said == ["api: fresh"] or name == "tasks.log"
    assert built.doit("why", "--last").status == (FAILED if name == "last-run" else 0)
    assert built.build("build:api").status == 0
    assert why(built, "api") == ["api: fresh"]
