"""What a run keeps for the next is read back whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import kept

VALUE = {"numbers": (1, 2.5, -(2**70)), "text": ["ü\n", "\udce9"], "none": None, "nested": {("a", 1): {}}}


@pytest.mark.parametrize("value", [None, 0, "", (), [], {}, VALUE, ("x" * 100_000,)], ids=lambda v: str(v)[:20])
def test_a_value_comes_back(tmp_path: Path, value: Any) -> None:
    kept.save(tmp_path / "state" / "value", value)
    assert kept.load(tmp_path / "state" / "value") == value


def test_nothing_kept_is_none(tmp_path: Path) -> None:
    assert kept.load(tmp_path / "nothing") is None
    assert kept.load(tmp_path) is None


def test_a_torn_file_is_none_at_every_length(tmp_path: Path) -> None:
    path = tmp_path / "value"
    kept.save(path, VALUE)
    content = path.read_bytes()
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        assert kept.load(path) is None, cut
    path.write_bytes(content + b"\0")
    assert kept.load(path) is None


def test_a_flipped_bit_anywhere_is_none(tmp_path: Path) -> None:
    path = tmp_path / "value"
    kept.save(path, VALUE)
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        assert kept.load(path) is None, position


def test_another_python_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.save(tmp_path / "value", VALUE)
    monkeypatch.setattr(kept, "_MAGIC", kept._MAGIC.replace(b"cpython", b"another"))
    assert kept.load(tmp_path / "value") is None


def test_what_cannot_be_kept_leaves_what_was(tmp_path: Path) -> None:
    kept.save(tmp_path / "value", 1)
    with pytest.raises(ValueError, match="unmarshallable"):
        kept.save(tmp_path / "value", object())
    assert kept.load(tmp_path / "value") == 1
    assert os.listdir(tmp_path) == ["value"]
