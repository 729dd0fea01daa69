"""What the archive of a layout holds, for those who load it."""

from __future__ import annotations

import json
import tarfile
from typing import Any

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image.archive import write_archive
from procession_tasks.image.layout import Layout


def test_an_archive_is_the_layout_and_says_to_docker_where_things_are(bench: Any) -> None:
    bench.write()
    write_archive(bench.root / "api.tar", bench.layout, 0)
    with tarfile.open(bench.root / "api.tar") as archive:
        members = {member.name: member for member in archive}
        [loaded] = json.load(archive.extractfile("manifest.json"))
        contents = {name: archive.extractfile(member).read() for name, member in members.items() if member.isfile()}
    assert {name: content for name, content in contents.items() if name != "manifest.json"} == bench.files
    assert loaded["RepoTags"] == ["example.com/api:1"]
    assert [loaded["Config"], *loaded["Layers"]] == [
        f"blobs/{child.digest.replace(':', '/')}" for child in Layout(bench.layout).children(Layout(bench.layout).top)
    ]
    assert {(member.mtime, member.uid, member.gid) for member in members.values()} == {(0, 0, 0)}


def test_the_same_layout_gives_the_same_archive(bench: Any) -> None:
    bench.write()
    written = []
    for name in ("one.tar", "other.tar"):
        write_archive(bench.root / name, bench.layout, 7)
        written.append((bench.root / name).read_bytes())
    assert written[0] == written[1]
    assert written[0].endswith(bytes(1024)), "the two blocks that end a tar"
    with tarfile.open(bench.root / "one.tar") as archive:
        assert {member.mtime for member in archive} == {7}


@pytest.mark.parametrize("damage", ["cut", "gone", "another"])
def test_a_damaged_blob_is_not_put_into_an_archive(bench: Any, damage: str) -> None:
    bench.write()
    write_archive(bench.root / "api.tar", bench.layout, 0)
    before = (bench.root / "api.tar").read_bytes()
    for blob in sorted((bench.layout / "blobs/sha256").iterdir()):
        content = blob.read_bytes()
        if damage == "gone":
            blob.unlink()
        else:
            blob.write_bytes(content[:-1] + (b"?" if damage == "another" else b""))
        with pytest.raises(BuildError):
            write_archive(bench.root / "api.tar", bench.layout, 0)
        assert (bench.root / "api.tar").read_bytes() == before
        blob.write_bytes(content)
