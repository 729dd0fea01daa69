"""The caches of a run as one: this machine's before the server's, results taken and kept.

A result counts when it is of the action asked for, is complete, and every content that it
names is on this machine with the bytes that its digest says.  Whatever else happens is a miss.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from procession_tasks.cache import entry, outputs
from procession_tasks.cache.action import Keyed
from procession_tasks.cache.disk import Disk
from procession_tasks.cache.guard import Guard
from procession_tasks.cache.merkle import child_directories
from procession_tasks.cache.reapi import EMPTY, ActionResult, Digest
from procession_tasks.cache.remote import Blob, GoneError, Remote, RemoteError, WrongBytesError
from procession_tasks.cache.signing import Signer, Verifier
from procession_tasks.cache.uploads import Uploads

Warn = Callable[[str], None]

_MOST_WORTH_S = 60.0  # what an entry says of its time is not believed beyond this
_EXTRA_S = 5.0
_LEAST_WAIT_S = 5.0


class _Tier(Protocol):
    name: str

    def result(self, key: Digest) -> ActionResult | None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A result that can be used: where it was, and how long the action took when it was run."""

    result: ActionResult
    where: str
    seconds: float


@dataclass(slots=True)
class Account:
    """What a run had of a cache elsewhere; bytes are those of contents.

    `moves` are the transfers of contents: what, when by the monotonic clock, seconds, bytes.
    """

    fetched: int = 0
    sent: int = 0
    moves: list[tuple[str, float, float, int]] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)


