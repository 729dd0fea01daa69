"""Derives what Debian packages put into an image, for the verifier: from the .debs themselves, in other words.

Shares no code with what reads, unpacks and merges packages for a build; it is written to be plain, not fast.
"""

from __future__ import annotations

import bz2
import dataclasses
import fnmatch
import functools
import gzip
import hashlib
import io
import lzma
import posixpath
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from procession_tasks.debian.pin import Pin
from procession_tasks.errors import BuildError
from procession_tasks.image.members import Member

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SYSTEM = {"var/run": "/run", "var/lock": "/run/lock"}
_CERTIFICATES = ("usr/share/ca-certificates/", "usr/local/share/ca-certificates/")
_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_OPENERS: dict[str, Callable[[Any], Any]] = {"xz": lzma.open, "gz": gzip.open, "bz2": bz2.open}
_PLAIN = (0o755, 0, 0)
_FOLLOWED = 40
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Packages:
    """The packages of an image, each with its .deb, and the patterns of what is left out and kept."""

    debs: tuple[tuple[Pin, Path], ...]
    prune: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(slots=True)
class _Package:
    """What one .deb holds; `repeats` has the file of each hard link, `certificates` the bytes of some files."""

    pin: Pin
    members: list[Member] = field(default_factory=list)
    repeats: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, bytes] = field(default_factory=dict)
    control: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Shipped:
    """What packages put into an image: members, whose they are, and what else has to be known of them.

    `twins` groups the paths of one file, `certificates` are bytes by path, `control` has the
    stanza and the MD5 sums (by path in the image) of each package.
    """

    members: dict[str, Member]
    owners: dict[str, str]
    twins: list[set[str]]
    certificates: dict[str, bytes]
    control: dict[str, tuple[bytes, dict[str, str]]]


def shipped(packages: Packages) -> Shipped:
    """Put packages together and leave out what is pruned; raises BuildError for a .deb that is not the pinned one."""
    read = [_read(pin, deb) for pin, deb in sorted(packages.debs, key=lambda pair: pair[0].name)]
    links = _links(read)
    found = Shipped(
        {path: Member(path, "symlink", 0o777, link=text) for path, text in _made(read).items()}, {}, [], {}, {}
    )
    for package in read:
        _place(package, links, found)
    for path in _parents(found.members):
        found.members.setdefault(path, Member(path, "directory", 0o755))
    for path in _pruned(found.members, packages):
        del found.members[path]
    return found


def made_from(found: Shipped, members: Mapping[str, Member], added: Mapping[str, bytes]) -> Iterator[Member]:
    """Give the files that are written from what an image holds: certificates, descriptions of packages.

    `members` is all it holds; `added` has the bytes of certificates that its definition brings.
    """
    for name, (stanza, sums) in found.control.items():
        yield written(f"var/lib/dpkg/status.d/{name}", stanza)
        kept = {path: digest for path, digest in sums.items() if found.owners.get(path) == name and path in members}
        kept = {path: digest for path, digest in kept.items() if members[path] is found.members.get(path)}
        files = {path: digest for path, digest in kept.items() if members[path].type == "file"}
        if files:
            lines = "".join(f"{files[path]}  {path}\n" for path in sorted(files))
            yield written(f"var/lib/dpkg/status.d/{name}.md5sums", lines.encode("utf-8", "surrogateescape"))
    certificates = {path: text for path, text in found.certificates.items() if path in members} | dict(added)
    ordered = [
        certificates[path] for folder in _CERTIFICATES for path in sorted(certificates) if path.startswith(folder)
    ]
    if ordered and _BUNDLE not in members:
        yield written(_BUNDLE, b"".join(text if text.endswith(b"\n") or not text else text + b"\n" for text in ordered))


def is_certificate(path: str) -> bool:
    """Tell whether a file is one of those that the bundle is made of."""
    return path.startswith(_CERTIFICATES) and path.endswith(".crt")


