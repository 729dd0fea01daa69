"""Reads a kustomize base: every resource, with the line of every value."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from procession_tasks.definition.findings import is_one_slip
from procession_tasks.definition.node import Node
from procession_tasks.definition.yamlfile import parse_yaml
from procession_tasks.errors import DefinitionError, Problem

KUSTOMIZATION = "kustomization.yaml"

# Where a pod is described in each kind that makes pods, and how its labels are reached from there.
_TEMPLATES = {
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "Job": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
}
_KINDS = (*_TEMPLATES, "ConfigMap", "Namespace", "NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget")
_KINDS += ("Pod", "Secret", "Service", "ServiceAccount")
_SEPARATOR = re.compile(rb"^---(?=\s|$)", re.MULTILINE)
_NUMBER = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Place:
    """A value of a file and where it stands; one that is not there has the line of what would hold it."""

    file: str
    key: str
    node: Node | None
    line: int

    def at(self, *path: str) -> Place:
        """Go down from mapping to mapping."""
        place = self
        for name in path:
            place = dict(place.members()).get(name) or Place(place.file, _join(place.key, name), None, place.line)
        return place

    def members(self) -> Iterator[tuple[str, Place]]:
        """Go through the values of a mapping; a value of another kind has none."""
        if self.node is not None and self.node.kind == "mapping":
            for name, value in self.node.value:
                key = _join(self.key, str(name.value))
                is_block = value.kind in ("mapping", "list")
                yield str(name.value), Place(self.file, key, value, name.line if is_block else value.line)

    def each(self) -> Iterator[Place]:
        """Go through the items of a list; a value of another kind has none."""
        if self.node is not None and self.node.kind == "list":
            for number, item in enumerate(self.node.value):
                yield Place(self.file, f"{self.key}[{number}]", item, item.line)

    @property
    def given(self) -> bool:
        """Whether there is a value."""
        return self.node is not None and self.node.kind != "null"

    @property
    def text(self) -> str:
        """A scalar as it is written, empty for anything else."""
        if self.node is None or self.node.kind in ("mapping", "list", "null"):
            return ""
        return str(self.node) if self.node.kind == "boolean" else str(self.node.value)

    @property
    def scalar(self) -> str | int | bool | None:
        """A scalar as a program reads it, None for anything else."""
        if self.node is not None and self.node.kind == "integer" and _NUMBER.fullmatch(self.node.value):
            return int(self.node.value)
        if self.node is not None and self.node.kind == "boolean":
            return bool(self.node.value)
        return self.text if self.given and self.node is not None and self.node.kind == "text" else None

    @property
    def labels(self) -> dict[str, str]:
        """A mapping of texts."""
        return {name: value.text for name, value in self.members()}

    def problem(self, rule: str, hint: str | None = None) -> Problem:
        """Say what is wrong with this value, or with its absence."""
        return Problem(self.file, self.line, self.key, rule, str(self.node) if self.node else None, hint)


@dataclass(frozen=True, slots=True)
class Resource:
    """An object of Kubernetes, as a file describes it."""

    kind: str
    name: str
    root: Place

    @property
    def template(self) -> Place | None:
        """What holds the metadata and the spec of the pods that it makes, if it makes any."""
        if self.kind == "Pod":
            return self.root
        path = _TEMPLATES.get(self.kind)
        return None if path is None else self.root.at(*path)


@dataclass(frozen=True, slots=True)
class Base:
    """What a kustomization puts together; `generated` are names of ConfigMaps and Secrets that it generates."""

    resources: tuple[Resource, ...]
    generated: frozenset[tuple[str, str]] = frozenset()

    def of(self, *kinds: str) -> tuple[Resource, ...]:
        """Choose resources by kind."""
        return tuple(resource for resource in self.resources if resource.kind in kinds)

    def names(self, kind: str) -> frozenset[str]:
        """Name the resources of a kind, and those that are generated."""
        made = {name for of, name in self.generated if of == kind}
        return frozenset(made | {resource.name for resource in self.of(kind)})

    @property
    def workloads(self) -> tuple[Resource, ...]:
        """What makes pods."""
        return tuple(resource for resource in self.resources if resource.template is not None)


def read_base(root: Path, folder: str) -> Base:
    """Read a kustomization of the repository at `root`, and those that it is made from.

    Patches are not applied: the resources are as their files have them.  Raises DefinitionError with every
    file that is not YAML, not there, or no resource, and every resource that is there twice.
    """
    reading = _Reading(root)
    reading.kustomization(folder, ())
    first: dict[tuple[str, str], Place] = {}
    for resource in reading.resources:
        before = first.setdefault((resource.kind, resource.name), resource.root)
        if before is not resource.root:
            rule = f"must be given once (the first is in {before.file}:{before.line})"
            reading.problems.append(resource.root.at("metadata", "name").problem(rule))
    if reading.problems:
        raise DefinitionError(reading.problems)
    return Base(tuple(reading.resources), frozenset(reading.generated))


def parse_resources(text: bytes, file: str) -> tuple[Resource, ...]:
    """Read the resources of a file; raises DefinitionError for what is not YAML or no resource."""
    problems: list[Problem] = []
    resources = []
    for document in _documents(text, file, problems):
        metadata = document.at("metadata", "name")
        resources.append(Resource(document.at("kind").text, metadata.text, document))
        problems += [
            place.problem("must be given")
            for place in (document.at("apiVersion"), document.at("kind"), metadata)
            if not place.text
        ]
        for kind in _KINDS:
            if is_one_slip(document.at("kind").text, kind):
                problems.append(document.at("kind").problem("must be a kind", f"did you mean {kind}?"))
    if problems:
        raise DefinitionError(problems)
    return tuple(resources)


def _documents(text: bytes, file: str, problems: list[Problem]) -> Iterator[Place]:
    """Read the documents of a stream, each with the lines before it as empty ones."""
    starts = [0, *(found.end() for found in _SEPARATOR.finditer(text)), len(text)]
    for start, end in itertools.pairwise(starts):
        document = _SEPARATOR.sub(b"", text[start:end])
        if all(not line.strip() or line.lstrip().startswith(b"#") for line in document.splitlines()):
            continue
        try:
            node = parse_yaml(b"\n" * text.count(b"\n", 0, start) + document, file)
        except DefinitionError as error:
            problems += error.problems
        else:
            yield Place(file, "", node, node.line)


@dataclass(slots=True)
class _Reading:
    """What was read of a kustomization so far, and what was wrong with it."""

    root: Path
    resources: list[Resource] = field(default_factory=list)
    generated: set[tuple[str, str]] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def kustomization(self, folder: str, above: tuple[str, ...]) -> None:
        """Read a folder; `above` are those that it is read for."""
        file = f"{folder}/{KUSTOMIZATION}"
        text = self._content(file, Place(file, "", None, 1), "must be a readable file")
        for found in tuple(_documents(text, file, self.problems)):
            for kind, generator in (("ConfigMap", "configMapGenerator"), ("Secret", "secretGenerator")):
                self.generated.update((kind, entry.at("name").text) for entry in found.at(generator).each())
            for entry in (*found.at("resources").each(), *found.at("components").each()):
                self._entry(os.path.normpath(f"{folder}/{entry.text}"), entry, (*above, folder))

    def _entry(self, path: str, entry: Place, above: tuple[str, ...]) -> None:
        if (self.root / path).is_dir() and path not in above:
            self.kustomization(path, above)
            return
        text = self._content(path, entry, "must be a file of resources, or a folder of the repository")
        try:
            self.resources += parse_resources(text, path)
        except DefinitionError as error:
            self.problems += error.problems

    def _content(self, file: str, place: Place, rule: str) -> bytes:
        try:
            return (self.root / file).read_bytes()
        except (OSError, ValueError):
            self.problems.append(place.problem(rule))
            return b""


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
