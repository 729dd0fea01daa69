"""What a lock fixes: one package, and the index it was chosen from.  Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pin:
    """A binary package to the byte.

    `architecture` is the package's own (``amd64``, ``arm64``, ``all``).  `sha256` is lower-case
    hex and `size` in bytes, both of the .deb.  `path` is relative to the base of `repository`
    (``debian``, ``debian-security``), whose address is each machine's own affair.
    """

    name: str
    version: str
    architecture: str
    source: str
    repository: str
    suite: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class IndexPin:
    """A signed index that packages were chosen from.

    `date` is the Release file's, as ``20260711T101637Z``; `sha256` is that of the uncompressed
    Packages file; `signers` are the fingerprints of the keys that signed, upper-case hex, sorted.
    """

    repository: str
    suite: str
    component: str
    architecture: str
    date: str
    sha256: str
    signers: tuple[str, ...]
