"""Shapes: what a value is read as, what is said of a wrong one, and what editors are told."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from procession_tasks.definition.shape import (
    Boolean,
    Choice,
    ForAll,
    Integer,
    InvalidError,
    Listing,
    Record,
    Report,
    Shape,
    Table,
    Text,
    key,
)
from procession_tasks.definition.yamlfile import parse_yaml

WORD = Text("must be a word", r"[a-z]+", "such as x")


def node(text: str) -> Any:
    return parse_yaml(f"key: {text}\n".encode(), "f").value[0][1]


def read(shape: Shape, text: str) -> Any:
    return shape.read(node(text), "key", Report("f"))


def refused(shape: Shape, text: str) -> list[str]:
    report = Report("f")
    with pytest.raises(InvalidError):
        shape.read(node(text), "key", report)
    return [str(problem) for problem in report.problems]


@dataclass(frozen=True)
class Point:
    """A record with a key that must be given and one that may."""

    x: int = key(Integer(0, 9), "how far right")
    name: str = key(WORD, "what it is called", default="p")


@dataclass(frozen=True)
class Hyphened:
    how_far: int = key(Integer(0, 9), "how far")


@dataclass(frozen=True)
class Pair:
    one: Point = key(Record(Point), "the first")  # noqa: RUF009  # as the model does
    two: Point = key(Record(Point), "the second")  # noqa: RUF009


def _ordered(pair: Pair) -> Any:
    if pair.one.x > pair.two.x:
        yield "two", "must be right of one", str(pair.two.x), "swap them"


GOOD: list[tuple[Shape, str, Any]] = [
    (WORD, "abc", "abc"),
    (WORD, '"abc"', "abc"),
    (Text("must be a number", r"[0-9]+", convert=int), '"12"', 12),
    (Choice(("a", "b")), "b", "b"),
    (Choice(("a", "b"), convert=str.upper), "b", "B"),
    (Boolean(), "true", True),
    (Boolean(), "no", False),
    (Integer(-1, 9), "-1", -1),
    (Integer(0, 9), "9", 9),
    (Listing(WORD), "[]", ()),
    (Listing(WORD), "[b, a]", ("b", "a")),
    (Listing(WORD, or_one=True), "a", ("a",)),
    (Table(WORD, Integer(0, 9)), "{b: 2, a: 1}", (("a", 1), ("b", 2))),
    (ForAll(WORD, Table(WORD, WORD)), "a", "a"),
    (ForAll(WORD, Table(WORD, WORD)), "{a: b}", (("a", "b"),)),
    (Record(Hyphened), "{how-far: 3}", Hyphened(3)),
    (Record(Point), "{x: 3}", Point(3)),
    (Record(Point), "{name: q, x: 3}", Point(3, "q")),
    (Record(Pair, _ordered), "{one: {x: 1}, two: {x: 2}}", Pair(Point(1), Point(2))),
]
BAD: list[tuple[Shape, str, list[str]]] = [
    (WORD, "ABC", ["f:1: key: must be a word, got 'ABC'\n  hint: such as x"]),
    (WORD, "5", ["f:1: key: must be a word, got 5\n  hint: such as x"]),
    (WORD, "yes", ["f:1: key: must be a word, got true\n  hint: such as x"]),
    (WORD, "", ["f:1: key: must be a word, got nothing\n  hint: such as x"]),
    (WORD, '"abc\\n"', ["f:1: key: must be a word, got 'abc\\n'\n  hint: such as x"]),
    (WORD, "[a]", ["f:1: key: must be a word, got a list\n  hint: such as x"]),
    (Text("must be odd", r"[0-9]+", convert=lambda _: int("x")), '"12"', ["f:1: key: must be odd, got '12'"]),
    (
        Choice(("alpha", "beta")),
        "alhpa",
        ["f:1: key: must be one of alpha, beta, got 'alhpa'\n  hint: did you mean alpha?"],
    ),
    (Choice(("alpha", "beta")), "xyz", ["f:1: key: must be one of alpha, beta, got 'xyz'"]),
    (Boolean(), "maybe", ["f:1: key: must be true or false, got 'maybe'"]),
    (Boolean(), "1", ["f:1: key: must be true or false, got 1"]),
    (Boolean(), '"true"', ["f:1: key: must be true or false, got 'true'"]),
    (Integer(0, 9), "10", ["f:1: key: must be a whole number from 0 to 9, got 10"]),
    (Integer(0, 9), "-1", ["f:1: key: must be a whole number from 0 to 9, got -1"]),
    (Integer(0, 9), "07", ["f:1: key: must be a whole number from 0 to 9, got 07"]),
    (Integer(0, 9), "0x5", ["f:1: key: must be a whole number from 0 to 9, got 0x5"]),
    (Integer(0, 9), "5.0", ["f:1: key: must be a whole number from 0 to 9, got 5.0"]),
    (Integer(0, 9), '"5"', ["f:1: key: must be a whole number from 0 to 9, got '5'"]),
    (Listing(WORD), "a", ["f:1: key: must be a list, got 'a'"]),
    (Listing(WORD, at_least=1), "[]", ["f:1: key: must have at least 1 item, got an empty list"]),
    (
        Listing(Integer(0, 9)),
        "[1, x, 2, 10]",
        [
            "f:1: key[1]: must be a whole number from 0 to 9, got 'x'",
            "f:1: key[3]: must be a whole number from 0 to 9, got 10",
        ],
    ),
    (
        Table(WORD, Integer(0, 9)),
        "{A: 1, b: x}",
        [
            "f:1: key.A: must be a word, got 'A'\n  hint: such as x",
            "f:1: key.b: must be a whole number from 0 to 9, got 'x'",
        ],
    ),
    (Table(WORD, WORD), "[a]", ["f:1: key: must be a mapping, got a list"]),
    (ForAll(WORD, Table(WORD, WORD)), "[a]", ["f:1: key: must be a word, got a list\n  hint: such as x"]),
    (ForAll(WORD, Table(WORD, WORD)), "{a: B}", ["f:1: key.a: must be a word, got 'B'\n  hint: such as x"]),
    (Record(Hyphened), "{how-far: x}", ["f:1: key.how-far: must be a whole number from 0 to 9, got 'x'"]),
    (
        Record(Hyphened),
        "{how_far: 3}",
        ["f:1: key.how_far: must be a known key\n  hint: did you mean how-far?"],
    ),
    (Record(Point), "5", ["f:1: key: must be a mapping, got 5"]),
    (Record(Point), "{x: 1, z: 2}", ["f:1: key.z: must be a known key\n  hint: known keys: x, name"]),
    (Record(Point), "{x: 1, nmae: q}", ["f:1: key.nmae: must be a known key\n  hint: did you mean name?"]),
    (
        Record(Pair),
        "{one: {x: 10}, two: {x: -1, name: Q}}",
        [
            "f:1: key.one.x: must be a whole number from 0 to 9, got 10",
            "f:1: key.two.x: must be a whole number from 0 to 9, got -1",
            "f:1: key.two.name: must be a word, got 'Q'\n  hint: such as x",
        ],
    ),
    (
        Record(Pair, _ordered),
        "{one: {x: 2}, two: {x: 1}}",
        ["f:1: key.two: must be right of one, got 1\n  hint: swap them"],
    ),
]


@pytest.mark.parametrize(("shape", "text", "value"), GOOD)
def test_a_good_value_is_read(shape: Shape, text: str, value: Any) -> None:
    found = read(shape, text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("shape", "text", "said"), BAD)
def test_a_bad_value_is_refused_with_everything_that_is_wrong(shape: Shape, text: str, said: list[str]) -> None:
    assert refused(shape, text) == said


def test_a_key_that_must_be_given_is_missed() -> None:
    (said,) = refused(Record(Point), "{name: q}")
    assert said.startswith("f:1: key.x: must be given")


def test_what_holds_between_keys_is_not_asked_of_a_record_with_a_wrong_one() -> None:
    def fail(_: Pair) -> Any:
        raise AssertionError

    refused(Record(Pair, fail), "{one: {x: 10}, two: {x: 1}}")


def test_a_value_that_may_be_one_or_many_says_how_many() -> None:
    assert read(Listing(Record(Point), or_one=True), "{x: 1}") == (Point(1),)
    assert read(Listing(Record(Point), or_one=True), "[{x: 1}, {x: 2}]") == (Point(1), Point(2))
    assert refused(Listing(Record(Point), or_one=True), "[{x: 1}, 5]") == ["f:1: key[1]: must be a mapping, got 5"]


# The schema editors get is made of the same shapes


def accepts(schema: dict[str, Any], value: Any) -> bool:  # noqa: PLR0911  # a case a kind
    """Judge a value by the part of JSON Schema that shapes use."""
    if "oneOf" in schema:
        return sum(accepts(option, value) for option in schema["oneOf"]) == 1
    if "enum" in schema:
        return value in schema["enum"]
    match schema["type"]:
        case "string":
            return isinstance(value, str) and bool(re.search(schema["pattern"], value))
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            right = isinstance(value, int) and not isinstance(value, bool)
            return right and schema["minimum"] <= value <= schema["maximum"]
        case "array":
            right = isinstance(value, list) and len(value) >= schema.get("minItems", 0)
            return right and all(accepts(schema["items"], item) for item in value)
    if not isinstance(value, dict) or not set(schema.get("required", ())) <= set(value):
        return False
    if "propertyNames" in schema:
        named = all(accepts(schema["propertyNames"], name) for name in value)
        return named and all(accepts(schema["additionalProperties"], item) for item in value.values())
    known = schema["properties"]
    return set(value) <= set(known) and all(accepts(known[name], item) for name, item in value.items())


@pytest.mark.parametrize(
    ("shape", "value", "right"),
    [
        (WORD, "abc", True),
        (WORD, "abc5", False),
        (Text("must be one of two", r"ab|cd"), "ab", True),
        (Text("must be one of two", r"ab|cd"), "abx", False),
        (Text("must be one of two", r"ab|cd"), "xcd", False),
        (Choice(("a", "b")), "c", False),
        (Integer(0, 9), 10, False),
        (Listing(WORD, at_least=1), [], False),
        (Listing(WORD, at_least=1, or_one=True), "a", True),
        (Listing(WORD, at_least=1, or_one=True), ["a"], True),
        (Table(WORD, WORD), {"a": "b"}, True),
        (Table(WORD, WORD), {"A": "b"}, False),
        (ForAll(WORD, Table(WORD, WORD)), "a", True),
        (ForAll(WORD, Table(WORD, WORD)), {"a": "b"}, True),
        (ForAll(WORD, Table(WORD, WORD)), {"a": "B"}, False),
        (Record(Hyphened), {"how-far": 1}, True),
        (Record(Hyphened), {"how_far": 1}, False),
        (Record(Point), {"x": 1}, True),
        (Record(Point), {"name": "a"}, False),
        (Record(Point), {"x": 1, "y": 1}, False),
        (Boolean(), True, True),
        (Boolean(), "true", False),
    ],
)
def test_the_schema_accepts_what_is_read_and_nothing_else(shape: Shape, value: Any, *, right: bool) -> None:
    assert accepts(shape.schema(), value) == right
    if right:
        read(shape, json.dumps(value))
    else:
        refused(shape, json.dumps(value))


def test_the_schema_of_a_record_describes_its_keys() -> None:
    schema = Record(Point).schema()
    assert schema["required"] == ["x"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["x"]["description"] == "how far right"
