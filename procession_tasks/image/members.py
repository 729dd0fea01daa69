"""Reads the members of a compressed tar, strictly: one form for each set of members.

Shares no code with the writers.  Whatever is read is read once, in pieces, and nothing is kept.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

Type = Literal["file", "hardlink", "symlink", "directory"]
Pax = dict[bytes, bytes]

_GZIP = bytes.fromhex("1f8b08000000000000ff")
_CHUNK = 256 * 1024
_PAX_LIMIT = 1024 * 1024
_SHOWN = 300  # characters of a value in a finding
_TYPES: dict[bytes, Type] = {b"0": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}
_FIELD = 100  # bytes of the name and link fields
_FIELDS = struct.Struct("100s8s8s8s12s12s8s1s100s8s64s16s155s12s")
_FIXED = {"magic": b"ustar\00000", "user names": bytes(64), "device": b"0000000\0" * 2, "end of header": bytes(12)}
_RECORD = re.compile(rb"([1-9][0-9]{0,7}) ([^=\n\0]+)=")
_XATTR = b"SCHILY.xattr."
_NUMBER_KEYS = {b"uid": 7, b"gid": 7, b"size": 11, b"mtime": 11}


@dataclass(frozen=True, slots=True)
class Member:
    """One path and all that an archive says of it.

    Names that are not UTF-8 carry surrogate escapes.  `sha256` is lower-case hex, empty for
    what is no file; `link` is a symlink's text or the path of the file a hard link repeats;
    `xattrs` are sorted by name; `mtime` is in seconds since 1970.
    """

    path: str
    type: Type
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    sha256: str = ""
    link: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    mtime: int = 0


class BrokenError(Exception):
    """There is no way to tell what follows."""

    def __init__(self, where: str, what: str, expected: object, got: object) -> None:
        super().__init__(difference(where, what, expected, got))


class Findings(list[str]):
    """What is not as it must be, in the order in which it was read."""

    def expect(self, where: str, what: str, expected: object, got: object) -> None:
        """Note a difference, if there is one."""
        if expected != got:
            self.append(difference(where, what, expected, got))


def difference(where: str, what: str, expected: object, got: object) -> str:
    """Render a finding on one line: where, what, expected, got; long values are cut."""
    shown = [text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…" for text in (str(expected), str(got))]
    return f"{where}: {what}: expected {shown[0]}, got {shown[1]}".encode("utf-8", "backslashreplace").decode()


class GzipReader:
    """The content of a file that is one gzip member, with our header, and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._ahead = bytearray()
        self._crc = self._size = 0
        self._sha512 = hashlib.sha512()
        self.position = 0
        header = file.read(len(_GZIP))
        if header != _GZIP:
            raise BrokenError("gzip", "header", _GZIP.hex(), header.hex() or "nothing")

    def read(self, size: int) -> bytes:
        """Read this many bytes; raises BrokenError when there are fewer."""
        while len(self._ahead) < size:
            content = self._more()
            if not content:
                raise BrokenError(f"byte {self.position}", "bytes before the end", size, len(self._ahead))
            self._ahead += content
        taken = bytes(self._ahead[:size])
        del self._ahead[:size]
        self.position += size
        return taken

    def finish(self) -> str:
        """Check that this is the end, and return the image ID."""
        if self._ahead or self._more():
            raise BrokenError(f"byte {self.position}", "after the end of the tar", "nothing", "more bytes")
        trailer = self._inflate.unused_data[:9]
        trailer += self._file.read(9 - len(trailer))
        expected = struct.pack("<II", self._crc, self._size % 2**32)
        if trailer != expected:
            raise BrokenError("gzip", "CRC-32, length and end", expected.hex(), trailer.hex() or "nothing")
        return f"sha512-{self._sha512.hexdigest()}"

    def _more(self) -> bytes:
        """Inflate the next piece; empty at the end."""
        while not self._inflate.eof:
            source = self._inflate.unconsumed_tail or self._file.read(_CHUNK)
            try:
                content = self._inflate.decompress(source, _CHUNK)
            except zlib.error as error:
                raise BrokenError("gzip", "content", "a deflate stream", error) from None
            if content:
                self._crc = zlib.crc32(content, self._crc)
                self._size += len(content)
                self._sha512.update(content)
                return content
            if not source and not self._inflate.eof:
                raise BrokenError("gzip", "content", "the end of the deflate stream", "the end of the file")
        return b""


