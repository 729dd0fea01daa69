"""Packages made by hand, and images made of them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.debian.contents import Contents, Elf, Member
from procession_tasks.debian.pin import Pin
from procession_tasks.definition.model import NO_ACCOUNTS, Accounts
from procession_tasks.definition.model import Path as Declared
from procession_tasks.errors import BuildError
from procession_tasks.rootfs.packages import Definition, Packaged, Rules, package_sources

DEFINITION = "deploy/aci/sample"
Package = tuple[Pin, Contents]


def folder(path: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> tuple[Member, bytes]:
    return Member(path, "directory", mode, uid, gid), b""


def file(path: str, content: bytes = b"", mode: int = 0o644, **more: Any) -> tuple[Member, bytes]:
    member = Member(path, "file", mode, size=len(content), sha256=hashlib.sha256(content).hexdigest(), **more)
    return member, content


def link(path: str, text: str) -> tuple[Member, bytes]:
    return Member(path, "symlink", 0o777, link=text), b""


def hard_link(path: str, target: str, mode: int = 0o644) -> tuple[Member, bytes]:
    return Member(path, "hardlink", mode, link=target), b""


def library(path: str, *needed: str, runpath: Sequence[str] = (), machine: int = 62, interpreter: str = "") -> Any:
    name = path.rpartition("/")[2]
    elf = Elf(machine, name, needed, tuple(runpath), interpreter)
    return file(path, path.encode(), 0o755, elf=elf)


@dataclass
class Store:
    """Makes packages whose bytes are in files, one after another as the store has them."""

    root: Path
    folder = staticmethod(folder)
    file = staticmethod(file)
    link = staticmethod(link)
    hard_link = staticmethod(hard_link)
    library = staticmethod(library)

    def package(
        self,
        name: str,
        *members: tuple[Member, bytes],
        scripts: Mapping[str, str] | None = None,
        licensed: bool = True,
        version: str = "1.0-1",
    ) -> Package:
        if licensed:
            members = (*members, file(f"usr/share/doc/{name}/copyright", f"of {name}".encode()))
        data = self.root / f"{name}.data"
        placed, whole = [], b""
        for member, content in members:
            placed.append(replace(member, offset=len(whole)) if member.type == "file" else member)
            whole += content
        data.write_bytes(whole)
        sums = [(member.path, hashlib.md5(content).hexdigest()) for member, content in members if member.type == "file"]
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <n@example.org>\nDescription: {name}\n"
        contents = Contents(control, tuple(sorted((scripts or {}).items())), (), tuple(sums), tuple(placed), data)
        pin = Pin(name, version, "amd64", name, "debian", "bookworm", f"pool/{name}.deb", 1, "0" * 64)
        return pin, contents


@dataclass
class Maker:
    """Makes images; `rootfs` is the definition's."""

    root: Path

    @property
    def rootfs(self) -> Path:
        return self.root / DEFINITION / "rootfs"

    def write(self, path: str, text: str = "", mode: int = 0o644) -> None:
        """Put a file into rootfs/."""
        place = self.rootfs / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        place.chmod(mode)

    def image(
        self,
        packages: Iterable[Package],
        *,
        accounts: Accounts = NO_ACCOUNTS,
        paths: Sequence[Declared] = (),
        programs: Sequence[tuple[str, Path]] = (),
        **rules: Any,
    ) -> Packaged:
        definition = Definition(DEFINITION, self.rootfs, accounts, paths, programs)
        return package_sources(list(packages), Rules(**rules), definition)

    def problems(self, packages: Iterable[Package], **rules: Any) -> list[str]:
        """What is said of an image that is refused, a problem each, with its hint."""
        with pytest.raises(BuildError) as caught:
            self.image(packages, **rules)
        lines: list[str] = []
        for line in str(caught.value).split("\n"):
            if line.startswith("  hint: "):
                lines[-1] += f"\n{line}"
            else:
                lines.append(line)
        return lines


@pytest.fixture
def judge() -> Callable[[str], str]:
    """To find a program that judges our output, or skip the test and say which is missing."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"{name} is not installed")
        return found

    return find


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Where packages are made."""
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    """To make images of a definition that is empty yet."""
    return Maker(tmp_path)
