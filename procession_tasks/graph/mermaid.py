"""A picture of the graph as a Mermaid flowchart, which GitHub, GitLab and editors draw.  Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from procession_tasks.graph.picture import STATES, Box, Image, Picture
from procession_tasks.graph.plaintext import plain

_STYLES = {
    "stale": "fill:#ffd8b5,stroke:#bc4c00,color:#1f2328,stroke-width:3px",
    "behind": "fill:#fff8c5,stroke:#9a6700,color:#1f2328,stroke-dasharray:4 3",
    "fresh": "fill:#ddf4ff,stroke:#0969da,color:#1f2328",
}
_SPECIAL = {ord(character): f"#{ord(character)};" for character in '"#&<>`\\;'}


def to_mermaid(picture: Picture) -> str:
    """Render a flowchart: a subgraph an image, or a node an image when there are many."""
    ids = {box.task: f"t{number}" for number, box in enumerate(picture.boxes)}
    drawn = _crowd(picture) if picture.is_crowded else _chains(picture, ids)
    styles = [f"  classDef {state} {style}" for state, style in _STYLES.items()]
    return "\n".join([f"%% {plain(picture.summary)}", "flowchart LR", *drawn, *_legend(), *styles, ""])


def _chains(picture: Picture, ids: dict[str, str]) -> Iterator[str]:
    for number, image in enumerate(picture.images):
        yield from _group(
            f"i{number}", image.name, [_node(ids[box.task], _label(box), box.state) for box in image.boxes]
        )
    for box in picture.boxes:
        yield from (f"  {ids[needed]} --> {ids[box.task]}" for needed in box.needs)


def _crowd(picture: Picture) -> Iterator[str]:
    """Put a node an image into a grid; links that are not seen keep the rows together."""
    yield f"  %% {len(picture.images)} images: a node an image; doit graph NAME draws the tasks of one"
    ids = [f"i{number}" for number in range(len(picture.images))]
    for name, image in zip(ids, picture.images, strict=True):
        yield f"  {_node(name, _lines(image), image.state)}"
    wide = math.ceil(math.sqrt(len(ids) / 2))
    rows = (ids[start : start + wide] for start in range(0, len(ids), wide))
    yield from (f"  {' ~~~ '.join(row)}" for row in rows if len(row) > 1)


def _legend() -> Iterator[str]:
    return _group(
        "legend", "legend", [_node(f"l_{state}", f"{state}: {what}", state) for state, what in STATES.items()]
    )


def _group(name: str, label: str, nodes: Iterable[str]) -> Iterator[str]:
    yield f"  subgraph {name}[{_quoted(label)}]"
    yield "    direction LR"
    yield from (f"    {node}" for node in nodes)
    yield "  end"


def _node(name: str, label: str, state: str) -> str:
    return f"{name}[{_quoted(label)}]:::{state}"


def _label(box: Box) -> str:
    return f"{box.label} {box.platform}" if box.platform else box.label


def _lines(image: Image) -> str:
    return image.name if image.state == "fresh" else f"{image.name}: {image.summary}"


def _quoted(text: str) -> str:
    """Quote a label; what Mermaid, Markdown or HTML would read otherwise is written by its number."""
    return f'"{plain(" ".join(text.split())).translate(_SPECIAL)}"'
