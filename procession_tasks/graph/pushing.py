"""The tool that pushes images, and what it leaves for those who deploy them."""

from __future__ import annotations

import functools
import json
import posixpath
import sys
from collections.abc import Iterator
from pathlib import Path

from procession_tasks import files
from procession_tasks.definition.load import Image
from procession_tasks.errors import BuildError
from procession_tasks.graph.asked import Pushing
from procession_tasks.graph.definitions import definitions
from procession_tasks.graph.session import Session
from procession_tasks.image.configuration import tag
from procession_tasks.image.layout import Layout
from procession_tasks.publish.push import Amount, Pushed
from procession_tasks.publish.push import push as push_layout
from procession_tasks.publish.reference import Reference
from procession_tasks.publish.registry import Registry

_FOLDER = "build/pushed"
_MEGA = 1_000_000


def push(name: str, asked: Pushing, session: Session) -> None:
    """Push an image for all its platforms, and write down what it is called by its digest.

    Raises BuildError.
    """
    image = definitions(session).image(name)
    target = repository(image, session, asked.registry)
    tags = (tag(image.manifest), *asked.tags)
    done = push_layout(
        _layout(image, session),
        _registry(target.host, session, insecure=asked.insecure),
        target.path,
        tags,
        neighbours=dict(_neighbours(image, target, session, asked.registry)),
        force=asked.force,
    )
    record = {"name": image.manifest.name, "repository": target.repository, "digest": done.digest, "tags": done.tags}
    files.write(session.root / _FOLDER / f"{name}.json", json.dumps(record, indent=2).encode() + b"\n")
    sys.stdout.write(f"{done.reference}\n  {', '.join(done.tags)}: {_told(done)}\n")


def repository(image: Image, session: Session, registry: str | None = None) -> Reference:
    """Say where an image is pushed: below the registry that is asked for or set, else where its name says.

    Raises BuildError for an image whose name is none of a registry, when no registry is set.
    """
    base = registry or definitions(session).project.registry
    if base:
        return Reference.parse(f"{base}/{posixpath.basename(image.manifest.name)}")
    try:
        return Reference.parse(image.manifest.name)
    except BuildError as error:
        hint = "set registry under [tool.procession], or give --registry"
        raise BuildError(f"{image.folder}/manifest: name: {error.message}", hint=hint) from None


def pushed(name: str, session: Session) -> tuple[str, str] | None:
    """Return the repository and the digest that an image was last pushed as from here, if it was."""
    try:
        record = json.loads((session.root / _FOLDER / f"{name}.json").read_bytes())
        return record["repository"], record["digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _layout(image: Image, session: Session) -> Layout:
    return Layout(session.root / "build/oci" / image.name)


def _neighbours(
    image: Image, target: Reference, session: Session, registry: str | None
) -> Iterator[tuple[str, Layout]]:
    """Find the layouts of this project's other images in the same registry; some may never have been pushed."""
    for name in definitions(session).image_names():
        if name != image.name and Path(session.root, "build/oci", name, "index.json").exists():
            other = definitions(session).image(name)
            place = repository(other, session, registry)
            if place.host == target.host:
                yield place.path, _layout(other, session)


@functools.lru_cache
def _registry(host: str, session: Session, *, insecure: bool) -> Registry:
    return Registry(host, session.environment, insecure=insecure)


def _told(done: Pushed) -> str:
    if not done.manifests:
        return "was there"
    parts = (("uploaded", done.uploaded), ("mounted", done.mounted), ("there", done.skipped))
    return ", ".join(f"{_amount(amount)} {word}" for word, amount in parts if amount.blobs)


def _amount(amount: Amount) -> str:
    return f"{amount.blobs} blobs of {amount.size / _MEGA:.1f} MB"
