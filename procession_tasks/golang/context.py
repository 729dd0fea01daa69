"""Where Go runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from procession_tasks.states import States


@dataclass(frozen=True, slots=True)
class Context:
    """Where and with what Go runs: everything that cannot change a program's bytes."""

    root: Path
    states: States
    environment: dict[str, str]
