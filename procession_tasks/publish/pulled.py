"""The blobs of a repository of a registry, fetched when they are asked for."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from procession_tasks.publish.reference import Reference
from procession_tasks.publish.registry import Registry


class PulledBlobs:
    """Blobs and manifests of a repository, as `image.blobs.Blobs` has it; files that hold them go when closed."""

    def __init__(self, registry: Registry, path: str) -> None:
        self.name = Reference(registry.host, path).repository
        self._registry = registry
        self._path = path

    def open(self, digest: str) -> BinaryIO | None:
        """Fetch a blob; raises BuildError when nobody answers, or when this user may not have it."""
        file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  # who reads it closes it
        try:
            if self._registry.get(self._path, digest, file):
                file.seek(0)
                return file
        except BaseException:
            file.close()
            raise
        file.close()
        return None
