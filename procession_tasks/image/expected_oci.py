"""Derives what the documents of an OCI image must say from its appc manifest alone, for the verifier.

Says again, in other words, what `configuration` and `oci` write: a mistake there does not pass
because it was made here too.  Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from procession_tasks.image.members import Member
from procession_tasks.platform import Platform

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

_OURS = "org.opencontainers.image."
_STOP = f"{_OURS}stopsignal"
_RENAMED = {"homepage": "url", "created": "created", "authors": "authors", "documentation": "documentation"}
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Accounts:
    """What an image has to find its user in: the texts of its account files, and its members by path."""

    passwd: str
    group: str
    members: Mapping[str, Member]

    def user(self, app: Document) -> str:
        """Return ``uid:gid``, or which account is missing."""
        return f"{self._number(app['user'], self.passwd, 'uid')}:{self._number(app['group'], self.group, 'gid')}"

    def _number(self, wanted: str, text: str, field: str) -> str:
        if wanted.startswith("/") and (member := self.members.get(wanted.strip("/"))):
            return str(getattr(member, field))
        if wanted.isdecimal():
            return str(int(wanted))
        rows = (line.split(":") for line in text.split("\n"))
        return next((row[2] for row in rows if row[0] == wanted and row[2:]), f"the {field} of {wanted!r}")


def platform_of(platform: Platform) -> Document:
    """Say a platform in OCI's words."""
    said = {"os": platform.os, "architecture": platform.arch}
    return {**said, "variant": "v7"} if platform.arch == "arm" else said


def configuration(
    manifest: bytes, platform: Platform, date: int, accounts: Accounts, layers: Sequence[tuple[str, Any]]
) -> Document:
    """Say the whole configuration; `layers` are the digest of each layer's tar, and what is said of it."""
    content = json.loads(manifest)
    created = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=date)).strftime("%Y-%m-%dT%H:%M:%SZ")
    config: Document = {"Labels": labels(content)}
    if app := content.get("app"):
        config |= _app(app, accounts, config["Labels"].get(_STOP))
    return {
        "created": created,
        **platform_of(platform),
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest for digest, _ in layers]},
        "history": [{"created": created, "created_by": "procession", "comment": comment} for _, comment in layers],
    }


def labels(content: Document) -> dict[str, str]:
    """Collect what an image says of itself."""
    found = {f"{_OURS}title": content["name"].rsplit("/", 1)[-1]}
    if version := _version(content):
        found[f"{_OURS}version"] = version
    found |= (content.get("app") or {}).get("userLabels") or {}
    for annotation in content.get("annotations", ()):
        name = annotation["name"]
        found[f"{_OURS}{_RENAMED[name]}" if name in _RENAMED else name] = annotation["value"]
    return found


def repeated(manifest: bytes) -> dict[str, str]:
    """Collect what an image's manifest and index repeat of its labels: the names that OCI defines."""
    said = labels(json.loads(manifest))
    return {name: said[name] for name in said if name.startswith(_OURS) and name != _STOP}


def names(manifest: bytes) -> dict[str, str]:
    """Say what tools and engines call an image."""
    content = json.loads(manifest)
    version = _version(content) or "latest"
    return {f"{_OURS}ref.name": version, "io.containerd.image.name": f"{content['name']}:{version}"}


def _version(content: Document) -> str:
    return "".join(label["value"] for label in content.get("labels", ()) if label["name"] == "version")


def index(children: Sequence[Document], said: Mapping[str, str] | None = None) -> Document:
    """Say an index of descriptors, which is what index.json is too."""
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*children]}
    return document if said is None else {**document, "annotations": {**said}}


def image(config: Document, layers: Sequence[Document], said: Mapping[str, str]) -> Document:
    """Say the manifest of an image."""
    of_image = {"config": config, "layers": [*layers], "annotations": {**said}}
    return {"schemaVersion": 2, "mediaType": MANIFEST, **of_image}


def _app(app: Document, accounts: Accounts, stop_signal: str | None) -> Document:
    ports = [(port["port"] + more, port["protocol"]) for port in app.get("ports", ()) for more in range(_count(port))]
    said: Document = {
        "StopSignal": stop_signal,
        "User": accounts.user(app),
        "WorkingDir": app.get("workingDirectory") or "/",
        "Entrypoint": app.get("exec"),
        "Env": ["=".join((one["name"], one["value"])) for one in app.get("environment", ())],
        "ExposedPorts": {f"{number}/{protocol}": {} for number, protocol in ports},
        "Volumes": {point["path"]: {} for point in app.get("mountPoints", ())},
    }
    return {name: value for name, value in said.items() if value}


def _count(port: Document) -> int:
    return port.get("count") or 1
