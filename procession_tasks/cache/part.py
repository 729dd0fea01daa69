"""What input roots are put together from: folders that are known by their digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks import files
from procession_tasks.cache.merkle import Node, merkle
from procession_tasks.cache.reapi import Digest, digest_of
from procession_tasks.cache.remote import Blob

_SMALL = 1024 * 1024  # what is read once, and sent as it was digested


class NotRemoteError(Exception):
    """A program cannot be compiled elsewhere; the text says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """A folder of an input root; `blobs` are its directories, and the files that are here."""

    root: Digest
    blobs: Mapping[Digest, Blob | bytes]


def part(nodes: Mapping[str, Node], blobs: Mapping[Digest, Blob | bytes]) -> Part:
    """Make a part of nodes and their files; raises ValueError as `merkle`."""
    built = merkle(nodes)
    return Part(built.root, {**blobs, **built.messages})


def file_blob(path: Path) -> Blob:
    """Digest a file; raises OSError."""
    size = path.stat().st_size
    if size > _SMALL:
        return Blob(Digest(files.sha256(path), size), path)
    content = path.read_bytes()
    return Blob(digest_of(content), content)
