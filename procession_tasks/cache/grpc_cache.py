"""A cache that speaks the Remote Execution API: results, and blobs by their digest, many at once.

Source: Remote Execution API 2.3, ActionCache and ContentAddressableStorage; google.bytestream.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Iterable

from procession_tasks import interruption
from procession_tasks.cache import bytestream, capabilities, services
from procession_tasks.cache.channel import Channel
from procession_tasks.cache.reapi import EMPTY, PACKAGE, ActionResult, Digest
from procession_tasks.cache.remote import (
    STALL_TIMEOUT_S,
    Accept,
    Blob,
    GoneError,
    RemoteError,
    WrongBytesError,
    patience,
)
from procession_tasks.cache.services import ServerCapabilities
from procession_tasks.cache.settings import Endpoint
from procession_tasks.cache.status import StatusError, code_name, failure

_RESULTS = f"{PACKAGE}.ActionCache"
_BLOBS = f"{PACKAGE}.ContentAddressableStorage"
_STREAMS = "google.bytestream.ByteStream"
_NO_INSTANCE = ("INVALID_ARGUMENT", "NOT_FOUND")  # servers differ
_AT_ONCE = 4
_SMALL = 1024 * 1024  # a larger blob has a stream of its own
_BATCH = 1024 * 1024  # more would make nothing faster, and a server that hangs harder to tell
_ABOUT = 256  # bytes that a message says of one blob, at most
_ASKED_AT_ONCE = 8192


class GrpcCache:
    """A `Remote` behind a channel; `accept` is called from several threads."""

    knows_directories = True

    def __init__(self, endpoint: Endpoint) -> None:
        """Raise BuildError as `Channel`; nothing is asked of the server yet."""
        self.name = endpoint.name
        self.instance = endpoint.instance
        self.channel = Channel(endpoint)
        self._capabilities: ServerCapabilities | None = None

    def capabilities(self) -> ServerCapabilities:
        """Return what the server can do, which is enough for a cache; it is asked once."""
        if self._capabilities is None:
            request = services.GetCapabilitiesRequest(self.instance)
            try:
                found = self.channel.ask(f"{PACKAGE}.Capabilities/GetCapabilities", request, ServerCapabilities)
            except StatusError as error:
                raise _no_instance(self.instance) if error.code in _NO_INSTANCE else error from None
            capabilities.check_cache(found)
            self._capabilities = found
        return self._capabilities

    def result(self, key: Digest) -> ActionResult | None:
        """Return what is stored under an action's digest, None when that is nothing."""
        self.capabilities()
        request = services.GetActionResultRequest(self.instance, key)
        try:
            return self.channel.ask(f"{_RESULTS}/GetActionResult", request, ActionResult)
        except StatusError as error:
            if error.code == "NOT_FOUND":
                return None
            raise

    def put_result(self, key: Digest, result: ActionResult) -> None:
        """Store a result, whose blobs are all there."""
        if not capabilities.takes_results(self.capabilities()):
            raise RemoteError("takes no results from clients", lasts=True)
        request = services.UpdateActionResultRequest(self.instance, key, result)
        self.channel.ask(f"{_RESULTS}/UpdateActionResult", request, ActionResult)

    def fetch(self, digests: Collection[Digest], accept: Accept) -> None:
        """Have blobs accepted, in any order; raises GoneError for one that is not there."""
        if EMPTY in digests:
            accept(EMPTY, ())

        def one(batch: list[Digest]) -> None:
            self._read_batch(batch, accept) if self._is_small(batch[0]) else self._read(batch[0], accept)

        interruption.few_at_once(one, self._batched(digests), _AT_ONCE)

    def read(self, digest: Digest) -> bytes:
        """Return a blob whole; for small ones.  Raises WrongBytesError, too."""
        read: list[bytes] = []

        def accept(_: Digest, pieces: Iterable[bytes]) -> None:
            read.extend(pieces)

        self.fetch([digest], accept)
        content = b"".join(read)
        if hashlib.sha256(content).hexdigest() != digest.hash:
            raise WrongBytesError(f"the blob {digest.hash} has other bytes")
        return content

    def find_missing(self, digests: Collection[Digest]) -> set[Digest]:
        """Return those that are not there."""
        wanted = _distinct(digests)
        if wanted:
            self.capabilities()
        missing: set[Digest] = set()
        for start in range(0, len(wanted), _ASKED_AT_ONCE):
            asked = tuple(wanted[start : start + _ASKED_AT_ONCE])
            request = services.FindMissingBlobsRequest(self.instance, asked)
            seconds = patience(len(asked) * _ABOUT)
            answer = self.channel.ask(f"{_BLOBS}/FindMissingBlobs", request, services.FindMissingBlobsResponse, seconds)
            missing.update(answer.missing_blob_digests)
        return missing.intersection(wanted)

    def send(self, blobs: Collection[Blob]) -> None:
        """Store blobs that are not there yet."""
        known = {blob.digest: blob for blob in blobs}
        missing = self.find_missing(known)

        def one(batch: list[Digest]) -> None:
            sent = [known[digest] for digest in batch]
            try:
                self._write_batch(sent) if self._is_small(batch[0]) else self._write(sent[0])
            except OSError as error:
                raise RemoteError(f"{error.filename} cannot be read to be sent") from None

        interruption.few_at_once(one, self._batched(digest for digest in known if digest in missing), _AT_ONCE)

    def close(self) -> None:
        """Let go of connections."""
        self.channel.close()

    def _is_small(self, digest: Digest) -> bool:
        return digest.size_bytes <= min(_SMALL, capabilities.batch_limit(self.capabilities()))

    def _batched(self, digests: Iterable[Digest]) -> list[list[Digest]]:
        """Split into what goes in one message; a large blob is alone, and the large ones are first."""
        wanted = _distinct(digests)
        large = [[digest] for digest in wanted if not self._is_small(digest)]
        limit = min(_BATCH, capabilities.batch_limit(self.capabilities())) if wanted else 0
        small: list[list[Digest]] = []
        room = 0
        for digest in filter(self._is_small, wanted):
            needed = digest.size_bytes + _ABOUT
            if not small or needed > room:
                small.append([])
                room = limit
            small[-1].append(digest)
            room -= needed
        return [*large, *small]

    def _read_batch(self, batch: list[Digest], accept: Accept) -> None:
        request = services.BatchReadBlobsRequest(self.instance, tuple(batch))
        seconds = patience(_size(batch))
        answer = self.channel.ask(f"{_BLOBS}/BatchReadBlobs", request, services.BatchReadBlobsResponse, seconds)
        waiting = set(batch)
        for blob in answer.responses:
            if blob.digest not in waiting:
                continue
            waiting.remove(blob.digest)
            _check_read(blob.digest, blob.status)
            accept(blob.digest, (blob.data,))
        for digest in waiting:
            raise _gone(digest)

    def _read(self, digest: Digest, accept: Accept) -> None:
        request = services.ReadRequest(self._resource(f"blobs/{digest.hash}/{digest.size_bytes}"))
        listening = self.channel.listen(
            f"{_STREAMS}/Read", request, services.ReadResponse, most=patience(digest.size_bytes), stall=STALL_TIMEOUT_S
        )
        try:
            with listening as pieces:
                accept(digest, bytestream.contents(digest, pieces))
        except StatusError as error:
            raise _gone(digest) if error.code == "NOT_FOUND" else error from None

    def _write_batch(self, batch: list[Blob]) -> None:
        requests = tuple(services.UpdateBlob(blob.digest, blob.read()) for blob in batch)
        request = services.BatchUpdateBlobsRequest(self.instance, requests)
        seconds = patience(_size(blob.digest for blob in batch))
        answer = self.channel.ask(f"{_BLOBS}/BatchUpdateBlobs", request, services.BatchUpdateBlobsResponse, seconds)
        waiting = {blob.digest for blob in batch}
        for blob in answer.responses:
            if blob.status is not None and blob.status.code:
                raise _not_kept(failure(code_name(blob.status.code)))
            waiting.discard(blob.digest or EMPTY)
        if waiting:
            raise RemoteError("did not keep what it was sent")

    def _write(self, blob: Blob) -> None:
        size = blob.digest.size_bytes
        name = self._resource(f"uploads/{uuid.uuid4()}/blobs/{blob.digest.hash}/{size}")
        requests = bytestream.pieces_of(name, blob)
        try:
            answer = self.channel.tell(f"{_STREAMS}/Write", requests, services.WriteResponse, most=patience(size))
        except StatusError as error:
            raise _not_kept(error) from None
        if answer.committed_size != size:
            raise RemoteError("did not keep what it was sent")

    def _resource(self, path: str) -> str:
        return f"{self.instance}/{path}" if self.instance else path


def _distinct(digests: Iterable[Digest]) -> list[Digest]:
    """Leave out the empty blob, which every server has, and what stands twice."""
    return [digest for digest in dict.fromkeys(digests) if digest.size_bytes]


def _size(digests: Iterable[Digest]) -> int:
    return sum(digest.size_bytes for digest in digests)


def _check_read(digest: Digest, status: services.Status | None) -> None:
    if status is not None and status.code:
        code = code_name(status.code)
        raise _gone(digest) if code == "NOT_FOUND" else failure(code)


def _no_instance(name: str) -> RemoteError:
    return RemoteError(f"has no instance of the name {name!r}" if name else "needs an instance name", lasts=True)


def _gone(digest: Digest) -> GoneError:
    return GoneError(f"the blob {digest.hash} is not there any more")


def _not_kept(error: StatusError) -> RemoteError:
    """Tell bytes that changed since they were digested from calls that are wrong for good."""
    if error.code == "INVALID_ARGUMENT":
        return StatusError(error.code, "does not keep bytes that have another digest")
    return error
