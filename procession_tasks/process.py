"""The only module that starts processes: argv lists, a given environment, no shell."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def run(
    argv: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    stdin: bytes | None = None,
    timeout: float | None = None,
) -> Finished:
    """Run a program to its end.

    The environment is exactly the one given, and `stdin` all that it can read.  The process and its
    children form a group of their own, so that `stop_all` ends them together.  Raises BuildError when
    it cannot start, or has not ended after `timeout` seconds.
    """
    given = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    process = _start(argv, folder, environment, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with _registered(process):
        try:
            stdout, stderr = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            with process:  # which closes the pipes, though somebody else may still hold them
                raise BuildError(f"{argv[0]}: must answer within {timeout:g} s") from None
    return Finished(process.returncode, stdout, stderr)


def stream(argv: Sequence[str], *, folder: Path, environment: Mapping[str, str], tell: Callable[[bytes], None]) -> int:
    """Run a program to its end, pass on each line that it prints anywhere, and return its status.

    `stop_all` ends it, and so does `tell` when it fails.  Raises BuildError when it cannot start.
    """
    process = _start(argv, folder, environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with _registered(process), process:
        try:
            for line in process.stdout or ():
                tell(line)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode


def foreground(
    argv: Sequence[str], *, folder: Path, environment: Mapping[str, str], stop: Callable[[], object] | None = None
) -> int:
    """Run a program that prints where this one does, and return its status.

    What interrupts this process does not reach it: `stop` is called, which has to end it; without one it
    gets SIGTERM.  For the main thread, which is the one that is interrupted.  Raises BuildError when it
    cannot start.
    """
    process = _start(argv, folder, environment, stdout=None, stderr=None)
    try:
        try:
            return process.wait()
        except KeyboardInterrupt:
            (stop or process.terminate)()
            return process.wait()
    finally:
        if process.poll() is None:  # whoever waited was interrupted again
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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


def stop_left(variable: str, value: str) -> None:
    """Kill the processes that have this in their environment: what a killed run has left at work.

    Source: proc(5); where there is no such file system nothing is found.
    """
    wanted = os.fsencode(f"{variable}={value}")
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)


def _start(
    argv: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    stdout: int | None,
    stderr: int | None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own; raises BuildError when it cannot."""
    try:
        return subprocess.Popen(
            list(argv),
            cwd=folder,
            env=dict(environment),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    except OSError as error:
        raise BuildError(f"{argv[0]}: cannot be started: {error.strerror}") from None


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
