"""Why a registry does not do what it is asked, and how often it is asked again."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from procession_tasks import interruption
from procession_tasks.errors import BuildError

T = TypeVar("T")

_WAITS_S = (0.5, 1.0, 2.0, 4.0)  # before each further attempt
_LONGEST_WAIT_S = 60.0
_LOOK_S = 0.1


class PassingError(BuildError):
    """What may be better in a moment, or when the registry says: `after` so many seconds."""

    def __init__(self, message: str, *, hint: str | None = None, after: float = 0) -> None:
        super().__init__(message, hint=hint)
        self.after = after


class LostUploadError(PassingError):
    """The registry does not know an upload any more, or has another part of it; it can begin anew."""


class RefusedError(BuildError):
    """The registry, or its token service, does not let this user do this."""


def persistently(do: Callable[[], T]) -> T:
    """Do something again after failures that may pass, each time after a longer wait.

    A registry that wants to be left alone for more than a minute is not asked again.
    """
    for wait in _WAITS_S:
        try:
            return do()
        except PassingError as error:
            if error.after > _LONGEST_WAIT_S:
                raise
            _pause(max(wait, error.after))
    return do()


def seconds(retry_after: str | None, now: datetime) -> float:
    """Read a Retry-After header, which has seconds or a date; 0 for one that is neither.

    Source: RFC 9110, section 10.2.3.
    """
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _pause(length: float) -> None:
    end = time.monotonic() + length
    while (left := end - time.monotonic()) > 0:
        interruption.check()
        time.sleep(min(left, _LOOK_S))
