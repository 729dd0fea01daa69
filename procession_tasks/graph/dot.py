"""A picture of the graph in Graphviz's language.  Pure."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator
from typing import TypeVar

from procession_tasks.graph.picture import STATES, Box, Picture, State
from procession_tasks.graph.plaintext import plain

T = TypeVar("T")

_FILLS = {"stale": "#ffd8b5", "behind": "#fff8c5", "fresh": "#ddf4ff"}
_STYLES = {
    "stale": 'color="#bc4c00", penwidth=2.5',
    "behind": 'color="#9a6700", style="rounded,filled,dashed"',
    "fresh": 'color="#0969da"',
}
_HEAD = (
    "  rankdir=LR; ranksep=0.4; nodesep=0.15; labelloc=t; labeljust=l; fontname=sans; bgcolor=white;",
    '  node [shape=box, style="rounded,filled", fontname=sans, fontsize=11, height=0.3, margin="0.12,0.05"];',
    '  edge [color="#8c959f", arrowsize=0.6];',
)


def to_dot(picture: Picture) -> str:
    """Render a digraph: a cluster an image, or a node an image when there are many."""
    drawn = _crowd(picture) if picture.is_crowded else _chains(picture)
    head = [f"digraph {_quoted(picture.title)} {{", f"  label=<{_legend(picture.summary)}>;", *_HEAD]
    return "\n".join([*head, *drawn, "}", ""])


def _chains(picture: Picture) -> Iterator[str]:
    for number, image in _upwards(enumerate(picture.images)):
        yield f"  subgraph cluster_{number} {{"
        yield f'    label={_quoted(image.name)}; labeljust=l; style="rounded,filled"; color="#f6f8fa";'
        yield from (f"    {_node(box.task, _label(box), box.state, box.why)}" for box in _upwards(image.boxes))
        yield "  }"
    for box in picture.boxes:
        yield from (f"  {_quoted(needed)} -> {_quoted(box.task)};" for needed in box.needs)


def _crowd(picture: Picture) -> Iterator[str]:
    """Put a node an image into a grid; edges that are not seen keep the rows together."""
    yield f"  // {len(picture.images)} images: a node an image; doit graph NAME draws the tasks of one"
    names = [image.name for image in picture.images]
    for image in picture.images:
        yield f"  {_node(image.name, image.name, image.state, image.summary)}"
    wide = math.ceil(math.sqrt(len(names) / 2))
    for start in _upwards(range(0, len(names), wide)):
        yield f"  {' -> '.join(map(_quoted, names[start : start + wide]))} [style=invis];"


def _upwards(things: Iterable[T]) -> Iterator[T]:
    """Turn an order round: Graphviz puts what comes first lowest when a graph goes from the left to the right."""
    return reversed(list(things))


def _legend(summary: str) -> str:
    cells = "".join(
        f'<td bgcolor="{_FILLS[state]}">{state}</td><td align="left">{what}</td>' for state, what in STATES.items()
    )
    head = f'<tr><td colspan="{2 * len(STATES)}" align="left"><b>{html.escape(plain(summary))}</b></td></tr>'
    return f'<table border="0" cellspacing="6" cellpadding="3">{head}<tr>{cells}</tr></table>'


def _node(name: str, label: str, state: State, why: str) -> str:
    tooltip = f"{name}: {why or state}"
    texts = f"label={_quoted(label)}, tooltip={_quoted(tooltip)}"
    return f"{_quoted(name)} [{texts}, fillcolor={_quoted(_FILLS[state])}, {_STYLES[state]}];"


def _label(box: Box) -> str:
    return f"{box.label}\n{box.platform}" if box.platform else box.label


def _quoted(text: str) -> str:
    """Quote a string; a backslash would begin an escape such as the node's name."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{plain(escaped)}"'
