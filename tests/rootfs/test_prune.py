"""What patterns of paths match, and what is left of an image after pruning."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest

from procession_tasks.rootfs.prune import expression, left_out, unmatched

PATHS = [
    "etc/init.d/etcd",
    "usr/bin/etcd",
    "usr/share/doc/etcd/README",
    "usr/share/doc/etcd/copyright",
    "usr/share/doc/etcd/examples/a.gz",
    "usr/share/doc/etcd/examples/deep/b.gz",
    "usr/share/doc2/x",
    "usr/share/man/man1/etcd.1.gz",
    "usr/share/man/man8/x[1].8.gz",
]


def tree(*paths: str) -> dict[str, bool]:
    """Files, or folders where a path ends with a slash, with all folders above them."""
    found: dict[str, bool] = {}
    for path in paths:
        parts = path.rstrip("/").split("/")
        for depth in range(1, len(parts)):
            found["/".join(parts[:depth])] = True
        found.setdefault("/".join(parts), path.endswith("/"))
    return found


def matched(pattern: str) -> list[str]:
    return [path for path in PATHS if path in left_out(tree(*PATHS), [pattern], [])]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("usr/bin/etcd", ["usr/bin/etcd"]),
        ("usr/bin/*", ["usr/bin/etcd"]),
        ("usr/bin/etc", []),
        ("bin/etcd", []),
        ("usr/share/doc", PATHS[2:6]),
        ("usr/share/doc*", PATHS[2:7]),
        ("usr/share/doc/*/*", PATHS[2:6]),
        ("usr/share/doc/*/?EADME", PATHS[2:3]),
        ("usr/share/doc/**/*.gz", PATHS[4:6]),
        ("usr/share/doc/etcd/**", PATHS[2:6]),
        ("usr/share/**/etcd", PATHS[2:6]),
        ("**/etcd", [*PATHS[0:6]]),
        ("**/*.gz", [*PATHS[4:6], *PATHS[7:]]),
        ("**", PATHS),
        ("*", PATHS),
        ("usr/share/man/man[18]", PATHS[7:]),
        ("usr/share/man/man[!1]", PATHS[8:]),
        ("usr/share/man/man[^1-7]", PATHS[8:]),
        ("usr/share/man/man[1-7]", PATHS[7:8]),
        ("usr/share/man/*/x[[]1].8.gz", PATHS[8:]),
        ("usr/share/man/man[1", []),
        ("usr.bin.etcd", []),
        ("usr/share/man/man1/etcd*gz", PATHS[7:8]),
        ("usr/share*etcd", []),
        ("usr/share?doc", []),
        ("usr/share[/]doc", []),
    ],
)
def test_a_pattern_matches_parts_and_takes_what_is_below(pattern: str, expected: list[str]) -> None:
    assert matched(pattern) == expected


@pytest.mark.parametrize(
    "pattern", ["a[]", "a[z-a]", "a[[:alpha:]]", "a[--b]", "a[a&&b]", "a[\\d]", "a(b", "a+", "a{2}", "^a$"]
)
def test_what_is_no_class_stands_for_itself_and_nothing_is_warned_of(pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        re.compile(expression(pattern))


def test_a_kept_path_wins_with_all_folders_above_it() -> None:
    paths = tree("usr/share/doc/a/copyright", "usr/share/doc/a/README", "usr/share/doc/b/README")
    gone = left_out(paths, ["usr/share/doc"], ["usr/share/doc/*/copyright"])
    assert {path for path in paths if path not in gone} == {
        "usr", "usr/share", "usr/share/doc", "usr/share/doc/a", "usr/share/doc/a/copyright",
    }  # fmt: skip


def test_a_kept_folder_keeps_what_is_below_it() -> None:
    paths = tree("a/b/c", "a/b/d/")
    assert left_out(paths, ["**"], ["a/b"]) == set()


def test_folders_that_become_empty_go_and_those_that_were_stay() -> None:
    paths = tree("etc/init.d/etcd", "var/empty/", "var/cache/man/", "opt/a/b/c")
    assert left_out(paths, ["etc/init.d/*", "var/cache/man", "opt/**/c"], []) == {
        "etc", "etc/init.d", "etc/init.d/etcd", "var/cache", "var/cache/man", "opt", "opt/a", "opt/a/b", "opt/a/b/c",
    }  # fmt: skip


def test_names_that_sort_between_a_folder_and_what_it_holds_do_no_harm() -> None:
    assert left_out(tree("a/b", "a.b", "a-b/c"), ["a/b"], []) == {"a", "a/b"}


def test_a_file_below_which_there_is_a_path_is_no_folder_that_becomes_empty() -> None:
    """Two packages that do not go together, until one of the paths is pruned."""
    assert left_out({"opt": True, "opt/x": False, "opt/x/y": False}, ["opt/x/y"], []) == {"opt/x/y"}


def test_nothing_is_left_out_without_patterns() -> None:
    assert left_out(tree(*PATHS), [], []) == set()


# Patterns that match nothing


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("usr/share/doc/ectd", "did you mean usr/share/doc/etcd?"),
        ("usr/share/mam", "did you mean usr/share/man?"),
        ("opt/zzz/*", None),
    ],
)
def test_a_pattern_that_matches_nothing_is_told_with_the_nearest_path(pattern: str, hint: str | None) -> None:
    assert list(unmatched(["usr/bin", pattern], tree(*PATHS))) == [(pattern, hint)]


def test_patterns_that_match_the_same_all_count() -> None:
    assert list(unmatched(["usr/share/doc", "usr/share/doc/etcd", "**/README", "usr"], tree(*PATHS))) == []


def test_no_patterns_are_no_mistake() -> None:
    nothing: Any = []
    assert list(unmatched(nothing, tree(*PATHS))) == []
