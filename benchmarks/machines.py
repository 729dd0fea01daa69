"""Measures the repository's own services, edited, on a machine that has nothing but a server."""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial
from pathlib import Path

from benchmarks.absent import absent
from benchmarks.caches import nginx
from benchmarks.measure import Case, Command, Launcher, rounds
from benchmarks.repository import copied
from benchmarks.tools import Tools

IMAGES = ("build:api", "build:iam")
EDITED = "services/internal/iam/routes.go"
WARM = "Go's cache warm, no server"
HELPED = "nothing on this machine, Go's packages from nginx"
COLD = "nothing on this machine, nginx without Go's packages"


def measure(found: Tools, launcher: Launcher, work: Path, count: int) -> Case:
    """Build both services in fresh clones after an edit of one, on machines that know more or less."""
    root = copied(Path.cwd(), work / "repository")
    with nginx(work / "nginx") as url:
        server = {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_URL": url}
        warm = _build(found, root, WARM, {"PROCESSION_CACHE": "off"})
        nothing = {"PROCESSION_CACHE_DIR": str(work / "cache"), "GOCACHE": str(work / "go")}
        helped = _build(found, root, HELPED, server | nothing, work / "cache", work / "go")
        cold = dataclasses.replace(helped, name=COLD, environment={**helped.environment, "PROCESSION_CACHE_GO": "off"})
        writing = dataclasses.replace(helped, environment={**helped.environment, "PROCESSION_CACHE_WRITE": "on"})
        for command in (warm, writing):  # fills Go's cache, and the server's
            absent(root / "build", work / "cache", work / "go")
            launcher.run(command)
        edit = partial(_edit, root / EDITED, itertools.count())
        title = f"{len(IMAGES)} services of the repository, one edited, in a fresh clone"
        return rounds(launcher, title, [warm, helped, cold], count, before=edit, fewer={COLD: 2})


def _build(found: Tools, root: Path, name: str, more: dict[str, str], *folders: Path) -> Command:
    before = partial(absent, root / "build", *folders)
    return Command(name, (str(found.doit), *IMAGES), root, {**found.environment, **more}, before=before)


def _edit(path: Path, numbers: itertools.count[int]) -> None:
    path.write_text(f"{path.read_text()}\n// {next(numbers)}\n")
