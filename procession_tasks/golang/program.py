"""A Go program as data, and the commands that list and build it.  Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

import xxhash

from procession_tasks.platform import Platform

_FIELDS = (
    "ImportPath", "Name", "Dir", "Standard", "Module", "Imports", "ImportMap", "Error", "DefaultGODEBUG",
    "GoFiles", "CgoFiles", "CFiles", "CXXFiles", "MFiles", "HFiles", "FFiles", "SFiles", "SwigFiles",
    "SwigCXXFiles", "SysoFiles", "EmbedFiles", "EmbedPatterns", "InvalidGoFiles", "IgnoredGoFiles",
    "IgnoredOtherFiles",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mode:
    """What all programs of one `go build` have in common.

    `module` is the module's folder relative to the repository; `workspace` is the go.work file
    in use, relative to it too, or None; `cc` is the C compiler, empty without cgo.
    """

    module: str
    workspace: str | None
    platform: Platform
    tags: tuple[str, ...]
    gcflags: str
    trimpath: bool
    cc: str
    environment: tuple[tuple[str, str], ...]
    version: str

    @property
    def is_portable(self) -> bool:
        """Whether its programs are the same on every machine: no system headers go into them, and no folders."""
        return not self.cc and self.trimpath

    @property
    def name(self) -> str:
        """A short name that differs for different modes: module, platform and a digest."""
        folder = "module" if self.module == "." else self.module.replace("/", "-").strip(".-")
        return f"{folder}@{self.platform.slug}-{xxhash.xxh3_64_hexdigest(repr(self).encode())[:8]}"


@dataclass(frozen=True, slots=True)
class Program:
    """One main package, how it is linked, and the file it becomes (relative to the repository)."""

    mode: Mode
    package: str
    ldflags: str
    output: str


def environment(mode: Mode) -> tuple[tuple[str, str], ...]:
    """List the environment that can change a program's bytes, sorted by name.

    GOWORK is relative to the module's folder here; `go` itself wants it absolute.
    """
    workspace = posixpath.relpath(mode.workspace, mode.module) if mode.workspace else "off"
    fixed = {
        "CGO_ENABLED": "1" if mode.cc else "0",
        "GO111MODULE": "on",
        "GOARCH": mode.platform.arch,
        "GOENV": "off",
        "GOOS": mode.platform.os,
        "GOTOOLCHAIN": "local",
        "GOWORK": workspace,
    }
    if mode.cc:
        fixed["CC"] = mode.cc
    return tuple(sorted((dict(mode.environment) | fixed).items()))


def list_command(mode: Mode, packages: Sequence[str]) -> tuple[str, ...]:
    """Ask for the packages and all they depend on."""
    return (*_go("list", mode), "-e", "-deps", f"-json={','.join(_FIELDS)}", *_tags(mode), "--", *packages)


def build_command(program: Program) -> tuple[str, ...]:
    """Build one program."""
    flags = (f"-ldflags={program.ldflags}",) if program.ldflags else ()
    output = posixpath.relpath(program.output, program.mode.module)
    return (*_build(program.mode), *flags, f"-o={output}", "--", program.package)


def batch_command(programs: Sequence[Program], folder: str) -> tuple[str, ...]:
    """Build several programs of one mode in one run, with the bytes of one run each.

    They appear in `folder` under the names Go gives them (`go_name`), which must differ.
    """
    mode = programs[0].mode
    flags = tuple(f"-ldflags={program.package}={program.ldflags}" for program in programs if program.ldflags)
    packages = (program.package for program in programs)
    return (*_build(mode), *flags, f"-o={posixpath.relpath(folder, mode.module)}/", "--", *packages)


def batches(programs: Sequence[Program]) -> list[list[Program]]:
    """Split programs of one mode into as few `go build` runs as give the bytes of one run each.

    Programs that Go names alike, or in a way not known here, cannot share a run, nor one package
    linked in two ways; without -trimpath Go records the linker's flags in the program, so there
    each set of flags is a run.
    """
    runs: list[list[Program]] = []
    for program in programs:
        for run in runs:
            names = {go_name(other) for other in run}
            same_flags = program.mode.trimpath or program.ldflags == run[0].ldflags
            if go_name(program) not in {"", *names} and "" not in names and same_flags:
                run.append(program)
                break
        else:
            runs.append([program])
    return runs


def go_name(program: Program) -> str:
    """Return the name Go gives a program: the last element of its package.

    Empty where the name comes from the rest of the import path, which is not known here: ``.``,
    and an element that may be a major version (``example.com/tool/v2`` is ``tool``).
    """
    name = posixpath.basename(posixpath.normpath(program.package))
    return "" if name == "." or re.fullmatch(r"v[0-9]+", name) else name


def _build(mode: Mode) -> tuple[str, ...]:
    trimpath = ("-trimpath",) if mode.trimpath else ()
    gcflags = (f"-gcflags={mode.gcflags}",) if mode.gcflags else ()
    return (*_go("build", mode), "-buildvcs=false", *trimpath, *_tags(mode), *gcflags)


def _go(verb: str, mode: Mode) -> tuple[str, ...]:
    """Begin a command that is run in the repository, and works in the module's folder."""
    return ("go", verb, *(() if mode.module == "." else ("-C", mode.module)))


def _tags(mode: Mode) -> tuple[str, ...]:
    return (f"-tags={','.join(mode.tags)}",) if mode.tags else ()
