"""Merges what an image's file system is made of, before anything is copied.

Nothing is followed, nothing is written: the outcome says for each path where its bytes are.
"""

from __future__ import annotations

import dataclasses
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.errors import BuildError
from procession_tasks.rootfs.content import Content
from procession_tasks.rootfs.tree import Entry

_LINK_LIMIT = 40  # what Linux follows before it calls a path a loop (path_resolution(7))


@dataclass(frozen=True, slots=True)
class Source:
    """A path of the image and where its bytes are: a file, a range of one, or the bytes themselves.

    `entry` lacks size and digest, which are known once the bytes were read.  `origin` names
    what claims the path, for messages.  `owner` is the part of the image that the path counts
    for: a package's name, ``rootfs``, ``go``, ``accounts`` or ``paths``.
    """

    entry: Entry
    origin: str
    content: Content = None
    owner: str = "rootfs"


def folder_sources(folder: Path, origin: str) -> Iterator[Source]:
    """List what a definition's rootfs/ holds; nothing when there is no such folder.

    Modes become 0644 or 0755, the two that git records; all belongs to root.  Raises
    BuildError for what cannot be read or put in an image.
    """
    try:
        with os.scandir(folder) as scan:
            found = sorted(scan, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BuildError(f"{origin}: cannot be read: {error.strerror}") from None
    for entry in found:
        yield from _scanned(entry, Path(entry.path), f"{origin}/{entry.name}")


def _scanned(entry: os.DirEntry[str], path: Path, origin: str) -> Iterator[Source]:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        yield Source(Entry(entry.name, "symlink", 0o777, link=os.readlink(path)), origin)
    elif stat.S_ISDIR(mode):
        yield Source(Entry(entry.name, "directory", 0o755), origin)
        for source in folder_sources(path, origin):
            below = f"{entry.name}/{source.entry.path}"
            yield dataclasses.replace(source, entry=dataclasses.replace(source.entry, path=below))
    elif stat.S_ISREG(mode):
        permissions = 0o755 if mode & 0o100 else 0o644
        yield Source(Entry(entry.name, "file", permissions), origin, path)
    else:
        rule = "must be a file, a folder or a symlink"
        raise BuildError(f"{origin}: {rule}, got a {_kind(mode)}", hint="remove it from rootfs/")


def _kind(mode: int) -> str:
    names = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket", stat.S_IFCHR: "device", stat.S_IFBLK: "device"}
    return names.get(stat.S_IFMT(mode), "special file")


def merge(sources: Iterable[Source]) -> dict[str, Source]:
    """Bring sources together, by path, with the folders they imply.

    A later source may repeat a path with the same bytes, and a declared folder gives an
    existing one its mode and owner.  Raises BuildError that lists every other clash, links
    that lead out of the image or in circles, and paths below something that is no folder.
    """
    merged: dict[str, Source] = {}
    problems = []
    for source in sources:
        path = source.entry.path
        earlier = merged.get(path)
        if earlier is None or _agree(earlier, source):
            merged[path] = source
        else:
            problems.append(
                f"/{path}: must have one source, got {earlier.origin} ({earlier.entry.type})"
                f" and {source.origin} ({source.entry.type})"
            )
    merged = with_parents(merged)
    problems += misplaced(merged)
    problems += _bad_links(merged)
    if problems:
        raise BuildError("\n".join(sorted(problems)))
    return merged


def override(merged: Mapping[str, Source], path: str, mode: int | None, uid: int, gid: int, origin: str) -> Source:
    """Give a file that another source provides its declared mode and owner.

    Raises BuildError when there is no such file.
    """
    source = merged.get(path)
    if source is None or source.entry.type != "file":
        hint = "put the file in rootfs/, or declare a directory or symlink"
        raise BuildError(f"{origin}: must be a file of rootfs/ or a package, or a program, got /{path}", hint=hint)
    entry = dataclasses.replace(source.entry, mode=source.entry.mode if mode is None else mode, uid=uid, gid=gid)
    return dataclasses.replace(source, entry=entry)


def _agree(earlier: Source, later: Source) -> bool:
    if earlier.entry.type != later.entry.type:
        return False
    if later.entry.type == "directory":
        return True
    if later.entry.type == "symlink":
        return earlier.entry.link == later.entry.link
    return _bytes(earlier) == _bytes(later) is not None


def _bytes(source: Source) -> bytes | None:
    """Read a source's content; None for a program that is not built yet, which agrees with nothing."""
    if isinstance(source.content, Path):
        return source.content.read_bytes() if source.content.exists() else None
    return source.content if isinstance(source.content, bytes) else None


def with_parents(merged: Mapping[str, Source]) -> dict[str, Source]:
    """Add the folders that paths imply; they belong to root."""
    complete = dict(merged)
    for path, source in merged.items():
        parent = posixpath.dirname(path)
        while parent and parent not in complete:
            complete[parent] = Source(Entry(parent, "directory", 0o755), source.origin, owner=source.owner)
            parent = posixpath.dirname(parent)
    return complete


def misplaced(merged: Mapping[str, Source]) -> Iterator[str]:
    """Tell of each path below something that is no folder."""
    for path, source in merged.items():
        parent = merged.get(posixpath.dirname(path))
        if parent is not None and parent.entry.type != "directory":
            got = f"a {parent.entry.type} ({parent.origin})"
            yield f"/{path}: must stand in a folder ({source.origin}), got {got} at /{parent.entry.path}"


def _bad_links(merged: Mapping[str, Source]) -> Iterator[str]:
    for path, source in merged.items():
        if source.entry.type == "symlink":
            problem = _follow(path, merged)
            if problem:
                yield f"{source.origin}: {problem}, got a link to {source.entry.link!r}"


def _follow(path: str, merged: Mapping[str, Source]) -> str | None:
    """Follow a link inside the image, part by part as the kernel does, and say what is wrong with it.

    Source: path_resolution(7).
    """
    here: list[str] = []
    ahead = path.split("/")[::-1]
    links, rooted = 0, False
    while ahead:
        part = ahead.pop()
        if part == ".." and not here and not rooted:
            return "must not lead out of the image"
        if part == "..":
            here = here[:-1]
        elif part not in ("", "."):
            here.append(part)
        source = merged.get("/".join(here))
        if source is not None and source.entry.type == "symlink":
            links += 1
            if links > _LINK_LIMIT:
                return "must not lead in a circle"
            rooted = rooted or source.entry.link.startswith("/")  # above the root is the root
            here = [] if source.entry.link.startswith("/") else here[:-1]
            ahead += source.entry.link.split("/")[::-1]
    return None
