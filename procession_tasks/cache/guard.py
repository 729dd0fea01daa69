"""Keeps a server that is down, slow or broken from holding up a build: one retry, a breaker, one warning."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from procession_tasks import interruption
from procession_tasks.cache.remote import GoneError, RemoteError, WrongBytesError

T = TypeVar("T")

_WINDOW = 20  # requests that a failure rate is taken over
_ENOUGH = 3  # failures without which a rate says nothing
_RATE = 0.5
_LOSS_S = 4.0  # seconds lost to failures after which nothing more is asked
_QUICK_S = 1.0  # a failure that took longer is not tried again
_LOOK_S = 0.05


class Guard:
    """Asks a server as long as it does what it is asked; may be used by several threads.

    A count of failures would shut out a healthy server in a long build, so the rate counts.
    """

    def __init__(self, subject: str, consequence: str, warn: Callable[[str], None]) -> None:
        self.is_open = True
        self.failures = 0
        self.answers = 0
        self._subject = subject
        self._consequence = consequence
        self._warn = warn
        self._recent: deque[bool] = deque(maxlen=_WINDOW)
        self._lost_s = 0.0
        self._first = ""
        self._lock = threading.Lock()

    def ask(self, do: Callable[[], T], otherwise: T) -> T:
        """Do something with the server, or return what stands for its absence."""
        for is_last in (False, True):
            if not self.is_open:
                break
            interruption.check()
            started = time.monotonic()
            try:
                answer = do()
            except RemoteError as error:
                took = time.monotonic() - started
                self._failed(error, took)
                if is_last or error.lasts or took > _QUICK_S or isinstance(error, GoneError | WrongBytesError):
                    break
                self._pause()
            else:
                self._succeeded()
                return answer
        return otherwise

    def tell(self) -> None:
        """Warn of failures that were too few to stop asking."""
        if self.is_open and self.failures:
            times = "once" if self.failures == 1 else f"{self.failures} times"
            self._warn(f"{self._subject}: failed {times}: {self._first}")

    def _succeeded(self) -> None:
        with self._lock:
            self.answers += 1
            self._recent.append(True)

    def _failed(self, error: RemoteError, took: float) -> None:
        with self._lock:
            self.failures += 1
            self._first = self._first or str(error)
            if isinstance(error, GoneError | WrongBytesError):
                return  # the server answers: that is an entry less, no more
            self._recent.append(False)
            self._lost_s += took
            failed = self._recent.count(False)
            is_bad = failed >= _ENOUGH and failed / len(self._recent) >= _RATE
            if self.is_open and (error.lasts or is_bad or self._lost_s > _LOSS_S):
                self.is_open = False
                self._warn(f"{self._subject}: {error}; {self._consequence}")

    @staticmethod
    def _pause() -> None:
        end = time.monotonic() + random.uniform(0.05, 0.25)  # noqa: S311  # to spread what many do at once
        while time.monotonic() < end:
            interruption.check()
            time.sleep(_LOOK_S)
