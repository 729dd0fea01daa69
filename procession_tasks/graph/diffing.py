"""What `doit diff` compares: finds the images that its words name, here, in files and in a registry."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.definition.imagefile import image_names
from procession_tasks.definition.project import load_project
from procession_tasks.definition.shape import did_you_mean
from procession_tasks.errors import BuildError
from procession_tasks.graph.session import Session
from procession_tasks.image.blobs import AnyBlobs, Blobs, FolderBlobs, TarBlobs
from procession_tasks.image.difference import Difference, difference
from procession_tasks.image.inventory import Inventory
from procession_tasks.image.layout import INDEX
from procession_tasks.image.read_aci import read_aci
from procession_tasks.image.read_oci import Reader
from procession_tasks.platform import Platform, host, known
from procession_tasks.publish.reference import Reference

_RULE = "must be an image of this repository, an .aci, an OCI image layout or an archive of one"
_LAYOUTS = "build/oci"
_MAGIC = 262  # bytes, the last of which are those of a tar


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be compared, as it was typed in `folder`; without a second word the first with what was pushed."""

    folder: Path
    words: tuple[str, ...]
    insecure: bool = False


def compare(asked: Asked, session: Session) -> Difference:
    """Compare what was asked for; raises BuildError for what cannot be found or read."""
    images = _Images(asked, session)
    if len(asked.words) == 1:
        return difference(images.pushed(asked.words[0]), images.named(asked.words[0]))
    first, second = asked.words
    return difference(images.named(first), images.named(second))


class _Images:
    """Finds and reads images; layers that two have in common are read once."""

    def __init__(self, asked: Asked, session: Session) -> None:
        self._asked = asked
        self._session = session
        self._names = image_names(session.root, load_project(session.root))
        self._reader = Reader()

    def named(self, word: str) -> Inventory:
        """Read what a word names: an image of the repository, else a file or folder."""
        name, platform = self._divided(word)
        if name in self._names:
            return self._built(name, platform or host())
        path = Path(self._asked.folder, word)
        if not path.exists() and platform is not None:
            path = Path(self._asked.folder, name)
        else:
            platform = None
        if not path.exists():
            hint = did_you_mean(name, self._names) or f"images are {', '.join(self._names)}"
            raise BuildError(f"{word}: {_RULE}, got no such thing", hint=hint)
        return self._stored(path, word, platform)

    def pushed(self, word: str) -> Inventory:
        """Read what an image was last pushed as from here: what is left of it here, the rest from the registry."""
        from procession_tasks.graph.pushing import pushed  # nothing else has to do with registries
        from procession_tasks.publish.pulled import PulledBlobs
        from procession_tasks.publish.registry import Registry

        name, platform = self._divided(word)
        if name not in self._names:
            hint = did_you_mean(name, self._names) or "give two images to compare: doit diff A B"
            raise BuildError(
                f"{word}: must be an image of this repository to be compared with what was pushed", hint=hint
            )
        if (record := pushed(name, self._session)) is None:
            hint = f"doit push {name}, or give two images to compare: doit diff A B"
            raise BuildError(f"{name}: must have been pushed from here", hint=hint)
        repository, digest = record
        target = Reference.parse(repository)
        registry = Registry(target.host, self._session.environment, insecure=self._asked.insecure)
        blobs = AnyBlobs(repository, [*self._layouts(name), PulledBlobs(registry, target.path)])
        try:
            top = {"mediaType": INDEX, "digest": digest, "size": _size(blobs, digest)}
            return self._reader.inventory(f"{repository}@{digest}", blobs, top, platform or host(), host())
        except BuildError as error:
            rule = f"must be in {_LAYOUTS} or in the registry"
            raise BuildError(f"{name}: what was pushed {rule}: {error.message}", hint=error.hint) from None

    def _divided(self, word: str) -> tuple[str, Platform | None]:
        """Take ``NAME@linux-arm64`` apart."""
        name, at, slug = word.rpartition("@")
        if at and slug.replace("-", "/", 1) in known():
            return name, Platform.parse(slug.replace("-", "/", 1))
        return word, None

    def _built(self, name: str, platform: Platform) -> Inventory:
        folder = self._session.root / _LAYOUTS / name / platform.slug
        if not folder.is_dir():
            suffix = "" if platform == host() else f"@{platform.slug}"
            raise BuildError(f"{name}: must have been built for {platform}", hint=f"doit build:{name}{suffix}")
        return self._stored(folder, f"{_LAYOUTS}/{name}/{platform.slug}", None)

    def _stored(self, path: Path, name: str, platform: Platform | None) -> Inventory:
        if path.is_dir():
            blobs: FolderBlobs | TarBlobs = FolderBlobs(path, name)
        elif (kind := _kind(path)) == "tar":
            blobs = TarBlobs(path, name)
        elif kind == "packed":
            return read_aci(path, name)
        else:
            raise BuildError(f"{name}: {_RULE}, got something else")
        tops = blobs.top().get("manifests")
        if not isinstance(tops, list) or len(tops) != 1:
            count = len(tops) if isinstance(tops, list) else "none"
            raise BuildError(f"{name}: index.json must lead to one image, got {count}")
        return self._reader.inventory(name, blobs, tops[0], platform, host())

    def _layouts(self, name: str) -> Iterator[Blobs]:
        """Find the layouts of an image that may still have what was pushed."""
        folder = self._session.root / _LAYOUTS / name
        yield FolderBlobs(folder)
        for platform in map(Platform.parse, known()):
            if (folder / platform.slug).is_dir():
                yield FolderBlobs(folder / platform.slug)


def _size(blobs: Blobs, digest: str) -> int:
    """Find out the size of a document of which nothing but the digest is known."""
    found = blobs.open(digest)
    if found is None:
        raise BuildError(
            f"{blobs.name}: must have {digest}, got none", hint="give two images to compare: doit diff A B"
        )
    with found:
        return found.seek(0, os.SEEK_END)


def _kind(path: Path) -> str:
    """Tell what a file is from how it begins: compressed, a plain tar, or neither."""
    with path.open("rb") as file:
        start = file.read(_MAGIC)
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return "packed"
    if start[257:] != b"ustar":
        return ""
    return "packed" if start.startswith((b"manifest\0", b"rootfs", b"./manifest\0", b"./rootfs")) else "tar"
