"""References to images in a registry, such as ``registry.example:5000/team/api:1.0.0``.

Source: OCI distribution specification 1.1, "Pulling manifests" (names and tags).
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from dataclasses import dataclass

from procession_tasks.errors import BuildError

_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?")
_NAME_LIMIT = 255  # what registries take for host and path together
_PORT_LIMIT = 65535


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository of a registry, and an image in it by tag, by digest, or by both.

    `host` has the port, if one was written: ``registry.example:5000``.
    """

    host: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``host[:port]/path[:tag][@digest]``; raises BuildError."""
        name, at, digest = text.partition("@")
        host, _, rest = name.partition("/")
        path, colon, tag = rest.partition(":")
        problem = (
            _bad_host(host)
            or _bad_path(path)
            or (_bad_tag(tag) if colon else None)
            or (_bad_digest(digest) if at else None)
            or _bad_length(host, path)
        )
        if problem:
            raise BuildError(f"{text}: {problem}", hint="write it as registry.example/team/name:tag")
        return cls(host, path, tag if colon else None, digest if at else None)

    @property
    def repository(self) -> str:
        """The name without tag and digest."""
        return f"{self.host}/{self.path}"

    def tagged(self, tag: str) -> Reference:
        """Name another image of the same repository; raises BuildError for what can be no tag."""
        if problem := _bad_tag(tag):
            raise BuildError(f"{self.repository}: {problem}")
        return dataclasses.replace(self, tag=tag, digest=None)

    def pinned(self, digest: str) -> Reference:
        """Name exactly one image of the same repository."""
        return dataclasses.replace(self, tag=None, digest=digest)

    def __str__(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return self.repository + tag + ("" if self.digest is None else f"@{self.digest}")


def is_digest(text: str) -> bool:
    """Tell whether a text is a digest of the one algorithm that is used."""
    return _DIGEST.fullmatch(text) is not None


def _bad_host(host: str) -> str | None:
    found = _HOST.fullmatch(host)
    if not found or not ("." in host or ":" in host or host == "localhost"):  # else it is the begin of a path
        return f"must begin with the host of a registry (with a dot or a port, or localhost), got {host!r}"
    if found[2] and not 0 < int(found[2]) <= _PORT_LIMIT:
        return f"a port must be from 1 to {_PORT_LIMIT}, got {found[2]}"
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(found[1][1:-1])
        except ValueError:
            return f"must have an IPv6 address in brackets, got {found[1]}"
    return None


def _bad_path(path: str) -> str | None:
    if _PATH.fullmatch(path):
        return None
    return f"a repository must be lower-case letters and digits, parted by one of / . _ __ -, got {path!r}"


def _bad_tag(tag: str) -> str | None:
    if _TAG.fullmatch(tag):
        return None
    return f"a tag must be at most 128 letters, digits, '_', '.' and '-', and not begin with '.' or '-', got {tag!r}"


def _bad_digest(digest: str) -> str | None:
    return (
        None if _DIGEST.fullmatch(digest) else f"a digest must be sha256: and 64 lower-case hex digits, got {digest!r}"
    )


def _bad_length(host: str, path: str) -> str | None:
    length = len(host) + 1 + len(path)
    return None if length <= _NAME_LIMIT else f"host and path must have at most {_NAME_LIMIT} characters, got {length}"
