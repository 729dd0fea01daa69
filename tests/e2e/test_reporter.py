"""What a run tells without a terminal: plain lines, what failed and where its log is, and JSON for machines."""

from __future__ import annotations

import itertools
import json
import re
import signal
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once

FAILED, USAGE, WRONG, INTERRUPTED = 1, 2, 3, 130
SOURCE, LOG = "services/internal/apionly/api.go", "build/state/logs/go-compile.api.log"
STAGES = ("go-inputs", "go-compile", "inject-binary", "pack-aci", "pack-oci")


def break_source(workspace: Any) -> None:
    workspace.edit(SOURCE, '"apionly"', "nowhere")


def mend_source(workspace: Any) -> None:
    workspace.edit(SOURCE, "nowhere", '"apionly"')


# Plain lines


def test_lines_are_plain_and_the_last_one_counts(workspace: Any) -> None:
    ended = workspace.build(CLICOLOR_FORCE="1", TERM="xterm-256color")
    *lines, last = ended.out.splitlines()
    assert last == "10 tasks run, 0 up to date"
    assert [line for line in lines if not re.fullmatch(r"\S+ +[0-9]+\.[0-9]{2} s", line)] == []
    assert (len(lines), ended.err) == (10, "")


def test_who_asks_is_told_why(workspace: Any) -> None:
    workspace.build("build:api")
    workspace.write("deploy/aci/api/rootfs/etc/motd", "new\n")
    told = workspace.build("-v", "2", "build:api").out
    assert re.match(r"inject-binary:api +[0-9.]+ s\n  because deploy/aci/api/rootfs/etc/motd changed\n", told)
    assert told.count("because") == 3
    workspace.write("deploy/aci/api/rootfs/etc/motd", "newer\n")
    assert "because" not in workspace.build("build:api").out


# Failures


def test_a_failure_says_what_was_run_and_where_its_log_is(workspace: Any) -> None:
    break_source(workspace)
    ended = workspace.doit("build:api")
    assert ended.status == FAILED
    assert ended.err == (
        "go-compile:api: failed\n"
        "# sample.example/services/internal/apionly\n"
        f"{SOURCE}:4:29: undefined: nowhere\n"
        "  command: go build -C services -buildvcs=false -trimpath '-ldflags=-s -w -buildid='"
        " -o=../build/bin/linux-amd64/api -- ./cmd/api\n"
        f"  log: {LOG}\n"
    )


def test_the_log_has_all_of_it_until_the_task_succeeds(workspace: Any) -> None:
    break_source(workspace)
    workspace.doit("build:api")
    head, _, said = workspace.read(LOG).partition("\n\n")
    assert said == f"# sample.example/services/internal/apionly\n{SOURCE}:4:29: undefined: nowhere\n"
    words = dict(line.split(": ", 1) for line in head.splitlines())
    assert list(words) == ["task", "failed", "command", "environment", "needs", "inputs", "outputs"]
    assert words["task"] == "go-compile:api"
    assert words["command"].endswith(" ./cmd/api")
    assert "GOOS=linux" in words["environment"]
    mend_source(workspace)
    workspace.build("build:api")
    assert not workspace.path(LOG).exists()


def test_each_task_that_fails_has_a_log_of_its_own(workspace: Any) -> None:
    workspace.edit("services/internal/shared/shared.go", '"shared"', "5")
    ended = workspace.doit("-c")
    assert len(list(workspace.path("build/state/logs").iterdir())) == 2
    assert ended.err.count("  log: ") == 1, "what is the same is told once"


def test_a_check_that_fails_leaves_no_log(workspace: Any) -> None:
    workspace.build("build:api")
    workspace.aci("api").write_bytes(b"swapped")
    ended = workspace.doit("-s", "verify:api")
    assert ended.status == FAILED
    assert "verify:api: failed\n" in ended.err
    assert "  log: " not in ended.err
    assert not workspace.path("build/state/logs").exists()


def test_without_room_for_a_log_there_is_none(workspace: Any) -> None:
    workspace.write("build/state/logs", "a file where the folder would be\n")
    break_source(workspace)
    ended = workspace.doit("build:api")
    assert ended.status == FAILED
    assert "  command: go build" in ended.err
    assert "  log: " not in ended.err
    assert "Traceback" not in ended.err


def test_a_log_holds_no_control_characters(workspace: Any) -> None:
    workspace.write("services/cmd/api/bell.go", 'package main\n\nimport _ "sample.example/\x1b[31mred"\n')
    assert workspace.doit("build:api").status == FAILED
    told = "".join(path.read_text() for path in workspace.path("build/state/logs").iterdir())
    assert "red" in told
    assert [char for char in told if not char.isprintable() and char != "\n"] == []


