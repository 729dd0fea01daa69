"""A small tree, and the layouts that are made of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from procession_tasks.image.layers import Layer
from procession_tasks.image.layout import Descriptor, Layout
from procession_tasks.image.oci import Said, write_layout
from procession_tasks.platform import Platform
from procession_tasks.rootfs.tree import Entry

SAID = Said(
    {"created": "1970-01-01T00:00:00Z", "os": "linux", "architecture": "amd64", "config": {}},
    {"a": "b"},
    "example.com/api:1",
    "1",
)


class Bench:
    """A tree of two files, a layer each, and where its layout goes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree, self.layout, self.known = root / "tree", root / "oci/linux-amd64", root / "state/layers"
        self.tree.mkdir(parents=True)
        self.put("base", b"base\n" * 1000)
        self.put("program", b"program\n")

    def put(self, name: str, content: bytes) -> None:
        (self.tree / name).write_bytes(content)

    def write(self, folder: Path | None = None, date: int = 0) -> str:
        entries = [self.entry("base"), self.entry("program")]
        layers = [Layer(entry.path, (entry,)) for entry in entries]
        return self.write_layers(layers, folder or self.layout, date)

    def write_layers(self, layers: Sequence[Layer], folder: Path, date: int = 0) -> str:
        return write_layout(folder, SAID, layers, self.tree, date, self.known)

    def entry(self, name: str) -> Entry:
        content = (self.tree / name).read_bytes()
        return Entry(name, "file", 0o644, size=len(content), digest=hashlib.sha256(content).hexdigest())

    @property
    def files(self) -> dict[str, bytes]:
        found = (path for path in self.layout.rglob("*") if path.is_file())
        return {str(path.relative_to(self.layout)): path.read_bytes() for path in found}

    @property
    def layers(self) -> list[Descriptor]:
        layout = Layout(self.layout)
        return list(layout.children(layout.top))[1:]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def new_bench() -> type[Bench]:
    """To make benches in other places."""
    return Bench


@pytest.fixture
def both(bench: Bench) -> dict[Platform, Path]:
    """Layouts of two platforms, in the folder that the index goes to."""
    bench.write()
    bench.put("program", b"for arm64\n")
    bench.write(bench.root / "oci/linux-arm64")
    return {Platform("linux", "arm64"): bench.root / "oci/linux-arm64", Platform("linux", "amd64"): bench.layout}
