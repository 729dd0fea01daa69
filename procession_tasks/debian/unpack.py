"""Keeps packages uncompressed in a folder of the store, so that a build copies ranges and unpacks nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import operator
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from procession_tasks import files, interruption, kept
from procession_tasks.debian import elf
from procession_tasks.debian.contents import Contents, Elf, Member
from procession_tasks.debian.deb import Content, read_deb
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.stream import CHUNK, BrokenError
from procession_tasks.errors import BuildError

FORMAT = 1  # to be raised when the same package gives other contents
_FIELDS = tuple(tuple(field.name for field in dataclasses.fields(of)) for of in (Contents, Member, Elf))
_MEMBER, _ELF = (operator.attrgetter(*names) for names in _FIELDS[1:])
_UNFINISHED = ".unpacking-"
_ABANDONED_S = 3600

_guards: dict[str, threading.Lock] = {}


def loaded(pin: Pin, folder: Path) -> Contents | None:
    """Give what `unpacked` keeps of a package; None when it is not there or not of this format.

    The package itself is not looked at: whoever builds from it has verified it.
    """
    data, contents = _paths(pin, folder)
    match kept.load(contents):
        case (form, sha256, size, control, scripts, conffiles, md5sums, members) if (
            form == (FORMAT, _FIELDS) and sha256 == pin.sha256 and size == _size(data)
        ):
            return Contents(control, scripts, conffiles, md5sums, tuple(map(_member, members)), data)
    return None


def unpacked(deb: Path, pin: Pin, folder: Path) -> Contents:
    """Verify a .deb against its pin, and give what it holds.

    Its files' bytes are in ``<sha256>.data`` below `folder`, and what is known of them in
    ``<sha256>.contents``; both are made when they are not there or not of this format, whole
    or not at all, and once however many threads ask.  The bytes in the former are not read
    again: whoever copies a member checks its digest.

    Raises BuildError for a .deb that is not the pinned one or breaks a rule of the format, and
    OSError when it cannot be stored.
    """
    with _guards.setdefault(pin.sha256, threading.Lock()), _opened(deb) as file:
        _verify(file, deb, pin)
        try:
            return loaded(pin, folder) or _unpack(file, pin, folder)
        except BrokenError as error:
            raise BuildError(f"{deb}: {pin}: {error}") from None


@contextlib.contextmanager
def _opened(deb: Path) -> Iterator[BinaryIO]:
    try:
        file = deb.open("rb")
    except OSError as error:
        raise BuildError(f"{deb}: cannot be read: {error.strerror}") from None
    with file:
        yield file


def _verify(file: BinaryIO, deb: Path, pin: Pin) -> None:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        interruption.check()
        digest.update(chunk)
    if digest.hexdigest() != pin.sha256:
        message = f"{deb}: must have the SHA-256 of {pin}, {pin.sha256}, got {digest.hexdigest()}"
        raise BuildError(message, hint=f"rm {deb}")
    file.seek(0)


def _paths(pin: Pin, folder: Path) -> tuple[Path, Path]:
    return folder / f"{pin.sha256}.data", folder / f"{pin.sha256}.contents"


def _size(path: Path) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def _member(fields: tuple[Any, ...]) -> Member:
    linked = fields[-1]
    return Member(*fields[:-1], *([Elf(*linked)] if linked else []))


def _unpack(file: BinaryIO, pin: Pin, folder: Path) -> Contents:
    data, contents = _paths(pin, folder)
    folder.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as unfinished:
        new_data, new_contents = _paths(pin, Path(unfinished))
        control, members = read_deb(file, pin)
        with files.naming(data), new_data.open("x+b") as out:
            stored = tuple(_store(out, members))
        package = Contents(control.text, control.scripts, control.conffiles, control.md5sums, stored, data)
        kept.save(new_contents, _record(package, pin, new_data.stat().st_size))
        new_data.replace(data)
        new_contents.replace(contents)
    return package


def _remove_abandoned(folder: Path) -> None:
    """Remove what killed runs were at, on any package; nobody is at one for that long."""
    for path in folder.glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(path, ignore_errors=True)


def _store(out: BinaryIO, members: Iterator[tuple[Member, Content]]) -> Iterator[Member]:
    """Write the files' bytes one after another, and fill in what is known of a member only then."""
    offset = 0
    for member, content in members:
        if member.type != "file":
            yield member
            continue
        digest, start = hashlib.sha256(), b""
        for piece in content:
            digest.update(piece)
            out.write(piece)
            start = (start + piece[: len(elf.MAGIC)])[: len(elf.MAGIC)]
        linked = None
        if start == elf.MAGIC:
            out.flush()
            linked = elf.read_elf(_window(out, offset, member.size))
        yield dataclasses.replace(member, offset=offset, sha256=digest.hexdigest(), elf=linked)
        offset += member.size


def _window(file: BinaryIO, start: int, size: int) -> Callable[[int, int], bytes]:
    def read(offset: int, length: int) -> bytes:
        left = size - offset
        return os.pread(file.fileno(), min(length, left), start + offset) if left > 0 else b""

    return read


def _record(contents: Contents, pin: Pin, size: int) -> tuple[Any, ...]:
    """Turn contents into plain tuples, to be kept."""
    members = tuple((*_MEMBER(member)[:-1], member.elf and _ELF(member.elf)) for member in contents.members)
    control = (contents.control, contents.scripts, contents.conffiles, contents.md5sums)
    return ((FORMAT, _FIELDS), pin.sha256, size, *control, members)
