"""Sees that every program and library of an image finds the libraries it needs.  Pure.

Source: ld.so(8).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from procession_tasks.debian.contents import Elf
from procession_tasks.rootfs.links import destination
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.waivers import Finding

# By ELF machine number: Debian's multiarch folder and the platform, as the dynamic linker has them built in.
_MACHINES = {
    3: ("i386-linux-gnu", "i686"),
    21: ("powerpc64le-linux-gnu", "power8"),
    22: ("s390x-linux-gnu", "z900"),
    40: ("arm-linux-gnueabihf", "v7l"),
    62: ("x86_64-linux-gnu", "x86_64"),
    183: ("aarch64-linux-gnu", "aarch64"),
    243: ("riscv64-linux-gnu", "riscv64"),
}


def missing_libraries(
    elves: Mapping[str, Elf], sources: Mapping[str, Source], links: Mapping[str, str]
) -> Iterator[Finding]:
    """Find what a program or library needs and the dynamic linker would not find in the image.

    `elves` has what is known of files, by their path in the image.  The folders of
    /etc/ld.so.conf do not count: they are read for the linker's cache only, which no image has.
    """
    search = _Search(elves, links)
    for path, elf in sorted(elves.items()):
        if elf.interpreter and not search.is_library(elf.interpreter, elf.machine):
            yield _finding(path, elf.interpreter, "the dynamic linker", elves, sources)
        for needed in elf.needed:
            if not search.finds(path, elf, needed):
                yield _finding(path, needed, "a library", elves, sources)


class _Search:
    """Looks for libraries as the dynamic linker does, and remembers what it saw."""

    def __init__(self, elves: Mapping[str, Elf], links: Mapping[str, str]) -> None:
        self._elves = elves
        self._links = links
        self._seen: dict[tuple[str, int], bool] = {}

    def finds(self, path: str, elf: Elf, needed: str) -> bool:
        """Tell whether a library is found for a file."""
        if "/" in needed:
            return self.is_library(needed, elf.machine)
        folders = [*_runpath(path, elf), *_default_folders(elf.machine)]
        return any(self.is_library(f"{folder}/{needed}", elf.machine) for folder in folders)

    def is_library(self, path: str, machine: int) -> bool:
        """Tell whether a path leads to a file for the machine."""
        if (path, machine) not in self._seen:
            elf = self._elves.get(destination(path, self._links) or "")
            self._seen[path, machine] = elf is not None and elf.machine == machine
        return self._seen[path, machine]


def _default_folders(machine: int) -> tuple[str, ...]:
    multiarch = _MACHINES.get(machine, ("", ""))[0]
    return (f"lib/{multiarch}", f"usr/lib/{multiarch}", "lib", "usr/lib", "lib64", "usr/lib64")


def _runpath(path: str, elf: Elf) -> Iterator[str]:
    multiarch, platform = _MACHINES.get(elf.machine, ("", ""))
    values = {"ORIGIN": f"/{posixpath.dirname(path)}", "LIB": f"lib/{multiarch}", "PLATFORM": platform}
    for folder in elf.runpath:
        expanded = folder
        for name, value in values.items():
            expanded = expanded.replace(f"${{{name}}}", value).replace(f"${name}", value)
        if expanded:
            yield expanded


def _finding(path: str, needed: str, what: str, elves: Mapping[str, Elf], sources: Mapping[str, Source]) -> Finding:
    message = f"/{path}: must find {what} it needs, got no {needed} ({sources[path].owner})"
    elsewhere = sorted(other for other in elves if posixpath.basename(other) == posixpath.basename(needed))
    hint = "take back the omit or prune that leaves it out"
    if elsewhere:
        hint = f"add a symlink to /{elsewhere[0]} under paths, where the linker searches"
    return Finding("library", f"{path} {needed}", message, hint)
