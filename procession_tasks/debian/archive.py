"""The signed indexes of Debian's repositories, verified link by link and kept while they stand.

The signature vouches for the Release file, that for the Packages file, and that for each package.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from procession_tasks import files, interruption
from procession_tasks.debian.download import FailedDownloadError, Wanted, download, read
from procession_tasks.debian.pin import IndexPin
from procession_tasks.debian.progress import Progress
from procession_tasks.debian.release import Release, parse_release
from procession_tasks.debian.repositories import Place, Repositories, repository_of
from procession_tasks.debian.signature import verified
from procession_tasks.errors import BuildError

COMPONENT = "main"
_RELEASE_LIMIT = 4 * 1024 * 1024
_CHUNK = 1024 * 1024
_OPENERS: dict[str, Callable[[Path], Any]] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}


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
        self._suite = functools.cache(self._read_suite)
        self._packages = functools.cache(self._fetch_packages)

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
            text = read(f"{place.url}/dists/{suite}/InRelease", _RELEASE_LIMIT, place.proxy)
        except FailedDownloadError as failure:
            raise BuildError(f"{name}: {failure.kind}: {failure.what}") from None
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
        until = f"{release.valid_until:%d %b %Y}"
        if self._trust.expired_counts or not place.dates_count:
            self._warn(f"{name}: was valid until {until}")
            return
        hint = 'use another mirror; or set expired = "warn" under [tool.procession.debian]'
        raise BuildError(f"{name}: must not be expired, got one that was valid until {until}", hint=hint)

    def _fetch_packages(self, suite: str, architecture: str) -> tuple[Path, IndexPin]:
        found = self._suite(suite)
        repository, path = repository_of(suite), f"{COMPONENT}/binary-{architecture}/Packages"
        name = f"{repository}/dists/{suite}/{path}"
        entry = found.release.files.get(path)
        if entry is None:
            raise BuildError(f"{name}: must be listed in the suite's Release file")
        sha256, size = entry
        target = self._folder / f"{sha256}.packages"
        if not (target.is_file() and target.stat().st_size == size and files.sha256(target) == sha256):
            self._bring(found, suite, path, Wanted(size, sha256), target)
        stamp = found.release.stamp
        return target, IndexPin(repository, suite, COMPONENT, architecture, stamp, sha256, found.signers)

    def _bring(self, found: _Suite, suite: str, path: str, wanted: Wanted, target: Path) -> None:
        """Download the smallest form of an index there is, and unpack it."""
        known = {suffix: found.release.files.get(path + suffix) for suffix in (*_OPENERS, "")}
        suffix, (sha256, size) = min(((s, e) for s, e in known.items() if e), key=lambda pair: pair[1][1])
        folder, _, last = path.rpartition("/")
        where = f"{folder}/by-hash/SHA256/{sha256}" if found.release.by_hash else f"{folder}/{last}{suffix}"
        packed = target.with_name(f"{sha256}{suffix or '.plain'}")
        progress = Progress(f"downloading the index of {suite}", size)
        try:
            url = f"{found.place.url}/dists/{suite}/{where}"
            download(url, packed, Wanted(size, sha256), found.place.proxy, progress.advance)
        except FailedDownloadError as failure:
            name = f"{repository_of(suite)}/dists/{suite}/{path}"
            hint = "the mirror may be at work: try again in some minutes" if failure.kind != "unreachable" else None
            raise BuildError(f"{name}: {failure.kind}: {failure.what}", hint=hint) from None
        finally:
            progress.finish()
        try:
            _unpack(packed, suffix, wanted, target)
        finally:
            packed.unlink(missing_ok=True)


def _unpack(packed: Path, suffix: str, wanted: Wanted, target: Path) -> None:
    """Uncompress an index up to the size that its Release file states, and verify it."""
    with _OPENERS.get(suffix, Path.open)(packed, "rb") as source, files.atomic(target) as out:
        _copy(source, out, wanted.size)
        out.flush()
        if files.sha256(Path(out.name)) != wanted.sha256:
            raise BuildError(f"{target.name}: must hold what the Release file says, got other bytes")


def _copy(source: IO[bytes], out: IO[bytes], limit: int) -> None:
    left = limit
    try:
        while chunk := source.read(min(_CHUNK, left + 1)):
            interruption.check()
            left -= len(chunk)
            if left < 0:
                raise BuildError("the index: must unpack to the size that the Release file says, got more")
            out.write(chunk)
    except (lzma.LZMAError, EOFError, gzip.BadGzipFile, ValueError) as error:
        raise BuildError(f"the index: must be whole: {error}") from None
