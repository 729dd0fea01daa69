"""The table that ends a run at a terminal."""

from __future__ import annotations

import re

import pytest

from procession_tasks.graph.closing import table
from procession_tasks.graph.live import Look
from procession_tasks.graph.report import BuiltImage

DIGEST = "sha256:" + "866b5f03adc8" + "0" * 52
BUILT = BuiltImage("api", "linux/amd64", "built", 5.21, "", DIGEST, "sha512-1", 3_551_258)
CACHED = BuiltImage("mysql", "linux/amd64", "cached", 0.3, "", DIGEST, "sha512-2", 19_700_000)
FRESH = BuiltImage("etcd", "linux/amd64", "fresh", 0.0, "", DIGEST, "sha512-3", 11_500_000)
FAILED = BuiltImage("iam", "linux/amd64", "failed", 1.0, "")


def laid_out(*images: BuiltImage, columns: int = 80, colours: bool = False) -> list[str]:
    return table(images, Look(columns, 24, colours, unicode=True)).splitlines()


def test_a_row_an_image_numbers_to_the_right() -> None:
    assert laid_out(BUILT, FRESH, FAILED, CACHED) == [
        "image  outcome  digest         time     size",
        "api    built    866b5f03adc8  5.2 s   3.6 MB",
        "etcd   fresh    866b5f03adc8         11.5 MB",
        "iam    failed                 1.0 s",
        "mysql  cached   866b5f03adc8  0.3 s  19.7 MB",
    ]


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        (44, "image  outcome  digest         time     size"),
        (43, "image  outcome   time     size"),
        (25, "image  outcome   time"),
        (20, "image  outcome"),
    ],
)
def test_columns_go_where_there_is_no_room(columns: int, head: str) -> None:
    lines = laid_out(BUILT, FRESH, FAILED, CACHED, columns=columns)
    assert lines[0] == head
    assert max(map(len, lines)) <= columns


def test_platforms_are_named_where_they_differ() -> None:
    arm = BuiltImage("api", "linux/arm64", "built", 5.0, "", DIGEST, None, 1)
    assert [line.split("  ")[0] for line in laid_out(BUILT, arm)][1:] == ["api linux/amd64", "api linux/arm64"]


def test_many_fresh_images_are_counted() -> None:
    fresh = [BuiltImage(f"f{number}", "linux/amd64", "fresh", 0.0, "", DIGEST, None, 1) for number in range(97)]
    lines = laid_out(BUILT, *fresh)
    assert [line.split()[0] for line in lines] == ["image", "api", "97"]
    assert lines[-1] == "97 images are fresh"
    assert laid_out(*fresh) == ["97 images are fresh"]


def test_no_image_is_no_table() -> None:
    assert table((), Look(80, 24, colours=True, unicode=True)) == ""


def test_colours_change_no_width() -> None:
    coloured = laid_out(BUILT, FAILED, colours=True)
    assert [re.sub(r"\x1b\[[0-9]*m", "", line) for line in coloured] == laid_out(BUILT, FAILED)
    assert "\x1b[31mfailed\x1b[0m" in coloured[2]
