"""Renders what is different between two images, for people.  Pure.

Texts of images, be it names of files, move no cursor and end no line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from procession_tasks.image.difference import Change, Difference, Layers, aspects
from procession_tasks.image.inventory import Inventory, Item, StoredLayer

_KILO = 1000
_DIGEST = len("sha256:") + 12
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def render(found: Difference) -> str:
    """Lay out all that is different, or say that nothing is."""
    if found.is_none:
        return f"{found.before.name} and {found.after.name} are equal{_alike(found)}\n"
    sections = (
        ("files", [*_files(found.files), *_times(found.times)]),
        ("packages", _table(found.packages, lambda version: version)),
        ("configuration", _table(found.settings, lambda value: value)),
        ("layers", _layers(found.layers)),
        ("totals", _totals(found)),
    )
    lines = [f"--- {shown(found.before.name)}", f"+++ {shown(found.after.name)}"]
    for title, rows in sections:
        told = list(rows)
        lines += [title, *(f"  {row}" for row in told)] if told else []
    return "\n".join(lines) + "\n"


def amount(size: int) -> str:
    """Write a number of bytes for people, as registries count: powers of 1000."""
    value, units = float(size), ["B", "kB", "MB", "GB"]
    while abs(value) >= _KILO and len(units) > 1:
        value, units = value / _KILO, units[1:]
    return f"{size} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def grown(before: int, after: int) -> str:
    """Write what a number of bytes grew by, with its sign."""
    return f"{'-' if after < before else '+'}{amount(abs(after - before))}"


def shown(text: str) -> str:
    """Write text on one line, as it is but for what a terminal would not show."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").translate(_CONTROL)


def _alike(found: Difference) -> str:
    """Say what could not be compared."""
    if found.layers is None and (found.before.layers is None) != (found.after.layers is None):
        return ", as far as an ACI and an OCI image can be"
    return ""


def _files(changes: Sequence[Change[Item]]) -> Iterator[str]:
    width = min(60, max((len(shown(change.name)) + 1 for change in changes), default=0))
    for change in changes:
        path = f"{_path(change):<{width}}"
        if change.before is None and change.after is not None:
            yield f"+ {path}  {_described(change.after)}"
        elif change.after is None and change.before is not None:
            yield f"- {path}  {_described(change.before)}"
        elif change.before is not None and change.after is not None:
            yield f"~ {path}  {', '.join(_changed(change.before, change.after, aspects(change)))}"


def _path(change: Change[Item]) -> str:
    of = change.after or change.before
    return f"/{shown(change.name)}" + ("/" if of is not None and of.type == "directory" else "")


def _described(item: Item) -> str:
    owner = f"{item.mode:04o} {item.uid}:{item.gid}"
    if item.type == "symlink":
        return f"-> {shown(item.link)}"
    if item.type == "hardlink":
        return f"{owner}  a hard link of /{shown(item.link)}"
    return f"{owner}  {amount(item.size)}" if item.type == "file" else owner


def _changed(before: Item, after: Item, different: Sequence[str]) -> Iterator[str]:
    if before.type != after.type:
        yield f"{before.type} -> {after.type}: {_described(after)}"
        return
    if "content" in different:
        same = "other bytes" if before.size == after.size else grown(before.size, after.size)
        yield f"{amount(before.size)} -> {amount(after.size)} ({same})"
    if "mode" in different:
        yield f"mode {before.mode:04o} -> {after.mode:04o}"
    if "uid" in different or "gid" in different:
        yield f"owner {before.uid}:{before.gid} -> {after.uid}:{after.gid}"
    if "link" in different:
        yield f"link {shown(before.link) or 'none'} -> {shown(after.link) or 'none'}"
    if "xattrs" in different:
        names = sorted({name for name, _ in {*before.xattrs} ^ {*after.xattrs}})
        yield f"attributes {', '.join(map(shown, names))}"


def _times(count: int) -> Iterator[str]:
    if count:
        yield f"~ the time of {count} {'file' if count == 1 else 'files'} that are else the same"


def _table(changes: Iterable[Change[str]], tell: Callable[[str], str]) -> Iterator[str]:
    for change in changes:
        name = shown(change.name)
        before, after = (None if text is None else shown(tell(text)) for text in (change.before, change.after))
        if before is None:
            yield f"+ {name}  {after}"
        elif after is None:
            yield f"- {name}  {before}"
        else:
            yield f"~ {name}  {before} -> {after}"


def _layers(layers: Layers | None) -> Iterator[str]:
    if layers is None or not (layers.removed or layers.added):
        return
    for sign, of in (("=", layers.shared), ("-", layers.removed), ("+", layers.added)):
        for layer in of:
            yield f"{sign} {_layer(layer)}"


def _layer(layer: StoredLayer) -> str:
    return f"{layer.digest[:_DIGEST]}  {amount(layer.size):>9}  {shown(layer.what)}".rstrip()


def _totals(found: Difference) -> Iterator[str]:
    before, after = found.before, found.after
    yield f"unpacked  {_held(before)} -> {_held(after)} ({grown(before.size, after.size)})"
    if (before.layers is None) == (after.layers is None):
        sizes = f"{amount(before.stored)} -> {amount(after.stored)}"
        yield f"stored    {sizes} ({grown(before.stored, after.stored)})"
    if found.layers:
        yield f"to fetch  {amount(sum(layer.size for layer in found.layers.added))} for who has the first"


def _held(one: Inventory) -> str:
    return f"{amount(one.size)} in {one.count} {'file' if one.count == 1 else 'files'}"
