"""The program that an image starts is one that the image holds."""

from __future__ import annotations

import pytest

from procession_tasks.rootfs.program import missing_program
from procession_tasks.rootfs.tree import Entry

ENTRIES = [
    Entry("bin", "symlink", 0o777, link="usr/bin"),
    Entry("usr/bin", "directory", 0o755),
    Entry("usr/bin/etcd", "file", 0o755),
    Entry("usr/bin/again", "hardlink", 0o755, link="usr/bin/etcd"),
    Entry("usr/bin/linked", "symlink", 0o777, link="../../bin/./etcd"),
    Entry("usr/bin/circle", "symlink", 0o777, link="circle"),
    Entry("usr/bin/nowhere", "symlink", 0o777, link="/usr/sbin/etcd"),
    Entry("usr/bin/plain", "file", 0o644),
]


@pytest.mark.parametrize("path", ["/usr/bin/etcd", "/bin/etcd", "/usr/bin/linked", "/usr/bin/again"])
def test_a_program_is_found_through_links(path: str) -> None:
    assert missing_program(path, ENTRIES) is None


@pytest.mark.parametrize("path", ["/usr/bin/ectd", "/usr/bin", "/usr/bin/circle", "/usr/bin/nowhere", "/"])
def test_what_is_no_program_is_told(path: str) -> None:
    problem = missing_program(path, ENTRIES)
    assert problem is not None
    assert problem[:2] == ("must be a program that the image holds, by its absolute path", repr(path))


def test_a_program_in_another_folder_is_named() -> None:
    assert missing_program("/usr/sbin/etcd", ENTRIES) == (
        "must be a program that the image holds, by its absolute path",
        "'/usr/sbin/etcd'",
        "there is /usr/bin/etcd",
    )


def test_a_file_that_may_not_be_executed_is_told() -> None:
    problem = missing_program("/usr/bin/plain", ENTRIES)
    assert problem is not None
    assert "not executable (mode 0644)" in problem[1]
