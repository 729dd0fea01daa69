"""Packages in this repository: fetched into the store, unpacked there, chosen and pinned."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from procession_tasks import files
from procession_tasks.debian.archive import Archive, Trust
from procession_tasks.debian.changes import differences, gone_back, newer
from procession_tasks.debian.contents import Contents
from procession_tasks.debian.index import Index, PackagesFile
from procession_tasks.debian.lock import FILE, Lock, differing_versions, dump_lock, dump_pins, make_lock, parse_pins
from procession_tasks.debian.pin import IndexPin, Pin
from procession_tasks.debian.repositories import Place, Repositories
from procession_tasks.debian.resolve import resolve
from procession_tasks.debian.store import Request, Store, cache_folder
from procession_tasks.debian.unpack import unpacked
from procession_tasks.definition.load import Image
from procession_tasks.definition.model import Debian
from procession_tasks.errors import BuildError, DefinitionError
from procession_tasks.graph.definitions import definitions
from procession_tasks.graph.plan import accounts_of, paths_of, waived_of
from procession_tasks.graph.session import Session
from procession_tasks.platform import Platform
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.packages import Definition, Rules, package_sources
from procession_tasks.step import Step

if TYPE_CHECKING:
    from procession_tasks.image.expected_packages import Packages


def fetch(step: Step, session: Session) -> None:
    """Have the packages of a platform in the store, and list them."""
    image = definitions(session).image(step.subject.partition("@")[0])
    pins = definitions(session).lock(image).pins(Platform.parse(step.option("platform")))
    cellar(session).ensure(image.name, step.option("lock"), pins)
    files.write_if_changed(session.root / step.option("list"), dump_pins(pins))


def merged(step: Step, programs: Sequence[tuple[str, Path]], session: Session) -> dict[str, Source]:
    """Merge the packages of an inject step with its definition; `programs` are pairs of image path and built file.

    What is not in the store any more is fetched again.
    """
    definition, listing = step.option("definition"), step.option("packages")
    pins = parse_pins((session.root / listing).read_bytes())
    held = cellar(session).contents(step.subject.partition("@")[0], f"{definition}/{FILE}", pins)
    rules = Rules(
        prune=step.options("prune"),
        keep=step.options("keep"),
        default_prune=step.options("default-prune"),
        default_keep=step.options("default-keep"),
        waive=waived_of(step),
    )
    rootfs = session.root / step.option("rootfs")
    declared = Definition(definition, rootfs, accounts_of(step), paths_of(step), programs)
    packaged = package_sources(held, rules, declared)
    for note in packaged.notes:
        sys.stderr.write(f"note: {note}\n")
    return packaged.sources


def for_verifier(image: Image, platform: Platform, session: Session) -> Packages:
    """Say which packages an image must be made of: those of its lock, brought into the store if need be."""
    from procession_tasks.image.expected_packages import Packages  # builds need none of it

    settings, own = definitions(session).project.debian, image.file.debian or Debian(())
    pins = definitions(session).lock(image).pins(platform)
    cellar(session).ensure(image.name, f"{image.folder}/{FILE}", pins)
    debs = tuple((pin, cellar(session).path(pin)) for pin in pins)
    return Packages(debs, (*own.prune, *settings.prune), (*own.keep, *settings.keep))


def lock(name: str, session: Session) -> None:
    """Choose the packages of an image anew, write its lock, and say what changed."""
    image, file = _asked(name, session)
    new, odd = cellar(session).choose(
        image.file.debian or Debian(()), image.file.platforms, f"{image.folder}/image.yaml"
    )
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
        platform: cellar(session).newest(pinned.suites, platform.debian, [pin.name for pin in pins])
        for platform, pins in pinned.packages
    }
    found = list(newer(pinned, available))
    told = f"{len(found)} have newer versions" if found else "nothing newer"
    sys.stdout.write("\n".join([f"{file}: {told}", *(f"  {line}" for line in found), ""]))


def _asked(name: str, session: Session) -> tuple[Image, str]:
    image = definitions(session).image(name)
    return image, f"{image.folder}/{FILE}"


def _lock_before(image: Image, session: Session) -> Lock | None:
    try:
        return definitions(session).lock(image)
    except DefinitionError:
        return None


class Cellar:
    """The store and the archive that fills it, as one run in one repository uses them."""

    def __init__(self, session: Session) -> None:
        settings = definitions(session).project.debian
        folder = cache_folder(session.environment) / "debian"
        self._repositories = Repositories(settings.mirror, settings.snapshot, session.environment)
        self._store = Store(folder / "packages")
        self._unpacked = folder / "unpacked"
        self._definitions = definitions(session)
        trust = Trust(Path(settings.keyring), datetime.now(UTC), settings.expired == "warn")
        self._archive = Archive(self._repositories, trust, folder / "indexes", session.environment, warn)

    def ensure(self, image: str, lock: str, pins: Iterable[Pin]) -> None:
        """Have packages in the store; raises BuildError with every one that cannot be had."""
        dates = functools.cache(partial(self._dates, image))
        self._store.ensure(Request(lock, image, tuple(pins)), lambda pin: self._places(pin, dates), self._newest)

    def path(self, pin: Pin) -> Path:
        """Return where a package is in the store, if it is there."""
        return self._store.path(pin)

    def contents(self, image: str, lock: str, pins: Sequence[Pin]) -> list[tuple[Pin, Contents]]:
        """Return what packages hold, in the order given; raises BuildError."""
        self.ensure(image, lock, pins)
        self._unpacked.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            held = pool.map(lambda pin: unpacked(self._store.path(pin), pin, self._unpacked), pins)
            return list(zip(pins, held, strict=True))

    def choose(self, debian: Debian, platforms: Iterable[Platform], file: str) -> tuple[Lock, list[str]]:
        """Choose packages for every platform; the second result is what is odd about them.

        Raises BuildError, which names the file that asks for them, when there is no choice that fits.
        """
        indexes: list[IndexPin] = []
        chosen: dict[Platform, tuple[Pin, ...]] = {}
        odd: list[str] = []
        for platform in platforms:
            files, pins = self._files(debian.suites or (), platform.debian)
            indexes += pins
            try:
                with Index(files, platform.debian) as index:
                    # The lock has the roots sorted; their order in image.yaml must not change the choice.
                    closure = resolve(index, sorted(debian.packages), dict(debian.omit))
            except BuildError as error:
                raise BuildError(f"{file}: debian, for {platform}:\n{error.message}", hint=error.hint) from None
            chosen[platform] = tuple(package.pin for package in closure.packages)
            odd += [f"{platform}: {warning}" for warning in closure.warnings]
        lock = make_lock(debian, indexes, chosen)
        return lock, odd + [f"platforms differ: {text}" for text in differing_versions(lock)]

    def candidates(self, suites: Sequence[str], architecture: str, names: Iterable[str]) -> dict[str, Pin]:
        """Return the newest package of each name that suites have."""
        files, _ = self._files(suites, architecture)
        with Index(files, architecture) as index:
            found = {name: index.candidates(name) for name in names}
        return {name: packages[0].pin for name, packages in found.items() if packages}

    def newest(self, suites: Sequence[str], architecture: str, names: Sequence[str]) -> dict[str, Pin]:
        """Return the newest package of each name in suites and their security suites, where a mirror has these."""
        also = [f"{suite}-security" for suite in suites if "-" not in suite and f"{suite}-security" not in suites]
        try:
            return self.candidates([*suites, *also], architecture, names)
        except BuildError as error:
            found = self.candidates(suites, architecture, names)
            warn(f"not looked at: {error.message}")
            return found

    def _files(self, suites: Sequence[str], architecture: str) -> tuple[list[PackagesFile], list[IndexPin]]:
        found = [self._archive.packages(suite, architecture) for suite in suites]
        return [PackagesFile(path, pin.repository, pin.suite) for path, pin in found], [pin for _, pin in found]

    def _places(self, pin: Pin, dates: Callable[[], Mapping[str, str]]) -> list[Place]:
        """Say where a package may be had: on the mirror, else as it was when it was pinned."""
        places = [self._repositories.place(pin.repository, pin.suite)]
        snapshot = self._repositories.snapshot(pin.repository, dates().get(pin.suite, ""))
        return [*places, snapshot] if snapshot else places

    def _dates(self, image: str) -> dict[str, str]:
        lock = self._definitions.lock(self._definitions.image(image))
        return {index.suite: index.date for index in lock.indexes}

    def _newest(self, pin: Pin) -> str | None:
        architectures = [pin.architecture] if pin.architecture != "all" else ["amd64"]
        try:
            newest = self.candidates([pin.suite], architectures[0], [pin.name]).get(pin.name)
        except BuildError:
            return None
        return newest.version if newest else None


@functools.lru_cache(maxsize=1)
def cellar(session: Session) -> Cellar:
    """Return the cellar of a session."""
    return Cellar(session)


def warn(text: str) -> None:
    """Tell what is odd but no reason to stop."""
    sys.stderr.write(f"warning: {text}\n")
    sys.stderr.flush()
