"""A binary package as a Packages file describes it.  Pure.

Source: Debian Policy 5.6 and 7, Debian repository format, "Packages" indices.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass

from procession_tasks.debian.pin import Pin
from procession_tasks.debian.relations import Alternatives, Relation, parse_conflicts, parse_depends, parse_provides
from procession_tasks.debian.version import sort_key
from procession_tasks.definition.shape import Text


@dataclass(frozen=True, slots=True)
class Package:
    """A binary package as its index describes it, in the terms of Debian Policy 5.6 and 7."""

    pin: Pin
    multi_arch: str
    essential: bool
    important: bool
    priority: str
    pre_depends: tuple[Alternatives, ...]
    depends: tuple[Alternatives, ...]
    conflicts: tuple[Relation, ...]
    breaks: tuple[Relation, ...]
    provides: tuple[Relation, ...]

    @property
    def name(self) -> str:
        """Return the package's name."""
        return self.pin.name

    @property
    def version(self) -> str:
        """Return the package's version."""
        return self.pin.version

    @property
    def needs(self) -> tuple[Alternatives, ...]:
        """Return all that must be there for the package to work, Pre-Depends first as apt has it."""
        return self.pre_depends + self.depends

    @property
    def excludes(self) -> tuple[Relation, ...]:
        """Return all that must not be there, Conflicts first as apt has it."""
        return self.conflicts + self.breaks

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def parse_package(stanza: Mapping[str, str], repository: str, suite: str) -> Package:
    """Make sense of the fields of a stanza of a Packages file.

    Raises ValueError that says which field is missing or wrong.
    """
    fields = {name.lower(): value for name, value in stanza.items()}

    def flag(field: str) -> bool:
        return fields.get(field) == "yes"

    return Package(
        pin=_pin(fields, repository, suite),
        multi_arch=fields.get("multi-arch", "no"),
        essential=flag("essential"),
        important=flag("important") or flag("protected"),
        priority=fields.get("priority", ""),
        pre_depends=parse_depends(fields.get("pre-depends", "")),
        depends=parse_depends(fields.get("depends", "")),
        conflicts=parse_conflicts(fields.get("conflicts", "")),
        breaks=parse_conflicts(fields.get("breaks", "")),
        provides=parse_provides(fields.get("provides", "")),
    )


def _pin(fields: Mapping[str, str], repository: str, suite: str) -> Pin:
    for field in ("Package", "Version", "Architecture", "Filename", "Size", "SHA256"):
        if not fields.get(field.lower()):
            raise ValueError(f"must have the field {field}")
    if not re.fullmatch(r"[1-9][0-9]{0,11}", fields["size"]):
        raise ValueError(f"Size must be a number of bytes, got {fields['size']!r}")
    sort_key(fields["version"])
    pin = Pin(
        name=fields["package"],
        version=fields["version"],
        architecture=fields["architecture"],
        source=fields.get("source", fields["package"]).partition(" ")[0],
        repository=repository,
        suite=suite,
        path=fields["filename"].removeprefix("./"),
        size=int(fields["size"]),
        sha256=fields["sha256"],
    )
    for part in dataclasses.fields(Pin):
        shape, value = part.metadata["shape"], getattr(pin, part.name)
        if isinstance(shape, Text) and not re.fullmatch(shape.pattern, value):
            raise ValueError(f"{part.name} {shape.rule}, got {value!r}")
    return pin
