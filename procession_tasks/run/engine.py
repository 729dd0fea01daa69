"""The command lines of podman and docker, which are nearly the same.  Pure but for the look at PATH.

Sources: podman-run(1), docker container run.
"""

from __future__ import annotations

import posixpath
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import xxhash

from procession_tasks.errors import BuildError

if TYPE_CHECKING:
    from procession_tasks.run.built import Built
    from procession_tasks.run.container import Container

CONTAINER_ENGINES = ("podman", "docker")
SYSTEM, KEY, LEVEL = "procession.system", "procession.key", "procession.level"


@dataclass(frozen=True, slots=True)
class Engine:
    """podman, docker or rkt: its command with flags for any subcommand, and the options of every `run`."""

    command: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Which of the engines it is."""
        return posixpath.basename(self.command[0])

    def run(self, container: Container, image: str, *, detached: bool) -> tuple[str, ...]:
        """Start a container of an image that the engine has; what the options say comes last, so it counts."""
        how = ("--detach",) if detached else ("--rm",)
        labels = (f"--label={KEY}={self.key(container)}",)
        return (*self.command, "run", *how, *labels, *self._flags(container), image, *container.arguments)

    def key(self, container: Container) -> str:
        """Identify all that a container is started with: two of one key need not be told apart."""
        said = (*self.command, *self._flags(container), container.config, *container.arguments)
        return xxhash.xxh3_128_hexdigest("\0".join(said).encode())

    def _flags(self, container: Container) -> tuple[str, ...]:
        return (
            *("--name", container.name, "--hostname", container.name, "--network", container.system),
            "--pull=never",
            *(f"--label={SYSTEM}={container.system}", f"--label={LEVEL}={container.level}"),
            *self._confined(container),
            *_reached(container),
            *(f"--env={name}={value}" for name, value in container.environment),
            *self.options,
        )

    def _confined(self, container: Container) -> Iterable[str]:
        """Say what the container may do and use.

        podman would lay further file systems that can be written to over a read-only root, which neither
        docker nor Kubernetes does; /tmp is one with each.
        """
        yield "--read-only"
        if self.kind == "podman":
            yield "--read-only-tmpfs=false"
        yield "--cap-drop=ALL"
        yield from (f"--cap-add={name}" for name in container.capabilities)
        if container.no_new_privileges:
            yield "--security-opt=no-new-privileges"
        if container.memory is not None:
            yield f"--memory={container.memory}"
        if container.cpus is not None:
            yield f"--cpus={container.cpus:f}"
        yield from (f"--group-add={gid}" for gid in container.groups)

    def load(self, image: Built) -> tuple[str, ...]:
        """Take an image from the build, in the folder of its layout's parent."""
        if self.kind == "docker":
            return (*self.command, "load", "--quiet", "--input", str(image.archive))
        # podman makes a name of the path, and refuses one with an upper-case letter.
        return (*self.command, "pull", "--quiet", f"oci:{image.layout.name}")

    def __call__(self, *words: str) -> tuple[str, ...]:
        """Make the command line of any other subcommand."""
        return (*self.command, *words)


def _reached(container: Container) -> Iterable[str]:
    """Say what of this machine leads into the container."""
    for binding in container.bindings:
        yield f"--publish=127.0.0.1:{binding.host_port}:{binding.port}/{binding.protocol}"
    for volume in container.volumes:
        yield f"--volume={volume.name}:{volume.path}" + (":ro" if volume.read_only else "")
    if not any(volume.path == "/tmp" for volume in container.volumes):  # noqa: S108  # the container's
        yield "--tmpfs=/tmp"


def choose(named: str | None, options: Iterable[str], environment: Mapping[str, str]) -> Engine:
    """Choose the engine: that of PROCESSION_ENGINE, that which is named, or the first on PATH.

    An engine may be named with flags, such as ``podman --runtime runc``; PROCESSION_ENGINE_OPTIONS stands
    for `options`.  rkt need not be there.  Raises BuildError when another is not.
    """
    written = environment.get("PROCESSION_ENGINE") or named or ""
    given = environment.get("PROCESSION_ENGINE_OPTIONS")
    chosen = tuple(options) if given is None else _words(given, "PROCESSION_ENGINE_OPTIONS")
    path = environment.get("PATH", "")
    if not (command := _words(written, "engine")):
        command = tuple(program for program in CONTAINER_ENGINES if shutil.which(program, path=path))[:1]
        if not command:
            hint = "install podman, or name the engine in PROCESSION_ENGINE"
            raise BuildError("podman or docker must be on PATH to run images, got neither", hint=hint)
    engine = Engine(command, chosen)
    if engine.kind not in (*CONTAINER_ENGINES, "rkt"):
        raise BuildError(f"engine: must be podman, docker or rkt, got {written!r}", hint="set PROCESSION_ENGINE=podman")
    if engine.kind != "rkt" and shutil.which(command[0], path=path) is None:
        hint = f"install {engine.kind}, or name another in PROCESSION_ENGINE"
        raise BuildError(f"engine: must be a program on PATH, got {command[0]!r}", hint=hint)
    return engine


def _words(text: str, what: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise BuildError(
            f"{what}: must be words as a shell reads them, got {text!r}", hint=str(error).lower()
        ) from None
