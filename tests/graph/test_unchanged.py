"""Which folders of a revision a link to what is here may stand for: those that are the same beyond doubt."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from procession_tasks.graph import revision
from procession_tasks.graph.git import Git, repository
from procession_tasks.graph.revision import Tree, materialized
from procession_tasks.graph.unchanged import ask, unchanged_folders

FILES = {
    "go.mod": "module sample.example\n",
    "cmd/one/main.go": "package main\n",
    "shared/a/a.go": "package a\n",
    "shared/a/deep/d.go": "package deep\n",
    "shared/b/b.go": "package b\n",
    "shared/b/b.txt": "embedded\n",
    "images/one/image.yaml": "platforms: [linux/amd64]\n",
    "images/one/rootfs/src/s.go": "package s\n",
    "images/one/rootfs/etc/one.conf": "key = value\n",
    "deploy/other.txt": "other\n",
    "deploy/two/manifest": "{}\n",
    "deploy/two/rootfs/etc/two.conf": "key = value\n",
}
WITHOUT_ONE = ["cmd", "deploy/two", "shared/a"]
SAME = ["cmd", "deploy/two", "images", "shared/a"]


class Repository:
    def __init__(self, root: Path) -> None:
        self.root = root
        for path, text in FILES.items():
            self.write(path, text)
        self.run("init", "-q")
        self.commit()
        self.git: Git = repository(root, {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ})

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def run(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.root, check=True)

    def commit(self) -> None:
        self.run("add", "-A")
        self.run("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all")

    def found(self) -> list[str]:
        lines = self.git.lines("ls-tree", "-r", "-z", "HEAD")
        assert lines is not None
        with ThreadPoolExecutor() as pool:
            asked = ask(self.git, "HEAD", pool)
            return sorted(unchanged_folders(self.git.top, {line.partition("\t")[2]: line for line in lines}, asked))


@contextmanager
def tree_of_head(git: Git, root: Path) -> Iterator[Tree]:
    with ThreadPoolExecutor() as pool, materialized(revision.ask("HEAD", git, pool), root) as tree:
        yield tree


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return Repository(tmp_path / "repository")


def test_definitions_and_folders_of_go_files_are_found_at_their_top(repo: Repository) -> None:
    assert repo.found() == SAME


CHANGES: dict[str, tuple[Callable[[Repository], object], list[str]]] = {
    "an edit": (
        lambda repo: repo.write("shared/a/a.go", "package a // edited\n"),
        ["cmd", "deploy/two", "images", "shared/a/deep"],
    ),
    "an edit below": (
        lambda repo: repo.write("shared/a/deep/d.go", "package deep // edited\n"),
        ["cmd", "deploy/two", "images"],
    ),
    "a file that is new": (
        lambda repo: repo.write("shared/a/new.go", "package a\n"),
        ["cmd", "deploy/two", "images", "shared/a/deep"],
    ),
    "a folder that is new": (
        lambda repo: repo.write("shared/a/new/n.go", "package n\n"),
        ["cmd", "deploy/two", "images", "shared/a/deep"],
    ),
    "an empty folder": (
        lambda repo: (repo.root / "cmd/empty").mkdir(),
        ["cmd/one", "deploy/two", "images", "shared/a"],
    ),
    "a file that is gone": (
        lambda repo: (repo.root / "cmd/one/main.go").unlink(),
        ["deploy/two", "images", "shared/a"],
    ),
    "a file that others may run": (
        lambda repo: (repo.root / "cmd/one/main.go").chmod(0o755),
        ["deploy/two", "images", "shared/a"],
    ),
    "a file of a definition": (lambda repo: repo.write("images/one/rootfs/etc/one.conf", "key = other\n"), WITHOUT_ONE),
    "a file that is new in a definition": (lambda repo: repo.write("images/one/rootfs/etc/two.conf", ""), WITHOUT_ONE),
    "an ignored file": (
        lambda repo: (repo.write(".git/info/exclude", "*.go\n"), repo.write("cmd/one/ignored.go", "package main\n")),
        ["deploy/two", "images", "shared/a"],
    ),
}


@pytest.mark.parametrize(("change", "left"), CHANGES.values(), ids=CHANGES)
def test_what_differs_is_not_linked(change: Callable[[Repository], object], left: list[str], repo: Repository) -> None:
    change(repo)
    assert repo.found() == left


@pytest.mark.parametrize("option", ["--assume-unchanged", "--skip-worktree"])
def test_git_is_not_believed_what_it_was_told(option: str, repo: Repository) -> None:
    repo.run("update-index", option, "cmd/one/main.go")
    repo.write("cmd/one/main.go", "package main // edited\n")
    assert repo.found() == ["deploy/two", "images", "shared/a"]


def test_a_folder_with_a_link_is_not_linked(repo: Repository) -> None:
    (repo.root / "cmd/one/link.go").symlink_to("../../shared/b/b.go")
    repo.commit()
    assert repo.found() == ["deploy/two", "images", "shared/a"]


def test_what_is_staged_differs(repo: Repository) -> None:
    repo.write("cmd/one/main.go", "package main // edited\n")
    repo.run("add", "-A")
    assert repo.found() == ["deploy/two", "images", "shared/a"]


CONVERTING: dict[str, Callable[[Repository], object]] = {
    "a setting": lambda repo: repo.run("config", "core.autocrlf", "input"),
    "an attribute": lambda repo: (repo.write(".gitattributes", "* text=auto\n"), repo.commit()),
    "an attribute of this clone": lambda repo: repo.write(".git/info/attributes", "* filter=x\n"),
    "an attribute that is not in git": lambda repo: repo.write(".gitattributes", "* -text\n"),
    "attributes that were others": lambda repo: (
        repo.write(".gitattributes", "*.go eol=crlf\n"),
        repo.commit(),
        repo.write(".gitattributes", ""),
    ),
}


@pytest.mark.parametrize("convert", CONVERTING.values(), ids=CONVERTING)
def test_nothing_is_linked_where_a_checkout_may_convert(
    convert: Callable[[Repository], object], repo: Repository
) -> None:
    convert(repo)
    assert repo.found() == []


def test_what_has_such_attributes_alone_is_not_linked(repo: Repository) -> None:
    repo.write("cmd/.gitattributes", "*.go text=auto\n")
    repo.write("shared/.gitattributes", "*.txt text=auto\n")
    repo.commit()
    assert repo.found() == ["deploy/two", "images", "shared/a"]


def test_a_module_is_never_a_link(repo: Repository) -> None:
    repo.write("images/one/rootfs/src/go.mod", "module inside.example\n")
    repo.commit()
    assert repo.found() == WITHOUT_ONE


def test_other_attributes_are_no_matter(repo: Repository) -> None:
    repo.write(".gitattributes", "*.go diff=golang\n")
    repo.commit()
    assert repo.found() == SAME


def test_the_tree_has_links_and_the_rest(repo: Repository) -> None:
    repo.write("shared/b/b.go", "package b // edited\n")
    with tree_of_head(repo.git, repo.root) as tree:
        assert {path: (tree.root / path).read_text() for path in FILES} == FILES
        assert sorted(os.path.relpath(path, tree.root) for path in tree.root.rglob("*") if path.is_symlink()) == SAME
        assert sorted(tree.unchanged) == SAME
    assert (repo.root / "cmd/one/main.go").exists()


def test_of_a_project_in_a_folder_its_own_are_told(repo: Repository) -> None:
    with tree_of_head(repo.git, repo.root / "shared") as tree:
        assert tree.unchanged == {"a"}
