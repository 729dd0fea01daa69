"""The list of an image's files: what is written can be read back, whatever a file is called."""

from __future__ import annotations

import random

import pytest

from procession_tasks.rootfs.tree import Entry, dump, ordered, parse

DIGEST = "ab" * 32
NAMES = [
    "plain",
    "with space",
    "with\ttab",
    "with\nnewline",
    "with\rreturn",
    "back\\slash",
    "back\\040slash",
    "ends with space ",
    " begins with one",
    "del\x7f",
    "nul\x01",
    "näme",
    "日本語",
    "not-utf-8-\udce9",
    "line\u2028separator",
    "next\x85line",
    "#hash",
    "=equals=",
    "-",
    "'quoted'",
    "a" * 255,
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_survives_being_written_and_read(name: str) -> None:
    entries = (
        Entry(f"d-{name}", "directory", 0o1777, 1, 2),
        Entry(f"e/{name}", "file", 0o4755, 65532, 65532, 12, DIGEST),
        Entry(f"l-{name}", "symlink", 0o777, link=f"../{name}"),
        Entry(f"m-{name}", "hardlink", 0o644, link=name),
        Entry(
            f"x-{name}",
            "file",
            0o644,
            size=0,
            digest=DIGEST,
            xattrs=(("security.capability", b"\x00\xff"), (name, b"")),
        ),
    )
    assert parse(dump(entries)) == ordered(entries)


def test_a_list_is_one_line_a_path() -> None:
    entries = [Entry(name, "file", 0o644, digest=DIGEST) for name in NAMES]
    text = dump(entries)
    assert text.count(b"\n") == len(NAMES)
    assert not set(text) & (set(range(0x20)) - {0x0A})


def test_a_line_says_what_it_is_in_the_order_people_read() -> None:
    entries = [
        Entry("bin", "directory", 0o755),
        Entry("bin/api", "file", 0o755, 1, 2, 34, DIGEST),
        Entry("bin/sh", "symlink", 0o777, link="busy box"),
    ]
    assert dump(entries).decode().splitlines() == [
        "directory 0755 0 0 0 - bin",
        f"file 0755 1 2 34 {DIGEST} bin/api",
        "symlink 0777 0 0 0 - bin/sh busy\\040box",
    ]


def test_order_is_that_of_the_bytes_whatever_it_came_in() -> None:
    entries = [Entry(name, "file", 0o644) for name in ("a", "a/b", "a-b", "a.b", "Z", "é", "z", "\udcff")]
    expected = dump(entries)
    for seed in range(5):
        shuffled = random.Random(seed).sample(entries, len(entries))
        assert dump(shuffled) == expected
    paths = [line.split(b" ")[6] for line in expected.splitlines()]
    assert paths == sorted(paths)


def test_a_folder_sorts_before_what_is_in_it() -> None:
    entries = [Entry("a/b/c", "file", 0o644), Entry("a/b", "directory", 0o755), Entry("a", "directory", 0o755)]
    assert [entry.path for entry in ordered(entries)] == ["a", "a/b", "a/b/c"]


def test_nothing_is_an_empty_list() -> None:
    assert dump([]) == b""
    assert parse(b"") == ()


GOOD = b"directory 0755 0 0 0 - bin\n"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"folder 0755 0 0 0 - bin",
        b"directory 0755 0 0 0 -",
        b"directory 0999 0 0 0 - bin",
        b"directory rwx 0 0 0 - bin",
        b"directory 0755 root 0 0 - bin",
        b"file 0644 0 0 many - bin",
        b"symlink 0777 0 0 0 - bin",
        b"file 0644 0 0 0 - bin user.name=xyz",
        b"\xff 0644 0 0 0 - bin",
        b"file\t0644\t0\t0\t0\t-\tbin",
    ],
)
def test_a_line_that_is_no_entry_is_refused_with_its_number(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"^line 2: "):
        parse(GOOD + line + b"\n" + GOOD)


def test_a_list_that_was_cut_short_is_refused() -> None:
    """Or a name that lost its end would be read as another file's."""
    text = dump([Entry("bin", "directory", 0o755), Entry("bin/api", "file", 0o755, digest=DIGEST)])
    whole = {0, len(GOOD), len(text)}
    for cut in range(len(text) + 1):
        if cut in whole:
            assert len(parse(text[:cut])) == sorted(whole).index(cut)
        else:
            with pytest.raises(ValueError, match=r"^line "):
                parse(text[:cut])
