"""Takes the inventory of an OCI image, of this build or of others: every blob is read once and verified.

Source: OCI image specification 1.1, "Image Manifest", "Image Index" and "Image Layer Filesystem Changeset".
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from procession_tasks.errors import BuildError
from procession_tasks.image.blobs import Blobs, checked, document, opened
from procession_tasks.image.inventory import Inventory, Item, StoredLayer, is_read, packages, settings
from procession_tasks.image.layout import Descriptor
from procession_tasks.image.streaming import Metered, read_tar, unpacking
from procession_tasks.platform import Platform

_REMOVES, _REMOVES_ALL = ".wh.", ".wh..wh..opq"
_TYPES = ("application/vnd.oci.image.", "application/vnd.docker.")


@dataclass(frozen=True, slots=True)
class Contents:
    """What one layer adds: its members, the content of some of them, and the paths that it takes away."""

    items: Mapping[str, Item]
    texts: Mapping[str, bytes]
    removed: frozenset[str]


class Reader:
    """Takes inventories; what two images have in common is read once."""

    def __init__(self) -> None:
        self._read: dict[str, Contents] = {}

    def inventory(self, name: str, blobs: Blobs, top: Any, platform: Platform | None, usual: Platform) -> Inventory:
        """Take the inventory of the image that a descriptor leads to.

        Of several platforms it is the one that is asked for, else the `usual` one, else the only one.
        Raises BuildError.
        """
        manifest, descriptor = _manifest(blobs, _descriptor(blobs, top), platform, usual)
        of_config = _descriptor(blobs, manifest.get("config"))
        config = document(blobs, of_config)
        layers = [_descriptor(blobs, one) for one in _list(manifest.get("layers"))]
        items: dict[str, Item] = {}
        texts: dict[str, bytes] = {}
        for layer in layers:
            _put_over(items, texts, self._contents(blobs, layer))
        annotations = manifest.get("annotations")
        return Inventory(
            name,
            items,
            settings(config, annotations if isinstance(annotations, dict) else {}),
            packages({path: text for path, text in texts.items() if path in items}),
            descriptor.size + of_config.size + sum(layer.size for layer in layers),
            layers=tuple(_stored(layers, config)),
        )

    def _contents(self, blobs: Blobs, layer: Descriptor) -> Contents:
        if layer.digest not in self._read:
            self._read[layer.digest] = _read_layer(blobs, layer)
        return self._read[layer.digest]


def _manifest(
    blobs: Blobs, top: Descriptor, platform: Platform | None, usual: Platform
) -> tuple[Mapping[str, Any], Descriptor]:
    """Follow a descriptor, through an index if need be, to the manifest of one platform."""
    found = document(blobs, top)
    if "manifests" not in found:
        if platform is not None:
            config = document(blobs, _descriptor(blobs, found.get("config")))
            if (config.get("os"), config.get("architecture")) != (platform.os, platform.arch):
                got = f"{config.get('os')}/{config.get('architecture')}"
                raise BuildError(f"{blobs.name}: must have an image for {platform}, got one for {got}")
        return found, top
    images = {_place(one): one for one in _list(found["manifests"]) if isinstance(one, dict)}
    images.pop("unknown/unknown", None)  # what builders attach is no image
    chosen = images.get(str(platform or usual))
    if chosen is None and platform is None and len(images) == 1:
        chosen = next(iter(images.values()))
    if chosen is None:
        hint = "choose one of them, such as NAME@linux-arm64"
        there = ", ".join(sorted(images)) or "none"
        raise BuildError(f"{blobs.name}: must have an image for {platform or usual}, got {there}", hint=hint)
    return _manifest(blobs, _descriptor(blobs, chosen), None, usual)


def _place(described: Mapping[str, Any]) -> str:
    platform = described.get("platform")
    return f"{platform.get('os')}/{platform.get('architecture')}" if isinstance(platform, dict) else "any platform"


def _descriptor(blobs: Blobs, described: Any) -> Descriptor:
    try:
        found = Descriptor(described["mediaType"], described["digest"], described["size"])
    except (KeyError, TypeError):
        raise BuildError(f"{blobs.name}: must lead to blobs by mediaType, digest and size, got {described}") from None
    is_digest = isinstance(found.digest, str) and found.digest.startswith("sha256:") and found.digest[7:].isalnum()
    if not is_digest or not isinstance(found.size, int) or not str(found.media_type).startswith(_TYPES):
        raise BuildError(f"{blobs.name}: must lead to parts of an image, got {described}")
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _stored(layers: Iterable[Descriptor], config: Mapping[str, Any]) -> Iterator[StoredLayer]:
    """Pair layers with what the configuration tells of them; steps that made none are left out."""
    told = [one for one in _list(config.get("history")) if isinstance(one, dict) and not one.get("empty_layer")]
    words = [str(one.get("comment") or one.get("created_by") or "") for one in told]
    for number, layer in enumerate(layers):
        yield StoredLayer(layer.digest, layer.size, words[number] if number < len(words) else "")


def _read_layer(blobs: Blobs, layer: Descriptor) -> Contents:
    items: dict[str, Item] = {}
    texts: dict[str, bytes] = {}
    removed: set[str] = set()
    where = f"{blobs.name}: {layer.digest}"
    with opened(blobs, layer) as stream:
        metered = Metered(stream)
        with unpacking(metered, where) as plain:
            for item, text in read_tar(plain, is_read):
                folder, _, base = item.path.rpartition("/")
                if base == _REMOVES_ALL:
                    removed.add(f"{folder}/")
                elif base.startswith(_REMOVES):
                    removed.add(posixpath.join(folder, base.removeprefix(_REMOVES)))
                else:
                    items[item.path] = item
                    texts |= {item.path: text} if is_read(item.path) else {}
        checked(blobs, layer, metered)
    return Contents(items, texts, frozenset(removed))


def _put_over(items: dict[str, Item], texts: dict[str, bytes], layer: Contents) -> None:
    """Put a layer over those below it."""
    replaced = {path for path, item in layer.items.items() if item.type != "directory" and path in items}
    gone = layer.removed | {path for path in replaced if items[path].type == "directory"}
    if gone:
        is_gone = _below(gone)
        for path in [path for path in items if is_gone(path)]:
            del items[path]
    items |= layer.items
    texts |= layer.texts


def _below(gone: Iterable[str]) -> Callable[[str], bool]:
    """Tell which paths are taken away: those named, and all below; of a name that ends with / only what is below."""
    whole = {path for path in gone if not path.endswith("/")}
    inner = {path[:-1] for path in gone if path.endswith("/")}

    def is_gone(path: str) -> bool:
        if path in whole:
            return True
        while path:
            path = posixpath.dirname(path)
            if path in whole or path in inner:
                return True
        return False

    return is_gone
