"""Writes an App Container Image: a manifest and a root file system in one compressed tar."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from procession_tasks import files
from procession_tasks.image import tarball
from procession_tasks.image.deflate import GzipWriter
from procession_tasks.rootfs.tree import Entry

FORMAT = 1  # raised with every change to the bytes that the same inputs give


def write_aci(output: Path, manifest: bytes, entries: Iterable[Entry], tree: Path, mtime: int) -> str:
    """Write an image with its `.id` and `.sha256` beside it, and return the image ID.

    `entries` are what the image holds and `tree` has their content; `mtime` is in seconds since
    1970 and the time of every member.  All three files are complete before the first gets its
    name.  Then the old image goes, `.sha256` and `.id` appear, and the image last: a kill in
    between leaves no image, never one beside the checksums of another.  Raises BuildError when
    the tree is not what `entries` say.

    Source: appc specification 0.8.11, "Image Archives" and "Image ID".
    """
    with (
        files.atomic(output) as image,
        files.atomic(Path(f"{output}.id")) as name,
        files.atomic(Path(f"{output}.sha256")) as checksum,
    ):
        image_id, sha256 = _write_image(image, manifest, entries, tree, mtime)
        name.write(f"{image_id}\n".encode())
        checksum.write(f"{sha256}  {output.name}\n".encode())
        for stream in (image, name, checksum):
            stream.flush()
        output.unlink(missing_ok=True)
    return image_id


def _write_image(
    image: IO[bytes], manifest: bytes, entries: Iterable[Entry], tree: Path, mtime: int
) -> tuple[str, str]:
    """Write the archive; the results are the image ID and the hex SHA-256 of the archive."""
    sha256, sha512 = hashlib.sha256(), hashlib.sha512()
    with GzipWriter(tarball.Digesting(image, sha256)) as compressed:
        tar = tarball.Digesting(compressed, sha512)
        tar.write(tarball.member(Entry("manifest", "file", 0o644, size=len(manifest)), manifest, mtime))
        tar.write(tarball.header(Entry("rootfs", "directory", 0o755), mtime))
        tarball.write_tree(tar, entries, tree, mtime=mtime, prefix="rootfs/")
        tar.write(tarball.END)
    return f"sha512-{sha512.hexdigest()}", sha256.hexdigest()
