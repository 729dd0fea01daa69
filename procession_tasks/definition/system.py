"""What deploy/system.yaml may say: which images are started together, and how they find each other."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.definition.manifest import ImageManifest, Port
from procession_tasks.definition.node import Node
from procession_tasks.definition.shape import (
    Finding,
    Integer,
    InvalidError,
    Json,
    Listing,
    Record,
    Report,
    Table,
    Text,
    did_you_mean,
    key,
)
from procession_tasks.definition.yamlfile import parse_yaml
from procession_tasks.errors import BuildError, DefinitionError, Problem

SYSTEM_FILE = "deploy/system.yaml"
_LAST_PORT = 65535
_IMAGE = Text("must be the name of an image", r"[^\x00-\x1f/]+")
_PORT = Text("must be the name of a port in the image's manifest", r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_VARIABLE = Text("must be the name of an environment variable", r"[A-Za-z_][A-Za-z0-9_.-]*")
_VALUE = Text("must be a string (quote it)", r"[^\x00]*")


@dataclass(frozen=True, slots=True)
class Publish:
    """A port of the image and, where it is another, the port of this machine that leads to it."""

    port: str
    host_port: int | None = None


def _publish(text: str) -> Publish:
    name, colon, number = text.partition(":")
    if colon and not 1 <= int(number) <= _LAST_PORT:
        raise ValueError(text)
    return Publish(name, int(number) if colon else None)


_PUBLISH = Text(
    "must be a port's name, or name:port with another port of this machine",
    rf"{_PORT.pattern}(:[0-9]{{1,5}})?",
    "such as http, or http:18080",
    convert=_publish,
)


@dataclass(frozen=True, slots=True)
class Health:
    """How it is found out that a container serves: by an HTTP request with `path`, else over TCP."""

    port: str = key(_PORT, "the port that is asked, which must be published")
    path: str | None = key(
        Text("must be an absolute path of URLs", r"/[!-~]*"),
        "what is asked for over HTTP; 200 is healthy",
        default=None,
    )
    send: str | None = key(Text("must be text"), "what is sent over TCP", default=None)
    expect: str | None = key(Text("must be text"), "what the answer over TCP has in it", default=None)
    within: int = key(Integer(1, 3600), "seconds that it may take to become healthy", default=60)


def _check_health(health: Health) -> Iterable[Finding]:
    for name, value in (("send", health.send), ("expect", health.expect)):
        if health.path is not None and value is not None:
            yield name, "must not go with path", repr(value), "remove one of the two"


@dataclass(frozen=True, slots=True)
class Part:
    """How one image is started; `publish` is None for all ports of its manifest."""

    needs: tuple[str, ...] = key(Listing(_IMAGE), "images that are healthy before this one is started", default=())
    environment: tuple[tuple[str, str], ...] = key(
        Table(_VARIABLE, _VALUE), "environment beside the manifest's, or instead of it", default=()
    )
    arguments: tuple[str, ...] = key(Listing(_VALUE), "words after those of the manifest's exec", default=())
    publish: tuple[Publish, ...] | None = key(
        Listing(_PUBLISH), "ports that are reached on 127.0.0.1 (default: all)", default=None
    )
    health: Health | None = key(  # noqa: RUF009  # `key` makes a field
        Record(Health, _check_health), "when it is healthy (default: when it runs)", default=None
    )


_NO_PART = Part()


@dataclass(frozen=True, slots=True)
class System:
    """The images that are started together, each with how."""

    images: tuple[tuple[str, Part], ...] = key(Table(_IMAGE, Record(Part)), "the images, by name")
    name: str = key(
        Text("must be lower-case letters, digits and -, starting with a letter", r"[a-z][a-z0-9-]*"),
        "the system's name, with which the names of its containers, volumes and network begin",
        default="procession",
    )

    def part(self, name: str) -> Part:
        """Say how an image is started, one that the system has not too: as its manifest says."""
        return dict(self.images).get(name, _NO_PART)

    def in_order(self, *names: str) -> tuple[str, ...]:
        """List the named images, or all, and what they need: each after all that it needs.

        Raises BuildError for a name that is none of the system's.
        """
        needs = {name: part.needs for name, part in self.images}
        if unknown := sorted({*names} - needs.keys()):
            hint = did_you_mean(unknown[0], needs) or "images: " + ", ".join(needs)
            raise BuildError(f"{SYSTEM_FILE}: must have the image that is named, got {unknown[0]!r}", hint=hint)
        wanted, waiting = set(), list(names or needs)
        while waiting:
            if (name := waiting.pop()) not in wanted:
                wanted.add(name)
                waiting += needs[name]
        return tuple(name for name in graphlib.TopologicalSorter(needs).static_order() if name in wanted)


def _check_system(system: System) -> Iterable[Finding]:
    if not system.images:
        yield "images", "must have at least one image", None, None


SYSTEM = Record(System, _check_system)


def system_schema() -> Json:
    """Describe system.yaml for editors.

    Source: JSON Schema, draft 2020-12.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "system.yaml",
        "description": "which images are started together, and how they find each other",
        **SYSTEM.schema(),
    }


def load_system(root: Path, manifests: Mapping[str, ImageManifest]) -> System:
    """Read deploy/system.yaml and check it against the manifests of the repository's images, by name.

    Raises DefinitionError with every problem of the file.
    """
    try:
        text = (root / SYSTEM_FILE).read_bytes()
    except OSError as error:
        hint = "name the images to start, such as: images: {api: {}}"
        raise DefinitionError([Problem(SYSTEM_FILE, 1, "", "must be a readable file", error.strerror, hint)]) from None
    return parse_system(text, manifests)