@dataclass(frozen=True, slots=True)
class _Header:
    """The fields of a ustar header that may differ, and where it stands."""

    where: str
    type: bytes
    prefix: bytes
    name: bytes
    mode: int
    numbers: dict[bytes, int]
    link: bytes

    @property
    def path(self) -> bytes:
        return self.prefix + b"/" + self.name if self.prefix else self.name


def read_members(stream: GzipReader, findings: Findings) -> Iterator[Member]:
    """Read the members up to the two blocks of zeros that end a tar."""
    while any(block := stream.read(512)):
        header, records = _header(block, stream, findings), {}
        if header.type == b"x":
            records = _pax(header, stream, findings)
            shared = header.numbers[b"mtime"]
            header = _header(stream.read(512), stream, findings)
            findings.expect(header.where, "time of its pax header", header.numbers[b"mtime"], shared)
        yield _member(header, records, stream, findings)
    if any(stream.read(512)):
        raise BrokenError(f"byte {stream.position - 512}", "end of the tar", "two blocks of zeros", "one")


def _header(block: bytes, stream: GzipReader, findings: Findings) -> _Header:
    where = f"header at byte {stream.position - 512}"
    name, mode, uid, gid, size, mtime, checksum, kind, link, *fixed, prefix, end = _FIELDS.unpack(block)
    for (what, expected), got in zip(_FIXED.items(), (*fixed, end), strict=True):
        findings.expect(where, what, expected, got)
    total = sum(block) - sum(checksum) + 8 * ord(" ")
    if checksum != b"%06o\0 " % total:
        raise BrokenError(where, "checksum", b"%06o\0 " % total, checksum)
    numbers = {key: _octal(where, key, raw) for key, raw in zip(_NUMBER_KEYS, (uid, gid, size, mtime), strict=True)}
    name, link, prefix = (_text(where, raw) for raw in (name, link, prefix))
    return _Header(where, kind, prefix, name, _octal(where, b"mode", mode), numbers, link)


def _octal(where: str, what: bytes, raw: bytes) -> int:
    if not re.fullmatch(rb"[0-7]+\0", raw):
        raise BrokenError(where, what.decode(), "octal digits and a zero byte", raw)
    return int(raw[:-1], 8)


def _text(where: str, raw: bytes) -> bytes:
    text = raw.rstrip(b"\0")
    if b"\0" in text:
        raise BrokenError(where, "name", "zero bytes only after it", raw)
    return text


def _pax(header: _Header, stream: GzipReader, findings: Findings) -> Pax:
    """Read the records of a pax header, which must be sorted and be ones that we use."""
    where, size = header.where, header.numbers[b"size"]
    owner = (header.numbers[b"uid"], header.numbers[b"gid"])
    got = (header.path, header.mode, header.link, owner)
    findings.expect(where, "name, mode, link and owner", (b"././@PaxHeader", 0o644, b"", (0, 0)), got)
    if not 0 < size <= _PAX_LIMIT:
        raise BrokenError(where, "size of a pax header", f"1 to {_PAX_LIMIT}", size)
    records = _records(where, stream.read(size))
    _check_padding(where, size, stream, findings)
    return records


def _records(where: str, body: bytes) -> Pax:
    """Divide the body of a pax header into its records, in their order."""
    records: Pax = {}
    start = 0
    while start < len(body):
        match = _RECORD.match(body, start)
        end = start + int(match[1]) if match else start
        if match is None or match[2] in records or not match.end() < end <= len(body) or body[end - 1] != ord("\n"):
            got = body[start : start + 80]
            raise BrokenError(where, "pax record", "length, a new keyword, value and newline", got)
        records[match[2]] = body[match.end() : end - 1]
        start = end
    return records


