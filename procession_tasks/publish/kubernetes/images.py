"""What the manifests of Kubernetes are held against: the images that their containers run."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.definition.load import Image
from procession_tasks.definition.manifest import ImageManifest
from procession_tasks.publish.kubernetes.base import Base, Place, Resource
from procession_tasks.rootfs.accounts import account_files, with_standard
from procession_tasks.rootfs.user import UnknownAccountError, numbers

PINNED = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Runs:
    """What of an image matters to those who run it; `uid` and `gid` are None where only the built image tells."""

    manifest: ImageManifest
    uid: int | None
    gid: int | None

    @property
    def short(self) -> str:
        """The last part of the image's name."""
        return posixpath.basename(self.manifest.name)

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        """Protocol and number of each port, by name."""
        if self.manifest.app is None:
            return {}
        return {port.name: (port.protocol.upper(), port.port) for port in self.manifest.app.ports}

    @property
    def mount_points(self) -> dict[str, bool]:
        """Whether each place for a volume is written to, by its path."""
        points = self.manifest.app.mount_points if self.manifest.app else ()
        return {posixpath.normpath(point.path): not point.read_only for point in points}


def runs(image: Image, root: Path) -> Runs:
    """Say what matters of an image to those who run it; its account files may be below the repository `root`."""
    app = image.manifest.app
    if app is None:
        return Runs(image.manifest, None, None)
    accounts = image.file.accounts if image.file.debian is None else with_standard(image.file.accounts)
    texts = {path: content.decode() for path, content in account_files(accounts).items()}
    for path in ("etc/passwd", "etc/group"):
        given = root / image.folder / "rootfs" / path
        if given.exists():
            texts[path] = given.read_text(encoding="utf-8", errors="surrogateescape")
    try:
        return Runs(
            image.manifest, *numbers(app.user, app.group, (), texts.get("etc/passwd", ""), texts.get("etc/group", ""))
        )
    except UnknownAccountError:  # a path of the image, or an account that packages bring
        return Runs(image.manifest, None, None)


def containers(workload: Resource) -> Iterator[Place]:
    """Go through the containers of a workload, those that only prepare it first."""
    if workload.template is not None:
        for name in ("initContainers", "containers"):
            yield from workload.template.at("spec", name).each()


def used(base: Base) -> frozenset[str]:
    """Name the images that the workloads of a base run."""
    return frozenset(container.at("image").text for each in base.workloads for container in containers(each))
