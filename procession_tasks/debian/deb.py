"""Reads a binary package in one pass: its control information, then its members with their content.

Source: deb(5), deb-control(5), deb-conffiles(5); Debian Policy 5.6.20, "Installed-Size".
"""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from procession_tasks import interruption
from procession_tasks.debian.contents import Member
from procession_tasks.debian.control import parse_stanza
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.stream import CHUNK, BrokenError, Stream, inflated, limited
from procession_tasks.debian.tar import read_members, shown

_MAGIC = b"!<arch>\n"
_HEADER = re.compile(rb"(.{16}).{32}([0-9]{1,10}) *`\n", re.DOTALL)
_HEADER_SIZE = 60

_MOST_VERSION = 4096
_MOST_CONTROL = 32 * 1024 * 1024  # a checksum for each of 300,000 files
_MOST_DATA = 8 * 1024 * 1024 * 1024  # Debian 12 has nothing above 6, its kernel's debug information
_SLACK = 64 * 1024 * 1024  # some packages have no Installed-Size, all of them small

_SCRIPTS = ("config", "postinst", "postrm", "preinst", "prerm", "triggers")
_MD5SUM = re.compile(r"([0-9a-f]{32}) [ *](?:\./)?(.+)")

Content = Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Control:
    """What the control archive of a package says: as in `Contents`, and how much its data may unpack to."""

    text: str
    scripts: tuple[tuple[str, str], ...]
    conffiles: tuple[str, ...]
    md5sums: tuple[tuple[str, str], ...]
    limit: int


def read_deb(file: BinaryIO, pin: Pin) -> tuple[Control, Iterator[tuple[Member, Content]]]:
    """Read a package that must be the pinned one.

    Members are in archive order, without the root, and have no digest, offset or ELF yet; the
    content of one is gone when the next is asked for.  A member's folder may be missing, but
    is nothing else than a folder; a hard link repeats an earlier file, with its mode and owner.
    Raises BrokenError, also while members and content are read.
    """
    parts = _parts(file)
    name, content = next(parts, ("nothing", iter(())))
    version = b"".join(limited(content, _MOST_VERSION))
    if name != "debian-binary" or not version.startswith(b"2."):
        raise BrokenError(f"must begin with debian-binary of version 2, got {name}, {shown(version)}")
    control = _control(Stream(_archive(parts, "control.tar", _MOST_CONTROL)), pin)
    return control, _data(Stream(_archive(parts, "data.tar", control.limit)), parts)


