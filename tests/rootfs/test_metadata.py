"""What scanners read of an image's packages."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STATUS = "var/lib/dpkg/status.d"


@pytest.fixture
def image(store: Any, maker: Any) -> dict[str, Any]:
    """Of a package some of whose files are pruned, moved, replaced."""
    maker.write("etc/mine", "mine")
    package = store.package(
        "sample",
        store.file("bin/tool", b"tool"),
        store.file("etc/mine", b"theirs"),
        store.file("usr/share/man/x", b"man"),
        store.file("usr/bin/a", b"twice"),
        store.hard_link("usr/bin/b", "usr/bin/a"),
    )
    return maker.image(
        [package, store.package("libother1", store.link("z", "/run/z"))], prune=["usr/share/man"]
    ).sources


def test_the_control_stanza_is_there_as_it_is(image: dict[str, Any]) -> None:
    content = image[f"{STATUS}/sample"].content
    assert (
        content
        == b"Package: sample\nVersion: 1.0-1\nArchitecture: amd64\nMaintainer: Nobody <n@example.org>\nDescription: sample\n"
    )
    assert image[f"{STATUS}/sample"].owner == "sample"


def test_md5_sums_are_of_files_that_are_there_at_their_final_places(image: dict[str, Any]) -> None:
    lines = image[f"{STATUS}/sample.md5sums"].content.decode().splitlines()
    assert [line[32:] for line in lines] == ["  usr/bin/a", "  usr/bin/tool", "  usr/share/doc/sample/copyright"]


def test_md5sum_agrees(image: dict[str, Any], tmp_path: Path, judge: Callable[[str], str]) -> None:
    from procession_tasks.rootfs.stage import stage

    stage(image, tmp_path / "tree", tmp_path / "files")
    for path in (f"{STATUS}/sample.md5sums", f"{STATUS}/libother1.md5sums"):
        checked = subprocess.run([judge("md5sum"), "-c", path], cwd=tmp_path / "tree", capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout


def test_a_package_without_sums_has_only_its_stanza(store: Any, maker: Any) -> None:
    package = store.package("bare", store.folder("opt"), licensed=False)
    found = maker.image([package], waive={"copyright": {"bare"}}).sources
    assert f"{STATUS}/bare" in found
    assert f"{STATUS}/bare.md5sums" not in found


def test_dpkg_reads_the_stanzas(image: dict[str, Any], tmp_path: Path, judge: Callable[[str], str]) -> None:
    stanzas = [
        one.content.decode() for path, one in image.items() if path.startswith(f"{STATUS}/") and "md5sums" not in path
    ]
    (tmp_path / "status").write_text("\n".join(f"Status: install ok installed\n{stanza}" for stanza in stanzas))
    (tmp_path / "updates").mkdir()
    command = [judge("dpkg-query"), f"--admindir={tmp_path}", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert listed == "libother1 1.0-1 installed\nsample 1.0-1 installed\n"
