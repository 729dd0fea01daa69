"""Asks the engine and has it do things; what it is told is in engine.py."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from procession_tasks import process
from procession_tasks.errors import BuildError
from procession_tasks.run.built import Built
from procession_tasks.run.container import Container
from procession_tasks.run.engine import KEY, LEVEL, SYSTEM, Engine
from procession_tasks.run.ports import Socket

_GRACE = ("-t", "10")  # seconds that a program has to end
_VERSION = "org.opencontainers.image.version"
_NAME_SERVER = "install netavark and aardvark-dns, and set network_backend to netavark in containers.conf(5)"


@dataclass(frozen=True, slots=True)
class State:
    """A container that is there, whether it runs or not; `sockets` are those of this machine that lead to it."""

    name: str
    status: str
    exit_status: int
    version: str
    image: str
    key: str
    level: int
    sockets: frozenset[Socket]

    @property
    def is_running(self) -> bool:
        """Whether its program runs."""
        return self.status == "running"


class Client:
    """An engine, with the environment that all its commands get; they all raise BuildError when it fails."""

    def __init__(self, engine: Engine, folder: Path, environment: Mapping[str, str]) -> None:
        if engine.kind == "rkt":
            hint = "set PROCESSION_ENGINE=podman"
            raise BuildError("engine: must be podman or docker for a system, got 'rkt'", hint=hint)
        self.engine = engine
        self.environment = environment
        self._folder = folder

    def states(self, system: str) -> dict[str, State]:
        """Find the containers of a system, by name."""
        listed = self._lines("ps", "--all", "--quiet", "--no-trunc", f"--filter=label={SYSTEM}={system}")
        return {state.name: state for state in self._inspected(listed)}

    def state(self, name: str) -> State | None:
        """Find a container of any system; None when there is none."""
        return next(self._inspected([name]), None)

    def start(self, container: Container, image: str) -> None:
        """Start a container in the background."""
        self._do(*self.engine.run(container, image, detached=True)[len(self.engine.command) :])

    def stop(self, names: Iterable[str]) -> None:
        """Stop containers, with time to end, and remove them; those that are gone already are fine."""
        if given := tuple(names):
            self.ask("stop", *_GRACE, *given)
            self.remove(*given)

    def remove(self, *names: str) -> None:
        """Remove containers, whether they run or not."""
        self.ask("rm", "--force", *(("-t", "0") if self.engine.kind == "podman" else ()), *names)

    def log(self, name: str, lines: int) -> str:
        """Return the last lines that a container printed."""
        said = self.ask("logs", f"--tail={lines}", name)
        return (said.stdout + said.stderr).decode(errors="replace")

    def available(self, images: Iterable[Built]) -> dict[str, str]:
        """Say by which digest the engine knows each of the images that it has, by name."""
        wanted = {image.name: (image.config, image.digest) for image in images}
        digests = [digest for pair in wanted.values() for digest in pair]
        known = {_digest(item["Id"]) for item in self._json("image", "inspect", *digests)} if digests else set()
        return {name: found for name, pair in wanted.items() for found in pair[::-1] if found in known}

    def load(self, image: Built) -> str:
        """Take an image from the build, and say by which digest the engine knows it."""
        words = self.engine.load(image)[len(self.engine.command) :]
        self._do(*words, folder=image.layout.parent)
        found = self.available([image]).get(image.name)
        if found is None:
            raise BuildError(f"{self.engine.kind}: must have {image.config} once it is loaded, got another image")
        if self.engine.kind == "podman":  # it takes the folder's name for the image's
            self.ask("tag", found, image.full_name)
            self.ask("untag", found, f"localhost/{image.layout.name}")
        return found

    def make_network(self, system: str) -> None:
        """Make the network of a system unless it is there; names of containers lead to them in it."""
        if self.ask("network", "inspect", system).status != 0:
            self._do("network", "create", f"--label={SYSTEM}={system}", system)
        (network,) = self._json("network", "inspect", system)[:1] or ({},)
        if network.get("dns_enabled") is False:
            self.remove_network(system)
            rule = "containers must find one another by name, got a network without a name server"
            raise BuildError(f"{self.engine.kind}: {rule}", hint=_NAME_SERVER)

    def remove_network(self, system: str) -> None:
        """Remove the network of a system, if it has one that nothing uses."""
        for network in self._lines("network", "ls", "--quiet", f"--filter=label={SYSTEM}={system}"):
            self.ask("network", "rm", network)

    def make_volumes(self, container: Container) -> None:
        """Make the volumes of a container that are not there."""
        there = self._lines("volume", "ls", "--quiet") if container.volumes else ()
        for volume in container.volumes:
            if volume.name not in there:
                self._do("volume", "create", f"--label={SYSTEM}={container.system}", volume.name)

    def remove_volumes(self, system: str) -> None:
        """Remove the volumes of a system, and what is in them."""
        for volume in self._lines("volume", "ls", "--quiet", f"--filter=label={SYSTEM}={system}"):
            self._do("volume", "rm", volume)

    def follow(self, name: str, tell: Callable[[bytes], None], *, more: bool) -> None:
        """Pass on each line that a container printed, and with `more` each that it prints until it ends."""
        words = self.engine("logs", *(("--follow",) if more else ()), name)
        process.stream(words, folder=self._folder, environment=self.environment, tell=tell)

    def foreground(self, container: Container, image: str) -> int:
        """Run a container to its end, stop it when this process is interrupted, and return its exit status."""
        stop = functools.partial(self.ask, "stop", *_GRACE, container.name)
        words = self.engine.run(container, image, detached=False)
        return process.foreground(words, folder=self._folder, environment=self.environment, stop=stop)

    def ask(self, *words: str, folder: Path | None = None) -> process.Finished:
        """Run a command of the engine, which may fail."""
        return process.run(self.engine(*words), folder=folder or self._folder, environment=self.environment)

    def _do(self, *words: str, folder: Path | None = None) -> bytes:
        done = self.ask(*words, folder=folder)
        if done.status != 0:
            raise self._failed(words, done)
        return done.stdout

    def _failed(self, words: tuple[str, ...], done: process.Finished) -> BuildError:
        said = done.stderr.decode(errors="replace").strip() or f"status {done.status}"
        subcommand = " ".join(word for word in words[:2] if word.isalpha())
        hint = None
        if re.search("connect to the docker", said, re.IGNORECASE):
            hint = "start docker's daemon, or name another engine in PROCESSION_ENGINE"
        return BuildError(f"{self.engine.kind} {subcommand}: {said}", hint=hint)

    def _lines(self, *words: str) -> tuple[str, ...]:
        return tuple(self._do(*words).decode().split())

    def _json(self, *words: str) -> list[dict[str, Any]]:
        """Ask about several things; those that are not there are left out."""
        done = self.ask(*words)
        try:
            found: list[dict[str, Any]] = json.loads(done.stdout or b"[]")
        except ValueError:
            raise self._failed(words, done) from None
        return found

    def _inspected(self, names: Iterable[str]) -> Iterator[State]:
        given = tuple(names)
        return map(_state, self._json("container", "inspect", *given) if given else ())


def _state(item: dict[str, Any]) -> State:
    labels = item["Config"]["Labels"] or {}
    bound = item["HostConfig"].get("PortBindings") or {}
    return State(
        name=item["Name"].removeprefix("/"),
        status=item["State"]["Status"],
        exit_status=item["State"]["ExitCode"],
        version=labels.get(_VERSION, ""),
        image=_digest(item["Image"]),
        key=labels.get(KEY, ""),
        level=int(labels.get(LEVEL, 0)),
        sockets=frozenset(
            Socket(port.partition("/")[2], int(place["HostPort"]))
            for port, places in bound.items()
            for place in places or ()
            if place["HostPort"]
        ),
    )


def _digest(text: str) -> str:
    return f"sha256:{text.removeprefix('sha256:')}"
