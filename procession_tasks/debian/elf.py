"""What the dynamic linker reads of a program or library.  Pure over a window of its bytes.

Program headers and the dynamic section only: section headers may be stripped, and lie.

Source: System V ABI, "Object Files" and "Program Loading and Dynamic Linking"; elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from procession_tasks.debian.contents import Elf

MAGIC = b"\x7fELF"

_Read = Callable[[int, int], bytes]

_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3  # p_type
_NEEDED, _STRINGS, _SONAME, _RPATH, _RUNPATH = 1, 5, 14, 15, 29  # d_tag
_MACHINE_AT = 18
_MOST_DYNAMIC = 64 * 1024  # bytes; the libraries of Debian need less than 4 KiB
_LONGEST_NAME = 4096
_MOST_NEEDED = 64 * 1024  # bytes of names: a broken file must not be worth much more than its size


@dataclass(frozen=True, slots=True)
class _Form:
    """The layout of a class: where the header says its program headers are, their fields, a dynamic entry.

    `segment` are the places of p_type, p_offset, p_vaddr and p_filesz in a program header.
    """

    table_at: int
    table: str
    sizes_at: int
    header: str
    segment: tuple[int, int, int, int]
    entry: str


_FORMS = {
    1: _Form(28, "I", 42, "8I", (0, 1, 2, 4), "iI"),
    2: _Form(32, "Q", 54, "2I6Q", (0, 2, 3, 5), "qQ"),
}
_ORDERS = {1: "<", 2: ">"}


@dataclass(frozen=True, slots=True)
class _Segment:
    type: int
    offset: int
    address: int
    size: int


def read_elf(read: Callable[[int, int], bytes]) -> Elf | None:
    """Read a file through a window: `read(offset, length)` gives fewer bytes only at the end of the file.

    None for what the dynamic linker has nothing to do with: other files, static programs, object
    files, detached debug information, and ELF files too broken to be loaded.
    """
    ident = read(0, 6)
    if ident[:4] != MAGIC:
        return None
    try:
        return _elf(read, _FORMS[ident[4]], _ORDERS[ident[5]])
    except (struct.error, LookupError, ValueError):
        return None


def _elf(read: _Read, form: _Form, order: str) -> Elf | None:
    (machine,) = _unpack(read, order + "H", _MACHINE_AT)
    segments = tuple(_segments(read, form, order))
    dynamic = next((segment for segment in segments if segment.type == _DYNAMIC), None)
    if dynamic is None or not dynamic.size:
        return None
    entries = tuple(_entries(read(dynamic.offset, min(dynamic.size, _MOST_DYNAMIC)), order + form.entry))
    strings = _strings(entries, segments)

    def named(tag: int) -> Iterator[str]:
        return (_string(read, strings + value) for found, value in entries if found == tag)

    needed = tuple(named(_NEEDED))
    if sum(map(len, needed)) > _MOST_NEEDED:
        raise ValueError(len(needed))
    runpath = next(named(_RUNPATH), "") or next(named(_RPATH), "")
    interpreter = next((segment for segment in segments if segment.type == _INTERPRETER), None)
    return Elf(
        machine=machine,
        soname=next(named(_SONAME), ""),
        needed=needed,
        runpath=tuple(runpath.split(":")) if runpath else (),
        interpreter=_string(read, interpreter.offset) if interpreter else "",
    )


def _segments(read: _Read, form: _Form, order: str) -> Iterator[_Segment]:
    (table,) = _unpack(read, order + form.table, form.table_at)
    size, count = _unpack(read, order + "2H", form.sizes_at)
    if size != struct.calcsize(order + form.header):
        raise ValueError(size)
    headers = read(table, size * count)
    if len(headers) < size * count:
        raise ValueError(count)
    for fields in struct.iter_unpack(order + form.header, headers):
        yield _Segment(*(fields[place] for place in form.segment))


def _entries(section: bytes, form: str) -> Iterator[tuple[int, int]]:
    """Read tags and values up to DT_NULL."""
    size = struct.calcsize(form)
    for tag, value in struct.iter_unpack(form, section[: len(section) // size * size]):
        if not tag:
            return
        yield tag, value


def _strings(entries: tuple[tuple[int, int], ...], segments: tuple[_Segment, ...]) -> int:
    """Find where the string table is in the file; the dynamic section knows its address in memory."""
    address = next((value for tag, value in entries if tag == _STRINGS), None)
    if address is None:
        raise ValueError(_STRINGS)
    for segment in segments:
        if segment.type == _LOAD and segment.address <= address < segment.address + segment.size:
            return segment.offset + address - segment.address
    raise ValueError(address)


def _string(read: _Read, offset: int) -> str:
    text, end, _ = read(offset, _LONGEST_NAME).partition(b"\0")
    if not end:
        raise ValueError(offset)
    return text.decode("utf-8", "surrogateescape")


def _unpack(read: _Read, form: str, offset: int) -> tuple[int, ...]:
    return struct.unpack(form, read(offset, struct.calcsize(form)))
