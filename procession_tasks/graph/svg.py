"""A picture of the graph as SVG: no fonts or scripts of others, light or dark as its reader is.  Pure."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from procession_tasks.graph.columns import Laid, Strip, column_of_each, lay_out
from procession_tasks.graph.picture import STATES, Box, Image, Picture, State
from procession_tasks.graph.plaintext import plain

_LETTER = 7.3  # the width of a character; those of monospaced fonts of 12 px differ by hundredths
_MARGIN, _HEAD = 16, 40
_ROW, _BOX, _GAP = 34, 24, 40
_CELL, _SQUARE, _STEP = 26, 10, 13
_LONGEST = 40  # characters of a name
_SHAPE = 1.6  # a page's width to its height

_STYLE = """\
text{font:12px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.b{font-weight:bold}.m{text-anchor:middle}.e{fill:none}.stale{stroke-width:2.5}.behind{stroke-dasharray:4 2}"""
_LIGHT = {
    "page": "#fff", "strip": "#f6f8fa", "text": "#1f2328", "dim": "#59636e", "edge": "#8c959f",
    "fresh": "#ddf4ff", "behind": "#fff8c5", "stale": "#ffd8b5",
    "fresh-line": "#0969da", "behind-line": "#9a6700", "stale-line": "#bc4c00",
}  # fmt: skip
_DARK = {
    "page": "#0d1117", "strip": "#151b23", "text": "#e6edf3", "dim": "#9198a1", "edge": "#656c76",
    "fresh": "#12243d", "behind": "#2b2412", "stale": "#4a2509",
    "fresh-line": "#4493f8", "behind-line": "#d29922", "stale-line": "#f0883e",
}  # fmt: skip
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A part of the page: how much room it takes, in pixels, and its elements from the back to the front."""

    wide: float
    high: float
    elements: Sequence[str]


def to_svg(picture: Picture) -> str:
    """Render a row an image, or, when there are many, a cell an image with a square a task."""
    body = _crowd(picture) if picture.is_crowded else _chains(picture)
    notes = _notes(picture)
    legend = _legend(_HEAD + body.high + _MARGIN, notes)
    wide = math.ceil(max(body.wide, legend.wide, _width(picture.summary)) + 2 * _MARGIN)
    high = math.ceil(_HEAD + body.high + legend.high + 2 * _MARGIN)
    style = f"{_STYLE}\n{_colours(_LIGHT)}\n@media(prefers-color-scheme:dark){{\n{_colours(_DARK)}}}"
    size = f'width="{wide}" height="{high}" viewBox="0 0 {wide} {high}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{_escaped(picture.summary)}</title>",
        f"<style>{style}</style>",
        '<rect class="page" width="100%" height="100%"/>',
        _text(_MARGIN, _HEAD / 2, picture.summary, "b"),
        *body.elements,
        *legend.elements,
    ]
    return "\n".join([*lines, "</svg>", ""])


def _chains(picture: Picture) -> _Drawn:
    """Draw rows, then edges, then tasks, each over the former."""
    laid = lay_out(picture)
    names = [*(strip.image for strip in laid.strips), *(band.label for strip in laid.strips for band in strip.bands)]
    left = _MARGIN + max(map(_width, names), default=0) + 28
    box = max((_width(box.label) for box in picture.boxes), default=0) + 20
    wide = left + laid.columns * (box + _GAP) - _GAP + _MARGIN
    elements = [element for strip in laid.strips for element in _strip(strip, wide)]
    elements += _edges(laid, left, box)
    elements += [_task(one.box, _x(one.column, left, box), _y(one.row), box) for one in laid.places]
    return _Drawn(wide - _MARGIN, laid.rows * _ROW, elements)


def _strip(strip: Strip, wide: float) -> Iterator[str]:
    top, high = _HEAD + strip.top * _ROW, strip.rows * _ROW
    yield f'<rect class="strip" x="{_MARGIN}" y="{top + 2}" width="{wide - _MARGIN:.0f}" height="{high - 4}" rx="6"/>'
    for number, band in enumerate(strip.bands):
        middle = _y(band.top + band.rows / 2 - 0.5)
        if number == 0:
            yield _text(_MARGIN + 12, middle, strip.image, "b")
        if band.label:
            yield _text(_MARGIN + 12, middle + (14 if number == 0 else 0), band.label, "dim")


def _edges(laid: Laid, left: float, box: float) -> Iterator[str]:
    at = {one.box.task: one for one in laid.places}
    for one in laid.places:
        for source in (at[needed] for needed in one.box.needs):
            start, end = _x(source.column, left, box) + box, _x(one.column, left, box)
            from_y, to_y = _y(source.row), _y(one.row)
            bend = (start + end) / 2
            kind = "edge" if source.box.state == "fresh" else "edge live"
            curve = f"M{start:.0f} {from_y:.0f}C{bend:.0f} {from_y:.0f} {bend:.0f} {to_y:.0f} {end - 6:.0f} {to_y:.0f}"
            head = f"M{end:.0f} {to_y:.0f}l-7 -3.5v7z"
            yield f'<path class="e {kind}" d="{curve}"/><path class="{kind} tip" d="{head}"/>'


