"""Brings what packages ship into one tree: merged /usr, links in place of folders, paths of several.  Pure.

Where one package has a link and another a folder, the link wins and what is in the folder goes
to where the link leads, as when dpkg unpacks over such a link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from procession_tasks.debian.contents import Contents, Elf, Member
from procession_tasks.debian.pin import Pin
from procession_tasks.rootfs.content import Range
from procession_tasks.rootfs.links import destination
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.tree import Entry
from procession_tasks.rootfs.waivers import Finding

# Merged /usr, which older packages have as folders (Debian Policy 9.1).
_USR_LINKS = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32")}
# What base-files ships as folders, and makes links of when it is installed.
_BASE_LINKS = {"var/run": "/run", "var/lock": "/run/lock"}
_ROUNDS = 8
_PLAIN = (0o755, 0, 0)


@dataclass(frozen=True, slots=True)
class Shipped:
    """What packages ship, merged: sources by path, and what is known of their bytes.

    A hard link stands as a file of the same range as the file it repeats; these ranges are in
    `repeated`.
    """

    sources: Mapping[str, Source]
    findings: Sequence[Finding]
    elves: Mapping[Range, Elf]
    repeated: frozenset[Range]
    places: Places


def shipped(packages: Sequence[tuple[Pin, Contents]]) -> Shipped:
    """Merge packages, and find the paths on which they do not agree: there, the first one has the path."""
    made = tuple(_made_links(packages))
    places = _places(packages, made)
    merged = {source.entry.path: source for source in made}
    findings: list[Finding] = []
    elves: dict[Range, Elf] = {}
    repeated: set[Range] = set()
    for pin, contents in packages:
        files = {member.path: member for member in contents.members if member.type == "file"}
        for member in contents.members:
            file = files.get(member.link) if member.type == "hardlink" else member
            content = None
            if file is not None and file.type == "file":
                content = Range(contents.data, file.offset, file.size, file.sha256)
                if file.elf:
                    elves[content] = file.elf
                if file is not member and file.size:  # empty files may share a range by chance
                    repeated.add(content)
            source = _source(pin, member, content, places, (file or member).xattrs)
            _add(source, merged, findings)
    return Shipped(merged, findings, elves, frozenset(repeated), places)


class Places:
    """Where paths of packages are in the image, by the links of all of them."""

    def __init__(self, links: Mapping[str, str]) -> None:
        self.links = links
        self._folders: dict[str, str] = {"": ""}

    def folder(self, path: str) -> str:
        """Return where a folder is: a link in its place is followed, unless it goes in a circle."""
        if path not in self._folders:
            found = destination(path, self.links)
            self._folders[path] = path if found is None else found
        return self._folders[path]

    def file(self, path: str) -> str:
        """Return where anything else is."""
        parent, _, name = path.rpartition("/")
        folder = self.folder(parent)
        return f"{folder}/{name}" if folder else name


def _places(packages: Sequence[tuple[Pin, Contents]], made: Iterable[Source]) -> Places:
    """Find the links of all packages; one may itself be in a folder that another one stands for."""
    symlinks = [member for _, contents in packages for member in contents.members if member.type == "symlink"]
    first = {source.entry.path: source.entry.link for source in made}
    places = Places(first)
    for _ in range(_ROUNDS):
        links = {places.file(member.path): member.link for member in reversed(symlinks)} | first
        if links == places.links:
            break
        places = Places(links)
    return places


def _made_links(packages: Iterable[tuple[Pin, Contents]]) -> Iterator[Source]:
    made = set()
    for pin, contents in packages:
        for member in contents.members:
            top = member.path.partition("/")[0]
            path, text = top, _USR_LINKS.get(top)
            if text is None and member.type == "directory":
                path, text = member.path, _BASE_LINKS.get(member.path)
            if text is not None and path not in made:
                made.add(path)
                yield Source(Entry(path, "symlink", 0o777, link=text), f"{pin.name}: /{path}", owner=pin.name)


def _source(
    pin: Pin, member: Member, content: Range | None, places: Places, xattrs: tuple[tuple[str, bytes], ...]
) -> Source:
    path = places.folder(member.path) if member.type == "directory" else places.file(member.path)
    kind = "file" if member.type == "hardlink" else member.type
    text = member.link if member.type == "symlink" else ""
    entry = Entry(path, kind, member.mode, member.uid, member.gid, link=text, xattrs=xattrs)
    return Source(entry, f"{pin.name}: /{member.path}", content, pin.name)


def _add(source: Source, merged: dict[str, Source], findings: list[Finding]) -> None:
    path = source.entry.path
    earlier = merged.get(path)
    agreed = source if earlier is None else _agreed(earlier, source)
    if agreed is not None:
        merged[path] = agreed
    elif earlier is not None:
        message = f"/{path}: must be the same in all packages that have it, got {_told(earlier)} and {_told(source)}"
        findings.append(Finding("clash", path, message, "prune it, or put what the image needs into rootfs/"))


def _agreed(earlier: Source, later: Source) -> Source | None:
    """Choose between two sources of a path; of two folders, the one that is not just any folder."""
    one, other = earlier.entry, later.entry
    if one.type != other.type:
        return None
    same = (one.mode, one.uid, one.gid) == (other.mode, other.uid, other.gid)
    if one.type == "directory":
        if same or (other.mode, other.uid, other.gid) == _PLAIN:
            return earlier
        return later if (one.mode, one.uid, one.gid) == _PLAIN else None
    if one.type == "symlink":
        return earlier if one.link == other.link else None
    is_equal = same and one.xattrs == other.xattrs and _sha256(earlier) == _sha256(later) is not None
    return earlier if is_equal else None


def _sha256(source: Source) -> str | None:
    return source.content.sha256 if isinstance(source.content, Range) else None


def _told(source: Source) -> str:
    entry = source.entry
    what = f"to {entry.link!r}" if entry.type == "symlink" else f"{entry.mode:04o} {entry.uid}:{entry.gid}"
    return f"a {entry.type} {what} of {source.owner}"
