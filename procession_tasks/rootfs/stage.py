"""Stages an image's file system on disk and lists it: the tool behind inject-binary.

What the list says of modes and owners goes into the archive; on disk everything belongs to
whoever builds, so that building needs no privilege.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from procession_tasks import files
from procession_tasks.definition.model import Accounts, ImageFile
from procession_tasks.definition.model import Path as DeclaredPath
from procession_tasks.errors import BuildError
from procession_tasks.rootfs.accounts import account_files
from procession_tasks.rootfs.content import check, chunks
from procession_tasks.rootfs.merge import Source, folder_sources, merge, override
from procession_tasks.rootfs.tree import Entry, dump, dump_owners, ordered

FORMAT = 1


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
    return with_modes(definition_sources(accounts, paths, definition, rootfs, programs), paths, definition)


def definition_sources(
    accounts: Accounts,
    paths: Iterable[DeclaredPath],
    definition: str,
    rootfs: Path,
    programs: Iterable[tuple[str, Path]],
) -> dict[str, Source]:
    """Merge what a definition brings, as `image_sources`, but for the modes of files that it declares."""
    origin = f"{definition}/image.yaml: go"
    built = (Source(Entry(path, "file", 0o755), origin, file, "go") for path, file in programs)
    return merge([*_sources(accounts, paths, definition, rootfs), *built])


def with_modes(merged: Mapping[str, Source], paths: Iterable[DeclaredPath], definition: str) -> dict[str, Source]:
    """Give files the modes and owners that are declared for them; raises BuildError where there is no file."""
    sources, problems = dict(merged), []
    for path in paths:
        if path.type == "file":
            try:
                origin = f"{definition}/image.yaml: paths"
                sources[path.path] = override(merged, path.path, path.mode, path.uid, path.gid, origin)
            except BuildError as error:
                problems.append(str(error))
    if problems:
        raise BuildError("\n".join(sorted(problems)))
    return sources


def stage(sources: Mapping[str, Source], tree: Path, listing: Path, owners: Path | None = None) -> None:
    """Copy the sources into a new tree, put it in place of the old one, then write its list.

    `owners` is where to write what each path came with.  The list appears last: a tree without
    one is not finished.  Raises BuildError for a file that cannot be read, and for one of the
    store that is not what was unpacked.
    """
    listing.unlink(missing_ok=True)
    part = tree.with_name(f".{tree.name}.part")
    remove_tree(part)
    part.mkdir(parents=True)
    try:
        entries = [_place(source, os.fspath(part)) for source in _in_order(sources)]
        remove_tree(tree)
        part.rename(tree)
    except BaseException:
        remove_tree(part)
        raise
    if owners is not None:
        files.write(owners, dump_owners({path: source.owner for path, source in sources.items()}))
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
        yield Source(Entry(name, "file", 0o644), origin, content, "accounts")
    origin = f"{definition}/image.yaml: paths"
    for path in paths:
        if path.type == "symlink":
            entry = Entry(path.path, "symlink", 0o777, path.uid, path.gid, link=path.target or "")
            yield Source(entry, origin, owner="paths")
        elif path.type == "directory":
            mode = 0o755 if path.mode is None else path.mode
            yield Source(Entry(path.path, "directory", mode, path.uid, path.gid), origin, owner="paths")


def _in_order(sources: Mapping[str, Source]) -> Iterator[Source]:
    for entry in ordered(source.entry for source in sources.values()):
        yield sources[entry.path]


def _place(source: Source, tree: str) -> Entry:
    """Put one path into the tree, whose parents are there and are folders."""
    entry, target = source.entry, f"{tree}/{files.on_disk(source.entry.path)}"
    if entry.type == "directory":
        os.mkdir(target, mode=0o755)
        os.chmod(target, 0o755)  # noqa: S103  # whatever the umask; owners and modes are the list's affair
    elif entry.type == "symlink":
        os.symlink(files.on_disk(entry.link), target)
    elif entry.type == "hardlink":
        os.link(f"{tree}/{files.on_disk(entry.link)}", target, follow_symlinks=False)
    else:
        size, digest = _copy(source, target)
        check(source.content, digest, source.origin)
        return dataclasses.replace(entry, size=size, digest=digest)
    return entry


def _copy(source: Source, target: str) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with files.naming(target):
        out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        try:
            os.fchmod(out, 0o755 if source.entry.mode & 0o100 else 0o644)
            for chunk in chunks(source.content, source.origin):
                files.write_all(out, chunk)
                digest.update(chunk)
                size += len(chunk)
        finally:
            os.close(out)
    return size, digest.hexdigest()
