"""A run as a trace that ui.perfetto.dev and chrome://tracing show: threads, tasks, waiting, caches.  Pure.

Source: "Trace Event Format", the document of the Chrome project.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

from procession_tasks.graph.critical import Needs, chain, ready, worked
from procession_tasks.graph.record import BUILT, CACHED, FAILED, Run

Event = dict[str, Any]

_COLOURS = {BUILT: "good", CACHED: "thread_state_iowait", FAILED: "terrible"}  # names that the viewers know
_LEAST_S = 0.001


def to_trace(run: Run, needs: Needs) -> bytes:
    """Render a run; a task that waited for a thread has that beside it, the critical chain has arrows."""
    events = [*_names(run), *_tasks(run, needs), *_arrows(run, needs), *_waiting(run, needs), *_transfers(run)]
    begun = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(run.begun))
    about = {"command": _command(run), "begun": begun, "seconds": round(run.seconds, 3), "status": run.status}
    return (json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}) + "\n").encode()


def _names(run: Run) -> Iterator[Event]:
    yield {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": _command(run)}}
    for thread in sorted({one.thread for one in worked(run)}):
        yield {"ph": "M", "pid": 1, "tid": thread + 1, "name": "thread_name", "args": {"name": f"thread {thread + 1}"}}


def _tasks(run: Run, needs: Needs) -> Iterator[Event]:
    critical = {link.ran.name for link in chain(run, needs)}
    for one in worked(run):
        told = {"outcome": one.how, "why": list(one.why), "critical": one.name in critical}
        told |= {"from": one.where, "saved_seconds": round(one.saved, 3)} if one.where else {}
        event = {"ph": "X", "name": one.name, "cat": one.how, "cname": _COLOURS[one.how], "args": told}
        yield {**event, "pid": 1, "tid": one.thread + 1, "ts": _micros(one.started), "dur": _micros(one.seconds)}


def _arrows(run: Run, needs: Needs) -> Iterator[Event]:
    """Lead from each task of the critical chain to the next."""
    for number, (one, other) in enumerate(itertools.pairwise(chain(run, needs)), start=1):
        common = {"name": "critical", "cat": "critical", "pid": 1, "id": number}
        yield {**common, "ph": "s", "tid": one.ran.thread + 1, "ts": _micros(one.ended) - 1}
        yield {**common, "ph": "f", "bp": "e", "tid": other.ran.thread + 1, "ts": _micros(other.ran.started) + 1}


def _waiting(run: Run, needs: Needs) -> Iterator[Event]:
    could = ready(run, needs)
    waited = [one for one in worked(run) if one.started - could[one.name] > _LEAST_S]
    for number, one in enumerate(waited):
        yield from _span(f"{one.name} waits", f"waiting-{number}", could[one.name], one.started, {})


def _transfers(run: Run) -> Iterator[Event]:
    for number, (what, started, seconds, size) in enumerate(run.transfers):
        yield from _span(what, f"cache-{number}", started, started + seconds, {"bytes": size})


def _span(name: str, identity: str, start: float, end: float, told: Event) -> Iterator[Event]:
    """Make something of no thread, that may overlap with its like; its category is the first word of what it is."""
    common = {"name": name, "cat": identity.partition("-")[0], "pid": 1, "tid": 0, "id": identity}
    yield {**common, "ph": "b", "ts": _micros(start), "args": told}
    yield {**common, "ph": "e", "ts": _micros(end)}


def _command(run: Run) -> str:
    return " ".join(("doit", *run.words))


def _micros(seconds: float) -> int:
    return round(seconds * 1e6)
