"""What is run, derived from an image's manifest and what deploy/system.yaml says of it.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from procession_tasks.definition.manifest import App
from procession_tasks.definition.system import Health, System, host_ports
from procession_tasks.run.built import Built

# Source: appc spec 0.8.11, schema/types/resource/suffix.go.
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_SCALES = {suffix: Decimal(1000) ** power for power, suffix in enumerate(_DECIMAL, -3)} | {
    suffix: Decimal(1024) ** power for power, suffix in enumerate(_BINARY, 1)
}
_RETAINED = "os/linux/capabilities-retain-set"


@dataclass(frozen=True, slots=True)
class Binding:
    """A port of the container, and that of this machine which leads to it."""

    name: str
    protocol: str
    port: int
    host_port: int


@dataclass(frozen=True, slots=True)
class Volume:
    """A named volume and where it is mounted."""

    point: str
    name: str
    path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Container:
    """One container, as any engine can be told.

    `environment` is what comes over that of the image; `capabilities` are all that it has, without
    their ``CAP_``; `memory` is in bytes and `cpus` in processors, None for no limit.  `level` is above
    that of all it needs.
    """

    system: str
    image: str
    config: str
    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    bindings: tuple[Binding, ...]
    volumes: tuple[Volume, ...]
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    memory: int | None
    cpus: Decimal | None
    groups: tuple[int, ...]
    health: Health | None
    needs: tuple[str, ...]
    level: int

    @property
    def name(self) -> str:
        """What engines and the other containers know it by."""
        return f"{self.system}-{self.image}"

    def binding(self, port: str) -> Binding:
        """Find a port that is published by its name in the manifest."""
        return next(binding for binding in self.bindings if binding.name == port)


def containers(system: System, images: Mapping[str, Built], *names: str) -> tuple[Container, ...]:
    """Derive the containers of the named images, or all, and of what they need, in the order they are started."""
    found: dict[str, Container] = {}
    for name in system.in_order(*names):
        level = 1 + max((found[needed].level for needed in system.part(name).needs), default=-1)
        found[name] = container(system, images[name], level)
    return tuple(found.values())


def container(system: System, image: Built, level: int = 0) -> Container:
    """Derive the container of an image, which the system need not have."""
    part, app = system.part(image.name), image.manifest.app or App()
    limits = dict(_limits(app))
    return Container(
        system=system.name,
        image=image.name,
        config=image.config,
        arguments=part.arguments,
        environment=part.environment,
        bindings=tuple(
            Binding(port.name, port.protocol, port.port + offset, number + offset)
            for port, number in host_ports(part, image.manifest)
            for offset in range(max(port.count, 1))
        ),
        volumes=tuple(
            Volume(point.name, f"{system.name}-{image.name}-{point.name}", point.path, point.read_only)
            for point in app.mount_points
        ),
        capabilities=tuple(sorted(_capabilities(app))),
        no_new_privileges=any(item.data for item in app.isolators if item.name == "os/linux/no-new-privileges"),
        memory=int(limits["resource/memory"]) if "resource/memory" in limits else None,
        cpus=limits.get("resource/cpu"),
        groups=app.supplementary_gids,
        health=part.health,
        needs=part.needs,
        level=level,
    )


def quantity(written: Any) -> Decimal:
    """Read an amount of a resource that follows the schema, such as ``128Mi``.

    Source: appc spec 0.8.11, schema/types/resource/quantity.go.
    """
    number, suffix = re.fullmatch(r"([+-]?[0-9.]*(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)", str(written).strip()).groups()  # type: ignore[union-attr]  # the schema was checked
    return Decimal(number) * _SCALES[suffix]


def _limits(app: App) -> Iterator[tuple[str, Decimal]]:
    for isolator in app.isolators:
        if isolator.name in ("resource/memory", "resource/cpu") and (limit := isolator.data.get("limit")) is not None:
            yield isolator.name, quantity(limit).normalize()


def _capabilities(app: App) -> set[str]:
    """What the manifest retains; what it does not name is dropped, as for a manifest that names none."""
    sets = [isolator.data["set"] for isolator in app.isolators if isolator.name == _RETAINED]
    return {name.upper().removeprefix("CAP_") for names in sets for name in names}
