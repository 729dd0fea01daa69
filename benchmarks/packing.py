"""Packing one tree: this project's writer against tar and gzip.

As a program: `packing.py TREE LIST OUTPUT` packs a staged tree with this project's writer.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # as a program this is a measured one: it imports what packs and no more
    from benchmarks.measure import Case, Launcher
    from benchmarks.tools import Tools

MANIFEST = b'{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "bench.example/tree"}\n'


@dataclass(frozen=True)
class Packing:
    """The case, the size in MiB of what each command wrote, and what the tree was."""

    case: Case
    sizes: dict[str, float]
    tree: str


def pack(tree: Path, listing: Path, output: Path) -> None:
    """Pack a staged tree as pack-aci does."""
    from procession_tasks.image.aci import write_aci  # only this use needs the project's code
    from procession_tasks.rootfs.tree import parse

    write_aci(output, MANIFEST, parse(listing.read_bytes()), tree, 0)


def stage(source: Path, tree: Path, listing: Path) -> None:
    """Stage a folder as inject-binary does."""
    from procession_tasks.definition.model import Accounts  # see pack
    from procession_tasks.rootfs import stage as staging

    staging.stage(staging.image_sources(Accounts((), ()), (), "tree", source, ()), tree, listing)


def measure(found: Tools, launcher: Launcher, work: Path, count: int) -> Packing:
    """Pack a tree of large programs and many small files in several ways."""
    from benchmarks.measure import Command, rounds
    from benchmarks.tools import OURS

    work.mkdir()
    size = _collect(found.go, work / "source")
    tree, listing = work / "tree", work / "tree.files"
    stage(work / "source", tree, listing)
    ours = (sys.executable, __file__, str(tree), str(listing))
    argvs = {
        OURS: (*ours, str(work / "ours.aci")),
        f"{OURS}, one core": (*_one_core(), *ours, str(work / "one.aci")),
        "tar, gzip -6": _piped(found, tree, "-6n", work / "six.aci"),
        "tar, gzip -1": _piped(found, tree, "-1n", work / "one-gzip.aci"),
    }
    folder = Path(__file__).parent.parent
    commands = [Command(name, argv, folder, found.environment) for name, argv in argvs.items()]
    case = rounds(launcher, "packing", commands, count)
    sizes = {name: Path(argv[-1].split(">")[-1]).stat().st_size / 2**20 for name, argv in argvs.items()}
    return Packing(case, sizes, size)


def _one_core() -> tuple[str, ...]:
    return (shutil.which("taskset") or "taskset", "-c", str(min(os.sched_getaffinity(0))))


def _piped(found: Tools, tree: Path, flags: str, output: Path) -> tuple[str, ...]:
    return (str(found.bash), "-c", f"tar -C {tree} -cf - . | gzip {flags} >{output}")


def _collect(go: Path, source: Path) -> str:
    """Collect large Go programs and thousands of small text files, and say how much that is."""
    toolchain = go.parent.parent
    (source / "bin").mkdir(parents=True)
    for path in toolchain.rglob("*"):
        if path.is_file() and path.name in ("go", "compile", "link") and _is_program(path):
            shutil.copyfile(path, source / "bin" / path.name)
    for name in ("net", "crypto", "runtime"):
        shutil.copytree(toolchain / "src" / name, source / "usr/share" / name, ignore=shutil.ignore_patterns("*.syso"))
    sizes = [path.stat().st_size for path in source.rglob("*") if path.is_file()]
    return f"{len(sizes)} files, {sum(sizes) / 2**20:.0f} MiB"


def _is_program(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


if __name__ == "__main__":
    pack(*map(Path, sys.argv[1:4]))
