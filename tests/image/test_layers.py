"""How an image is divided into layers."""

from __future__ import annotations

import posixpath
import random
from collections.abc import Iterable

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image.layers import Layer, divide
from procession_tasks.rootfs.tree import Entry, dump

BASE = ("libc6", "base-files")


def folder(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, "directory", mode)


def file(path: str, content: str = "x") -> Entry:
    return Entry(path, "file", 0o644, size=1, digest=content * 64)


def paths(layer: Layer) -> list[str]:
    return [entry.path for entry in layer.entries]


def test_what_changes_often_is_on_top_of_what_is_shared() -> None:
    entries = [
        folder("bin"),
        folder("lib"),
        folder("etc"),
        file("bin/api"),
        file("lib/libc.so"),
        file("lib/libz.so"),
        file("etc/motd"),
    ]
    owners = {"bin/api": "go", "lib/libc.so": "libc6", "lib/libz.so": "zlib1g", "etc/motd": "rootfs"}
    layers = divide(entries, owners, BASE)
    assert [(layer.what, paths(layer)) for layer in layers] == [
        ("packages: libc6", ["lib", "lib/libc.so"]),
        ("packages: zlib1g", ["lib", "lib/libz.so"]),
        ("definition: rootfs, accounts and paths", ["etc", "etc/motd"]),
        ("program: /bin/api", ["bin", "bin/api"]),
    ]


def test_each_program_has_a_layer_of_its_own() -> None:
    entries = [folder("bin"), file("bin/b"), file("bin/a")]
    layers = divide(entries, {"bin/a": "go", "bin/b": "go", "bin": "go"}, ())
    assert [paths(layer) for layer in layers] == [["bin", "bin/a"], ["bin", "bin/b"]]


def test_the_lowest_layer_depends_on_the_files_of_its_packages_alone() -> None:
    common = [folder("etc"), folder("lib"), file("etc/host.conf"), file("lib/libc.so")]
    owners = {"etc/host.conf": "base-files", "lib/libc.so": "libc6", "etc": "base-files", "lib": "libc6"}
    one = divide([*common, folder("lib/x"), file("lib/x/server")], owners | {"lib/x/server": "x"}, BASE)
    other = [*common, folder("home"), folder("srv", 0o700), file("etc/motd")]
    two = divide(other, owners | {"home": "base-files", "srv": "paths", "etc": "paths"}, BASE)
    assert one[0] == two[0]
    assert dump(one[0].entries) == dump(two[0].entries)


def test_a_folder_with_nothing_below_it_comes_with_the_definition() -> None:
    entries = [folder("var"), folder("var/lib"), folder("var/lib/etcd", 0o700), folder("lib"), file("lib/libc.so")]
    owners = dict.fromkeys(["var", "var/lib", "var/lib/etcd", "lib", "lib/libc.so"], "libc6")
    layers = divide(entries, owners, BASE)
    assert [paths(layer) for layer in layers] == [["lib", "lib/libc.so"], ["var", "var/lib", "var/lib/etcd"]]


def test_a_folder_is_in_every_layer_as_the_image_has_it_in_the_end() -> None:
    entries = [folder("tmp", 0o1777), file("tmp/a"), file("tmp/b")]
    layers = divide(entries, {"tmp/a": "libc6", "tmp/b": "rootfs"}, BASE)
    assert [layer.entries[0] for layer in layers] == [folder("tmp", 0o1777)] * 2


def test_a_hard_link_is_where_its_file_is() -> None:
    entries = [folder("bin"), file("bin/perl"), Entry("bin/perl5", "hardlink", 0o644, link="bin/perl")]
    layers = divide(entries, {"bin/perl": "libc6", "bin/perl5": "other"}, BASE)
    assert [paths(layer) for layer in layers] == [["bin", "bin/perl", "bin/perl5"]]


@pytest.mark.parametrize("entries", [[], [folder("a")]])
def test_an_image_of_nothing_or_of_folders_has_one_layer(entries: list[Entry]) -> None:
    [layer] = divide(entries, {}, ())
    assert list(layer.entries) == entries


def random_tree(choice: random.Random) -> tuple[list[Entry], dict[str, str]]:
    entries: dict[str, Entry] = {}
    folders, files = [""], []
    for number in range(choice.randrange(1, 40)):
        path = posixpath.join(choice.choice(folders), f"{choice.choice('abc')}{number}")
        if choice.random() < 0.4:
            entries[path] = folder(path, choice.choice([0o755, 0o700, 0o1777]))
            folders.append(path)
        elif choice.random() < 0.2:
            entries[path] = Entry(path, "symlink", 0o777, link="somewhere")
        elif files and choice.random() < 0.3:
            entries[path] = Entry(path, "hardlink", 0o644, link=choice.choice(files))
        else:
            entries[path] = file(path)
            files.append(path)
    owners = {
        path: choice.choice(["libc6", "base-files", "server", "rootfs", "paths", "accounts", "go"]) for path in entries
    }
    return list(entries.values()), owners


def parents(path: str) -> Iterable[str]:
    while path := posixpath.dirname(path):
        yield path


@pytest.mark.parametrize("seed", range(60))
def test_no_path_is_lost_or_doubled_whatever_the_tree(seed: int) -> None:
    entries, owners = random_tree(random.Random(seed))
    layers = divide(entries, owners, BASE)
    kept = [entry for layer in layers for entry in layer.entries]
    assert set(kept) == set(entries)
    others = [entry.path for entry in kept if entry.type != "directory"]
    assert len(others) == len(set(others))
    for layer in layers:
        assert paths(layer) == sorted(paths(layer))
        for entry in layer.entries:
            assert {*parents(entry.path), *([entry.link] if entry.type == "hardlink" else [])} <= set(paths(layer))
    by_path = {entry.path: entry for entry in kept}
    assert {**by_path} == {entry.path: entry for entry in entries}, "a folder is the same in all its layers"


@pytest.mark.parametrize("seed", range(20))
def test_the_order_in_which_entries_come_does_not_matter(seed: int) -> None:
    entries, owners = random_tree(random.Random(seed))
    shuffled = random.Random(seed).sample(entries, len(entries))
    assert divide(shuffled, owners, BASE) == divide(entries, owners, BASE)


def test_a_name_that_would_take_a_file_away_is_refused() -> None:
    entries = [folder("etc"), file("etc/.wh.b"), folder(".wh.a\udce9"), file("etc/.whatever"), file("etc/a.wh.")]
    with pytest.raises(BuildError) as caught:
        divide(entries, {}, ())
    rule = "a name in an OCI layer must not begin with .wh., which marks what is removed"
    assert str(caught.value).splitlines() == [
        f"/.wh.a\\xe9: {rule}",
        f"/etc/.wh.b: {rule}",
        "  hint: rename it, or build only the ACI: doit pack-aci:NAME",
    ]
