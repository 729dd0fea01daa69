"""Writes an OCI image layout as one tar, which is an archive of `docker save` as well.

Source: OCI image specification 1.1, "Image Layout"; the manifest.json of Docker's image
specification 1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from procession_tasks import files
from procession_tasks.image import tarball
from procession_tasks.image.layout import Layout
from procession_tasks.rootfs.tree import Entry


def write_archive(output: Path, folder: Path, mtime: int) -> None:
    """Write the layout of one platform; `mtime` is the time of every member, in seconds since 1970."""
    layout = Layout(folder)
    config, *layers = (f"blobs/{child.digest.replace(':', '/')}" for child in layout.children(layout.top))
    loaded = [{"Config": config, "RepoTags": [layout.full_name], "Layers": layers}]
    content = json.dumps(loaded, sort_keys=True, separators=(",", ":")).encode()
    with files.atomic(output) as tar:
        tar.write(tarball.member(Entry("manifest.json", "file", 0o644, size=len(content)), content, mtime))
        tarball.write_tree(tar, _entries(layout), folder, mtime=mtime)
        tar.write(tarball.END)


def _entries(layout: Layout) -> Iterator[Entry]:
    yield Entry("blobs", "directory", 0o755)
    yield Entry("blobs/sha256", "directory", 0o755)
    for blob in (layout.top, *layout.children(layout.top)):
        digest = blob.digest.partition(":")[2]
        yield Entry(f"blobs/sha256/{digest}", "file", 0o644, size=blob.size, digest=digest)
    for name in ("index.json", "oci-layout"):
        path = layout.folder / name
        yield Entry(name, "file", 0o644, size=path.stat().st_size, digest=files.sha256(path))