# JSON


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_tells_when_each_task_begins_and_how_it_ends(workspace: Any) -> None:
    ended = workspace.build("-r", "json")
    begun, *middle, summary = events(ended.out)
    assert begun == {"event": "begun", "at": begun["at"], "version": 1, "tasks": 10}
    started = {one["task"]: one for one in middle if one["event"] == "started"}
    finished = {one["task"]: one for one in middle if one["event"] == "finished"}
    assert started.keys() == finished.keys() == {f"{stage}:{name}" for stage in STAGES for name in ("api", "iam")}
    assert len(middle) == 20
    for name, one in started.items():
        assert (one["why"], finished[name]["outcome"]) == ("it was never built here", "built")
        assert one["at"] + finished[name]["seconds"] == pytest.approx(finished[name]["at"], abs=0.05)
    assert (summary["event"], summary["status"], summary["errors"]) == ("summary", 0, [])
    assert {one["name"]: one["outcome"] for one in summary["images"]} == {"api": "built", "iam": "built"}


def test_moments_are_in_order(workspace: Any) -> None:
    moments = [one["at"] for one in events(workspace.build("-r", "json").out)]
    assert all(before <= after + 0.05 for before, after in itertools.pairwise(moments))


def test_json_of_a_run_with_nothing_to_do_has_all_tasks(workspace: Any) -> None:
    workspace.build()
    ended = workspace.build("--reporter", "json")
    outcomes = [one["outcome"] for one in events(ended.out) if one["event"] == "finished"]
    assert (outcomes, ended.err) == (["fresh"] * 10, "")


def test_json_of_a_failure_has_message_log_and_place(workspace: Any) -> None:
    break_source(workspace)
    ended = workspace.doit("-r", "json", "build:api")
    told = events(ended.out)
    (failed,) = (one for one in told if one.get("outcome") == "failed")
    assert (failed["task"], failed["log"]) == ("go-compile:api", LOG)
    assert failed["message"].endswith(f"{SOURCE}:4:29: undefined: nowhere")
    assert told[-1]["status"] == ended.status == FAILED
    error = {"task": "go-compile:api", "message": "undefined: nowhere", "file": SOURCE, "line": 4}
    assert told[-1]["errors"] == [error]
    assert "go-compile:api: failed\n" in ended.err, "people are told as ever"


def test_json_of_what_a_cache_had_says_where(workspace: Any, tmp_path: Any) -> None:
    workspace.environment |= {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_DIR": str(tmp_path / "cache")}
    workspace.build("build:api")
    workspace.build("clean")
    told = events(workspace.build("-r", "json", "build:api").out)
    cached = [one for one in told if one.get("outcome") == "cached"]
    assert (len(cached), {one["from"] for one in cached}) == (5, {"disk"})
    assert told[-1]["cache"]["hits"] == {"disk": 5}


def test_json_of_a_wrong_definition_is_the_summary_alone(workspace: Any) -> None:
    workspace.edit("deploy/aci/api/image.yaml", "platforms:", "platform:")
    ended = workspace.doit("-r", "json")
    (summary,) = events(ended.out)
    assert (ended.status, summary["status"]) == (WRONG, WRONG)
    assert summary["errors"][0]["line"] == 4


def test_json_of_an_unknown_task_is_the_summary_alone(workspace: Any) -> None:
    ended = workspace.doit("-r", "json", "build:nope")
    (summary,) = events(ended.out)
    assert summary["status"] == ended.status == USAGE


def test_what_tasks_print_is_no_json(workspace: Any) -> None:
    ended = workspace.build("-r", "json", "validate")
    assert [one["event"] for one in events(ended.out)] == ["begun", *["started"] * 2, *["finished"] * 2, "summary"]
    assert "deploy/aci/api: ok\n" in ended.err


def test_json_goes_to_the_file_that_is_asked_for(workspace: Any) -> None:
    ended = workspace.build("-r", "json", "-o", "told.json", "build:api")
    assert ended.out == ""
    assert [one["event"] for one in events(workspace.read("told.json"))][-1] == "summary"


def test_json_of_an_interrupted_run_says_so(workspace: Any, start: Any, gated_go: Any, wait_until: Any) -> None:
    go = gated_go(workspace)
    run = start(workspace, "-r", "json")
    wait_until(lambda: go.count("build"), "go build runs")
    run.signal(signal.SIGINT, group=True)
    assert run.wait() == INTERRUPTED
    told = events(run.out)
    assert (told[-1]["event"], told[-1]["status"]) == ("summary", INTERRUPTED)


def test_another_dodo_has_the_json_that_doit_has(workspace: Any) -> None:
    workspace.write("dodo.py", "def task_hello():\n    return {'actions': [lambda: print('hello')]}\n")
    told = json.loads(workspace.build("-r", "json", "hello").out)
    assert told["tasks"][0]["name"] == "hello"
