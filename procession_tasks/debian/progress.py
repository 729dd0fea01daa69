"""Tells how far a download is, once it takes longer than a second."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

from procession_tasks import notice

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
        self._ended = False
        self._lock = threading.Lock()
        self._shower = notice.shower()
        # Where the cursor cannot go back, each state is a line.
        self._redraws = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def advance(self, count: int) -> None:
        """Add bytes that came, or take off those that were dropped."""
        with self._lock:
            self._done += count
            if not self._ended and time.monotonic() >= self._next:
                self._show()

    def finish(self) -> None:
        """End the line that was drawn, if any; nothing is shown after that."""
        with self._lock:
            self._ended = True
            if self._shown:
                self._show()

    def _show(self) -> None:
        total = f"{self._total / _MEGABYTE:.1f}"
        done = f"{self._done / _MEGABYTE:.1f}".rjust(len(total))  # what was drawn before is covered
        text = f"{self._what}: {done} of {total} MB"
        if self._shower:
            self._shower("" if self._ended else text)
        else:
            self._write(text)
        self._shown = True
        self._next = time.monotonic() + _EVERY_S[self._redraws]

    def _write(self, text: str) -> None:
        begin = "\r" if self._redraws else ""
        end = "" if self._redraws and not self._ended else "\n"
        with contextlib.suppress(OSError):  # a build goes on without who would read it
            sys.stderr.write(f"{begin}{text}{end}")
            sys.stderr.flush()
