"""What the dynamic linker reads of a file, judged by readelf; files are built here byte by byte."""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from procession_tasks.debian.contents import Elf
from procession_tasks.debian.elf import read_elf

needs_readelf = pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is not installed")
MACHINES = {"Advanced Micro Devices X86-64": 62, "AArch64": 183, "ARM": 40, "PowerPC64": 21, "PowerPC": 20}
NEEDED, STRTAB, STRSZ, SONAME, RPATH, RUNPATH = 1, 5, 10, 14, 15, 29
BASE = 0x10000


def elf(
    bits: int = 64,
    order: str = "<",
    machine: int = 62,
    tags: tuple[tuple[int, str], ...] = (),
    interpreter: str = "",
    extra: tuple[tuple[int, int], ...] = (),
) -> bytes:
    """A file of program headers, dynamic section and strings, mapped at an address of its own."""
    wide = bits == 64
    head, entry = (64, 56) if wide else (52, 32)
    strings = b"\0" + b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for _, text in tags)
    count = 3 if interpreter else 2
    place = head + count * entry
    at, values = 1, []
    for tag, text in tags:
        values.append((tag, at))
        at += len(text.encode("utf-8", "surrogateescape")) + 1
    size = (len(values) + 3 + len(extra)) * (16 if wide else 8)
    values += [(STRTAB, BASE + place + size), (STRSZ, len(strings)), *extra, (0, 0)]
    dynamic = b"".join(struct.pack(order + ("qQ" if wide else "iI"), *pair) for pair in values)
    path = interpreter.encode() + b"\0"
    body = dynamic + strings + (path if interpreter else b"")

    def segment(kind: int, offset: int, length: int) -> bytes:
        if wide:
            return struct.pack(order + "2I6Q", kind, 4, offset, BASE + offset, BASE + offset, length, length, 1)
        return struct.pack(order + "8I", kind, offset, BASE + offset, BASE + offset, length, length, 4, 1)

    segments = segment(1, 0, place + len(body)) + segment(2, place, len(dynamic))
    if interpreter:
        segments += segment(3, place + len(body) - len(path), len(path))
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    fields = (3, machine, 1, 0, head, 0, 0, head, entry, count, 0, 0, 0)
    return ident + struct.pack(order + ("2HI3QI6H" if wide else "2HI3II6H"), *fields) + segments + body


def window(content: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, length: content[offset : offset + length]


def read(content: bytes) -> Elf | None:
    return read_elf(window(content))


def read_file(path: Path) -> Elf | None:
    with path.open("rb") as file:
        return read_elf(lambda offset, length: os.pread(file.fileno(), length, offset))


def judged(path: Path) -> Elf | None:
    """What readelf says of a file, None where it finds no dynamic section."""
    out = subprocess.run(["readelf", "-hldW", path], capture_output=True, text=True, errors="surrogateescape").stdout

    def found(pattern: str) -> list[str]:
        return re.findall(pattern, out)

    if not found("Dynamic section at offset"):
        return None
    runpath = found(r"\(RUNPATH\) .*\[(.*)\]") or found(r"\(RPATH\) .*\[(.*)\]")
    return Elf(
        MACHINES[found(r"Machine: +(.*)")[0]],
        "".join(found(r"\(SONAME\) .*\[(.*)\]")),
        tuple(found(r"\(NEEDED\) .*\[(.*)\]")),
        tuple(":".join(runpath).split(":")) if runpath else (),
        "".join(found(r"interpreter: (.*)\]")),
    )


TAGS = (
    (NEEDED, "libc.so.6"),
    (NEEDED, "libm.so.6"),
    (SONAME, "libhello.so.1"),
    (RPATH, "/old"),
    (RUNPATH, "$ORIGIN/../lib:/usr/lib/hello"),
)
WANTED = ("libhello.so.1", ("libc.so.6", "libm.so.6"), ("$ORIGIN/../lib", "/usr/lib/hello"), "/lib/ld.so.1")


@pytest.mark.parametrize(("bits", "order", "machine"), [(64, "<", 183), (64, ">", 21), (32, "<", 40), (32, ">", 20)])
@needs_readelf
def test_files_of_every_size_and_byte_order_are_read(bits: int, order: str, machine: int, tmp_path: Path) -> None:
    content = elf(bits, order, machine, TAGS, WANTED[3])
    (tmp_path / "libhello.so").write_bytes(content)
    assert read(content) == Elf(machine, *WANTED) == judged(tmp_path / "libhello.so")


def test_the_older_path_counts_where_there_is_no_newer_one() -> None:
    found = read(elf(tags=((RPATH, "/old:/older"),)))
    assert found == Elf(62, "", (), ("/old", "/older"))


def test_names_that_are_not_utf8_come_through() -> None:
    found = read(elf(tags=((NEEDED, "libcaf\udce9.so"),)))
    assert found is not None
    assert found.needed == ("libcaf\udce9.so",)


@needs_readelf
def test_the_libraries_and_programs_of_this_machine_are_read_as_readelf_does() -> None:
    folders = [Path("/usr/lib") / (sysconfig.get_config_var("MULTIARCH") or ""), Path("/usr/bin"), Path("/usr/sbin")]
    paths = sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir())
    paths = [path for path in paths if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)]
    chosen = random.Random(1).sample(paths, min(120, len(paths)))

    found = {path: read_file(path) for path in chosen}

    assert found == {path: judged(path) for path in chosen}
    assert sum(elf is not None for elf in found.values()) > 30


