"""Which libraries the dynamic linker would not find in an image."""

from __future__ import annotations

from typing import Any

import pytest

from procession_tasks.debian.contents import Elf
from procession_tasks.rootfs.libraries import missing_libraries
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.tree import Entry

AMD64, ARM64 = 62, 183
LINKS = {"lib": "usr/lib", "lib64": "usr/lib64", "usr/lib64/ld.so": "../lib/x86_64-linux-gnu/ld.so"}


def missing(elves: dict[str, Elf], **links: str) -> list[str]:
    texts = LINKS | {path.replace("__", "/").replace("_DOT_", "."): text for path, text in links.items()}
    sources = {path: Source(Entry(path, "file", 0o755), "", None, "sample") for path in elves}
    return [finding.subject for finding in missing_libraries(elves, sources, texts)]


def elf(*needed: str, runpath: tuple[str, ...] = (), machine: int = AMD64, interpreter: str = "") -> Elf:
    return Elf(machine, "", needed, runpath, interpreter)


@pytest.mark.parametrize("folder", ["usr/lib/x86_64-linux-gnu", "usr/lib", "usr/lib64"])
def test_the_usual_folders_are_searched(folder: str) -> None:
    assert missing({"usr/bin/a": elf("libc.so.6"), f"{folder}/libc.so.6": elf()}) == []


@pytest.mark.parametrize("folder", ["usr/lib/sample", "usr/local/lib", "opt", "usr/lib/aarch64-linux-gnu"])
def test_no_other_folder_is_searched(folder: str) -> None:
    assert missing({"usr/bin/a": elf("libc.so.6"), f"{folder}/libc.so.6": elf()}) == ["usr/bin/a libc.so.6"]


@pytest.mark.parametrize(
    "runpath",
    [
        "/usr/lib/sample",
        "$ORIGIN/../lib/sample",
        "${ORIGIN}/../lib/sample",
        "/usr/$LIB/../sample",
        "/x:/usr/lib/sample",
    ],
)
def test_the_run_path_is_searched(runpath: str) -> None:
    assert missing({"usr/bin/a": elf("l.so", runpath=tuple(runpath.split(":"))), "usr/lib/sample/l.so": elf()}) == []


def test_the_platform_is_part_of_a_run_path() -> None:
    for machine, platform in ((AMD64, "x86_64"), (ARM64, "aarch64")):
        elves = {
            "a": elf("l.so", runpath=("/opt/$PLATFORM",), machine=machine),
            f"opt/{platform}/l.so": elf(machine=machine),
        }
        assert missing(elves) == []


def test_a_run_path_is_of_one_file_alone() -> None:
    elves = {"usr/bin/a": elf("l.so", runpath=("/opt",)), "opt/l.so": elf("m.so"), "opt/m.so": elf()}
    assert missing(elves) == ["opt/l.so m.so"]


def test_a_library_for_another_machine_is_none() -> None:
    elves = {"usr/bin/a": elf("l.so"), "usr/lib/l.so": elf(machine=ARM64)}
    assert missing(elves) == ["usr/bin/a l.so"]


def test_a_library_is_found_through_links() -> None:
    elves = {"usr/bin/a": elf("l.so.1"), "usr/lib/l.so.1.2": elf()}
    assert missing(elves, usr__lib__l_DOT_so_DOT_1="l.so.1.2") == []


def test_a_file_of_that_name_that_is_no_library_does_not_count() -> None:
    assert missing({"usr/bin/a": elf("l.so")}, usr__lib__l_DOT_so="notes.txt") == ["usr/bin/a l.so"]


def test_the_interpreter_must_be_there() -> None:
    program = {"usr/bin/a": elf(interpreter="/lib64/ld.so")}
    assert missing(program) == ["usr/bin/a /lib64/ld.so"]
    assert missing(program | {"usr/lib/x86_64-linux-gnu/ld.so": elf()}) == []


def test_a_library_named_by_its_path_is_looked_for_there() -> None:
    assert missing({"a": elf("/opt/l.so"), "opt/l.so": elf()}) == []
    assert missing({"a": elf("/opt/l.so"), "usr/lib/l.so": elf()}) == ["a /opt/l.so"]


def test_a_program_that_is_linked_statically_needs_nothing() -> None:
    assert missing({"usr/bin/a": elf()}) == []


def test_the_hint_says_where_else_a_library_is() -> None:
    elves: Any = {"usr/bin/a": elf("l.so"), "usr/lib/private/l.so": elf()}
    sources = {path: Source(Entry(path, "file", 0o755), "", None, "sample") for path in elves}
    (finding,) = missing_libraries(elves, sources, LINKS)
    assert finding.message == "/usr/bin/a: must find a library it needs, got no l.so (sample)"
    assert finding.hint == "add a symlink to /usr/lib/private/l.so under paths, where the linker searches"
