"""What somebody at a terminal sees of a run: what runs, how far it is, and in the end what became of each image."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from procession_tasks.graph.above import Streams
from procession_tasks.graph.live import Look, Running, State, finished, frame
from procession_tasks.graph.notes import needed
from procession_tasks.graph.progress import Progress
from procession_tasks.graph.session import Session, session
from procession_tasks.graph.terminal import Terminal

if TYPE_CHECKING:
    from procession_tasks.graph.happened import Happened
    from procession_tasks.graph.report import BuiltImage

_CLOSING_S = 0.2  # by then our own imports are over, and a compiler runs


class Screen:
    """The lines of one run; `tasks` are all there are, `selected` those asked for."""

    def __init__(self, stream: Any, progress: Progress, tasks: Mapping[str, Any], selected: Sequence[str]) -> None:
        self._progress = progress
        self._total = sum(bool(tasks[name].targets) for name in needed(tasks, selected))
        self._terminal = Terminal(stream, self._frame)

    def open(self, streams: Streams) -> None:
        """Begin to draw, below what is written to streams."""
        streams.attach(self._terminal)
        self._terminal.open()
        loading = threading.Timer(_CLOSING_S, _closing)  # what the end needs, while others work
        loading.name, loading.daemon = "closing", True
        loading.start()

    def close(self) -> None:
        """Take away what is drawn."""
        self._terminal.close()

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
        running = tuple(Running(*one) for one in self._progress.running())
        state = State(session().begun, self._total, running, dict(self._progress.ended))
        return frame(state, time.monotonic(), look)


def _closing() -> tuple[type[Happened], Callable[[tuple[BuiltImage, ...], Look], str]]:
    """Load what the end of a run needs."""
    from procession_tasks.graph.closing import table  # takes as long as all else that is needed here
    from procession_tasks.graph.happened import Happened  # as above

    return Happened, table
