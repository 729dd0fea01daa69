"""Why a file of a repository cannot be had, in words that name no address."""

from __future__ import annotations

from typing import Literal

Kind = Literal["gone", "changed", "unreachable"]


class FailedDownloadError(Exception):
    """A file is gone, is other bytes than it must be, or cannot be reached."""

    def __init__(self, kind: Kind, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind = kind
        self.what = what


class PassingError(FailedDownloadError):
    """What may be better in a moment."""


class NoAnswerError(PassingError):
    """Nobody answers at that address, whatever is asked for."""


class BadRangeError(PassingError):
    """The file has no such part; the whole of it may be had."""
