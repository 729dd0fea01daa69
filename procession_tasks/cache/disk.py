"""The cache on this machine: Bazel's disk layout, a file a blob and a file a result.

``ac/ab/ab…`` is the result of the action with that digest, ``cas/ab/ab…`` the content with that
SHA-256.  A file gets its name when it is whole; a content is digested whenever it is read.  The
time of a file is that of its last use.

Source: Bazel, `--disk_cache`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from procession_tasks import files, interruption
from procession_tasks.cache import wire
from procession_tasks.cache.reapi import EMPTY, ActionResult, Digest, is_sound
from procession_tasks.cache.remote import WrongBytesError

_CHUNK = 256 * 1024
_numbers = itertools.count()


class Disk:
    """Results and contents in a folder; several processes may use it at once.

    Every method but the readers raises OSError when the folder cannot be written.
    """

    name = "disk"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = 0  # bytes, by this process
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder, and let nobody collect what this process is about to use."""
        for name in ("ac", "cas", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        self._lock = descriptor

    def close(self) -> None:
        """Let others collect."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Tell whether no other process uses the cache, and keep it so for the block."""
        self.close()
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)

    def path(self, digest: Digest) -> Path:
        """Say where a content is, if it is there; raises WrongBytesError for what is no digest."""
        return Path(self._place(digest))

    def has(self, digest: Digest) -> bool:
        """Tell whether a content of that name and size is there, and note that it is used."""
        if digest == EMPTY:
            return True
        try:
            path = self._place(digest)
            if os.stat(path).st_size != digest.size_bytes:
                return False
        except (OSError, WrongBytesError):
            return False
        _use(path)
        return True

    def result(self, key: Digest) -> ActionResult | None:
        """Return what is stored under a key; what cannot be read is not there."""
        path = self._entry(key)
        try:
            result = wire.decode(ActionResult, Path(path).read_bytes())
        except (OSError, ValueError):
            return None
        _use(path)
        return result

    def put_result(self, key: Digest, result: ActionResult) -> None:
        """Store a result, whose contents are all there."""
        with self._new(self._entry(key)) as descriptor:
            content = wire.encode(result)
            files.write_all(descriptor, content)
            self.written += len(content)

    def accept(self, digest: Digest, chunks: Iterable[bytes]) -> None:
        """Store a content; raises WrongBytesError, and stores nothing, when it is not what its digest says."""
        hasher, size = hashlib.sha256(), 0
        with self._new(self._place(digest)) as descriptor:
            for chunk in chunks:
                interruption.check()
                hasher.update(chunk)
                size += len(chunk)
                if size > digest.size_bytes:
                    break
                files.write_all(descriptor, chunk)
            if size != digest.size_bytes or hasher.hexdigest() != digest.hash:
                raise WrongBytesError(f"a blob is not what its digest says ({digest.hash[:12]}…)")
            self.written += size

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """Read a content; raises WrongBytesError at its end when it is not what its name says, and forgets it."""
        if digest == EMPTY:
            return
        hasher = hashlib.sha256()
        try:
            descriptor = os.open(self._place(digest), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise WrongBytesError(f"{self.path(digest)} cannot be read: {error.strerror}") from None
        try:
            while chunk := self._piece(digest, descriptor):
                hasher.update(chunk)
                yield chunk
        finally:
            os.close(descriptor)
        if hasher.hexdigest() != digest.hash:
            self._drop(digest)
            raise WrongBytesError(f"{self.path(digest)} is not what its name says")

    def read(self, digest: Digest) -> bytes:
        """Read a small content whole; raises as `chunks`."""
        return b"".join(self.chunks(digest))

    def _piece(self, digest: Digest, descriptor: int) -> bytes:
        try:
            return os.read(descriptor, _CHUNK)
        except OSError as error:
            raise WrongBytesError(f"{self.path(digest)} cannot be read: {error.strerror}") from None

    def _drop(self, digest: Digest) -> None:
        with contextlib.suppress(OSError):
            self.path(digest).unlink(missing_ok=True)

    def _place(self, digest: Digest) -> str:
        """Say the same as `path` in less time."""
        if not is_sound(digest):
            raise WrongBytesError("a digest is none")
        return f"{self.folder}/cas/{digest.hash[:2]}/{digest.hash}"

    def _entry(self, key: Digest) -> str:
        return f"{self.folder}/ac/{key.hash[:2]}/{key.hash}"

    @contextlib.contextmanager
    def _new(self, path: str) -> Iterator[int]:
        """Open a file that gets its name when the block ends well; whoever has the name first may keep it."""
        part = os.path.join(self.folder, "tmp", f"{os.getpid()}-{threading.get_native_id()}-{next(_numbers)}")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        try:
            try:
                yield descriptor
            finally:
                os.close(descriptor)
            try:
                os.replace(part, path)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.replace(part, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            raise


def _use(path: str) -> None:
    with contextlib.suppress(OSError):  # a read-only cache has other ways to know what is in use
        os.utime(path)
