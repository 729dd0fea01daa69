"""The only module that starts processes: argv lists, a given environment, no shell."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.errors import BuildError

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class Finished:
    """How a process ended and what it printed."""

    status: int
    stdout: bytes
    stderr: bytes


def run(argv: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Finished:
    """Run a program to its end.

    The environment is exactly the one given.  The process and its children form a group of
    their own, so that `stop_all` ends them together.  Raises BuildError when it cannot start.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise BuildError(f"{argv[0]}: cannot be started: {error.strerror}") from None
    with _registered(process):
        stdout, stderr = process.communicate()
    return Finished(process.returncode, stdout, stderr)


def stop_all() -> None:
    """End every process that is still running, with its children.

    They are interrupted first, on which `go` removes its temporary files, and killed if that
    is not enough.
    """
    _signal_all(signal.SIGINT)
    deadline = time.monotonic() + _GRACE_S
    while _running and time.monotonic() < deadline:
        time.sleep(0.01)
    _signal_all(signal.SIGKILL)


def _signal_all(number: signal.Signals) -> None:
    with _lock:
        running = tuple(_running)
    for process in running:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)


@contextlib.contextmanager
def _registered(process: subprocess.Popen[bytes]) -> Iterator[None]:
    with _lock:
        _running.add(process)
    try:
        yield
    finally:
        with _lock:
            _running.discard(process)
