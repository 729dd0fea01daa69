"""Stand-ins for the streams of a terminal at whose bottom lines are drawn: what is written goes above those."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from procession_tasks.graph.terminal import Terminal


def is_terminal(stream: Any) -> bool:
    """Tell whether lines can be drawn again on a stream."""
    return bool(getattr(stream, "isatty", lambda: False)()) and os.environ.get("TERM", "dumb") != "dumb"


class Above:
    """Stands for a stream: whole lines go to the terminal once there is one, and others when they are whole."""

    def __init__(self, stream: Any) -> None:
        self.terminal: Terminal | None = None
        self._stream = stream
        self._rest = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write whole lines, and the rest when its end comes."""
        with self._lock:
            whole, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            self._put(whole + newline)
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        """As that of any stream."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Do nothing: what is whole is written."""

    def finish(self) -> None:
        """Write what has no end."""
        with self._lock:
            rest, self._rest = self._rest, ""
        if rest:
            self._put(f"{rest}\n")

    def _put(self, text: str) -> None:
        if self.terminal:
            self.terminal.write(text, self._stream)
        else:
            self._stream.write(text)
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Streams:
    """Has a stream, and `sys.stdout` and `sys.stderr` if they are terminals, stood for until they are restored.

    From before the first action: doit puts back, after each, what it found before it.
    """

    def __init__(self, stream: Any) -> None:
        self.above = Above(stream)
        self._replaced: list[tuple[str, Any, Above]] = []
        for name in ("stdout", "stderr"):
            found = getattr(sys, name)
            if is_terminal(found):
                above = self.above if found is stream else Above(found)
                self._replaced.append((name, found, above))
                setattr(sys, name, above)

    def attach(self, terminal: Terminal) -> None:
        """Have lines drawn below what is written from now on."""
        for above in (self.above, *(above for _, _, above in self._replaced)):
            above.terminal = terminal

    def restore(self) -> None:
        """Put the streams back."""
        for name, stream, above in self._replaced:
            above.finish()
            setattr(sys, name, stream)
        self._replaced.clear()
        self.above.finish()
