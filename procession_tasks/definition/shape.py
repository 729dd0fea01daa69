"""Shapes of values: each reads a located node and describes itself as JSON Schema.  Pure.

One model serves the loader, its messages and the editors' schema, so they cannot disagree.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from procession_tasks.definition.node import Node
from procession_tasks.errors import Problem

Json = dict[str, Any]
# What a cross-field check yields: the field, the rule, what was got, a hint.
Finding = tuple[str, str, str | None, str | None]


class InvalidError(Exception):
    """The value is wrong, and what is wrong with it was already reported."""


@dataclass(slots=True)
class Report:
    """Collects every problem of one file."""

    file: str
    problems: list[Problem] = dataclasses.field(default_factory=list)

    def add(self, node: Node, key: str, rule: str, got: str | None = None, hint: str | None = None) -> InvalidError:
        self.problems.append(Problem(self.file, node.line, key, rule, got, hint))
        return InvalidError()


class Shape(Protocol):
    """How one kind of value is read and described."""

    def read(self, node: Node, key: str, report: Report) -> Any:
        """Turn the node into a value, or report every problem in it and raise InvalidError."""

    def schema(self) -> Json:
        """Describe the accepted values as JSON Schema, draft 2020-12."""


@dataclass(frozen=True, slots=True)
class Text:
    """A string that matches a pattern as a whole; `convert` may refuse it with ValueError."""

    rule: str
    pattern: str = r"[\s\S]+"
    hint: str | None = None
    convert: Callable[[str], Any] = str

    def read(self, node: Node, key: str, report: Report) -> Any:
        if node.kind != "text" or not re.fullmatch(self.pattern, node.value):
            raise report.add(node, key, self.rule, str(node), self.hint)
        try:
            return self.convert(node.value)
        except ValueError:
            raise report.add(node, key, self.rule, str(node), self.hint) from None

    def schema(self) -> Json:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    options: tuple[str, ...]
    convert: Callable[[str], Any] = str

    def read(self, node: Node, key: str, report: Report) -> Any:
        if node.kind == "text" and node.value in self.options:
            return self.convert(node.value)
        rule = "must be one of " + ", ".join(self.options)
        raise report.add(node, key, rule, str(node), did_you_mean(str(node.value), self.options))

    def schema(self) -> Json:
        return {"enum": list(self.options)}


@dataclass(frozen=True, slots=True)
class Boolean:
    """true or false."""

    def read(self, node: Node, key: str, report: Report) -> bool:
        if node.kind != "boolean":
            raise report.add(node, key, "must be true or false", str(node))
        return bool(node.value)

    def schema(self) -> Json:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number in a range, both ends included."""

    low: int
    high: int

    def read(self, node: Node, key: str, report: Report) -> int:
        if node.kind == "integer" and re.fullmatch(r"-?(0|[1-9][0-9]*)", node.value):
            number = int(node.value)
            if self.low <= number <= self.high:
                return number
        raise report.add(node, key, f"must be a whole number from {self.low} to {self.high}", str(node))

    def schema(self) -> Json:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Listing:
    """A list, as a tuple; `or_one` also takes a single value for a list of one."""

    of: Shape
    at_least: int = 0
    or_one: bool = False

    def read(self, node: Node, key: str, report: Report) -> tuple[Any, ...]:
        if node.kind != "list":
            if self.or_one:
                return (self.of.read(node, key, report),)
            raise report.add(node, key, "must be a list", str(node))
        if len(node.value) < self.at_least:
            raise report.add(node, key, f"must have at least {self.at_least} item", "an empty list")
        return tuple(_read_all(((self.of, item, f"{key}[{i}]") for i, item in enumerate(node.value)), report))

    def schema(self) -> Json:
        listing: Json = {"type": "array", "items": self.of.schema()}
        if self.at_least:
            listing["minItems"] = self.at_least
        return {"oneOf": [self.of.schema(), listing]} if self.or_one else listing


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with keys of one form, as a tuple of pairs sorted by key."""

    names: Text | Choice
    of: Shape

    def read(self, node: Node, key: str, report: Report) -> tuple[tuple[str, Any], ...]:
        if node.kind != "mapping":
            raise report.add(node, key, "must be a mapping", str(node))
        names = [(self.names, name, f"{key}.{name.value}") for name, _ in node.value]
        values = [(self.of, value, f"{key}.{name.value}") for name, value in node.value]
        read = _read_all([*names, *values], report)
        return tuple(sorted(zip(read[: len(names)], read[len(names) :], strict=True)))

    def schema(self) -> Json:
        return {"type": "object", "propertyNames": self.names.schema(), "additionalProperties": self.of.schema()}


@dataclass(frozen=True, slots=True)
class ForAll:
    """A value for all names of a table, or a table with a value for each: the value, or pairs."""

    of: Shape
    table: Table

    def read(self, node: Node, key: str, report: Report) -> Any:
        return (self.table if node.kind == "mapping" else self.of).read(node, key, report)

    def schema(self) -> Json:
        return {"oneOf": [self.of.schema(), self.table.schema()]}


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping with fixed keys, as an instance of a dataclass whose fields were made by `key`.

    `check` sees a record whose fields are all well-formed and yields what is wrong between them.
    Of the keys in `any_of` at least one must be given.
    """

    cls: type
    check: Callable[[Any], Iterable[Finding]] = lambda _record: ()
    any_of: tuple[str, ...] = ()

    def read(self, node: Node, key: str, report: Report) -> Any:
        if node.kind != "mapping":
            raise report.add(node, key, "must be a mapping", str(node))
        fields = _fields(self.cls)
        before = len(report.problems)
        lines = {str(name.value): name for name, _ in node.value}
        values = self._values(node, key, report)
        misspelt = {_nearest(word, fields) for word in lines.keys() - fields.keys()}
        for name in fields.keys() - lines.keys() - misspelt:
            if fields[name].default is dataclasses.MISSING:
                report.add(node, _join(key, name), "must be given", hint=f"add {name}: {fields[name].metadata['doc']}")
        if self.any_of and not lines.keys() & {*self.any_of} and not misspelt & {*self.any_of}:
            first = self.any_of[0]
            report.add(
                node,
                _join(key, first),
                "must be given, or " + " or ".join(self.any_of[1:]),
                hint=f"add {first}: {fields[first].metadata['doc']}",
            )
        if len(report.problems) > before:
            raise InvalidError
        record = self.cls(**values)
        for name, rule, got, hint in self.check(record):
            report.add(lines.get(name, node), _join(key, name), rule, got, hint)
        if len(report.problems) > before:
            raise InvalidError
        return record

    def _values(self, node: Node, key: str, report: Report) -> Json:
        fields = _fields(self.cls)
        values: Json = {}
        for name, value in node.value:
            word = str(name.value)
            if word not in fields:
                hint = did_you_mean(word, fields) or "known keys: " + ", ".join(fields)
                report.add(name, _join(key, word), "must be a known key", hint=hint)
                continue
            try:
                values[fields[word].name] = fields[word].metadata["shape"].read(value, _join(key, word), report)
            except InvalidError:
                continue
        return values

    def schema(self) -> Json:
        fields = _fields(self.cls)
        described: Json = {
            "type": "object",
            "additionalProperties": False,
            "required": sorted(name for name, field in fields.items() if field.default is dataclasses.MISSING),
            "properties": {
                name: {**field.metadata["shape"].schema(), "description": field.metadata["doc"]}
                for name, field in fields.items()
            },
        }
        if self.any_of:
            described["anyOf"] = [{"required": [name]} for name in self.any_of]
        return described


def key(shape: Shape, doc: str, *, default: Any = dataclasses.MISSING) -> Any:
    """Declare a key of a file as a dataclass field; without a default it must be given.

    A field with an underscore is a key with a hyphen.
    """
    return dataclasses.field(default=default, metadata={"shape": shape, "doc": doc})


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """Suggest the known word nearest to a misspelt one, or None when nothing is near."""
    near = _nearest(word, known)
    return f"did you mean {near}?" if near else None


def _nearest(word: str, known: Iterable[str]) -> str | None:
    import difflib  # only a failing path pays for it

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.66)), None)


def _fields(cls: type) -> dict[str, dataclasses.Field[Any]]:
    return {field.name.replace("_", "-"): field for field in dataclasses.fields(cls) if "shape" in field.metadata}


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _read_all(jobs: Iterable[tuple[Shape, Node, str]], report: Report) -> list[Any]:
    """Read every value before giving up, so that all their problems are reported."""
    values, failed = [], False
    for shape, node, key in jobs:
        try:
            values.append(shape.read(node, key, report))
        except InvalidError:
            failed = True
    if failed:
        raise InvalidError
    return values
