"""Packages in this repository: fetched into the store, unpacked there, merged into images."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from procession_tasks import files, notice
from procession_tasks.debian.contents import Contents
from procession_tasks.debian.lock import FILE, dump_pins, parse_pins
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.repositories import Place, Repositories
from procession_tasks.debian.store import Request, Store
from procession_tasks.debian.unpack import loaded, unpacked
from procession_tasks.definition.load import Image
from procession_tasks.definition.model import Debian
from procession_tasks.graph.caching import is_cached
from procession_tasks.graph.definitions import definitions
from procession_tasks.graph.plan import accounts_of, paths_of, waived_of
from procession_tasks.graph.selection import is_asked
from procession_tasks.graph.session import Session
from procession_tasks.once import once
from procession_tasks.platform import Platform
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.packages import Definition, Rules, package_sources
from procession_tasks.step import Step
from procession_tasks.xdg import cache_folder

if TYPE_CHECKING:
    from procession_tasks.image.expected_packages import Packages


def fetch(step: Step, inject: Step, session: Session) -> None:
    """List the packages of a platform, and have them in the store.

    They stay where they are while a cache has what `inject` makes of them: if it cannot be had after
    all, that step fetches what it needs.
    """
    image = definitions(session).image(step.subject.partition("@")[0])
    pins = definitions(session).lock(image).pins(Platform.parse(step.option("platform")))
    listing = step.option("list")
    text = dump_pins(pins)
    if is_asked(step.kind) or not is_cached(inject, session, {listing: text}):
        cellar(session).ensure(image.name, step.option("lock"), pins)
    files.write_if_changed(session.root / listing, text)


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
        notice.say(f"note: {note}")
    return packaged.sources


def for_verifier(image: Image, platform: Platform, session: Session) -> Packages:
    """Say which packages an image must be made of: those of its lock, brought into the store if need be."""
    from procession_tasks.image.expected_packages import Packages  # builds need none of it

    settings, own = definitions(session).project.debian, image.file.debian or Debian(())
    pins = definitions(session).lock(image).pins(platform)
    cellar(session).ensure(image.name, f"{image.folder}/{FILE}", pins)
    debs = tuple((pin, cellar(session).path(pin)) for pin in pins)
    return Packages(debs, (*own.prune, *settings.prune), (*own.keep, *settings.keep))


class Cellar:
    """The store and what fills it, as one run in one repository uses them."""

    def __init__(self, session: Session) -> None:
        settings = definitions(session).project.debian
        folder = cache_folder(session.environment) / "debian"
        self.repositories = Repositories(settings.mirror, settings.snapshot, session.environment)
        self._store = Store(folder / "packages")
        self._unpacked = folder / "unpacked"
        self._session = session

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
        held = {pin: found for pin in pins if (found := loaded(pin, self._unpacked))}
        if missing := [pin for pin in pins if pin not in held]:
            held |= zip(missing, self._unpack(missing), strict=True)
        return [(pin, held[pin]) for pin in pins]

    def _unpack(self, pins: Iterable[Pin]) -> list[Contents]:
        from concurrent.futures import ThreadPoolExecutor  # only the first build with a package needs threads

        self._unpacked.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda pin: unpacked(self._store.path(pin), pin, self._unpacked), pins))

    def _places(self, pin: Pin, dates: Callable[[], Mapping[str, str]]) -> list[Place]:
        """Say where a package may be had: on the mirror, else as it was when it was pinned."""
        places = [self.repositories.place(pin.repository, pin.suite)]
        snapshot = self.repositories.snapshot(pin.repository, dates().get(pin.suite, ""))
        return [*places, snapshot] if snapshot else places

    def _dates(self, image: str) -> dict[str, str]:
        known = definitions(self._session)
        return {index.suite: index.date for index in known.lock(known.image(image)).indexes}

    def _newest(self, pin: Pin) -> str | None:
        from procession_tasks.graph.locking import newest_version  # only for a package that cannot be had

        return newest_version(pin, self._session)


@once
def cellar(session: Session) -> Cellar:
    """Return the cellar of a session."""
    return Cellar(session)
