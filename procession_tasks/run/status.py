"""Tells how a system is: which containers there are, where they listen, what they print."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Sequence

from procession_tasks import process
from procession_tasks.errors import BuildError
from procession_tasks.run.client import Client, State
from procession_tasks.run.container import Container
from procession_tasks.run.health import trouble

_LOOK_S = 0.1
_SHORT = len("sha256:") + 12
_HEAD = ("name", "state", "health", "ports", "version", "image")


def listening(containers: Iterable[Container]) -> str:
    """Tell where the ports of containers are reached, as a table."""
    rows = [
        (item.name, binding.name, f"127.0.0.1:{binding.host_port}{'' if binding.protocol == 'tcp' else '/udp'}")
        for item in containers
        for binding in item.bindings
    ]
    return _table([("name", "port", "address"), *rows])


def ps(containers: Sequence[Container], client: Client) -> str:
    """Tell the state of a system's containers, those that are not defined any more too, as a table."""
    there = client.states(containers[0].system)
    rows = [_row(item, there.pop(item.name, None)) for item in containers]
    rows += [(state.name, _state(state), "not defined", *_of(state)) for state in there.values()]
    return _table([_HEAD, *rows])


def logs(names: Sequence[str], client: Client, system: str, *, follow: bool = False) -> None:
    """Print what containers print, each line with its container's name; until they end if asked.

    To be called in the main thread.  Raises BuildError for a name that no container has.
    """
    there = client.states(system)
    wanted = [f"{system}-{name.removeprefix(f'{system}-')}" for name in names] or sorted(there)
    if missing := sorted({*wanted} - {*there}):
        hint = f"there are {', '.join(sorted(there))}" if there else "doit up starts them"
        raise BuildError(f"{missing[0]}: must be a container that is there", hint=hint)
    width = max(map(len, wanted), default=0)
    lock, gone = threading.Lock(), threading.Event()

    def print_log(name: str) -> None:
        def tell(line: bytes) -> None:
            text = line.decode(errors="replace").rstrip("\n")
            with lock:
                sys.stdout.write(f"{name:<{width}} | {text}\n")
                sys.stdout.flush()

        try:
            client.follow(name, tell, more=follow)
        except OSError:  # nobody reads on, of the others' lines neither
            gone.set()

    if follow:
        _at_once(print_log, wanted, gone)
    else:
        for name in wanted:
            print_log(name)


def _at_once(do: Callable[[str], None], names: Sequence[str], gone: threading.Event) -> None:
    """Do something for each name in a thread, until all have ended, or `gone` is set, or an interruption."""
    threads = [threading.Thread(target=do, args=(name,), daemon=True) for name in names]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and not gone.is_set():
                thread.join(_LOOK_S)
    finally:
        process.stop_all()


def _row(item: Container, state: State | None) -> tuple[str, ...]:
    if state is None:
        return (item.name, "not there", "", "", "", "")
    if not state.is_running:
        return (item.name, _state(state), "", *_of(state))
    why = trouble(item)
    health = "unhealthy: " + why if why else "healthy" if item.health else "not asked"
    return (item.name, _state(state), health, *_of(state))


def _state(state: State) -> str:
    return state.status if state.is_running else f"{state.status} ({state.exit_status})"


def _of(state: State) -> tuple[str, str, str]:
    ports = ", ".join(str(bound.port) for bound in sorted(state.sockets))
    return (ports, state.version, state.image[len("sha256:") : _SHORT])


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
