"""How far a run is, for whoever wants to show it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from procession_tasks import notice


class Progress:
    """What runs, what it says of how far it is, and how many tasks ended in which way; told from several threads."""

    def __init__(self, fresh: int) -> None:
        self.ended: dict[str, int] = {"fresh": fresh}
        self._running: dict[str, tuple[float, int]] = {}
        self._details: dict[int, str] = {}
        notice.show_with(self._details.__setitem__)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs: of an interrupted run, something still does."""
        return not self._running

    def started(self, name: str) -> None:
        """Note that an action begins in this thread."""
        thread = threading.get_ident()
        self._details.pop(thread, None)
        self._running[name] = (time.monotonic(), thread)

    def stopped(self, name: str, how: str | None) -> None:
        """Note how a task ended; None of one that makes no files, which is not counted."""
        self._running.pop(name, None)
        if how:
            self.ended[how] = self.ended.get(how, 0) + 1

    def running(self) -> Iterator[tuple[str, float, str]]:
        """Go through what runs: its name, since when by the monotonic clock, and what it says."""
        for name, (started, thread) in list(self._running.items()):
            yield name, started, self._details.get(thread, "")

    @staticmethod
    def close() -> None:
        """Have work say it to nobody any more."""
        notice.show_with(None)
