"""Which part of a declaration changed, and how that is said."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from procession_tasks.graph.cause import Cause, words
from procession_tasks.graph.declaration import changes
from procession_tasks.step import Step

STEP = Step(
    "pack-aci",
    "api",
    "linux-amd64",
    ("pack-aci", "--format=1", "--label=os=linux", "--label=arch=amd64", "--output=build/a.aci"),
    ("build/list",),
    ("build/a.aci",),
    (("GOOS", "linux"),),
    (("go", "1.27.3"),),
)


def command(*words: str) -> dict[str, Any]:
    return {"command": words}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"properties": (("go", "1.27.4"),)}, "go changed from 1.27.3 to 1.27.4"),
        ({"environment": ()}, "GOOS linux was removed"),
        ({"environment": (("GOOS", ""),)}, 'GOOS changed from linux to ""'),
        (
            {"inputs": ("build/other",)},
            "its declaration changed: command, flags, environment, toolchain or our own format",
        ),
        (command(*STEP.command, "-v"), "argument -v was added"),
        (command(*STEP.command[1:]), "argument pack-aci was removed"),
        (command("pack-aci", "--format=2", *STEP.command[2:]), "--format changed from 1 to 2"),
        (command(*STEP.command[:3], *STEP.command[4:]), "--label arch=amd64 was removed"),
        (
            command(*STEP.command[:3], "--label=arch=arm64", *STEP.command[4:]),
            "--label changed from arch=amd64 to arch=arm64",
        ),
        (command(*STEP.command, '--path=["a b"]'), """--path '["a b"]' was added"""),
        (command(*STEP.command, '--path=it\'s "a"'), '--path "it\'s \\"a\\"" was added'),
        (
            command(*reversed(STEP.command)),
            "its declaration changed: command, flags, environment, toolchain or our own format",
        ),
        (
            command(*(f"--x={number}" for number in range(5)), *STEP.command),
            "--x 0 was added; --x 1 was added; --x 2 was added; 2 more",
        ),
    ],
)
def test_a_change_is_named_with_what_it_was_and_is(change: dict[str, Any], said: str) -> None:
    assert words(changes(STEP, dataclasses.replace(STEP, **change))) == said


def test_names_of_a_kind_are_told_together() -> None:
    causes = [Cause("content", name) for name in "dcba"] + [
        Cause("new", "x"),
        Cause("deleted", "y"),
        Cause("deleted", "z"),
    ]
    assert words(causes) == "a, b, c and 1 more changed; x is new; y, z were deleted"
