"""How packages come together in one tree: merged /usr, links over folders, one path in several packages."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.rootfs.content import Range
from procession_tasks.rootfs.shipped import shipped


def listed(*packages: Any) -> dict[str, str]:
    """What each path is, a link with its text; licenses aside."""
    return {
        path: f"-> {one.entry.link}" if one.entry.type == "symlink" else one.entry.type
        for path, one in shipped(packages).sources.items()
        if not path.startswith("usr/share/doc")
    }


def clashes(*packages: Any) -> list[str]:
    return [finding.subject for finding in shipped(packages).findings]


# Merged /usr


def test_old_folders_of_the_root_become_links_into_usr(store: Any) -> None:
    base = store.package("base-files", *(store.folder(name) for name in ("bin", "lib", "sbin", "usr", "usr/bin")))
    libc = store.package(
        "libc6", store.folder("lib64"), store.link("lib64/ld.so", "../lib/x/ld.so"), store.file("lib/x/ld.so")
    )
    assert listed(base, libc) == {
        "bin": "-> usr/bin",
        "lib": "-> usr/lib",
        "lib64": "-> usr/lib64",
        "sbin": "-> usr/sbin",
        "usr": "directory",
        "usr/bin": "directory",
        "usr/lib": "directory",
        "usr/lib/x/ld.so": "file",
        "usr/lib64": "directory",
        "usr/lib64/ld.so": "-> ../lib/x/ld.so",
        "usr/sbin": "directory",
    }


def test_links_that_base_files_ships_itself_are_the_same(store: Any) -> None:
    base = store.package("base-files", store.link("bin", "usr/bin"), store.link("lib", "usr/lib"))
    assert listed(base, store.package("sh", store.file("bin/sh"))) == {
        "bin": "-> usr/bin",
        "lib": "-> usr/lib",
        "usr/bin/sh": "file",
    }
    assert clashes(base) == []


def test_another_link_in_place_of_a_merged_folder_is_a_clash(store: Any) -> None:
    assert clashes(store.package("odd", store.link("bin", "elsewhere"), store.file("bin/sh"))) == ["bin"]


def test_names_that_only_begin_like_a_merged_folder_stay(store: Any) -> None:
    assert listed(store.package("a", store.file("lib.d/x"), store.file("binary"), store.file("opt/bin/x"))) == {
        "lib.d/x": "file",
        "binary": "file",
        "opt/bin/x": "file",
    }


def test_one_file_in_bin_and_usr_bin_is_one_path(store: Any) -> None:
    assert (
        listed(store.package("a", store.file("bin/x", b"1")), store.package("b", store.file("usr/bin/x", b"1")))[
            "usr/bin/x"
        ]
        == "file"
    )
    assert clashes(
        store.package("a", store.file("bin/x", b"1")), store.package("b", store.file("usr/bin/x", b"2"))
    ) == ["usr/bin/x"]


def test_what_base_files_links_in_its_script_is_linked(store: Any) -> None:
    base = store.package(
        "base-files", store.folder("var/run"), store.folder("var/lock", 0o1777), store.file("var/run/x")
    )
    found = shipped([base]).sources
    assert (found["var/run"].entry.link, found["var/lock"].entry.link) == ("/run", "/run/lock")
    assert found["run/x"].entry.type == "file"
    assert found["run/lock"].entry.mode == 0o1777


# Links over folders


@pytest.mark.parametrize("order", [1, -1])
def test_a_link_wins_over_a_folder_and_takes_what_is_in_it(store: Any, order: int) -> None:
    packages = [
        store.package(
            "links", store.folder("srv"), store.link("srv/data", "/var/lib/data"), store.folder("var/lib/data")
        ),
        store.package("fills", store.folder("srv/data"), store.file("srv/data/a/b"), store.link("srv/data/l", "../x")),
    ][::order]
    assert listed(*packages) == {
        "srv": "directory",
        "srv/data": "-> /var/lib/data",
        "var/lib/data": "directory",
        "var/lib/data/a/b": "file",
        "var/lib/data/l": "-> ../x",
    }


def test_links_are_followed_over_several_packages(store: Any) -> None:
    packages = [
        store.package("one", store.link("a", "b")),
        store.package("two", store.link("b", "lib/c")),
        store.package("three", store.file("a/f"), store.folder("lib/c")),
        store.package("four", store.link("lib/c/d", "/e"), store.file("b/d/g")),
    ]
    found = listed(*packages)
    assert found["usr/lib/c/f"] == "file"
    assert found["usr/lib/c/d"] == "-> /e"
    assert found["e/g"] == "file"


def test_links_in_a_circle_move_nothing(store: Any) -> None:
    found = listed(
        store.package("one", store.link("a", "b"), store.link("b", "a")), store.package("two", store.file("a/f"))
    )
    assert found == {"a": "-> b", "b": "-> a", "a/f": "file"}


def test_a_link_cannot_lead_out_of_the_image(store: Any) -> None:
    found = listed(
        store.package("one", store.link("a", "../../../../etc")), store.package("two", store.file("a/passwd"))
    )
    assert found == {"a": "-> ../../../../etc", "etc/passwd": "file"}


def test_of_two_links_that_differ_the_first_leads(store: Any) -> None:
    packages = [
        store.package("one", store.link("a", "b")),
        store.package("two", store.link("a", "c"), store.file("a/f")),
    ]
    assert listed(*packages) == {"a": "-> b", "b/f": "file"}
    assert clashes(*packages) == ["a"]


# One path in several packages


def test_equal_files_and_links_are_shared(store: Any) -> None:
    packages = [store.package(name, store.file("etc/x", b"same"), store.link("etc/l", "x")) for name in ("one", "two")]
    assert clashes(*packages) == []
    assert shipped(packages).sources["etc/x"].owner == "one"


@pytest.mark.parametrize("kind", ["content", "mode", "owner", "link", "kind"])
def test_what_differs_is_a_clash_that_names_both(store: Any, kind: str) -> None:
    first = store.file("etc/x", b"1")
    second = {
        "content": store.file("etc/x", b"2"),
        "mode": store.file("etc/x", b"1", 0o755),
        "owner": store.file("etc/x", b"1", uid=7),
        "link": store.link("etc/x", "y"),
        "kind": store.folder("etc/x"),
    }[kind]
    (finding,) = shipped([store.package("one", first), store.package("two", second)]).findings
    assert (finding.check, finding.subject) == ("clash", "etc/x")
    assert "of one" in finding.message
    assert "of two" in finding.message


def test_a_folder_that_is_not_just_any_keeps_its_mode_in_any_order(store: Any) -> None:
    special, plain = store.package("base", store.folder("tmp", 0o1777)), store.package("other", store.folder("tmp"))
    for packages in ([special, plain], [plain, special]):
        found = shipped(packages)
        assert found.sources["tmp"].entry.mode == 0o1777
        assert found.findings == []


def test_folders_of_different_owners_are_a_clash(store: Any) -> None:
    one, two = store.package("one", store.folder("x", 0o700)), store.package("two", store.folder("x", 0o750))
    assert clashes(one, two) == ["x"]


# Bytes


def test_files_are_ranges_of_the_store_and_hard_links_repeat_them(store: Any) -> None:
    package = store.package(
        "perl",
        store.file("usr/bin/perl", b"#!"),
        store.file("e", b""),
        store.hard_link("usr/bin/perl5", "usr/bin/perl"),
    )
    found = shipped([package])
    content = found.sources["usr/bin/perl5"].content
    assert isinstance(content, Range)
    assert (content.offset, content.size) == (0, 2)
    assert content == found.sources["usr/bin/perl"].content
    assert found.repeated == {content}


def test_setuid_bits_owners_and_attributes_are_kept(store: Any) -> None:
    capability = (("security.capability", b"\x01\x00"),)
    package = store.package("ping", store.file("bin/ping", b"", 0o4755, uid=1, gid=2, xattrs=capability))
    entry = shipped([package]).sources["usr/bin/ping"].entry
    assert (entry.mode, entry.uid, entry.gid, entry.xattrs) == (0o4755, 1, 2, capability)


# dpkg as judge


@pytest.mark.skipif(os.geteuid() != 0, reason="dpkg --root must be able to change owners")
def test_dpkg_unpacks_through_links_to_the_same_places(store: Any, judge: Callable[[str], str], tmp_path: Path) -> None:
    """With the links unpacked first, so that dpkg lets them win; it would follow absolute ones out of its root."""
    links = [
        store.link("bin", "usr/bin"),
        store.link("var/run", "../run"),
        store.link("srv/a", "b/../c"),
        store.folder("usr/bin"),
        store.folder("run"),
        store.folder("srv/c"),
        store.folder("srv/b"),
    ]
    fills = [
        store.file("bin/sh", b"sh"),
        store.file("var/run/x/y", b"y"),
        store.folder("srv/a"),
        store.file("srv/a/f", b"f"),
        store.link("var/run/l", "x"),
    ]
    packages = [store.package("a-links", *links), store.package("b-fills", *fills)]
    root = tmp_path / "root"
    for folder in ("info", "updates", "triggers"):
        (root / "var/lib/dpkg" / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    for (pin, contents), members in zip(packages, (links, fills), strict=True):
        build(judge("dpkg-deb"), pin.name, contents.control, members, tmp_path)
        command = [judge("dpkg"), f"--root={root}", "--force-depends", "--unpack", tmp_path / f"{pin.name}.deb"]
        subprocess.run(command, check=True, capture_output=True, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert on_disk(root) == {
        path: kind for path, kind in listed(*packages).items() if path not in ("var", "usr", "srv")
    } | dict.fromkeys(("usr", "srv", "run/x"), "directory")


def build(dpkg_deb: str, name: str, control: str, members: Any, folder: Path) -> None:
    source = folder / name
    (source / "DEBIAN").mkdir(parents=True)
    (source / "DEBIAN/control").write_text(control)
    for member, content in members:
        place = source / member.path
        place.parent.mkdir(parents=True, exist_ok=True)
        if member.type == "directory":
            place.mkdir(exist_ok=True)
        elif member.type == "symlink":
            place.symlink_to(member.link)
        else:
            place.write_bytes(content)
    subprocess.run([dpkg_deb, "--build", source, folder / f"{name}.deb"], check=True, capture_output=True)


def on_disk(root: Path) -> dict[str, str]:
    found = {}
    for folder, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = Path(folder, name)
            mode = path.lstat().st_mode
            kind = f"-> {os.readlink(path)}" if stat.S_ISLNK(mode) else "directory" if stat.S_ISDIR(mode) else "file"
            found[os.path.relpath(path, root)] = kind
    return {path: kind for path, kind in found.items() if not path.startswith("var/lib") and path != "var"}
