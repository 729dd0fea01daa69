"""A small repository of its own for each test, and doit run in it as a user runs it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

PYPROJECT = """\
[tool.procession.go]
version = "1.27.3"
modules = ["services"]
"""

MAIN = """\
package main

import "sample.example/services/internal/{only}"
import "sample.example/services/internal/shared"

var version = "devel"

func main() {{ println(version, {only}.Word(), shared.Word()) }}
"""

WORD = """\
package {name}

// Word says who it is.
func Word() string {{ return "{name}" }}
"""

IMAGE = """\
go:
  package: ./cmd/{name}
  binary: /bin/{name}
platforms: [linux/amd64, linux/arm64]
accounts:
  users: [{{name: app, uid: 65532, gid: 65532}}]
"""


def shortened(content: bytes) -> bytes:
    """The content, or what identifies it where a difference of two would fill the screen."""
    if len(content) <= 16 * 1024:
        return content
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}".encode()


@dataclass(frozen=True)
class Ended:
    """How a doit run ended; `ran` is the names of the tasks that ran and succeeded."""

    status: int
    out: str
    err: str
    ran: tuple[str, ...] = field(default=())


class Workspace:
    """A repository with a Go module of programs and an image for each."""

    def __init__(self, root: Path, names: tuple[str, ...] = ("api", "iam")) -> None:
        self.root = root
        self.environment = dict(os.environ)
        self.write("pyproject.toml", PYPROJECT)
        self.write("dodo.py", (REPOSITORY / "dodo.py").read_text())
        self.write("build/.gitignore", "*\n!.gitignore\n")
        self.write("services/go.mod", "module sample.example/services\n\ngo 1.27\n")
        self.write("services/internal/shared/shared.go", WORD.format(name="shared"))
        for name in names:
            self.add_service(name)

    def add_service(self, name: str) -> None:
        """Add a program that imports a package of its own and the shared one, and its image."""
        self.write(f"services/internal/{name}only/{name}.go", WORD.format(name=f"{name}only"))
        self.write(f"services/cmd/{name}/main.go", MAIN.format(only=f"{name}only"))
        manifest = {
            "acKind": "ImageManifest",
            "acVersion": "0.8.11",
            "name": f"sample.example/{name}",
            "labels": [{"name": "version", "value": "1.0.0"}],
            "app": {"exec": [f"/bin/{name}"], "user": "app", "group": "app"},
        }
        self.write(f"deploy/aci/{name}/manifest", json.dumps(manifest, indent=2) + "\n")
        self.write(f"deploy/aci/{name}/image.yaml", IMAGE.format(name=name))
        self.write(f"deploy/aci/{name}/rootfs/etc/motd", f"this is {name}\n")

    def path(self, name: str) -> Path:
        return self.root / name

    def read(self, name: str) -> str:
        return self.path(name).read_text()

    def write(self, name: str, text: str) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        text = self.read(name)
        assert old in text
        self.write(name, text.replace(old, new))

    def doit(self, *words: str, **environment: str) -> Ended:
        """Run doit to its end."""
        command = [sys.executable, "-m", "doit", *words]
        ended = subprocess.run(
            command, cwd=self.root, env=self.environment | environment, capture_output=True, text=True, timeout=300
        )
        ran = re.findall(r"^(\S+) +[0-9.]+ s$", ended.stdout, re.MULTILINE)
        return Ended(ended.returncode, ended.stdout, ended.stderr, tuple(ran))

    def build(self, *words: str, **environment: str) -> Ended:
        """Run doit and expect it to succeed."""
        ended = self.doit(*words, **environment)
        assert ended.status == 0, ended.out + ended.err
        return ended

    def aci(self, name: str, platform: str = "linux-amd64") -> Path:
        """The archive of an image."""
        return self.path(f"build/aci/{name}-1.0.0-{platform}.aci")

    def files(self, *folders: str) -> dict[str, bytes]:
        """What the folders hold now, by path: links as their text, large files as their digest."""
        found = {}
        for folder in folders:
            for path in sorted(self.path(folder).rglob("*")):
                name = str(path.relative_to(self.root))
                if path.is_symlink():
                    found[name] = os.readlink(path).encode()
                elif path.is_file():
                    found[name] = shortened(path.read_bytes())
        return found


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A repository with the images api and iam, not yet built."""
    return Workspace(tmp_path / "repository")


@pytest.fixture
def new_workspace() -> type[Workspace]:
    """To make repositories in other places or with other services."""
    return Workspace


def tool(name: str) -> str:
    """Find a program that judges our output, or skip the test and say which is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def actool() -> str:
    """The reference tool for App Container Images."""
    return tool("actool")
