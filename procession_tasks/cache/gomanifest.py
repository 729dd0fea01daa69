"""What the last builds of a kind used of Go's build cache, fetched ahead of a build that has little of it.

Go asks for one package after the other, so every object would cost it the way to the server and
back.  The manifest lists what was used, in the order in which it was, with contents that are small:
what one build used is asked for at once.  A build without it, or with a wrong one, makes the same bytes.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from procession_tasks.cache import wire
from procession_tasks.cache.action import Keyed
from procession_tasks.cache.disk import Disk
from procession_tasks.cache.reapi import EMPTY, ActionResult, Digest, OutputFile
from procession_tasks.cache.remote import WrongBytesError
from procession_tasks.cache.store import Store
from procession_tasks.interruption import InterruptedWorkError

SMALL = 32 * 1024  # bytes of a content that is in the manifest itself, as long as all of them are not many
CARRIED = 8 * 1024 * 1024
_MOST = 20_000
_OLDEST = 8  # manifests that list an object which nobody used again
ENOUGH = 0.02  # of what was used: if no more than this is new, a manifest stays
_PATH = re.compile(r"([0-9])/([0-9a-f]{64})")
_HASH = re.compile(r"[0-9a-f]{64}")
_THREADS = 2
_BATCH, _BATCH_SIZE = 128, 16 * 1024 * 1024
_LOAD_S = 2.0  # after which whoever needs an object asks for it without the manifest


@dataclass(frozen=True, slots=True)
class Listed:
    """An object that was used: its content if it is small; `age` is how many manifests ago."""

    digest: Digest
    content: bytes = b""
    age: int = 0


def encode(objects: Mapping[bytes, Listed]) -> bytes:
    """Write objects by action, in the order given, as a message that the API has for files by name."""
    listed = ((f"{one.age}/{action.hex()}", one) for action, one in objects.items())
    named = (OutputFile(path=path, digest=one.digest, contents=one.content) for path, one in listed)
    return wire.encode(ActionResult(output_files=tuple(named)))


def decode(text: bytes) -> dict[bytes, Listed]:
    """Read a manifest; what cannot be meant is left out.  Raises ValueError for what is none."""
    return dict(_decode(wire.decode(ActionResult, text)))


def renewed(
    known: Mapping[bytes, Listed], used: Mapping[bytes, Digest], enough: float = ENOUGH
) -> dict[bytes, Listed] | None:
    """List what a build used, as it came to use it, before what others did a while ago.

    None if no more than a part of it is new.
    """
    new = [action for action, digest in used.items() if action not in known or known[action].digest != digest]
    if len(new) <= enough * len(used):
        return None
    objects = {action: Listed(digest) for action, digest in used.items()}
    for action, one in known.items():
        if action not in used and one.age < _OLDEST:
            objects[action] = Listed(one.digest, age=one.age + 1)
    kept = sorted(objects, key=lambda action: objects[action].age)[:_MOST]
    return {action: objects[action] for action in kept}


class Ahead:
    """Fetches what a manifest lists and this machine does not have; may be used by several threads.

    It begins when the first object is asked for that is not here: a build that finds everything here
    asks no server.  What the last build used is fetched at once, what one before used when the first
    object of that one is asked for.  What it has digested it adds to `sound`.
    """

    def __init__(self, store: Store, disk: Disk, manifest: Keyed, sound: set[Digest]) -> None:
        self.listed: dict[bytes, Listed] = {}
        self.is_loaded = False
        self._store = store
        self._disk = disk
        self._manifest = manifest
        self._sound = sound
        self._lock = threading.Lock()
        self._begun = False
        self._of_age: dict[int, dict[Digest, bytes]] = {}  # nobody asked for one of these yet
        self._left: dict[Digest, bytes] = {}  # contents, of those that the manifest has them of
        self._coming: dict[Digest, threading.Event] = {}
        self._tried = threading.Event()
        self._threads: list[threading.Thread] = []

    def arrived(self, action: bytes) -> Digest | None:
        """Return what the manifest lists for an action if it has come already."""
        listed = self.listed.get(action)
        return listed.digest if listed and listed.digest in self._sound else None

    def find(self, action: bytes) -> Digest | None:
        """Return what the manifest lists for an action once it is on this machine, None if it does not get there."""
        self._begin()
        self._tried.wait(_LOAD_S)
        listed = self.listed.get(action)
        if listed is None:
            return None
        self._fetch(listed.age)
        with self._lock:
            self._left.pop(listed.digest, None)
            coming = self._coming.get(listed.digest)
        if coming:
            coming.wait()
        if not self._disk.has(listed.digest):
            self._accept(listed.digest, listed.content)
        return listed.digest if self._store.bring([listed.digest]) else None

    def lists(self, action: bytes, digest: Digest) -> bool:
        """Tell whether the manifest, as far as it is known, has this object."""
        listed = self.listed.get(action)
        return listed is not None and listed.digest == digest

    def stop(self) -> None:
        """Begin nothing new."""
        with self._lock:
            self._of_age.clear()
            self._left.clear()

    def join(self, seconds: float) -> None:
        """Wait for what has begun, for so long each."""
        for thread in self._threads:
            thread.join(seconds)

    def _begin(self) -> None:
        with self._lock:
            if self._begun:
                return
            self._begun = True
            self._start(self._load)

    def _start(self, work: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()

    def _load(self) -> None:
        listed: dict[bytes, Listed] = {}
        try:
            with contextlib.suppress(InterruptedWorkError):
                for text in self._store.texts(self._manifest):  # the server's comes last
                    with contextlib.suppress(ValueError):
                        listed = decode(text)
            missing = [one for one in listed.values() if not self._disk.has(one.digest)]
            with self._lock:
                for one in missing:
                    self._of_age.setdefault(one.age, {})[one.digest] = one.content
                self.listed = listed
                self.is_loaded = True
        finally:
            self._tried.set()
        self._fetch(0)

    def _fetch(self, age: int) -> None:
        with self._lock:
            if wanted := self._of_age.pop(age, None):
                self._left |= wanted
                for _ in range(_THREADS):
                    self._start(self._work)

    def _work(self) -> None:
        with contextlib.suppress(InterruptedWorkError):
            while batch := self._next():
                try:
                    self._bring(batch)
                finally:
                    for digest in batch:
                        self._coming[digest].set()

    def _bring(self, batch: Mapping[Digest, bytes]) -> None:
        for digest, content in batch.items():
            self._accept(digest, content)
        for most in (len(batch), 1):  # one that is gone holds up no other
            waiting = [digest for digest in batch if digest not in self._sound]
            for start in range(0, len(waiting), most):
                self._store.bring(waiting[start : start + most], came=self._came)

    def _accept(self, digest: Digest, content: bytes) -> None:
        """Keep a content that the manifest itself has."""
        if content:
            with contextlib.suppress(OSError, WrongBytesError):
                self._disk.accept(digest, [content])
                self._came(digest)

    def _came(self, digest: Digest) -> None:
        self._sound.add(digest)
        if coming := self._coming.get(digest):
            coming.set()

    def _next(self) -> dict[Digest, bytes]:
        """Take as much as is brought at once."""
        batch: dict[Digest, bytes] = {}
        size = 0
        with self._lock:
            while self._left and len(batch) < _BATCH and size < _BATCH_SIZE:
                digest = next(iter(self._left))
                batch[digest] = self._left.pop(digest)
                self._coming[digest] = threading.Event()
                size += digest.size_bytes
        return batch


def _decode(found: ActionResult) -> Iterator[tuple[bytes, Listed]]:
    for file in found.output_files[:_MOST]:
        path, digest = _PATH.fullmatch(file.path), file.digest or EMPTY
        if path and _HASH.fullmatch(digest.hash):
            yield bytes.fromhex(path[2]), Listed(digest, file.contents, int(path[1]))
