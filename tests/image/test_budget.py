"""Size budgets: what counts, what is told of an image that is over it, and what is remembered."""

from __future__ import annotations

from procession_tasks.image.budget import Held, dump, excess, held, parse
from procession_tasks.rootfs.tree import Entry

NOTHING = Held({})
MEGA = 1_000_000


def test_files_count_and_hard_links_and_folders_do_not() -> None:
    entries = [
        Entry("a", "file", 0o644, size=5),
        Entry("b", "hardlink", 0o644, link="a"),
        Entry("c", "directory", 0o755),
        Entry("d", "file", 0o644, size=7),
    ]
    found = held(entries, {"a": "pkg", "b": "pkg", "c": "paths", "d": "go"})
    assert (found.files, found.total) == ({"pkg": {"a": 5}, "go": {"d": 7}}, 12)


def test_an_image_may_be_as_large_as_its_budget() -> None:
    assert excess(12, Held({"go": {"a": 12}}), NOTHING) == ()
    assert excess(11, Held({"go": {"a": 12}}), NOTHING)[0] == "12 B, 1 B too much"


def test_what_grew_is_told_largest_first() -> None:
    before = Held({"go": {"bin/a": 2 * MEGA}, "libc6": {"lib/c": MEGA, "lib/d": MEGA}, "rootfs": {"etc/x": 9}})
    now = Held(
        {
            "go": {"bin/a": 2 * MEGA + 500},
            "libc6": {"lib/c": MEGA, "lib/d": 4 * MEGA},
            "rootfs": {"etc/x": 1},
            "tzdata": {"usr/b": 1000, "usr/a": 1000},
        }
    )
    assert excess(5 * MEGA, now, before) == (
        "7.0 MB, 2.0 MB too much",
        "what grew since it last was within its budget:",
        "    +3.0 MB  libc6: 2.0 MB -> 5.0 MB (/lib/d)",
        "    +2.0 kB  tzdata: new (/usr/a)",
        "     +500 B  go: 2.0 MB -> 2.0 MB (/bin/a)",
    )


def test_without_anything_to_compare_with_it_is_told_what_there_is() -> None:
    now = Held({"go": {"bin/a": 2 * MEGA}, "rootfs": {"etc/x": 9, "etc/y": 10}})
    told = ("what it holds:", "     2.0 MB  go (/bin/a)", "       19 B  rootfs (/etc/y)")
    assert excess(1, now, NOTHING)[1:] == told
    assert excess(1, now, now)[1:] == told, "a budget that was lowered"


def test_long_lists_are_cut() -> None:
    now = Held({f"p{number}": {f"f{number}": number} for number in range(1, 21)})
    lines = excess(1, now, NOTHING)
    assert len(lines) == 2 + 8 + 1
    assert lines[-1] == "  and 12 more"


def test_what_is_remembered_is_read_back_whatever_names_are() -> None:
    what = Held({"go": {"bin/a": 1}, "pkg": {"a b\n\udcff": 2}})
    assert parse(dump(what)) == what
    assert dump(parse(dump(what))) == dump(what)


def test_what_somebody_else_wrote_is_nothing_to_compare_with() -> None:
    for text in (b"\xff", b"{", b'["go", "a"]\n', b'["go", "a", "x"]\n', b"[1, 2"):
        assert parse(text) == NOTHING