def linked(found: Shipped, members: dict[str, Member]) -> None:
    """Make hard links of the paths of one file: the first by its bytes is the file."""
    for twins in found.twins:
        there = sorted((path for path in twins if members.get(path) is found.members.get(path)), key=str.encode)
        there = [path for path in there if path in members]
        first: dict[Any, str] = {}
        for path in there:
            member = members[path]
            file = first.setdefault((member.mode, member.uid, member.gid), path)
            if file != path:
                members[path] = dataclasses.replace(member, type="hardlink", size=0, sha256="", link=file, xattrs=())


def written(path: str, content: bytes) -> Member:
    """Describe a plain file of root's."""
    return Member(path, "file", 0o644, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _read(pin: Pin, deb: Path) -> _Package:
    package = _Package(pin)
    try:
        with deb.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != pin.sha256:
                raise BuildError(f"{deb}: must be {pin} to the byte, got other bytes", hint="remove it, then fetch it")
            for name, offset, size in _parts(file):
                part, _, suffix = name.partition(".tar")
                if part not in ("control", "data"):
                    continue
                window: Any = io.BufferedReader(_Window(file, offset, size), _CHUNK)
                plain = _OPENERS[suffix.strip(".")](window) if suffix else window
                with tarfile.open(fileobj=plain, mode="r|", errors="surrogateescape") as tar:
                    (_read_control if part == "control" else _read_data)(tar, package)
    except FileNotFoundError:
        raise BuildError(f"{deb}: must be the package {pin}, got no file") from None
    return package


def _parts(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """List the members of an ar archive: ar(5)."""
    offset, end = 8, file.seek(0, io.SEEK_END)
    while offset < end:
        file.seek(offset)
        header = file.read(60)
        size = int(header[48:58])
        yield header[:16].decode("ascii").strip().rstrip("/"), offset + 60, size
        offset += 60 + size + size % 2


class _Window(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        super().__init__()
        self._file, self._place, self._end = file, offset, offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._place)
        content = self._file.read(min(len(buffer), self._end - self._place))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)


def _read_control(tar: tarfile.TarFile, package: _Package) -> None:
    for info in tar:
        content = tar.extractfile(info)
        if content is not None:
            package.control[_inside(info.name)] = content.read()


def _read_data(tar: tarfile.TarFile, package: _Package) -> None:
    for info in tar:
        path = _inside(info.name)
        if not path:
            continue
        member = Member(path, "file", info.mode & 0o7777, info.uid, info.gid, xattrs=_attributes(info))
        if info.isdir():
            member = dataclasses.replace(member, type="directory")
        elif info.issym():
            member = dataclasses.replace(member, type="symlink", mode=0o777, link=info.linkname)
        elif info.islnk():
            first = _inside(info.linkname)
            member = dataclasses.replace(next(one for one in package.members if one.path == first), path=path)
            package.repeats[path] = first
        else:
            member = _file(tar, info, member, package)
        package.members.append(member)


def _file(tar: tarfile.TarFile, info: tarfile.TarInfo, member: Member, package: _Package) -> Member:
    content, digest, kept = tar.extractfile(info), hashlib.sha256(), []
    while content is not None and (chunk := content.read(_CHUNK)):
        digest.update(chunk)
        if is_certificate(member.path):
            kept.append(chunk)
    if is_certificate(member.path):
        package.certificates[member.path] = b"".join(kept)
    return dataclasses.replace(member, size=info.size, sha256=digest.hexdigest())


def _attributes(info: tarfile.TarInfo) -> tuple[tuple[str, bytes], ...]:
    prefix = "SCHILY.xattr."
    pairs = ((key, value) for key, value in info.pax_headers.items() if key.startswith(prefix))
    return tuple(sorted((key.removeprefix(prefix), value.encode("utf-8", "surrogateescape")) for key, value in pairs))


def _inside(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _made(packages: Iterable[_Package]) -> dict[str, str]:
    """Find the links that an installed system has where packages ship folders, or ship below them."""
    members = [member for package in packages for member in package.members]
    used = {member.path.split("/")[0] for member in members} & {*_MERGED}
    folders = {member.path for member in members if member.type == "directory"} & _SYSTEM.keys()
    return {top: f"usr/{top}" for top in used} | {path: _SYSTEM[path] for path in folders}


def _links(packages: list[_Package]) -> dict[str, str]:
    """Find every link at the place where it ends up, which other links may decide."""
    made = links = _made(packages)
    while True:
        before, links = links, dict(made)
        for package in packages:
            for member in package.members:
                if member.type == "symlink":
                    links.setdefault(_beside(member.path, before), member.link)
        if links == before:
            return links


def _resolve(path: str, links: Mapping[str, str]) -> str:
    """Follow all links of a path inside the image; a circle is left as it is written."""
    done: list[str] = []
    ahead, followed = path.split("/"), 0
    while ahead:
        part, *ahead = ahead
        if part in ("", "."):
            continue
        if part == "..":
            done = done[:-1]
            continue
        text = links.get("/".join([*done, part]))
        if text is None:
            done.append(part)
            continue
        followed += 1
        if followed > _FOLLOWED:
            return path
        done = [] if text.startswith("/") else done
        ahead = text.split("/") + ahead
    return "/".join(done)


def _beside(path: str, links: Mapping[str, str]) -> str:
    """Follow the links above a path, not the path itself."""
    folder, _, name = path.rpartition("/")
    return posixpath.join(_resolve(folder, links), name)


def _place(package: _Package, links: Mapping[str, str], found: Shipped) -> None:
    places = {}
    for member in package.members:
        is_folder = member.type == "directory"
        place = places[member.path] = _resolve(member.path, links) if is_folder else _beside(member.path, links)
        earlier = found.members.get(place)
        special = is_folder and earlier is not None and (earlier.mode, earlier.uid, earlier.gid) == _PLAIN
        if earlier is None or (special and (member.mode, member.uid, member.gid) != _PLAIN):
            found.members[place] = dataclasses.replace(member, path=place)
            found.owners[place] = package.pin.name
    for first in {*package.repeats.values()}:
        if found.members[places[first]].size:
            found.twins.append({places[first], *(places[path] for path, of in package.repeats.items() if of == first)})
    found.certificates |= {_beside(path, links): text for path, text in package.certificates.items()}
    sums = (
        line.partition("  ")
        for line in package.control.get("md5sums", b"").decode(errors="surrogateescape").splitlines()
    )
    stanza = package.control["control"].strip(b"\n") + b"\n"
    found.control[package.pin.name] = stanza, {_beside(_inside(path), links): digest for digest, _, path in sums}


def _parents(paths: Iterable[str]) -> set[str]:
    parts = (path.split("/") for path in paths)
    return {"/".join(of[:depth]) for of in parts for depth in range(1, len(of))}


def _pruned(members: Mapping[str, Member], packages: Packages) -> set[str]:
    """Choose what to leave out: what matches, and folders that lose all they had."""
    asked = {path for path in members if _match(path, packages.prune) and not _match(path, packages.keep)}
    full = _parents(members)
    stay = members.keys() - asked
    stay = {path for path in stay if members[path].type != "directory" or path not in full}
    stay |= _parents(stay)
    return {path for path in members if path not in stay}


def _match(path: str, patterns: Iterable[str]) -> bool:
    """Tell whether a path or a folder above it matches a pattern."""
    parts = tuple(path.split("/"))
    return any(_same(parts[:depth], tuple(of.split("/"))) for of in patterns for depth in range(1, len(parts) + 1))


@functools.lru_cache(maxsize=1 << 18)
def _same(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        least = 1 if len(pattern) == 1 else 0
        return any(_same(parts[skipped:], pattern[1:]) for skipped in range(least, len(parts) + 1))
    return fnmatch.fnmatchcase(parts[0], pattern[0].replace("[^", "[!")) and _same(parts[1:], pattern[1:])
