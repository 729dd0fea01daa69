"""What an image holds and says, whatever it is stored as, so that two can be compared.  Pure."""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from procession_tasks.debian.control import parse_stanza, stanzas

_DESCRIPTIONS = "var/lib/dpkg/status.d"
_STATUS = "var/lib/dpkg/status"
_SUMS = ".md5sums"
_INSTALLED = "installed"


@dataclass(frozen=True, slots=True)
class Item:
    """One path of an image, as `members.Member` says it; `type` may be what only others' images have, a device."""

    path: str
    type: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    sha256: str = ""
    link: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    mtime: int = 0


@dataclass(frozen=True, slots=True)
class StoredLayer:
    """A layer as it is stored: its digest and its size in bytes; `what` it holds, if its image says it."""

    digest: str
    size: int
    what: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of an image that a comparison is about.

    `settings` are what it says of itself, in the same words for both formats.  An ACI says more in
    its `manifest`, and has no `layers`.  `packages` are versions by name.  `stored` is the bytes of the
    archive, or of all blobs.
    """

    name: str
    items: Mapping[str, Item]
    settings: Mapping[str, str]
    packages: Mapping[str, str]
    stored: int
    manifest: Mapping[str, str] | None = None
    layers: tuple[StoredLayer, ...] | None = None

    @property
    def size(self) -> int:
        """The bytes of all files; a hard link costs nothing."""
        return sum(item.size for item in self.items.values())

    @property
    def count(self) -> int:
        """How many paths are no folders."""
        return sum(item.type != "directory" for item in self.items.values())


def is_read(path: str) -> bool:
    """Tell whether the content of a file is of use: accounts and descriptions of packages."""
    return path in ("etc/passwd", "etc/group", _STATUS) or posixpath.dirname(path) == _DESCRIPTIONS


def packages(texts: Mapping[str, bytes]) -> dict[str, str]:
    """Find the packages that an image's own descriptions name, with their versions."""
    found: dict[str, str] = {}
    for path, text in sorted(texts.items()):
        if path == _STATUS or (posixpath.dirname(path) == _DESCRIPTIONS and not path.endswith(_SUMS)):
            found |= dict(_named(text.decode("utf-8", "replace"), everything=path != _STATUS))
    return found


def _named(text: str, *, everything: bool) -> Iterator[tuple[str, str]]:
    with contextlib.suppress(ValueError):  # a file of that name that describes no packages
        described = [parse_stanza(text)] if everything and text.strip() else stanzas(text)
        for fields in described:
            if everything or fields.get("Status", "").endswith(_INSTALLED):
                yield fields.get("Package", "?"), fields.get("Version", "?")


def settings(config: Mapping[str, Any], annotations: Mapping[str, Any]) -> dict[str, str]:
    """Lay out an OCI configuration, but for its layers, and the annotations beside it, as one flat table."""
    said = _mapping(config.get("config"))
    place = [str(config[key]) for key in ("os", "architecture", "variant") if config.get(key)]
    found = {"platform": "/".join(place), "created": str(config.get("created") or "")}
    words = {"User": "user", "WorkingDir": "workingDirectory", "StopSignal": "stopSignal"}
    found |= {name: str(said.get(key) or "") for key, name in words.items()}
    found |= {name: _shown(said[key]) for key, name in (("Entrypoint", "exec"), ("Cmd", "arguments")) if said.get(key)}
    pairs = (str(variable).partition("=") for variable in said.get("Env") or ())
    found |= {f"environment.{name}": value for name, _, value in pairs}
    found |= {f"ports.{port}": "exposed" for port in said.get("ExposedPorts") or ()}
    found |= {f"volumes.{path}": "declared" for path in said.get("Volumes") or ()}
    for key, values in (("labels", said.get("Labels")), ("annotations", annotations)):
        found |= {f"{key}.{name}": str(value) for name, value in _mapping(values).items()}
    known = {*words, "Entrypoint", "Cmd", "Env", "ExposedPorts", "Volumes", "Labels"}
    found |= {key: _shown(said[key]) for key in said.keys() - known if said[key]}
    return {name: value for name, value in found.items() if value}


def flat(document: Any, key: str = "") -> dict[str, str]:
    """Lay out an appc manifest as one flat table; what has a name stands under it, whatever its place in a list."""
    if isinstance(document, dict) and document:
        return _merged(flat(value, f"{key}.{name}" if key else name) for name, value in document.items())
    if isinstance(document, list) and document and all(isinstance(one, dict) and "name" in one for one in document):
        named = [(one["name"], {name: value for name, value in one.items() if name != "name"}) for one in document]
        if len({name for name, _ in named}) == len(named):
            return _merged(flat(_only_value(one), f"{key}.{name}") for name, one in named)
    return {key: _shown(document)}


def _only_value(one: dict[str, Any]) -> Any:
    return one["value"] if one.keys() == {"value"} else one


def _merged(parts: Iterable[dict[str, str]]) -> dict[str, str]:
    return {name: value for part in parts for name, value in part.items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
