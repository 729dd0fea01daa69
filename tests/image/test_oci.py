"""What an image layout promises, while it is written and after."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import kept
from procession_tasks.errors import BuildError
from procession_tasks.image import oci
from procession_tasks.image.layers import Layer
from procession_tasks.image.layout import Descriptor, Layout
from procession_tasks.image.oci import write_index
from procession_tasks.platform import Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def document(layout: Layout, descriptor: Descriptor) -> Any:
    return json.loads(layout.read(descriptor))


def test_every_blob_has_the_digest_that_is_its_name_and_leads_somewhere(bench: Any) -> None:
    digest = bench.write()
    layout = Layout(bench.layout)
    assert layout.top.digest == digest
    wanted = {layout.top.digest, *(child.digest for child in layout.children(layout.top))}
    assert {
        f"sha256:{hashlib.sha256(content).hexdigest()}" for name, content in bench.files.items() if "blobs" in name
    } == wanted
    assert json.loads(bench.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    assert (layout.ref_name, layout.full_name) == ("1", "example.com/api:1")


def test_a_layer_is_a_tar_of_its_entries_and_the_configuration_has_its_digest(bench: Any) -> None:
    bench.write()
    layout = Layout(bench.layout)
    config, *layers = layout.children(layout.top)
    tars = [gzip.decompress(layout.read(layer)) for layer in layers]
    assert document(layout, config)["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars
    ]
    for tar, name in zip(tars, ("base", "program"), strict=True):
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            assert archive.getnames() == [name]
    assert [entry["comment"] for entry in document(layout, config)["history"]] == ["base", "program"]


def test_a_layer_that_is_as_it_was_is_not_packed_again(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write()
    before, packed = bench.layers, []
    write = oci._write_layer
    monkeypatch.setattr(
        oci, "_write_layer", lambda part, layer, *rest: packed.append(layer.what) or write(part, layer, *rest)
    )
    bench.put("program", b"another\n")
    bench.write()
    assert packed == ["program"]
    assert bench.layers[0] == before[0]
    assert bench.layers[1] != before[1]


@pytest.mark.parametrize("what", ["blob", "record", "both"])
def test_what_was_damaged_is_packed_again(bench: Any, what: str) -> None:
    bench.write()
    clean = bench.files
    if what != "record":
        path = Layout(bench.layout).path(bench.layers[0].digest)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    if what != "blob":
        bench.known.write_bytes(bench.known.read_bytes()[:-1] + b"?")
    bench.write()
    assert bench.files == clean


def test_the_same_inputs_give_the_same_bytes_anywhere(bench: Any, new_bench: Any, tmp_path: Path) -> None:
    bench.write()
    other = new_bench(tmp_path / "other")
    other.write()
    assert bench.files == other.files


def test_a_tree_that_changed_leaves_the_layout_as_it_was(bench: Any) -> None:
    bench.write()
    before = bench.files
    entries = [bench.entry("base"), bench.entry("program")]
    bench.put("program", b"another\n")
    with pytest.raises(BuildError, match="changed while it was packed"):
        bench.write_layers([Layer("all", tuple(entries))], bench.layout)
    assert bench.files == before
    assert os.listdir(bench.layout.parent) == ["linux-amd64"]


def test_what_stops_a_write_leaves_the_layout_as_it_was(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write()
    before = bench.files

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    bench.put("program", b"another\n")
    monkeypatch.setattr(oci, "_configuration", stop)  # when the layers are written
    with pytest.raises(KeyboardInterrupt):
        bench.write()
    assert bench.files == before
    assert os.listdir(bench.layout.parent) == ["linux-amd64"]


@pytest.mark.parametrize("left", [".linux-amd64.part", ".linux-amd64.old.part"])
def test_what_a_killed_write_left_is_cleared_away(bench: Any, left: str) -> None:
    bench.write()
    clean = bench.files
    remains = bench.layout.with_name(left)
    if left == ".linux-amd64.old.part":  # killed between the two renames
        bench.layout.rename(remains)
    else:
        (remains / "blobs/sha256").mkdir(parents=True)
        (remains / "blobs/layer").write_bytes(b"half a lay")
    bench.write()
    assert bench.files == clean
    assert os.listdir(bench.layout.parent) == ["linux-amd64"]


def test_a_layer_is_packed_again_for_another_time(bench: Any) -> None:
    bench.write()
    before = bench.layers
    bench.write(date=5)
    assert not set(before) & set(bench.layers)
    with tarfile.open(Layout(bench.layout).path(bench.layers[0].digest)) as archive:
        assert [member.mtime for member in archive] == [5]


def test_what_is_known_of_layers_is_nothing_to_rely_on(bench: Any) -> None:
    bench.write()
    clean = bench.files
    for known in (None, 5, {}, []):
        kept.save(bench.known, known)
        bench.write()
        assert bench.files == clean
    bench.known.unlink()
    bench.known.mkdir()  # nothing can be kept
    bench.write()
    assert bench.files == clean


def test_another_blob_under_the_name_of_a_known_one_is_not_taken_over(bench: Any) -> None:
    bench.write()
    clean = bench.files
    base, program = (Layout(bench.layout).path(layer.digest) for layer in bench.layers)
    base.write_bytes(program.read_bytes())
    bench.write()
    assert bench.files == clean


def test_a_layer_that_is_two_images_lowest_is_the_same_blob_in_both(bench: Any, new_bench: Any, tmp_path: Path) -> None:
    other = new_bench(tmp_path / "other")
    other.put("program", b"quite another\n")
    bench.write()
    other.write()
    assert bench.layers[0] == other.layers[0]
    assert bench.layers[1] != other.layers[1]


def test_an_index_leads_to_the_images_of_all_platforms(bench: Any, both: dict[Platform, Path]) -> None:
    digest = write_index(bench.root / "oci", both, {"a": "b"})
    layout = Layout(bench.root / "oci")
    assert (layout.top.digest, layout.ref_name, layout.full_name) == (digest, "1", "example.com/api:1")
    index = document(layout, layout.top)
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    assert list(layout.children(layout.top)) == [Layout(both[AMD64]).top, Layout(both[ARM64]).top]
    for manifest in layout.children(layout.top):
        for child in layout.children(manifest):
            assert layout.read(child)


def test_blobs_are_shared_with_the_layouts_of_the_platforms(bench: Any, both: dict[Platform, Path]) -> None:
    write_index(bench.root / "oci", both, {})
    shared = Layout(bench.root / "oci")
    for manifest in shared.children(shared.top):
        for blob in (manifest, *shared.children(manifest)):
            alone = [path for path in (Layout(one).path(blob.digest) for one in both.values()) if path.exists()]
            assert any(shared.path(blob.digest).samefile(path) for path in alone)


def test_blobs_are_copied_where_they_cannot_be_shared(
    bench: Any, both: dict[Platform, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_index(bench.root / "shared", both, {})

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    write_index(bench.root / "copied", both, {})
    names = sorted(os.listdir(bench.root / "shared/blobs/sha256"))
    assert sorted(os.listdir(bench.root / "copied/blobs/sha256")) == names
    for name in names:
        one, other = (bench.root / folder / "blobs/sha256" / name for folder in ("shared", "copied"))
        assert one.read_bytes() == other.read_bytes()


def test_blobs_that_are_shared_stay_the_files_that_they_are(bench: Any, both: dict[Platform, Path]) -> None:
    write_index(bench.root / "oci", both, {})
    before = {path: path.stat().st_ctime_ns for path in (bench.root / "oci/blobs/sha256").iterdir()}
    write_index(bench.root / "oci", both, {})
    assert {path: path.stat().st_ctime_ns for path in (bench.root / "oci/blobs/sha256").iterdir()} == before


@pytest.mark.parametrize("damage", ["another", "link", "nothing"])
def test_a_damaged_blob_below_an_index_is_put_right(bench: Any, both: dict[Platform, Path], damage: str) -> None:
    write_index(bench.root / "oci", both, {})
    blob = bench.root / "oci/blobs/sha256" / bench.layers[0].digest.removeprefix("sha256:")
    blob.unlink()
    if damage == "another":
        blob.write_bytes(b"another")
    elif damage == "link":
        blob.symlink_to("nowhere")
    write_index(bench.root / "oci", both, {})
    assert blob.samefile(Layout(bench.layout).path(bench.layers[0].digest))
    assert not blob.is_symlink()


def test_an_index_that_is_stopped_anywhere_leaves_the_one_before_whole(
    bench: Any, both: dict[Platform, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_index(bench.root / "oci", both, {})
    before = read_all(Layout(bench.root / "oci"))
    bench.put("program", b"another\n")
    bench.write()
    replace, done, stopped = Path.replace, [], 0

    def once(path: Path, target: Path) -> Path:
        if done:
            raise KeyboardInterrupt
        done.append(target)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", once)
    while True:
        done.clear()
        try:
            write_index(bench.root / "oci", both, {})
        except KeyboardInterrupt:
            stopped += 1
            assert read_all(Layout(bench.root / "oci")) == before, "each run comes one file further than the one before"
        else:
            break
    assert stopped == 4, "after configuration, layer, manifest and index; index.json is the last"
    after = read_all(Layout(bench.root / "oci"))
    assert after != before
    assert {f"sha256:{name}" for name in os.listdir(bench.root / "oci/blobs/sha256")} == set(after)


def read_all(layout: Layout) -> dict[str, bytes]:
    """Read all that an index leads to."""
    found = {layout.top.digest: layout.read(layout.top)}
    for manifest in layout.children(layout.top):
        found |= {blob.digest: layout.read(blob) for blob in (manifest, *layout.children(manifest))}
    return found


def test_blobs_that_nothing_leads_to_any_more_go(bench: Any, both: dict[Platform, Path]) -> None:
    write_index(bench.root / "oci", both, {})
    (bench.root / "oci/blobs/sha256/old").write_text("old\n")
    write_index(bench.root / "oci", {AMD64: bench.layout}, {})
    layout = Layout(bench.root / "oci")
    [manifest] = layout.children(layout.top)
    wanted = {layout.top, manifest, *layout.children(manifest)}
    assert {f"sha256:{name}" for name in os.listdir(bench.root / "oci/blobs/sha256")} == {one.digest for one in wanted}
