"""What a step reads, by SHA-256: looked at once for several steps, and once more when they have run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procession_tasks.cache.contents import Contents, Look
from procession_tasks.cache.merkle import File, Folder
from procession_tasks.cache.reapi import digest_of


@pytest.fixture
def look(tmp_path: Path) -> Look:
    (tmp_path / "one").write_text("one")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/two").write_text("two")
    return Look(Contents(tmp_path))


def test_a_look_says_what_is_there(look: Look) -> None:
    found = look.nodes(["one", "folder", "absent"])
    assert found == {"one": File(digest_of(b"one")), "folder": Folder(), "folder/two": File(digest_of(b"two"))}
    assert [path for path in ("one", "folder", "absent") if look.is_file(path)] == ["one"]


def test_what_was_seen_stays_for_the_next_who_asks(look: Look, tmp_path: Path) -> None:
    before = look.nodes(["one"]), look.names("folder"), look.is_file("three")
    (tmp_path / "one").write_text("another")
    (tmp_path / "folder/three").touch()
    (tmp_path / "three").touch()
    assert (look.nodes(["one"]), look.names("folder"), look.is_file("three")) == before
    assert Look(Contents(tmp_path)).names("folder") != before[1]


@pytest.mark.parametrize("change", ["content", "gone"])
def test_what_changed_since_it_was_looked_at_is_not_the_same(change: str, look: Look, tmp_path: Path) -> None:
    one, two = look.nodes(["one"]), look.nodes(["folder/two"])
    (tmp_path / "one").write_text("eno") if change == "content" else (tmp_path / "one").unlink()
    assert not look.are_same(one)
    assert not look.are_same({**two, **one})
    assert look.are_same(two)


def test_a_folder_that_cannot_be_read_has_a_dash(look: Look, tmp_path: Path) -> None:
    assert look.names("absent") == "-"
    assert look.names("one") == "-"
    os.makedirs(tmp_path / "empty")
    assert look.names("empty") not in ("-", look.names("folder"))
