"""Starts and stops the containers of a system, each after those that it needs."""

from __future__ import annotations

import contextlib
import graphlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from procession_tasks import interruption
from procession_tasks.errors import BuildError
from procession_tasks.run.built import Built
from procession_tasks.run.client import Client, State
from procession_tasks.run.container import Container
from procession_tasks.run.health import trouble
from procession_tasks.run.ports import check_free

Tell = Callable[[str], None]
_LOOK_S = 0.1
_BETWEEN_S = 1.0
_LOG_LINES = 20


def up(containers: Sequence[Container], images: Mapping[str, Built], client: Client, tell: Tell) -> None:
    """Start the containers of one system, which stand in order, and return when all are healthy.

    What runs already as it should is left alone; what runs otherwise is replaced.  What fails, or is
    interrupted, takes with it all that this call has started, so that a failed `up` leaves what ran as it
    should, and volumes.  To be called in the main thread.

    Raises BuildError: for a port that is taken and an engine that cannot be used before anything starts.
    """
    system = containers[0].system
    there = client.states(system)
    stale = [item for item in containers if not _is_current(item, there, client)]
    ours = frozenset(bound for item in stale if item.name in there for bound in there[item.name].sockets)
    check_free(stale, ours)
    loaded = _load([images[item.image] for item in stale], client, tell)
    with _undone(client, system) as started:
        client.make_network(system)
        client.stop(item.name for item in reversed(stale) if item.name in there)

        def begin(item: Container, stopping: threading.Event) -> None:
            if item in stale:
                client.make_volumes(item)
                started.append(item)
                client.start(item, loaded[item.image])
            took = _wait(item, client, stopping)
            state = f"healthy after {took:.1f} s" if item.health else "started"
            tell(f"{item.name}: {state if item in stale else 'was running'}")

        _in_order(containers, begin)


def down(system: str, client: Client, tell: Tell, *, volumes: bool = False) -> None:
    """Stop and remove what there is of a system, in the opposite order; volumes only if asked.

    Containers that are no longer defined are removed too.  Raises BuildError when something stays.
    """
    there = client.states(system)
    _remove(list(there.values()), client, tell)
    client.remove_network(system)
    if volumes:
        client.remove_volumes(system)
    if left := client.states(system):
        raise BuildError(f"{client.engine.kind}: must remove {', '.join(sorted(left))}, which are still there")


def _is_current(item: Container, there: Mapping[str, State], client: Client) -> bool:
    state = there.get(item.name)
    return state is not None and state.is_running and state.key == client.engine.key(item)


def _load(images: Sequence[Built], client: Client, tell: Tell) -> dict[str, str]:
    """Have the engine take the images that it does not have; one after another, for each locks its store."""
    found = client.available(images)
    for image in images:
        interruption.check()
        if image.name not in found:
            tell(f"{image.full_name}: loading")
            found[image.name] = client.load(image)
    return found


@contextlib.contextmanager
def _undone(client: Client, system: str) -> Iterator[list[Container]]:
    """Remove, if the block fails, the containers that it has added to the list."""
    started: list[Container] = []
    try:
        yield started
    except BaseException:
        names = {item.name for item in started}
        with contextlib.suppress(BuildError):  # what went wrong first is told
            _remove([state for state in client.states(system).values() if state.name in names], client, lambda _: None)
            client.remove_network(system)
        raise


def _remove(states: Sequence[State], client: Client, tell: Tell) -> None:
    """Stop and remove containers, those of a level at once, the highest first."""
    by_level = sorted(states, key=lambda state: (-state.level, state.name))
    for _, group in groupby(by_level, key=lambda state: state.level):
        names = [state.name for state in group]
        client.stop(names)
        for name in names:
            tell(f"{name}: removed")


def _in_order(containers: Sequence[Container], begin: Callable[[Container, threading.Event], None]) -> None:
    """Begin each container once what it needs has begun; after a failure or an interruption nothing new begins."""
    by_name = {item.image: item for item in containers}
    sorter = graphlib.TopologicalSorter({item.image: item.needs for item in containers})
    sorter.prepare()
    ended: queue.SimpleQueue[tuple[str, BaseException | None]] = queue.SimpleQueue()
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def work(name: str) -> None:
        try:
            begin(by_name[name], stopping)
        except BaseException as error:  # noqa: BLE001  # raised again by who waits
            ended.put((name, error))
        else:
            ended.put((name, None))

    try:
        while sorter.is_active():
            for name in sorter.get_ready():
                threads.append(threading.Thread(target=work, args=(name,), daemon=True))
                threads[-1].start()
            name, error = _next(ended)
            if error:
                raise error
            sorter.done(name)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def _next(ended: queue.SimpleQueue[tuple[str, BaseException | None]]) -> tuple[str, BaseException | None]:
    while True:
        interruption.check()
        with contextlib.suppress(queue.Empty):
            return ended.get(timeout=_LOOK_S)


def _wait(item: Container, client: Client, stopping: threading.Event) -> float:
    """Wait until a container is healthy, and return how long that took, in seconds; raises BuildError."""
    begun, pause = time.monotonic(), _LOOK_S
    patience = item.health.within if item.health else 0
    while True:
        why = trouble(item)
        took = time.monotonic() - begun
        state = client.state(item.name)
        if state is None or not state.is_running:
            ended = f"an end with status {state.exit_status}" if state else "nothing of it"
            raise _failed(item, "must keep running", ended, client)
        if why is None:
            return took
        if took > patience:
            raise _failed(item, f"must be healthy within {patience} s", why, client)
        if stopping.wait(pause):
            raise interruption.InterruptedWorkError
        pause = min(2 * pause, _BETWEEN_S)


def _failed(item: Container, rule: str, got: str, client: Client) -> BuildError:
    log = "".join(f"\n  | {line}" for line in client.log(item.name, _LOG_LINES).splitlines())
    said = f"\n  what it printed last:{log}" if log else "\n  it printed nothing"
    hint = f"doit run:{item.image} runs it by itself; what this run had started was removed again"
    return BuildError(f"{item.name}: {rule}, got {got}{said}", hint=hint)
