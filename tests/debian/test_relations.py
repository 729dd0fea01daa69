"""What packages say of one another, judged by dpkg-deb, which refuses to build what it cannot read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from procession_tasks.debian.relations import Relation, parse_conflicts, parse_depends, parse_provides, spell

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")

# Field text -> how it is understood.
GOOD = {
    "": "",
    "  ": "",
    "a": "a",
    "a, b | c:any (>= 1) ,d": "a, b | c:any (>= 1), d",
    "a(>=1)|b": "a (>= 1) | b",
    "a ( >> 1:2-3~x+b1 )": "a (>> 1:2-3~x+b1)",
    "a (< 1), b (> 1)": "a (<= 1), b (>= 1)",
    "a (1.0)": "a (= 1.0)",
    "a\n , b": "a, b",
    "perl:any, libc6:amd64 (= 1)": "perl:any, libc6:amd64 (= 1)",
    "0ad, lib+x-1.2": "0ad, lib+x-1.2",
}
BAD = [
    "a,,b",
    "a,",
    ",a",
    "a |",
    "| a",
    "a b",
    "a:",
    "a :any",
    "a (>= )",
    "a (>= 1 2)",
    "a (=< 1)",
    "a (== 1)",
    "a (>= 1",
    "a >= 1",
    "a (>= 1) (<= 2)",
    "a (>= x)",
    "a (>= 1_)",
    "a [amd64]",
    "a <!nocheck>",
    "${misc:Depends}",
    "-a",
]


def understood(text: str) -> str:
    return ", ".join(map(spell, parse_depends(text)))


def builds(folder: Path, field: str, text: str) -> bool:
    """Whether dpkg-deb takes a field's text in a binary package."""
    control = folder / "tree/DEBIAN/control"
    control.parent.mkdir(parents=True, exist_ok=True)
    head = "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: X <x@example.org>\nDescription: x\n"
    control.write_text(f"{head}{field}: {text}\n")
    argv = ["dpkg-deb", "--build", folder / "tree", folder / "x.deb"]
    return subprocess.run(argv, capture_output=True).returncode == 0


@pytest.mark.parametrize("text", GOOD)
def test_a_field_is_groups_of_alternatives(text: str) -> None:
    assert understood(text) == GOOD[text]
    assert understood(GOOD[text]) == GOOD[text]


def test_a_relation_has_its_parts() -> None:
    assert parse_depends("perl:any (>= 5.6) | awk") == ((Relation("perl", "any", ">=", "5.6"), Relation("awk")),)


@pytest.mark.parametrize("text", BAD)
def test_what_says_nothing_clear_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        parse_depends(text)


@needs_dpkg
def test_dpkg_takes_and_refuses_the_same(tmp_path: Path) -> None:
    unlike_dpkg = {"", "  "}  # it misses a name in an empty field, which no index has
    assert [text for text in GOOD if text not in unlike_dpkg and not builds(tmp_path, "Depends", text)] == []
    assert [text for text in BAD if builds(tmp_path, "Depends", text)] == []
    assert not builds(tmp_path, "Conflicts", "a | b")
    assert not builds(tmp_path, "Provides", "a | b")
    assert builds(tmp_path, "Provides", "a (= 1), b, c (>= 1)")


def test_conflicts_have_no_alternatives() -> None:
    assert parse_conflicts("a, b (<< 2)") == (Relation("a"), Relation("b", "", "<<", "2"))
    with pytest.raises(ValueError, match=r"must not have alternatives, got 'a \| b'"):
        parse_conflicts("a | b")


def test_one_version_is_provided_or_none_is_named() -> None:
    assert parse_provides("a, b (= 2), c (>= 3)") == (Relation("a"), Relation("b", "", "=", "2"))
    with pytest.raises(ValueError, match="must not have alternatives"):
        parse_provides("a | b")


def test_what_is_provided_without_a_version_meets_only_what_asks_for_none() -> None:
    assert Relation("awk").allows("")
    assert not Relation("awk", "", ">=", "1").allows("")
    assert Relation("awk", "", ">=", "1").allows("1.0")
    assert not Relation("awk", "", ">=", "1").allows("0.9")
