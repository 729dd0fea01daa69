"""Keys: everything that shapes an output is in them, and nothing else."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from procession_tasks.cache import wire
from procession_tasks.cache.action import keyed
from procession_tasks.cache.contents import Contents
from procession_tasks.cache.merkle import File
from procession_tasks.cache.reapi import Action, Command, digest_of
from procession_tasks.step import Step

STEP = Step(
    kind="pack",
    subject="api",
    platform="linux-amd64",
    command=("pack", "--date=0"),
    inputs=("src/a", "src/folder", "src/absent"),
    outputs=("build/out", "build/out.id"),
    environment=(("GOOS", "linux"),),
    properties=(("go", "1.27.3"),),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "src/folder/sub").mkdir(parents=True)
    (tmp_path / "src/a").write_text("a")
    (tmp_path / "src/folder/b").write_text("b")
    (tmp_path / "src/folder/sub/link").symlink_to("../b")
    (tmp_path / "src/elsewhere").write_text("not an input")
    return tmp_path


def key(root: Path, step: Step = STEP, salt: str = "") -> str:
    return keyed(step, Contents(root).nodes(step.inputs), salt).key.hash


DECLARED = {
    "a word of the command": {"command": ("pack", "--date=1")},
    "the order of the command": {"command": ("--date=0", "pack")},
    "a variable": {"environment": (("GOOS", "windows"),)},
    "another variable": {"environment": (("GOARCH", "arm64"), ("GOOS", "linux"))},
    "the toolchain": {"properties": (("go", "1.27.4"),)},
    "an output": {"outputs": ("build/out", "build/out.sha256")},
}


@pytest.mark.parametrize("what", DECLARED)
def test_everything_that_is_declared_changes_the_key(what: str, root: Path) -> None:
    assert key(root, dataclasses.replace(STEP, **DECLARED[what])) != key(root)


def replace_link(root: Path) -> None:
    (root / "src/folder/sub/link").unlink()
    (root / "src/folder/sub/link").symlink_to("../c")


INPUTS = {
    "a file's content": lambda root: (root / "src/a").write_text("A"),
    "whether it may be executed": lambda root: (root / "src/a").chmod(0o755),
    "a file in a folder": lambda root: (root / "src/folder/b").write_text("B"),
    "a new file in a folder": lambda root: (root / "src/folder/c").write_text(""),
    "a new empty folder": lambda root: (root / "src/folder/c").mkdir(),
    "a file's name": lambda root: (root / "src/folder/b").rename(root / "src/folder/c"),
    "a file that goes": lambda root: (root / "src/a").unlink(),
    "where a link leads": replace_link,
    "a file that comes": lambda root: (root / "src/absent").write_text(""),
}


@pytest.mark.parametrize("what", INPUTS)
def test_every_input_changes_the_key(what: str, root: Path) -> None:
    before = key(root)
    INPUTS[what](root)
    assert key(root) != before


def test_the_salt_changes_the_key(root: Path) -> None:
    assert len({key(root, salt=salt) for salt in ("", "a", "b")}) == 3


def move(root: Path) -> None:
    for path in (root / "src").rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)


NOTHING = {
    "times": move,
    "modes but for one bit": lambda root: (root / "src/a").chmod(0o600),
    "what is beside the inputs": lambda root: (root / "src/elsewhere").write_text("else"),
    "the umask": lambda root: os.umask(os.umask(0o077)),
    "the locale and the clock's zone": lambda root: None,
}


@pytest.mark.parametrize("what", NOTHING)
def test_nothing_else_changes_the_key(what: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(root)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    NOTHING[what](root)
    assert key(root) == before


def test_a_key_does_not_depend_on_where_the_repository_is(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "repository"
    before = key(root)
    root.rename(elsewhere)
    assert key(elsewhere) == before


def test_who_asks_is_not_in_the_key(root: Path) -> None:
    assert key(root, dataclasses.replace(STEP, subject="other", platform="linux-arm64")) == key(root)


def test_an_action_is_the_message_that_engines_execute(root: Path) -> None:
    asked = keyed(STEP, Contents(root).nodes(STEP.inputs), "salt")
    action = wire.decode(Action, asked.blobs[asked.key])
    command = wire.decode(Command, asked.blobs[action.command_digest])

    assert command.arguments == STEP.command
    assert [(one.name, one.value) for one in command.environment_variables] == [("GOOS", "linux")]
    assert command.output_paths == ("build/out", "build/out.id")
    assert action.input_root_digest in asked.blobs
    assert (action.salt, action.platform) == (b"salt", command.platform)


def test_the_same_key_on_every_machine_and_in_every_version() -> None:
    nodes = {"services/main.go": File(digest_of(b"package main\n"))}
    assert keyed(STEP, nodes, "").key.hash == "25b9e59a1790a717d5b59fa929c8c252317a6a098174c45a6d3c6149690ccde2"


@pytest.mark.parametrize("output", ["../out", "/out", "build//out", "build/../../out", ""])
def test_an_output_that_leaves_the_tree_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="below the root"):
        keyed(dataclasses.replace(STEP, outputs=(output,)), {}, "")
