"""Reads an appc ImageManifest with the place of every mistake, and writes it as it goes into an image.  Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from procession_tasks.definition import appc, isolators, lists
from procession_tasks.definition.decode import (
    Reader,
    Reading,
    boolean,
    checked,
    list_of,
    or_null,
    record_of,
    signed,
    table,
    text,
    unsigned,
)
from procession_tasks.definition.findings import BrokenError, Fault, Report
from procession_tasks.definition.gojson import JsonError, Node, decode, parse
from procession_tasks.definition.gostruct import compact, marshal
from procession_tasks.definition.parts import (
    Annotation,
    App,
    Dependency,
    EnvironmentVariable,
    EventHandler,
    ImageManifest,
    Isolator,
    Label,
    MountPoint,
    Port,
)
from procession_tasks.errors import DefinitionError, Problem

__all__ = [
    "Annotation",
    "App",
    "Dependency",
    "EnvironmentVariable",
    "EventHandler",
    "ImageManifest",
    "Isolator",
    "Label",
    "MountPoint",
    "Port",
    "canonical",
    "parse_manifest",
]


def parse_manifest(data: bytes, file: str, *, strict: bool = False) -> ImageManifest:
    """Read a manifest; `file` names it in messages.

    Keys the schema does not know are ignored as the specification asks, but for those that look
    like a misspelt one; `strict` refuses all of them, and a key given twice.

    Raises DefinitionError with every problem of the file.

    Source: appc spec 0.8.11, "Image Manifest Schema".
    """
    source = decode(data)
    try:
        root = parse(source)
    except JsonError as error:
        raise DefinitionError([Problem(file, error.line, "", error.rule, error.got, error.hint)]) from None
    report = Report(file, source, strict)
    try:
        manifest: ImageManifest | None = _MANIFEST(root, "", None, report)
    except BrokenError:
        manifest = None
    if manifest is None or report.problems:
        raise DefinitionError(report.problems)
    version = appc.normal_version(manifest.ac_version) or manifest.ac_version
    return dataclasses.replace(manifest, ac_version=version, lines=report.lines)


def canonical(manifest: ImageManifest, labels: Mapping[str, str] | None = None) -> bytes:
    """Write the manifest as the reference tool writes it into an image.

    Each of `labels` replaces the value of the label of its name, or is added after the others.
    """
    wanted = dict(labels or {})
    kept = [Label(label.name, wanted.pop(label.name, label.value)) for label in manifest.labels]
    added = [Label(name, value) for name, value in wanted.items()]
    return marshal(dataclasses.replace(manifest, labels=(*kept, *added))).encode("utf-8", "surrogateescape")


def _required(*names: str) -> Callable[[Reading], None]:
    def check(reading: Reading) -> None:
        for name in names:
            reading.require(name)

    return check


def _check_variable(reading: Reading) -> None:
    reading.require("name")
    _apply(reading, "name", appc.variable)


def _check_event(reading: Reading) -> None:
    reading.require("name")
    _apply(reading, "name", appc.event)


def _check_port(reading: Reading) -> None:
    reading.require("name")
    port, count = reading.values.get("port", 0), reading.values.get("count", 0)
    fault = appc.port_number(port) if "port" in reading.nodes else Fault("must be given")
    if fault:
        reading.fail("port", fault)
    elif (fault := appc.port_range(port, count)) and "port" not in reading.broken:
        reading.fail("count", fault)
    reading.values["count"] = count or 1


def _check_isolator(reading: Reading) -> None:
    reading.require("name")
    name = reading.values.get("name")
    fault = isolators.isolator(name) if name else None
    if fault:
        reading.fail("name", fault)
    elif "value" not in reading.nodes or reading.nodes["value"].kind == "null":
        reading.fail("value", Fault("must be given"))
    elif name:
        reading.check("value", isolators.value_reader(name))


def _check_app(reading: Reading) -> None:
    reading.require("user")
    reading.require("group")
    if reading.values.get("workingDirectory"):
        _apply(reading, "workingDirectory", appc.absolute_path)


def _apply(reading: Reading, name: str, rule: Callable[[str], Fault | None]) -> None:
    """Check the final value of a field that is there."""
    fault = rule(reading.values.get(name, ""))
    if fault:
        reading.fail(name, fault)


def _raw(node: Node, _key: str, _old: Any, report: Report) -> str:
    return compact(report.text[node.start : node.end])


_IDENTIFIER = checked(appc.identifier)
_NAME = checked(appc.name)
_EXEC = list_of(text, empty=None)
_NAMED = _required("name")

_LABELS = list_of(record_of(Label, {"name": checked(appc.label_name), "value": text}, _NAMED), lists.check_labels)
_APP: dict[str, Reader] = {
    "exec": _EXEC,
    "eventHandlers": list_of(
        record_of(EventHandler, {"name": text, "exec": _EXEC}, _check_event),
        lists.check_unique,
    ),
    "user": text,
    "group": text,
    "supplementaryGIDs": list_of(signed, merges=True),
    "workingDirectory": text,
    "environment": list_of(
        record_of(EnvironmentVariable, {"name": text, "value": text}, _check_variable),
        lists.check_unique,
    ),
    "mountPoints": list_of(
        record_of(MountPoint, {"name": _NAME, "path": text, "readOnly": boolean}, _NAMED, merges=True),
        merges=True,
    ),
    "ports": list_of(
        record_of(
            Port,
            {"name": _NAME, "protocol": text, "port": unsigned, "count": unsigned, "socketActivated": boolean},
            _check_port,
        ),
    ),
    "isolators": list_of(
        record_of(Isolator, {"name": _IDENTIFIER, "value": _raw}, _check_isolator),
        lists.check_isolators,
    ),
    "userAnnotations": table,
    "userLabels": table,
}
_DEPENDENCY: dict[str, Reader] = {
    "imageName": _IDENTIFIER,
    "imageID": or_null(checked(appc.image_id)),
    "labels": _LABELS,
    "size": unsigned,
}
_MANIFEST = record_of(
    ImageManifest,
    {
        "acKind": checked(appc.kind),
        "acVersion": checked(appc.version),
        "name": _IDENTIFIER,
        "labels": _LABELS,
        "app": or_null(record_of(App, _APP, _check_app, merges=True)),
        "annotations": list_of(
            record_of(Annotation, {"name": _IDENTIFIER, "value": text}, _NAMED),
            lists.check_annotations,
        ),
        "dependencies": list_of(record_of(Dependency, _DEPENDENCY, _required("imageName"))),
        "pathWhitelist": list_of(text, merges=True),
    },
    _required("acKind", "acVersion", "name"),
)
