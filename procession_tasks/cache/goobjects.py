"""The objects of Go's own build cache, by the action that made them, in the caches of a run.

The go command is given files to read, so an object is the file of its content in the cache on
this machine, digested before go gets to see it.  Whatever is doubtful is not there, and go makes
it; what cannot be kept is put aside for this one command.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import files
from procession_tasks.cache import entry, gomanifest
from procession_tasks.cache.action import Keyed
from procession_tasks.cache.disk import Disk
from procession_tasks.cache.gomanifest import SMALL, Ahead, Listed
from procession_tasks.cache.reapi import EMPTY, ActionResult, Digest, OutputFile, digest_of
from procession_tasks.cache.remote import Blob, WrongBytesError
from procession_tasks.cache.store import Store

_OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Object:
    """What an action made, and the file that holds it."""

    digest: Digest
    path: Path


@dataclass(slots=True)
class Counts:
    """What go asked for and where it was; `puts` are objects that nobody had, `bytes` what they hold."""

    disk: int = 0
    remote: int = 0
    misses: int = 0
    puts: int = 0
    bytes: int = 0


def keyed(action: bytes, salt: str, kind: str = "gocacheprog-v1") -> Keyed:
    """Turn an ActionID of Go's, or something else of a kind, into an action of ours."""
    text = b"\0".join((kind.encode(), salt.encode(), action))
    return Keyed(f"{kind}:{action.hex()[:12]}", digest_of(text), (_OUTPUT,), {})


