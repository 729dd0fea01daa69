"""What was looked at, held against what is there: each way in which a file or folder can change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from procession_tasks.graph.watched import folders_below, is_temporary, look
from procession_tasks.graph.watching import told

TEMPORARY = (".main.go.swp", ".x.swo", "4913", "main.go~", "#main.go#", ".#main.go", "a.go___jb_tmp___", ".x.kate-swp",
             ".goutputstream-AB12", ".image.yaml.part")  # fmt: skip
LASTING = ("main.go", "swp", "49131", "a.go.swap", "tilde~.go", ".hidden", "a#b.go", "x.part", "sediments", "jb_tmp")


@pytest.mark.parametrize("name", TEMPORARY)
def test_these_are_what_editors_leave_for_a_moment(name: str) -> None:
    assert is_temporary(name)


@pytest.mark.parametrize("name", LASTING)
def test_these_are_not(name: str) -> None:
    assert not is_temporary(name)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("src/a.go", "src/b.go", "rootfs/etc/motd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "link").symlink_to("src/b.go")
    return tmp_path


NAMES = ("src/", "src/a.go", "link", "rootfs", "go.work", "src/go.mod")

CHANGES: dict[str, tuple[Callable[[Path], object], dict[str, str]]] = {
    "nothing": (lambda at: None, {}),
    "an edit": (lambda at: (at / "src/a.go").write_text("other"), {"src/a.go": "changed"}),
    "an edit that keeps size and time": (
        lambda at: ((at / "src/a.go").write_text("next"), os.utime(at / "src/a.go", (1, 1))),
        {"src/a.go": "changed"},
    ),
    "a mode": (lambda at: (at / "rootfs/etc/motd").chmod(0o755), {"rootfs/etc/motd": "changed"}),
    "a file that went": (lambda at: (at / "src/a.go").unlink(), {"src/a.go": "gone"}),
    "a file behind a link": (lambda at: (at / "src/b.go").write_text("other"), {"src/b.go": "changed"}),
    "a name that came": (lambda at: (at / "src/c.go").write_text(""), {"src/c.go": "new"}),
    "a file that was not there": (lambda at: (at / "go.work").write_text(""), {"go.work": "new"}),
    "a file that was not there in a folder": (lambda at: (at / "src/go.mod").write_text(""), {"src/go.mod": "new"}),
    "a folder below": (lambda at: (at / "rootfs/var/lib").mkdir(parents=True), {"rootfs/var": "new"}),
    "a folder that went": (lambda at: (at / "src").rename(at / "gone"), {"src/a.go": "gone", "src/b.go": "gone"}),
    "what an editor leaves": (lambda at: [(at / "src" / name).write_text("") for name in TEMPORARY], {}),
    "what no build looks at": (lambda at: (at / "README").write_text(""), {}),
    "a file of the same name": (
        lambda at: ((at / "new").write_text("text"), (at / "new").rename(at / "src/a.go")),
        {"src/a.go": "changed"},
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen_and_named(place: Path, what: str) -> None:
    change, expected = CHANGES[what]
    looked = look(place, NAMES)
    assert looked.changes() == {}
    change(place)
    found = {os.path.relpath(path, place): how for path, (how, _) in looked.changes().items()}
    assert found == expected
    assert looked.again().changes() == {}


def test_a_swap_file_that_a_build_saw_counts_when_it_goes(place: Path) -> None:
    swap = place / "rootfs/etc/.motd.swp"
    swap.write_text("")
    looked = look(place, NAMES)
    swap.write_text("more")
    (place / "rootfs/etc/.other.swp").write_text("")
    assert looked.changes() == {}
    swap.unlink()
    assert [*looked.changes()] == [str(swap)]


def test_a_folder_that_only_editors_touched_is_listed_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = look(place, ["src/"])
    (place / "src/.a.go.swp").write_text("")
    assert looked.changes() == {}
    monkeypatch.setattr(os, "listdir", lambda _: pytest.fail("listed again"))
    assert looked.changes() == {}


def test_what_only_an_earlier_build_looked_at_is_added(place: Path) -> None:
    both = look(place, ["src/a.go"]).joined(look(place, ["rootfs"]))
    (place / "src/a.go").write_text("other")
    (place / "rootfs/etc/motd").write_text("other")
    assert len(both.changes()) == 2


def test_hidden_folders_are_no_part_of_a_module(place: Path) -> None:
    (place / "src/.git/objects").mkdir(parents=True)
    (place / "src/deep/er").mkdir(parents=True)
    assert sorted(folders_below(place, "src")) == ["src/", "src/deep/", "src/deep/er/"]


def test_what_changed_is_told_in_a_line(tmp_path: Path) -> None:
    changes = {f"{tmp_path}/{name}.go": ("changed", None) for name in "dcba"} | {f"{tmp_path}/e": ("gone", None)}
    assert told(changes, tmp_path) == "a.go, b.go, c.go and 1 more changed, e went"
