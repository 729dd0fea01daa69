"""What somebody at a terminal sees of a run: what runs, how far it is, and in the end what became of each image."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from procession_tasks import notice
from procession_tasks.graph.live import Look, Running, State, finished, frame
from procession_tasks.graph.notes import needed
from procession_tasks.graph.session import Session
from procession_tasks.graph.terminal import Terminal

if TYPE_CHECKING:
    from procession_tasks.graph.happened import Happened
    from procession_tasks.graph.report import BuiltImage

_CLOSING_S = 0.2  # by then our own imports are over, and a compiler runs


class Screen:
    """The lines of one run, told from several threads; `tasks` are all there are, `selected` those asked for."""

    def __init__(self, stream: Any, begun: float, tasks: Mapping[str, Any], selected: Sequence[str]) -> None:
        self._begun = begun
        self._total = sum(bool(tasks[name].targets) for name in needed(tasks, selected))
        self._running: dict[str, tuple[float, int]] = {}
        self._details: dict[int, str] = {}
        self._counts: Counter[str] = Counter()
        self._terminal = Terminal(stream, self._frame)

    @property
    def stream(self) -> Any:
        """Where lines are written that are to stay, above those that are drawn."""
        return self._terminal.above

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs: of an interrupted run, something still does."""
        return not self._running

    def open(self) -> None:
        """Begin to draw."""
        notice.show_with(self._details.__setitem__)
        self._terminal.open()
        loading = threading.Timer(_CLOSING_S, _closing)  # what the end needs, while others work
        loading.name, loading.daemon = "closing", True
        loading.start()

    def close(self) -> None:
        """Take away what is drawn."""
        notice.show_with(None)
        self._terminal.close()

    def started(self, name: str) -> None:
        """Show an action that begins in this thread."""
        thread = threading.get_ident()
        self._details.pop(thread, None)
        self._running[name] = (time.monotonic(), thread)

    def ended(self, name: str, how: str | None) -> None:
        """Count how a task ended, and show it no more; None for one that makes no files."""
        self._running.pop(name, None)
        if how:
            self._counts[how] += 1

    def line(self, name: str, seconds: float, where: str, how: str) -> str:
        """Lay out the line of a task that ended."""
        return finished(name, seconds, where, how, self._terminal.look())

    def table(self, during: Session) -> str:
        """Lay out what became of the images, once that is noted."""
        if (notes := during.notes) is None:
            return ""
        happened_of, table = _closing()
        happened = happened_of(during, None, summarizes=False)
        happened.finish(notes.ran, notes.reason)
        return table(happened.images, self._terminal.look())

    def _frame(self, look: Look) -> list[str]:
        running = tuple(
            Running(name, started, self._details.get(thread, ""))
            for name, (started, thread) in list(self._running.items())
        )
        return frame(State(self._begun, self._total, running, self._counts), time.monotonic(), look)


def _closing() -> tuple[type[Happened], Callable[[tuple[BuiltImage, ...], Look], str]]:
    """Load what the end of a run needs."""
    from procession_tasks.graph.closing import table  # takes as long as all else that is needed here
    from procession_tasks.graph.happened import Happened  # as above

    return Happened, table
