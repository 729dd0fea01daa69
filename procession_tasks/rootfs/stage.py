"""Stages an image's file system on disk and lists it: the tool behind inject-binary.

What the list says of modes and owners goes into the archive; on disk everything belongs to
whoever builds, so that building needs no privilege.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from procession_tasks import files, interruption
from procession_tasks.definition.model import Accounts, ImageFile
from procession_tasks.definition.model import Path as DeclaredPath
from procession_tasks.errors import BuildError
from procession_tasks.rootfs.accounts import account_files
from procession_tasks.rootfs.merge import Source, folder_sources, merge, override
from procession_tasks.rootfs.tree import Entry, dump, ordered

FORMAT = 1
_CHUNK = 1024 * 1024


def declared_sources(image: ImageFile, definition: str, rootfs: Path) -> dict[str, Source]:
    """Merge what a definition's files say, without its programs.

    `definition` is the definition's folder, for messages.  Raises BuildError, see `merge`.
    """
    return merge(_sources(image.accounts, image.paths, definition, rootfs))


def image_sources(
    accounts: Accounts,
    paths: Iterable[DeclaredPath],
    definition: str,
    rootfs: Path,
    programs: Iterable[tuple[str, Path]],
) -> dict[str, Source]:
    """Merge everything an image holds; `programs` are pairs of image path and built file."""
    paths = tuple(paths)
    built = (Source(Entry(path, "file", 0o755), f"{definition}/image.yaml: go", file) for path, file in programs)
    merged = merge([*_sources(accounts, paths, definition, rootfs), *built])
    for path in paths:
        if path.type == "file":
            origin = f"{definition}/image.yaml: paths"
            merged[path.path] = override(merged, path.path, path.mode, path.uid, path.gid, origin)
    return merged


def stage(sources: dict[str, Source], tree: Path, listing: Path) -> None:
    """Copy the sources into a new tree, put it in place of the old one, then write its list.

    The list appears last: a tree without one is not finished.  Raises BuildError for a file
    that cannot be read.
    """
    listing.unlink(missing_ok=True)
    part = tree.with_name(f".{tree.name}.part")
    remove_tree(part)
    part.mkdir(parents=True)
    try:
        entries = [_place(source, part) for source in _in_order(sources)]
        remove_tree(tree)
        part.rename(tree)
    except BaseException:
        remove_tree(part)
        raise
    files.write(listing, dump(entries))


def remove_tree(tree: Path) -> None:
    """Remove a staged tree, if it is there; links are removed, not followed."""
    if tree.is_symlink():
        tree.unlink()
    elif tree.exists():
        shutil.rmtree(tree)


def _sources(accounts: Accounts, paths: Iterable[DeclaredPath], definition: str, rootfs: Path) -> Iterator[Source]:
    yield from folder_sources(rootfs, f"{definition}/rootfs")
    origin = f"{definition}/image.yaml: accounts"
    for name, content in account_files(accounts).items():
        yield Source(Entry(name, "file", 0o644), origin, content)
    origin = f"{definition}/image.yaml: paths"
    for path in paths:
        if path.type == "symlink":
            yield Source(Entry(path.path, "symlink", 0o777, path.uid, path.gid, link=path.target or ""), origin)
        elif path.type == "directory":
            mode = 0o755 if path.mode is None else path.mode
            yield Source(Entry(path.path, "directory", mode, path.uid, path.gid), origin)


def _in_order(sources: dict[str, Source]) -> Iterator[Source]:
    for entry in ordered(source.entry for source in sources.values()):
        yield sources[entry.path]


def _place(source: Source, tree: Path) -> Entry:
    """Put one path into the tree, whose parents are there and are folders."""
    entry, target = source.entry, tree / source.entry.path
    if entry.type == "directory":
        target.mkdir(mode=0o755)
        target.chmod(0o755)
    elif entry.type == "symlink":
        target.symlink_to(entry.link)
    else:
        size, digest = _copy(source, target)
        target.chmod(0o755 if entry.mode & 0o100 else 0o644)
        return dataclasses.replace(entry, size=size, digest=digest)
    return entry


def _copy(source: Source, target: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with files.naming(target), target.open("xb") as out:
        for chunk in _chunks(source):
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _chunks(source: Source) -> Iterator[bytes]:
    if not isinstance(source.content, Path):
        yield source.content or b""
        return
    try:
        descriptor = os.open(source.content, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BuildError(f"{source.origin}: cannot be read: {error.strerror}") from None
    with open(descriptor, "rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            interruption.check()
            yield chunk
