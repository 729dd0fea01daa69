"""YAML as located nodes, and what of YAML a definition may not use."""

from __future__ import annotations

from itertools import pairwise

import pytest

from procession_tasks.definition.node import Node
from procession_tasks.definition.yamlfile import parse_yaml
from procession_tasks.errors import DefinitionError

FILE = "image.yaml"


def read(text: str) -> Node:
    return parse_yaml(text.encode(), FILE)


def refused(text: str | bytes) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        parse_yaml(text.encode() if isinstance(text, str) else text, FILE)
    return [str(problem) for problem in caught.value.problems]


def child(node: Node, name: str) -> Node:
    return next(value for key, value in node.value if key.value == name)


@pytest.mark.parametrize(
    ("text", "kind", "value", "shown"),
    [
        ("word", "text", "word", "'word'"),
        ('"12"', "text", "12", "'12'"),
        ("12", "integer", "12", "12"),
        ("0755", "integer", "0755", "0755"),
        ("1.5", "number", "1.5", "1.5"),
        ("yes", "boolean", True, "true"),
        ("Off", "boolean", False, "false"),
        ("", "null", "", "nothing"),
        ("~", "null", "~", "nothing"),
        ("2020-01-02", "text", "2020-01-02", "'2020-01-02'"),
        ("[]", "list", (), "a list"),
        ("{}", "mapping", (), "a mapping"),
        ("./cmd/api", "text", "./cmd/api", "'./cmd/api'"),
    ],
)
def test_a_value_keeps_its_kind_and_the_text_it_was_written_as(text: str, kind: str, value: object, shown: str) -> None:
    node = child(read(f"key: {text}\n"), "key")
    assert (node.kind, node.value, str(node)) == (kind, value, shown)


def test_every_key_and_value_knows_its_line() -> None:
    node = read("# comment\ngo:\n  package: ./x\nplatforms:\n- a\n\n- b\n")
    assert [(key.value, key.line) for key, _ in node.value] == [("go", 2), ("platforms", 4)]
    assert child(child(node, "go"), "package").line == 3
    assert [item.line for item in child(node, "platforms").value] == [5, 7]


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n"])
def test_an_empty_file_says_nothing(text: str) -> None:
    assert not read(text).value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("go: [\n", 2),
        ("go:\n\tpackage: x\n", 2),
        ('go: "x\n', 2),
        ("go: x\n bad\n- y\n", 3),
        ("go: *nothing\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("go: @x\n", 1),
    ],
)
def test_text_that_is_no_yaml_is_refused_at_its_line(text: str, line: int) -> None:
    (said,) = refused(text)
    assert said.startswith(f"{FILE}:{line}: must ")


@pytest.mark.parametrize("text", [b"go: \xff\n", b"\x00", b"go: \x07\n"])
def test_bytes_that_are_no_text_are_refused(text: bytes) -> None:
    (said,) = refused(text)
    assert said.startswith(f"{FILE}:1: must be YAML: ")


def test_a_key_is_given_once() -> None:
    assert refused("go:\n  a: 1\n  a: 2\ngo: 3\n") == [
        f"{FILE}:3: go.a: must be written once (first on line 2)\n  hint: remove one of the two",
        f"{FILE}:4: go: must be written once (first on line 1)\n  hint: remove one of the two",
    ]


def test_an_alias_is_refused_where_it_leads() -> None:
    (said,) = refused("a: &x [1]\nb: *x\n")
    assert said == f"{FILE}:1: b: must not use anchors and aliases\n  hint: write the value out"


def test_an_alias_that_contains_itself_ends() -> None:
    assert refused("a: &x [*x]\n")


def test_aliases_that_multiply_end_soon() -> None:
    """Nine lists of nine aliases each would be 9**9 values."""
    names = "abcdefghi"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join(['*' + before] * 9)}]" for before, name in pairwise(names)]
    assert refused("\n".join(lines))


@pytest.mark.parametrize("tag", ["!!python/object:os.system", "!local", "!!binary", "!!set"])
def test_a_tag_is_refused(tag: str) -> None:
    assert refused(f"a: {tag} x\n")


def test_a_merge_key_is_no_way_around() -> None:
    assert refused("a: {b: 1}\n<<: {c: 2}\n")
