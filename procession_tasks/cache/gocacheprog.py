"""The program that the go command asks for objects of its build cache, and gives those that it makes.

go starts it (GOCACHEPROG) and ends the build when it fails or says that it did.  So nothing here
fails: what cannot be found, read or understood is a miss, and what cannot be kept counts as kept.

Source: cmd/go/internal/cacheprog of Go 1.24 and later.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any

from procession_tasks import interruption

if TYPE_CHECKING:
    from procession_tasks.cache.goobjects import Object, Objects

_THREADS = 32
_PIPE_SIZE = 1024 * 1024
_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", 1031)
_ID_SIZE = 32


@dataclass(frozen=True, slots=True)
class Request:
    """What go asks; `body` is a line of base64 in quotes."""

    number: int
    command: str
    action: bytes
    output: bytes
    size: int
    body: bytes


def requests(stream: IO[bytes]) -> Iterator[Request]:
    """Read requests until there are no more; what is none is passed over."""
    for line in stream:
        with contextlib.suppress(Exception):
            asked = json.loads(line)
            number, size = int(asked["ID"]), asked.get("BodySize")
            size = size if isinstance(size, int) else 0
            body = _line(stream) if size > 0 else b""
            action, output = (_identifier(asked.get(name)) for name in ("ActionID", "OutputID"))
            yield Request(number, str(asked.get("Command")), action, output, size, body)


class Answers:
    """Writes answers to go; may be used by several threads."""

    def __init__(self, descriptor: int) -> None:
        self._stream = os.fdopen(descriptor, "wb")
        self._lock = threading.Lock()

    def say(self, number: int, **words: Any) -> None:
        """Answer the request of a number; whoever does not listen any more is not told."""
        line = json.dumps({"ID": number, **words}).encode() + b"\n"
        with self._lock, contextlib.suppress(OSError):
            self._stream.write(line)
            self._stream.flush()


class Crew:
    """Does what it is given in as many threads as are needed."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads = 0
        self._idle = threading.Semaphore(0)

    def do(self, work: Callable[[], None]) -> None:
        """Have something done at once, or as soon as there is a thread for it."""
        if not self._idle.acquire(blocking=False) and self._threads < _THREADS:
            self._threads += 1
            threading.Thread(target=self._work, daemon=True).start()
        self._waiting.put(work)

    def _work(self) -> None:
        while True:
            self._waiting.get()()
            self._idle.release()


class Server:
    """Answers requests; without objects nothing is found and nothing kept."""

    def __init__(self, objects: Objects | None, answers: Answers) -> None:
        self._objects = objects
        self._answers = answers
        self._crew = Crew()

    def serve(self, stream: IO[bytes]) -> bool:
        """Answer until go has no more to ask; tell whether it said so."""
        for request in requests(stream):
            if request.command == "close":
                self._answers.say(request.number)
                return True
            if request.command == "get":
                self._get(request)
            elif request.command == "put":
                self._crew.do(lambda request=request: self._put(request))  # type: ignore[misc]  # bound now
            else:
                self._answers.say(request.number, Err="unknown command")
        return False

    def _get(self, request: Request) -> None:
        """Look here at once, which takes less time than to hand it over, and elsewhere beside other requests."""
        objects = self._objects
        if objects is None:
            self._answers.say(request.number, Miss=True)
        elif not self._found(request, objects.near):
            self._crew.do(lambda: self._get_far(request, objects))

    def _get_far(self, request: Request, objects: Objects) -> None:
        if not self._found(request, objects.far):
            self._answers.say(request.number, Miss=True)

    def _found(self, request: Request, find: Callable[[bytes], Object | None]) -> bool:
        try:
            found = find(request.action) if request.action else None
        except Exception:  # noqa: BLE001  # an answer that says so would end the build
            found = None
        if found is None:
            return False
        output = base64.b64encode(bytes.fromhex(found.digest.hash)).decode()
        self._answers.say(request.number, OutputID=output, Size=found.digest.size_bytes, DiskPath=str(found.path))
        return True

    def _put(self, request: Request) -> None:
        """Keep what go made.  It does not read the file that it is told, but ends some builds without one."""
        path = os.devnull
        with contextlib.suppress(Exception):
            content = binascii.a2b_base64(request.body)  # which passes over the quotes
            if self._objects and request.action and request.output and request.size == len(content):
                path = str(self._objects.put(request.action, request.output, content))
        self._answers.say(request.number, DiskPath=path)


def main(arguments: list[str]) -> None:
    """Serve the go command that started this."""
    started = time.monotonic()
    source, answers = _streams()
    answers.say(0, KnownCommands=["get", "put", "close"])  # go waits for this and no longer
    session = None
    with contextlib.suppress(Exception, SystemExit):
        from procession_tasks.cache import gosession  # while go gets ready

        session = gosession.opened(arguments, dict(os.environ))
    is_whole = False
    with contextlib.suppress(Exception):
        is_whole = Server(session.objects if session else None, answers).serve(source)
    with contextlib.suppress(Exception):
        if session:
            session.close(is_whole=is_whole, seconds=time.monotonic() - started)
    os._exit(0)  # whatever hangs does not hold up go, which waits for this process


def _streams() -> tuple[IO[bytes], Answers]:
    """Take stdin and stdout for the protocol alone, and have an interruption end work and not this process."""
    source, target = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    with contextlib.suppress(OSError):
        fcntl.fcntl(source, _SET_PIPE_SIZE, _PIPE_SIZE)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interruption.ask())
    return os.fdopen(source, "rb", buffering=_PIPE_SIZE), Answers(target)


def _line(stream: IO[bytes]) -> bytes:
    """Read the next line that is not blank."""
    return next((line for line in stream if not line.isspace()), b"")


def _identifier(text: object) -> bytes:
    """Read an identifier in base64; empty for what is none."""
    with contextlib.suppress(ValueError):
        found = binascii.a2b_base64(text) if isinstance(text, str) else b""
        return found if len(found) == _ID_SIZE else b""
    return b""


if __name__ == "__main__":
    main(sys.argv[1:])
