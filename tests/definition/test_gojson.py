"""JSON is read as Go reads it, and every value knows its line."""

import sys

import pytest

from procession_tasks.definition.gojson import JsonError, decode, parse

GOOD = [
    ("null", "null", None),
    (" true ", "boolean", True),
    ("\t\r\nfalse\n", "boolean", False),
    ("-0", "number", "-0"),
    ("1.0", "number", "1.0"),
    ("1E+05", "number", "1E+05"),
    ('""', "string", ""),
    (r'"\"\\\/\b\f\n\r\t"', "string", '"\\/\b\f\n\r\t'),
    (r'"\u00e9\u20AC"', "string", "\u00e9\u20ac"),
    (r'"\ud83d\ude00"', "string", "\U0001f600"),
    (r'"\ud83d"', "string", "\ufffd"),
    (r'"\ud83d\ud83d\ude00\ude00"', "string", "\ufffd\U0001f600\ufffd"),
    (r'"\ud83d\u0041"', "string", "\ufffdA"),
    ('"\x7f"', "string", "\x7f"),
    ("[ ]", "array", ()),
    ("{ }", "object", ()),
]

BAD = [
    ("", "must have a value here", "the end of the file"),
    ("[1,]", "must have a value here", '"]"'),
    ('{"a":1,}', "must have a key in double quotes here", '"}"'),
    ("{a:1}", "must have a key in double quotes here", '"a"'),
    ("{1:1}", "must have a key in double quotes here", "1"),
    ('{"a" 1}', 'must have ":" after the key', "1"),
    ('{"a":1 "b":2}', 'must have "," or "}" here', '"b"'),
    ("[1 2]", 'must have "," or "]" here', "2"),
    ("[1", 'must have "," or "]" here', "the end of the file"),
    ('{"a":1]', 'must have "," or "}" here', '"]"'),
    ("{} {}", "must end after the first value", '"{"'),
    ("01", "must end after the first value", "1"),
    ("1.", "must end after the first value", '"."'),
    ("-", "must have a value here", '"-"'),
    ("+1", "must have a value here", '"+1"'),
    (".5", "must have a value here", '".5"'),
    ("NaN", "must have a value here", '"NaN"'),
    ("Infinity", "must have a value here", '"Infinity"'),
    ("True", "must have a value here", '"True"'),
    ("'a'", "must have a value here", '"\'"'),
    ("// x", "must have a value here", '"/"'),
    ("\ufeff{}", "must have a value here", '"\ufeff"'),
    ("{}\x0b", "must end after the first value", '"\x0b"'),
    ("{}\u00a0", "must end after the first value", '"\u00a0"'),
    ('"abc', "must close the string", "the end of the file"),
    ('"a\nb"', "must escape control characters in a string", r"'\n'"),
    (r'"\x41"', "must use an escape of JSON in a string", '"\\"'),
    (r'"\u12g4"', "must use an escape of JSON in a string", '"\\"'),
]


@pytest.mark.parametrize(("text", "kind", "value"), GOOD)
def test_reads_a_value(text, kind, value):
    node = parse(text)

    assert (node.kind, node.value) == (kind, value)


@pytest.mark.parametrize(("text", "rule", "got"), BAD)
def test_refuses_what_go_refuses(text, rule, got):
    with pytest.raises(JsonError) as caught:
        parse(text)

    assert (caught.value.rule, caught.value.got) == (rule, got)


def test_every_key_and_value_has_its_line():
    root = parse('{\n "a"\n:\n[1,\n2], "b":\r\n{"c": null}\n}')

    first, second = root.value
    assert (root.line, first.line, first.value.line, second.line, second.value.line) == (1, 2, 4, 5, 6)
    assert [item.line for item in first.value.value] == [4, 5]
    assert [member.line for member in second.value.value] == [6]


def test_an_error_has_the_line_it_is_on():
    with pytest.raises(JsonError) as caught:
        parse('{\n "a": 1,\n "b": [\n  2,\n\n ]\n}')

    assert (caught.value.line, caught.value.hint) == (6, 'remove the "," before it')


def test_members_of_one_key_are_all_kept_in_order():
    root = parse('{"a": 1, "a": 2}')

    assert [(member.key, member.value.value) for member in root.value] == [("a", "1"), ("a", "2")]


def test_a_span_is_the_text_of_the_value():
    text = '{"a": [1, {"b" : "\\u0041"}] }'
    value = parse(text).value[0].value

    assert text[value.start : value.end] == '[1, {"b" : "\\u0041"}]'


def test_each_byte_that_is_not_utf8_becomes_one_replacement_character():
    """Go counts bytes where Python's own "replace" counts sequences."""
    data = b'"\xff \xe2\x82 \xed\xa0\x80 \xc3\xa9"'

    assert parse(decode(data)).value == "\ufffd \ufffd\ufffd \ufffd\ufffd\ufffd \u00e9"
    assert decode(data).encode("utf-8", "surrogateescape") == data


def test_an_escaped_half_and_a_bad_byte_make_no_pair():
    assert parse(decode(b'"\\ud83d\xff"')).value == "\ufffd\ufffd"


def test_a_byte_that_is_not_utf8_outside_a_string_is_refused():
    with pytest.raises(JsonError, match="not UTF-8"):
        parse(decode(b"{\xff}"))


def test_ten_thousand_levels_are_read_and_no_more():
    assert sys.getrecursionlimit() < 10000
    node = parse("[" * 10000 + "]" * 10000)
    with pytest.raises(JsonError, match="nest deeper than 10000"):
        parse("[" * 10001 + "]" * 10001)

    assert node.kind == "array"
