"""An image as the build leaves it for one platform."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.definition.manifest import ImageManifest
from procession_tasks.image.layout import Layout


@dataclass(frozen=True, slots=True)
class Built:
    """What engines are given of an image, and what they know it by.

    `config` and `digest` are the digests of its configuration and of its manifest: which of them is the
    image's ID depends on the engine.  `user` is ``uid:gid``, empty for root.
    """

    name: str
    manifest: ImageManifest
    layout: Path
    archive: Path
    aci: Path
    config: str
    digest: str
    full_name: str
    user: str


def read_built(name: str, manifest: ImageManifest, layout: Path, archive: Path, aci: Path) -> Built:
    """Read from a layout what its image is known by; `archive` and `aci` need not be there.

    Raises BuildError for a layout that is not one of a single platform.
    """
    found = Layout(layout)
    config = found.children(found.top)[0]
    user = json.loads(found.read(config)).get("config", {}).get("User", "")
    return Built(name, manifest, layout, archive, aci, config.digest, found.top.digest, found.full_name, user)
