"""Trees of files as Merkle trees of `Directory` messages, from nodes by path and back.  Pure.

Source: Remote Execution API 2.3, "Directory": entries sorted by name, no name twice.
"""

from __future__ import annotations

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
    root = _Building()
    for path, node in nodes.items():
        *above, name = map(_checked, path.split("/"))
        here = root
        for part in above:
            if part in here.nodes:
                raise ValueError(f"{path} is below what is no folder")
            here = here.folders.setdefault(part, _Building())
        if isinstance(node, Folder):
            here.folders.setdefault(name, _Building())
        else:
            here.nodes[name] = node
        if name in here.nodes and name in here.folders:
            raise ValueError(f"{path} is a folder and is none")
    return root


def _digested(building: _Building, messages: dict[Digest, bytes]) -> Digest:
    folders = {name: _digested(below, messages) for name, below in building.folders.items()}
    folders |= {name: node.digest for name, node in building.nodes.items() if isinstance(node, Grafted)}
    content = wire.encode(
        Directory(
            tuple(
                FileNode(name, node.digest, node.is_executable)
                for name, node in sorted(building.nodes.items(), key=_by_name)
                if isinstance(node, File)
            ),
            tuple(DirectoryNode(name, folders[name]) for name in sorted(folders)),
            tuple(
                SymlinkNode(name, node.target)
                for name, node in sorted(building.nodes.items(), key=_by_name)
                if isinstance(node, Link)
            ),
        )
    )
    digest = digest_of(content)
    messages.setdefault(digest, content)
    return digest


def _by_name(pair: tuple[str, Node]) -> str:
    return pair[0]