class Objects:
    """Go's objects; may be used by several threads.

    `here` is the cache on this machine alone, `everywhere` the same with a server.  `scratch` is a
    folder of this command alone.  `context` tells builds apart that use other objects, `signers` who
    has to vouch for what comes from the server.
    """

    def __init__(
        self,
        disk: Disk,
        here: Store,
        everywhere: Store | None,
        salt: str,
        context: str,
        signers: Iterable[str],
        scratch: Path,
    ) -> None:
        self.counts = Counts()
        self._disk = disk
        self._here = here
        self._everywhere = everywhere
        self._salt = salt
        self._scratch = scratch
        self._lock = threading.Lock()
        self._sound: set[Digest] = set()  # contents that this process has digested
        self._aside: dict[bytes, Object] = {}
        self._missed: set[bytes] = set()
        self._used: dict[bytes, Digest] = {}
        self._manifest = keyed(context.encode(), salt, "gocacheprog-manifest-v1")
        self._ahead = Ahead(everywhere, disk, self._manifest, self._sound) if everywhere else None
        # What came by the manifest has no entry of its own: one file instead of hundreds lists it here.
        self._index_of = keyed("\n".join([context, *sorted(signers)]).encode(), salt, "gocacheprog-index-v1")
        self._index = self._kept_index() if everywhere else {}
        self._is_indexed = True

    def near(self, action: bytes) -> Object | None:
        """Find an object on this machine."""
        if aside := self._aside.get(action):
            return aside
        if arrived := self._arrived(action):
            return arrived
        found = self._indexed(action) or self._take(self._here, keyed(action, self._salt))
        if found:
            self._note(action, found)
            self.counts.disk += 1
        return found

    def far(self, action: bytes) -> Object | None:
        """Find an object that is not on this machine on a server; it is then on this machine, too."""
        if self._is_never_put(action):
            with self._lock:
                self.counts.misses += 1
            return None
        found = None
        if self._everywhere:
            found = self._listed(action) or self._take(self._everywhere, keyed(action, self._salt))
        if found:
            self._note(action, found)
        with self._lock:
            self.counts.remote += found is not None
            self.counts.misses += found is None
            if found is None:
                self._missed.add(action)
        return found

    def put(self, action: bytes, output: bytes, content: bytes) -> Path:
        """Keep an object, `output` being its SHA-256; return its file, which is not there if none can be written."""
        asked, digest = keyed(action, self._salt), Digest(output.hex(), len(content))
        with contextlib.suppress(WrongBytesError, OSError):  # a damaged one is gone now
            if self._disk.has(digest):
                self._verify(digest)
        if not self._is_kept(action, asked, digest):
            is_shared = self._is_shared(action, digest)
            store = self._here if is_shared or self._everywhere is None else self._everywhere
            store.keep(asked, _result(digest), {digest: Blob(digest, content)}, 0.0)
            with self._lock:
                self.counts.puts += not is_shared
                self.counts.bytes += 0 if is_shared else digest.size_bytes
        self._missed.discard(action)
        made = Object(digest, self._disk.path(digest))
        if not self._disk.has(digest) or not made.path.exists():
            return self._put_aside(action, digest, content)
        self._sound.add(digest)
        self._note(action, made)
        return made.path

    def end(self, *, share: bool) -> None:
        """Note what go asked for in vain; if `share`, list what it used for other machines."""
        with contextlib.suppress(OSError):
            for action in self._missed:
                never = self._never_put(action)
                self._disk.put_result(never.key, entry.bound(ActionResult(exit_code=1), never.key))
        if self._ahead is None or self._everywhere is None:
            return
        if share and self._ahead.is_loaded and (objects := gomanifest.renewed(self._ahead.listed, self._used)):
            self._keep_list(self._everywhere, self._manifest, self._with_contents(objects))
        if not self._is_indexed and (objects := gomanifest.renewed(self._index, self._used, enough=0.0)):
            self._keep_list(self._here, self._index_of, objects)

    def stop(self) -> None:
        """Fetch nothing more ahead."""
        if self._ahead:
            self._ahead.stop()

    def join(self, seconds: float) -> None:
        """Wait for threads that have been asked to stop."""
        if self._ahead:
            self._ahead.join(seconds)

    def _take(self, store: Store, asked: Keyed) -> Object | None:
        used: list[Digest] = []

        def use(result: ActionResult, _: Disk) -> None:
            digest = result.output_files[0].digest or EMPTY
            self._verify(digest)
            used.append(digest)

        found = store.take(asked, use)
        return Object(used[-1], self._disk.path(used[-1])) if found else None

    def _arrived(self, action: bytes) -> Object | None:
        """Find an object that came ahead of being asked for."""
        digest = self._ahead.arrived(action) if self._ahead else None
        if digest is None:
            return None
        found = self._by_manifest(action, digest)
        with self._lock:
            self.counts.remote += 1
        return found

    def _listed(self, action: bytes) -> Object | None:
        """Find an object by the manifest of the server."""
        digest = self._ahead.find(action) if self._ahead else None
        with contextlib.suppress(WrongBytesError, OSError):
            if digest:
                self._verify(digest)
                return self._by_manifest(action, digest)
        return None

    def _by_manifest(self, action: bytes, digest: Digest) -> Object:
        """Note an object that has no entry of its own on this machine."""
        found = Object(digest, self._disk.path(digest))
        self._note(action, found)
        self._is_indexed = False
        return found

    def _indexed(self, action: bytes) -> Object | None:
        """Find an object that a manifest brought to this machine."""
        listed = self._index.get(action)
        with contextlib.suppress(WrongBytesError, OSError):
            if listed and self._disk.has(listed.digest):
                self._verify(listed.digest)
                return Object(listed.digest, self._disk.path(listed.digest))
        return None

    def _kept_index(self) -> dict[bytes, Listed]:
        for text in self._here.texts(self._index_of):
            with contextlib.suppress(ValueError):
                return gomanifest.decode(text)
        return {}

    @staticmethod
    def _keep_list(store: Store, asked: Keyed, objects: Mapping[bytes, Listed]) -> None:
        text = gomanifest.encode(objects)
        digest = digest_of(text)
        store.keep(asked, _result(digest), {digest: Blob(digest, text)}, 0.0)

    def _verify(self, digest: Digest) -> None:
        """Digest a content that this process has not yet; raises WrongBytesError, and OSError for the empty one."""
        if digest == EMPTY and not self._disk.path(EMPTY).exists():
            self._disk.accept(EMPTY, ())
        if digest not in self._sound:
            for _ in self._disk.chunks(digest):
                pass
            self._sound.add(digest)

    def _is_kept(self, action: bytes, asked: Keyed, digest: Digest) -> bool:
        if not self._disk.has(digest):
            return False
        if (listed := self._index.get(action)) and listed.digest == digest:
            return True
        kept = self._disk.result(asked.key)
        return (
            kept is not None and entry.is_bound(kept, asked.key) and kept.output_files == _result(digest).output_files
        )

    def _is_shared(self, action: bytes, digest: Digest) -> bool:
        """Tell whether a server has this object for all that we know: go puts what linking said without asking."""
        return self._ahead is not None and action not in self._missed and self._ahead.lists(action, digest)

    def _never_put(self, action: bytes) -> Keyed:
        """Key the note that go did not put what it had asked for: programs it links anew whenever they are needed."""
        return keyed(action, self._salt, "gocacheprog-never-v1")

    def _is_never_put(self, action: bytes) -> bool:
        return self._disk.result(self._never_put(action).key) is not None

    def _note(self, action: bytes, found: Object) -> None:
        with self._lock:
            self._used[action] = found.digest

    def _put_aside(self, action: bytes, digest: Digest, content: bytes) -> Path:
        """Keep an object for this command alone; go need not find it again."""
        path = self._scratch / digest.hash
        with contextlib.suppress(OSError):
            if digest_of(content) == digest:
                files.write(path, content)
                self._aside[action] = Object(digest, path)
        return path

    def _with_contents(self, objects: Mapping[bytes, Listed]) -> dict[bytes, Listed]:
        """Add what is small of the last build's, which spares a request each."""
        room = gomanifest.CARRIED
        found = dict(objects)
        for action, listed in objects.items():
            size = listed.digest.size_bytes
            if listed.age == 0 and 0 < size <= min(SMALL, room):
                with contextlib.suppress(WrongBytesError):
                    found[action] = Listed(listed.digest, self._disk.read(listed.digest))
                    room -= size
        return found


def _result(digest: Digest) -> ActionResult:
    return ActionResult(output_files=(OutputFile(_OUTPUT, digest),))
