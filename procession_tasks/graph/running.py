"""What runs images on this machine: one in the foreground, or the whole system."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Iterable
from pathlib import Path

from procession_tasks.definition.system import SYSTEM_FILE, System, load_system
from procession_tasks.errors import BuildError
from procession_tasks.graph.definitions import definitions
from procession_tasks.graph.lock import exclusive
from procession_tasks.graph.session import STATE, Session
from procession_tasks.platform import host
from procession_tasks.run import foreground, status
from procession_tasks.run import system as running
from procession_tasks.run.built import Built, read_built
from procession_tasks.run.client import Client
from procession_tasks.run.container import container, containers
from procession_tasks.run.engine import Engine, choose

Words = tuple[str, ...]

_LOCK = f"{STATE}/system"
# What engines take beside the layout, which says what the image is.
_MORE = {"docker": "archive-oci", "rkt": "pack-aci"}


def stages(session: Session, words: Words = ()) -> tuple[str, ...]:
    """Name the stages that make what the engine takes; `words` are what follows `run:IMAGE`."""
    try:
        kind = _engine(session, words).kind
    except BuildError:  # which the run itself tells
        kind = ""
    return tuple(filter(None, ("pack-oci", _MORE.get(kind))))


def prepare(name: str, words: Words, session: Session) -> None:
    """Have an image run in the foreground once the build is over; `words` as in `stages`.

    Raises BuildError when nothing can run it.
    """
    engine = _engine(session, words)
    image = _built(name, session)
    session.afterwards = functools.partial(_run, image, _arguments(words), engine, session)


def tasks(session: Session, names: Iterable[str]) -> list[str]:
    """Name the tasks that make what `up` starts, of the named images and what they need, or of all.

    Raises BuildError.
    """
    _client(session)  # before anything is built for an engine that is not there
    return [f"{stage}:{name}" for name in _system(session).in_order(*names) for stage in stages(session)]


def up(session: Session, names: Iterable[str]) -> None:
    """Start the named parts of the system and what they need, or all; raises BuildError."""
    system, client = _system(session), _client(session)
    images = {name: _built(name, session) for name in system.in_order(*names)}
    wanted = containers(system, images, *names)
    with exclusive(session.root / _LOCK):  # another's failure would take down what this one starts
        running.up(wanted, images, client, _tell)
    sys.stdout.write(status.listening(wanted))


def down(session: Session, *, volumes: bool) -> None:
    """Stop the system and remove its containers and network, and with `volumes` what it keeps; raises BuildError."""
    system, client = _system(session), _client(session)
    with exclusive(session.root / _LOCK):
        running.down(system.name, client, _tell, volumes=volumes)


def ps(session: Session) -> None:
    """Say how the parts of the system are; raises BuildError."""
    system, client = _system(session), _client(session)
    images = {name: _built_or_not(name, session) for name in system.in_order()}
    sys.stdout.write(status.ps(containers(system, images), client))


def logs(session: Session, names: Iterable[str], *, follow: bool) -> None:
    """Print what the parts of the system print; raises BuildError."""
    status.logs(tuple(names), _client(session), _system(session).name, follow=follow)


def _run(image: Built, arguments: Words, engine: Engine, session: Session) -> int:
    system = _system(session) if (session.root / SYSTEM_FILE).exists() else System(())
    one = container(system, image)
    one = dataclasses.replace(one, arguments=(*one.arguments, *arguments))
    if engine.kind == "rkt":
        return foreground.run_rkt(one, image, engine, session.root, session.environment, _tell)
    return foreground.run(one, image, Client(engine, session.root, session.environment), _tell)


def _arguments(words: Words) -> Words:
    """Leave out what is not for the program."""
    given = words[1:] if words[:1] == ("--rkt",) else words
    return given[1:] if given[:1] == ("--",) else given


def _engine(session: Session, words: Words = ()) -> Engine:
    settings = definitions(session).project.run
    environment = session.environment
    if words[:1] == ("--rkt",):
        environment = environment | {"PROCESSION_ENGINE": "rkt"}
    return choose(settings.engine, settings.options, environment)


def _client(session: Session) -> Client:
    return Client(_engine(session), session.root, session.environment)


def _system(session: Session) -> System:
    declared = definitions(session)
    return load_system(session.root, {name: declared.image(name).manifest for name in declared.image_names()})


def _built(name: str, session: Session) -> Built:
    image = definitions(session).image(name)
    layout = session.root / "build/oci" / name / host().slug
    aci = session.root / f"build/aci/{image.stem}-{host().slug}.aci"
    return read_built(name, image.manifest, layout, layout.with_name(f"{layout.name}.tar"), aci)


def _built_or_not(name: str, session: Session) -> Built:
    """Describe an image whether it is built or not, for those who only look at what runs."""
    try:
        return _built(name, session)
    except BuildError:
        nowhere = Path()
        return Built(name, definitions(session).image(name).manifest, nowhere, nowhere, nowhere, "", "", "", "")


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # who no longer listens has not asked to stop
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
