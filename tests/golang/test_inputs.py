"""What is kept of programs' inputs, with listings made up: Go is not asked."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from procession_tasks.golang.closure import Package
from procession_tasks.golang.command import Context
from procession_tasks.golang.inputs import Inputs
from procession_tasks.golang.program import Mode
from procession_tasks.platform import Platform
from procession_tasks.states import States

MODE = Mode(
    module=".",
    workspace=None,
    platform=Platform("linux", "amd64"),
    tags=(),
    gcflags="",
    trimpath=True,
    cc="",
    environment=(),
    version="1.27.3",
)
WORD = b"package word\n\nfunc Word() int { return 1 }\n"


class Counted(States):
    """States that note which paths they were asked about, whether those were written."""

    def __init__(self, root: Path, cache: Path) -> None:
        super().__init__(root, cache)
        self.asked: list[str] = []

    def changed_since(self, paths: Iterable[str], moment: int) -> bool:
        self.asked += (listed := list(paths))
        return super().changed_since(listed, moment)


def package(path: str, imports: tuple[str, ...] = ()) -> Package:
    """What Go says of a package whose folder is named as itself, with one file."""
    name = "main" if imports else path
    return Package(path, name, (f"{path}/a.go",), (), (path,), "m (here) go1.27", ".", imports, broken=False)


PROGRAMS = {name: package(name, ("word",)) for name in ("x", "y")}
LISTED = {**PROGRAMS, "word": package("word")}


def tree(root: Path) -> Counted:
    """Write a module of two programs and a package that both import."""
    for name in LISTED:
        (root / name).mkdir(parents=True)
        (root / name / "a.go").write_bytes(WORD)
    (root / "go.mod").write_text("module m\n\ngo 1.27\n")
    return Counted(root, root / "states")


def learnt(root: Path, states: States) -> Inputs:
    inputs = Inputs(Context(root, states, {}), MODE, root / "kept")
    time.sleep(0.05)  # what is written in the tick of its listing counts as written since
    inputs.learn(sorted(PROGRAMS), LISTED, time.time_ns())
    return inputs


def test_a_package_is_looked_at_once_however_many_programs_it_is_part_of(tmp_path: Path) -> None:
    inputs = learnt(tmp_path, states := tree(tmp_path))
    assert all(map(inputs.holds, PROGRAMS))
    assert sorted(states.asked) == ["word", "word/a.go", "x", "x/a.go", "y", "y/a.go"]


def test_what_was_written_since_is_kept_of_no_program_it_is_part_of(tmp_path: Path) -> None:
    states = tree(tmp_path)
    inputs = Inputs(Context(tmp_path, states, {}), MODE, tmp_path / "kept")
    inputs.learn(sorted(PROGRAMS), LISTED, time.time_ns())
    assert not any(map(inputs.holds, PROGRAMS))
    assert not inputs.is_kept