@needs_readelf
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_what_a_linker_makes_is_read(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    common = ["gcc", "main.c", "-Wl,-rpath,$ORIGIN/lib:/opt/lib"]
    for name, options in {
        "new": ["-Wl,--enable-new-dtags"],
        "old": ["-Wl,--disable-new-dtags"],
        "object": ["-c"],
    }.items():
        subprocess.run([*common, *options, "-o", name], cwd=tmp_path, check=True)
        assert read_file(tmp_path / name) == judged(tmp_path / name)
    old = read_file(tmp_path / "old")
    assert old is not None
    assert old.runpath == ("$ORIGIN/lib", "/opt/lib")


def static() -> bytes:
    """A program with segments to load and none that is dynamic."""
    content = bytearray(elf(tags=TAGS))
    content[64 + 56 : 64 + 60] = struct.pack("<I", 4)
    return bytes(content)


OTHERS = {
    "empty": b"",
    "text": b"#!/bin/sh\n",
    "magic only": b"\x7fELF",
    "archive": b"!<arch>\n",
    "static": static(),
    "class 3": elf()[:4] + b"\3" + elf()[5:],
    "byte order 0": elf()[:5] + b"\0" + elf()[6:],
    "strings outside": elf(tags=TAGS).replace(struct.pack("<q", STRTAB), struct.pack("<q", STRTAB + 1000)),
    "name without end": elf(tags=TAGS)[:-1],
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=OTHERS)
def test_what_the_dynamic_linker_does_not_load_is_none(content: bytes) -> None:
    assert read(content) is None


def test_a_file_cut_anywhere_is_none() -> None:
    content = elf(tags=TAGS, interpreter="/lib/ld.so.1")
    for end in range(len(content)):
        assert read(content[:end]) is None, end


@pytest.mark.parametrize(("bits", "order"), [(64, "<"), (32, ">")])
def test_damage_is_survived(bits: int, order: str) -> None:
    content = elf(bits, order, tags=TAGS, interpreter="/lib/ld.so.1")
    for position in range(len(content)):
        for value in (0, 1, 0x7F, 0xFF):
            damaged = bytearray(content)
            damaged[position] = value
            read(bytes(damaged))


def test_a_file_that_needs_absurdly_much_is_none() -> None:
    """Thousands of entries may share one long name, and would be kept as many times."""
    assert read(elf(tags=((SONAME, "x" * 4000),), extra=((NEEDED, 1),) * 10)) is not None
    assert read(elf(tags=((SONAME, "x" * 4000),), extra=((NEEDED, 1),) * 100)) is None


def test_a_large_file_is_not_read_whole() -> None:
    content = elf(tags=TAGS, interpreter="/lib/ld.so.1") + bytes(10_000_000)
    lengths = []

    def read(offset: int, length: int) -> bytes:
        lengths.append(length)
        return content[offset : offset + length]

    assert read_elf(read) == Elf(62, *WANTED)
    assert sum(lengths) < 64 * 1024
