"""`doit graph` draws what a build would do, and does nothing."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once


def stale(text: str) -> set[str]:
    """The images and stages that a chart shows as stale."""
    found, image = set(), ""
    for line in map(str.strip, text.splitlines()):
        if match := re.fullmatch(r'subgraph \w+\["(.*)"\]', line):
            image = match[1]
        elif (match := re.fullmatch(r'\w+\["(.*)"\]:::stale', line)) and image != "legend":
            found.add(f"{match[1]}:{image}")
    return found


def test_before_the_first_build_all_is_stale_and_drawing_it_leaves_no_trace(workspace: Any) -> None:
    before = workspace.files(".")
    drawn = workspace.build("graph")

    assert drawn.out.startswith("%% build: 2 images, 12 tasks: 10 stale, 2 behind\nflowchart LR\n")
    assert "go-compile:api" in stale(drawn.out)
    assert drawn.err == ""
    assert {name for name in workspace.files(".") if "__pycache__" not in name} == before.keys()


def test_what_is_stale_in_the_picture_runs_and_what_is_neither_that_nor_behind_does_not(workspace: Any) -> None:
    workspace.build()
    assert "12 fresh" in workspace.build("graph").out

    workspace.edit("services/internal/iamonly/iam.go", '"iamonly"', '"another"')
    workspace.edit("deploy/aci/api/manifest", '"1.0.0"', '"1.0.1"')
    drawn = workspace.build("graph").out
    assert stale(drawn) == {"go-inputs:iam", "pack-aci:api", "pack-oci:api"}
    assert "3 stale, 6 behind, 3 fresh" in drawn

    built = workspace.build()
    assert {*built.ran} >= stale(drawn)
    assert "go-compile:api" not in built.ran
    assert "12 fresh" in workspace.build("graph").out


def test_a_name_draws_one_image_or_what_a_task_needs(workspace: Any) -> None:
    assert "build: 2 images" in workspace.build("graph").out
    assert "%% api: 1 image, 6 tasks" in workspace.build("graph", "api").out
    assert "%% go-compile:api: 1 image, 2 tasks" in workspace.build("graph", "go-compile:api").out
    assert "%% build/bin/linux-amd64/api: 1 image, 2 tasks" in workspace.build("graph", "build/bin/linux-amd64/api").out
    released = workspace.build("graph", "release:api").out
    assert '["pack-oci linux-arm64"]' in released
    assert '["index-oci"]' in released


def test_the_end_of_a_file_s_name_decides_what_it_is_drawn_as(workspace: Any) -> None:
    for name in ("a.svg", "b.mmd", "c.dot"):
        assert workspace.build("graph", "-o", name).out == ""
    assert ET.fromstring(workspace.read("a.svg")).tag == "{http://www.w3.org/2000/svg}svg"
    assert workspace.read("b.mmd") == workspace.build("graph").out
    assert workspace.read("c.dot") == workspace.build("graph", "--format", "dot").out
    assert workspace.build("graph", "--format=svg", "-o", "d").out == ""
    assert workspace.read("d") == workspace.read("a.svg")


@pytest.mark.parametrize(
    ("words", "status", "what"),
    [
        (
            ("apj",),
            2,
            "doit: must be a task or a file it makes, got 'apj'\n  hint: did you mean api? images are api, iam\n",
        ),
        (("build:apj",), 2, "got 'build:apj'\n  hint: did you mean api?"),
        (("--format", "png"), 2, "parameter 'format'. Provided 'png' but available choices are"),
        (("-o", "graph.png"), 2, "doit: --output must end with .mmd, .mermaid, .dot, .gv, .svg, got 'graph.png'\n"),
        (("-o", "dodo.py/graph.svg"), 1, "dodo.py/graph.svg: cannot be written: "),
    ],
)
def test_mistakes_are_told_in_a_line(workspace: Any, words: tuple[str, ...], status: int, what: str) -> None:
    drawn = workspace.doit("graph", *words)
    assert (drawn.status, drawn.out) == (status, "")
    assert what in drawn.err
    assert "Traceback" not in drawn.err


def test_a_wrong_definition_is_told_as_a_build_tells_it(workspace: Any) -> None:
    workspace.edit("deploy/aci/iam/image.yaml", "binary:", "binray:")
    drawn = workspace.doit("graph")
    assert drawn.status == 3
    assert drawn.err == workspace.doit().err
    assert workspace.doit("graph", "api").status == 0


def test_a_reader_that_ends_early_is_no_failure_to_shout_about(workspace: Any) -> None:
    command = f"{sys.executable} -m doit graph | head -c 1"
    done = subprocess.run(["sh", "-c", command], cwd=workspace.root, env=workspace.environment, capture_output=True)
    assert done.stderr == b""


def test_a_file_that_stdout_is_led_to_decides_as_well(workspace: Any) -> None:
    """As people type it: `doit graph > graph.svg`."""
    for name, start in (("graph.svg", "<svg"), ("graph.dot", "digraph"), ("graph.txt", "flowchart")):
        command = f"{sys.executable} -m doit graph > {name}"
        subprocess.run(command, shell=True, cwd=workspace.root, env=workspace.environment, check=True)
        assert start in workspace.read(name)[:400]
