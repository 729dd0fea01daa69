"""What the command line says beside tasks, noted before it is known which folder the run is in.

To be read where tasks are made: the threads that run them have contexts of their own.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pushing:
    """What is asked of a push beside the images; `tags` are those beside the version."""

    registry: str | None = None
    tags: tuple[str, ...] = ()
    force: bool = False
    insecure: bool = False


pushing: ContextVar[Pushing] = ContextVar("pushing", default=Pushing())  # noqa: B039  # frozen
# What follows `run:IMAGE`.
running: ContextVar[tuple[str, ...]] = ContextVar("running", default=())
