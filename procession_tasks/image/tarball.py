"""Writes a staged tree as a tar that depends on nothing but the list of its entries.

Members are ustar, and have a pax header only for what ustar cannot hold.  A name that is ASCII
and fits stands in the ustar fields; one that is UTF-8, or too long, in a pax record as well.
A name that is not UTF-8 stands in the ustar fields as it is, which every reader takes byte for
byte; where it is too long, its pax header says ``hdrcharset=BINARY`` first.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from procession_tasks import interruption
from procession_tasks.errors import BuildError
from procession_tasks.rootfs.tree import Entry, ordered

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

END = bytes(1024)
_CHUNK = 256 * 1024
_TYPES = {"file": b"0", "hardlink": b"1", "symlink": b"2", "directory": b"5"}
_USTAR = struct.Struct("100s48s8ss100s8s64x8s8s155s12x")
_OCTAL = b"%07o\0%07o\0%07o\0%011o\0%011o\0"  # mode, uid, gid, size, mtime
_ZERO = b"0000000\0"
_NUMBERS = (b"uid", b"gid", b"size", b"mtime")
_LIMITS = (8**7, 8**7, 8**11, 8**11)
_FIELD = 100  # bytes of the name and link fields; the prefix field has 155
_PAX_NAME = b"././@PaxHeader"


class Digesting:
    """A stream that digests what it passes on."""

    def __init__(self, out: SupportsWrite[bytes], digest: hashlib._Hash) -> None:
        self._out = out
        self._digest = digest

    def write(self, content: bytes) -> None:
        """Pass on what was digested."""
        self._digest.update(content)
        self._out.write(content)


def write_tree(
    out: SupportsWrite[bytes], entries: Iterable[Entry], tree: Path, *, mtime: int, prefix: str = ""
) -> None:
    """Write a member for each entry, sorted by path bytes, with the content found under `tree`.

    `prefix` (``rootfs/``) comes before every name and every hard link's target in the archive,
    and not under `tree`.  No symbolic link below `tree` is followed.  The end of the archive is
    left to the caller.  Raises BuildError for a list that is no tree, and for content that is
    not what its entry says.
    """
    with contextlib.closing(_Tree(tree)) as staged:
        for entry in _checked(entries):
            head = header(entry, mtime, prefix)
            if entry.type == "file":
                _write_file(out, head, entry, staged)
            else:
                out.write(head)


def member(entry: Entry, content: bytes, mtime: int) -> bytes:
    """Render a file that is in memory as a whole: header, content and padding."""
    return header(entry, mtime) + content + _padding(len(content))


def header(entry: Entry, mtime: int, prefix: str = "") -> bytes:
    """Render what comes before a member's content: its ustar header, after a pax header if needed.

    No user names, no devices, a directory's name without a slash at its end; the size only
    counts for files.  `mtime` is in seconds since 1970; `prefix` as in `write_tree`.

    Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header".
    """
    name, link = _raw(prefix + entry.path), _raw(entry.link)
    if entry.type == "hardlink":
        link = _raw(prefix) + link
    numbers = (entry.uid, entry.gid, entry.size if entry.type == "file" else 0, mtime)
    block = _ustar(name, _TYPES[entry.type], entry.mode, numbers, link)
    records = _records(name, link, entry.xattrs, numbers)
    if not records:
        return block
    body = b"".join(_record(key, value) for key, value in sorted(records.items()))
    return _ustar(_PAX_NAME, b"x", 0o644, (0, 0, len(body), mtime), b"") + body + _padding(len(body)) + block


def _ustar(name: bytes, kind: bytes, mode: int, numbers: tuple[int, int, int, int], link: bytes) -> bytes:
    """Render one header block; what is cut or zero here stands in a pax record."""
    prefix, base = _split(name) or (b"", name)
    uid, gid, size, mtime = (number if 0 <= number < most else 0 for number, most in zip(numbers, _LIMITS, strict=True))
    octal = _OCTAL % (mode, uid, gid, size, mtime)
    block = _USTAR.pack(base, octal, b" " * 8, kind, link, b"ustar\x0000", _ZERO, _ZERO, prefix)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Divide a name into the prefix and name fields; None when they cannot hold it."""
    if len(name) <= _FIELD:
        return b"", name
    slash = name.rfind(b"/", 0, 156)
    prefix, base = name[: max(slash, 0)], name[slash + 1 :]
    return (prefix, base) if prefix and len(base) <= _FIELD else None


