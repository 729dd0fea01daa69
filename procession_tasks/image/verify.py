"""Reads an image back and says where it is not what its definition promises.

Shares no code with the writers: what both got wrong in the same way would pass unseen.
`members` reads the archive, piece by piece; here only the list of members is kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.errors import BuildError
from procession_tasks.image.members import BrokenError, Findings, GzipReader, Member, difference, read_members

_FIRST = ("manifest", "rootfs")


@dataclass(frozen=True, slots=True)
class Expected:
    """What an image must hold, derived from its definition and not from a staged tree.

    Paths of `members`, and of hard links' targets, are those inside the image, with no leading
    slash; their own `mtime` is ignored for the one that all share.
    """

    manifest: bytes
    members: tuple[Member, ...]
    mtime: int = 0


@dataclass(frozen=True, slots=True)
class Archive:
    """What was read: members in archive order, under their archive names.

    `image_id` is empty when the archive could not be read to its end.
    """

    members: tuple[Member, ...]
    image_id: str
    findings: tuple[str, ...]


def verify(aci: Path, expected: Expected) -> list[str]:
    """Compare an image and the files beside it with what is expected; an empty list is a pass.

    A finding is ``file: member: what: expected …, got …``.  Raises BuildError for an image
    that cannot be opened.
    """
    archive = read_aci(aci)
    findings = [f"{aci.name}: {finding}" for finding in archive.findings]
    if archive.image_id:
        findings += [f"{aci.name}: {finding}" for finding in _differences(archive.members, expected)]
        findings += _beside(aci, ".id", f"{archive.image_id}\n")
    with aci.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return findings + _beside(aci, ".sha256", f"{digest}  {aci.name}\n")


def read_aci(path: Path) -> Archive:
    """Read an image and check the form that every image has, whatever it holds.

    Raises BuildError when the file cannot be opened; a broken one gives findings.
    """
    findings = Findings()
    members: dict[str, Member] = {}
    image_id = ""
    try:
        with path.open("rb") as file:
            stream = GzipReader(file)
            for member in read_members(stream, findings):
                _check_place(member, members, findings)
                members[member.path] = member
            image_id = stream.finish()
    except OSError as error:
        raise BuildError(f"{path}: cannot be read: {error.strerror}") from None
    except BrokenError as error:
        findings.append(str(error))
    return Archive(tuple(members.values()), image_id, tuple(findings))


def _check_place(member: Member, before: dict[str, Member], findings: Findings) -> None:
    """Check a member's name against those before it."""
    path, parts = member.path, member.path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        findings.append(difference(path, "name", "a relative path with no empty, '.' or '..' part", path))
    last = next(reversed(before), "")
    if os.fsencode(path) <= os.fsencode(last):
        findings.append(difference(path, "order", f"a name that sorts after {last}", path))
    if len(before) < len(_FIRST):
        findings.expect(path, "place", _FIRST[len(before)], path)
    else:
        findings.expect(path, "first part", "rootfs", parts[0])
    parent = posixpath.dirname(path)
    if parent and (parent not in before or before[parent].type != "directory"):
        findings.append(difference(path, "parent", "a directory before it", _kind(before.get(parent))))
    if member.type == "hardlink" and _kind(before.get(member.link)) != "file":
        findings.append(difference(path, f"target {member.link}", "a file before it", _kind(before.get(member.link))))


def _kind(member: Member | None) -> str:
    return "nothing" if member is None else member.type


def _differences(members: Iterable[Member], expected: Expected) -> Iterator[str]:
    """Compare members by path, field by field."""
    wanted = {member.path: member for member in _wanted(expected)}
    read = {member.path: member for member in members}
    for path in sorted(wanted.keys() | read.keys()):
        if path not in wanted or path not in read:
            yield difference(path, "member", _kind(wanted.get(path)), _kind(read.get(path)))
            continue
        for field in dataclasses.fields(Member):
            pair = getattr(wanted[path], field.name), getattr(read[path], field.name)
            if pair[0] != pair[1]:
                shown = (f"{value:04o}" if field.name == "mode" else repr(value) for value in pair)
                yield difference(path, field.name, *shown)


def _wanted(expected: Expected) -> Iterator[Member]:
    """List what the archive must hold, under archive names."""
    manifest, mtime = expected.manifest, expected.mtime
    digest = hashlib.sha256(manifest).hexdigest()
    yield Member("manifest", "file", 0o644, size=len(manifest), sha256=digest, mtime=mtime)
    yield Member("rootfs", "directory", 0o755, mtime=mtime)
    for member in expected.members:
        link = f"rootfs/{member.link}" if member.type == "hardlink" else member.link
        yield dataclasses.replace(member, path=f"rootfs/{member.path}", link=link, mtime=mtime)


def _beside(aci: Path, suffix: str, expected: str) -> list[str]:
    """Compare the file beside an image that has this suffix."""
    name = f"{aci.name}{suffix}"
    try:
        got = aci.with_name(name).read_bytes()
    except OSError as error:
        return [difference(name, "content", repr(expected), error.strerror)]
    return (
        []
        if got == expected.encode()
        else [difference(name, "content", repr(expected), repr(got.decode(errors="backslashreplace")))]
    )
