"""Takes the inventory of an App Container Image, of this build or of others, in one pass."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from procession_tasks.definition.manifest import ImageManifest, parse_manifest
from procession_tasks.errors import BuildError, DefinitionError
from procession_tasks.image.configuration import configuration, manifest_annotations
from procession_tasks.image.inventory import Inventory, Item, flat, is_read, packages, settings
from procession_tasks.image.streaming import read_tar, unpacking
from procession_tasks.platform import Platform, known
from procession_tasks.rootfs.tree import Entry
from procession_tasks.rootfs.user import UnknownAccountError, numbers

_MANIFEST, _ROOT = "manifest", "rootfs/"


def read_aci(path: Path, name: str) -> Inventory:
    """Take the inventory of a file; raises BuildError for one that is no image, or is damaged."""
    items: dict[str, Item] = {}
    texts: dict[str, bytes] = {}
    made = 0
    with path.open("rb", buffering=0) as stream, unpacking(stream, name) as plain:
        for item, text in read_tar(plain, lambda member: member == _MANIFEST or is_read(_inside(member))):
            if item.path == _MANIFEST:
                made, texts[_MANIFEST] = item.mtime, text
            elif inside := _inside(item.path):
                link = _inside(item.link) if item.type == "hardlink" else item.link
                items[inside] = dataclasses.replace(item, path=inside, link=link)
                texts |= {inside: text} if is_read(inside) else {}
    if _MANIFEST not in texts:
        rule = "must be an image: an .aci, an OCI image layout or an archive of one"
        raise BuildError(f"{name}: {rule}, got an archive without a manifest")
    manifest = _parsed(texts[_MANIFEST], name)
    return Inventory(
        name,
        items,
        _settings(manifest, items, texts, made),
        packages({path: text for path, text in texts.items() if path in items}),
        path.stat().st_size,
        manifest=flat(json.loads(texts[_MANIFEST])),
    )


def _inside(member: str) -> str:
    return member.removeprefix(_ROOT) if member.startswith(_ROOT) else ""


def _parsed(text: bytes, name: str) -> ImageManifest:
    try:
        return parse_manifest(text, f"{name}: manifest")
    except DefinitionError as error:
        raise BuildError(error.message) from None


def _settings(
    manifest: ImageManifest, items: Mapping[str, Item], texts: Mapping[str, bytes], made: int
) -> dict[str, str]:
    """Say in OCI's words what an appc manifest says."""
    labels = {name: manifest.label(name) for name in ("os", "arch")}
    platform = next((one for one in map(Platform.parse, known()) if dict(one.appc_labels) == labels), None)
    found = configuration(manifest, platform or Platform("linux", "amd64"), _user(manifest, items, texts), made)
    of_platform = {} if platform is None else platform.oci
    config = {"created": found["created"], "config": found["config"], **of_platform}
    return settings(config, manifest_annotations(manifest))


def _user(manifest: ImageManifest, items: Mapping[str, Item], texts: Mapping[str, bytes]) -> str:
    """Say the user as OCI images have it, by number; one that the image does not know by name."""
    if manifest.app is None:
        return ""
    entries = [Entry(item.path, "file", item.mode, item.uid, item.gid) for item in items.values()]
    passwd, group = (texts.get(path, b"").decode("utf-8", "surrogateescape") for path in ("etc/passwd", "etc/group"))
    try:
        uid, gid = numbers(manifest.app.user, manifest.app.group, entries, passwd, group)
    except UnknownAccountError:
        return f"{manifest.app.user}:{manifest.app.group}"
    return f"{uid}:{gid}"
