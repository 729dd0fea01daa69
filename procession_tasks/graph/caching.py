"""The caches in this build: a step's outputs are taken from them, or made and kept for others."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import procession_tasks
from procession_tasks import notice
from procession_tasks.cache import outputs
from procession_tasks.cache.action import Keyed, keyed
from procession_tasks.cache.collect import collect_garbage
from procession_tasks.cache.contents import Contents, Look
from procession_tasks.cache.merkle import File, Node
from procession_tasks.cache.opening import connect, open_disk
from procession_tasks.cache.reapi import digest_of
from procession_tasks.cache.settings import Chosen, chosen
from procession_tasks.cache.signing import Signer, Verifier
from procession_tasks.cache.store import Store
from procession_tasks.graph.actions import tool
from procession_tasks.graph.project import project
from procession_tasks.graph.session import STATE, Session, Taken
from procession_tasks.notice import warn
from procession_tasks.once import once
from procession_tasks.step import Step

_SCRATCH = f"{STATE}/.cache.part"
_MOST_SAID = 64 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BY_GO = frozenset(["go-compile"])  # what Go makes, our code has no part in
_MAKING = ("debian", "definition", "golang", "image", "rootfs")


@dataclass(frozen=True, slots=True)
class Asked:
    """A step as it was looked up: its action, and the inputs as they were then."""

    step: Step
    keyed: Keyed
    inputs: Mapping[str, Node]


class Caching:
    """The caches of one run, and what its steps read."""

    def __init__(self, session: Session, settings: Chosen) -> None:
        self.settings = settings
        self.session = session
        self.contents = Contents(session.root)
        self.disk = open_disk(settings, session.environment, session.root / _SCRATCH, warn)
        remote = None if settings.remote is None else connect(settings.remote, session.environment)
        if settings.remote and settings.remote.is_exposed:
            warn(f"cache {settings.remote.name}: the credential is sent where anybody on the way can read it")
        self.store = Store(
            self.disk,
            remote,
            warn,
            writes=settings.write,
            signer=Signer(settings.signing_key) if settings.signing_key else None,
            verifier=Verifier(settings.signers) if settings.signers else None,
        )

    def ask(
        self, step: Step, paths: Iterable[str], more: Mapping[str, Node] | None = None, look: Look | None = None
    ) -> Asked | None:
        """Find the key of a step over what is at paths; None for one that no message can hold."""
        inputs = (look or self.contents).nodes(paths)
        made_by = step if step.kind in _BY_GO else dataclasses.replace(step, properties=(*step.properties, own_code()))
        try:
            return Asked(step, keyed(made_by, {**inputs, **(more or {})}, self.settings.salt), inputs)
        except ValueError:
            return None

    def take(self, asked: Asked) -> bool:
        """Put a step's outputs in place, and say again what it said, if a cache has them."""
        root, step = self.session.root, asked.step
        found = self.store.take(asked.keyed, lambda result, disk: outputs.restore(root, step.outputs, result, disk))
        if found is None:
            return False
        self.session.taken[f"{step.kind}:{step.subject}"] = Taken(found.where, found.seconds)
        for line in _said(found.result.stderr_raw):
            notice.say(line)
        return True

    def keep(self, asked: Asked, seconds: float, said: Iterable[str] = (), look: Look | None = None) -> None:
        """Store what a step made, unless an input was written meanwhile: nobody knows then what went in."""
        moved = any(map(self.session.states.has_moved, asked.step.inputs))
        if moved or not (look or self.contents).are_same(asked.inputs):
            return
        try:
            result, blobs = outputs.collect(self.session.root, asked.step.outputs)
        except (OSError, ValueError):
            return  # an output that no message can hold, or one that is gone: doit tells
        text = "".join(f"{line}\n" for line in said)
        self.store.keep(asked.keyed, dataclasses.replace(result, stderr_raw=text.encode()), blobs, seconds)

    def close(self, *, wait: bool) -> None:
        """Send what is left, and keep this machine's cache within its size."""
        self.store.close(wait=wait)
        if self.disk.folder == self.session.root / _SCRATCH:
            shutil.rmtree(self.disk.folder, ignore_errors=True)
        elif self.store.written:
            with contextlib.suppress(OSError):
                collect_garbage(self.disk, self.settings.size, self.store.written)


def _said(text: bytes) -> list[str]:
    """Read what a step said when it was run: nothing but our own kinds of lines, without control characters."""
    lines = text[:_MOST_SAID].decode("utf-8", "replace").splitlines()
    return [_CONTROL.sub("?", line) for line in lines if line.startswith(("warning: ", "note: "))]


def run(work: str, step: Step, session: Session) -> None:
    """Take a step's outputs from a cache, or do its work, named as `tool` does, and keep what it made."""
    caches = caching(session)
    asked = caches.ask(step, step.inputs) if caches else None
    if caches and asked and caches.take(asked):
        return
    started = time.monotonic()
    with notice.collecting() as said:
        tool(work, step, session)()
    if caches and asked:
        caches.keep(asked, time.monotonic() - started, said)


@once
def own_code() -> tuple[str, str]:
    """Name the code of ours that makes outputs by its SHA-256: what another version makes may be something else.

    The numbers in commands say the same on this machine, where whoever changes the code raises them.
    """
    package = Path(procession_tasks.__file__).parent
    sources = sorted(path for name in _MAKING for path in (package / name).rglob("*.py"))
    hasher = hashlib.sha256()
    for path in sources:
        hasher.update(f"{path.relative_to(package)}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    return "procession-tasks", hasher.hexdigest()


def is_cached(step: Step, session: Session, written: Mapping[str, bytes]) -> bool:
    """Tell whether a cache says that it has what a step makes, once these inputs are written."""
    if (caches := caching(session)) is None:
        return False
    more = {path: File(digest_of(text)) for path, text in written.items()}
    asked = caches.ask(step, [path for path in step.inputs if path not in written], more)
    return asked is not None and caches.store.has(asked.keyed)


@once
def caching(session: Session) -> Caching | None:
    """Return the caches of a session, None where there are none; raises BuildError for settings that are wrong."""
    settings = chosen(project(session).cache, session.root, session.environment)
    if not settings.disk and settings.remote is None:
        return None
    caches = Caching(session, settings)
    session.caches = caches
    return caches
