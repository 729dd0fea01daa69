"""The packages of images in this repository, chosen from the signed indexes and pinned."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from procession_tasks import files
from procession_tasks.debian.archive import Archive, Trust
from procession_tasks.debian.changes import differences, gone_back, newer
from procession_tasks.debian.index import Index, PackagesFile
from procession_tasks.debian.lock import FILE, Lock, differing_versions, dump_lock, make_lock
from procession_tasks.debian.pin import IndexPin, Pin
from procession_tasks.debian.resolve import resolve
from procession_tasks.definition.load import Image
from procession_tasks.definition.model import Debian
from procession_tasks.errors import BuildError, DefinitionError
from procession_tasks.graph.definitions import definitions
from procession_tasks.graph.packages import cellar
from procession_tasks.graph.session import Session
from procession_tasks.notice import warn
from procession_tasks.platform import Platform
from procession_tasks.xdg import cache_folder


def lock(name: str, session: Session) -> None:
    """Choose the packages of an image anew, write its lock, and say what changed."""
    image, file = _asked(name, session)
    new, odd = _chosen(image, session)
    old = _lock_before(image, session)
    files.write_if_changed(session.root / file, dump_lock(new, name))
    counts = ", ".join(f"{len(pins)} packages for {platform}" for platform, pins in new.packages)
    lines = [f"{file}: {counts}", *(f"  {line}" for line in differences(old, new))]
    sys.stdout.write("\n".join([*lines, ""]))
    for text in [*odd, *gone_back(old, new)]:
        warn(f"{file}: {text}")


def outdated(name: str, session: Session) -> None:
    """Say which packages of an image there are newer versions of, in its suites and in the security suites."""
    image, file = _asked(name, session)
    pinned = definitions(session).lock(image)
    available = {
        platform: _newest(pinned.suites, platform.debian, [pin.name for pin in pins], session)
        for platform, pins in pinned.packages
    }
    found = list(newer(pinned, available))
    told = f"{len(found)} have newer versions" if found else "nothing newer"
    sys.stdout.write("\n".join([f"{file}: {told}", *(f"  {line}" for line in found), ""]))


def newest_version(pin: Pin, session: Session) -> str | None:
    """Return the version that the suite of a package has now, None if that cannot be found out."""
    architecture = pin.architecture if pin.architecture != "all" else "amd64"
    try:
        newest = _candidates([pin.suite], architecture, [pin.name], session).get(pin.name)
    except BuildError:
        return None
    return newest.version if newest else None


def _asked(name: str, session: Session) -> tuple[Image, str]:
    image = definitions(session).image(name)
    return image, f"{image.folder}/{FILE}"


def _lock_before(image: Image, session: Session) -> Lock | None:
    try:
        return definitions(session).lock(image)
    except DefinitionError:
        return None


def _chosen(image: Image, session: Session) -> tuple[Lock, list[str]]:
    """Choose packages for every platform; the second result is what is odd about them.

    Raises BuildError when there is no choice that fits.
    """
    debian = image.file.debian or Debian(())
    indexes: list[IndexPin] = []
    chosen: dict[Platform, tuple[Pin, ...]] = {}
    odd: list[str] = []
    for platform in image.file.platforms:
        packages_files, pins = _files(debian.suites or (), platform.debian, session)
        indexes += pins
        try:
            with Index(packages_files, platform.debian) as index:
                # The lock has the roots sorted; their order in image.yaml must not change the choice.
                closure = resolve(index, sorted(debian.packages), dict(debian.omit))
        except BuildError as error:
            place = f"{image.folder}/image.yaml: debian, for {platform}"
            raise BuildError(f"{place}:\n{error.message}", hint=error.hint) from None
        chosen[platform] = tuple(package.pin for package in closure.packages)
        odd += [f"{platform}: {warning}" for warning in closure.warnings]
    lock = make_lock(debian, indexes, chosen)
    return lock, odd + [f"platforms differ: {text}" for text in differing_versions(lock)]


def _newest(suites: Sequence[str], architecture: str, names: Sequence[str], session: Session) -> dict[str, Pin]:
    """Return the newest package of each name in suites and their security suites, where a mirror has these."""
    also = [f"{suite}-security" for suite in suites if "-" not in suite and f"{suite}-security" not in suites]
    try:
        return _candidates([*suites, *also], architecture, names, session)
    except BuildError as error:
        found = _candidates(suites, architecture, names, session)
        warn(f"not looked at: {error.message}")
        return found


def _candidates(suites: Sequence[str], architecture: str, names: Iterable[str], session: Session) -> dict[str, Pin]:
    """Return the newest package of each name that suites have."""
    packages_files, _ = _files(suites, architecture, session)
    with Index(packages_files, architecture) as index:
        found = {name: index.candidates(name) for name in names}
    return {name: packages[0].pin for name, packages in found.items() if packages}


def _files(suites: Sequence[str], architecture: str, session: Session) -> tuple[list[PackagesFile], list[IndexPin]]:
    found = [_archive(session).packages(suite, architecture) for suite in suites]
    return [PackagesFile(path, pin.repository, pin.suite) for path, pin in found], [pin for _, pin in found]


@functools.lru_cache(maxsize=1)
def _archive(session: Session) -> Archive:
    """Return the signed indexes of a session; each is fetched once."""
    settings = definitions(session).project.debian
    trust = Trust(Path(settings.keyring), datetime.now(UTC), settings.expired == "warn")
    indexes = cache_folder(session.environment) / "debian" / "indexes"
    return Archive(cellar(session).repositories, trust, indexes, session.environment, warn)
