"""Objects of Kubernetes, as kustomize renders and a cluster tells them.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from procession_tasks.errors import BuildError

WORKLOADS = ("DaemonSet", "Deployment", "StatefulSet")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEPARATOR = re.compile(r"^---\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What tells an object from all others of a cluster; a namespace is empty for what is in none."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Object:
    """An object that was rendered, and the text that describes it."""

    text: str
    value: Mapping[str, Any]

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return key(self.value)

    @property
    def is_workload(self) -> bool:
        """Whether it keeps pods running."""
        return self.key.kind in WORKLOADS


def objects(rendered: str) -> tuple[Object, ...]:
    """Part a rendered text into its objects, in its order; raises BuildError for what is none."""
    found = []
    for text in _SEPARATOR.split(rendered):
        value = yaml.load(text, _LOADER)  # noqa: S506  # a safe loader, written in C where there is one
        if value is None:
            continue
        if not isinstance(value, dict) or not {"kind", "metadata"} <= value.keys():
            raise BuildError(f"what kustomize renders must be objects of Kubernetes, got {str(value)[:60]}")
        found.append(Object(text, value))
    return tuple(found)


def joined(parts: Iterable[Object]) -> str:
    """Put objects together to one text again."""
    return "---\n".join(part.text for part in parts)


def key(value: Mapping[str, Any]) -> Key:
    """Say what tells an object from all others."""
    metadata = value["metadata"]
    return Key(value["kind"], metadata.get("namespace", ""), metadata["name"])


def images(value: Any) -> Iterator[tuple[str, str]]:
    """Find the containers of whatever holds pods, each with its image."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in ("containers", "ephemeralContainers", "initContainers") and isinstance(inner, list):
                yield from ((str(each.get("name", "")), str(each.get("image", ""))) for each in inner)
            else:
                yield from images(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from images(inner)
