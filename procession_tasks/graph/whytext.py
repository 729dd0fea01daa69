"""Why images would be built: what `doit why` says, for people and in JSON.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from procession_tasks.graph.cause import Cause
from procession_tasks.graph.jsonrows import render
from procession_tasks.graph.verdicts import STALE, WAITING, Verdict, chain, chains, others

VERSION = 1  # of the JSON; raised when a key goes or means something else


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about: how it was named, the tasks that make it, and all behind them, in order."""

    name: str
    artefacts: tuple[str, ...]
    tasks: tuple[str, ...]


def to_text(subjects: Iterable[Subject], verdicts: Mapping[str, Verdict]) -> Iterator[str]:
    """Say which are stale and why, and which are fresh; a line each at least."""
    for subject in subjects:
        own = {name: verdicts[name] for name in subject.tasks}
        if all(verdict.how not in (STALE, WAITING) for verdict in own.values()):
            yield f"{subject.name}: fresh"
            continue
        yield f"{subject.name}: stale"
        yield from (f"  {' → '.join(way)}" for way in chains(subject.artefacts, own))
        yield from (f"  {' → '.join(way)}" for way in others(subject.artefacts, own))
        if waiting := [name for name, verdict in own.items() if verdict.how == WAITING]:
            yield f"  run if what they wait for comes out different: {', '.join(waiting)}"


def to_json(subjects: Sequence[Subject], verdicts: Mapping[str, Verdict]) -> str:
    """Render the same and each task's part in it."""
    return render(
        {
            "version": VERSION,
            "images": [_subject(subject, verdicts) for subject in subjects],
            "tasks": [task_to_json(verdict) for verdict in verdicts.values()],
        }
    )


def _subject(subject: Subject, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    own = {name: verdicts[name] for name in subject.tasks}
    ways = [list(way) for name in subject.artefacts if (way := chain(name, own))]
    return {"name": subject.name, "stale": any(v.how in (STALE, WAITING) for v in own.values()), "chains": ways}


def task_to_json(verdict: Verdict) -> dict[str, Any]:
    """Turn a verdict into plain values."""
    causes = list(map(_cause, verdict.causes))
    return {"name": verdict.name, "status": verdict.how, "causes": causes, "waits_for": list(verdict.behind)}


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "what": cause.what,
        "subject": cause.subject or None,
        "from": cause.before or None,
        "to": cause.after or None,
    }
