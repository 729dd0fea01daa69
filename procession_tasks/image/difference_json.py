"""Renders what is different between two images, for machines: the JSON that docs/diff.md describes.  Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from procession_tasks.image.difference import Change, Difference, aspects
from procession_tasks.image.inventory import Inventory, Item, StoredLayer

T = TypeVar("T")
VERSION = 1  # raised when a key goes or means something else


def to_json(found: Difference) -> str:
    r"""Render all that is different; names that are not UTF-8 have their bytes as ``\xff``."""
    document = {
        "version": VERSION,
        "equal": found.is_none,
        "before": _image(found.before),
        "after": _image(found.after),
        "files": {**_sorted_out(found.files, _item), "times": found.times},
        "packages": _sorted_out(found.packages, str),
        "configuration": _sorted_out(found.settings, str),
        "layers": found.layers
        and {
            "shared": [*map(_layer, found.layers.shared)],
            "removed": [*map(_layer, found.layers.removed)],
            "added": [*map(_layer, found.layers.added)],
        },
    }
    return json.dumps(document, indent=2) + "\n"


def _image(of: Inventory) -> dict[str, Any]:
    return {
        "name": _text(of.name),
        "format": "aci" if of.layers is None else "oci",
        "files": of.count,
        "size": of.size,
        "stored": of.stored,
    }


def _sorted_out(changes: Iterable[Change[T]], told: Callable[[T], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"added": [], "removed": [], "changed": []}
    for change in changes:
        named = {"name": _text(change.name)}
        if change.before is None and change.after is not None:
            found["added"].append(named | {"after": told(change.after)})
        elif change.after is None and change.before is not None:
            found["removed"].append(named | {"before": told(change.before)})
        elif change.before is not None and change.after is not None:
            what = {"what": list(aspects(change))} if isinstance(change.before, Item) else {}  # type: ignore[arg-type]
            found["changed"].append(named | {"before": told(change.before), "after": told(change.after)} | what)
    return found


def _item(item: Item) -> dict[str, Any]:
    return {
        "type": item.type,
        "mode": f"{item.mode:04o}",
        "uid": item.uid,
        "gid": item.gid,
        "size": item.size,
        "sha256": item.sha256 or None,
        "link": _text(item.link) or None,
        "xattrs": {_text(name): value.hex() for name, value in item.xattrs},
        "mtime": item.mtime,
    }


def _layer(layer: StoredLayer) -> dict[str, Any]:
    return dataclasses.asdict(layer) | {"what": layer.what or None}


def _text(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
