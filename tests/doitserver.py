"""Runs doit as `python -m doit` does, in copies of a process that has imported it: most of a short run is imports.

As a program it is that process: it listens at the socket in the folder it is told, and ends with who started it.
Each run has the folder, environment and pipes of its caller, and ends as any Python ends.  What starts in another
way than this process did (`PYTHONPATH`, another locale, a copy of our own code in the folder) is started anew.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_SOCKET = "doit"
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ")
# What a build and the commands about it import; that of engines, with threads of their own, is left to them.
_LOADED = (
    "concurrent.futures.thread", "doit.__main__", "urllib3", "yaml",
    *(
        f"procession_tasks.{name}"
        for name in (
            "cache.collect", "cache.opening", "graph.affected", "graph.affectedcommand", "graph.caching", "graph.checks",
            "graph.commands", "graph.completion.command", "graph.definitions", "graph.doctor.command", "graph.doitfile",
            "graph.elsewhere", "graph.gocache", "graph.happened", "graph.helpcommand", "graph.listings", "graph.looking",
            "graph.notes", "graph.oci", "graph.outward", "graph.packages", "graph.programs", "graph.report",
            "graph.tasks", "graph.tools", "graph.whycommand", "graph.whytext", "golang.listing", "image.verify",
        )
    ),
)  # fmt: skip
_LONGEST = 1024 * 1024  # bytes of a request: an environment


class DoitServer:
    """A running server."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="procession-tests-")
        self._address = f"{self._folder.name}/{_SOCKET}"
        command = [sys.executable, __file__, self._folder.name]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def close(self) -> None:
        """End the server."""
        self._process.communicate()
        self._folder.cleanup()

    def run(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], patience: float
    ) -> subprocess.CompletedProcess[str]:
        """Run doit to its end, as `subprocess.run` runs ``python -m doit``."""
        command = [sys.executable, "-m", "doit", *words]
        if (folder / "procession_tasks").exists() or _at_start(environment) != _at_start(os.environ):
            return subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=patience
            )
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.connect(self._address)
            outputs = [_Output(stack) for _ in range(2)]
            request = json.dumps([list(words), str(folder), dict(environment)]).encode("utf-8", "surrogateescape")
            socket.send_fds(connection, [b"%8d" % len(request)], [output.other for output in outputs])
            connection.sendall(request)
            for output in outputs:
                os.close(output.other)
            connection.settimeout(patience)
            status = int(connection.recv(16))
            out, err = (output.text() for output in outputs)
        return subprocess.CompletedProcess(command, status, out, err)


class _Output:
    """What a run writes to one of its ends; `other` is the end that it gets."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        ours, self.other = os.pipe()
        self._file = stack.enter_context(open(ours, "rb"))  # a pipe has no path
        self._content = b""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        self._content = self._file.read()

    def text(self) -> str:
        """What was written, once nobody can write any more."""
        self._thread.join()
        return self._content.decode().replace("\r\n", "\n").replace("\r", "\n")


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


def _serve(folder: Path) -> None:
    """Answer until whoever started this is gone; returns in each copy that is to run doit."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(folder / _SOCKET))
    listening.listen()
    os.write(1, b"ready\n")
    chosen = selectors.DefaultSelector()
    chosen.register(listening, selectors.EVENT_READ)
    chosen.register(0, selectors.EVENT_READ)
    while True:
        for key, _ in chosen.select():
            if key.fileobj == 0:
                os._exit(0)
            if key.data:  # the process of a run has ended
                chosen.unregister(key.fileobj)
                os.close(int(key.fd))
                process, connection = key.data
                connection.sendall(b"%16d" % os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
                connection.close()
                continue
            connection, _ = listening.accept()
            size, outputs, *_ = socket.recv_fds(connection, 8, 2)
            request = b""
            while len(request) < int(size):
                request += connection.recv(_LONGEST)
            if (process := os.fork()) == 0:
                listening.close()
                connection.close()
                chosen.close()
                _become(*json.loads(request), outputs)
                return
            for output in outputs:
                os.close(output)
            chosen.register(os.pidfd_open(process), selectors.EVENT_READ, (process, connection))


def _become(words: list[str], folder: str, environment: dict[str, str], outputs: Sequence[int]) -> None:
    """Be a process that was started with these."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, output in enumerate(outputs, 1):
        os.dup2(output, number)
        os.close(output)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["doit", *words]
    sys.path[0] = folder


def _end(main: Callable[[], object]) -> None:
    """Do what is left of this process, and leave its memory to the kernel: much of it is shared."""
    try:
        main()
        status = 0
    except SystemExit as ended:
        status = ended.code or 0
    except BaseException:  # noqa: BLE001  # as Python itself does
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    for _name in _LOADED:
        importlib.import_module(_name)
    gc.freeze()
    _serve(Path(sys.argv[1]))
    _end(importlib.import_module("doit.__main__").main)
