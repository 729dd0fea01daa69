"""The signed indexes of Debian's repositories, verified link by link and kept while they are used.

The signature vouches for the Release file, that for the Packages file, and that for each package.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from procession_tasks import files, interruption
from procession_tasks.debian.download import Wanted, download, read
from procession_tasks.debian.failure import FailedDownloadError
from procession_tasks.debian.pin import IndexPin
from procession_tasks.debian.progress import Progress
from procession_tasks.debian.release import Release, parse_release
from procession_tasks.debian.repositories import TRY_ANOTHER, Place, Repositories, repository_of
from procession_tasks.debian.signature import verified
from procession_tasks.debian.stream import BrokenError, inflated, limited
from procession_tasks.errors import BuildError

P = ParamSpec("P")
T = TypeVar("T")

COMPONENT = "main"
_RELEASE_LIMIT = 4 * 1024 * 1024  # Debian's largest has 200 KB
_FORMS = (".xz", ".gz", "")
_CHUNK = 256 * 1024
_UNUSED_S = 14 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signature counts and when: a keyring, the time it is, and whether an expired index is only warned of."""

    keyring: Path
    now: datetime
    expired_counts: bool = False


@dataclass(frozen=True, slots=True)
class _Suite:
    """A verified Release file, where it came from, and who signed it."""

    place: Place
    release: Release
    signers: tuple[str, ...]


class Archive:
    """Fetches indexes, each once; `warn` is told what is odd but no reason to stop.

    Safe to use from several threads.
    """

    def __init__(
        self,
        repositories: Repositories,
        trust: Trust,
        folder: Path,
        environment: Mapping[str, str],
        warn: Callable[[str], None],
    ) -> None:
        self._repositories = repositories
        self._trust = trust
        self._folder = folder
        self._environment = environment
        self._warn = warn
        self._lock = threading.RLock()
        self._suite = _once(self._read_suite)
        self._packages = _once(self._have_packages)

    def release(self, suite: str) -> Release:
        """Return what a suite says of itself; raises BuildError when it cannot be had or trusted."""
        with self._lock:
            return self._suite(suite).release

    def packages(self, suite: str, architecture: str) -> tuple[Path, IndexPin]:
        """Return the uncompressed Packages file of a suite, and what identifies it.

        Raises BuildError when it cannot be had or trusted.
        """
        with self._lock:
            return self._packages(suite, architecture)

    def _read_suite(self, suite: str) -> _Suite:
        repository = repository_of(suite)
        place = self._repositories.place(repository, suite)
        name = f"{repository}/dists/{suite}/InRelease"
        try:
            text = _abandonable(partial(read, place, f"dists/{suite}/InRelease", _RELEASE_LIMIT))
        except FailedDownloadError as failure:
            hint = "see whether this is a suite that the mirror has" if failure.kind == "gone" else TRY_ANOTHER
            raise BuildError(f"{name}: {failure}", hint=hint) from None
        signed = verified(text, self._trust.keyring, name, self._environment)
        release = parse_release(signed.text, name)
        if suite not in (release.suite, release.codename):
            got = f"{release.suite} ({release.codename})"
            raise BuildError(f"{name}: must be of the suite {suite}, got {got}")
        self._check_date(release, place, name)
        return _Suite(place, release, signed.signers)

    def _check_date(self, release: Release, place: Place, name: str) -> None:
        if not release.is_expired(self._trust.now):
            return
        until = f"{release.valid_until:%Y-%m-%d}"
        if self._trust.expired_counts or not place.dates_count:
            self._warn(f"{name}: was valid until {until}")
            return
        hint = 'use another mirror; or set expired = "warn" under [tool.procession.debian]'
        raise BuildError(f"{name}: must not be expired, got one that was valid until {until}", hint=hint)

    def _have_packages(self, suite: str, architecture: str) -> tuple[Path, IndexPin]:
        found = self._suite(suite)
        repository, path = repository_of(suite), f"{COMPONENT}/binary-{architecture}/Packages"
        name = f"{repository}/dists/{suite}/{path}"
        if path not in found.release.files:
            raise BuildError(f"{name}: must be listed in the suite's Release file")
        wanted = Wanted(*found.release.files[path])
        target = self._folder / f"{wanted.sha256}.packages"
        if not wanted.is_in(target):
            _remove_unused(self._folder)
            try:
                packed, suffix = self._fetch(found, suite, path, target)
                if suffix:
                    _unpack(packed, suffix, wanted, target)
            except FailedDownloadError as failure:
                hint = (
                    TRY_ANOTHER if failure.kind == "unreachable" else "the mirror may be at work, try again in minutes"
                )
                raise BuildError(f"{name}: {failure}", hint=hint) from None
            except BrokenError as error:
                raise BuildError(f"{name}{suffix}: {error}") from None
        os.utime(target)
        stamp = found.release.stamp
        return target, IndexPin(repository, suite, COMPONENT, architecture, stamp, wanted.sha256, found.signers)

    def _fetch(self, found: _Suite, suite: str, path: str, target: Path) -> tuple[Path, str]:
        """Download the smallest form of an index that the mirror has; say where it is, and the suffix of its form.

        Raises FailedDownloadError, that of the form that was tried first.
        """
        first: FailedDownloadError | None = None
        for suffix, where, wanted in _forms(found.release, path):
            file = target.with_name(f"{wanted.sha256}{suffix}") if suffix else target
            progress = Progress(f"downloading the index of {suite}", wanted.size)
            try:
                _abandonable(partial(download, found.place, f"dists/{suite}/{where}", file, wanted, progress.advance))
            except FailedDownloadError as failure:
                first = first or failure
                if failure.kind == "unreachable":
                    break
            else:
                return file, suffix
            finally:
                progress.finish()
        raise first or FailedDownloadError("gone", "not in a form that can be read")


