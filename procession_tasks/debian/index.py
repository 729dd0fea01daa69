"""The packages that can be had, from uncompressed Packages files that need not fit into memory.

A file is scanned once, for where each package and each provider is; a stanza is read and
parsed when it is asked for.  Source: Debian repository format, "Packages" indices.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from procession_tasks import interruption
from procession_tasks.debian.control import parse_stanza
from procession_tasks.debian.package import Package, parse_package
from procession_tasks.debian.version import sort_key
from procession_tasks.errors import BuildError

_BLOCK = 1 << 20
_STANZA = 1 << 13  # nearly all are smaller
_NAMING = tuple(
    re.compile(rb"^%s:((?:.*\n[ \t])*.*)" % field, re.MULTILINE)
    for field in b"Package Pre-Depends Depends Conflicts Breaks Recommends Suggests Replaces Enhances Provides".split()
)
_NAME = re.compile(rb"^Package:[ \t]*(\S+)", re.MULTILINE)
_PROVIDES = _NAMING[-1]
_PROVIDED = re.compile(rb"(?:^|,)\s*([A-Za-z0-9][A-Za-z0-9+._-]*)")


@dataclass(frozen=True, slots=True)
class PackagesFile:
    """An uncompressed Packages file, and the repository and suite it is the index of."""

    path: Path
    repository: str
    suite: str


@dataclass(frozen=True, slots=True)
class _Scanned:
    """An open file, the offsets of each package's stanzas, and who provides each name in some version."""

    file: PackagesFile
    descriptor: int
    offsets: dict[str, list[int]]
    providers: dict[str, list[str]]


class Index:
    """The packages of one architecture, and those for all, in several Packages files.

    A context manager, which keeps the files open.  Raises BuildError for files that cannot be
    read and, when they are asked for, for stanzas that are not of their format.
    """

    def __init__(self, files: Sequence[PackagesFile], architecture: str) -> None:
        self.architecture = architecture
        self._first_named: dict[str, tuple[int, int, int, int]] = {}
        self._candidates: dict[str, tuple[Package, ...]] = {}
        self._scanned: list[_Scanned] = []
        try:
            for file in files:
                self._scanned.append(_scan(file))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; nothing can be asked after that."""
        while self._scanned:
            os.close(self._scanned.pop().descriptor)

    def names(self) -> set[str]:
        """Name every package, of this architecture or not, and what they provide."""
        return {name for scanned in self._scanned for name in (*scanned.offsets, *scanned.providers)}

    def candidates(self, name: str) -> tuple[Package, ...]:
        """Find a package in each of its versions: the highest first, equal ones in the order of the files."""
        if name not in self._candidates:
            found = [
                package
                for scanned in self._scanned
                for offset in scanned.offsets.get(name, ())
                if (package := _read(scanned, name, offset)).pin.architecture in (self.architecture, "all")
            ]
            found.sort(key=lambda package: sort_key(package.version), reverse=True)
            self._candidates[name] = tuple(found)
        return self._candidates[name]

    def providers(self, name: str) -> tuple[Package, ...]:
        """Find the packages that provide a name in their highest version, sorted by their own."""
        owners = {owner for scanned in self._scanned for owner in scanned.providers.get(name, ())}
        highest = (package for owner in sorted(owners) for package in self.candidates(owner)[:1])
        return tuple(package for package in highest if any(name == provided.name for provided in package.provides))

    def first_named(self, names: Collection[str]) -> dict[str, tuple[int, int, int, int]]:
        """Find where the files first name each package, in any field: what comes first sorts first.

        Reads the files up to there.  apt numbers packages in this order.
        """
        unknown = {name: _mention(name, self.architecture) for name in names if name not in self._first_named}
        for number, scanned in enumerate(self._scanned):
            for offset, block in _blocks(scanned.descriptor):
                here = {name: mention for name, mention in unknown.items() if name.encode() in block}
                for at, stanza in _stanzas(block) if here else ():
                    for name in [name for name in here if name.encode() in stanza]:
                        place = _place(stanza, here[name])
                        if place is not None:
                            self._first_named[name] = (number, offset + at, *place)
                            del unknown[name], here[name]
                if not unknown:
                    break
        return {name: self._first_named[name] for name in names}


def _mention(name: str, architecture: str) -> re.Pattern[bytes]:
    named = re.escape(name) + f"(?::{architecture})?"
    return re.compile(rf"(?<![A-Za-z0-9+._-]){named}(?![A-Za-z0-9+._:-])".encode())


def _place(stanza: bytes, mention: re.Pattern[bytes]) -> tuple[int, int] | None:
    """Find a name in the fields that name packages: the field's rank as apt reads them, the offset in the stanza."""
    for rank, field in enumerate(_NAMING):
        found = field.search(stanza)
        at = mention.search(stanza, found.start(1), found.end(1)) if found else None
        if at is not None:
            return rank, at.start()
    return None


def _scan(file: PackagesFile) -> _Scanned:
    try:
        descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BuildError(f"{file.path}: cannot be read: {error.strerror}") from None
    scanned = _Scanned(file, descriptor, {}, {})
    try:
        for offset, block in _blocks(descriptor):
            for at, stanza in _stanzas(block):
                _note(scanned, offset + at, stanza)
    except BaseException:
        os.close(descriptor)
        raise
    return scanned


def _blocks(descriptor: int) -> Iterator[tuple[int, bytes]]:
    """Read a file in blocks of whole stanzas, each with its offset."""
    offset, rest = 0, b""
    while more := os.pread(descriptor, _BLOCK, offset + len(rest)):
        interruption.check()
        whole, end, rest = (rest + more).rpartition(b"\n\n")
        yield offset, whole
        offset += len(whole) + len(end)
    yield offset, rest


def _stanzas(block: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    for stanza in block.split(b"\n\n"):
        yield at, stanza
        at += len(stanza) + 2


def _note(scanned: _Scanned, offset: int, stanza: bytes) -> None:
    found = _NAME.search(stanza)
    if found is None:
        if stanza.strip():
            raise BuildError(f"{scanned.file.path}: each stanza must have the field Package, got {stanza[:60]!r}")
        return
    name = found[1].decode(errors="replace")
    scanned.offsets.setdefault(name, []).append(offset)
    provides = _PROVIDES.search(stanza) if b"\nProvides:" in stanza else None
    for provided in _PROVIDED.findall(provides[1]) if provides else ():
        scanned.providers.setdefault(provided.decode(), []).append(name)


def _read(scanned: _Scanned, name: str, offset: int) -> Package:
    text = b""
    while b"\n\n" not in text.lstrip(b"\n"):
        more = os.pread(scanned.descriptor, _STANZA, offset + len(text))
        if not more:
            break
        text += more
    stanza, _, _ = text.lstrip(b"\n").partition(b"\n\n")
    try:
        return parse_package(parse_stanza(stanza.decode()), scanned.file.repository, scanned.file.suite)
    except ValueError as error:
        raise BuildError(f"{scanned.file.path}: {name}: {error}") from None
