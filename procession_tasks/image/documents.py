"""Reads the documents and blobs of an OCI image layout, strictly: one form for each.

For the verifier; shares no code with the writers, nor with what reads layouts to push and run them.

Source: OCI image specification 1.1, "Image Layout" and "Content Descriptors".
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from procession_tasks.errors import BuildError
from procession_tasks.image.members import BrokenError, Findings, difference

_VERSION = {"imageLayoutVersion": "1.0.0"}
_LIMIT = 4 * 1024 * 1024  # bytes of a document, which is what registries take
_ABSENT = object()


class Documents:
    """A layout whose blobs are verified when they are reached, and which remembers what it reached.

    Raises BuildError for a folder that cannot be read, and BrokenError for what is not there.
    """

    def __init__(self, folder: Path, findings: Findings) -> None:
        self.folder = folder
        self.findings = findings
        self._reached: set[str] = set()
        try:
            os.listdir(folder)
        except OSError as error:
            raise BuildError(f"{folder}: cannot be read: {error.strerror}", hint="build the image first") from None
        self.compare("oci-layout", _VERSION, self._read("oci-layout", folder / "oci-layout"))
        self.index = self._read("index.json", folder / "index.json")

    @property
    def top(self) -> Any:
        """The first descriptor of index.json; that it is the only one shows when all of it is compared."""
        return at(at(self.index, "manifests"), 0)

    def blob(self, where: str, media_type: str, described: Any) -> tuple[Path, dict[str, Any]]:
        """Find a blob and compare it with its descriptor, which is returned without what else it says."""
        digest, size = at(described, "digest"), at(described, "size")
        if not isinstance(digest, str) or not re.fullmatch("sha256:[0-9a-f]{64}", digest):
            raise BrokenError(where, "digest", "one of sha256", digest)
        path = self.folder / "blobs/sha256" / digest.removeprefix("sha256:")
        self._reached.add(path.name)
        self.findings.expect(where, "size", _shown(size), _shown(_size(where, path)))
        with path.open("rb") as file:
            self.findings.expect(where, "digest", digest, f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
        self.findings.expect(where, "mediaType", media_type, at(described, "mediaType"))
        return path, {"mediaType": media_type, "digest": digest, "size": size}

    def document(self, where: str, media_type: str, described: Any) -> tuple[Any, dict[str, Any]]:
        """Read a blob that is a document, with its descriptor as `blob` returns it."""
        path, descriptor = self.blob(where, media_type, described)
        return self._read(where, path), descriptor

    def compare(self, where: str, wanted: Any, got: Any) -> None:
        """Note where a document is not what it must be."""
        self.findings.extend(_differences(where, "", wanted, got))

    def check_blobs(self) -> None:
        """Note what is there though nothing leads to it."""
        blobs = self.folder / "blobs"
        wanted = {blobs / "sha256", *(blobs / "sha256" / name for name in self._reached)}
        for path in sorted(set(blobs.rglob("*")) - wanted):
            self.findings.append(difference(str(path.relative_to(self.folder)), "blob", "nothing", "something"))

    def _read(self, where: str, path: Path) -> Any:
        if (size := _size(where, path)) > _LIMIT:
            raise BrokenError(where, "size", f"at most {_LIMIT}", size)
        content = path.read_bytes()
        try:
            document = json.loads(content)
            written = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        except (ValueError, RecursionError):
            raise BrokenError(where, "content", "JSON", content[:80]) from None
        if written.encode("utf-8", "surrogatepass") != content:
            self.findings.append(difference(where, "form", "sorted keys, each once, and no white space", "another"))
        return document


def at(document: Any, key: Any) -> Any:
    """Look into a document; None where there is no such thing."""
    try:
        return document[key]
    except (LookupError, TypeError):
        return None


def _size(where: str, path: Path) -> int:
    """Return the size of a file; raises BrokenError for anything else."""
    try:
        status = path.lstat()
    except OSError as error:
        raise BrokenError(where, path.name, "a file", error.strerror) from None
    if not stat.S_ISREG(status.st_mode):
        raise BrokenError(where, path.name, "a file", stat.filemode(status.st_mode))
    return status.st_size


def _differences(where: str, key: str, wanted: Any, got: Any) -> Iterator[str]:
    """Compare two documents value by value; true and 1.0 are not 1."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        for name in sorted(wanted.keys() | got.keys()):
            pair = (wanted.get(name, _ABSENT), got.get(name, _ABSENT))
            yield from _differences(where, f"{key}.{name}" if key else name, *pair)
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        for number, pair in enumerate(zip(wanted, got, strict=True)):
            yield from _differences(where, f"{key}[{number}]", *pair)
    elif type(wanted) is not type(got) or wanted != got:
        yield difference(where, key or "content", *map(_shown, (wanted, got)))


def _shown(value: Any) -> str:
    return "nothing" if value is _ABSENT else json.dumps(value)
