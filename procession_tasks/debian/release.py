"""Reads a Release file: what a suite is, how long that holds, and the digests of its indexes.  Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from procession_tasks.debian.control import parse_stanza
from procession_tasks.errors import BuildError

_ENTRY = re.compile(r"\s*([0-9a-fA-F]{64})\s+([0-9]{1,15})\s+(\S+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Release:
    """A suite at one time; `files` has the SHA-256 and size of each index, relative to the suite.

    Source: Debian repository format, "Release" files.
    """

    suite: str
    codename: str
    date: datetime
    valid_until: datetime | None
    by_hash: bool
    files: dict[str, tuple[str, int]]

    @property
    def stamp(self) -> str:
        """The date as it is written in a lock and in a snapshot's address: ``20260711T101637Z``."""
        return self.date.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")

    def is_expired(self, now: datetime) -> bool:
        """Tell whether the index says of itself that it is too old to be used."""
        return self.valid_until is not None and now > self.valid_until


def parse_release(text: str, name: str) -> Release:
    """Read the text of a Release file that was signed; `name` is how messages call it.

    Raises BuildError for one that lacks what is needed.
    """
    try:
        fields = parse_stanza(text)
        valid_until = fields.get("Valid-Until")
        return Release(
            fields.get("Suite", ""),
            fields.get("Codename", ""),
            _date(fields["Date"]),
            _date(valid_until) if valid_until else None,
            fields.get("Acquire-By-Hash", "no").lower() == "yes",
            dict(_entry(line) for line in fields["SHA256"].splitlines() if line.strip()),
        )
    except KeyError as error:
        raise BuildError(f"{name}: must have the field {error.args[0]}") from None
    except ValueError as error:
        raise BuildError(f"{name}: must be a Release file: {error}") from None


def _date(text: str) -> datetime:
    from email.utils import parsedate_to_datetime  # only who downloads needs it

    try:
        date = parsedate_to_datetime(text)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"a date must be one such as Sat, 11 Jul 2026 10:16:37 UTC, got {text!r}") from None


def _entry(line: str) -> tuple[str, tuple[str, int]]:
    found = _ENTRY.fullmatch(line)
    if found is None:
        raise ValueError(f"under SHA256 must be digest, size and path, got {line.strip()!r}")
    return found[3], (found[1].lower(), int(found[2]))
