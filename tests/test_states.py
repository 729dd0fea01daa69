"""What files hold, remembered for as long as it can be known to be true and no longer."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import xxhash

from procession_tasks import states as states_module
from procession_tasks.states import ABSENT, States


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def look(root: Path) -> States:
    """What a new run knows."""
    return States(root, root.parent / "cache")


def settled(path: Path) -> Path:
    """Wait until a change of the file could be told from the last one."""
    while time.time_ns() <= path.lstat().st_ctime_ns + states_module._TICK_NS:
        time.sleep(0.002)
    return path


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []
    real = states_module.files.xxh3

    def counting(path: str) -> str:
        read.append(os.path.basename(path))
        return real(path)

    monkeypatch.setattr(states_module.files, "xxh3", counting)
    return read


def test_what_is_not_there_is_absent(root: Path) -> None:
    (root / "file").write_text("")
    assert look(root).state("nothing") == ABSENT
    assert look(root).state("file/below") == ABSENT
    assert look(root).listing("nothing") == ABSENT
    assert look(root).listing("file") == ABSENT


def test_a_state_is_that_of_the_bytes_and_of_nothing_else(root: Path) -> None:
    for name in ("one", "two"):
        (root / name).write_text("same")
    (root / "two").chmod(0o755)
    os.utime(root / "two", (1, 1))
    assert look(root).state("one") == look(root).state("two") == look(root).state(str(root / "one"))
    (root / "two").write_text("tame")
    assert look(root).state("one") != look(root).state("two")


def test_a_file_is_looked_at_once_a_run(root: Path) -> None:
    (root / "file").write_text("before")
    states = look(root)
    before = states.state("file")
    (root / "file").write_text("after")
    assert states.state("file") == before
    states.forget(["file"])
    assert states.state("file") != before


def test_to_forget_a_folder_forgets_what_is_below(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "file").write_text("before")
    (root / "ab").write_text("before")
    states = look(root)
    before = states.state("a/file"), states.state("ab")
    (root / "a" / "file").write_text("after")
    (root / "ab").write_text("after")
    states.forget(["a"])
    assert states.state("a/file") != before[0]
    assert states.state("ab") == before[1]


def test_an_unchanged_file_is_not_read_again_by_the_next_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "file").write_text("text")
    settled(root / "file")
    first = look(root)
    state = first.state("file")
    first.save()
    read = count_reads(monkeypatch)
    assert look(root).state("file") == state
    assert read == []


@pytest.mark.parametrize("change", ["bytes", "size", "inode", "mtime"])
def test_a_changed_file_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    file = root / "file"
    file.write_text("text")
    first = look(root)
    settled(file)
    before = first.state("file")
    first.save()
    stat = file.stat()
    if change == "inode":
        (root / "new").write_text("next")
        (root / "new").replace(file)
    elif change != "mtime":
        file.write_text("next" if change == "bytes" else "longer text")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + (change == "mtime")))
    read = count_reads(monkeypatch)
    after = look(root).state("file")
    assert read == ["file"]
    assert (after == before) == (change == "mtime")


def test_what_was_read_in_the_tick_of_its_change_is_not_trusted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second write in the same tick would leave size, times and inode as they are."""
    (root / "file").write_text("text")
    stat = (root / "file").stat()
    monkeypatch.setattr(states_module.time, "time_ns", lambda: stat.st_ctime_ns + states_module._TICK_NS)
    first = look(root)
    first.state("file")
    first.save()
    read = count_reads(monkeypatch)
    look(root).state("file")
    assert read == ["file"]


def test_what_was_read_after_the_tick_is_trusted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "file").write_text("text")
    stat = (root / "file").stat()
    ctime = stat.st_ctime_ns + (stat.st_ctime_ns % 1_000_000_000 == 0) * states_module._COARSE_NS
    monkeypatch.setattr(states_module.time, "time_ns", lambda: ctime + states_module._TICK_NS + 1)
    first = look(root)
    first.state("file")
    first.save()
    read = count_reads(monkeypatch)
    look(root).state("file")
    assert read == []


def test_a_clock_set_back_is_not_trusted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "file").write_text("text")
    monkeypatch.setattr(states_module.time, "time_ns", lambda: 0)
    first = look(root)
    first.state("file")
    first.save()
    read = count_reads(monkeypatch)
    look(root).state("file")
    assert read == ["file"]


@pytest.mark.parametrize(("now", "trusted"), [(1, False), (states_module._COARSE_NS, False), (2_000_000_001, True)])
def test_whole_seconds_are_taken_for_a_coarse_clock(now: int, *, trusted: bool) -> None:
    ctime = 1_700_000_000 * 1_000_000_000
    assert states_module.settled((1, 1, ctime, 1), ctime + now) == trusted


