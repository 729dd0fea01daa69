"""The parts of an ImageManifest, in the order the reference tool writes their fields.  Pure.

Source: appc spec 0.8.11, "Image Manifest Schema", and its Go package schema.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from procession_tasks.definition.gostruct import tagged


@dataclass(frozen=True, slots=True)
class Label:
    """A name and value that tell images of one name apart, such as version, os and arch."""

    name: str = tagged("name", "")
    value: str = tagged("value", "")


@dataclass(frozen=True, slots=True)
class Annotation:
    """Something said about the image that does not shape it."""

    name: str = tagged("name", "")
    value: str = tagged("value", "")


@dataclass(frozen=True, slots=True)
class EnvironmentVariable:
    """A variable of the app's environment."""

    name: str = tagged("name", "")
    value: str = tagged("value", "")


@dataclass(frozen=True, slots=True)
class EventHandler:
    """A command for an event, pre-start or post-stop; exec is None where the manifest has none."""

    name: str = tagged("name", "")
    exec: tuple[str, ...] | None = tagged("exec", None)


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A place in the image where a volume is wanted."""

    name: str = tagged("name", "")
    path: str = tagged("path", "")
    read_only: bool = tagged("readOnly", default=False, omit=True)


@dataclass(frozen=True, slots=True)
class Port:
    """A range of `count` ports the app listens on."""

    name: str = tagged("name", "")
    protocol: str = tagged("protocol", "")
    port: int = tagged("port", 0)
    count: int = tagged("count", 1)
    socket_activated: bool = tagged("socketActivated", default=False)


@dataclass(frozen=True, slots=True)
class Isolator:
    """A limit on the app; `value` is compact JSON text as the manifest has it, `data` what it says."""

    name: str = tagged("name", "")
    value: str = tagged("value", "null", form="raw")

    @property
    def data(self) -> Any:
        """The value as Python's json reads it."""
        import json  # few callers look inside

        return json.loads(self.value)


@dataclass(frozen=True, slots=True)
class App:
    """How the image is run; exec is None where the manifest has none.

    `user_annotations` and `user_labels` are pairs sorted by key.
    """

    exec: tuple[str, ...] | None = tagged("exec", None)
    event_handlers: tuple[EventHandler, ...] = tagged("eventHandlers", (), omit=True)
    user: str = tagged("user", "")
    group: str = tagged("group", "")
    supplementary_gids: tuple[int, ...] = tagged("supplementaryGIDs", (), omit=True)
    working_directory: str = tagged("workingDirectory", "", omit=True)
    environment: tuple[EnvironmentVariable, ...] = tagged("environment", (), omit=True)
    mount_points: tuple[MountPoint, ...] = tagged("mountPoints", (), omit=True)
    ports: tuple[Port, ...] = tagged("ports", (), omit=True)
    isolators: tuple[Isolator, ...] = tagged("isolators", (), omit=True)
    user_annotations: tuple[tuple[str, str], ...] = tagged("userAnnotations", (), omit=True, form="table")
    user_labels: tuple[tuple[str, str], ...] = tagged("userLabels", (), omit=True, form="table")


@dataclass(frozen=True, slots=True)
class Dependency:
    """An image whose files are laid under this one's; image_id is None where any will do."""

    image_name: str = tagged("imageName", "")
    image_id: str | None = tagged("imageID", None, omit=True)
    labels: tuple[Label, ...] = tagged("labels", (), omit=True)
    size: int = tagged("size", 0, omit=True)


@dataclass(frozen=True, slots=True)
class ImageManifest:
    """An image manifest that follows the schema; `ac_version` is written the normal way.

    `lines` has the line of every dotted key of the file and takes no part in comparing.
    """

    ac_kind: str = tagged("acKind", "ImageManifest")
    ac_version: str = tagged("acVersion", "")
    name: str = tagged("name", "")
    labels: tuple[Label, ...] = tagged("labels", (), omit=True)
    app: App | None = tagged("app", None, omit=True)  # noqa: RUF009  # the default is None
    annotations: tuple[Annotation, ...] = tagged("annotations", (), omit=True)
    dependencies: tuple[Dependency, ...] = tagged("dependencies", (), omit=True)
    path_whitelist: tuple[str, ...] = tagged("pathWhitelist", (), omit=True)
    lines: Mapping[str, int] = dataclasses.field(default_factory=dict, compare=False, repr=False)

    @property
    def version(self) -> str | None:
        """The value of the label version."""
        return self.label("version")

    def label(self, name: str) -> str | None:
        """The value of a label, or None when the image has no such label."""
        return next((label.value for label in self.labels if label.name == name), None)

    def annotation(self, name: str) -> str | None:
        """The value of an annotation, or None when the image has no such annotation."""
        return next((annotation.value for annotation in self.annotations if annotation.name == name), None)

    def line(self, key: str) -> int:
        """The line of a dotted key such as ``app.ports[0].port``, or of the nearest key around it."""
        while key and key not in self.lines:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.lines.get(key, 1)
