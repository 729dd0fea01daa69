"""The repository's definitions, loaded and planned; imported only when there is one to read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from procession_tasks.debian.lock import FILE, Lock, disagreements, parse_lock
from procession_tasks.definition.imagefile import image_names
from procession_tasks.definition.load import Image, load_image
from procession_tasks.definition.model import Project
from procession_tasks.errors import BuildError, DefinitionError, Problem
from procession_tasks.graph.plan import plan
from procession_tasks.graph.planned import Plan
from procession_tasks.graph.project import project
from procession_tasks.graph.session import Session, source_date
from procession_tasks.once import once
from procession_tasks.platform import host
from procession_tasks.rootfs.stage import declared_sources

_parsed = functools.cache(parse_lock)  # a run plans with a lock, then fetches what it names


class Definitions:
    """What the files of the repository at a session's root declare."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loaded: dict[str, Image] = {}

    @functools.cached_property
    def project(self) -> Project:
        """The settings; raises DefinitionError."""
        return project(self._session)

    def image_names(self) -> tuple[str, ...]:
        """List the definitions; raises BuildError when their folder cannot be read."""
        return image_names(self._session.root, self.project)

    def image(self, name: str) -> Image:
        """Load one definition, once, and see that its files fit together; raises BuildError."""
        if name not in self._loaded:
            image = load_image(self._session.root, self.project, name)
            declared_sources(image.file, image.folder, self._session.root / image.folder / "rootfs")
            self._loaded[name] = image
        return self._loaded[name]

    def with_packages(self, names: frozenset[str] | None) -> list[str]:
        """List those of the named images, or of all, that have packages; raises BuildError."""
        known = self.image_names()
        chosen = known if names is None or not names <= {*known} else sorted(names)
        return [image.name for image in self._images(chosen) if image.file.debian]

    def checked_locks(self, names: Iterable[str]) -> list[str]:
        """See that the locks of images are of their definitions, and return the files.

        Raises BuildError with every disagreement.
        """
        return [f"{image.folder}/{FILE}" for image in self._images(names, self.check_lock) if image.file.debian]

    def lock(self, image: Image) -> Lock:
        """Read the lock of an image with packages; raises DefinitionError."""
        file = f"{image.folder}/{FILE}"
        try:
            text = (self._session.root / file).read_bytes()
        except OSError as error:
            hint = f"doit lock:{image.name} writes it"
            raise DefinitionError([Problem(file, 1, "", "must be a readable file", error.strerror, hint)]) from None
        return _parsed(text, file)

    def check_lock(self, image: Image) -> None:
        """See that the lock of an image, if it needs one, is of its definition; raises DefinitionError."""
        if image.file.debian is None:
            return
        file = f"{image.folder}/{FILE}"
        if wrong := list(disagreements(self.lock(image), image.file.debian, image.file.platforms, file)):
            raise DefinitionError(wrong)

    def plans(self, names: Iterable[str], workspaces: dict[str, str]) -> dict[str, tuple[Plan, ...]]:
        """Plan images, each for its usual platform first: the machine's, if it is declared.

        Raises BuildError with the problems of all of them together.
        """
        images = self._images(names, self.check_lock)
        return {image.name: self._plans_of(image, workspaces) for image in images}

    def _images(self, names: Iterable[str], check: Callable[[Image], None] = lambda _: None) -> list[Image]:
        images: list[Image] = []
        mistakes: list[str] = []
        for name in names:
            try:
                images.append(self.image(name))
                check(images[-1])
            except BuildError as error:
                mistakes.append(str(error))
        if mistakes:
            raise BuildError("\n".join(mistakes))
        return images

    def _plans_of(self, image: Image, workspaces: dict[str, str]) -> tuple[Plan, ...]:
        here, date = host(), source_date(self._session.environment)
        plans = []
        for platform in sorted(image.file.platforms, key=lambda platform: platform != here):
            suffix = "" if platform == here else f"@{platform.slug}"
            plans.append(plan(image, platform, suffix, self.project, workspaces, date))
        return tuple(plans)


@once
def definitions(session: Session) -> Definitions:
    """Return the definitions of a session, loaded once."""
    return Definitions(session)
