"""Measures the commands that answer questions, after an edit that every image is affected by."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks import tools
from benchmarks.generate import Workspace, generate
from benchmarks.measure import Case, Command, Launcher, rounds
from benchmarks.tools import Tools

_ASKED = (
    ("help",),
    ("list",),
    ("why",),
    ("why", "--last"),
    ("affected", "--since", "HEAD"),
    ("affected", "--since", "HEAD", "--json"),
    ("graph",),
    ("trace",),
    ("doctor",),
    ("cache", "stats"),
)


def measure(found: Tools, launcher: Launcher, work: Path, services: int, count: int) -> Case:
    """Build every image of a generated repository under git, edit a shared file, and ask."""
    workspace = generate(work / "commands", services)
    _commit(workspace)
    environment = found.environment | {"PROCESSION_CACHE_DIR": str(work / "cache")}
    others = (f"go-inputs:{name}@linux-arm64" for name in workspace.services)  # or affected has to ask Go of them
    launcher.run(Command("build", (str(found.doit), "build", *others), workspace.root, environment))
    workspace.edit_shared()
    asked = [
        Command(f"doit {' '.join(words)}", (str(found.doit), *words), workspace.root, environment) for words in _ASKED
    ]
    return rounds(launcher, f"{services} services, commands that ask", [*tools.bare(found), *asked], count)


def _commit(workspace: Workspace) -> None:
    (workspace.root / ".gitignore").write_text("build/\n")
    who = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.com")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-qm", "all"), ("gc", "-q")):
        subprocess.run(["git", *words], cwd=workspace.root, check=True)
