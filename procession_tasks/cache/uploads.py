"""Work that goes on beside the build and is waited for at its end: sending results to a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from procession_tasks import interruption
from procession_tasks.interruption import InterruptedWorkError

_THREADS = 4
_LOOK_S = 0.02


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

    def close(self, longest_s: float) -> bool:
        """Wait until all is done, for so long at most, and tell whether it is; what has not begun is left undone."""
        for _ in self._threads:
            self._waiting.put(None)
        end = time.monotonic() + longest_s
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < end:
            interruption.check()
            time.sleep(_LOOK_S)
        while not self._waiting.empty():
            self._waiting.get()
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (do := self._waiting.get()) is not None:
            try:
                do()
            except InterruptedWorkError:
                return