def _member(header: _Header, records: Pax, stream: GzipReader, findings: Findings) -> Member:
    """Read a member's content and check that its header is the shortest that can say all this."""
    where, kind = header.where, _TYPES.get(header.type)
    numbers = {key: _number(header, records, key) for key in _NUMBER_KEYS}
    size = numbers[b"size"]
    if kind is None or (size and kind != "file"):
        raise BrokenError(where, "type and size", "a file, or a link or directory of size 0", (header.type, size))
    path, link = records.get(b"path", header.path), records.get(b"linkpath", header.link)
    findings.expect(where, "name", _name_fields(path) or (b"", path[:_FIELD]), (header.prefix, header.name))
    findings.expect(where, "link", (link[:_FIELD], kind.endswith("link")), (header.link, bool(link)))
    findings.expect(where, "mode", header.mode & 0o7777, header.mode)
    findings.expect(where, "pax keywords", _needed(path, link, numbers, records), list(records))
    findings.expect(where, "character set", b"BINARY", records.get(b"hdrcharset", b"BINARY"))
    return Member(
        path=_str(path),
        type=kind,
        mode=header.mode,
        uid=numbers[b"uid"],
        gid=numbers[b"gid"],
        size=size,
        sha256=_sha256(where, size, stream, findings) if kind == "file" else "",
        link=_str(link),
        xattrs=tuple((_str(key.removeprefix(_XATTR)), records[key]) for key in records if key.startswith(_XATTR)),
        mtime=numbers[b"mtime"],
    )


def _number(header: _Header, records: Pax, key: bytes) -> int:
    """Take a number from its pax record, where the field of the header must then be 0."""
    if key not in records:
        return header.numbers[key]
    if header.numbers[key] or not re.fullmatch(rb"-?[1-9][0-9]{0,19}", records[key]):
        got = (header.numbers[key], records[key])
        raise BrokenError(header.where, key.decode(), "0 and a decimal number in the pax record", got)
    return int(records[key])


def _name_fields(path: bytes) -> tuple[bytes, bytes] | None:
    """Find the prefix and name that hold a path, with the longest prefix; None when none do."""
    if len(path) <= _FIELD:
        return b"", path
    match = re.fullmatch(rb"(.{1,155})/(.{1,100})", path, re.DOTALL)
    return (match[1], match[2]) if match else None


def _needed(path: bytes, link: bytes, numbers: dict[bytes, int], records: Pax) -> list[bytes]:
    """List the pax keywords that a member must have, and no others."""
    keys = {key for key in records if key.startswith(_XATTR)}
    keys |= {key for key, digits in _NUMBER_KEYS.items() if not 0 <= numbers[key] < 8**digits}
    texts = ((b"path", path, _name_fields(path) is not None), (b"linkpath", link, len(link) <= _FIELD))
    for key, text, fits in texts:
        if not fits or (_is_utf8(text) and not text.isascii()):
            keys |= {key} if _is_utf8(text) else {key, b"hdrcharset"}
    return sorted(keys)


def _is_utf8(raw: bytes) -> bool:
    return _str(raw).encode("utf-8", "replace") == raw


def _sha256(where: str, size: int, stream: GzipReader, findings: Findings) -> str:
    digest, left = hashlib.sha256(), size
    while left:
        chunk = stream.read(min(left, _CHUNK))
        digest.update(chunk)
        left -= len(chunk)
    _check_padding(where, size, stream, findings)
    return digest.hexdigest()


def _check_padding(where: str, size: int, stream: GzipReader, findings: Findings) -> None:
    if any(stream.read(-size % 512)):
        findings.append(difference(where, "padding", "zeros", "other bytes"))


def _str(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
