"""Plans of one tree that count in another."""

from __future__ import annotations

import dataclasses
import marshal
import shutil
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.graph.planned import flatten, restore
from procession_tasks.graph.plans import Plans
from procession_tasks.graph.session import Session
from procession_tasks.states import States


def session(root: Path) -> Session:
    return Session(root, {}, States(root, root / "build/state/states"))


@pytest.fixture
def trees(workspace: Any, tmp_path: Path) -> tuple[Path, Path]:
    """A repository, and a copy of it elsewhere."""
    return workspace.root, Path(shutil.copytree(workspace.root, tmp_path / "copy"))


def test_what_is_the_same_in_another_tree_is_planned_once(
    trees: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Plans(session(trees[0]))
    plans = first.load()
    monkeypatch.setattr(Plans, "_definitions", lambda _: pytest.fail("a definition was read"))
    again = Plans(session(trees[1]), first).load()
    assert set(again) == {"api", "iam"}
    assert all(again[name] is plans[name] for name in plans)


def test_what_differs_in_another_tree_is_planned_there_alone(trees: tuple[Path, Path]) -> None:
    first = Plans(session(trees[0]))
    plans = first.load()
    definition = trees[1] / "deploy/aci/api/image.yaml"
    definition.write_text(definition.read_text().replace("  binary:", "  ldflags: -s\n  binary:"))
    shutil.rmtree(trees[1] / "deploy/aci/iam")
    there = Plans(session(trees[1]), first)
    again = there.load()
    assert set(again) == {"api"}
    assert again["api"] == Plans(session(trees[1])).load()["api"]
    assert again["api"][0].programs[0].program.ldflags == "-s"
    assert first.load() == plans
    assert not (trees[0] / "build/state").exists()
    assert not (trees[1] / "build/state").exists()


def test_plans_are_kept_as_plain_values(workspace: Any) -> None:
    for plan in Plans(session(workspace.root)).load()["api"]:
        flat = flatten(plan)
        assert flat == dataclasses.astuple(plan)
        assert restore(marshal.loads(marshal.dumps(flat))) == plan


def test_other_settings_plan_anew(trees: tuple[Path, Path]) -> None:
    first = Plans(session(trees[0]))
    first.load()
    settings = trees[1] / "pyproject.toml"
    settings.write_text(settings.read_text().replace("1.27.3", "1.27.4"))
    again = Plans(session(trees[1]), first).load()
    assert {plan.programs[0].program.mode.version for plans in again.values() for plan in plans} == {"1.27.4"}
