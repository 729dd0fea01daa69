"""Where the tasks of a picture stand: stages are columns, images are rows.  Pure.

The graph has that shape, so no edge has to cross another: an image's tasks need tasks of the same image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from procession_tasks.graph.picture import Box, Picture


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task stands: its column, and the middle of its row counted from the top, in rows."""

    box: Box
    column: int
    row: float


@dataclass(frozen=True, slots=True)
class Band:
    """The rows of one image on one platform; `label` is empty where the image's name says it all."""

    label: str
    top: int
    rows: int


@dataclass(frozen=True, slots=True)
class Strip:
    """The rows of one image, and the bands they are divided into."""

    image: str
    top: int
    rows: int
    bands: tuple[Band, ...]


@dataclass(frozen=True, slots=True)
class Laid:
    """A picture laid out; `columns` counts them, `rows` all rows of all strips."""

    places: tuple[Place, ...]
    strips: tuple[Strip, ...]
    columns: int
    rows: int


def lay_out(picture: Picture) -> Laid:
    """Give every task its place."""
    columns = column_of_each(picture.boxes)
    places: list[Place] = []
    strips: list[Strip] = []
    top = 0
    for image in picture.images:
        bands: list[Band] = []
        start = top
        for label, members in _by_platform(image.boxes):
            cells = _cells(members, columns)
            rows = max(map(len, cells.values()))
            bands.append(Band(label, top, rows))
            places += [
                Place(box, column, top + rows / 2 + (number - (len(cell) - 1) / 2) - 0.5)
                for column, cell in cells.items()
                for number, box in enumerate(cell)
            ]
            top += rows
        strips.append(Strip(image.name, start, top - start, tuple(bands)))
    return Laid(tuple(places), tuple(strips), max(columns.values(), default=-1) + 1, top)


def column_of_each(boxes: Iterable[Box]) -> dict[str, int]:
    """Number the columns of the stages, from the left; each is as far to the right as what needs it allows.

    So images that begin with other stages are aligned where they go on alike.
    """
    followers: dict[str, set[str]] = {}
    kinds: dict[str, str] = {}
    for box in boxes:
        kinds[box.task] = box.kind
        followers.setdefault(box.kind, set())
        for needed in box.needs:
            followers[kinds[needed]] |= {box.kind} - {kinds[needed]}
    depths: dict[str, int] = {}
    for kind in followers:
        _depth(kind, followers, depths)
    deepest = max(depths.values(), default=0)
    return {kind: deepest - depth for kind, depth in depths.items()}


def _depth(kind: str, followers: Mapping[str, set[str]], depths: dict[str, int]) -> int:
    if kind not in depths:
        depths[kind] = 0  # ends a circle of stages, of which there is none among tasks
        depths[kind] = max((1 + _depth(other, followers, depths) for other in followers[kind]), default=0)
    return depths[kind]


def _by_platform(boxes: Sequence[Box]) -> list[tuple[str, list[Box]]]:
    """Divide an image's tasks by platform; those that are of no certain one stand with the usual one."""
    ordered = sorted(boxes, key=lambda box: box.platform)
    return [(platform, list(members)) for platform, members in groupby(ordered, key=lambda box: box.platform)]


def _cells(boxes: Sequence[Box], columns: Mapping[str, int]) -> dict[int, list[Box]]:
    """Put tasks into their columns, each as high as what it needs stands on average, so that few edges cross."""
    heights: dict[str, float] = {}

    def height(box: Box) -> float:
        known = [heights[needed] for needed in box.needs if needed in heights]
        return sum(known) / len(known) if known else 0

    cells: dict[int, list[Box]] = {}
    for column in sorted({columns[box.kind] for box in boxes}):
        members = [box for box in boxes if columns[box.kind] == column]
        cells[column] = sorted(members, key=lambda box: (height(box), box.program, box.kind))
        middle = (len(members) - 1) / 2
        heights |= {box.task: number - middle for number, box in enumerate(cells[column])}
    return cells
