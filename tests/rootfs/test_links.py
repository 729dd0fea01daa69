"""Where links lead within an image, and which lead nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procession_tasks.rootfs.links import dangling_links, destination, link_texts
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.tree import Entry

LINKS = {
    "bin": "usr/bin",
    "usr/bin/sh": "dash",
    "etc/alternatives/awk": "/usr/bin/mawk",
    "usr/bin/awk": "/etc/alternatives/awk",
    "up": "../../..",
    "loop": "loop2",
    "loop2": "/loop",
    "var/run": "/run",
    "var/lock": "/var/run/lock",
    "here": ".",
    "a/b": "../c/./d/..",
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("etc/passwd", "etc/passwd"),
        ("/etc//passwd/", "etc/passwd"),
        ("bin/sh", "usr/bin/dash"),
        ("bin/awk", "usr/bin/mawk"),
        ("up/x", "x"),
        ("up", ""),
        ("loop", None),
        ("loop/x", None),
        ("var/lock/x", "run/lock/x"),
        ("var/lock/../x", "run/x"),
        ("here/here/bin", "usr/bin"),
        ("a/b/e", "c/e"),
        ("../../etc", "etc"),
        ("", ""),
        ("/", ""),
    ],
)
def test_a_path_leads_where_the_kernel_leads(path: str, expected: str | None, tmp_path: Path) -> None:
    assert destination(path, LINKS) == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_the_kernel_agrees(tmp_path: Path) -> None:
    for path, text in LINKS.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(text)
    for folder in ("usr/bin", "run/lock", "c/d"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    paths = [*LINKS, "bin/awk", "up/var/lock", "var/lock/../lock", "here/bin", "a/b/d"]
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.chroot(tmp_path)
            found = [os.path.realpath(f"/{path}")[1:] if os.path.exists(f"/{path}") else "-" for path in paths]
            os.write(write, "\n".join(found).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as out:
        kernel = dict(zip(paths, out.read().split("\n"), strict=True))
    os.waitpid(child, 0)
    assert {path: destination(path, LINKS) for path, found in kernel.items() if found != "-"} == {
        path: found for path, found in kernel.items() if found != "-"
    }
    assert len([found for found in kernel.values() if found != "-"]) > 8


def found(*links: tuple[str, str], files: tuple[str, ...] = ()) -> list[str]:
    entries = [Entry(path, "symlink", 0o777, link=text) for path, text in links]
    entries += [Entry(path, "file", 0o644) for path in files]
    sources = {entry.path: Source(entry, "", None, "sample") for entry in entries}
    return [finding.message for finding in dangling_links(sources, link_texts(sources))]


def test_a_link_to_nothing_is_found_with_what_it_wanted() -> None:
    assert found(("usr/share/x", "../lib/y")) == [
        "/usr/share/x: a link must lead to something, and there is no /usr/lib/y, got a link to '../lib/y' (sample)"
    ]


def test_a_chain_is_followed_to_its_end() -> None:
    assert found(("a", "b"), ("b", "c"), files=("c",)) == []
    assert len(found(("a", "b"), ("b", "c"))) == 2


def test_a_circle_leads_nowhere() -> None:
    assert found(("a", "a"))[0].startswith("/a: a link must not lead in a circle")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("etc/mtab", "/proc/self/mounts"),
        ("var/run", "/run"),
        ("var/lock", "/run/lock"),
        ("etc/x", "../dev/null"),
        ("etc/y", "/sys/z"),
        ("etc/t", "/tmp/t"),
        ("usr/share/zoneinfo/localtime", "/etc/localtime"),
        ("root", "/"),
    ],
)
def test_what_is_there_only_when_the_image_runs_is_no_mistake(path: str, text: str) -> None:
    assert found((path, text)) == []


@pytest.mark.parametrize(
    ("path", "text"), [("x", "/running"), ("x", "usr/run/y"), ("x", "/etc/localtime"), ("x", "/proc2")]
)
def test_only_the_folders_themselves_are_meant(path: str, text: str) -> None:
    assert len(found((path, text))) == 1
