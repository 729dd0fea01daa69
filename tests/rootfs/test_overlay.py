"""What a definition says over what packages ship."""

from __future__ import annotations

from typing import Any

import pytest

from procession_tasks.definition.model import Accounts, User
from procession_tasks.definition.model import Path as Declared

PLACE = "deploy/aci/sample"


@pytest.fixture
def base(store: Any) -> Any:
    """A package with a bit of everything."""
    return store.package(
        "base",
        store.file("etc/app.conf", b"theirs", 0o640, gid=4),
        store.link("etc/link", "app.conf"),
        store.folder("tmp", 0o1777),
        store.folder("var/lib/app"),
        store.file("var/lib/app/data/x", b"x"),
        store.folder("var/empty"),
        store.file("bin/app", b"app", 0o755),
    )


def test_a_file_of_the_definition_wins_and_is_noted(maker: Any, base: Any) -> None:
    maker.write("etc/app.conf", "mine")
    image = maker.image([base])
    assert image.sources["etc/app.conf"].owner == "rootfs"
    assert image.notes == (f"{PLACE}/rootfs/etc/app.conf: replaces /etc/app.conf of base",)


def test_the_same_bytes_are_not_worth_a_note(maker: Any, base: Any) -> None:
    maker.write("etc/app.conf", "theirs")
    assert maker.image([base]).notes == ()


def test_accounts_and_links_win_as_well(maker: Any, store: Any, base: Any) -> None:
    passwd = store.package("odd", store.file("etc/passwd", b"x"))
    paths = [Declared("etc/link", "symlink", target="/tmp"), Declared("etc/app.conf", "symlink", target="link")]
    image = maker.image([base, passwd], paths=paths)
    assert [note.partition(" replaces ")[2] for note in image.notes] == [
        "/etc/app.conf of base",
        "/etc/link of base",
        "/etc/passwd of odd",
    ]
    assert image.sources["etc/passwd"].owner == "accounts"
    assert image.sources["etc/link"].entry.link == "/tmp"


def test_a_program_of_the_definition_wins(maker: Any, base: Any, tmp_path: Any) -> None:
    (tmp_path / "app").write_bytes(b"built")
    image = maker.image([base], programs=[("usr/bin/app", tmp_path / "app")])
    assert image.sources["usr/bin/app"].owner == "go"
    assert image.notes == (f"{PLACE}/image.yaml: go: replaces /usr/bin/app of base",)


def test_a_folder_of_rootfs_has_no_say_about_modes(maker: Any, base: Any) -> None:
    maker.write("tmp/keep")
    assert maker.image([base]).sources["tmp"].entry.mode == 0o1777


def test_a_declared_folder_gives_mode_and_owner(maker: Any, base: Any) -> None:
    paths = [Declared("var/lib/app", "directory", 0o700, 901, 902), Declared("tmp", "directory", None, 5, 6)]
    sources = maker.image([base], paths=paths).sources
    found = {path: sources[path].entry for path in ("var/lib/app", "tmp")}
    assert {path: (one.mode, one.uid, one.gid) for path, one in found.items()} == {
        "var/lib/app": (0o700, 901, 902),
        "tmp": (0o1777, 5, 6),
    }


def test_a_declared_file_gives_mode_and_owner_to_what_a_package_ships(maker: Any, base: Any) -> None:
    source = maker.image([base], paths=[Declared("etc/app.conf", "file", None, 901, 902)]).sources["etc/app.conf"]
    assert (source.entry.mode, source.entry.uid, source.entry.gid, source.owner) == (0o640, 901, 902, "base")


def test_a_declared_file_that_is_none_is_refused(maker: Any, base: Any) -> None:
    (problem,) = maker.problems([base], paths=[Declared("etc/ap.conf", "file", 0o600)])
    assert problem.startswith(
        f"{PLACE}/image.yaml: paths: must be a file of rootfs/ or a package, or a program, got /etc/ap.conf"
    )


def test_a_declared_link_may_stand_for_an_empty_folder_alone(maker: Any, base: Any) -> None:
    image = maker.image([base], paths=[Declared("var/empty", "symlink", target="/run")])
    assert image.sources["var/empty"].entry.link == "/run"
    (problem,) = maker.problems([base], paths=[Declared("var/lib/app", "symlink", target="/run")])[:1]
    assert problem == (
        f"{PLACE}/image.yaml: paths: a symlink must not take the place of a directory (base), got /var/lib/app\n"
        "  hint: prune var/lib/app, or leave it out of the definition"
    )


def test_a_file_and_a_folder_do_not_take_each_others_place(maker: Any, base: Any) -> None:
    maker.write("etc/app.conf/x")
    maker.write("var/empty")
    assert [problem.partition("\n")[0] for problem in maker.problems([base])] == [
        f"{PLACE}/rootfs/etc/app.conf: a directory must not take the place of a file (base), got /etc/app.conf",
        f"{PLACE}/rootfs/var/empty: a file must not take the place of a directory (base), got /var/empty",
    ]


def test_nothing_is_written_through_a_link_of_a_package(maker: Any, base: Any) -> None:
    maker.write("bin/mine/deep/x")
    assert maker.problems([base]) == [
        (
            f"{PLACE}/rootfs/bin: a directory must not take the place of a symlink (base), got /bin\n"
            "  hint: put it where the link leads: /usr/bin"
        )
    ]


def test_nothing_of_a_package_is_written_through_a_link_of_the_definition(maker: Any, store: Any, base: Any) -> None:
    other = store.package("other", store.file("var/empty/x", b""))
    (problem,) = maker.problems([base, other], paths=[Declared("var/empty", "symlink", target="/usr")])
    assert problem.startswith(
        f"{PLACE}/image.yaml: paths: a symlink must not take the place of a directory (base), got /var/empty"
    )


def test_a_definition_that_contradicts_itself_is_told_alone(maker: Any, base: Any) -> None:
    maker.write("etc/passwd", "root:x:0:0::/:/bin/sh\n")
    (problem,) = maker.problems([base], accounts=Accounts((User("app", 1, 1),)), prune=["nowhere"])
    assert problem.startswith("/etc/passwd: must have one source")


def test_account_files_of_rootfs_stand_in_for_the_standard_ones(maker: Any, base: Any) -> None:
    maker.write("etc/passwd", "root:x:0:0::/:/bin/sh\n")
    sources = maker.image([base]).sources
    assert (sources["etc/passwd"].owner, sources["etc/group"].owner) == ("rootfs", "accounts")
