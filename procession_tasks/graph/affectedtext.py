"""What `doit affected` says: a line an image, JSON, or a matrix for jobs of a CI.  Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from procession_tasks.graph.affected import GONE, Affected
from procession_tasks.graph.jsonrows import render
from procession_tasks.graph.verdicts import FRESH, chain, others
from procession_tasks.graph.whytext import task_to_json

VERSION = 1  # of the JSON; raised when a key goes or means something else


def to_text(found: Iterable[Affected]) -> Iterator[str]:
    """Name each image, and the shortest chain that leads to it, with whatever else differs."""
    for one in found:
        if one.verdicts is None:
            yield f"{one.image}: {one.how}"
            continue
        ways = sorted((chain(name, one.verdicts) for name in one.artefacts), key=len)
        more = dict.fromkeys(said for said, _ in others(one.artefacts[:1], one.verdicts) if said != ways[0][0])
        also = f"; {'; '.join(more)}" if more else ""
        yield f"{one.image}: {' → '.join(ways[0])}{also}"


def to_json(found: Sequence[Affected], since: str) -> str:
    """Render the images that differ, and each task of theirs."""
    images = [_image(one) for one in found]
    return render({"version": VERSION, "since": since, "images": images})


def _image(one: Affected) -> dict[str, Any]:
    verdicts = one.verdicts or {}
    ways = [list(chain(name, verdicts)) for name in one.artefacts]
    tasks = [task_to_json(verdict) for verdict in verdicts.values() if verdict.how != FRESH]
    return {"name": one.image, "status": one.how, "platforms": list(one.platforms), "chains": ways, "tasks": tasks}


def to_github(found: Iterable[Affected]) -> str:
    """Render the matrix of a job, in a line; its `image` is empty when there is nothing to do."""
    return json.dumps({"image": _to_build(found)}) + "\n"


def to_gitlab(found: Iterable[Affected]) -> str:
    """Render what jobs of a child pipeline extend: one for each image, or none at all."""
    names = _to_build(found)
    job: dict[str, Any] = {"parallel": {"matrix": [{"IMAGE": names}]}} if names else {"rules": [{"when": "never"}]}
    return json.dumps({".affected": job}, indent=2) + "\n"


def _to_build(found: Iterable[Affected]) -> list[str]:
    return [one.image for one in found if one.how != GONE]
