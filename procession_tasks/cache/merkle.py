"""Trees of files as Merkle trees of `Directory` messages, from nodes by path and back.  Pure.

Source: Remote Execution API 2.3, "Directory": entries sorted by name, no name twice.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from procession_tasks.cache import reapi, wire
from procession_tasks.cache.reapi import Digest, Directory, DirectoryNode, FileNode, SymlinkNode, Tree, digest_of

_MOST, _DEEPEST = 1_000_000, 1000
_LONGEST_NAME, _LONGEST_TARGET = 255, 4095  # bytes, what Linux takes


@dataclass(frozen=True, slots=True)
class File:
    """A file of a tree."""

    digest: Digest
    is_executable: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link of a tree."""

    target: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that may be empty; the folders above other nodes need none."""


@dataclass(frozen=True, slots=True)
class Grafted:
    """A folder that is known by the digest of its `Directory` alone."""

    digest: Digest


Node = File | Link | Folder | Grafted


@dataclass(slots=True)
class _Building:
    """A directory while its entries are collected."""

    nodes: dict[str, Node] = field(default_factory=dict)
    folders: dict[str, _Building] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Merkle:
    """A tree by the digest of its root; `messages` are all of its directories, the root last."""

    root: Digest
    messages: Mapping[Digest, bytes]


def merkle(nodes: Mapping[str, Node]) -> Merkle:
    """Build the tree of nodes; their paths have slashes, and no empty, ``.`` or ``..`` part.

    Raises ValueError for another path, for a path below a file, and for names that are not UTF-8.
    """
    messages: dict[Digest, bytes] = {}
    root = _digested(_collected(nodes), messages)
    return Merkle(root, messages)


def tree_of(nodes: Mapping[str, Node]) -> Tree:
    """Build the tree of nodes as one message, children in the order of their digests; raises as `merkle`."""
    built = merkle(nodes)
    root = wire.decode(Directory, built.messages[built.root])
    children = (wire.decode(Directory, built.messages[one]) for one in sorted(built.messages.keys() - {built.root}))
    return Tree(root, tuple(children))


def nodes_of(tree: Tree) -> dict[str, Node]:
    """List what a tree holds, by path; every folder is there.

    Raises ValueError for a name that is none, a name that stands twice, a child that is missing, and a
    tree that unfolds to more than a million entries.
    """
    known = {digest_of(wire.encode(child)): child for child in tree.children}
    found: dict[str, Node] = {}
    waiting = [("", tree.root or Directory())]
    while waiting:
        above, directory = waiting.pop()
        if len(found) > _MOST or above.count("/") > _DEEPEST:
            raise ValueError("a tree is larger than any image")  # children that share children multiply
        for name, node in _entries(directory):
            path = f"{above}{_checked(name)}"
            if path in found:
                raise ValueError(f"{path} stands twice in a tree")
            if isinstance(node, Grafted):
                if node.digest not in known:
                    raise ValueError(f"{path} is not in the tree that names it")
                waiting.append((f"{path}/", known[node.digest]))
                node = Folder()  # noqa: PLW2901  # its content follows
            found[path] = node
    return found


def child_directories(tree: Tree) -> dict[Digest, bytes]:
    """Render every directory of a tree as a message of its own."""
    contents = map(wire.encode, (tree.root or Directory(), *tree.children))
    return {digest_of(content): content for content in contents}


def _entries(directory: Directory) -> Iterator[tuple[str, Node]]:
    for file in directory.files:
        if not reapi.is_sound(file.digest):
            raise ValueError(f"a tree must have digests of SHA-256, got {file.digest}")
        yield file.name, File(file.digest, file.is_executable)
    for below in directory.directories:
        yield below.name, Grafted(below.digest or reapi.EMPTY)
    for link in directory.symlinks:
        if not link.target or "\0" in link.target or len(link.target.encode()) > _LONGEST_TARGET:
            raise ValueError("a tree must have links that lead somewhere")
        yield link.name, Link(link.target)


def _checked(name: str) -> str:
    if name in ("", ".", "..") or "/" in name or "\0" in name or len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"a tree must have plain names, got {name!r}")
    return name


def _collected(nodes: Mapping[str, Node]) -> _Building:
    folders = {"": _Building()}
    for path, node in nodes.items():
        folder, name = _split(path)
        here = folders.get(folder) or _opened(folder, folders)
        if isinstance(node, Folder):
            folders.setdefault(path, here.folders.setdefault(name, _Building()))
        else:
            here.nodes[name] = node
        if name in here.nodes and name in here.folders:
            raise ValueError(f"{path} is a folder and is none")
    return folders[""]


def _opened(path: str, folders: dict[str, _Building]) -> _Building:
    """Find a folder, or make it and those above it."""
    above, name = _split(path)
    here = folders.get(above) or _opened(above, folders)
    if name in here.nodes:
        raise ValueError(f"{path} is below what is no folder")
    return folders.setdefault(path, here.folders.setdefault(name, _Building()))


@functools.lru_cache(maxsize=16384)
def _split(path: str) -> tuple[str, str]:
    above, slash, name = path.rpartition("/")
    if slash and not above:
        _checked(above)
    return above, _checked(name)


def _digested(building: _Building, messages: dict[Digest, bytes]) -> Digest:
    folders = {name: _digested(below, messages) for name, below in building.folders.items()}
    digest, content = _message(tuple(building.nodes.items()), tuple(folders.items()))
    messages.setdefault(digest, content)
    return digest


@functools.lru_cache(maxsize=4096)  # programs share most of their folders
def _message(nodes: tuple[tuple[str, Node], ...], folders: tuple[tuple[str, Digest], ...]) -> tuple[Digest, bytes]:
    """Render a directory, by what is in it and the digests of the folders in it."""
    grafted = ((name, node.digest) for name, node in nodes if isinstance(node, Grafted))
    named = sorted(nodes, key=_by_name)
    content = wire.encode(
        Directory(
            tuple(FileNode(name, one.digest, one.is_executable) for name, one in named if isinstance(one, File)),
            tuple(DirectoryNode(name, digest) for name, digest in sorted([*folders, *grafted])),
            tuple(SymlinkNode(name, node.target) for name, node in named if isinstance(node, Link)),
        )
    )
    return digest_of(content), content


def _by_name(pair: tuple[str, Node]) -> str:
    return pair[0]
