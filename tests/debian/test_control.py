"""Stanzas of control files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from procession_tasks.debian.control import parse_stanza, stanzas

STATUS = Path("/var/lib/dpkg/status")

HELLO = """\
Package: hello
version:1:2.10-3
Homepage:  http://hello.example/:a
X-Empty:
Description: greets
 and greets
 .
\tagain
"""


def test_fields_keep_their_names_order_and_lines() -> None:
    assert list(parse_stanza(HELLO).items()) == [
        ("Package", "hello"),
        ("version", "1:2.10-3"),
        ("Homepage", "http://hello.example/:a"),
        ("X-Empty", ""),
        ("Description", "greets\n and greets\n .\n again"),
    ]


@pytest.mark.parametrize("between", ["\n", "\n\n\n", " \t\n", "\n \n"])
def test_stanzas_are_set_apart_by_blank_lines(between: str) -> None:
    text = f"\n\nA: 1\nB: 2\n{between}A: 3\n\n"
    assert list(stanzas(text)) == [{"A": "1", "B": "2"}, {"A": "3"}]


@pytest.mark.parametrize("text", ["", "\n", " \n\n"])
def test_nothing_holds_no_stanza(text: str) -> None:
    assert list(stanzas(text)) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "line 1 must be a field such as Version: 1.0, got ''"),
        ("hello", "line 1 must be a field such as Version: 1.0, got 'hello'"),
        ("A: 1\nhello\n", "line 2 must be a field"),
        (" A: 1", "line 1 must begin a field, got ' A: 1'"),
        ("A: 1\n \nB: 2", "line 2 must begin a field, got ' '"),
        ("A: 1\n\nB: 2", "line 2 must be a field"),
        ("A: 1\na: 2", "line 2 must not repeat a field, got a"),
        (": 1", "line 1 must be a field"),
        ("#A: 1", "line 1 must be a field"),
        ("-A: 1", "line 1 must be a field"),
        ("A B: 1", "line 1 must be a field"),
        ("Ä: 1", "line 1 must be a field"),
    ],
)
def test_what_is_no_stanza_is_refused(text: str, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        parse_stanza(text)


@pytest.mark.skipif(not STATUS.exists(), reason="dpkg is not installed")
def test_dpkg_reads_its_own_database_alike() -> None:
    fields = ("Package", "Version", "Architecture", "Depends", "Provides")
    shown = "\\t".join(f"${{{field}}}" for field in fields) + "\\n"
    asked = subprocess.run(["dpkg-query", "-W", "-f", shown], capture_output=True, text=True, check=True).stdout
    read = [
        tuple(stanza.get(field, "") for field in fields)
        for stanza in stanzas(STATUS.read_text())
        if stanza["Status"] != "deinstall ok config-files"
    ]
    assert len(read) > 10
    listed = {tuple(line.split("\t")) for line in asked.split("\n")}
    assert {entry for entry in read if entry not in listed} == set()
