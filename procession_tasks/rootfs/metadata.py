"""Writes what scanners read to know the packages of an image that has no dpkg.

Source: distroless, PACKAGE_METADATA.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from procession_tasks.debian.contents import Contents
from procession_tasks.debian.pin import Pin
from procession_tasks.rootfs.content import Range
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.shipped import Places
from procession_tasks.rootfs.tree import Entry

_FOLDER = "var/lib/dpkg/status.d"


def metadata(
    packages: Sequence[tuple[Pin, Contents]], sources: Mapping[str, Source], places: Places
) -> Iterator[Source]:
    """Write the control stanza of each package, and the MD5 sums of those of its files that the image has."""
    for pin, contents in packages:
        stanza = contents.control.strip("\n") + "\n"
        yield _file(pin, pin.name, stanza)
        sums = sorted((places.file(path), digest) for path, digest in contents.md5sums)
        lines = [f"{digest}  {path}\n" for path, digest in sums if _is_of(pin, sources.get(path))]
        if lines:
            yield _file(pin, f"{pin.name}.md5sums", "".join(lines))


def _is_of(pin: Pin, source: Source | None) -> bool:
    return source is not None and source.owner == pin.name and isinstance(source.content, Range)


def _file(pin: Pin, name: str, text: str) -> Source:
    content = text.encode("utf-8", "surrogateescape")
    return Source(Entry(f"{_FOLDER}/{name}", "file", 0o644), f"{pin.name}: control", content, pin.name)
