"""The programs that a build, its packages, its containers and its clusters are made with."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from procession_tasks import process
from procession_tasks.debian.repositories import Repositories, repository_of
from procession_tasks.errors import BuildError
from procession_tasks.golang import toolchain
from procession_tasks.graph.doctor.finding import Finding, found_by
from procession_tasks.graph.doctor.needs import Needs
from procession_tasks.publish.kubernetes.kubectl import Kubectl
from procession_tasks.run.engine import Engine, choose

_ANSWERS_S = 5.0
_VERSION = re.compile(r"\d+(\.\d+)+\S*")


def go(needs: Needs) -> Iterator[Finding]:
    """Look for the pinned toolchain, and for the C compilers of programs with cgo.  Starts nothing."""

    def find() -> str:
        if not needs.project.go.version:
            raise BuildError("no version is pinned", hint='add [tool.procession.go] with version = "1.27.3"')
        pinned = toolchain.find(needs.project.go.version, needs.environment)
        return f"{pinned.version} ({pinned.go})"

    yield found_by(find, "go", "compiling programs that no cache has", needed=needs.programs)
    for compiler in needs.compilers:
        yield _program(needs, compiler, "compiling programs with cgo", "apt-get install gcc libc6-dev", needed=True)


def debian(needs: Needs) -> Iterator[Finding]:
    """Look for a mirror, and for what vouches for its indexes.  Asks apt where nothing else says it."""
    settings = needs.project.debian
    suite = settings.suites[0]

    def mirror() -> str:
        places = Repositories(settings.mirror, settings.snapshot, needs.environment)
        url = urlsplit(places.place(repository_of(suite), suite).url)
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"  # without a password

    yield found_by(mirror, "mirror", "downloading the packages of images", needed=needs.packages)
    choosing, must = "choosing packages anew: doit lock, doit outdated", bool(needs.unlocked)
    yield _program(needs, "gpgv", choosing, "apt-get install gpgv", needed=must)
    keyring = Path(settings.keyring)
    remedy = "apt-get install debian-archive-keyring, or set keyring under [tool.procession.debian]"
    there = keyring.is_file()
    found = str(keyring) if there else f"{keyring}, which is not there"
    yield Finding("keyring", found, choosing, there=there, needed=must, remedy=remedy)


def engine(needs: Needs) -> Iterator[Finding]:
    """Look for what runs images; docker's daemon is asked whether it is there."""
    settings = needs.project.run

    def find() -> str:
        chosen = choose(settings.engine, settings.options, needs.environment)
        if chosen.kind == "rkt" and shutil.which(chosen.command[0], path=needs.environment.get("PATH", "")) is None:
            raise BuildError("rkt is not installed", hint="docs/rkt.md")
        return f"{chosen.kind} {_engine_version(chosen, needs)}".strip()

    named = bool(settings.engine or needs.environment.get("PROCESSION_ENGINE"))
    yield found_by(find, "engine", "running images: doit up, doit run", needed=named)


def others(needs: Needs) -> Iterator[Finding]:
    """Look for git and kubectl.  Starts nothing."""
    yield _program(needs, "git", "comparing with what was committed", "apt-get install git", needed=False)
    use = "rendering and deploying: doit kubernetes, doit deploy"
    yield found_by(lambda: Kubectl.find(needs.root, needs.environment).program, "kubectl", use, needed=False)


def _program(needs: Needs, name: str, use: str, remedy: str, *, needed: bool) -> Finding:
    path = shutil.which(name, path=needs.environment.get("PATH", ""))
    return Finding(name, path or "not on PATH", use, there=path is not None, needed=needed, remedy=remedy)


def _engine_version(engine: Engine, needs: Needs) -> str:
    words = ("version", "--format", "{{.Server.Version}}") if engine.kind == "docker" else ("--version",)
    argv = (engine.command[0], *words)
    ended = process.run(argv, folder=needs.root, environment=needs.environment, timeout=_ANSWERS_S)
    said = (ended.stdout + ended.stderr).decode(errors="replace").strip()
    if ended.status != 0:
        hint = "start docker's daemon, or name another engine in PROCESSION_ENGINE"
        raise BuildError(f"{engine.kind}: {said.splitlines()[-1] if said else 'does not answer'}", hint=hint)
    found = _VERSION.search(said)
    return found[0].rstrip(",") if found else ""
