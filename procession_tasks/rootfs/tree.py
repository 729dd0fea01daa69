"""The entries of an image's file system and the text they are listed in.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Type = Literal["directory", "file", "symlink", "hardlink"]

_NO_DIGEST = "-"
_ESCAPED = re.compile(rb"[\x00-\x20\x7f\\]")
_OCTAL = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of an image.

    `path` has no leading slash and no ``.`` or ``..`` part; names that are not UTF-8 carry
    surrogate escapes.  `mode` is the permission bits with setuid, setgid and sticky.
    `digest` is the lower-case hex SHA-256 of a file's content, empty for other types.
    `link` is a symlink's text, or the path (as above) of the file that a hardlink repeats.
    """

    path: str
    type: Type
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    digest: str = ""
    link: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()

    @property
    def key(self) -> bytes:
        """The bytes that order entries: a parent sorts before its children."""
        return self.path.encode("utf-8", "surrogateescape")


def ordered(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Sort entries by path bytes, the order of every list and archive."""
    return tuple(sorted(entries, key=lambda entry: entry.key))


def dump(entries: Iterable[Entry]) -> bytes:
    r"""Render a `.files` list: one line a path, sorted.

    A line is ``type mode uid gid size digest path [link] [xattr=hex …]``, separated by one
    space; white space, backslashes and control characters of a path are ``\ooo`` octal.
    """
    return b"".join(_line(entry) for entry in ordered(entries))


def parse(text: bytes) -> tuple[Entry, ...]:
    """Read what `dump` wrote.

    Raises ValueError with the line number for anything else, a list that was cut short included.
    """
    entries = []
    if text and not text.endswith(b"\n"):
        last = text.count(b"\n") + 1
        raise ValueError(f"line {last}: not the end of a file list")
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        try:
            entries.append(_entry(line.split(b" ")))
        except (ValueError, IndexError) as error:
            raise ValueError(f"line {number}: not an entry of a file list") from error
    return tuple(entries)


def dump_owners(owners: Mapping[str, str]) -> bytes:
    """Render an `.owners` list: ``owner path``, one line a path, in the order and escapes of `dump`."""
    lines = sorted((path.encode("utf-8", "surrogateescape"), path, owner) for path, owner in owners.items())
    return b"".join(_escape(owner) + b" " + _escape(path) + b"\n" for _, path, owner in lines)


def parse_owners(text: bytes) -> dict[str, str]:
    """Read what `dump_owners` wrote: by path, what it came with."""
    pairs = (line.split(b" ") for line in text.split(b"\n")[:-1])
    return {_unescape(path): _unescape(owner) for owner, path in pairs}


def _line(entry: Entry) -> bytes:
    head = f"{entry.type} {entry.mode:04o} {entry.uid} {entry.gid} {entry.size} {entry.digest or _NO_DIGEST} "
    fields = [_escape(entry.path)]
    if entry.link:
        fields.append(_escape(entry.link))
    fields += [_escape(name) + b"=" + value.hex().encode() for name, value in entry.xattrs]
    return head.encode() + b" ".join(fields) + b"\n"


def _entry(fields: list[bytes]) -> Entry:
    kind = fields[0].decode()
    if kind not in get_args(Type) or not fields[6]:
        raise ValueError(kind)
    linked = kind in ("symlink", "hardlink")
    xattrs = (field.rpartition(b"=") for field in fields[8 if linked else 7 :])
    return Entry(
        type=kind,  # type: ignore[arg-type]  # narrowed by the check above
        mode=int(fields[1], 8),
        uid=int(fields[2]),
        gid=int(fields[3]),
        size=int(fields[4]),
        digest="" if fields[5] == _NO_DIGEST.encode() else fields[5].decode(),
        path=_unescape(fields[6]),
        link=_unescape(fields[7]) if linked else "",
        xattrs=tuple((_unescape(name), bytes.fromhex(value.decode())) for name, _, value in xattrs),
    )


def _escape(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return _ESCAPED.sub(lambda match: b"\\%03o" % match[0][0], raw)


def _unescape(field: bytes) -> str:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field).decode("utf-8", "surrogateescape")
