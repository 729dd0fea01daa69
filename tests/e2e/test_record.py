"""What the last run that had work to do did, as it is kept for those who ask later."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import Any

import pytest

from procession_tasks.graph.record import Ran, Run, keep, last

pytestmark = pytest.mark.slow  # each builds, some more than once

API = ("go-inputs:api", "go-compile:api", "inject-binary:api", "pack-aci:api", "pack-oci:api")
SOURCE = "services/internal/apionly/api.go"
NEVER = "it was never built here"


@pytest.fixture
def built(workspace: Any) -> Any:
    workspace.build("build:api")
    return workspace


def ran(workspace: Any) -> dict[str, Ran]:
    run = last(workspace.root)
    assert run is not None
    return {task.name: task for task in run.tasks}


def test_the_first_build_is_kept_with_what_each_task_did(workspace: Any) -> None:
    before = time.time()
    workspace.build("build:api")
    run = last(workspace.root)
    assert run is not None
    assert (run.words, run.status, run.transfers) == (("build:api",), 0, ())
    assert before - 1 < run.begun < run.begun + run.seconds < time.time() + 1
    assert tuple(task.name for task in run.tasks) == API
    for task in run.tasks:
        assert (task.how, task.why, task.where, task.saved) == ("built", (NEVER, task.name), None, 0)
        assert 0 < task.started < task.started + task.seconds < run.seconds
        assert 0 <= task.thread < 16


def test_a_chain_leads_from_what_changed_to_each_task(built: Any) -> None:
    built.edit(SOURCE, '"apionly"', '"edited"')
    built.build()
    found = ran(built)
    changed = f"{SOURCE} changed"
    assert found["go-inputs:api"].why == (changed, "go-inputs:api")
    assert found["pack-aci:api"].why == (changed, *API[:3], "pack-aci:api")
    assert found["pack-oci:api"].why == (changed, *API[:3], "pack-oci:api")
    assert found["go-inputs:iam"].why == (NEVER, "go-inputs:iam")


def test_the_shortest_chain_is_kept_where_there_are_several(built: Any) -> None:
    built.edit(SOURCE, '"apionly"', '"edited"')
    built.edit("deploy/aci/api/manifest", '"group": "app"', '"group": "app", "workingDirectory": "/etc"')
    built.build("build:api")
    found = ran(built)
    assert found["pack-aci:api"].why == ("deploy/aci/api/manifest changed", "pack-aci:api")
    assert found["inject-binary:api"].why == (f"{SOURCE} changed", *API[:3])


def test_what_comes_out_the_same_leaves_the_rest_fresh(built: Any) -> None:
    built.edit(SOURCE, '{ return "apionly" }', '{ return "apionly" } // says who')
    built.build("build:api")
    assert {name: task.how for name, task in ran(built).items()} == {
        **dict.fromkeys(API[:2], "built"),
        **dict.fromkeys(API[2:], "fresh"),
    }
    assert ran(built)["pack-aci:api"].why == ()


def test_a_failure_is_kept_with_what_it_kept_from_being_built(built: Any) -> None:
    built.edit(SOURCE, '"apionly"', "nowhere")
    assert built.doit("build:api").status == 1
    run = last(built.root)
    assert run is not None
    assert run.status == 1
    hows = {name: task.how for name, task in ran(built).items()}
    assert hows == dict(zip(API, ("built", "failed", "skipped", "skipped", "skipped"), strict=True))
    assert ran(built)["go-compile:api"].why == (f"{SOURCE} changed", *API[:2])


def test_a_build_from_a_cache_says_from_where(workspace: Any, tmp_path: Any) -> None:
    workspace.environment |= {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_DIR": str(tmp_path / "cache")}
    workspace.build("build:api")
    workspace.build("clean", "-a")
    workspace.build("build:api")
    for task in ran(workspace).values():
        assert (task.how, task.where) == ("cached", "disk")
        assert task.saved > 0


def test_a_run_with_nothing_to_do_leaves_what_the_last_did(built: Any) -> None:
    before = built.path("build/state/last-run").read_bytes()
    for words in (["build:api"], ["build:api"], ["list"], ["validate"], ["info", "pack-aci:api"]):
        built.doit(*words)
        assert built.path("build/state/last-run").read_bytes() == before


def test_a_run_with_nothing_to_do_loads_nothing_of_it(built: Any) -> None:
    """Neither one that looks at every task, nor the next, which knows that there is nothing to do."""
    built.build("build:api", "-a")
    for _ in range(2):
        command = [sys.executable, "-X", "importtime", "-m", "doit", "build:api"]
        ended = subprocess.run(command, cwd=built.root, env=built.environment, capture_output=True, text=True)
        assert "nothing to do" in ended.stdout
        assert not re.search(r"procession_tasks\.graph\.(record|notes|cause|versions)$", ended.stderr, re.MULTILINE)


@pytest.mark.parametrize("content", [b"", b"torn", b"procession kept 1 cpython-311\n" + b"0" * 40])
def test_a_damaged_record_is_as_none(built: Any, content: bytes) -> None:
    built.path("build/state/last-run").write_bytes(content)
    assert last(built.root) is None


def test_a_run_reads_back_as_it_was_kept(tmp_path: Any) -> None:
    tasks = (
        Ran("a:b", "cached", 0.5, 1.5, ("x changed", "a:b"), "https://cache.example", 3.25, 1),
        Ran("c:d", "fresh"),
    )
    run = Run(("build",), 1.5, 2.5, 130, tasks, (("fetch https://cache.example", 0.25, 0.5, 4096),))
    keep(tmp_path, run)
    assert last(tmp_path) == run


def test_a_disk_that_is_full_or_read_only_costs_the_record_alone(tmp_path: Any) -> None:
    (tmp_path / "build").write_text("a file where a folder should be")
    keep(tmp_path, Run((), 0, 0, 0, ()))
    assert last(tmp_path) is None
