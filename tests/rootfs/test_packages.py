"""An image of packages as a whole: what is in it, and everything that is wrong at once."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.definition.model import Accounts, User
from procession_tasks.definition.model import Path as Declared
from procession_tasks.errors import BuildError
from procession_tasks.image.tarball import write_tree
from procession_tasks.rootfs import tree
from procession_tasks.rootfs.stage import stage

PLACE = "deploy/aci/sample"
SERVER = Accounts((User("server", 901, 901),))
POSTINST = "#!/bin/sh\nadduser --system --group --home /var/lib/server server\nchmod 700 /var/lib/server\n"


@pytest.fixture
def server(store: Any) -> list[Any]:
    """A small closure with what real ones have."""
    return [
        store.package(
            "base-files",
            *(store.folder(path) for path in ("bin", "lib", "etc", "usr", "usr/bin", "var/run", "usr/share/man")),
            store.folder("tmp", 0o1777),
            store.file("usr/lib/os-release", b"ID=debian\n"),
            store.link("etc/os-release", "../usr/lib/os-release"),
        ),
        store.package(
            "libc6",
            store.library("lib/x86_64-linux-gnu/libc.so.6"),
            store.library("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
            store.link("lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
        ),
        store.package(
            "server",
            store.library("usr/sbin/server", "libc.so.6", interpreter="/lib64/ld-linux-x86-64.so.2"),
            store.hard_link("usr/sbin/again", "usr/sbin/server", 0o755),
            store.file("usr/share/man/man8/server.8.gz", b"man"),
            store.file("usr/share/doc/server/README", b"read me"),
            scripts={"postinst": POSTINST},
        ),
    ]


def whole(**more: Any) -> dict[str, Any]:
    return {
        "accounts": SERVER,
        "paths": [Declared("var/lib/server", "directory", 0o700, 901, 901)],
        "prune": ["usr/share/man/**", "usr/share/doc/*/**"],
        "keep": ["usr/share/doc/*/copyright"],
        **more,
    }


def test_an_image_that_declares_everything_is_made(server: list[Any], maker: Any) -> None:
    sources = maker.image(server, **whole()).sources
    assert {path: one.entry.type[:4] for path, one in sources.items() if not path.startswith("usr/share/doc")} == {
        **dict.fromkeys(("bin", "lib", "lib64", "var/run", "etc/os-release", "usr/lib64/ld-linux-x86-64.so.2"), "syml"),
        **dict.fromkeys(
            ("etc", "usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/lib/x86_64-linux-gnu"), "dire"
        ),
        **dict.fromkeys(("usr/share", "tmp", "run", "var", "var/lib", "var/lib/server"), "dire"),
        **dict.fromkeys(("var/lib/dpkg", "var/lib/dpkg/status.d"), "dire"),
        **dict.fromkeys(("usr/lib/os-release", "usr/sbin/again", "etc/passwd", "etc/group"), "file"),
        **dict.fromkeys(
            ("usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"), "file"
        ),
        **{
            f"var/lib/dpkg/status.d/{name}{end}": "file"
            for name in ("base-files", "libc6", "server")
            for end in ("", ".md5sums")
        },
        "usr/sbin/server": "hard",
    }
    assert sources["usr/sbin/server"].entry.link == "usr/sbin/again"
    assert "usr/share/man" not in sources
    assert {path for path in sources if path.startswith("usr/share/doc/server")} == {
        "usr/share/doc/server",
        "usr/share/doc/server/copyright",
    }


def test_the_image_can_be_staged_and_packed(server: list[Any], maker: Any, tmp_path: Path) -> None:
    image = maker.image(server, **whole())
    stage(image.sources, tmp_path / "tree", tmp_path / "files", tmp_path / "owners")
    entries = {entry.path: entry for entry in tree.parse((tmp_path / "files").read_bytes())}
    owners = tree.parse_owners((tmp_path / "owners").read_bytes())
    assert owners.keys() == entries.keys()
    assert {owners[path] for path in owners} == {"base-files", "libc6", "server", "accounts", "paths"}
    with (tmp_path / "tar").open("wb") as out:
        write_tree(out, entries.values(), tmp_path / "tree", mtime=0)


def test_the_order_of_packages_and_patterns_changes_nothing(server: list[Any], maker: Any) -> None:
    usual = maker.image(server, **whole())
    for packages in itertools.permutations(server):
        assert maker.image(packages, **whole(prune=["usr/share/doc/*/**", "usr/share/man/**"])) == usual


def test_defaults_may_match_nothing_and_are_patterns_like_the_others(server: list[Any], maker: Any) -> None:
    more = whole(
        prune=[],
        keep=[],
        default_prune=["usr/share/man", "usr/share/doc/*/**", "no/such"],
        default_keep=["usr/share/doc/*/copyright", "nor/this"],
    )
    assert maker.image(server, **more).sources.keys() | {"usr/share/man"} == maker.image(
        server, **whole()
    ).sources.keys() | {"usr/share/man"}


# Hard links


def test_the_first_path_of_a_hard_linked_file_is_the_file(store: Any, maker: Any) -> None:
    package = store.package(
        "perl",
        store.file("usr/bin/perl", b"p"),
        *(store.hard_link(f"usr/bin/{name}", "usr/bin/perl") for name in ("z", "a", "m")),
    )
    sources = maker.image([package]).sources
    assert {
        path[8:]: (one.entry.type, one.entry.link) for path, one in sources.items() if path.startswith("usr/bin/")
    } == {
        "a": ("file", ""),
        "m": ("hardlink", "usr/bin/a"),
        "perl": ("hardlink", "usr/bin/a"),
        "z": ("hardlink", "usr/bin/a"),
    }


def test_a_hard_link_outlives_the_file_it_repeats(store: Any, maker: Any) -> None:
    package = store.package("perl", store.file("usr/bin/perl", b"p"), store.hard_link("usr/bin/p5", "usr/bin/perl"))
    kept = maker.image([package], prune=["usr/bin/perl"]).sources["usr/bin/p5"]
    assert (kept.entry.type, kept.content.size) == ("file", 1)


def test_a_replaced_or_changed_file_leaves_its_hard_links(store: Any, maker: Any) -> None:
    links = [store.hard_link(f"usr/bin/{name}", "usr/bin/a") for name in ("b", "c", "d")]
    maker.write("usr/bin/a", "mine")
    sources = maker.image(
        [store.package("perl", store.file("usr/bin/a", b"p"), *links)], paths=[Declared("usr/bin/b", "file", 0o4755)]
    ).sources
    assert [(sources[f"usr/bin/{name}"].entry.type, sources[f"usr/bin/{name}"].entry.link) for name in "abcd"] == [
        ("file", ""),
        ("file", ""),
        ("file", ""),
        ("hardlink", "usr/bin/c"),
    ]


# Clashes


def test_a_clash_is_told_and_can_be_pruned_replaced_or_waived(store: Any, maker: Any) -> None:
    packages = [store.package("one", store.file("etc/x", b"1")), store.package("two", store.file("etc/x", b"2"))]
    assert maker.problems(packages) == [
        (
            "/etc/x: must be the same in all packages that have it, got a file 0644 0:0 of one and a file 0644 0:0 of two\n"
            '  hint: prune it, or put what the image needs into rootfs/; or waive: {clash: {"etc/x": why}} under debian'
        )
    ]
    assert "etc/x" not in maker.image(packages, prune=["etc/x"]).sources
    assert maker.image(packages, waive={"clash": {"etc/x"}}).sources["etc/x"].owner == "one"
    maker.write("etc/x", "mine")
    assert maker.image(packages).sources["etc/x"].owner == "rootfs"


def test_a_path_below_a_file_of_another_package_is_refused(store: Any, maker: Any) -> None:
    packages = [store.package("one", store.file("opt/x", b"")), store.package("two", store.file("opt/x/y", b""))]
    assert maker.problems(packages) == [
        "/opt/x/y: must stand in a folder (two: /opt/x/y), got a file (one: /opt/x) at /opt/x"
    ]


# Copyright


def test_a_copyright_may_be_in_the_folder_of_another_package(store: Any, maker: Any) -> None:
    gcc = store.package("gcc-12-base", store.folder("usr/share/doc/gcc-12-base"))
    libgcc = store.package("libgcc-s1", store.link("usr/share/doc/libgcc-s1", "gcc-12-base"), licensed=False)
    assert maker.image([gcc, libgcc])
    (problem,) = maker.problems([gcc, libgcc], prune=["usr/share/doc/libgcc-s1"])
    assert problem.startswith(
        "libgcc-s1 1.0-1: must keep its copyright file, got no /usr/share/doc/libgcc-s1/copyright\n  hint: add usr/share/doc/libgcc-s1 to keep"
    )


def test_a_pruned_copyright_is_told(store: Any, maker: Any) -> None:
    (problem,) = maker.problems([store.package("sample")], prune=["usr/share/doc"])
    assert problem == (
        "sample 1.0-1: must keep its copyright file, got no /usr/share/doc/sample/copyright\n"
        '  hint: add usr/share/doc/sample/copyright to keep; or waive: {copyright: {"sample": why}} under debian'
    )


# All at once


def test_everything_that_is_wrong_is_told_at_once_and_sorted(server: list[Any], store: Any, maker: Any) -> None:
    broken = store.package(
        "broken",
        store.link("etc/nowhere", "not/there"),
        store.library("usr/bin/needy", "libmissing.so.1"),
        store.file("etc/os-release", b"mine"),
        scripts={"preinst": "#!/bin/sh\nfrobnicate\n"},
        licensed=False,
    )
    maker.write("bin/x")
    more = whole(
        prune=["usr/share/mna/**", "usr/share/man"],
        keep=["nothing/here"],
        waive={"library": {"usr/bin/other *"}},
        paths=[Declared("etc/nothing", "file", 0o600)],
        accounts=Accounts(),
    )
    firsts = [problem.partition("\n")[0] for problem in maker.problems([*server, broken], **more)]
    assert firsts == sorted(firsts)
    assert [first.partition(": ")[0] for first in firsts] == [
        "/etc/nowhere",
        "/etc/os-release",
        "/usr/bin/needy",
        "broken 1.0-1",
        "broken 1.0-1",
        f"{PLACE}/image.yaml",
        f"{PLACE}/image.yaml",
        f"{PLACE}/image.yaml",
        f"{PLACE}/image.yaml",
        f"{PLACE}/rootfs/bin",
        "server 1.0-1",
    ]


def test_a_prune_pattern_with_a_typo_is_told_with_what_is_near(server: list[Any], maker: Any) -> None:
    (problem,) = maker.problems(server, **whole(prune=["usr/share/doc/*/**", "usr/share/man/man8/sevrer.8.gz"]))
    assert problem == (
        f"{PLACE}/image.yaml: debian.prune: must match a path of the packages, got 'usr/share/man/man8/sevrer.8.gz'\n"
        "  hint: did you mean usr/share/man/man8/server.8.gz?"
    )


def test_nothing_but_the_image_is_read(server: list[Any], maker: Any, tmp_path: Path) -> None:
    """The store's data may even be missing: only staging copies it."""
    for _, contents in server:
        contents.data.unlink()
    image = maker.image(server, **whole())
    with pytest.raises(BuildError, match=r"^base-files: /usr/lib/os-release: cannot be read"):
        stage(image.sources, tmp_path / "t", tmp_path / "f")