def _parts(file: BinaryIO) -> Iterator[tuple[str, Content]]:
    """Read the members of an ar archive, in the one form that deb(5) allows."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise BrokenError("must be an ar archive, got other bytes at its start")
    while header := file.read(_HEADER_SIZE):
        match = _HEADER.fullmatch(header)
        if match is None:
            raise BrokenError(f"must have nothing but members in its ar archive, got {shown(header)}")
        name, size = match[1].rstrip(b" ").removesuffix(b"/"), int(match[2])
        content = _bounded(file, size)
        yield shown(name), content
        for _ in content:
            pass
        file.read(size % 2)


def _bounded(file: BinaryIO, size: int) -> Content:
    while size:
        interruption.check()
        chunk = file.read(min(size, CHUNK))
        if not chunk:
            raise BrokenError(f"must be whole, got the end of the package {size} bytes too early")
        size -= len(chunk)
        yield chunk


def _archive(parts: Iterator[tuple[str, Content]], name: str, limit: int) -> Content:
    """Uncompress a tar archive, past the members before it that deb(5) has everybody ignore."""
    try:
        for found, content in parts:
            if found.startswith(name):
                yield from limited(inflated(content, found.removeprefix(name)), limit)
                return
            if not found.startswith("_"):
                raise BrokenError(f"must come next, got {found}")
        raise BrokenError("must be there, got the end of the package")
    except BrokenError as error:
        raise BrokenError(f"{name}: {error}") from None


def _control(stream: Stream, pin: Pin) -> Control:
    files: dict[str, str] = {}
    for member, content in read_members(stream):
        if not member.path:
            continue
        if member.path in files or member.type != "file":
            got = f"a second {member.type}" if member.path in files else f"a {member.type}"
            raise BrokenError(f"{_shown(member.path)}: must be a file and stand there once, got {got}")
        files[member.path] = b"".join(content).decode("utf-8", "surrogateescape")
    if "control" not in files:
        raise BrokenError("control.tar: must hold a file control, got none")
    fields = _fields(files["control"])
    got = " ".join(fields.get(name, f"no {name}") for name in ("Package", "Version", "Architecture"))
    if got != str(pin):
        raise BrokenError(f"must hold {pin}, got {_shown(got)}")
    return Control(
        text=files["control"],
        scripts=tuple((name, files[name]) for name in _SCRIPTS if name in files),
        conffiles=tuple(_conffiles(files.get("conffiles", ""))),
        md5sums=tuple(_md5sums(files.get("md5sums", ""))),
        limit=_limit(fields.get("Installed-Size", "0")),
    )


def _fields(text: str) -> dict[str, str]:
    try:
        return parse_stanza(text)
    except ValueError as error:
        raise BrokenError(f"control: {error}") from None


def _conffiles(text: str) -> Iterator[str]:
    """List the configuration files that the package holds, and not the flagged ones that it used to hold."""
    for line in text.split("\n"):
        if line.startswith("/"):
            yield line.strip("/ \t")


def _md5sums(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), 1):
        match = _MD5SUM.fullmatch(line)
        if match is None:
            raise BrokenError(f"md5sums: line {number} must be a digest and a path, got {line[:100]!r}")
        yield match[2], match[1]


def _limit(installed_size: str) -> int:
    """Bound what the data archive unpacks to; Installed-Size is in KiB and counts at least one for each path."""
    if not re.fullmatch("[0-9]{1,12}", installed_size):
        raise BrokenError(f"control: must have a decimal Installed-Size, got {installed_size[:100]!r}")
    return min(_MOST_DATA, _SLACK + 2 * 1024 * int(installed_size))


def _data(stream: Stream, parts: Iterator[tuple[str, Content]]) -> Iterator[tuple[Member, Content]]:
    members: dict[str, Member | None] = {"": None}
    for member, content in read_members(stream):
        placed = _placed(member, members)
        if placed.path:
            members[placed.path] = placed
            yield placed, content
    for _ in parts:  # what comes behind is ignored, but it is an ar archive to its end
        pass


def _placed(member: Member, members: dict[str, Member | None]) -> Member:
    """Check a member's place among those before it, where None is a folder that only its content tells of."""
    where = _shown(member.path) or "."
    earlier = members.get(member.path)
    if earlier is not None:
        raise BrokenError(f"{where}: must stand in the package once, got a {earlier.type} and a {member.type}")
    if member.path in members and member.type != "directory":
        raise BrokenError(f"{where}: must be a folder, for something stands below it, got a {member.type}")
    parent = posixpath.dirname(member.path)
    while parent not in members:
        members[parent] = None
        parent = posixpath.dirname(parent)
    folder = members[parent]
    if folder is not None and folder.type != "directory":
        raise BrokenError(f"{where}: must stand in a folder, got a {folder.type} at {folder.path!r}")
    return _linked(member, members, where) if member.type == "hardlink" else member


def _shown(text: str) -> str:
    return shown(text.encode("utf-8", "surrogateescape"))


def _linked(member: Member, members: dict[str, Member | None], where: str) -> Member:
    """Have a hard link repeat a file and no other hard link."""
    target = members.get(member.link)
    if target is not None and target.type == "hardlink":
        target = members[target.link]
    if target is None or target.type != "file":
        got = "nothing" if target is None else f"a {target.type}"
        raise BrokenError(f"{where}: must be a hard link to a file before it, got {got} at {member.link!r}")
    if (member.mode, member.uid, member.gid) != (target.mode, target.uid, target.gid):
        raise BrokenError(f"{where}: must have the mode and owner of {target.path!r}, whose hard link it is")
    if member.xattrs not in ((), target.xattrs):
        raise BrokenError(f"{where}: must have the attributes of {target.path!r}, whose hard link it is")
    return dataclasses.replace(member, link=target.path, xattrs=())
