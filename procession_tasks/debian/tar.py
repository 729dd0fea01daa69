"""Reads the members of a package's tar archives, in one pass and strictly.

v7, ustar, GNU and pax are read, with GNU's long names and large numbers and with pax's records
for names, numbers and extended attributes.  Whatever two readers could take in two ways is
refused, as is what no image can hold: devices, pipes, sparse files.

Source: deb(5); POSIX.1-2017, pax; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from procession_tasks.debian.contents import Member, Type
from procession_tasks.debian.stream import BrokenError, Stream

_BLOCK = 512
_END = bytes(_BLOCK)
_FIELDS = struct.Struct("100s8s8s8s12s12x8s1s100s8s80x155s12x")
_CHECKSUM = slice(148, 156)
_POSIX = b"ustar\0"  # GNU's own magic is "ustar  \0", and its prefix field holds other things
_TYPES: dict[bytes, Type] = {b"0": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}
_REFUSED = {b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file"}
_LONG = {b"L": b"path", b"K": b"linkpath"}
_PAX = b"x"
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ([^=\n\0]+)=")
_XATTR = b"SCHILY.xattr."
_NUMBERS = (b"size", b"uid", b"gid")
_USED = {b"path", b"linkpath", *_NUMBERS}
_OF_NO_MATTER = {b"mtime", b"atime", b"ctime", b"uname", b"gname", b"comment", b"hdrcharset"}

_LARGEST_ID = 2**32 - 2
_LONGEST_PATH = 4095  # PATH_MAX without its NUL byte
_LONGEST_NAME = 255
_LARGEST_EXTENSION = 1024 * 1024
_MOST_HEADERS = 128 * 1024 * 1024  # bytes; what is kept in memory grows with them
_SHOWN = 200

Records = dict[bytes, bytes]


def read_members(stream: Stream) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Read the members in archive order, each with its content, which is gone when the next is asked for.

    The root has an empty path.  Digests, offsets and ELF are not filled in, a hard link's
    target is not looked up.  Raises BrokenError.
    """
    records: Records = {}
    headers = 0
    while (block := stream.read(_BLOCK)) != _END:
        header = _Header(block)
        extension = header.size if header.type in _LONG or header.type == _PAX else 0
        headers += _BLOCK + extension
        if headers > _MOST_HEADERS or extension > _LARGEST_EXTENSION:
            raise BrokenError(
                f"{header.shown}: must come with headers of a sane size, got {extension} of {headers} bytes"
            )
        if extension:
            _extend(records, header, stream.read(extension))
            stream.read(-extension % _BLOCK)
            continue
        member = _member(header, records)
        records = {}
        content = stream.pieces(member.size)
        yield member, content
        for _ in content:
            pass
        stream.read(-member.size % _BLOCK)
    if records or any(piece.count(0) < len(piece) for piece in stream.rest()):
        raise BrokenError("a tar archive must have only zeros behind its last member, got other bytes")


class _Header:
    """The fields of one header block."""

    __slots__ = ("gid", "link", "mode", "name", "shown", "size", "type", "uid")

    def __init__(self, block: bytes) -> None:
        name, mode, uid, gid, size, checksum, self.type, link, magic, prefix = _FIELDS.unpack(block)
        self.name, self.link = name.partition(b"\0")[0], link.partition(b"\0")[0]
        if prefix[0] and magic.startswith(_POSIX):
            self.name = prefix.partition(b"\0")[0] + b"/" + self.name
        self.shown = shown(self.name)
        if _number(checksum, "a tar header's checksum") != sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" "):
            raise BrokenError(f"{self.shown}: must be a tar header, got another checksum")
        self.mode = _number(mode, self.shown) & 0o7777
        self.uid, self.gid, self.size = (_number(field, self.shown) for field in (uid, gid, size))


def _number(field: bytes, where: str) -> int:
    """Read octal digits, or GNU's base 256 for what they cannot hold."""
    if field[0] == 0x80:  # noqa: PLR2004 - the flag of a positive number
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not re.fullmatch(b"[0-7]*", digits):
        raise BrokenError(f"{where}: must have octal numbers that are not negative, got {field!r}")
    return int(digits or b"0", 8)


