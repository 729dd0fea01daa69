"""What a lock fixes: one package, and the index it was chosen from.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from procession_tasks.definition.shape import Integer, Listing, Text, key

_MOST_BYTES = 2**40
_WORD = Text("must be a word", r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_NAME = Text("must be the name of a Debian package", r"[a-z0-9][a-z0-9+.-]+")
_VERSION = Text("must be a Debian version", r"[0-9][A-Za-z0-9.+~:-]*")
_SHA256 = Text("must be a SHA-256 in lower-case hex", r"[0-9a-f]{64}")
_DATE = Text("must be a date such as 20260711T101637Z", r"[0-9]{8}T[0-9]{6}Z")
_FINGERPRINT = Text("must be a key's fingerprint", r"[0-9A-F]{40,64}")
_PATH = Text(
    "must be a path below the repository, without . and .. and double slashes",
    r"(?!/)(?!.*//)(?!(.*/)?\.\.?(/|$))[^\x00-\x20]+\.deb",
)


@dataclass(frozen=True, slots=True)
class Pin:
    """A binary package to the byte.

    `architecture` is the package's own (``amd64``, ``arm64``, ``all``).  `sha256` is lower-case
    hex and `size` in bytes, both of the .deb.  `path` is relative to the base of `repository`
    (``debian``, ``debian-security``), whose address is each machine's own affair.
    """

    name: str = key(_NAME, "the package")
    version: str = key(_VERSION, "its version")
    architecture: str = key(_WORD, "its architecture, or all")
    source: str = key(_NAME, "the source package it is built from")
    repository: str = key(_WORD, "the repository it is in")
    suite: str = key(_WORD, "the suite it was chosen from")
    path: str = key(_PATH, "where it is, below the repository's base")
    size: int = key(Integer(1, _MOST_BYTES), "bytes of the .deb")
    sha256: str = key(_SHA256, "of the .deb")

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.architecture}"


@dataclass(frozen=True, slots=True)
class IndexPin:
    """A signed index that packages were chosen from.

    `date` is the Release file's, as ``20260711T101637Z``; `sha256` is that of the uncompressed
    Packages file; `signers` are the fingerprints of the keys that signed, upper-case hex, sorted.
    """

    repository: str = key(_WORD, "the repository")
    suite: str = key(_WORD, "the suite")
    component: str = key(_WORD, "the component")
    architecture: str = key(_WORD, "the architecture it lists, all included")
    date: str = key(_DATE, "when its Release file was made")
    sha256: str = key(_SHA256, "of the uncompressed index")
    signers: tuple[str, ...] = key(Listing(_FINGERPRINT, at_least=1), "the keys that signed it")
