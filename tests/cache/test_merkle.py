"""Trees of files as messages."""

from __future__ import annotations

import random

import pytest

from procession_tasks.cache import wire
from procession_tasks.cache.merkle import (
    File,
    Folder,
    Grafted,
    Link,
    Node,
    child_directories,
    merkle,
    nodes_of,
    tree_of,
)
from procession_tasks.cache.reapi import EMPTY, Directory, DirectoryNode, FileNode, SymlinkNode, Tree, digest_of

ONE, TWO = digest_of(b"one"), digest_of(b"two")
NODES: dict[str, Node] = {
    "b/z": File(ONE, is_executable=True),
    "b/a": File(TWO),
    "a": File(ONE),
    "B": Link("b/z"),
    "empty": Folder(),
    "b/é": File(TWO),
}


def test_a_tree_is_directories_from_the_leaves_to_the_root() -> None:
    built = merkle({"a/b/c": File(ONE, is_executable=True)})
    below = wire.encode(Directory(files=(FileNode("c", ONE, is_executable=True),)))
    middle = wire.encode(Directory(directories=(DirectoryNode("b", digest_of(below)),)))
    root = wire.encode(Directory(directories=(DirectoryNode("a", digest_of(middle)),)))

    assert built.root == digest_of(root)
    assert list(built.messages.values()) == [below, middle, root]


def test_nothing_is_the_empty_directory() -> None:
    assert merkle({}).root == EMPTY


def test_entries_are_sorted_whatever_order_they_come_in() -> None:
    names = list(NODES)
    for seed in range(20):
        random.Random(seed).shuffle(names)
        assert merkle({name: NODES[name] for name in names}) == merkle(NODES)
    root = tree_of(NODES).root
    assert [file.name for file in root.files] == ["a"]
    assert [folder.name for folder in root.directories] == ["b", "empty"]
    assert root.symlinks == (SymlinkNode("B", "b/z"),)


def test_a_tree_comes_back_with_its_folders() -> None:
    found = nodes_of(wire.decode(Tree, wire.encode(tree_of(NODES))))
    assert found == NODES | {"b": Folder()}


def test_a_folder_can_be_grafted_by_its_digest_alone() -> None:
    graft = merkle({"x": File(ONE)})
    assert merkle({"a/g": Grafted(graft.root)}).root == merkle({"a/g/x": File(ONE)}).root


def test_every_directory_of_a_tree_can_stand_alone() -> None:
    assert child_directories(tree_of(NODES)) == merkle(NODES).messages


@pytest.mark.parametrize("path", ["/a", "a/", "", "a//b", "../a", "a/../b", ".", "a/./b", "a\0b"])
def test_paths_that_leave_a_tree_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="plain names"):
        merkle({path: File(ONE)})


def test_names_that_no_message_can_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        merkle({"a\udcff": File(ONE)})


@pytest.mark.parametrize("nodes", [{"a": File(ONE), "a/b": File(ONE)}, {"a/b": File(ONE), "a": File(ONE)}])
def test_nothing_is_below_a_file(nodes: dict[str, Node]) -> None:
    with pytest.raises(ValueError, match="folder"):
        merkle(nodes)


@pytest.mark.parametrize(
    "root",
    [
        Directory(files=(FileNode("../../etc/passwd", ONE),)),
        Directory(files=(FileNode("/etc/passwd", ONE),)),
        Directory(files=(FileNode("..", ONE),)),
        Directory(files=(FileNode("", ONE),)),
        Directory(files=(FileNode("a", ONE), FileNode("a", TWO))),
        Directory(files=(FileNode("a", ONE),), symlinks=(SymlinkNode("a", "/"),)),
        Directory(directories=(DirectoryNode("..", EMPTY),)),
        Directory(directories=(DirectoryNode("a", ONE),)),
        Directory(symlinks=(SymlinkNode("a/b", "/"),)),
    ],
)
def test_a_tree_that_would_write_elsewhere_is_refused(root: Directory) -> None:
    with pytest.raises(ValueError, match="tree|twice"):
        nodes_of(Tree(root, (Directory(),)))
