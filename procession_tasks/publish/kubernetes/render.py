"""Renders a base with every image pinned by its digest.

kustomize does it, through kubectl: an overlay that names digests is written under build/ and
can be read, used and built upon by others.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from procession_tasks import files
from procession_tasks.errors import BuildError
from procession_tasks.publish.kubernetes.base import KUSTOMIZATION
from procession_tasks.publish.kubernetes.images import PINNED
from procession_tasks.publish.kubernetes.kubectl import Kubectl
from procession_tasks.publish.kubernetes.objects import Object, images, objects

# What a file of a folder begins with that was rendered, and may be removed when it is rendered no more.
_OURS = "# rendered by doit kubernetes\n"


@dataclass(frozen=True, slots=True)
class Pin:
    """What takes the place of an image's name: a repository and the digest in it."""

    repository: str
    digest: str


def render(kubectl: Kubectl, base: Path, overlay: Path, pins: Mapping[str, Pin]) -> str:
    """Write an overlay of a base that pins its images, by name, and return what kustomize makes of it.

    Raises BuildError when kustomize refuses it, and for every image that is left unpinned.
    """
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(base, overlay)],
        "images": [
            {"name": name, "newName": pin.repository, "digest": pin.digest} for name, pin in sorted(pins.items())
        ],
    }
    files.write_if_changed(overlay / KUSTOMIZATION, yaml.safe_dump(kustomization, sort_keys=False).encode())
    rendered = kubectl.kustomize(overlay)
    if loose := sorted(_loose(objects(rendered))):
        raise BuildError("\n".join(loose), hint="images: in the kustomization must name it with a digest")
    return rendered


def write_folder(folder: Path, rendered: str) -> list[str]:
    """Write each object into a file of its own (``deployment-procession-api.yaml``), and return the names, sorted.

    Files of an earlier rendering that are rendered no more are removed; others are left alone.  Raises
    BuildError before anything is written when two objects would be one file.
    """
    parts: dict[str, Object] = {}
    for part in objects(rendered):
        name = f"{part.key.kind}-{part.key.name}.yaml".lower().replace(":", "-")
        if name in parts:
            rule = "must be one object, as objects of a kind have different names"
            raise BuildError(f"{folder / name}: {rule}, got two (namespaces {_spaces(parts[name], part)})")
        parts[name] = part
    for name, part in sorted(parts.items()):
        files.write_if_changed(folder / name, f"{_OURS}{part.text}".encode())
    for path in folder.glob("*.yaml"):
        if path.name not in parts and path.read_bytes().startswith(_OURS.encode()):
            path.unlink()
    return sorted(parts)


def _spaces(*parts: Object) -> str:
    return ", ".join(part.key.namespace or "none" for part in parts)


def _loose(rendered: Iterable[Object]) -> Iterable[str]:
    for part in rendered:
        for container, image in images(part.value):
            if not PINNED.fullmatch(image):
                yield f"{part.key}: {container}: image: must be pinned as name@sha256:…, got {image!r}"
