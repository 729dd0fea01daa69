"""Taking inventories of images: ours and others', layers over layers, and what is damaged."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image.blobs import AnyBlobs, FolderBlobs, TarBlobs
from procession_tasks.image.inventory import Inventory
from procession_tasks.image.read_aci import read_aci
from procession_tasks.image.read_oci import Reader
from procession_tasks.platform import Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar"
APPC = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/a",
    "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
    "app": {"exec": ["/bin/a"], "user": "me", "group": "me", "environment": [{"name": "A", "value": "1"}]},
}
ACCOUNTS = {"etc/passwd": b"me:x:7:8::/:/bin/sh\n", "etc/group": b"me:x:8:\n"}


def tar(members: dict[str, bytes | None], **more: Any) -> bytes:
    """A tar as others write it: folders (None) with a slash, names with a dot, times, user names."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=more.pop("format", tarfile.GNU_FORMAT)) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.mtime, info.uname = 1234567890, "builder"
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


class Writer:
    """Writes layouts as others do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = FolderBlobs(folder)

    def add(self, media_type: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / "blobs/sha256" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def image(self, *layers: bytes, architecture: str = "amd64", **config: Any) -> dict[str, Any]:
        said = {"os": "linux", "architecture": architecture, "config": config}
        document = {
            "config": self.add("application/vnd.oci.image.config.v1+json", json.dumps(said).encode()),
            "layers": [self.add(TAR, layer) for layer in layers],
        }
        return self.add(MANIFEST, json.dumps(document, indent=1).encode())

    def read(self, top: dict[str, Any], platform: Platform | None = None) -> Inventory:
        return Reader().inventory("it", self.blobs, top, platform, AMD64)


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "layout")


def test_later_layers_cover_and_take_away_what_is_below(write: Writer) -> None:
    below = tar({"etc/": None, "etc/a": b"1", "etc/b": b"1", "srv/": None, "srv/x": b"", "srv/y": b"", "opt/": None})
    above = tar({"./etc/a": b"22", "etc/.wh.b": b"", "srv/.wh..wh..opq": b"", "srv/z": b"", "opt": b"now a file"})
    items = write.read(write.image(below, above)).items
    assert set(items) == {"etc", "etc/a", "srv", "srv/z", "opt"}
    assert (items["etc/a"].size, items["opt"].type) == (2, "file")
    assert items["etc/a"].sha256 == hashlib.sha256(b"22").hexdigest()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_layer_may_be_compressed_as_others_do(write: Writer, pack: Callable[[bytes], bytes]) -> None:
    assert set(write.read(write.image(pack(tar({"a": b"1"})))).items) == {"a"}


def test_packages_are_those_that_are_left(write: Writer) -> None:
    below = tar({f"var/lib/dpkg/status.d/{n}": f"Package: {n}\nVersion: 1\n".encode() for n in ("a", "b")})
    above = tar({"var/lib/dpkg/status.d/.wh.b": b""})
    assert write.read(write.image(below, above)).packages == {"a": "1"}


def test_of_several_platforms_one_is_chosen(write: Writer) -> None:
    amd64, arm64 = write.image(tar({"a": b""})), write.image(tar({"b": b""}), architecture="arm64")
    for one, arch in ((amd64, "amd64"), (arm64, "arm64")):
        one["platform"] = {"os": "linux", "architecture": arch}
    attached = write.image() | {"platform": {"os": "unknown", "architecture": "unknown"}}
    top = write.add(INDEX, json.dumps({"manifests": [arm64, amd64, attached]}).encode())
    assert set(write.read(top).items) == {"a"}
    assert set(write.read(top, ARM64).items) == {"b"}
    with pytest.raises(BuildError, match=r"must have an image for linux/s390x, got linux/amd64, linux/arm64"):
        write.read(top, Platform("linux", "s390x"))
    only = write.add(INDEX, json.dumps({"manifests": [arm64]}).encode())
    assert set(write.read(only).items) == {"b"}
    with pytest.raises(BuildError, match="must have an image for linux/arm64, got one for linux/amd64"):
        write.read(amd64, ARM64)


def test_what_two_images_share_is_read_once(write: Writer) -> None:
    layer = gzip.compress(tar({"a": b"1"}))
    reader, one = Reader(), write.image(layer, A="1")
    reader.inventory("it", write.blobs, one, None, AMD64)
    (write.folder / "blobs/sha256" / hashlib.sha256(layer).hexdigest()).unlink()
    assert set(reader.inventory("it", write.blobs, one, None, AMD64).items) == {"a"}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda content: content[:-9], "must be a whole tar archive, got a damaged one"),
        (lambda content: content[:30] + b"\0\0\0\0\0\0" + content[36:], "damaged|must hold sha256:"),
        (lambda content: content + b"x", "damaged|must hold sha256:"),
        (lambda _: gzip.compress(b"no tar"), "got a damaged one"),
        (lambda _: gzip.compress(tar({"a": b"2"})), "must hold sha256:.*, got sha256:"),
        (lambda _: b"\x28\xb5\x2f\xfd....", "is compressed with zstd, which cannot be read"),
        (lambda _: gzip.compress(tar({"../a": b""})), "must not lead out of the image"),
    ],
)
def test_a_damaged_layer_is_told(write: Writer, damage: Callable[[bytes], bytes], told: str) -> None:
    content = gzip.compress(tar({"a": b"1" * 5000, "b": b"2"}))
    top = write.image(content)
    path = write.folder / "blobs/sha256" / hashlib.sha256(content).hexdigest()
    path.write_bytes(damage(content))
    with pytest.raises(BuildError, match=told) as error:
        write.read(top)
    assert str(write.folder) in str(error.value)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b"[]", "must be an object of JSON"),
        (b"{", "must be an object of JSON"),
        (b'{"config": 1, "layers": []}', "must lead to blobs by mediaType, digest and size, got 1"),
        (
            b'{"config": {"mediaType": "text/plain", "digest": "sha256:ab", "size": 1}}',
            "must lead to parts of an image",
        ),
        (b'{"config": {"mediaType": "x", "digest": "sha256:../../x", "size": 1}}', "must lead to parts of an image"),
        (b'{"manifests": []}', "must have an image for linux/amd64, got none"),
    ],
)
def test_documents_that_lead_to_no_image_are_told(write: Writer, document: bytes, told: str) -> None:
    with pytest.raises(BuildError, match=told):
        write.read(write.add(MANIFEST, document))


def test_a_blob_that_is_missing_is_told_with_the_places(write: Writer) -> None:
    top = write.image(tar({}))
    (write.folder / "blobs/sha256" / top["digest"][7:]).unlink()
    with pytest.raises(BuildError, match="must have the blob sha256:"):
        write.read(top)
    with pytest.raises(BuildError, match="here or there: must have the blob"):
        Reader().inventory("it", AnyBlobs("here or there", [write.blobs]), top, None, AMD64)


def test_an_archive_of_a_layout_is_read_where_it_is(write: Writer, tmp_path: Path) -> None:
    top = write.image(gzip.compress(tar({"a": b"1"})))
    (write.folder / "index.json").write_text(json.dumps({"manifests": [top]}))
    with tarfile.open(tmp_path / "it.tar", "w") as archive:
        archive.add(write.folder, ".")
    blobs = TarBlobs(tmp_path / "it.tar")
    assert blobs.top()["manifests"] == [top]
    assert Reader().inventory("it", blobs, top, None, AMD64) == write.read(top)


# ACIs


def aci(tmp_path: Path, members: dict[str, bytes | None], pack: Callable[[bytes], bytes] = gzip.compress) -> Path:
    path = tmp_path / "a.aci"
    path.write_bytes(pack(tar(members)))
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_an_aci_of_others_is_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    rootfs = {f"rootfs/{name}": text for name, text in ACCOUNTS.items()}
    path = aci(tmp_path, {"manifest": json.dumps(APPC).encode(), "rootfs/": None, **rootfs}, pack)
    found = read_aci(path, "it")
    assert set(found.items) == {*ACCOUNTS}
    assert (found.settings["user"], found.settings["platform"]) == ("7:8", "linux/amd64")
    assert found.settings["environment.A"] == "1"
    assert (found.stored, found.layers) == (path.stat().st_size, None)
    assert found.manifest is not None
    assert found.manifest["app.user"] == "me"


def test_a_user_that_an_image_does_not_know_stays_a_name(tmp_path: Path) -> None:
    assert read_aci(aci(tmp_path, {"manifest": json.dumps(APPC).encode()}), "it").settings["user"] == "me:me"


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"rootfs/a": b""}, "it: must be an image: .*, got an archive without a manifest"),
        ({"manifest": b"{}"}, "it: manifest:1: "),
        ({"manifest": b"nothing"}, "it: manifest:1: "),
    ],
)
def test_an_archive_that_is_no_image_is_told(tmp_path: Path, members: dict[str, bytes | None], told: str) -> None:
    with pytest.raises(BuildError, match=told):
        read_aci(aci(tmp_path, members), "it")