def _records(
    name: bytes, link: bytes, xattrs: Iterable[tuple[str, bytes]], numbers: tuple[int, int, int, int]
) -> dict[bytes, bytes]:
    """Find what the ustar fields cannot hold, by pax keyword."""
    records = {b"SCHILY.xattr." + _raw(key): value for key, value in xattrs}
    if _split(name) is None or _is_utf8_only(name):
        records[b"path"] = name
    if len(link) > _FIELD or _is_utf8_only(link):
        records[b"linkpath"] = link
    if not (_is_utf8(records.get(b"path", b"")) and _is_utf8(records.get(b"linkpath", b""))):
        records[b"hdrcharset"] = b"BINARY"
    for key, value, limit in zip(_NUMBERS, numbers, _LIMITS, strict=True):
        if not 0 <= value < limit:
            records[key] = b"%d" % value
    return records


def _record(key: bytes, value: bytes) -> bytes:
    """Render ``length key=value``, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _is_utf8_only(name: bytes) -> bool:
    return not name.isascii() and _is_utf8(name)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _padding(size: int) -> bytes:
    return bytes(-size % 512)


def _checked(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Sort entries, and refuse a list that no archive can hold before anything is written."""
    types: dict[str, str] = {}
    sequence = ordered(entries)
    for entry in sequence:
        problem = _malformed(entry) or _misplaced(entry, types)
        if problem is not None:
            raise BuildError(f"{_place(entry)}: {problem}")
        types[entry.path] = entry.type
    return iter(sequence)


def _malformed(entry: Entry) -> str | None:
    if any(part in ("", ".", "..") for part in entry.path.split("/")) or "\0" in entry.path:
        return f"must be a relative path with no empty, '.' or '..' part, got {entry.path!r}"
    if entry.mode & ~0o7777:
        return f"mode must be from 0 to 7777, got {entry.mode:o}"
    if entry.type == "symlink" and (not entry.link or "\0" in entry.link):
        return f"a symlink must have a target, got {entry.link!r}"
    names = [name for name, _ in entry.xattrs]
    if len(set(names)) < len(names) or any(not name or "=" in name or "\0" in name for name in names):
        return f"extended attributes must have names that differ and hold no '=', got {', '.join(names)}"
    return None


def _misplaced(entry: Entry, types: dict[str, str]) -> str | None:
    parent = posixpath.dirname(entry.path)
    if entry.path in types:
        return f"must stand in the list once, got a {types[entry.path]} and a {entry.type}"
    if parent and types.get(parent) != "directory":
        return f"must stand in a directory, got {types.get(parent, 'nothing')} at /{parent}"
    if entry.type == "hardlink" and types.get(entry.link) != "file":
        return f"a hard link must repeat a file that sorts before it, got /{entry.link}"
    return None


def _place(entry: Entry) -> str:
    return "/" + entry.key.decode("utf-8", "backslashreplace")


class _Tree:
    """A staged folder whose files are opened part by part, so that no symbolic link is followed."""

    def __init__(self, root: Path) -> None:
        self._parent = ""
        try:
            self._folders = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        except OSError as error:
            raise BuildError(f"{root}: cannot be read: {error.strerror}", hint="run the build again") from None

    def close(self) -> None:
        while self._folders:
            os.close(self._folders.pop())

    def open(self, path: str) -> int:
        """Open what is at a path for reading; raises OSError for a link, there or on the way."""
        parent, name = posixpath.split(path)
        if parent != self._parent:
            self._enter(parent)
        # A pipe that took the file's place must not block.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(_raw(name), flags, dir_fd=self._folders[-1])

    def _enter(self, parent: str) -> None:
        while len(self._folders) > 1:
            os.close(self._folders.pop())
        for part in filter(None, parent.split("/")):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
            self._folders.append(os.open(_raw(part), flags, dir_fd=self._folders[-1]))
        self._parent = parent


def _write_file(out: SupportsWrite[bytes], head: bytes, entry: Entry, staged: _Tree) -> None:
    """Write header, content and padding; in one go when the content is short."""
    digest, left = hashlib.sha256(), entry.size
    for chunk in _content(entry, staged):
        digest.update(chunk)
        left -= len(chunk)
        if left < 0:
            break
        head += chunk
        if left:
            out.write(head)
            head = b""
    if left or digest.hexdigest() != entry.digest:
        raise _changed(entry, "its size or SHA-256 is not the listed one")
    out.write(head + _padding(entry.size))


def _content(entry: Entry, staged: _Tree) -> Iterator[bytes]:
    """Read a file in chunks; raises BuildError when it is gone or no file."""
    try:
        descriptor = staged.open(entry.path)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _changed(entry, "it is no file any more")
            while chunk := os.read(descriptor, _CHUNK):
                interruption.check()
                yield chunk
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _changed(entry, os.strerror(error.errno or 0)) from None


def _changed(entry: Entry, how: str) -> BuildError:
    return BuildError(f"{_place(entry)} changed while it was packed: {how}", hint="run the build again")