def _extend(records: Records, header: _Header, body: bytes) -> None:
    """Add what stands before a member because its header cannot hold it."""
    found = [(_LONG[header.type], body.rstrip(b"\0"))] if header.type in _LONG else _pax(body)
    for key, value in found:
        if key in records:
            raise BrokenError(f"{shown(value)}: must be told once, got a second {shown(key)}")
        records[key] = value


def _pax(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start < len(body):
        match = _RECORD.match(body, start)
        end = start + int(match[1]) if match else start
        if match is None or not match.end() < end <= len(body) or body[end - 1] != ord("\n"):
            raise BrokenError(f"must have pax records of a length, keyword and value, got {body[start : start + 40]!r}")
        if match[2] in _USED or match[2].startswith(_XATTR):
            yield match[2], body[match.end() : end - 1]
        elif match[2] not in _OF_NO_MATTER:
            raise BrokenError(f"must have no pax records but names, numbers and attributes, got {shown(match[2])}")
        start = end


def _member(header: _Header, records: Records) -> Member:
    raw = records.get(b"path", header.name)
    where, link = shown(raw), records.get(b"linkpath", header.link)
    kind = _type(header.type, raw, where)
    size, uid, gid = (_recorded(header, records, key) for key in _NUMBERS)
    if size and kind != "file":
        raise BrokenError(f"{where}: must hold nothing, as a {kind}, got {size} bytes")
    if max(uid, gid) > _LARGEST_ID:
        raise BrokenError(f"{where}: must have an owner and group up to {_LARGEST_ID}, got {uid} and {gid}")
    if kind == "symlink" and (not link or b"\0" in link or len(link) > _LONGEST_PATH):
        raise BrokenError(f"{where}: must link to a path, got {shown(link)!r}")
    return Member(
        path=_path(raw, directory=kind == "directory"),
        type=kind,
        mode=header.mode,
        uid=uid,
        gid=gid,
        size=size,
        link=_path(link) if kind == "hardlink" else _text(link) if kind == "symlink" else "",
        xattrs=tuple(_xattrs(records)),
    )


def _type(flag: bytes, name: bytes, where: str) -> Type:
    if flag == b"\0":  # as in v7, which had no type for directories
        flag = b"5" if name.endswith(b"/") else b"0"
    if flag not in _TYPES:
        raise BrokenError(f"{where}: must be a file, directory or link, got {_REFUSED.get(flag, f'type {flag!r}')}")
    return _TYPES[flag]


def _recorded(header: _Header, records: Records, key: bytes) -> int:
    """Take a number from its pax record, else from the header."""
    if key not in records:
        number: int = getattr(header, key.decode())
        return number
    if not re.fullmatch(rb"[0-9]{1,19}", records[key]):
        raise BrokenError(f"{header.shown}: must have a decimal {key.decode()}, got {shown(records[key])!r}")
    return int(records[key])


def _path(raw: bytes, *, directory: bool = False) -> str:
    """Turn a name as archives have it into a path below the root, which is the empty one."""
    name = raw.removeprefix(b"./")
    if directory:
        name = name.removesuffix(b"/")
        if raw in (b".", b"./"):
            return ""
    parts = name.split(b"/")
    if any(part in (b"", b".", b"..") or len(part) > _LONGEST_NAME for part in parts):
        raise BrokenError(f"{shown(raw)}: must be a path below the root, without empty, . or .. or overlong parts")
    if b"\0" in name or len(name) > _LONGEST_PATH:
        raise BrokenError(f"{shown(raw)}: must be a path of at most {_LONGEST_PATH} bytes without NUL")
    return _text(name)


def _xattrs(records: Records) -> Iterator[tuple[str, bytes]]:
    for key, value in sorted(records.items()):
        if key.startswith(_XATTR):
            yield _text(key.removeprefix(_XATTR)), value


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def shown(raw: bytes) -> str:
    """Render a name for a message: on one line, without control characters, cut when it is long."""
    text = repr(_text(raw[:_SHOWN]))[1:-1]
    return f"{text}…" if len(raw) > _SHOWN else text
