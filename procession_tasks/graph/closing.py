"""The table that ends a run at a terminal: a row an image.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from procession_tasks.graph.live import COLOURS, FRESH, Look, paint
from procession_tasks.graph.report import BuiltImage, size_of

_MOST_FRESH = 12  # rows of images of which there is nothing to say
_SHORT = len("sha256:"), len("sha256:") + 12
_GAP = 2
_HEAD = ("image", "outcome", "digest", "time", "size")
_RIGHT = (False, False, False, True, True)
_FIRST_TO_GO = (2, 4, 3)  # columns, where there is no room for all


def table(images: Sequence[BuiltImage], look: Look) -> str:
    """Lay out the images, and leave out columns that have no room; many fresh ones are counted instead."""
    fresh = sum(one.how == FRESH for one in images)
    counted = fresh > _MOST_FRESH
    shown = [one for one in images if not (counted and one.how == FRESH)]
    with_platform = len({one.platform for one in images}) > 1
    rows = [_HEAD, *(_row(one, with_platform=with_platform) for one in shown)]
    columns = _fitting(rows, look.columns)
    widths = {column: max(len(row[column]) for row in rows) for column in columns}
    hows = ["", *(one.how for one in shown)]
    lines = [_line(row, how, widths, look) for row, how in zip(rows, hows, strict=True)] if shown else []
    more = [paint(f"{fresh} images are fresh", COLOURS[FRESH], look)] if counted else []
    return "".join(f"{line}\n" for line in [*lines, *more])


def _row(image: BuiltImage, *, with_platform: bool) -> tuple[str, ...]:
    name = f"{image.name} {image.platform}" if with_platform else image.name
    digest = image.digest[slice(*_SHORT)] if image.digest else ""
    time = f"{image.seconds:.1f} s" if image.how != FRESH or image.seconds else ""
    return name, image.how, digest, time, size_of(image.size)


def _fitting(rows: Sequence[Sequence[str]], room: int) -> list[int]:
    columns = list(range(len(_HEAD)))
    for column in _FIRST_TO_GO:
        if sum(max(len(row[one]) for row in rows) + _GAP for one in columns) - _GAP > room:
            columns.remove(column)
    return columns


def _line(row: Sequence[str], how: str, widths: dict[int, int], look: Look) -> str:
    cells: Iterable[str] = (
        _cell(row[column], width, how if column == _HEAD.index("outcome") else "", look, right=_RIGHT[column])
        for column, width in widths.items()
    )
    line = "  ".join(cells).rstrip()
    return line if how else paint(line, COLOURS[FRESH], look)


def _cell(text: str, width: int, how: str, look: Look, *, right: bool) -> str:
    padding = " " * (width - len(text))
    shown = paint(text, COLOURS[how], look) if how else text
    return padding + shown if right else shown + padding
