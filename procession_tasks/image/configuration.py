"""Derives an OCI image configuration from an appc manifest.  Pure.

Source: OCI image specification 1.1, "Image Configuration" and "Conversion to OCI Runtime
Configuration"; appc specification 0.8.11, "Image Manifest Schema".
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from procession_tasks.definition.manifest import App, ImageManifest
from procession_tasks.platform import Platform

STOP_SIGNAL = "org.opencontainers.image.stopsignal"  # lower-case, as appc wants names
_PREFIX = "org.opencontainers.image."
# Annotations that appc and OCI both know, under their two names.
_SAME = {"authors": "authors", "created": "created", "documentation": "documentation", "homepage": "url"}


def configuration(manifest: ImageManifest, platform: Platform, user: str, date: int) -> dict[str, Any]:
    """Derive all but the layers; `user` is ``uid:gid``, `date` is in seconds since 1970."""
    return {
        "created": rfc3339(date),
        **platform.oci,
        "config": _execution(manifest.app, user, manifest.annotation(STOP_SIGNAL)) | _labels(manifest),
    }


def manifest_annotations(manifest: ImageManifest) -> dict[str, str]:
    """Choose what is said of an image beside its configuration: the names that OCI defines."""
    said = _labels(manifest)["Labels"]
    return {name: value for name, value in said.items() if name.startswith(_PREFIX) and name != STOP_SIGNAL}


def tag(manifest: ImageManifest) -> str:
    """Return the version as registries and engines can name it: what they do not take becomes ``_``.

    Source: OCI distribution specification 1.1, "Pulling manifests".
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "_", manifest.version or "latest")


def without_counterpart(manifest: ImageManifest) -> Iterator[str]:
    """Name the keys of a manifest that an OCI image cannot say."""
    if manifest.app and manifest.app.event_handlers:
        yield "app.eventHandlers"
    if manifest.app and manifest.app.supplementary_gids:
        yield "app.supplementaryGIDs"
    if manifest.dependencies:
        yield "dependencies"
    if manifest.path_whitelist:
        yield "pathWhitelist"


def rfc3339(date: int) -> str:
    """Write seconds since 1970 as OCI's documents do."""
    return f"{datetime.fromtimestamp(date, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _execution(app: App | None, user: str, stop_signal: str | None) -> dict[str, Any]:
    if app is None:
        return {}
    found: dict[str, Any] = {
        "User": user,
        "Env": [f"{variable.name}={variable.value}" for variable in app.environment],
        "Entrypoint": list(app.exec or ()),
        "WorkingDir": app.working_directory or "/",
        "ExposedPorts": {port: {} for port in _ports(app)},
        "Volumes": {point.path: {} for point in app.mount_points},
        "StopSignal": stop_signal,
    }
    return {key: value for key, value in found.items() if value}


def _ports(app: App) -> Iterable[str]:
    for port in app.ports:
        for number in range(port.port, port.port + port.count):
            yield f"{number}/{port.protocol}"


def _labels(manifest: ImageManifest) -> dict[str, Any]:
    labels = {f"{_PREFIX}title": posixpath.basename(manifest.name)}
    if manifest.version:
        labels[f"{_PREFIX}version"] = manifest.version
    if manifest.app:
        labels |= dict(manifest.app.user_labels)
    for annotation in manifest.annotations:
        name = _PREFIX + _SAME[annotation.name] if annotation.name in _SAME else annotation.name
        labels[name] = annotation.value
    return {"Labels": dict(sorted(labels.items()))}
