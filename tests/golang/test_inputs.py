"""What is kept of programs' inputs, with listings made up: Go is not asked."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from procession_tasks.golang.closure import Package
from procession_tasks.golang.context import Context
from procession_tasks.golang.inputs import Inputs
from procession_tasks.golang.program import Mode
from procession_tasks.platform import Platform
from procession_tasks.states import States

MODE = Mode(".", None, Platform("linux", "amd64"), (), "", trimpath=True, cc="", environment=(), version="1.27.3")
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


# What is taken over for another tree


def adopting(tmp_path: Path, edit: Callable[[Path], object]) -> Inputs:
    """Learn in a tree, and adopt it in another one that an edit makes different."""
    there = learnt(tmp_path / "there", tree(tmp_path / "there"))
    states = tree(here := tmp_path / "here")
    edit(here)
    inputs = Inputs(Context(here, states, {}), MODE, here / "kept")
    inputs.adopt(PROGRAMS, there)
    return inputs


def below_the_header(root: Path) -> None:
    (root / "word/a.go").write_bytes(WORD.replace(b"return 1", b"return 2"))


def test_what_differs_below_a_header_is_taken_over_with_its_state(tmp_path: Path) -> None:
    inputs = adopting(tmp_path, below_the_header)
    assert all(map(inputs.fresh, PROGRAMS))
    assert not any(map(inputs.is_broken, PROGRAMS))
    assert not (tmp_path / "here/kept").exists()
    again = learnt(tmp_path / "here", States(tmp_path / "here", tmp_path / "states"))
    for name in PROGRAMS:
        assert inputs.text(name) == again.text(name)
        assert inputs.digest(name) == again.digest(name)


@pytest.mark.parametrize(
    "edit",
    [
        lambda root: (root / "x/a.go").write_bytes(WORD.replace(b"word", b'word\n\nimport "os"')),
        lambda root: (root / "x/a.go").write_bytes(b"//go:build windows\n\n" + WORD),
        lambda root: (root / "x/a.go").write_bytes(WORD + b"\n//go:embed a\nvar a string\n"),
        lambda root: (root / "x/b.go").write_bytes(WORD),
        lambda root: (root / "x/a.go").unlink(),
        lambda root: (root / "x/README").write_text("it may be embedded"),
        lambda root: shutil.rmtree(root / "x"),
    ],
)
def test_what_may_be_listed_otherwise_is_not_taken_over(tmp_path: Path, edit: Callable[[Path], object]) -> None:
    inputs = adopting(tmp_path, edit)
    assert not inputs.holds("x")
    assert inputs.fresh("y")


@pytest.mark.parametrize("name", ["go.mod", "go.sum", "x/go.mod", "vendor/modules.txt"])
def test_other_module_files_let_nothing_be_taken_over(tmp_path: Path, name: str) -> None:
    def edit(root: Path) -> None:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("module m\n\ngo 1.26\n")

    inputs = adopting(tmp_path, edit)
    assert not any(map(inputs.holds, PROGRAMS))


def test_a_file_that_is_edited_meanwhile_is_not_taken_over(tmp_path: Path) -> None:
    there = learnt(tmp_path / "there", tree(tmp_path / "there"))
    (tmp_path / "there/word/a.go").write_bytes(WORD.replace(b"word", b'word\n\nimport "os"'))
    states = tree(here := tmp_path / "here")
    (here / "word/a.go").write_bytes(WORD.replace(b"word", b'word\n\nimport "os"').replace(b"return 1", b"return 2"))
    inputs = Inputs(Context(here, states, {}), MODE, here / "kept")
    inputs.adopt(PROGRAMS, there)
    assert not any(map(inputs.holds, PROGRAMS))