def _task(box: Box, x: float, y: float, wide: float) -> str:
    frame = f'<rect class="{box.state}" x="{x:.0f}" y="{y - _BOX / 2:.0f}" width="{wide:.0f}" height="{_BOX}" rx="5"/>'
    return f"<g>{_tip(box)}{frame}{_text(x + wide / 2, y, box.label, 'm')}</g>"


def _crowd(picture: Picture) -> _Drawn:
    """Draw a grid whose columns are read from the top."""
    columns = column_of_each(picture.boxes)
    squares = max(len(image.boxes) for image in picture.images) * _STEP
    cell = max(_width(image.name) for image in picture.images) + squares + 30
    across = math.ceil(math.sqrt(len(picture.images) * _CELL * _SHAPE / (cell + 8)))
    down = math.ceil(len(picture.images) / across)
    across = math.ceil(len(picture.images) / down)
    elements: list[str] = []
    for number, image in enumerate(picture.images):
        x, y = _MARGIN + number // down * (cell + 8), _HEAD + number % down * _CELL
        elements += _cell(image, columns, x, y, cell)
    return _Drawn(across * (cell + 8) - 8, down * _CELL, elements)


def _cell(image: Image, columns: Mapping[str, int], x: float, y: float, wide: float) -> Iterator[str]:
    yield f'<rect class="strip" x="{x:.0f}" y="{y + 2}" width="{wide:.0f}" height="{_CELL - 4}" rx="4"/>'
    yield _text(x + 8, y + _CELL / 2, image.name, "" if image.state == "fresh" else "b")
    boxes = sorted(image.boxes, key=lambda box: (box.platform, box.program, columns[box.kind], box.kind))
    start = x + wide - 8 - len(boxes) * _STEP
    for number, box in enumerate(boxes):
        yield _square(start + number * _STEP, y + _CELL / 2, box.state, _tip(box))


def _square(x: float, y: float, state: State, tip: str = "") -> str:
    place = f'x="{x + 1:.0f}" y="{y - _SQUARE / 2:.0f}" width="{_SQUARE}" height="{_SQUARE}" rx="2"'
    return f'<rect class="{state}" {place}>{tip}</rect>' if tip else f'<rect class="{state}" {place}/>'


def _notes(picture: Picture) -> list[str]:
    """Say how a crowded picture is to be read."""
    if not picture.is_crowded:
        return []
    columns = column_of_each(picture.boxes)
    kinds = sorted(columns, key=lambda kind: (columns[kind], kind))
    return [f"a square is a task: {', '.join(kinds)}", "doit graph NAME draws the tasks of one image"]


def _legend(top: float, notes: Sequence[str]) -> _Drawn:
    elements = []
    lines = [f"{state}: {what}" for state, what in STATES.items()]
    for number, (state, line) in enumerate(zip(STATES, lines, strict=True)):
        y = top + number * 20 + 10
        elements += [_square(_MARGIN, y, state), _text(_MARGIN + 20, y, line, "dim")]
    for number, note in enumerate(notes, len(lines)):
        elements.append(_text(_MARGIN, top + number * 20 + 10, note, "dim"))
    return _Drawn(max(map(_width, [*lines, *notes])) + 20, 20 * (len(lines) + len(notes)), elements)


def _tip(box: Box) -> str:
    """Tell, to who points at a task, what it is and why it would run."""
    return f"<title>{_escaped(f'{box.task}: {box.why or STATES[box.state]}')}</title>"


def _text(x: float, y: float, text: str, kinds: str) -> str:
    attribute = f' class="{kinds}"' if kinds else ""
    return f'<text{attribute} x="{x:.0f}" y="{y + 4:.0f}">{_escaped(_short(text))}</text>'


def _colours(of: Mapping[str, str]) -> str:
    states = "".join(f".{state}{{fill:{of[state]};stroke:{of[f'{state}-line']}}}" for state in STATES)
    edges = f".edge{{stroke:{of['edge']}}}.live{{stroke:{of['stale-line']};stroke-width:1.5}}"
    tips = f".tip{{fill:{of['edge']};stroke:none}}.live.tip{{fill:{of['stale-line']}}}"
    areas = f".page{{fill:{of['page']}}}.strip{{fill:{of['strip']}}}"
    return f"{areas}text{{fill:{of['text']}}}.dim{{fill:{of['dim']}}}{edges}{tips}{states}\n"


def _x(column: int, left: float, box: float) -> float:
    return left + column * (box + _GAP)


def _y(row: float) -> float:
    return _HEAD + (row + 0.5) * _ROW


def _width(text: str) -> float:
    return len(_short(text)) * _LETTER


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST or " " in text else f"{text[: _LONGEST - 1]}…"


def _escaped(text: str) -> str:
    """Have text stand in XML as it is; what XML cannot hold is replaced."""
    return html.escape(_NOT_XML.sub("�", plain(text)))
