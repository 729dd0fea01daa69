"""Why images were built in the last run: what `doit why --last` says, for people and in JSON.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from procession_tasks.graph.jsonrows import render
from procession_tasks.graph.record import CACHED, FAILED, FRESH, SKIPPED, Ran, Run
from procession_tasks.graph.whytext import VERSION, Subject

_WORST_FIRST = (FAILED, SKIPPED)


def to_text(subjects: Iterable[Subject], run: Run, needs: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Say why each was built in a run, and where the chain was cut off; `needs` has what each task is made from."""
    ran = {task.name: task for task in run.tasks}
    for subject in subjects:
        own = [ran[name] for name in subject.tasks if name in ran]
        if not own:
            yield f"{subject.name}: was not part of doit {' '.join(run.words)}"
            continue
        yield f"{subject.name}: {outcome(subject, ran)}"
        yield from (f"  {' → '.join(way)}" for way in _ways(subject, ran))
        yield from (f"  {line}" for line in _ends(own, ran, needs))


def to_json(subjects: Iterable[Subject], run: Run, needs: Mapping[str, Iterable[str]]) -> str:
    """Render the same."""
    ran = {task.name: task for task in run.tasks}
    images = [
        {
            "name": subject.name,
            "outcome": outcome(subject, ran),
            "chains": [list(way) for way in _ways(subject, ran)],
            "cut_off": [one.name for one in _cut_off([ran[n] for n in subject.tasks if n in ran], ran, needs)],
        }
        for subject in subjects
    ]
    tasks = [
        {
            "name": task.name,
            "outcome": task.how,
            "why": list(task.why),
            "from": task.where,
            "seconds": round(task.seconds, 3),
        }
        for task in run.tasks
    ]
    head = {"words": list(run.words), "begun": run.begun, "seconds": round(run.seconds, 3), "status": run.status}
    return render({"version": VERSION, "run": head, "images": images, "tasks": tasks})


def outcome(subject: Subject, ran: Mapping[str, Ran]) -> str | None:
    """Say how a subject came about: the worst of its tasks, else that of what was made last; None if it was no part."""
    hows = [ran[name].how for name in subject.tasks if name in ran]
    if bad := [how for how in _WORST_FIRST if how in hows]:
        return bad[0]
    made = [ran[name].how for name in subject.artefacts if name in ran]
    return next((how for how in made if how not in (FRESH, CACHED)), made[0] if made else None)


def _ways(subject: Subject, ran: Mapping[str, Ran]) -> list[tuple[str, ...]]:
    """Return the chains to what was made, or where nothing was, to how far it came."""
    ways: dict[tuple[str, ...], list[str]] = {}
    ends = [name for name in subject.artefacts if name in ran and ran[name].why]
    if not ends:
        behind = [name for name in subject.tasks if name in ran and ran[name].why]
        passed = {word for name in behind for word in ran[name].why[:-1]}
        ends = [name for name in behind if name not in passed]
    for name in ends:
        ways.setdefault(ran[name].why[:-1], []).append(name)
    return sorted(((*way, ", ".join(names)) for way, names in ways.items()), key=len)


def _ends(own: Sequence[Ran], ran: Mapping[str, Ran], needs: Mapping[str, Iterable[str]]) -> Iterator[str]:
    for one in _cut_off(own, ran, needs):
        yield f"cut off at {one.name}, which came out as it was"
    for where in dict.fromkeys(one.where for one in own if one.how == CACHED):
        taken = [one for one in own if one.how == CACHED and one.where == where]
        saved = sum(one.saved for one in taken)
        yield f"taken from {where}, which spared {saved:.1f} s: {', '.join(one.name for one in taken)}"
    for one in own:
        if one.how == FAILED:
            yield f"{one.name} failed"


def _cut_off(own: Iterable[Ran], ran: Mapping[str, Ran], needs: Mapping[str, Iterable[str]]) -> Iterator[Ran]:
    """Return the tasks that ran and changed nothing: all that is made from them stayed fresh."""
    for one in own:
        if one.how in (FRESH, FAILED, SKIPPED):
            continue
        users = [ran[name].how for name, needed in needs.items() if one.name in needed and name in ran]
        if users and set(users) == {FRESH}:
            yield one
