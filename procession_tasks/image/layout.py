"""An OCI image layout on disk, as it is read: every blob is verified against its digest.

Source: OCI image specification 1.1, "Image Layout" and "Content Descriptors".
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from procession_tasks.errors import BuildError

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a document says of a blob: its type, its digest (``sha256:…``) and its size in bytes."""

    media_type: str
    digest: str
    size: int


class Layout:
    """A layout with one image, or one index of images, at its top; raises BuildError for anything else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @functools.cached_property
    def top(self) -> Descriptor:
        """What index.json leads to."""
        return self._descriptor(self._top)

    @property
    def ref_name(self) -> str:
        """The name that tools know the image by inside the layout: its version."""
        return str(self._annotation(REF_NAME))

    @property
    def full_name(self) -> str:
        """The name that engines give the image when they load it."""
        return str(self._annotation(FULL_NAME))

    def path(self, digest: str) -> Path:
        """Say where a blob is."""
        return self.folder / "blobs" / digest.replace(":", "/")

    def read(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of a small blob, which are what its descriptor says."""
        path = self.path(descriptor.digest)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise self._broken(f"{descriptor.digest} must be there", error.strerror) from None
        if len(content) != descriptor.size or f"sha256:{hashlib.sha256(content).hexdigest()}" != descriptor.digest:
            raise self._broken(f"{descriptor.digest} must be the blob of that digest and size", "another")
        return content

    def children(self, descriptor: Descriptor) -> tuple[Descriptor, ...]:
        """List what a document leads to, in its order: an index's manifests; a manifest's configuration and layers."""
        if descriptor.media_type not in (INDEX, MANIFEST):
            return ()
        content = self.read(descriptor)
        try:
            document = json.loads(content)
            index = descriptor.media_type == INDEX
            found = [*document["manifests"]] if index else [document["config"], *document["layers"]]
        except (ValueError, KeyError, TypeError):
            raise self._broken(f"{descriptor.digest} must be a {descriptor.media_type}", "something else") from None
        return tuple(map(self._descriptor, found))

    @functools.cached_property
    def _top(self) -> Any:
        file = self.folder / "index.json"
        try:
            found = json.loads(file.read_bytes())["manifests"]
        except OSError as error:
            raise self._broken("must have an index.json", error.strerror) from None
        except (ValueError, KeyError, TypeError):
            raise self._broken("index.json must be an image index", "something else") from None
        if not isinstance(found, list) or len(found) != 1:
            raise self._broken(
                "index.json must lead to one image", str(len(found) if isinstance(found, list) else found)
            )
        return found[0]

    def _annotation(self, name: str) -> Any:
        return self._top.get("annotations", {}).get(name, "")

    def _descriptor(self, found: Any) -> Descriptor:
        try:
            descriptor = Descriptor(found["mediaType"], found["digest"], found["size"])
        except (KeyError, TypeError):
            raise self._broken("must have descriptors with mediaType, digest and size", str(found)) from None
        if not isinstance(descriptor.digest, str) or not _DIGEST.fullmatch(descriptor.digest):
            raise self._broken("must have digests of sha256", str(descriptor.digest))
        return descriptor

    def _broken(self, rule: str, got: str | None) -> BuildError:
        return BuildError(f"{self.folder}: {rule}, got {got}", hint="build the image again")