def _forms(release: Release, path: str) -> Iterator[tuple[str, str, Wanted]]:
    """List the forms of an index and their names, each with what it must be; the smallest comes first.

    Not every mirror has the names by digest that its Release file speaks of.
    """
    known = [(suffix, Wanted(*release.files[path + suffix])) for suffix in _FORMS if path + suffix in release.files]
    for suffix, wanted in sorted(known, key=lambda form: form[1].size):
        if release.by_hash:
            yield suffix, f"{path.rpartition('/')[0]}/by-hash/SHA256/{wanted.sha256}", wanted
        yield suffix, f"{path}{suffix}", wanted


def _unpack(packed: Path, suffix: str, wanted: Wanted, target: Path) -> None:
    """Uncompress an index and verify it; raises BrokenError."""
    import tempfile  # only who downloads needs it

    digest = hashlib.sha256()
    with (
        tempfile.TemporaryDirectory(prefix=".unpacking-", dir=target.parent) as folder,  # others may be at it too
        packed.open("rb") as stream,
        files.naming(target),
        Path(folder, target.name).open("xb") as out,
    ):
        for piece in limited(inflated(iter(partial(stream.read, _CHUNK), b""), suffix), wanted.size):
            digest.update(piece)
            out.write(piece)
        out.close()
        if digest.hexdigest() != wanted.sha256:
            raise BrokenError(f"must unpack to the sha256 {wanted.sha256}, got {digest.hexdigest()}")
        Path(out.name).replace(target)


def _abandonable(ask: Callable[[], T]) -> T:
    """Ask something of the network; who is interrupted does not wait for the answer."""
    answers: list[T] = []
    interruption.few_at_once(lambda question: answers.append(question()), [ask])
    return answers[0]


def _remove_unused(folder: Path) -> None:
    """Remove indexes that nobody has used for long, and what killed runs were at."""
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _UNUSED_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _once(do: Callable[P, T]) -> Callable[P, T]:
    """Remember for each question what a function returned, or that it raised BuildError."""
    known: dict[Any, T | BuildError] = {}

    def ask(*question: P.args, **_: P.kwargs) -> T:
        if question not in known:
            try:
                known[question] = do(*question, **_)
            except BuildError as error:
                known[question] = error
        answer = known[question]
        if isinstance(answer, BuildError):
            raise answer
        return answer

    return ask
