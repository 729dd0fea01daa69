"""What is different between a lock and another, or between a lock and what there is now.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from procession_tasks.debian.lock import Lock
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.version import compare
from procession_tasks.platform import Platform


def differences(old: Lock | None, new: Lock) -> Iterator[str]:
    """Say in a line each what a new lock adds, drops and changes."""
    changes: dict[str, list[Platform]] = {}
    for platform, pins in new.packages:
        for change in _changes(old.pins(platform) if old else (), pins):
            changes.setdefault(change, []).append(platform)
    if old:
        for platform, pins in old.packages:
            if not new.pins(platform):
                for change in _changes(pins, ()):
                    changes.setdefault(change, []).append(platform)
    every = {platform for platform, _ in new.packages}
    for change, platforms in sorted(changes.items()):
        yield change if set(platforms) == every else f"{change} ({', '.join(map(str, platforms))})"


def newer(lock: Lock, available: Mapping[Platform, Mapping[str, Pin]]) -> Iterator[str]:
    """Say in a line each which pins there is a newer version of; security updates come first."""
    found: dict[tuple[bool, str], list[Platform]] = {}
    for platform, pins in lock.packages:
        for pin in pins:
            now = available[platform].get(pin.name)
            if now and compare(now.version, pin.version) > 0:
                is_security = now.repository.endswith("-security")
                what = f"{pin.name} {pin.version} -> {now.version} ({now.suite})"
                found.setdefault((not is_security, what), []).append(platform)
    for (_, what), platforms in sorted(found.items()):
        on = "" if len(platforms) == len(lock.packages) else f" for {', '.join(map(str, platforms))}"
        yield what + on


def gone_back(old: Lock | None, new: Lock) -> Iterator[str]:
    """Name the indexes that are older than those of the lock before."""
    before = {(index.suite, index.architecture): index.date for index in old.indexes} if old else {}
    for index in new.indexes:
        date = before.get((index.suite, index.architecture), "")
        if date > index.date:
            yield f"the index of {index.suite} for {index.architecture} is of {index.date}, older than {date} before"


def _changes(old: Iterable[Pin], new: Iterable[Pin]) -> Iterator[str]:
    before, after = {pin.name: pin for pin in old}, {pin.name: pin for pin in new}
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"{name}: {after[name].version}, new"
        elif name not in after:
            yield f"{name}: {before[name].version}, dropped"
        elif before[name].version != after[name].version:
            yield f"{name}: {before[name].version} -> {after[name].version}"
        elif before[name].sha256 != after[name].sha256:
            yield f"{name}: {after[name].version}, other bytes"