def parse_system(text: bytes, manifests: Mapping[str, ImageManifest]) -> System:
    """Check a system.yaml against manifests.

    Raises DefinitionError with every problem of the file.
    """
    node, report = parse_yaml(text, SYSTEM_FILE), Report(SYSTEM_FILE)
    try:
        system: System = SYSTEM.read(node, "", report)
    except InvalidError:
        raise DefinitionError(report.problems) from None
    places = _children(_children(node)["images"])
    for name, part in system.images:
        _check_part(name, part, places[name], manifests, report)
        _check_needs(name, part, places, report)
    if not report.problems:
        _check_cycle(system, places, report)
        _check_host_ports(system, places, manifests, report)
    if report.problems:
        raise DefinitionError(report.problems)
    return system


def host_ports(part: Part, manifest: ImageManifest) -> tuple[tuple[Port, int], ...]:
    """Pair each port that is published with the first port of this machine that leads to it."""
    ports = {port.name: port for port in manifest.app.ports} if manifest.app else {}
    published = [Publish(name) for name in ports] if part.publish is None else part.publish
    return tuple((ports[item.port], item.host_port or ports[item.port].port) for item in published)


def _check_part(name: str, part: Part, node: Node, manifests: Mapping[str, ImageManifest], report: Report) -> None:
    if name not in manifests:
        hint = did_you_mean(name, manifests) or "images: " + ", ".join(sorted(manifests))
        report.add(node, f"images.{name}", "must be an image of the repository", hint=hint)
        return
    app = manifests[name].app
    if app is None or not app.exec:
        report.add(node, f"images.{name}", "must be an image with a program", hint="its manifest has no app.exec")
        return
    ports = {port.name: port for port in app.ports}
    place, dotted = _at(node, "publish"), f"images.{name}.publish"
    for index, item in enumerate(part.publish or ()):
        if item.port not in ports:
            _unknown_port(_items(place)[index], f"{dotted}[{index}]", item.port, ports, report)
        elif (item.host_port or 0) + max(ports[item.port].count, 1) - 1 > _LAST_PORT:
            report.add(place, f"{dotted}[{index}]", f"must end at port {_LAST_PORT}", str(item.host_port))
    if part.health:
        _check_health_port(name, part, _at(node, "health"), ports, report)


def _check_health_port(name: str, part: Part, node: Node, ports: Mapping[str, Port], report: Report) -> None:
    port, dotted = part.health.port if part.health else "", f"images.{name}.health.port"
    published = ports if part.publish is None else {item.port for item in part.publish}
    if port not in ports:
        _unknown_port(_at(node, "port"), dotted, port, ports, report)
    elif port not in published:
        rule = "must be a published port, for it is asked from this machine"
        report.add(_at(node, "port"), dotted, rule, repr(port), f"add {port} to publish")
    elif ports[port].protocol != "tcp":
        report.add(_at(node, "port"), dotted, "must be a port of TCP", f"one of {ports[port].protocol}")


def _unknown_port(node: Node, dotted: str, port: str, ports: Mapping[str, Port], report: Report) -> None:
    hint = did_you_mean(port, ports) or ("ports: " + ", ".join(sorted(ports)) if ports else "its manifest has no ports")
    report.add(node, dotted, "must be a port of the image's manifest", repr(port), hint)


def _check_needs(name: str, part: Part, places: Mapping[str, Node], report: Report) -> None:
    items = _items(_at(places[name], "needs"))
    for index, needed in enumerate(part.needs):
        if needed not in places:
            hint = did_you_mean(needed, places) or "images: " + ", ".join(sorted(places))
            rule = "must be an image of the system"
            report.add(items[index], f"images.{name}.needs[{index}]", rule, repr(needed), hint)


def _check_cycle(system: System, places: Mapping[str, Node], report: Report) -> None:
    try:
        graphlib.TopologicalSorter({name: part.needs for name, part in system.images}).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1][::-1]  # each needs the next; begun at its first name, whatever order they stand in
        first = circle.index(min(circle))
        circle = [*circle[first:-1], *circle[:first], circle[first]]
        report.add(
            _at(places[circle[0]], "needs"),
            f"images.{circle[0]}.needs",
            "must not lead back to the image itself",
            " -> ".join(circle),
        )


def _check_host_ports(
    system: System, places: Mapping[str, Node], manifests: Mapping[str, ImageManifest], report: Report
) -> None:
    first: dict[tuple[str, int], str] = {}
    for name, part in system.images:
        for port, number in _numbers(host_ports(part, manifests[name])):
            owner = first.setdefault((port.protocol, number), f"{name}'s {port.name}")
            if owner != f"{name}'s {port.name}":
                rule = "must publish each port of this machine once"
                hint = f"give another, such as publish: [{port.name}:{number % 50000 + 10000}]"
                dotted = f"images.{name}.publish"
                report.add(_at(places[name], "publish"), dotted, rule, f"{number}, which is {owner} too", hint)


def _numbers(published: Iterable[tuple[Port, int]]) -> Iterator[tuple[Port, int]]:
    for port, number in published:
        yield from ((port, number + offset) for offset in range(max(port.count, 1)))


def _children(node: Node) -> dict[str, Node]:
    """Return the values of a mapping by key."""
    return {str(name.value): value for name, value in node.value}


def _at(node: Node, name: str) -> Node:
    """Return the value of a mapping's key, or the mapping itself where it has none."""
    return _children(node).get(name, node)


def _items(node: Node) -> tuple[Node, ...]:
    return node.value if node.kind == "list" else (node,)