class Store:
    """Results by action; several threads may use it.

    `disk` is where contents are kept while they are used, a folder of this run alone where there
    is no better one.  `remote` is asked after it, and written to if `writes`.
    """

    def __init__(
        self,
        disk: Disk,
        remote: Remote | None,
        warn: Warn,
        *,
        writes: bool = False,
        signer: Signer | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self.account = Account()
        self._disk = disk
        self._remote = remote
        self._warn = warn
        self._signer = signer
        self._verifier = verifier
        self._lock = threading.Lock()
        self._is_writable = True
        self._heard: list[str] = []
        self._there: set[Digest] = set()  # contents that the server has
        self._begun = time.monotonic()
        self._name = remote.name if remote else ""
        self._reading = Guard(f"cache {self._name}", "building without it", warn)
        self._writing = Guard(f"cache {self._name}", "results of this run are not shared", warn)
        self._uploads = Uploads() if remote and writes else None

    @property
    def written(self) -> int:
        """The bytes that this run added to this machine's cache."""
        return self._disk.written

    @property
    def is_answering(self) -> bool:
        """Whether there is a server, which was asked something and did not fail."""
        return self._remote is not None and bool(self._reading.answers) and not self._reading.failures

    def add(self, written: int, fetched: int, sent: int, warnings: Iterable[str]) -> None:
        """Count bytes that a helper of this run moved: into this machine's cache, from the server, to it.

        What it warns of is told in the end, unless this run found something of the kind itself.
        """
        with self._lock:
            self._heard += warnings
            self._disk.written += written
            self.account.fetched += fetched
            self.account.sent += sent

    def take(self, keyed: Keyed, use: Callable[[ActionResult, Disk], None]) -> Found | None:
        """Find the result of an action and have it used; None when there is none that can be.

        `use` reads contents, and is called again when one turned out to be damaged.  What it raises
        is raised, but for what says that a result is no good: WrongBytesError, ValueError.
        """
        for _ in range(2):  # once more, with what was damaged fetched anew
            found = self._find(keyed)
            if found is None:
                return None
            try:
                use(found.result, self._disk)
            except (WrongBytesError, ValueError) as error:
                self._refuse(f"damaged ({error})")
            else:
                return found
        return None

    def has(self, keyed: Keyed) -> bool:
        """Tell whether a cache says that it has a result; that its contents can be had is not looked at."""
        for tier in (self._disk, self._remote):
            found = self._result(tier, keyed) if tier else None
            if tier and found and self._is_good(found, keyed, tier):
                return True
        return False

    def texts(self, keyed: Keyed) -> Iterator[bytes]:
        """Read the one file of an action's result as each cache has it, for actions whose result may change."""
        for tier in (self._disk, self._remote):
            found = self._answer(tier, keyed) if tier else None
            if found is not None:
                with contextlib.suppress(WrongBytesError, ValueError):
                    yield outputs.only(found, self._disk)

    def keep(self, keyed: Keyed, result: ActionResult, blobs: Mapping[Digest, Blob], seconds: float) -> None:
        """Store what an action made, here and, in the background, on the server."""
        entry_of = entry.bound(result, keyed.key, seconds)
        if self._signer:
            entry_of = self._signer.sign(entry_of, keyed.key)
        if not self._keep_here(keyed.key, entry.marked(entry_of), blobs):
            return
        if self._uploads:
            sent = [Blob(digest, self._disk.path(digest)) for digest in blobs if digest != EMPTY]
            self._uploads.put(lambda: self._upload(keyed.key, entry_of, sent))

    def bring(
        self, digests: Collection[Digest], worth_s: float = _MOST_WORTH_S, came: Callable[[Digest], None] | None = None
    ) -> bool:
        """Have contents on this machine, unless that takes longer than it is worth; tell whether they all are.

        `came` is told of each that is fetched as soon as it is there, by any thread.
        """
        missing = [digest for digest in sorted(digests) if not self._disk.has(digest)]
        remote = self._remote
        if not missing or remote is None:
            return not missing
        return self._reading.ask(lambda: self._fetch(remote, missing, worth_s, came), otherwise=False)

    def close(self, *, wait: bool = True) -> None:
        """End: send what is left to send, unless there is no time for it."""
        if self._uploads:
            # Sending takes no longer than the build did, or than nobody would notice.
            longest = max(_LEAST_WAIT_S, time.monotonic() - self._begun) if wait else 0
            if not self._uploads.close(longest) and wait and self._writing.is_open:
                self._warn(f"cache {self._name}: too slow; not all results of this run are shared")
        if self._reading.is_open and self._writing.is_open:  # else what is wrong was told
            self._reading.tell()
            self._writing.tell()
            for text in () if self._reading.failures or self._writing.failures else self._heard:
                self._warn(text)
        for why, times in sorted(self.account.refused.items()):
            self._warn(f"cache: {times} of the results there could not be used: {why}")
        if self._remote:
            self._remote.close()
        self._disk.close()

    def _find(self, keyed: Keyed) -> Found | None:
        if here := self._answer(self._disk, keyed):
            return Found(here, self._disk.name, entry.seconds(here))
        remote = self._remote
        if remote is None or (there := self._answer(remote, keyed)) is None:
            return None
        self._write(lambda: self._disk.put_result(keyed.key, entry.unmarked(there)))
        return Found(there, remote.name, entry.seconds(there))

    def _answer(self, tier: _Tier, keyed: Keyed) -> ActionResult | None:
        """Ask one cache, and have the contents of what it answers on this machine."""
        result = self._result(tier, keyed)
        return result if result and self._is_good(result, keyed, tier) and self._bring(result) else None

    def _result(self, tier: _Tier, keyed: Keyed) -> ActionResult | None:
        if tier is self._remote:
            return self._reading.ask(lambda: tier.result(keyed.key), None)
        return tier.result(keyed.key)

    def _is_good(self, result: ActionResult, keyed: Keyed, tier: _Tier) -> bool:
        if not entry.is_bound(result, keyed.key) or not outputs.is_of(result, keyed.outputs):
            self._refuse("of another action, or incomplete")
            return False
        is_ours = tier is self._disk and entry.is_marked(result)
        if self._verifier and not is_ours and not self._verifier.is_signed(result, keyed.key):
            self._refuse("not signed by any of the signers")
            return False
        return True

    def _bring(self, result: ActionResult) -> bool:
        """Have every content that a result names on this machine; tell whether that is so."""
        worth_s = min(entry.seconds(result), _MOST_WORTH_S) + _EXTRA_S
        if not self.bring(outputs.direct(result), worth_s):
            return False
        try:
            folders = outputs.trees(result, self._disk)
        except (WrongBytesError, ValueError):
            return False
        return self.bring(outputs.indirect(folders), worth_s)

    def _fetch(
        self, remote: Remote, digests: Collection[Digest], worth_s: float, came: Callable[[Digest], None] | None
    ) -> bool:
        started = time.monotonic()
        end = started + worth_s

        def accept(digest: Digest, chunks: Iterable[bytes]) -> None:
            self._disk.accept(digest, _until(end, chunks))
            if came:
                came(digest)

        try:
            remote.fetch([digest for digest in digests if not self._disk.has(digest)], accept)
        except GoneError:
            return False  # evicted: the action is run, and all of it is stored again
        except OSError as error:
            self._without_disk(error)
            return False
        size = sum(digest.size_bytes for digest in digests)
        with self._lock:
            self.account.fetched += size
            self.account.moves.append((f"fetch {remote.name}", started, time.monotonic() - started, size))
            self._there.update(digests)
        return True

    def _keep_here(self, key: Digest, result: ActionResult, blobs: Mapping[Digest, Blob]) -> bool:
        def write() -> None:
            for digest, blob in blobs.items():
                if not self._disk.has(digest):
                    self._disk.accept(digest, blob.chunks())
            self._disk.put_result(key, result)

        return self._write(write)

    def _write(self, do: Callable[[], None]) -> bool:
        """Write to this machine's cache if that can be; tell whether it was."""
        if self._is_writable:
            try:
                do()
            except WrongBytesError:
                return False  # an output was changed behind our back: it is not what was made
            except OSError as error:
                self._without_disk(error)
            else:
                return True
        return False

    def _without_disk(self, error: OSError) -> None:
        with self._lock:
            if self._is_writable:
                self._is_writable = False
                self._warn(f"cache {self._disk.folder}: cannot be written: {error.strerror}; going on without it")

    def _upload(self, key: Digest, result: ActionResult, blobs: Collection[Blob]) -> None:
        if self._reading.is_open:  # else it was found out already what this server is like
            self._writing.ask(lambda: self._send(key, result, blobs), None)

    def _send(self, key: Digest, result: ActionResult, blobs: Collection[Blob]) -> None:
        """Store contents first: a result on the server never names what is not there."""
        if self._remote is None:
            return
        whole = [*blobs, *self._directories(result)] if self._remote.knows_directories else blobs
        new = [blob for blob in whole if blob.digest not in self._there]
        size, started = sum(blob.digest.size_bytes for blob in new), time.monotonic()
        with contextlib.suppress(OSError):  # of this machine's files: somebody emptied the cache meanwhile
            self._remote.send(new)
            self._remote.put_result(key, result)
            with self._lock:
                self.account.sent += size
                self.account.moves.append((f"send {self._remote.name}", started, time.monotonic() - started, size))
                self._there.update(blob.digest for blob in new)

    def _directories(self, result: ActionResult) -> Iterator[Blob]:
        with contextlib.suppress(WrongBytesError, ValueError):  # then the result is of no use there
            for tree in outputs.tree_messages(result, self._disk).values():
                yield from (Blob(digest, content) for digest, content in child_directories(tree).items())

    def _refuse(self, why: str) -> None:
        with self._lock:
            self.account.refused[why] = self.account.refused.get(why, 0) + 1


def _until(end: float, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass on pieces while that is quicker than the work that they spare."""
    for chunk in chunks:
        yield chunk
        if time.monotonic() > end:
            raise RemoteError("slower than doing the work")
