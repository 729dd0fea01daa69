"""The header of a Go file: all that `go list` reads of it, so that it says the same of two with one header.  Pure.

Source: readGoInfo in go/build.  It reads the package clause and the import declarations, and on to the first byte of
what follows, comments included, and takes everything from there: constraints, directives, cgo's preamble.  It reads
further in two cases: where that is no Go, and for ``//go:embed`` below an import of ``embed``.

What is read here is less than Go takes; anything unusual has no header, and whether it says the same is not known.
"""

from __future__ import annotations

import re

_WORD = rb"[0-9A-Za-z_\x80-\xff]"
_SPACE = rb"(?:[ \t\r\n\f;]|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+"
_STRING = rb'(?:"(?:[^"\\\n]|\\[^\n])*+"|`[^`]*+`)'
_IMPORT = _SPACE + rb"(?:\.|%b++)?" % _WORD + _SPACE + _STRING
_IMPORTS = rb"(?:%b|%b\((?:%b)*+%b\))" % (_IMPORT, _SPACE, _IMPORT, _SPACE)
_HEADER = re.compile(
    rb"(?:\xef\xbb\xbf)?+"
    + rb"%bpackage(?!%b)%b%b++" % (_SPACE, _WORD, _SPACE, _WORD)
    + rb"(?:%bimport(?!%b)%b)*+" % (_SPACE, _WORD, _IMPORTS)
    + rb"%b(?![i/\0])" % _SPACE  # what follows decides whether that was all
)
_EMBED = b"//go:embed"


def header(text: bytes) -> bytes | None:
    """Return what Go reads of a file to list it, or None where that is not known."""
    found = _HEADER.match(text)
    return None if found is None or b"\0" in found[0] else found[0]


def is_listed_alike(before: bytes, after: bytes) -> bool:
    """Tell whether `go list` is known to say the same whichever of these a Go file holds."""
    read = header(before)
    return read is not None and read == header(after) and not (_embeds(before) or _embeds(after))


def _embeds(text: bytes) -> bool:
    return _EMBED in text.replace(b"\r", b"")  # which Go's scanner drops in comments
