"""What a run could not have been faster than: the chain of tasks that each began when the one before ended.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from procession_tasks.graph.record import BUILT, CACHED, FAILED, FRESH, SKIPPED, Ran, Run

Needs = Mapping[str, Collection[str]]  # by task, the tasks that must have ended before it can begin

_WORKED = (BUILT, CACHED, FAILED)
_LITTLE_S, _SHARE, _MOST = 0.05, 0.15, 3  # below what is not worth a line; how many pieces of advice
_MEGA = 1_000_000


@dataclass(frozen=True, slots=True)
class Link:
    """A task of the chain, and how long after it could have begun it did."""

    ran: Ran
    waited: float

    @property
    def ended(self) -> float:
        """When it ended, from the run's begin."""
        return self.ran.started + self.ran.seconds


def worked(run: Run) -> tuple[Ran, ...]:
    """List the tasks that did something."""
    return tuple(one for one in run.tasks if one.how in _WORKED)


def ready(run: Run, needs: Needs) -> dict[str, float]:
    """Say of each task that did something when it could have begun: when the last one that it needs had ended.

    One that needs none could have begun with the first task of all.
    """
    first = min((one.started for one in worked(run)), default=0.0)
    by_name = {one.name: one for one in worked(run)}
    before = {name: _before(name, by_name, needs) for name in by_name}
    return {name: one.started + one.seconds if one else first for name, one in before.items()}


def chain(run: Run, needs: Needs) -> tuple[Link, ...]:
    """Find the chain that ends with the task that ended last, first task first."""
    could, by_name = ready(run, needs), {one.name: one for one in worked(run)}
    found: list[Link] = []
    one = max(by_name.values(), key=lambda one: one.started + one.seconds, default=None)
    while one and one.name not in {link.ran.name for link in found}:
        found.append(Link(one, max(0.0, one.started - could[one.name])))
        one = _before(one.name, by_name, needs)
    return tuple(reversed(found))


def _before(name: str, by_name: Mapping[str, Ran], needs: Needs) -> Ran | None:
    """Return, of the tasks that one needs and that did something, the one that ended last."""
    seen, waiting, found = {name}, [*needs.get(name, ())], []
    while waiting:
        other = waiting.pop()
        if other not in seen:
            seen.add(other)
            if other in by_name:
                found.append(by_name[other])
            else:
                waiting += needs.get(other, ())  # fresh: what is behind it may have run
    return max(found, key=lambda one: one.started + one.seconds, default=None)


def summary(run: Run, needs: Needs, processors: int) -> str:
    """Say where the time went, and what to do about it on a machine with so many processors."""
    links = chain(run, needs)
    lines = [_headline(run), *_totals(run)]
    if links:
        lines += ["", "one after another:", *_steps(run, links)]
        lines += ["", "most work:", *_longest(run)]
    if told := advice(run, links, processors):
        lines += ["", "to make it faster:", *(f"- {one}" for one in told)]
    return "".join(f"{line}\n" for line in lines)


def _headline(run: Run) -> str:
    counts = Counter(one.how for one in run.tasks)
    said = ", ".join(f"{counts[how]} {how}" for how in (*_WORKED, FRESH, SKIPPED) if counts[how])
    ended = {0: "", 130: ", interrupted"}.get(run.status, ", failed")
    return f"doit {' '.join(run.words)}: {run.seconds:.1f} s{ended}: {said}"


def _totals(run: Run) -> list[str]:
    tasks = worked(run)
    if not tasks:
        return []
    span = max(one.started + one.seconds for one in tasks) - min(one.started for one in tasks)
    threads = len({one.thread for one in tasks})
    most = f", of {threads} threads {_busy(tasks) / span:.1f} at work" if span > 0 else ""
    lines = [f"tasks: {span:.1f} s{most}"]
    for what, moves in _moved(run).items():
        seconds, size = sum(move[2] for move in moves), sum(move[3] for move in moves)
        lines.append(f"{what}: {size / _MEGA:.1f} MB in {seconds:.1f} s, {_times(len(moves))}")
    return lines


def _steps(run: Run, links: Collection[Link]) -> list[str]:
    at = min(one.started for one in worked(run))
    rows = [(at, "finding out what is stale")]
    for link in links:
        behind = _behind(run, at, link.ran.started)
        waiting = f"waiting for a thread, behind {behind[1].name}" if behind else "waiting"
        rows += [(link.ran.started - at, waiting), (link.ran.seconds, link.ran.name + _origin(link.ran))]
        at = link.ended
    rows.append((run.seconds - at, "keeping what the next run needs to know, and sending to caches"))
    names = {link.ran.name + _origin(link.ran) for link in links}
    return [_row(run, *row) for row in rows if row[0] > _LITTLE_S or row[1] in names]


