"""Makes the bundle of trusted certificates, as Debian's update-ca-certificates does from the image's own."""

from __future__ import annotations

import re
from collections.abc import Mapping

from procession_tasks.rootfs.content import read
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.tree import Entry

BUNDLE = "etc/ssl/certs/ca-certificates.crt"
# Those of packages come before those that a definition adds.
_FOLDERS = (re.compile(r"usr/share/ca-certificates/.*\.crt"), re.compile(r"usr/local/share/ca-certificates/.*\.crt"))


def certificate_bundle(sources: Mapping[str, Source]) -> Source | None:
    """Join the certificates of an image; None where it has none, or brings a bundle of its own.

    Reads them.  Raises BuildError for one that cannot be read, or is not what was unpacked.
    """
    found = [
        source
        for folder in _FOLDERS
        for path, source in sorted(sources.items())
        if source.entry.type == "file" and folder.fullmatch(path)
    ]
    if not found or BUNDLE in sources:
        return None
    bundle = b"".join(_ended(read(source.content, source.origin)) for source in found)
    return Source(Entry(BUNDLE, "file", 0o644), found[0].origin, bundle, found[0].owner)


def _ended(certificate: bytes) -> bytes:
    return certificate if certificate.endswith(b"\n") or not certificate else certificate + b"\n"
