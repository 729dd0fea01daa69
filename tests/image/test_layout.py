"""What is read of a layout, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image.layout import INDEX, MANIFEST, Descriptor, Layout
from procession_tasks.image.oci import write_index

BROKEN = {
    "no index": (
        lambda layout: (layout / "index.json").unlink(),
        "must have an index.json, got No such file or directory",
    ),
    "no JSON": (
        lambda layout: (layout / "index.json").write_text("{"),
        "index.json must be an image index, got something else",
    ),
    "two images": (
        lambda layout: (layout / "index.json").write_text('{"manifests": [{}, {}]}'),
        "index.json must lead to one image, got 2",
    ),
    "another digest": (
        lambda layout: (layout / "index.json").write_text(
            '{"manifests": [{"mediaType": "a", "digest": "md5:0", "size": 1}]}'
        ),
        "must have digests of sha256, got md5:0",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_no_layout_is_told(bench: Any, what: str) -> None:
    bench.write()
    make, message = BROKEN[what]
    make(bench.layout)
    with pytest.raises(BuildError) as caught:
        _ = Layout(bench.layout).top
    assert str(caught.value) == f"{bench.layout}: {message}\n  hint: build the image again"


def test_a_blob_that_is_another_is_not_read(bench: Any) -> None:
    bench.write()
    layout = Layout(bench.layout)
    path = layout.path(layout.top.digest)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(BuildError, match=f"{layout.top.digest} must be the blob of that digest and size, got another"):
        layout.read(layout.top)


def test_a_blob_that_is_not_there_is_told(bench: Any) -> None:
    bench.write()
    layout = Layout(bench.layout)
    layout.path(layout.top.digest).unlink()
    with pytest.raises(BuildError, match=f"{layout.top.digest} must be there, got No such file or directory"):
        layout.read(layout.top)


@pytest.mark.parametrize("size", [-1, 1])
def test_a_blob_of_another_size_is_not_read(bench: Any, size: int) -> None:
    bench.write()
    layout = Layout(bench.layout)
    top = layout.top
    with pytest.raises(BuildError, match="must be the blob of that digest and size"):
        layout.read(Descriptor(top.media_type, top.digest, top.size + size))


def test_what_a_descriptor_leads_to_is_in_the_order_of_its_document(bench: Any, both: dict[Any, Path]) -> None:
    write_index(bench.root / "oci", both, {})
    layout = Layout(bench.root / "oci")
    assert layout.top.media_type == INDEX
    amd64, arm64 = layout.children(layout.top)
    assert {amd64.media_type, arm64.media_type} == {MANIFEST}
    config, base, program = layout.children(amd64)
    assert layout.children(config) == ()
    document = json.loads(layout.read(amd64))
    assert [document["config"]["digest"], *(one["digest"] for one in document["layers"])] == [
        config.digest,
        base.digest,
        program.digest,
    ]


@pytest.mark.parametrize(
    ("descriptor", "got"),
    [
        ({}, "{}"),
        ({"mediaType": "a", "digest": "sha256:0", "size": 1}, "sha256:0"),
        ({"mediaType": "a", "digest": 5, "size": 1}, "5"),
        ([], r"\[\]"),
        (None, "None"),
    ],
)
def test_what_is_no_descriptor_is_told(bench: Any, descriptor: Any, got: str) -> None:
    bench.write()
    (bench.layout / "index.json").write_text(json.dumps({"manifests": [descriptor]}))
    with pytest.raises(BuildError, match=f"must have (descriptors|digests) .*, got {got}\n"):
        _ = Layout(bench.layout).top


@pytest.mark.parametrize("index", ["[]", "null", "5", '{"manifests": 5}', '{"manifests": null}', '{"manifests": []}'])
def test_an_index_of_another_shape_is_told(bench: Any, index: str) -> None:
    bench.write()
    (bench.layout / "index.json").write_text(index)
    with pytest.raises(BuildError, match="index.json must "):
        _ = Layout(bench.layout).top


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b"null", b"{", b'{"config":5,"layers":[]}', b'{"config":{},"layers":5}']
)
def test_a_manifest_of_another_shape_is_told(bench: Any, content: bytes) -> None:
    """As one that another tool put there could be: its digest is right."""
    bench.write()
    layout = Layout(bench.layout)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    layout.path(digest).write_bytes(content)
    with pytest.raises(BuildError, match="must "):
        layout.children(Descriptor(MANIFEST, digest, len(content)))
