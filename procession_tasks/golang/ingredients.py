"""What a program is compiled from, as a value and as a list to read.  Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A package that is compiled in: its files with their digests, and what a program records of its module.

    `digest` is the same for the same `module` and `files`.  Of a package that is fetched there are no files: the
    checksum of its module stands for them.
    """

    path: str
    module: str
    digest: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What a program is compiled with, a line each, and from which packages."""

    tools: tuple[str, ...]
    packages: tuple[Compiled, ...]

    @property
    def modules(self) -> list[str]:
        """What the program records of modules, a line each, in the order of their names."""
        return sorted({f"module {package.module}" for package in self.packages if package.module})

    @property
    def text(self) -> bytes:
        """A list to read: what the program is compiled with, then one line a file with its digest.

        The order is that of the names, so that two of them can be compared line by line.
        """
        files = sorted(file for package in self.packages for file in package.files)
        lines = [*self.tools, *self.modules, *(f"{state}  {path}" for path, state in files), ""]
        return "\n".join(lines).encode("utf-8", "surrogateescape")


def sources(text: bytes) -> list[str]:
    """Read the files that a list names."""
    lines = text.decode("utf-8", "surrogateescape").splitlines()
    return [path for _, found, path in (line.partition("  ") for line in lines) if found]
