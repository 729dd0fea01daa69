"""packages.lock.yaml: which packages an image is made of, to the byte, on every platform.  Pure.

Its text is written one package a line, so that a diff of two locks reads as what changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from procession_tasks.debian.pin import IndexPin, Pin
from procession_tasks.definition.model import PLATFORM, Debian
from procession_tasks.definition.shape import Finding, Integer, InvalidError, Listing, Record, Report, Table, Text, key
from procession_tasks.definition.yamlfile import parse_yaml
from procession_tasks.errors import DefinitionError, Problem
from procession_tasks.platform import Platform

FILE = "packages.lock.yaml"
_FORMAT = 1
_NAMES = Listing(Text("must be a name"))
_CHECKSUM = re.compile(rb"^checksum: ([0-9a-f]{64})\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Lock:
    """What was asked for, the indexes that answered, and the answer.

    `packages` has the pins of each platform, both sorted.
    """

    format: int = key(Integer(_FORMAT, _FORMAT), "the form of this file")
    checksum: str = key(Text("must be a SHA-256 in lower-case hex", r"[0-9a-f]{64}"), "of what follows it")
    roots: tuple[str, ...] = key(_NAMES, "the packages that the definition asks for")
    omit: tuple[str, ...] = key(_NAMES, "the dependencies it leaves out")
    suites: tuple[str, ...] = key(_NAMES, "the suites that packages were chosen from")
    indexes: tuple[IndexPin, ...] = key(Listing(Record(IndexPin)), "the signed indexes")
    packages: tuple[tuple[Platform, tuple[Pin, ...]], ...] = key(
        Table(PLATFORM, Listing(Record(Pin))), "the packages of each platform"
    )

    def pins(self, platform: Platform) -> tuple[Pin, ...]:
        """Return the packages of a platform, none for one that is not locked."""
        return dict(self.packages).get(platform, ())


def make_lock(debian: Debian, indexes: Iterable[IndexPin], packages: Mapping[Platform, Iterable[Pin]]) -> Lock:
    """Put a lock together from a definition and what was chosen for it."""
    pins = {platform: tuple(sorted(of, key=lambda pin: pin.name)) for platform, of in sorted(packages.items())}
    ordered = tuple(sorted(set(indexes), key=dataclasses.astuple))
    omitted = tuple(sorted(name for name, _ in debian.omit))
    lock = Lock(_FORMAT, "", tuple(sorted(debian.packages)), omitted, debian.suites or (), ordered, tuple(pins.items()))
    return dataclasses.replace(lock, checksum=_checksum(_body(lock)))


def dump_lock(lock: Lock, name: str) -> bytes:
    """Render the lock of an image."""
    head = f"# Written by `doit lock:{name}`, which chooses anew; not to be edited.\nformat: {_FORMAT}\n"
    return f"{head}checksum: {lock.checksum}\n".encode() + _body(lock)


def parse_lock(text: bytes, file: str) -> Lock:
    """Read what `dump_lock` wrote.

    Raises DefinitionError for anything else, a lock edited by hand or merged in halves included.
    """
    report = Report(file)
    try:
        lock: Lock = _LOCK.read(parse_yaml(text, file), "", report)
    except InvalidError:
        raise _relockable(report.problems, file) from None
    except DefinitionError as error:
        raise _relockable(error.problems, file) from None
    found = _CHECKSUM.search(text)
    if found is None or _checksum(text[found.end() :]) != lock.checksum:
        line = text.count(b"\n", 0, found.start()) + 1 if found else 1
        rule = "must be as it was written: the file was edited, or merged from two"
        raise DefinitionError([Problem(file, line, "checksum", rule, hint=_relock(file))])
    return lock


def disagreements(lock: Lock, debian: Debian, platforms: Iterable[Platform], file: str) -> Iterator[Problem]:
    """Say where a lock is not of this definition."""
    pairs = (
        ("roots", "packages", lock.roots, sorted(debian.packages)),
        ("omit", "omit", lock.omit, sorted(name for name, _ in debian.omit)),
        ("suites", "suites", lock.suites, debian.suites or ()),
        ("packages", "platforms", [str(platform) for platform, _ in lock.packages], sorted(map(str, platforms))),
    )
    for locked, declared, got, wanted in pairs:
        if list(got) != list(wanted):
            rule = f"must be the {declared} of image.yaml ({', '.join(wanted) or 'none'})"
            yield Problem(file, 1, locked, rule, ", ".join(got) or "none", _relock(file))


def differing_versions(lock: Lock) -> Iterator[str]:
    """Name the packages whose version depends on the platform, one in words for each."""
    versions: dict[str, dict[str, list[str]]] = {}
    for platform, pins in lock.packages:
        for pin in pins:
            versions.setdefault(pin.name, {}).setdefault(pin.version, []).append(str(platform))
    for name, found in sorted(versions.items()):
        if len(found) > 1:
            yield f"{name}: " + ", ".join(f"{version} on {' and '.join(on)}" for version, on in sorted(found.items()))


def dump_pins(pins: Iterable[Pin]) -> bytes:
    """Render the packages of one platform, a line each: the list that a staged tree is made from."""
    return b"".join(_flow(pin).encode() + b"\n" for pin in pins)


def parse_pins(text: bytes) -> tuple[Pin, ...]:
    """Read what `dump_pins` wrote; raises ValueError for anything else."""
    try:
        return tuple(Pin(**dict(_pairs(line))) for line in text.decode().splitlines())
    except (TypeError, ValueError) as error:
        raise ValueError(f"not a list of packages: {error}") from None


def _check(lock: Lock) -> Iterable[Finding]:
    for platform, pins in lock.packages:
        names = [pin.name for pin in pins]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield "packages", f"must name each package once for {platform}", name, None


_LOCK = Record(Lock, _check)


def _body(lock: Lock) -> bytes:
    lines = [f"{field}: {json.dumps(list(getattr(lock, field)))}" for field in ("roots", "omit", "suites")]
    lines += ["indexes:", *(f"- {_flow(index)}" for index in lock.indexes), "packages:"]
    for platform, pins in lock.packages:
        lines += [f"  {platform}:", *(f"  - {_flow(pin)}" for pin in pins)]
    return "\n".join([*lines, ""]).encode()


def _flow(value: Pin | IndexPin) -> str:
    """Render a value as one line that is YAML and, but for the unquoted keys, JSON."""
    fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    return "{" + ", ".join(f"{name}: {json.dumps(item)}" for name, item in fields) + "}"


_FIELD = re.compile(r'(\w+): ("[^"\\]*"|[0-9]+)(?:, |\}$)')


def _pairs(line: str) -> Iterator[tuple[str, Any]]:
    """Read a line of `_flow` much faster than a YAML parser does."""
    place = 1
    while place < len(line):
        match = _FIELD.match(line, place)
        if match is None:
            raise ValueError(line)
        yield match[1], json.loads(match[2])
        place = match.end()


def _checksum(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _relockable(problems: Iterable[Problem], file: str) -> DefinitionError:
    """Say once what helps: nobody is to mend a lock by hand."""
    *rest, last = DefinitionError(dataclasses.replace(problem, hint=None) for problem in problems).problems
    return DefinitionError([*rest, dataclasses.replace(last, hint=_relock(file))])


def _relock(file: str) -> str:
    return f"doit lock:{file.rpartition('/')[0].rpartition('/')[2]} writes it anew"
