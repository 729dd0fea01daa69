"""Writes OCI image layouts: of one platform from a staged tree, and of all platforms from those.

Source: OCI image specification 1.1, "Image Layout", "Image Manifest" and "Image Index".
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from procession_tasks import files, kept
from procession_tasks.image import deflate, tarball
from procession_tasks.image.layers import Layer
from procession_tasks.image.layout import CONFIG, FULL_NAME, INDEX, LAYER, MANIFEST, REF_NAME, Descriptor, Layout
from procession_tasks.image.tarball import Digesting
from procession_tasks.platform import Platform
from procession_tasks.rootfs.stage import remove_tree
from procession_tasks.rootfs.tree import dump

FORMAT = 1  # raised with every change to the bytes that the same inputs give
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_CREATOR = "procession"


@dataclass(frozen=True, slots=True)
class Said:
    """What an image says of itself: its configuration but for the layers, its annotations and its names."""

    configuration: Mapping[str, Any]
    annotations: Mapping[str, str]
    full_name: str
    ref_name: str


@dataclass(frozen=True, slots=True)
class _Written:
    """A layer as it is stored, and the digest of its uncompressed tar."""

    descriptor: Descriptor
    diff_id: str


def write_layout(folder: Path, said: Said, layers: Sequence[Layer], tree: Path, date: int, known: Path) -> str:
    """Write the layout of one platform in place of the one before, and return its manifest's digest.

    `tree` has the content of the layers; `date` is the time of every member, in seconds since 1970.
    `known` is a file that says which layers the layout has, so that one that is the same is not
    packed again; its blob is verified.  The layout appears whole.  Raises BuildError when the tree
    is not what the layers say.
    """
    part = folder.with_name(f".{folder.name}.part")
    remove_tree(part)
    (part / "blobs/sha256").mkdir(parents=True)
    try:
        written = _layers(part, folder, layers, tree, date, known)
        config = _add(part, CONFIG, _configuration(said, layers, written))
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _described(config),
            "layers": [_described(layer.descriptor) for layer in written],
            "annotations": dict(said.annotations),
        }
        manifest = _add(part, MANIFEST, document)
        _finish(part, manifest, said)
        _replace(folder, part)
    except BaseException:
        remove_tree(part)
        raise
    return manifest.digest


def write_index(folder: Path, platforms: Mapping[Platform, Path], annotations: Mapping[str, str]) -> str:
    """Write the layout of all platforms, and return its index's digest.

    `platforms` are layouts of one platform each; their blobs are shared by hard links.  `folder`
    may hold those layouts.  index.json appears last: what it leads to is always there.
    """
    (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    described: list[dict[str, Any]] = []
    wanted: set[str] = set()
    layouts = {platform: Layout(path) for platform, path in sorted(platforms.items())}
    for platform, layout in layouts.items():
        described.append(_described(layout.top) | {"platform": platform.oci})
        for descriptor in (layout.top, *layout.children(layout.top)):
            blob = layout.path(descriptor.digest)
            if blob.name not in wanted:  # what platforms have in common comes from the first of them, in every run
                wanted.add(blob.name)
                _link(blob, folder)
    first = next(iter(layouts.values()))
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": described, "annotations": dict(annotations)}
    index = _add(folder, INDEX, document)
    wanted.add(index.digest.partition(":")[2])
    _finish(folder, index, Said({}, {}, first.full_name, first.ref_name))
    for blob in (folder / "blobs/sha256").iterdir():
        if blob.name not in wanted:
            blob.unlink()
    return index.digest


def _replace(folder: Path, part: Path) -> None:
    """Put a finished folder in the place of another, which a kill leaves whole or moved away."""
    old = folder.with_name(f".{folder.name}.old.part")
    remove_tree(old)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(old)
    part.rename(folder)
    remove_tree(old)


def _layers(part: Path, before: Path, layers: Iterable[Layer], tree: Path, date: int, known: Path) -> list[_Written]:
    record = kept.load(known)
    found: dict[str, Any] = record if isinstance(record, dict) else {}
    now, written = {}, []
    for layer in layers:
        key = hashlib.sha256(repr((FORMAT, deflate.COMPRESSOR, date)).encode() + dump(layer.entries)).hexdigest()
        one = _again(part, before, found.get(key)) or _write_layer(part, layer, tree, date)
        now[key] = (one.descriptor.digest, one.descriptor.size, one.diff_id)
        written.append(one)
    with contextlib.suppress(OSError):  # a full disk costs time in the next run, no more
        kept.save(known, now)
    return written


def _again(part: Path, before: Path, found: Any) -> _Written | None:
    """Take over a layer's blob from the layout before, if it is still what it was."""
    if found is None:
        return None
    digest, size, diff_id = found
    blob = Layout(before).path(digest)
    with contextlib.suppress(OSError):
        if f"sha256:{files.sha256(blob)}" == digest:
            _link(blob, part)
            return _Written(Descriptor(LAYER, digest, size), diff_id)
    return None


def _write_layer(part: Path, layer: Layer, tree: Path, date: int) -> _Written:
    blob = part / "blobs/layer"
    with files.naming(blob), blob.open("xb") as stream:
        digest, diff_id = _pack(stream, layer, tree, date)
    size = blob.stat().st_size
    blob.rename(part / "blobs/sha256" / digest)
    return _Written(Descriptor(LAYER, f"sha256:{digest}", size), f"sha256:{diff_id}")


def _pack(stream: IO[bytes], layer: Layer, tree: Path, date: int) -> tuple[str, str]:
    """Write a layer's blob; the results are the hex SHA-256 of the blob and of the tar in it."""
    packed, unpacked = hashlib.sha256(), hashlib.sha256()
    with deflate.GzipWriter(Digesting(stream, packed)) as compressed:
        tar = Digesting(compressed, unpacked)
        tarball.write_tree(tar, layer.entries, tree, mtime=date)
        tar.write(tarball.END)
    return packed.hexdigest(), unpacked.hexdigest()


def _configuration(said: Said, layers: Iterable[Layer], written: Sequence[_Written]) -> dict[str, Any]:
    created = said.configuration["created"]
    history = [{"created": created, "created_by": _CREATOR, "comment": layer.what} for layer in layers]
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in written]}
    return {**said.configuration, "rootfs": rootfs, "history": history}


def _add(folder: Path, media_type: str, document: Mapping[str, Any]) -> Descriptor:
    """Store a document as a blob."""
    content = _json(document)
    digest = hashlib.sha256(content).hexdigest()
    files.write_if_changed(folder / "blobs/sha256" / digest, content)
    return Descriptor(media_type, f"sha256:{digest}", len(content))


def _finish(folder: Path, top: Descriptor, said: Said) -> None:
    names = {REF_NAME: said.ref_name, FULL_NAME: said.full_name}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [_described(top) | {"annotations": names}]}
    files.write_if_changed(folder / "oci-layout", _VERSION)
    files.write(folder / "index.json", _json(index))


def _described(descriptor: Descriptor) -> dict[str, Any]:
    return {"mediaType": descriptor.media_type, "digest": descriptor.digest, "size": descriptor.size}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def _link(blob: Path, folder: Path) -> None:
    """Have a blob in another layout too, without a second copy where the file system can do that.

    What has its name there stays until the blob takes its place.
    """
    target = folder / "blobs/sha256" / blob.name
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(target.lstat(), blob.stat()):
            return
    part = target.with_name(f".{blob.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(blob, part)
        part.replace(target)
    except OSError:
        with files.atomic(target) as stream, blob.open("rb") as source:
            shutil.copyfileobj(source, stream)
