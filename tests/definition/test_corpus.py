"""Our verdict and bytes against those of actool 0.8.11, over the tables of the specification's own tests."""

import base64
import json
import re
from pathlib import Path

import pytest

from procession_tasks.definition.manifest import canonical, parse_manifest
from procession_tasks.errors import DefinitionError

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "appc-corpus" / "manifests.jsonl"
DOCUMENT = ROOT / "docs" / "appc-differences.md"
AGREEMENT = 0.99

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"the corpus {CORPUS.name} is not beside the repository")


def source(row):
    return base64.b64decode(row["manifest_b64"]) if "manifest_b64" in row else row["manifest"].encode()


def verdict(row, *, strict=False):
    try:
        return parse_manifest(source(row), "manifest", strict=strict)
    except DefinitionError:
        return None


@pytest.fixture(scope="module")
def rows():
    return [json.loads(line) for line in CORPUS.read_text().splitlines()]


def differing(rows, *, strict=False):
    return {row["id"] for row in rows if (verdict(row, strict=strict) is not None) != row["build_ok"]}


def documented(heading):
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^\| `(go-table/[^`]+)`", section[1], re.MULTILINE))


def test_the_verdict_agrees(rows):
    assert len(differing(rows)) <= (1 - AGREEMENT) * len(rows)


def test_every_difference_is_documented(rows):
    assert differing(rows) == documented("Differences in the corpus")


def test_every_difference_of_strict_reading_is_documented(rows):
    assert differing(rows, strict=True) - differing(rows) == documented("Strict reading")


def test_the_bytes_written_are_those_of_actool(rows):
    both = [(canonical(verdict(row)).decode(), row["canonical"]) for row in rows if row["build_ok"] and verdict(row)]

    assert both
    assert [ours for ours, theirs in both if ours != theirs] == []
