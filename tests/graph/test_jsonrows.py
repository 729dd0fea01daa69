"""JSON that is a document to a parser and lines to who looks at it."""

from __future__ import annotations

import json

import pytest

from procession_tasks.graph.jsonrows import render

CONTENT = {"version": 1, "since": 'a "b" → c', "images": [{"name": "api", "chains": [["x", "y"]]}, {"name": "iam"}]}


@pytest.mark.parametrize("content", [CONTENT, {"images": []}, {"run": {"words": ["a"]}, "tasks": [None]}])
def test_it_reads_back(content: dict[str, object]) -> None:
    assert json.loads(render(content)) == content


def test_each_item_has_a_line() -> None:
    assert [line for line in render(CONTENT).splitlines() if '"name"' in line] == [
        '    {"name": "api", "chains": [["x", "y"]]},',
        '    {"name": "iam"}',
    ]
