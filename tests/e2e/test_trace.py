"""`doit trace`: where the time of the last run went."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once

FAILED, USAGE = 1, 2
CHAIN = ["go-inputs", "go-compile", "inject-binary", "pack"]


def tasks(document: Any) -> dict[str, Any]:
    return {one["name"]: one for one in document["traceEvents"] if one["ph"] == "X"}


def test_a_build_is_shown_as_a_trace_and_summed_up(workspace: Any) -> None:
    workspace.build()
    ended = workspace.build("trace")
    document = json.loads(ended.out)
    assert document["otherData"]["command"] == "doit build"
    assert document["otherData"]["status"] == 0
    assert len(tasks(document)) == 10
    head, *_, last = ended.err.splitlines()
    assert head.endswith(" s: 10 built")
    assert last.startswith("- "), "what would make it faster"


def test_the_critical_chain_follows_the_graph(workspace: Any) -> None:
    workspace.build()
    found = tasks(json.loads(workspace.build("trace").out))
    critical = sorted((one["ts"], name) for name, one in found.items() if one["args"]["critical"])
    assert [name.partition(":")[0].removesuffix("-aci").removesuffix("-oci") for _, name in critical] == CHAIN
    assert len({name.partition(":")[2] for _, name in critical[1:]}) == 1, (
        "of one image, once the inputs of all are listed"
    )


def test_a_trace_goes_to_the_file_that_is_asked_for(workspace: Any) -> None:
    workspace.build("build:api")
    ended = workspace.build("trace", "-o", "trace.json")
    assert ended.out == ""
    assert ended.err.startswith("doit build:api: ")
    assert len(tasks(json.loads(workspace.read("trace.json")))) == 5


def test_a_trace_goes_where_the_user_is(workspace: Any) -> None:
    workspace.build("build:api")
    command = [sys.executable, "-m", "doit", "trace", "-k", "-o", "trace.json"]
    subprocess.run(command, cwd=workspace.path("services"), env=workspace.environment, check=True, capture_output=True)
    assert workspace.path("services/trace.json").exists()


def test_the_summary_alone_is_on_stdout(workspace: Any) -> None:
    workspace.build("build:api")
    ended = workspace.build("trace", "--summary")
    assert (ended.out.startswith("doit build:api: "), ended.err) == (True, "")


def test_a_run_with_nothing_to_do_leaves_the_trace_of_the_one_before(workspace: Any) -> None:
    workspace.build()
    workspace.build()
    assert " s: 10 built\n" in workspace.build("trace", "--summary").out


def test_what_came_from_a_cache_and_what_is_fresh_is_told(workspace: Any, tmp_path: Path) -> None:
    workspace.environment |= {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_DIR": str(tmp_path / "cache")}
    workspace.build()
    shutil.rmtree(workspace.path("build/aci"))
    workspace.build()
    ended = workspace.build("trace")
    assert ended.err.splitlines()[0].endswith(" s: 2 cached, 8 fresh")
    found = tasks(json.loads(ended.out))
    assert {one["args"]["from"] for one in found.values()} == {"disk"}


def test_a_failed_build_is_shown_too(workspace: Any) -> None:
    workspace.edit("services/internal/apionly/api.go", '"apionly"', "nowhere")
    workspace.doit("build:api")
    ended = workspace.build("trace")
    assert " s, failed: 1 built, 1 failed, 3 skipped\n" in ended.err
    assert tasks(json.loads(ended.out))["go-compile:api"]["cat"] == "failed"


def test_a_definition_that_is_wrong_by_now_does_not_keep_the_trace_back(workspace: Any) -> None:
    workspace.build()
    workspace.edit("deploy/aci/api/image.yaml", "platforms:", "platform:")
    assert len(tasks(json.loads(workspace.build("trace").out))) == 10


def test_without_a_run_there_is_a_hint(workspace: Any) -> None:
    ended = workspace.doit("trace")
    assert (ended.status, ended.out) == (FAILED, "")
    assert ended.err == "doit: trace must follow a run that had work to do\n  hint: doit build, then doit trace\n"


@pytest.mark.parametrize("damage", [b"", b"procession kept", b"\0" * 100])
def test_a_record_that_is_torn_is_none(workspace: Any, damage: bytes) -> None:
    workspace.build("build:api")
    workspace.path("build/state/last-run").write_bytes(damage)
    assert workspace.doit("trace").status == FAILED


def test_tasks_are_wrong_usage(workspace: Any) -> None:
    ended = workspace.doit("trace", "api")
    assert (ended.status, ended.err) == (USAGE, "doit: trace must be given no tasks, got 'api'\n")


@pytest.mark.parametrize("place", ["deploy", "dodo.py/trace.json", "/proc/nowhere/trace.json"])
def test_a_file_that_cannot_be_written_is_told(workspace: Any, place: str) -> None:
    workspace.build("build:api")
    ended = workspace.doit("trace", "-o", place)
    assert ended.status == FAILED
    assert ended.err.startswith("doit: --output: must be a file that can be written, got ")
    assert "Traceback" not in ended.err
    assert not list(workspace.root.glob("**/*.part"))


def test_who_stops_reading_gets_no_traceback(workspace: Any) -> None:
    workspace.build("build:api")
    shell = f"{sys.executable} -m doit trace | true"
    ended = subprocess.run(
        ["sh", "-c", shell], cwd=workspace.root, env=workspace.environment, capture_output=True, text=True
    )
    assert "Traceback" not in ended.stderr
    assert "Error" not in ended.stderr


def test_looking_changes_nothing(workspace: Any, written: Any) -> None:
    workspace.build("build:api")
    with written(workspace.root) as names:
        workspace.build("trace", "--summary")
    assert names == set()