def test_saving_settles_what_was_racy_when_it_was_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "file").write_text("text")
    (root / "folder").mkdir()
    first = look(root)
    first.state("file")
    first.listing("folder")
    settled(root / "file")
    settled(root / "folder")
    first.save()
    read = count_reads(monkeypatch)
    later = look(root)
    later.state("file")
    assert read == []
    before = (root.parent / "cache").stat()
    later.listing("folder")
    later.save()
    assert (root.parent / "cache").stat() == before


def test_saving_what_is_known_writes_nothing(root: Path) -> None:
    (root / "file").write_text("text")
    settled(root / "file")
    first = look(root)
    first.state("file")
    first.save()
    before = (root.parent / "cache").stat()
    second = look(root)
    second.state("file")
    second.save()
    assert (root.parent / "cache").stat() == before


def test_a_damaged_memory_is_none(root: Path) -> None:
    (root / "file").write_text("text")
    state = look(root).state("file")
    (root.parent / "cache").write_bytes(b"\0" * 100)
    assert look(root).state("file") == state


def test_a_memory_that_cannot_be_written_is_done_without(root: Path) -> None:
    (root / "file").write_text("text")
    settled(root / "file")
    states = States(root, root / "file" / "cache")
    states.state("file")
    states.save()
    assert (root / "file").read_text() == "text"


# Folders


def tree(root: Path) -> str:
    """The state of the folder `t`, with nothing remembered."""
    return States(root, root.parent / "none").state("t")


@pytest.fixture
def folder(root: Path) -> Path:
    (root / "t" / "sub" / "empty").mkdir(parents=True)
    (root / "t" / "file").write_text("text")
    (root / "t" / "sub" / "other").write_text("other")
    (root / "t" / "link").symlink_to("file")
    return root / "t"


def test_a_folder_has_a_state_that_tells_it_from_a_file(root: Path, folder: Path) -> None:
    assert folder.is_dir()
    assert tree(root).startswith("tree-")


CHANGES = {
    "an edit": lambda t: (t / "sub" / "other").write_text("OTHER"),
    "a new file": lambda t: (t / "new").write_text(""),
    "a new folder": lambda t: (t / "new").mkdir(),
    "a removed file": lambda t: (t / "file").unlink(),
    "a removed folder": lambda t: (t / "sub" / "empty").rmdir(),
    "a renamed file": lambda t: (t / "file").rename(t / "file2"),
    "a moved file": lambda t: (t / "file").rename(t / "sub" / "file"),
    "an executable bit": lambda t: (t / "file").chmod(0o755),
    "another link": lambda t: ((t / "link").unlink(), (t / "link").symlink_to("sub")),
    "a link that becomes its file": lambda t: ((t / "link").unlink(), (t / "link").write_text("text")),
    "a folder that becomes a file": lambda t: ((t / "sub" / "empty").rmdir(), (t / "sub" / "empty").write_text("")),
    "a named pipe": lambda t: os.mkfifo(t / "pipe"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_anywhere_below_changes_the_state_of_a_folder(root: Path, folder: Path, change: str) -> None:
    before = tree(root)
    CHANGES[change](folder)
    assert tree(root) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda t: os.utime(t / "file", (1, 1)),
        lambda t: (t / "file").chmod(0o600),
        lambda t: (t / "sub").chmod(0o700),
        lambda t: (t.parent / "beside").write_text(""),
    ],
    ids=["time", "group's rights", "folder's rights", "a file beside"],
)
def test_what_an_image_does_not_take_leaves_the_state_of_a_folder(root: Path, folder: Path, change: object) -> None:
    before = tree(root)
    change(folder)  # type: ignore[operator]
    assert tree(root) == before


def test_names_that_run_into_one_another_are_told_apart(root: Path) -> None:
    (root / "t").mkdir()
    odd = root / "t" / f"a\nfile {xxhash.xxh3_128_hexdigest(b'')} b"
    odd.write_text("")
    one = tree(root)
    odd.unlink()
    (root / "t" / "a").write_text("")
    (root / "t" / "b").write_text("")
    assert tree(root) != one


def test_a_link_below_a_folder_is_not_followed(root: Path, folder: Path) -> None:
    (root / "outside").write_text("before")
    (folder / "out").symlink_to("../outside")
    (folder / "round").symlink_to(".")
    before = tree(root)
    (root / "outside").write_text("after")
    assert tree(root) == before


def test_a_link_to_a_file_has_the_state_of_the_file(root: Path) -> None:
    (root / "file").write_text("text")
    (root / "link").symlink_to("file")
    (root / "broken").symlink_to("nothing")
    states = look(root)
    assert states.state("link") == states.state("file")
    assert states.state("broken") not in {ABSENT, states.state("file")}


def test_a_named_pipe_is_not_read(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert look(root).state("pipe").startswith("special-")


def test_a_listing_is_of_names_alone(root: Path, folder: Path) -> None:
    def listing() -> str:
        return States(root, root.parent / "none").listing("t")

    before = listing()
    (folder / "file").write_text("edited")
    (folder / "sub" / "new").write_text("")
    assert listing() == before
    (folder / "new").write_text("")
    assert listing() != before
    (folder / "new").unlink()
    assert listing() == before