def _behind(run: Run, start: float, end: float) -> tuple[float, Ran] | None:
    """Find the task that had a thread for most of a time, and for how long of it."""
    overlaps = [(min(end, one.started + one.seconds) - max(start, one.started), one) for one in worked(run)]
    longest = max(overlaps, key=lambda pair: pair[0], default=None)
    return longest if longest and longest[0] > 0 else None


def _longest(run: Run) -> list[str]:
    ordered = sorted(worked(run), key=lambda one: (-one.seconds, one.name))
    return [_row(run, one.seconds, one.name + _origin(one)) for one in ordered[:_MOST]]


def _row(run: Run, seconds: float, text: str) -> str:
    return f"{seconds:7.2f} s {100 * seconds / max(run.seconds, 1e-9):3.0f} %  {text}"


def _origin(ran: Ran) -> str:
    return f"  from {ran.where}" if ran.where else ""


def advice(run: Run, links: Collection[Link], processors: int) -> list[str]:
    """Say what would shorten the chain, what shortens it most first."""
    enough = max(_LITTLE_S, _SHARE * run.seconds)
    found = [*_of_tasks(run, links), *_of_the_run(run, links, processors)]
    found.sort(key=lambda one: -one[0])
    return [text for seconds, text in found if seconds >= enough][:_MOST]


def _of_tasks(run: Run, links: Collection[Link]) -> Iterable[tuple[float, str]]:
    """Of each kind, say what helps the task that took most of the time: in the chain, or while that waited."""
    kinds: dict[str, tuple[float, Ran]] = {}
    waits = (_behind(run, link.ran.started - link.waited, link.ran.started) for link in links)
    for seconds, ran in [*((link.ran.seconds, link.ran) for link in links), *filter(None, waits)]:
        kind = ran.name.partition(":")[0]
        if ran.how != CACHED and seconds > kinds.get(kind, (0.0, ran))[0]:
            kinds[kind] = (seconds, ran)
    for kind, (seconds, ran) in kinds.items():
        if hint := _HINTS.get(kind):
            image = ran.name.partition(":")[2].partition("@")[0].partition("/")[0]
            yield seconds, f"{ran.name}: {hint.format(image=image)}"


def _of_the_run(run: Run, links: Collection[Link], processors: int) -> Iterable[tuple[float, str]]:
    waited = sum(link.waited for link in links)
    threads = len({one.thread for one in worked(run)})
    if threads < processors:
        yield waited, f"{waited:.1f} s were spent waiting for a thread, of {threads}: doit -n {processors} has more"
    else:
        yield waited, f"{waited:.1f} s were spent waiting for a thread, of {threads}: more processors, or less work"
    made = [one.seconds for one in worked(run) if one.how == BUILT]
    if made and not any(one.how == CACHED for one in run.tasks):
        yield max(made), "nothing came from a cache: a team's has what others built (docs/cache.md)"
    moving = _busy([Ran(what, CACHED, at, seconds) for what, at, seconds, _ in run.transfers])
    yield moving, "caches elsewhere: their line is what takes time, not their number of files"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _busy(tasks: Iterable[Ran]) -> float:
    return sum(one.seconds for one in tasks)


def _moved(run: Run) -> dict[str, list[tuple[str, float, float, int]]]:
    found: dict[str, list[tuple[str, float, float, int]]] = {}
    for move in run.transfers:
        found.setdefault(move[0], []).append(move)
    return found


_HINTS = {
    "go-inputs": "go list reads every source; keep Go's build cache (GOCACHE) from run to run",
    "go-compile": "keep Go's build cache (GOCACHE) from run to run, or compile on an engine (docs/cache.md)",
    "fetch-packages": "a mirror nearby (PROCESSION_DEBIAN_MIRROR), or keep the cache folder (PROCESSION_CACHE_DIR)",
    "inject-packages": "fewer or smaller packages: doit sizes:{image} says what takes room",
    "inject-binary": "smaller rootfs/: doit sizes:{image} says what takes room",
    "pack-aci": "a smaller image: doit sizes:{image} says what takes room",
    "pack-oci": "a smaller image: doit sizes:{image} says what takes room; packages in debian.base are packed once",
}
