"""Work that goes on beside the build and is waited for at its end: sending results to a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from procession_tasks import interruption
from procession_tasks.interruption import InterruptedWorkError

_THREADS = 4
_LOOK_S = 0.1


class Uploads:
    """Does what it is given in a few threads, which begin with the first and end with the process."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def put(self, do: Callable[[], object]) -> None:
        """Have something done, some time before the end."""
        self._waiting.put(do)
        if len(self._threads) < _THREADS:
            self._threads.append(threading.Thread(target=self._work, daemon=True))
            self._threads[-1].start()

    def close(self, *, wait: bool) -> None:
        """Wait until all is done, unless asked to stop; or leave what has not begun undone."""
        if not wait:
            while not self._waiting.empty():
                self._waiting.get()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads if wait else ():
            while thread.is_alive():
                interruption.check()
                thread.join(_LOOK_S)

    def _work(self) -> None:
        while (do := self._waiting.get()) is not None:
            try:
                do()
            except InterruptedWorkError:
                return
