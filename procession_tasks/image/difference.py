"""What is different between two images.  Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from procession_tasks.image.inventory import Inventory, Item, StoredLayer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """Something by its name, as it is in the first image and in the second; None where there is no such thing."""

    name: str
    before: T | None
    after: T | None


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers of two images: those of both, those of the first alone, and those of the second alone."""

    shared: tuple[StoredLayer, ...]
    removed: tuple[StoredLayer, ...]
    added: tuple[StoredLayer, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """All that is different; everything is sorted by name.

    `times` counts the files that differ in nothing but their time.  `layers` is None unless both
    images have layers.
    """

    before: Inventory
    after: Inventory
    files: tuple[Change[Item], ...]
    times: int
    packages: tuple[Change[str], ...]
    settings: tuple[Change[str], ...]
    layers: Layers | None

    @property
    def is_none(self) -> bool:
        """Whether the images are equal, as far as both formats can say."""
        is_same = self.layers is None or not (self.layers.removed or self.layers.added)
        return is_same and not (self.files or self.times or self.packages or self.settings)


def difference(before: Inventory, after: Inventory) -> Difference:
    """Compare two images; what only one format can say counts where both are of that format."""
    of_appc = before.manifest is not None and after.manifest is not None
    said = [(one.manifest if of_appc else one.settings) or {} for one in (before, after)]
    if of_appc:  # an appc manifest has no time; an archive has
        said = [{**of, **_created(one)} for of, one in zip(said, (before, after), strict=True)]
    changed = _changes(before.items, after.items)
    files = tuple(change for change in changed if aspects(change) != ("mtime",))
    return Difference(
        before,
        after,
        files,
        len(changed) - len(files),
        _changes(before.packages, after.packages),
        _changes(*said),
        _layers(before.layers, after.layers),
    )


def aspects(change: Change[Item]) -> tuple[str, ...]:
    """Name what is different of a path that both images have."""
    if change.before is None or change.after is None:
        return ()
    fields = [field.name for field in dataclasses.fields(Item)]
    different = [name for name in fields if getattr(change.before, name) != getattr(change.after, name)]
    return tuple("content" if name == "sha256" else name for name in different)


def _created(one: Inventory) -> dict[str, str]:
    return {"created": one.settings["created"]} if "created" in one.settings else {}


def _changes(before: Mapping[str, T], after: Mapping[str, T]) -> tuple[Change[T], ...]:
    names = sorted(before.keys() | after.keys(), key=lambda name: name.encode("utf-8", "surrogateescape"))
    pairs = ((name, before.get(name), after.get(name)) for name in names)
    return tuple(Change(name, was, now) for name, was, now in pairs if was != now)


def _layers(before: Iterable[StoredLayer] | None, after: Iterable[StoredLayer] | None) -> Layers | None:
    if before is None or after is None:
        return None
    old, new = ({layer.digest: layer for layer in layers} for layers in (before, after))
    return Layers(
        tuple(layer for digest, layer in new.items() if digest in old),
        tuple(layer for digest, layer in old.items() if digest not in new),
        tuple(layer for digest, layer in new.items() if digest not in old),
    )
