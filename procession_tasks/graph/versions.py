"""Which packages a lock pins otherwise than before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from procession_tasks.debian.lock import parse_lock, parse_pins
from procession_tasks.debian.pin import Pin
from procession_tasks.errors import BuildError
from procession_tasks.graph.cause import VERSION, Cause
from procession_tasks.platform import Platform
from procession_tasks.step import Step


def version_changes(step: Step, root: Path) -> tuple[Cause, ...]:
    """Compare what a step listed with what its lock says now; nothing if they cannot be read."""
    lock, platform = step.option("lock"), Platform.parse(step.option("platform"))
    with contextlib.suppress(OSError, ValueError, BuildError):  # who needs them says what is wrong with them
        before = parse_pins((root / step.option("list")).read_bytes())
        return compared(before, parse_lock((root / lock).read_bytes(), lock).pins(platform))
    return ()


def compared(before: Iterable[Pin], after: Iterable[Pin]) -> tuple[Cause, ...]:
    """Say which packages came, went, or are of another version.  Pure."""
    old, new = {pin.name: pin for pin in before}, {pin.name: pin for pin in after}
    changed = (name for name in sorted(old | new) if old.get(name) != new.get(name))
    return tuple(_cause(name, old.get(name), new.get(name)) for name in changed)


def _cause(name: str, before: Pin | None, after: Pin | None) -> Cause:
    if before and after and before.version == after.version:
        before_said, after_said = (f"{pin.version} ({pin.sha256[:12]})" for pin in (before, after))
        return Cause(VERSION, name, before_said, after_said)
    return Cause(VERSION, name, before.version if before else "", after.version if after else "")
