"""What a step made, as an ActionResult and back: collected from the tree, or put into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from procession_tasks import files, interruption
from procession_tasks.cache import wire
from procession_tasks.cache.contents import Contents
from procession_tasks.cache.merkle import File, Folder, Link, Node, nodes_of, tree_of
from procession_tasks.cache.reapi import (
    EMPTY,
    ActionResult,
    Digest,
    OutputDirectory,
    OutputFile,
    Tree,
    digest_of,
    is_sound,
)
from procession_tasks.cache.remote import Blob

_TREE_LIMIT = 64 * 1024 * 1024


class Source(Protocol):
    """Where contents come from, verified; raises WrongBytesError."""

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """Read a content piece by piece."""

    def read(self, digest: Digest) -> bytes:
        """Read a small content whole."""


def collect(root: Path, outputs: Iterable[str]) -> tuple[ActionResult, dict[Digest, Blob]]:
    """Say what a step made, and where the contents are.

    Raises OSError for an output that is not there, ValueError for one that no message can hold.
    """
    made_files, folders, blobs = [], [], dict[Digest, Blob]()
    contents = Contents(root)
    for output in sorted(outputs):
        nodes = contents.nodes([output])
        if not nodes:
            raise FileNotFoundError(output)
        for path, node in nodes.items():
            if isinstance(node, File):
                blobs[node.digest] = Blob(node.digest, root / path)
        top = nodes.pop(output)
        if isinstance(top, File):
            made_files.append(OutputFile(output, top.digest, top.is_executable))
        else:
            tree = wire.encode(tree_of({path.removeprefix(f"{output}/"): node for path, node in nodes.items()}))
            blobs[digest_of(tree)] = Blob(digest_of(tree), tree)
            folders.append(OutputDirectory(output, digest_of(tree)))
    return ActionResult(output_files=tuple(made_files), output_directories=tuple(folders)), blobs


def is_of(result: ActionResult, outputs: Iterable[str]) -> bool:
    """Tell whether a result has exactly the outputs that are declared, and is that of a success."""
    made = [one.path for one in result.output_files] + [one.path for one in result.output_directories]
    complete = all(is_sound(one.digest) for one in result.output_files) and all(
        is_sound(one.tree_digest) and (one.tree_digest or EMPTY).size_bytes <= _TREE_LIMIT
        for one in result.output_directories
    )
    return complete and sorted(made) == sorted(outputs) and not result.output_symlinks and result.exit_code == 0


def direct(result: ActionResult) -> set[Digest]:
    """Name the contents that a result names itself; its trees name more."""
    named = {file.digest for file in result.output_files} | {one.tree_digest for one in result.output_directories}
    return {digest for digest in named if digest}


def trees(result: ActionResult, source: Source) -> dict[str, dict[str, Node]]:
    """Read what a result's folders hold, by output; raises ValueError or WrongBytesError."""
    return {path: nodes_of(tree) for path, tree in tree_messages(result, source).items()}


def tree_messages(result: ActionResult, source: Source) -> dict[str, Tree]:
    """Read the trees of a result's folders, by output; raises ValueError or WrongBytesError."""
    return {
        one.path: wire.decode(Tree, source.read(one.tree_digest))
        for one in result.output_directories
        if one.tree_digest
    }


def indirect(folders: Mapping[str, Mapping[str, Node]]) -> set[Digest]:
    """Name the contents of all files in folders."""
    return {node.digest for nodes in folders.values() for node in nodes.values() if isinstance(node, File)}


def only(result: ActionResult, source: Source) -> bytes:
    """Read the one file that a result has; raises ValueError for another result, WrongBytesError."""
    (file,) = result.output_files
    return source.read(file.digest or digest_of(b""))


def restore(root: Path, outputs: tuple[str, ...], result: ActionResult, source: Source) -> None:
    """Put what a result says in the place of the outputs, the first of them last.

    Every byte is verified on its way.  Raises as `trees`, and OSError for what cannot be written; no
    output is then half-made, and the first one is not there.
    """
    folders = trees(result, source)
    made = {one.path: one for one in result.output_files}
    _remove(root / outputs[0])
    for output in (*outputs[1:], outputs[0]):
        if output in made:
            _place(made[output], root / output, source)
        else:
            _place_folder(folders[output], root / output, source)


def _place(file: OutputFile, target: Path, source: Source) -> None:
    with files.atomic(target) as stream:
        os.fchmod(stream.fileno(), 0o755 if file.is_executable else 0o644)
        for chunk in source.chunks(file.digest or digest_of(b"")):
            stream.write(chunk)


def _place_folder(nodes: Mapping[str, Node], target: Path, source: Source) -> None:
    part = target.with_name(f".{target.name}.part")
    _remove(part)
    part.mkdir(parents=True)
    try:
        _fill(nodes, os.fspath(part), source)
        _remove(target)
        part.rename(target)
    except BaseException:
        _remove(part)
        raise


def _fill(nodes: Mapping[str, Node], folder: str, source: Source) -> None:
    for path in sorted(nodes, key=lambda path: path.split("/")):  # a folder comes before what is in it
        node, place = nodes[path], f"{folder}/{files.on_disk(path)}"
        if isinstance(node, Folder):
            os.mkdir(place)
            os.chmod(place, 0o755)  # noqa: S103  # whatever the umask
        elif isinstance(node, Link):
            os.symlink(files.on_disk(node.target), place)
        elif isinstance(node, File):
            _write(node, place, source)


def _write(node: File, place: str, source: Source) -> None:
    interruption.check()
    with files.naming(place):
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o755 if node.is_executable else 0o644)
            for chunk in source.chunks(node.digest):
                files.write_all(descriptor, chunk)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
