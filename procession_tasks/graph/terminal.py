"""A terminal with lines at its bottom that are drawn again and again; what is written goes above them.

The cursor waits where those lines begin: a terminal that is resized wraps lines anew, often before it
says so, and keeps the cursor at its place in the text.  It is never hidden, and after each write the
terminal is in its own mode, so that nothing has to be put back after a kill.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from procession_tasks.graph.live import Look

Draw = Callable[[Look], Sequence[str]]

_EVERY_S = 0.1
_WRAP, _NO_WRAP = "\x1b[?7h", "\x1b[?7l"  # what a line does that is too long
# A line is cleared as a whole, or tmux remembers of its row that it was wrapped; and all below from the end
# of a line, or tmux keeps what it clears for those who scroll back.
_CLEAR_LINE, _CLEAR_REST, _CLEAR_BELOW = "\x1b[2K", "\x1b[K", "\x1b[J"
_COLUMNS, _ROWS = 80, 24  # of a terminal that does not say


class Terminal:
    """The terminal behind a stream; `draw` makes the lines at the bottom, from any thread."""

    def __init__(self, stream: Any, draw: Draw) -> None:
        self._stream = stream
        self._draw = draw
        self._rows = 0
        self._waiting: list[str] = []
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="terminal", daemon=True)

    def open(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def close(self) -> None:
        """Take the lines away and leave the terminal to others."""
        self._over.set()
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._clear()
            self._put_waiting()

    def look(self) -> Look:
        """Look how large the terminal is now, and what is wanted of it."""
        try:
            columns, rows = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            columns, rows = 0, 0
        encoding = str(getattr(self._stream, "encoding", "")).lower().replace("-", "")
        colours = not os.environ.get("NO_COLOR")
        return Look(columns or _COLUMNS, rows or _ROWS, colours, encoding == "utf8")

    def write(self, text: str, stream: Any) -> None:
        """Write whole lines above what is drawn: to the stream itself before long, to another one at once."""
        with self._lock:
            if self._over.is_set():
                self._put(text, stream)
            elif stream is self._stream:
                self._waiting.append(text)  # drawn with the rest, so that whoever writes need not wait for it
            else:
                self._clear()
                self._put_waiting()
                self._put(text, stream)
                self._redraw()

    def _tick(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody looks on any more
            while not self._over.wait(_EVERY_S):
                with self._lock:
                    if not self._over.is_set():
                        self._redraw()

    def _redraw(self) -> None:
        """Write over what is drawn, what waits above it, in one go, so that no half of it is seen."""
        above = "".join(self._waiting).replace("\n", f"{_CLEAR_REST}\n")
        self._waiting.clear()
        lines = self._draw(self.look())
        self._rows = len(lines)
        drawn = "\n".join(f"{_CLEAR_LINE}{line}" for line in lines)
        self._put(f"\r{above}{_NO_WRAP}{drawn}{_CLEAR_BELOW}{_WRAP}\r{_up(len(lines) - 1)}", self._stream)

    def _clear(self) -> None:
        if self._rows:
            below = f"\n{_CLEAR_BELOW}{_up(1)}" if self._rows > 1 else ""
            self._put(f"\r{_CLEAR_LINE}{below}", self._stream)
            self._rows = 0

    def _put_waiting(self) -> None:
        """Write what waits where nothing is drawn."""
        if self._waiting:
            self._put("".join(self._waiting), self._stream)
            self._waiting.clear()

    @staticmethod
    def _put(text: str, stream: Any) -> None:
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()


def _up(rows: int) -> str:
    return f"\x1b[{rows}A" if rows > 0 else ""
