"""Gives up a call of gRPC on which nothing comes or goes for too long, or whose user asked to stop."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from procession_tasks import interruption
from procession_tasks.cache.remote import STALL_TIMEOUT_S, RemoteError
from procession_tasks.cache.status import failure

T = TypeVar("T")

_LOOK_S = 0.1
_COMMIT_S = 10.0  # for a server to keep what it has been sent


class Call(Protocol):
    """What can be given up; whoever waits for it is told."""

    def cancel(self) -> object:
        """Give it up, from any thread."""


class Watch:
    """Knows whether it is the server's turn, which may last `stall` seconds, or for ever with None."""

    def __init__(self, stall: float | None = STALL_TIMEOUT_S) -> None:
        self._stall = stall
        self._limit: float | None = None
        self._stalled = False
        self._raised: Exception | None = None
        self._over = threading.Event()

    @contextlib.contextmanager
    def over(self, call: Call) -> Iterator[None]:
        """Watch a call for the length of a block."""
        threading.Thread(target=self._look, args=(call,), daemon=True).start()
        try:
            yield
        finally:
            self._over.set()

    def wait(self, longer: float = 0.0) -> None:
        """Begin to wait for the server."""
        self._limit = None if self._stall is None else time.monotonic() + self._stall + longer

    def rest(self) -> None:
        """Wait for the server no more: it is our turn."""
        self._limit = None

    def passed_on(self, messages: Iterable[T]) -> Iterator[T]:
        """Hand out messages to gRPC, which takes the next one when the server has room for it."""
        try:
            for message in messages:
                self.wait()
                yield message
                self.rest()
        except Exception as error:  # noqa: BLE001  # gRPC would print it; `reason` is raised by who sends
            self._raised = error
        self.wait(_COMMIT_S)

    def reason(self, error: RemoteError) -> Exception:
        """Say why a call failed, when it did with this; raises InterruptedWorkError when the user asked to stop."""
        interruption.check()
        return self._raised or (failure("DEADLINE_EXCEEDED") if self._stalled else error)

    def _look(self, call: Call) -> None:
        while not self._over.wait(_LOOK_S):
            limit = self._limit
            self._stalled = limit is not None and time.monotonic() > limit
            try:
                interruption.check()
            except interruption.InterruptedWorkError:
                call.cancel()
                return
            if self._stalled:
                call.cancel()
                return
