"""Generates a repository of many small Go services over one large shared tree, with image definitions."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GO_VERSION = "1.27.3"
LDFLAGS = "-s -w -buildid="
MODULE = "bench.example/services"
SHARED_PACKAGES = 199  # and one that imports them all
FILES_A_PACKAGE = 10
OWN_FILES = {"": 10, "model": 9}  # and main.go: 20 a service

_PROJECT = f"""\
[tool.procession]
definitions = "deploy/aci"

[tool.procession.go]
version = "{GO_VERSION}"
modules = ["services"]
ldflags = "{LDFLAGS}"
"""
_IMAGE = """\
go:
  package: ./cmd/{name}
  binary: /bin/{name}
platforms: [linux/amd64, linux/arm64]
accounts:
  users: [{{name: bench, uid: 65532, gid: 65532, home: /}}]
paths:
  - {{path: /tmp, type: directory, mode: "1777"}}
"""


@dataclass(frozen=True)
class Workspace:
    """A generated repository; edits to it are numbered, so that each gives content never seen before."""

    root: Path
    services: tuple[str, ...]
    _edits: list[int] = field(default_factory=lambda: [0])

    @property
    def module(self) -> Path:
        return self.root / "services"

    @property
    def middle(self) -> str:
        """The service that the measurements of one service are about."""
        return self.services[len(self.services) // 2]

    def own_files(self, name: str) -> list[str]:
        """List a service's own Go files, relative to the repository."""
        return [f"services/{path}" for path in _own_paths(name)]

    def shared_files(self) -> list[str]:
        """List the shared tree's Go files, relative to the repository."""
        return [f"services/{path}" for path in _shared_paths()]

    def edit_comment(self) -> None:
        """Change a comment in one file of one service."""
        self._edit(self.own_files(self.middle)[3], r"(// Note )\d+")

    def edit_code(self) -> None:
        """Change a number in one file of one service."""
        self._edit(self.own_files(self.middle)[3], r"(const weight\d+ = )\d+")

    def edit_shared(self) -> None:
        """Change a number in one file that every service is compiled from."""
        self._edit(self.shared_files()[15], r"(const weight\d+ = )\d+")

    def touch(self) -> None:
        """Give every source and every definition a new modification time, and no new content."""
        for folder in ("services", "deploy"):
            for where, _, names in os.walk(self.root / folder):
                for name in names:
                    os.utime(os.path.join(where, name))

    def _edit(self, name: str, pattern: str) -> None:
        self._edits[0] += 1
        path = self.root / name
        path.write_text(re.sub(pattern, rf"\g<1>{1_000_000 + self._edits[0]}", path.read_text(), count=1))


def generate(root: Path, count: int) -> Workspace:
    """Write a repository of `count` services into a new folder."""
    services = tuple(f"s{number:04}" for number in range(count))
    _write(root / "pyproject.toml", _PROJECT)
    _write(root / "dodo.py", (Path(__file__).parent.parent / "dodo.py").read_text())
    _write(root / "services/go.mod", f"module {MODULE}\n\ngo 1.27\n")
    for path in _shared_paths():
        _write(root / "services" / path, _shared_source(path))
    for number, name in enumerate(services):
        for path in _own_paths(name):
            _write(root / "services" / path, _own_source(path, name, number))
        _write(root / f"deploy/aci/{name}/manifest", _manifest(name))
        _write(root / f"deploy/aci/{name}/image.yaml", _IMAGE.format(name=name))
        _write(root / f"deploy/aci/{name}/rootfs/etc/nsswitch.conf", "hosts: files dns\n")
    return Workspace(root, services)


def _own_paths(name: str) -> Iterator[str]:
    yield f"cmd/{name}/main.go"
    for folder, count in OWN_FILES.items():
        for number in range(count):
            yield os.path.join("internal", name, folder, f"f{number:02}.go")


def _shared_paths() -> Iterator[str]:
    packages = [f"p{number:03}" for number in range(SHARED_PACKAGES)]
    for package in ["all", *packages]:
        for number in range(FILES_A_PACKAGE):
            yield f"shared/{package}/f{number:02}.go"


def _shared_source(path: str) -> str:
    _, package, name = path.split("/")
    number = int(name[1:3])
    if package != "all":
        return _source(package, number, FILES_A_PACKAGE)
    imports = [f"shared/p{index:03}" for index in range(number, SHARED_PACKAGES, FILES_A_PACKAGE)]
    return _source(package, number, FILES_A_PACKAGE, imports)


def _own_source(path: str, name: str, number: int) -> str:
    if path.endswith("/main.go"):
        lines = ["package main", "", f'import "{MODULE}/internal/{name}"', "", "func main() {"]
        return "\n".join([*lines, f"\tprintln({name}.Sum({number + 1}))", "}", ""])
    folder = "model" if "/model/" in path else ""
    file = int(path[-5:-3])
    imports = ["shared/all", f"internal/{name}/model"] if not folder and file == 0 else []
    return _source(folder or name, file, OWN_FILES[folder], imports)


def _source(package: str, number: int, count: int, imports: Sequence[str] = ()) -> str:
    """Render one of the `count` files of a package; the first has the function that others call."""
    terms = ["n", *(f"{path.rsplit('/', 1)[1]}.Sum(n)" for path in imports)]
    lines = [f"package {package}", "", *(f'import "{MODULE}/{path}"' for path in imports), ""]
    lines += ["// Note 1000000", f"const weight{number:02} = 1000000", ""]
    lines += _function(f"part{number:02}", f"weight{number:02} * ({' + '.join(terms)})")
    if number == 0:
        lines += _function("Sum", " + ".join(f"part{index:02}(n)" for index in range(count)))
    return "\n".join(lines)


def _function(name: str, value: str) -> list[str]:
    """Render a function that, like one of a real size, is compiled once and not into its callers."""
    return ["//go:noinline", f"func {name}(n int) int {{", f"\treturn {value}", "}", ""]


def _manifest(name: str) -> str:
    app = {
        "exec": [f"/bin/{name}"],
        "user": "bench",
        "group": "bench",
        "workingDirectory": "/",
        "environment": [{"name": "LISTEN", "value": ":8080"}, {"name": "LOG_LEVEL", "value": "info"}],
        "ports": [{"name": "http", "protocol": "tcp", "port": 8080}],
        "isolators": [
            {"name": "resource/cpu", "value": {"request": "100m", "limit": "1"}},
            {"name": "resource/memory", "value": {"request": "32Mi", "limit": "128Mi"}},
            {"name": "os/linux/no-new-privileges", "value": True},
        ],
    }
    labels = [{"name": "version", "value": "0.1.0"}]
    head = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": f"bench.example/{name}", "labels": labels}
    return json.dumps(head | {"app": app}, indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
