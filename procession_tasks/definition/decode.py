"""Reads located JSON into records the way Go fills structs, and reports what does not fit.  Pure.

Keys match whatever their case; of two members with one key the later fills over the earlier;
null leaves a value as it was.  Source: encoding/json of Go 1.19, Unmarshal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from procession_tasks.definition.findings import BrokenError, Fault, Report, fold, join
from procession_tasks.definition.gojson import Member, Node
from procession_tasks.definition.gostruct import tags

_INTEGER = re.compile(r"(-?)(0|[1-9][0-9]{0,19})")
_INT64 = (-(2**63), 2**63 - 1)
_UINT64 = (0, 2**64 - 1)


# Reads a node with the given dotted key over an earlier value; raises BrokenError once reported.
Reader = Callable[[Node, str, Any, Report], Any]


def text(node: Node, key: str, old: str | None, report: Report) -> str:
    """Read a string."""
    if node.kind == "string":
        return str(node.value)
    if node.kind == "null":
        return old or ""
    raise report.add(node, key, Fault("must be a string", _quotes(node)))


def boolean(node: Node, key: str, old: bool | None, report: Report) -> bool:  # noqa: FBT001  # a reader, not a switch
    """Read true or false."""
    if node.kind not in {"boolean", "null"}:
        raise report.add(node, key, Fault("must be true or false"))
    return bool(old if node.kind == "null" else node.value)


def signed(node: Node, key: str, old: int | None, report: Report) -> int:
    """Read a whole number of 64 bits; 1.0 and 1e2 are none."""
    return _whole(node, key, old, report, _INT64, "must be a whole number, without point or exponent")


def unsigned(node: Node, key: str, old: int | None, report: Report) -> int:
    """Read a whole number of 64 bits that is not negative; -0 is none either."""
    return _whole(node, key, old, report, _UINT64, "must be a whole number from 0, without sign, point or exponent")


def checked(rule: Callable[[str], Fault | None]) -> Reader:
    """Read a string that must follow a rule; null is not one."""

    def read(node: Node, key: str, _old: str | None, report: Report) -> str:
        if node.kind != "string":
            raise report.add(node, key, Fault("must be a string", _quotes(node)))
        fault = rule(node.value)
        if fault:
            raise report.add(node, key, fault)
        return str(node.value)

    return read


class Element(NamedTuple):
    """An item of a list that was read well, where it stands, and its dotted key."""

    node: Node
    key: str
    value: Any


def list_of(
    item: Reader,
    check: Callable[[Sequence[Element], Report], None] | None = None,
    *,
    merges: bool = False,
    empty: tuple[()] | None = (),
) -> Reader:
    """Read a list as a tuple; `check` sees the good items together, null is `empty`.

    Where Go decodes the items of a repeated key in place, the list `merges`.
    """

    def read(node: Node, key: str, old: tuple[Any, ...] | None, report: Report) -> tuple[Any, ...] | None:
        if node.kind == "null":
            return empty
        if node.kind != "array":
            raise report.add(node, key, Fault("must be a list"))
        before = old if merges and old else ()
        good = []
        for i, child in enumerate(node.value):
            place = f"{key}[{i}]"
            report.lines[place] = child.line
            try:
                good.append(Element(child, place, item(child, place, before[i] if i < len(before) else None, report)))
            except BrokenError:
                continue
        if check:
            check(good, report)
        if len(good) < len(node.value):
            raise BrokenError
        return tuple(element.value for element in good)

    return read


def table(node: Node, key: str, old: tuple[tuple[str, str], ...] | None, report: Report) -> tuple[tuple[str, str], ...]:
    """Read an object of strings with keys of any kind, as pairs sorted by key."""
    if node.kind == "null":
        return ()
    if node.kind != "object":
        raise report.add(node, key, Fault("must be an object"))
    pairs = dict(old or ())
    broken = False
    for i, member in enumerate(node.value):
        place = f"{key}.{member.key}"
        if any(earlier.key == member.key for earlier in node.value[:i]):
            report.add_repeated(member, place)
        report.lines[place] = member.line
        try:
            pairs[member.key] = text(member.value, place, None, report)
        except BrokenError:
            broken = True
    if broken:
        raise BrokenError
    return tuple(sorted(pairs.items()))


class Reading:
    """An object that was read: the values of its fields, and where to report what is wrong between them."""

    __slots__ = ("_key", "_node", "_report", "broken", "nodes", "values")

    def __init__(self, node: Node, key: str, report: Report, values: dict[str, Any]) -> None:
        self._node, self._key, self._report = node, key, report
        self.values = values
        self.nodes: dict[str, Node] = {}
        self.broken: set[str] = set()

    def fail(self, name: str, fault: Fault) -> None:
        """Report a field of the object, at its value if it has one; once is enough."""
        if name in self.broken:
            return
        self.broken.add(name)
        key = join(self._key, name)
        if name in self.nodes:
            self._report.add(self.nodes[name], key, fault)
        else:
            self._report.add_missing(self._node, key, fault)

    def require(self, name: str) -> None:
        """Report a field that is absent, null or empty."""
        if not self.values.get(name):
            self.fail(name, Fault("must be given and not be empty" if name in self.nodes else "must be given"))

    def check(self, name: str, reader: Reader) -> None:
        """Check the value of a field once more, with a reader that another field decides about."""
        try:
            reader(self.nodes[name], join(self._key, name), None, self._report)
        except BrokenError:
            self.broken.add(name)


class Record:
    """Reads an object with fixed keys; `check` reports what is wrong with its fields together."""

    def __init__(self, fields: Mapping[str, Reader], check: Callable[[Reading], None] | None = None) -> None:
        self._fields = fields
        self._check = check
        self._names = {fold(name): name for name in fields}

    def read(self, node: Node, key: str, old: Mapping[str, Any] | None, report: Report) -> dict[str, Any]:
        """Read the values of the fields that are given, by JSON key, over those of an earlier reading."""
        if node.kind != "object":
            raise report.add(node, key, Fault("must be an object"))
        reading = Reading(node, key, report, dict(old or {}))
        for member in node.value:
            self._read_member(member, key, reading, report)
        if self._check:
            self._check(reading)
        if reading.broken:
            raise BrokenError
        return reading.values

    def _read_member(self, member: Member, key: str, reading: Reading, report: Report) -> None:
        name = member.key if member.key in self._fields else self._names.get(fold(member.key))
        if name is None:
            report.add_unknown(member, join(key, member.key), self._fields)
            return
        place = join(key, name)
        if name in reading.nodes:
            report.add_repeated(member, place)
        report.lines[place] = member.line
        reading.nodes[name] = member.value
        try:
            reading.values[name] = self._fields[name](member.value, place, reading.values.get(name), report)
        except BrokenError:
            reading.broken.add(name)


def record_of(
    cls: type, fields: Mapping[str, Reader], check: Callable[[Reading], None] | None = None, *, merges: bool = False
) -> Reader:
    """Read an object as a dataclass with tagged fields; a repeated one `merges` or starts afresh."""
    record = Record(fields, check)
    attributes = {tag.key: tag.attribute for tag in tags(cls)}

    def read(node: Node, key: str, old: Any, report: Report) -> Any:
        before = {name: getattr(old, attributes[name]) for name in fields} if merges and old is not None else None
        values = record.read(node, key, before, report)
        return cls(**{attributes[name]: value for name, value in values.items()})

    return read


def or_null(reader: Reader) -> Reader:
    """Read null as None, and anything else with the reader."""

    def read(node: Node, key: str, old: Any, report: Report) -> Any:
        return None if node.kind == "null" else reader(node, key, old, report)

    return read


def _whole(node: Node, key: str, old: int | None, report: Report, ends: tuple[int, int], rule: str) -> int:
    if node.kind == "null":
        return old or 0
    match = _INTEGER.fullmatch(node.value) if node.kind == "number" else None
    if match is None or (match[1] and ends[0] == 0):
        raise report.add(node, key, Fault(rule, _no_quotes(node)))
    number = int(node.value)
    if not ends[0] <= number <= ends[1]:
        raise report.add(node, key, Fault("must fit into 64 bits"))
    return number


def _quotes(node: Node) -> str | None:
    return f'write "{node.value}"' if node.kind == "number" else None


def _no_quotes(node: Node) -> str | None:
    return f"write {node.value}" if node.kind == "string" and _INTEGER.fullmatch(node.value) else None
