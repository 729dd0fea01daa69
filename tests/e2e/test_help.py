"""What `doit help` tells: everyday commands on one screen, a page for each command, stage and task."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import Any

import pytest

from procession_tasks.graph.topics import COMMANDS, STAGES

pytestmark = pytest.mark.slow  # each starts doit

OURS = sorted(point.name for point in entry_points(group="doit.COMMAND") if point.module.startswith("procession_tasks"))
INTERNAL = ("--db-file", "--backend", "--check_file_uptodate", "--pdb", "--auto-delayed", "config:", "dodo")


def stages(workspace: Any) -> list[str]:
    return [line.split()[0] for line in workspace.build("list").out.splitlines()]


def test_without_a_topic_it_shows_on_one_screen_what_people_do(workspace: Any) -> None:
    lines = workspace.build("help").out.splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 100
    assert lines[2].split() == ["build", "doit", "bring", "every", "stale", "image", "up", "to", "date"]
    named = set(re.findall(r"doit ([a-z][a-z-]*)", "\n".join(lines)))
    assert {"release", "list", "info", "validate", "push", "deploy", "clean"} <= named
    assert named - {"build", "help", "check-size"} <= {*OURS, *stages(workspace), "new", "outdated"}


def test_every_command_of_ours_is_on_the_overview(workspace: Any) -> None:
    words = set(re.findall(r"[a-z-]+", workspace.build("help").out))
    assert {*OURS} - words == {"schema"}


@pytest.mark.parametrize("command", OURS)
def test_a_command_has_a_page_without_the_internals_of_doit(workspace: Any, command: str) -> None:
    page = workspace.build("help", command).out
    assert page.startswith(f"doit {command}\n  ")
    assert f"\nusage\n  doit {command}" in page
    assert not [word for word in INTERNAL if word in page]
    assert workspace.build(command, "--help").out.strip() in page


def test_every_stage_has_a_page_with_its_tasks(workspace: Any) -> None:
    for stage in stages(workspace)[:6]:
        page = workspace.build("help", stage).out
        assert page.startswith(f"{stage}, a stage of the build\n")
        assert f"doit {stage}:IMAGE" in page


def test_what_is_described_is_there(workspace: Any) -> None:
    doits = {"forget", "ignore"}
    assert {*COMMANDS} - doits <= {*OURS}
    others = {"fetch-packages", "inject-packages", "lock", "outdated", "check-size"}  # no image here goes through these
    assert {*STAGES} - others <= {*stages(workspace)}


def test_a_task_has_a_page_with_what_it_is_made_from(workspace: Any) -> None:
    page = workspace.build("help", "pack-aci:api").out
    assert page.startswith("pack-aci:api\n  pack build/aci/api-1.0.0-linux-amd64.aci\n")
    assert "\nmade from\n  build/rootfs/api/linux-amd64.files\n  deploy/aci/api/manifest\n" in page
    assert "\nmakes\n  build/aci/api-1.0.0-linux-amd64.aci\n" in page


@pytest.mark.parametrize(
    ("topic", "hint"),
    [("biuld", "did you mean build?"), ("build:apx", "did you mean build:api?"), ("zzz", "doit help lists them")],
)
def test_an_unknown_topic_is_wrong_usage_and_the_nearest_is_named(workspace: Any, topic: str, hint: str) -> None:
    ended = workspace.doit("help", topic)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == f"doit: must be a command, a stage or a task, got {topic!r}\n  hint: {hint}\n"


def test_help_is_there_where_definitions_are_wrong_or_missing(workspace: Any) -> None:
    workspace.write("deploy/aci/api/image.yaml", "go: 1\n")
    assert workspace.build("help", "build").out
    assert workspace.doit("help", "build:api").status == 3
    workspace.path("dodo.py").unlink()
    assert "doit build:IMAGE" in workspace.build("help").out
    assert workspace.build("push", "--help").out.startswith("doit push\n")


def test_where_the_dodo_py_is_somebody_else_s_doit_is_as_it_always_was(workspace: Any) -> None:
    workspace.write("dodo.py", "def task_mine():\n    return {'actions': ['true'], 'doc': 'my own'}\n")
    assert workspace.build("help", "mine").out == "mine  my own\n"
    assert workspace.build("help").out.startswith("doit -- automation tool\n")
    assert "--db-file" in workspace.build("list", "--help").out


def test_pages_fit_a_narrow_screen(workspace: Any) -> None:
    for topic in ("run", "push", "inject-packages"):
        lines = workspace.build("help", topic, COLUMNS="80").out.splitlines()
        assert max(map(len, lines)) <= 82, topic
