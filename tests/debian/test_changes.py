"""What is told of two locks, and of a lock and what there is now."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from procession_tasks.debian.changes import differences, gone_back, newer
from procession_tasks.debian.lock import Lock, make_lock
from procession_tasks.debian.pin import IndexPin, Pin
from procession_tasks.definition.model import Debian
from procession_tasks.platform import Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
DATE = "20260711T101637Z"


def pin(name: str, version: str = "1.0-1", suite: str = "bookworm", **fields: str) -> Pin:
    repository = "debian-security" if suite.endswith("-security") else "debian"
    sha256 = hashlib.sha256(f"{name} {version}".encode()).hexdigest()
    made = Pin(name, version, "all", name, repository, suite, f"pool/{name}.deb", 1000, sha256)
    return dataclasses.replace(made, **fields)


def lock(*pins: Pin, arm64: tuple[Pin, ...] | None = None, dates: tuple[tuple[str, str], ...] = ()) -> Lock:
    """A lock of packages on both platforms, which are the same unless they are given for arm64."""
    indexes = [IndexPin("debian", suite, "main", "amd64", date, "0" * 64, ("A" * 40,)) for suite, date in dates]
    return make_lock(Debian(("a",)), indexes, {AMD64: pins, ARM64: pins if arm64 is None else arm64})


def on_amd64(*pins: Pin) -> Lock:
    return make_lock(Debian(("a",)), [], {AMD64: pins})


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (lock(pin("a")), lock(pin("a")), []),
        (None, lock(pin("b"), pin("a", "2.0")), ["a: 2.0, new", "b: 1.0-1, new"]),
        (lock(pin("a"), pin("b")), lock(pin("a")), ["b: 1.0-1, dropped"]),
        (lock(pin("a")), lock(pin("a", "1.0-2")), ["a: 1.0-1 -> 1.0-2"]),
        (lock(pin("a", "1.0-2")), lock(pin("a")), ["a: 1.0-2 -> 1.0-1"]),
        (lock(pin("a")), lock(pin("a", sha256="f" * 64)), ["a: 1.0-1, other bytes"]),
        (lock(pin("a")), lock(pin("a", suite="bookworm-updates")), []),
        (
            lock(pin("a")),
            lock(pin("a", "2.0"), arm64=(pin("a"), pin("b"))),
            ["a: 1.0-1 -> 2.0 (linux/amd64)", "b: 1.0-1, new (linux/arm64)"],
        ),
        (
            lock(pin("a")),
            lock(pin("a", "2.0"), arm64=(pin("a", "3.0"),)),
            ["a: 1.0-1 -> 2.0 (linux/amd64)", "a: 1.0-1 -> 3.0 (linux/arm64)"],
        ),
        (on_amd64(pin("a")), lock(pin("a")), ["a: 1.0-1, new (linux/arm64)"]),
        (lock(pin("a")), on_amd64(pin("a")), ["a: 1.0-1, dropped (linux/arm64)"]),
    ],
)
def test_a_new_lock_is_told_by_what_changed(old: Lock | None, new: Lock, lines: list[str]) -> None:
    assert list(differences(old, new)) == lines


@pytest.mark.parametrize(
    ("available", "lines"),
    [
        ([pin("a"), pin("b")], []),
        ([], []),
        ([pin("a", "0.9"), pin("b", "1.0~rc1-1")], []),
        ([pin("b", "1.0-10"), pin("a", "1:0.1")], ["a 1.0-1 -> 1:0.1 (bookworm)", "b 1.0-1 -> 1.0-10 (bookworm)"]),
        (
            [pin("a", "1.0-2"), pin("b", "1.0-1+deb12u1", "bookworm-security")],
            ["b 1.0-1 -> 1.0-1+deb12u1 (bookworm-security)", "a 1.0-1 -> 1.0-2 (bookworm)"],
        ),
        ([pin("c", "9")], []),
    ],
)
def test_newer_versions_are_told_security_first(available: list[Pin], lines: list[str]) -> None:
    now = {found.name: found for found in available}

    assert list(newer(lock(pin("a"), pin("b")), {AMD64: now, ARM64: now})) == lines


def test_a_newer_version_on_one_platform_is_told_with_it() -> None:
    available = {AMD64: {"a": pin("a")}, ARM64: {"a": pin("a", "1.0-1+b1")}}

    assert list(newer(lock(pin("a")), available)) == ["a 1.0-1 -> 1.0-1+b1 (bookworm) for linux/arm64"]


def test_an_index_that_is_older_than_before_is_told() -> None:
    earlier = "20260101T000000Z"
    new = lock(pin("a"), dates=(("bookworm", earlier), ("bookworm-updates", DATE), ("trixie", earlier)))
    old = lock(pin("a"), dates=(("bookworm", DATE), ("bookworm-updates", earlier), ("sid", DATE)))

    assert list(gone_back(old, new)) == [f"the index of bookworm for amd64 is of {earlier}, older than {DATE} before"]
    assert list(gone_back(new, new)) == []
    assert list(gone_back(None, new)) == []
