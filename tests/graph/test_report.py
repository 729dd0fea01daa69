"""The report of a run: its JSON, its summary, its annotations; and how messages are divided into mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from procession_tasks.graph.plaintext import plain
from procession_tasks.graph.report import (
    BuiltImage,
    Mistake,
    Outcome,
    Report,
    mistakes,
    to_annotations,
    to_json,
    to_markdown,
)

DIGEST = f"sha256:{'1f' * 32}"
ACI_ID = f"sha512-{'2e' * 64}"
FILES = ("deploy/aci/api/image.yaml", "services/cmd/api/main.go", "services/go.mod", "a:b", "100%.go", "x,y.go")

PACKED = Outcome("pack-aci:api", "api", "linux/amd64", "built", 1.25, 0.5, "deploy/aci/api/manifest changed")
TAKEN = Outcome("go-compile:api", "api", "linux/amd64", "cached", 0.5, 0.25, "it was never built here", "disk", 4.5)
FRESH = Outcome("go-inputs:api", "api", "linux/amd64", "fresh", 0.25)
IMAGE = BuiltImage("api", "linux/amd64", "built", 0.75, "it was never built here", DIGEST, ACI_ID, 3_551_242)
FAILED = BuiltImage("iam", "linux/arm64", "failed", 2.0, "services/internal/iam.go changed")


def parsed(report: Report) -> Any:
    return json.loads(to_json(report))


def found(message: str, task: str = "go-compile:api") -> list[Mistake]:
    return mistakes(task, message, FILES.__contains__)


# JSON


def test_the_report_has_these_keys_and_no_others() -> None:
    report = Report(1, 2.5, (FRESH, TAKEN, PACKED), (IMAGE, FAILED), (Mistake("t", "m", "f.go", 3),), 1, 10, 20)
    assert parsed(report) == {
        "version": 1,
        "status": 1,
        "seconds": 2.5,
        "tasks": [
            {
                "name": "go-inputs:api",
                "image": "api",
                "platform": "linux/amd64",
                "outcome": "fresh",
                "started": 0.25,
                "seconds": 0.0,
                "why": None,
                "from": None,
                "saved_seconds": 0.0,
            },
            {
                "name": "go-compile:api",
                "image": "api",
                "platform": "linux/amd64",
                "outcome": "cached",
                "started": 0.5,
                "seconds": 0.25,
                "why": "it was never built here",
                "from": "disk",
                "saved_seconds": 4.5,
            },
            {
                "name": "pack-aci:api",
                "image": "api",
                "platform": "linux/amd64",
                "outcome": "built",
                "started": 1.25,
                "seconds": 0.5,
                "why": "deploy/aci/api/manifest changed",
                "from": None,
                "saved_seconds": 0.0,
            },
        ],
        "images": [
            {
                "name": "api",
                "platform": "linux/amd64",
                "outcome": "built",
                "digest": DIGEST,
                "aci_id": ACI_ID,
                "size": 3_551_242,
                "seconds": 0.75,
                "why": "it was never built here",
            },
            {
                "name": "iam",
                "platform": "linux/arm64",
                "outcome": "failed",
                "digest": None,
                "aci_id": None,
                "size": None,
                "seconds": 2.0,
                "why": "services/internal/iam.go changed",
            },
        ],
        "cache": {"hits": {"disk": 1}, "misses": 1, "saved_seconds": 4.5, "fetched_bytes": 10, "sent_bytes": 20},
        "errors": [{"task": "t", "message": "m", "file": "f.go", "line": 3}],
    }


def test_a_run_without_anything_has_every_key_too() -> None:
    assert parsed(Report(0, 0.0)) == {
        "version": 1,
        "status": 0,
        "seconds": 0.0,
        "tasks": [],
        "images": [],
        "cache": {"hits": {}, "misses": 0, "saved_seconds": 0, "fetched_bytes": 0, "sent_bytes": 0},
        "errors": [],
    }


def test_hits_are_counted_by_where_they_came_from() -> None:
    there = Outcome("pack-oci:api", "api", "linux/amd64", "cached", where="https://cache.example", saved=1.5)
    report = Report(0, 1.0, (TAKEN, there, there, PACKED))
    assert report.hits == {"disk": 1, "https://cache.example": 2}
    assert report.saved == 7.5


def test_what_is_about_no_task_or_place_says_so() -> None:
    error = parsed(Report(2, 0.0, mistakes=(Mistake("", "must be a task"),)))["errors"]
    assert error == [{"task": None, "message": "must be a task", "file": None, "line": None}]


def test_names_that_are_no_text_can_be_written() -> None:
    """File names of a file system need not be UTF-8."""
    report = Report(0, 0.0, (Outcome("go-inputs:api", None, None, "built", why="services/\udcff.go changed"),))
    assert parsed(report)["tasks"][0]["why"] == "services/\udcff.go changed"
    assert to_json(report).decode("ascii")


# Mistakes


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "services/cmd/api/main.go:8:15: undefined: x",
            [("services/cmd/api/main.go", 8, "undefined: x")],
        ),
        (
            "# sample.example/cmd/api\nservices/cmd/api/main.go:8:1: a\nservices/cmd/api/main.go:9:2: b\n# other\n",
            [("services/cmd/api/main.go", 8, "a"), ("services/cmd/api/main.go", 9, "b")],
        ),
        (
            "services/cmd/api/main.go:8:1: cannot use x:\n\thave m()\n\twant M()",
            [("services/cmd/api/main.go", 8, "cannot use x:\n\thave m()\n\twant M()")],
        ),
        (
            "deploy/aci/api/image.yaml:4: platform: must be a known key\n  hint: did you mean platforms?\n",
            [("deploy/aci/api/image.yaml", 4, "platform: must be a known key\n  hint: did you mean platforms?")],
        ),
        (
            "services/go.mod:3: unknown directive: g",
            [("services/go.mod", 3, "unknown directive: g")],
        ),
        (
            "it went wrong:\nservices/go.mod:3: here",
            [(None, None, "it went wrong:"), ("services/go.mod", 3, "here")],
        ),
        (
            "cache.example:8980: nobody answers",
            [(None, None, "cache.example:8980: nobody answers")],
        ),
        (
            "services/gone.go:1: no file of ours\n  hint: none",
            [(None, None, "services/gone.go:1: no file of ours\n  hint: none")],
        ),
        (
            "Traceback (most recent call last):\n  File services/cmd/api/main.go:8: odd\nValueError: x",
            [
                (
                    None,
                    None,
                    "Traceback (most recent call last):\n  File services/cmd/api/main.go:8: odd\nValueError: x",
                )
            ],
        ),
        ("services/cmd/api/main.go:0: no line", [(None, None, "services/cmd/api/main.go:0: no line")]),
        ("", []),
        ("# sample.example/cmd/api", []),
    ],
)
def test_a_message_is_divided_by_the_places_it_names(message: str, expected: list[Any]) -> None:
    assert [(one.file, one.line, one.message) for one in found(message)] == expected


def test_control_characters_are_replaced_and_lines_kept() -> None:
    assert plain("a\x1b[31mb\r\nc\td\x00\x9b\x7f") == "a�[31mb�\nc\td���"
    assert found("services/go.mod:3: \x1b[31mred\x1b[0m")[0].message == "�[31mred�[0m"


# Annotations


@pytest.mark.parametrize(
    ("mistake", "prefix", "expected"),
    [
        (
            Mistake("go-compile:api", "undefined: x", "services/cmd/api/main.go", 8),
            "",
            "::error file=services/cmd/api/main.go,line=8,title=go-compile%3Aapi::undefined: x",
        ),
        (
            Mistake("pack-aci:api", "must be there, got none", "a/manifest", 1),
            "build tools/",
            "::error file=build tools/a/manifest,line=1,title=pack-aci%3Aapi::must be there, got none",
        ),
        (Mistake("", "50% of\nit\r\n:: , done"), "", "::error title=doit::50%25 of%0Ait�%0A:: , done"),
        (
            Mistake("t", "m", "x,y:100%.go", 2),
            "",
            "::error file=x%2Cy%3A100%25.go,line=2,title=t::m",
        ),
    ],
)
def test_an_annotation_is_one_escaped_line(mistake: Mistake, prefix: str, expected: str) -> None:
    lines = to_annotations(Report(1, 0.0, mistakes=(mistake,)), prefix)
    assert lines == [expected]
    assert "\n" not in lines[0]


def test_no_message_begins_a_command_of_its_own() -> None:
    """A workflow command is only one at the beginning of a line."""
    message = "services/go.mod:3: bad\n::set-output name=x::y\n::error file=z::w"
    lines = to_annotations(Report(1, 0.0, mistakes=tuple(found(message))))
    expected = "bad%0A::set-output name=x::y%0A::error file=z::w"
    assert lines == [f"::error file=services/go.mod,line=3,title=go-compile%3Aapi::{expected}"]


# The summary


def test_the_summary_has_a_row_for_each_image_and_says_what_caches_spared() -> None:
    report = Report(0, 2.5, (FRESH, TAKEN, PACKED), (IMAGE,), misses=1, fetched=12_345_678, sent=900)
    assert to_markdown(report) == (
        "### Images: 1 built\n\n"
        "| image | digest | outcome | size | time | why |\n"
        "| --- | --- | --- | ---: | ---: | --- |\n"
        "| api linux/amd64 | `sha256:1f1f1f1f1f1f` | built | 3.6 MB | 0.8 s | it was never built here |\n\n"
        "3 tasks in 2.5 s: 1 built, 1 cached, 1 fresh. Cache hits: 1 from disk; misses: 1; work spared: 4.5 s. "
        "Fetched: 12.3 MB; sent: 900 B.\n\n"
        "<details><summary>Digests and ACI image IDs</summary>\n\n"
        f"```text\napi linux/amd64 {DIGEST} {ACI_ID}\n```\n\n"
        "</details>\n"
    )


def test_a_failure_heads_the_summary_and_its_errors_end_it() -> None:
    text = to_markdown(Report(1, 2.0, (), (IMAGE, FAILED), tuple(found("services/go.mod:3:7: bad\n  hint: mend it"))))
    assert text.startswith("### Failed: 1 built, 1 failed\n")
    assert "| iam linux/arm64 |  | failed |  | 2.0 s | services/internal/iam.go changed |" in text
    assert text.endswith("#### Errors\n\n```text\nservices/go.mod:3: bad\n  hint: mend it\n```\n")


def test_a_run_that_got_nowhere_has_its_errors_alone() -> None:
    text = to_markdown(Report(3, 0.1, mistakes=(Mistake("", "wrong", "a.yaml", 1),)))
    assert text == "### Failed\n\n#### Errors\n\n```text\na.yaml:1: wrong\n```\n"


def test_an_interrupted_run_says_so() -> None:
    assert to_markdown(Report(130, 1.0, images=(IMAGE,))).startswith("### Interrupted: 1 built\n")


def test_names_do_not_end_a_cell_or_bring_their_own_markup() -> None:
    why = "a|b.go, `x`, <img src=y>, [z](w), *s*, _u_, a\\b, ~~t~~, &amp;\nnext"
    text = to_markdown(Report(0, 0.0, images=(BuiltImage("api", "linux/amd64", "built", 0.0, why),)))
    row = text.splitlines()[4]
    assert row.endswith(r"a\|b.go, \`x\`, &lt;img src=y&gt;, \[z\](w), \*s\*, \_u\_, a\\b, \~\~t\~\~, &amp;amp; next |")
    assert row.replace(r"\|", "").count("|") == 7


def test_a_message_does_not_end_the_block_it_is_in() -> None:
    text = to_markdown(Report(1, 0.0, mistakes=(Mistake("", "````\n# a heading"),)))
    assert text.endswith("`````text\n````\n# a heading\n`````\n")


def test_a_summary_of_endless_errors_is_cut() -> None:
    text = to_markdown(Report(1, 0.0, mistakes=tuple(Mistake("", f"{number} {'x' * 1000}") for number in range(2000))))
    assert len(text) < 100_000
    assert text.endswith("\n…\n```\n")


@pytest.mark.parametrize(
    ("size", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_900, "999.9 kB"), (1_500_000, "1.5 MB"), (2**31, "2147.5 MB")],
)
def test_sizes_are_those_of_registries(size: int, said: str) -> None:
    image = BuiltImage("api", "linux/amd64", "built", 0.0, "", DIGEST, ACI_ID, size)
    assert f"| built | {said} |" in to_markdown(Report(0, 0.0, images=(image,)))
