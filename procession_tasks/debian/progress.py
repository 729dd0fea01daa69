"""Tells how far a download is, once it takes longer than a second."""

from __future__ import annotations

import sys
import threading
import time

_MEGABYTE = 1_000_000
_QUIET_S = 1.0
_EVERY_S = {True: 0.2, False: 5.0}  # on a terminal one line is drawn again; elsewhere lines add up


class Progress:
    """Counts bytes from several threads and prints to stderr now and then."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._next = time.monotonic() + _QUIET_S
        self._shown = False
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        """Add bytes that came, or take off those that were dropped."""
        with self._lock:
            self._done += count
            if time.monotonic() >= self._next:
                self._show()

    def finish(self) -> None:
        """End the line that was drawn, if any."""
        with self._lock:
            if self._shown:
                self._show()
                if sys.stderr.isatty():
                    sys.stderr.write("\n")

    def _show(self) -> None:
        terminal = sys.stderr.isatty()
        begin, end = ("\r", "") if terminal else ("", "\n")
        done, total = self._done / _MEGABYTE, self._total / _MEGABYTE
        sys.stderr.write(f"{begin}{self._what}: {done:.1f} of {total:.1f} MB{end}")
        sys.stderr.flush()
        self._shown = True
        self._next = time.monotonic() + _EVERY_S[terminal]
