"""How the parts of an image's file system come together, and what is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.rootfs.merge import Source, folder_sources, merge, override
from procession_tasks.rootfs.tree import Entry, Type


def source(path: str, kind: Type = "file", content: bytes = b"", origin: str = "here", link: str = "") -> Source:
    return Source(Entry(path, kind, 0o755 if kind == "directory" else 0o644, link=link), origin, content)


def link(path: str, target: str) -> Source:
    return source(path, "symlink", link=target, origin=f"rootfs/{path}")


def refused(*sources: Source) -> list[str]:
    with pytest.raises(BuildError) as caught:
        merge(sources)
    return caught.value.message.splitlines()


# Reading a rootfs/ folder


def listed(folder: Path) -> dict[str, Source]:
    return {found.entry.path: found for found in folder_sources(folder, "rootfs")}


def test_no_folder_is_no_sources(tmp_path: Path) -> None:
    assert listed(tmp_path / "rootfs") == {}


def test_a_folder_is_listed_with_the_modes_git_records(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o700)
    for name, mode in (("plain", 0o600), ("program", 0o711), ("group-only", 0o675), ("odd", 0o4755)):
        (tmp_path / "etc" / name).write_text(name)
        (tmp_path / "etc" / name).chmod(mode)
    found = listed(tmp_path)
    assert {path: one.entry.mode for path, one in found.items()} == {
        "etc": 0o755,
        "etc/plain": 0o644,
        "etc/program": 0o755,
        "etc/group-only": 0o644,
        "etc/odd": 0o755,
    }
    assert {(one.entry.uid, one.entry.gid) for one in found.values()} == {(0, 0)}
    assert found["etc/plain"].origin == "rootfs/etc/plain"


def test_a_link_is_a_link_even_to_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("")
    (tmp_path / "alias").symlink_to("real")
    (tmp_path / "nowhere").symlink_to("/not/there")
    found = listed(tmp_path)
    assert set(found) == {"real", "real/file", "alias", "nowhere"}
    assert found["alias"].entry == Entry("alias", "symlink", 0o777, link="real")
    assert found["nowhere"].entry.link == "/not/there"


def test_names_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")).write_text("")
    assert set(listed(tmp_path)) == {"caf\udce9"}


def test_a_named_pipe_is_refused_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "pipe")
    with pytest.raises(BuildError, match=r"^rootfs/run/pipe: must be a file, a folder or a symlink, got a named pipe"):
        listed(tmp_path)


def test_a_socket_is_refused_by_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(BuildError, match="got a socket"):
            listed(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rootfs").write_text("")
    with pytest.raises(BuildError, match=r"^rootfs: cannot be read: Not a directory"):
        listed(tmp_path / "rootfs")


# Merging


def test_folders_that_nobody_names_are_made() -> None:
    merged = merge([source("usr/lib/a/b")])
    assert {path: one.entry.type for path, one in merged.items()} == {
        "usr": "directory",
        "usr/lib": "directory",
        "usr/lib/a": "directory",
        "usr/lib/a/b": "file",
    }
    assert merged["usr/lib"].entry.mode == 0o755


def test_the_same_bytes_from_two_sources_are_one_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"same")
    from_disk = Source(Entry("etc/motd", "file", 0o644), "disk", tmp_path / "file")
    assert merge([source("etc/motd", content=b"same"), from_disk])["etc/motd"] == from_disk


def test_other_bytes_from_two_sources_are_refused_and_both_named() -> None:
    said = refused(source("etc/motd", content=b"1", origin="one"), source("etc/motd", content=b"2", origin="two"))
    assert len(said) == 1
    assert said[0].startswith("/etc/motd: must have one source, got one ")
    assert "two" in said[0]


def test_a_file_and_a_folder_of_one_name_are_refused() -> None:
    assert len(refused(source("a", origin="one"), source("a", "directory", origin="two"))) == 1


def test_links_that_say_the_same_are_one_link() -> None:
    assert merge([link("a", "b"), link("a", "b")])["a"].entry.link == "b"
    assert len(refused(link("a", "b"), link("a", "c"))) == 1


def test_a_declared_folder_gives_a_copied_one_its_mode_and_owner() -> None:
    declared = Source(Entry("tmp", "directory", 0o1777, 1, 2), "image.yaml")
    assert merge([source("tmp", "directory"), source("tmp/keep"), declared])["tmp"].entry == declared.entry


def test_a_path_below_a_file_is_refused() -> None:
    (said,) = refused(source("bin", origin="rootfs/bin"), source("bin/api", origin="image.yaml"))
    assert said.startswith("/bin/api: must stand in a folder")
    assert "rootfs/bin" in said


def test_a_path_below_a_link_is_refused_and_nothing_is_written_through_it() -> None:
    (said,) = refused(link("bin", "usr/bin"), source("usr/bin/sh"), source("bin/api"))
    assert said.startswith("/bin/api: must stand in a folder")


def test_names_are_compared_by_parts() -> None:
    assert set(merge([source("bin"), source("bin2/api"), source("bin.d/api")])) == {
        "bin",
        "bin2",
        "bin2/api",
        "bin.d",
        "bin.d/api",
    }


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("a", "b"),
        ("a", "/b"),
        ("a", "not/there"),
        ("a/b/c", "../../d"),
        ("a/b/c", "/d/../e"),
        ("a", "./b/../c"),
        ("a", "."),
        ("a/b", ".."),
        ("a", "/"),
        ("a", "/.."),
    ],
)
def test_a_link_inside_the_image_is_kept_as_it_is(path: str, target: str) -> None:
    assert merge([link(path, target)])[path].entry.link == target


@pytest.mark.parametrize(
    ("path", "target"), [("a", ".."), ("a", "../b"), ("a/b", "../../c"), ("a", "b/../../c"), ("a/b/c", "../../../../x")]
)
def test_a_link_that_climbs_out_of_the_image_is_refused(path: str, target: str) -> None:
    (said,) = refused(link(path, target))
    assert said == f"rootfs/{path}: must not lead out of the image, got a link to {target!r}"


def test_a_chain_of_links_that_climbs_out_is_refused() -> None:
    said = refused(link("a", "b"), link("b", "../c"))
    assert said[0].startswith("rootfs/a: must not lead out of the image")


@pytest.mark.parametrize("chain", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_links_in_a_circle_are_all_named(chain: list[str]) -> None:
    said = refused(*(link(name, chain[(i + 1) % len(chain)]) for i, name in enumerate(chain)))
    assert [line.partition(":")[0] for line in said] == [f"rootfs/{name}" for name in chain]
    assert all("must not lead in a circle" in line for line in said)


def test_a_link_into_a_folder_that_leads_back_is_no_circle_when_it_ends() -> None:
    assert len(merge([link("a/up", ".."), source("a/b")])) == 3


def test_a_circle_through_a_folder_is_refused() -> None:
    """/a is b/x, and /b is a link back to a: the kernel gives up on both."""
    assert refused(link("a", "b/x"), link("b", "a"))


def test_every_clash_is_told_and_sorted() -> None:
    said = refused(
        link("z", "../out"),
        source("b", content=b"1"),
        source("b", content=b"2"),
        source("a", content=b"1"),
        source("a", content=b"2"),
    )
    assert [line.partition(":")[0] for line in said] == ["/a", "/b", "rootfs/z"]


# Overriding


def test_a_declared_file_gets_its_mode_and_owner_and_keeps_its_bytes() -> None:
    merged = merge([source("etc/key", content=b"secret")])
    changed = override(merged, "etc/key", 0o600, 1, 2, "image.yaml: paths")
    assert (changed.entry.mode, changed.entry.uid, changed.entry.gid) == (0o600, 1, 2)
    assert changed.content == b"secret"
    assert override(merged, "etc/key", None, 1, 2, "image.yaml: paths").entry.mode == 0o644


@pytest.mark.parametrize("path", ["etc", "etc/other", "etc/link"])
def test_a_declared_file_that_is_none_is_refused(path: str) -> None:
    merged = merge([source("etc/key"), link("etc/link", "key")])
    with pytest.raises(BuildError, match=rf"must be a file of rootfs/ or a package, or a program, got /{path}"):
        override(merged, path, 0o600, 0, 0, "image.yaml: paths")
