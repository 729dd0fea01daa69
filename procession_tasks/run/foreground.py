"""Runs one image in the foreground, and leaves nothing of it but its volumes."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from procession_tasks import process
from procession_tasks.errors import BuildError
from procession_tasks.run import rkt
from procession_tasks.run.built import Built
from procession_tasks.run.client import Client
from procession_tasks.run.container import Container
from procession_tasks.run.engine import Engine
from procession_tasks.run.ports import check_free
from procession_tasks.run.system import Tell


def run(container: Container, image: Built, client: Client, tell: Tell) -> int:
    """Run a container to its end, and return its exit status.

    When this process is interrupted, the container is told to stop, and killed after a grace or a second
    interruption.  To be called in the main thread.  Raises BuildError.
    """
    state = client.state(container.name)
    if state is not None and (state.is_running or not state.key):
        hint = f"doit down stops the system; {client.engine.kind} rm --force {container.name} this one"
        raise BuildError(f"{container.name}: must not be there already, got one that is {state.status}", hint=hint)
    check_free([container], frozenset())
    known = client.available([image]).get(image.name) or client.load(image)
    for binding in container.bindings:
        tell(f"{container.name}: {binding.name} is reached on 127.0.0.1:{binding.host_port}")
    try:
        client.make_network(container.system)
        client.make_volumes(container)
        client.remove(container.name)  # what a killed run may have left
        return client.foreground(container, known)
    finally:
        client.remove(container.name)
        client.remove_network(container.system)


def run_rkt(
    container: Container, image: Built, engine: Engine, folder: Path, environment: Mapping[str, str], tell: Tell
) -> int:
    """Tell the command with which rkt runs an image, and run it.

    Raises BuildError when rkt is not there.
    """
    words = rkt.command(container, image, engine)
    tell(shlex.join(words))
    if shutil.which(words[0], path=environment.get("PATH", "")) is None:
        raise BuildError(f"engine: must be a program on PATH, got {words[0]!r}", hint=rkt.WHERE)
    return process.foreground(words, folder=folder, environment=environment)
