"""What the verifier of OCI layouts refuses: every byte, every document and every file that is not the one form."""

from __future__ import annotations

import copy
import dataclasses
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image import tarball
from procession_tasks.image.members import Member
from procession_tasks.image.verify import Expected
from procession_tasks.image.verify_oci import verify_index, verify_layout
from procession_tasks.platform import Platform
from procession_tasks.rootfs.tree import Entry

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
TIME = 86_400
CREATED = "1970-01-02T00:00:00Z"
OCI = "org.opencontainers.image."
TYPE = "application/vnd.oci.image"
APPC = {
    "acKind": "ImageManifest",
    "acVersion": "0.8.11",
    "name": "example.com/team/api",
    "labels": [{"name": "version", "value": "1.0"}],
    "app": {
        "exec": ["/bin/api", "-v"],
        "user": "api",
        "group": "api",
        "environment": [{"name": "A", "value": "1=2"}],
        "mountPoints": [{"name": "data", "path": "/srv"}],
        "ports": [{"name": "http", "protocol": "tcp", "port": 80, "count": 2}],
        "userLabels": {"team": "a"},
    },
    "annotations": [
        {"name": "homepage", "value": "https://example.com"},
        {"name": f"{OCI}stopsignal", "value": "SIGQUIT"},
    ],
}
LABELS = {
    f"{OCI}stopsignal": "SIGQUIT",
    f"{OCI}title": "api",
    f"{OCI}url": "https://example.com",
    f"{OCI}version": "1.0",
    "team": "a",
}
CONFIG = {
    "created": CREATED,
    "os": "linux",
    "architecture": "amd64",
    "config": {
        "User": "65532:65533",
        "Entrypoint": ["/bin/api", "-v"],
        "Env": ["A=1=2"],
        "WorkingDir": "/",
        "ExposedPorts": {"80/tcp": {}, "81/tcp": {}},
        "Volumes": {"/srv": {}},
        "StopSignal": "SIGQUIT",
        "Labels": LABELS,
    },
    "history": [{"created": CREATED, "created_by": "procession", "comment": what} for what in ("base", "definition")],
}
NAMES = {f"{OCI}ref.name": "1.0", "io.containerd.image.name": "example.com/team/api:1.0"}
SAID = {name: LABELS[name] for name in (f"{OCI}title", f"{OCI}url", f"{OCI}version")}

Part = tuple[Entry, bytes]
Layers = list[list[Part]]
Change = Callable[[Any], Any]


def folder(path: str, mode: int = 0o755, **more: Any) -> Part:
    return Entry(path, "directory", mode, **more), b""


def file(path: str, content: bytes, mode: int = 0o644, **more: Any) -> Part:
    return Entry(path, "file", mode, size=len(content), digest=sha256(content), **more), content


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


LAYERS: Layers = [
    [
        folder("lib"),
        file("lib/a.so", b"library" * 100, 0o755, xattrs=(("security.capability", b"\1\0"),)),
        (Entry("lib/b.so", "hardlink", 0o755, link="lib/a.so"), b""),
        (Entry("lib/c.so", "symlink", 0o777, link="a.so"), b""),
    ],
    [
        folder("etc"),
        file("etc/group", b"root:x:0:\napi:x:65533:\n"),
        file("etc/passwd", b"root:x:0:0::/:/bin/sh\napi:x:65532:65533::/:/bin/sh\n"),
        folder("lib"),
        file("lib/own.so", b"own"),
        folder("srv", 0o1777, uid=7, gid=8),
    ],
]
EXPECTED = Expected(
    json.dumps(APPC).encode(),
    tuple(
        Member(e.path, e.type, e.mode, e.uid, e.gid, e.size, e.digest, e.link, e.xattrs)
        for e in {entry.path: entry for layer in LAYERS for entry, _ in layer}.values()
    ),
    TIME,
)


def tar(layer: Iterable[Part], mtime: int = TIME) -> bytes:
    return b"".join(
        tarball.header(entry, mtime) + content + bytes(-len(content) % 512) for entry, content in layer
    ) + bytes(1024)


def compressed(content: bytes) -> bytes:
    """Compress with the header that our archives have."""
    return bytes.fromhex("1f8b08000000000000ff") + gzip.compress(content, compresslevel=1, mtime=0)[10:]


class Forge:
    """Makes layouts that are right but for one thing: every digest, size and reference agrees with it."""

    def __init__(self, layout: Path) -> None:
        self.layout = layout
        (layout / "blobs/sha256").mkdir(parents=True)
        (layout / "oci-layout").write_bytes(b'{"imageLayoutVersion":"1.0.0"}')

    def blob(self, media_type: str, content: bytes) -> dict[str, Any]:
        digest = sha256(content)
        (self.layout / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": f"{TYPE}.{media_type}", "digest": f"sha256:{digest}", "size": len(content)}

    def image(self, tars: Iterable[bytes], platform: Platform = AMD64, **changes: Change) -> dict[str, Any]:
        """Add an image, and return the descriptor of its manifest; changes are by document."""
        tars = list(tars)
        diff_ids = [f"sha256:{sha256(content)}" for content in tars]
        config = {**copy.deepcopy(CONFIG), "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        config["architecture"] = platform.arch
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{TYPE}.manifest.v1+json",
            "config": self.blob("config.v1+json", self._changed(config, changes.get("configuration"))),
            "layers": [self.blob("layer.v1.tar+gzip", compressed(content)) for content in tars],
            "annotations": dict(SAID),
        }
        return self.blob("manifest.v1+json", self._changed(manifest, changes.get("manifest")))

    def finish(self, top: dict[str, Any], change: Change | None = None) -> None:
        top = {**top, "annotations": dict(NAMES)}
        index = {"schemaVersion": 2, "mediaType": f"{TYPE}.index.v1+json", "manifests": [top]}
        (self.layout / "index.json").write_bytes(self._changed(index, change))

    @staticmethod
    def _changed(document: Any, change: Change | None) -> bytes:
        """Render a document after it was changed; bytes are left as they are."""
        found = change(document) if change else document
        return found if isinstance(found, bytes) else json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def forged(root: Path, layers: Layers = LAYERS, mtime: int = TIME, **changes: Change) -> list[str]:
    """Make a layout, and say what is found."""
    forge = Forge(root / "api/linux-amd64")
    top = forge.image((tar(layer, mtime) for layer in layers), **changes)
    forge.finish(top, changes.get("index"))
    return verify_layout(forge.layout, EXPECTED, AMD64)


def found_in(folder: Path) -> list[str]:
    return verify_layout(folder, EXPECTED, AMD64)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    assert forged(tmp_path) == [], "otherwise what follows would prove little"
    return tmp_path / "api/linux-amd64"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# What is on the disk


@pytest.mark.slow
def test_every_flipped_byte_of_a_layout_is_refused(good: Path) -> None:
    for path in files(good):
        content = path.read_bytes()
        step = 1 if path.parent == good else 3
        for position in range(0, len(content), step):
            path.write_bytes(content[:position] + bytes([content[position] ^ 0x01]) + content[position + 1 :])
            assert found_in(good), f"byte {position} of {path.name}"
        path.write_bytes(content)
    assert found_in(good) == []


def test_every_cut_is_refused(good: Path) -> None:
    for path in files(good):
        content = path.read_bytes()
        for length in {0, 1, len(content) // 2, len(content) - 1}:
            path.write_bytes(content[:length])
            assert found_in(good), f"{length} bytes of {path.name}"
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["nothing", "folder", "link", "pipe"])
def test_what_is_no_file_is_refused(good: Path, tmp_path: Path, kind: str) -> None:
    for path in files(good):
        aside = tmp_path / "aside"
        path.rename(aside)
        if kind == "folder":
            path.mkdir()
        elif kind == "link":
            path.symlink_to(aside)
        elif kind == "pipe":
            os.mkfifo(path)
        [finding] = found_in(good)
        assert f"{path.name}: expected a file, got " in finding
        if kind == "folder":
            path.rmdir()
        aside.replace(path)


@pytest.mark.parametrize("name", ["blobs/sha256/" + "0" * 64, "blobs/sha256/x", "blobs/sha512", "README"])
def test_what_nothing_leads_to_is_refused(good: Path, name: str) -> None:
    (good / name).write_text("x")
    what = "blob" if name.startswith("blobs") else "member of the layout"
    assert found_in(good) == [f"api/linux-amd64: {name}: {what}: expected nothing, got something"]


def test_a_layout_that_is_not_there_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"linux-amd64: cannot be read: No such file or directory\n  hint: build"):
        found_in(tmp_path / "api/linux-amd64")


NOISE = [b"", b"[]", b"{}", b"null", b"1", b'"x"', b"[{}]", b"{", b"\xff", b"[" * 100_000, b'{"manifests":[1]}',
         b'{"config":{},"layers":{}}', b'{"manifests":{"0":1}}', b" " * (4 * 1024 * 1024 + 1)]  # fmt: skip


@pytest.mark.parametrize("content", NOISE, ids=lambda content: content[:30])
@pytest.mark.parametrize("document", ["index", "manifest", "configuration", "oci-layout"])
def test_a_document_that_is_something_else_is_refused_without_a_traceback(
    tmp_path: Path, document: str, content: bytes
) -> None:
    if document == "oci-layout":
        forged(tmp_path)
        (tmp_path / "api/linux-amd64/oci-layout").write_bytes(content)
        assert found_in(tmp_path / "api/linux-amd64")
    else:
        assert forged(tmp_path, **{document: lambda _: content})


def test_a_document_that_no_registry_takes_is_refused(tmp_path: Path) -> None:
    [found] = forged(tmp_path, configuration=put("author", "a" * 4 * 1024 * 1024))
    assert found.startswith("api/linux-amd64: configuration: size: expected at most 4194304, got 419")


# What the documents say


def put(key: str, value: Any) -> Change:
    """Make a change of one value of a document; None takes it away."""

    def change(document: Any) -> Any:
        *parents, last = key.split("/")
        for name in parents:
            document = document[int(name) if isinstance(document, list) else name]
        if value is None:
            del document[last]
        else:
            document[int(last) if isinstance(document, list) else last] = value
        return document

    def changed(document: Any) -> Any:
        change(document)
        return document

    return changed


OTHER = f"sha256:{'0' * 64}"
DOCUMENTS = [
    ("configuration", "created", "1970-01-01T00:00:00Z", 'created: expected "1970-01-02T00:00:00Z", got "1970-01-01'),
    ("configuration", "os", "windows", 'os: expected "linux", got "windows"'),
    ("configuration", "architecture", "arm64", 'architecture: expected "amd64", got "arm64"'),
    ("configuration", "variant", "v8", 'variant: expected nothing, got "v8"'),
    ("configuration", "author", "us", 'author: expected nothing, got "us"'),
    ("configuration", "config", None, 'config: expected {"Labels": '),
    ("configuration", "config/User", "0:0", 'config.User: expected "65532:65533", got "0:0"'),
    ("configuration", "config/User", "api", 'config.User: expected "65532:65533", got "api"'),
    ("configuration", "config/User", None, 'config.User: expected "65532:65533", got nothing'),
    ("configuration", "config/Env", ["A=1"], 'config.Env[0]: expected "A=1=2", got "A=1"'),
    ("configuration", "config/Env", ["A=1=2", "B="], 'config.Env: expected ["A=1=2"], got ["A=1=2", "B="]'),
    ("configuration", "config/Entrypoint", ["/bin/sh"], 'config.Entrypoint: expected ["/bin/api", "-v"], got ["/bin'),
    ("configuration", "config/Cmd", ["-x"], 'config.Cmd: expected nothing, got ["-x"]'),
    ("configuration", "config/WorkingDir", "/srv", 'config.WorkingDir: expected "/", got "/srv"'),
    ("configuration", "config/ExposedPorts/81~tcp", {}, "config.ExposedPorts.81~tcp: expected nothing, got {}"),
    ("configuration", "config/ExposedPorts", {"80/tcp": {}}, "config.ExposedPorts.81/tcp: expected {}, got nothing"),
    ("configuration", "config/Volumes", None, 'config.Volumes: expected {"/srv": {}}, got nothing'),
    ("configuration", "config/StopSignal", "SIGTERM", 'config.StopSignal: expected "SIGQUIT", got "SIGTERM"'),
    ("configuration", "config/Labels/team", "b", 'config.Labels.team: expected "a", got "b"'),
    ("configuration", "config/Labels/more", "", 'config.Labels.more: expected nothing, got ""'),
    ("configuration", "rootfs/type", "layer", 'rootfs.type: expected "layers", got "layer"'),
    ("configuration", "rootfs/diff_ids/1", OTHER, 'rootfs.diff_ids[1]: expected "sha256:'),
    ("configuration", "rootfs/diff_ids", [OTHER], 'rootfs.diff_ids: expected ["sha256:'),
    ("configuration", "history/0/created_by", "us", 'history[0].created_by: expected "procession", got "us"'),
    ("configuration", "history/1/created", CREATED[:-1], f'history[1].created: expected "{CREATED}", got'),
    ("configuration", "history/0/empty_layer", True, "history[0].empty_layer: expected nothing, got true"),
    ("configuration", "history", [], "history: expected ["),
    ("manifest", "schemaVersion", 1, "schemaVersion: expected 2, got 1"),
    ("manifest", "schemaVersion", 2.0, "schemaVersion: expected 2, got 2.0"),
    ("manifest", "mediaType", "x", f'mediaType: expected "{TYPE}.manifest.v1+json", got "x"'),
    ("manifest", "artifactType", "x", 'artifactType: expected nothing, got "x"'),
    ("manifest", f"annotations/{OCI}title", "b", f'annotations.{OCI}title: expected "api", got "b"'),
    ("manifest", "annotations/team", "a", 'annotations.team: expected nothing, got "a"'),
    ("manifest", "config/annotations", {}, "config.annotations: expected nothing, got {}"),
    ("manifest", "layers/0/urls", [], "layers[0].urls: expected nothing, got []"),
    ("index", "manifests/0/annotations", None, "manifests[0].annotations: expected {"),
    ("index", f"manifests/0/annotations/{OCI}ref.name", "2", f'annotations.{OCI}ref.name: expected "1.0", got "2"'),
    ("index", "manifests/0/platform", {"os": "linux"}, 'manifests[0].platform: expected nothing, got {"os": "linux"}'),
    ("index", "annotations", {}, "annotations: expected nothing, got {}"),
    ("index", "schemaVersion", None, "schemaVersion: expected 2, got nothing"),
]


@pytest.mark.parametrize(("document", "key", "value", "finding"), DOCUMENTS, ids=lambda value: str(value)[:40])
def test_a_document_that_says_something_else_is_refused(
    tmp_path: Path, document: str, key: str, value: Any, finding: str
) -> None:
    found = forged(tmp_path, **{document: put(key, value)})
    place = "index.json" if document == "index" else document
    assert all(line.startswith(f"api/linux-amd64: {place}: ") for line in found), found
    assert any(finding in line for line in found), found


DESCRIPTORS = [
    ("manifest", "config/size", 1, "configuration: size: expected 1, got "),
    ("manifest", "config/size", True, "configuration: size: expected true, got "),
    ("manifest", "config/mediaType", "x", f"configuration: mediaType: expected {TYPE}.config.v1+json, got x"),
    ("manifest", "config/digest", OTHER, f"configuration: {'0' * 64}: expected a file, got No such file or directory"),
    ("manifest", "config", None, "configuration: digest: expected one of sha256, got None"),
    ("manifest", "layers/1/digest", "sha512:0", "layer 1: digest: expected one of sha256, got sha512:0"),
    ("manifest", "layers/1/digest", "sha256:../../index.json", "layer 1: digest: expected one of sha256, got "),
    ("manifest", "layers/0/mediaType", f"{TYPE}.layer.v1.tar", "layer 0: mediaType: expected "),
    ("manifest", "layers/0/size", None, "layer 0: size: expected null, got "),
    ("manifest", "layers", [], "manifest: layers: expected at least one, got []"),
    ("index", "manifests/0/size", 1, "manifest: size: expected 1, got "),
    ("index", "manifests/0/mediaType", f"{TYPE}.index.v1+json", "manifest: mediaType: expected "),
    ("index", "manifests", [], "manifest: digest: expected one of sha256, got None"),
]


@pytest.mark.parametrize(("document", "key", "value", "finding"), DESCRIPTORS, ids=lambda value: str(value)[:40])
def test_a_descriptor_that_is_not_that_of_its_blob_is_refused(
    tmp_path: Path, document: str, key: str, value: Any, finding: str
) -> None:
    found = forged(tmp_path, **{document: put(key, value)})
    assert any(line.startswith(f"api/linux-amd64: {finding}") for line in found), found


def test_a_second_image_is_refused(tmp_path: Path) -> None:
    found = forged(tmp_path, index=lambda document: {**document, "manifests": document["manifests"] * 2})
    assert [line.partition(": expected")[0] for line in found] == ["api/linux-amd64: index.json: manifests"]


@pytest.mark.parametrize("document", ["index", "manifest", "configuration"])
@pytest.mark.parametrize("how", ["spaced", "unsorted", "doubled"])
def test_a_document_in_another_form_is_refused(tmp_path: Path, document: str, how: str) -> None:
    def change(content: Any) -> bytes:
        if how == "spaced":
            return json.dumps(content, sort_keys=True).encode()
        if how == "unsorted":
            ordered = dict(sorted(content.items(), reverse=True))
            return json.dumps(ordered, separators=(",", ":")).encode()
        text = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        return b'{"' + min(content).encode() + b'":"another",' + text[1:]

    place = "index.json" if document == "index" else document
    rule = "form: expected sorted keys, each once, and no white space, got another"
    assert forged(tmp_path, **{document: change}) == [f"api/linux-amd64: {place}: {rule}"]


# What the layers hold


def replaced(number: int, position: int, *parts: Part) -> Layers:
    """The layers, with something in the place of one part."""
    layers = [list(layer) for layer in LAYERS]
    layers[number][position : position + 1] = parts
    return layers


def altered(number: int, position: int, **fields: Any) -> Layers:
    entry, content = LAYERS[number][position]
    return replaced(number, position, (dataclasses.replace(entry, **fields), content))


def more(number: int, *parts: Part) -> Layers:
    layers = [list(layer) for layer in LAYERS]
    layers[number] += parts
    return layers


def link(path: str, target: str) -> Part:
    return Entry(path, "hardlink", 0o755, link=target), b""


PATH_RULE = "a relative path with no empty, '.' or '..' part, and none that begins with .wh."
LAYERED = {
    "mode": (altered(0, 1, mode=0o4755), ["layer 0: lib/a.so: mode: expected 0755, got 4755"]),
    "owner": (altered(1, 4, uid=5), ["layer 1: lib/own.so: uid: expected 0, got 5"]),
    "group": (altered(1, 5, gid=0), ["layer 1: srv: gid: expected 8, got 0"]),
    "attributes": (
        altered(0, 1, xattrs=()),
        ["layer 0: lib/a.so: xattrs: expected (('security.capability', b'\\x01\\x00'),), got ()"],
    ),
    "text of a link": (altered(0, 3, link="b.so"), ["layer 0: lib/c.so: link: expected 'a.so', got 'b.so'"]),
    "content": (
        replaced(1, 4, file("lib/own.so", b"OWN")),
        [f"layer 1: lib/own.so: sha256: expected '{sha256(b'own')}', got '{sha256(b'OWN')}'"],
    ),
    "type": (
        replaced(0, 3, link("lib/c.so", "lib/a.so")),
        [
            "layer 0: lib/c.so: type: expected 'symlink', got 'hardlink'",
            "layer 0: lib/c.so: mode: expected 0777, got 0755",
            "layer 0: lib/c.so: link: expected 'a.so', got 'lib/a.so'",
        ],
    ),
    "missing": (replaced(0, 3), ["lib/c.so: member: expected symlink, got nothing"]),
    "too much": (more(1, file("srv/x", b"")), ["layer 1: srv/x: member: expected nothing, got file"]),
    "in two layers": (
        replaced(1, 4, LAYERS[0][1], LAYERS[1][4]),
        ["layer 1: lib/a.so: member: expected one layer that has it, got one below too"],
    ),
    "twice in a layer": (
        replaced(1, 4, LAYERS[1][4], LAYERS[1][4]),
        ["layer 1: lib/own.so: order: expected a name that sorts after lib/own.so, got lib/own.so"],
    ),
    "not sorted": (
        [LAYERS[0], [*LAYERS[1][:3], LAYERS[1][5], *LAYERS[1][3:5]]],
        ["layer 1: lib: order: expected a name that sorts after srv, got lib"],
    ),
    "a folder that is another in another layer": (
        altered(1, 3, mode=0o700),
        ["layer 1: lib: mode: expected 0755, got 0700"],
    ),
    "a folder that is in another layer only": (
        replaced(1, 3),
        ["layer 1: lib/own.so: parent: expected a directory before it, got nothing"],
    ),
    "a hard link into another layer": (
        [[*LAYERS[0][:2], LAYERS[0][3]], [*LAYERS[1][:4], LAYERS[0][2], *LAYERS[1][4:]]],
        ["layer 1: lib/b.so: target lib/a.so: expected a file before it, got nothing"],
    ),
    "what takes a file away": (
        more(1, file("srv/.wh.x", b"")),
        [
            f"layer 1: srv/.wh.x: name: expected {PATH_RULE}, got srv/.wh.x",
            "layer 1: srv/.wh.x: member: expected nothing, got file",
        ],
    ),
    "a layer too much": (
        [*LAYERS, [folder("lib")]],
        ["configuration: history: expected "],
    ),
    "a layer too few": (
        LAYERS[:1],
        [
            "etc: member: expected directory, got nothing",
            "etc/group: member: expected file, got nothing",
            "etc/passwd: member: expected file, got nothing",
            "lib/own.so: member: expected file, got nothing",
            "srv: member: expected directory, got nothing",
            "configuration: config.User: expected \"the uid of 'api':the gid of 'api'\", got \"65532:65533\"",
            "configuration: history: expected ",
        ],
    ),
}


@pytest.mark.parametrize(("layers", "findings"), LAYERED.values(), ids=LAYERED)
def test_layers_that_hold_something_else_are_refused(tmp_path: Path, layers: Layers, findings: list[str]) -> None:
    found = forged(tmp_path, layers)
    assert len(found) == len(findings), found
    for line, finding in zip(found, findings, strict=True):
        assert line.startswith(f"api/linux-amd64: {finding}")


def test_another_time_is_refused(tmp_path: Path) -> None:
    found = forged(tmp_path, mtime=TIME + 1)
    assert len(found) == sum(map(len, LAYERS))
    assert found[0] == f"api/linux-amd64: layer 0: lib: mtime: expected {TIME}, got {TIME + 1}"


def test_the_order_of_layers_that_are_right_each_is_no_matter(tmp_path: Path) -> None:
    assert forged(tmp_path, LAYERS[::-1]) == []


def test_what_can_not_be_read_on_names_its_layer(tmp_path: Path) -> None:
    forge = Forge(tmp_path / "api/linux-amd64")
    forge.finish(forge.image([tar(LAYERS[0]), tar(LAYERS[1])[:-512]]))
    [finding] = found_in(forge.layout)
    assert finding.startswith("api/linux-amd64: layer 1: tar: expected one that can be read, got byte ")


TRAILING = {
    "after the tar": (lambda clean: compressed(clean + bytes(512)), "after the end of the tar: expected nothing"),
    "after the gzip": (lambda clean: compressed(clean) + b"x", "gzip: CRC-32, length and end: expected"),
    "no length": (lambda clean: compressed(clean)[:-4] + bytes(4), "gzip: CRC-32, length and end: expected"),
    "not compressed": (lambda clean: clean, "gzip: header: expected"),
}


@pytest.mark.parametrize(("pack", "finding"), TRAILING.values(), ids=TRAILING)
def test_a_blob_that_holds_more_than_a_tar_is_refused(
    tmp_path: Path, pack: Callable[[bytes], bytes], finding: str
) -> None:
    forge = Forge(tmp_path / "api/linux-amd64")
    odd = forge.blob("layer.v1.tar+gzip", pack(tar(LAYERS[1])))
    forge.finish(forge.image(map(tar, LAYERS[:1]), manifest=lambda it: {**it, "layers": [*it["layers"], odd]}))
    assert finding in found_in(forge.layout)[-1]


def test_noise_in_a_layer_is_refused_without_a_traceback(tmp_path: Path) -> None:
    choice = random.Random(3)
    clean = tar(LAYERS[1])
    for number in range(100):
        noisy = bytearray(clean)
        for _ in range(choice.randrange(1, 40)):
            noisy[choice.randrange(len(noisy))] ^= choice.randrange(1, 256)
        forge = Forge(tmp_path / f"{number}/linux-amd64")
        forge.finish(forge.image([tar(LAYERS[0]), bytes(noisy)]))
        assert found_in(forge.layout)


# Who an image runs as

USERS = [
    ({"user": "0", "group": "5"}, "0:5"),
    ({"user": "root", "group": "api"}, "0:65533"),
    ({"user": "/srv", "group": "/srv"}, "7:8"),
    ({"user": "nobody", "group": "api"}, "the uid of 'nobody':65533"),
    ({"user": "api", "group": "/nowhere"}, "65532:the gid of '/nowhere'"),
]


@pytest.mark.parametrize(("named", "user"), USERS)
def test_the_user_is_looked_up_in_the_image(tmp_path: Path, named: dict[str, str], user: str) -> None:
    forged(tmp_path)
    expected = dataclasses.replace(EXPECTED, manifest=json.dumps({**APPC, "app": {**APPC["app"], **named}}).encode())
    found = verify_layout(tmp_path / "api/linux-amd64", expected, AMD64)
    assert found == [f'api/linux-amd64: configuration: config.User: expected "{user}", got "65532:65533"']


def test_an_image_without_app_must_not_start_anything(tmp_path: Path) -> None:
    forged(tmp_path)
    appc = {name: value for name, value in APPC.items() if name != "app"}
    found = verify_layout(
        tmp_path / "api/linux-amd64", dataclasses.replace(EXPECTED, manifest=json.dumps(appc).encode()), AMD64
    )
    assert {line.partition("config.")[2].partition(":")[0] for line in found} == {*CONFIG["config"], "Labels.team"} - {
        "Labels"
    }


def test_an_image_for_another_platform_is_refused(good: Path) -> None:
    assert verify_layout(good, EXPECTED, Platform("linux", "arm")) == [
        'api/linux-amd64: configuration: architecture: expected "arm", got "amd64"',
        'api/linux-amd64: configuration: variant: expected "v7", got nothing',
    ]


# All platforms


class Both:
    """The layouts of two platforms, and the one of both."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "api"
        self.platforms = {one: self.folder / one.slug for one in (ARM64, AMD64)}
        for platform, layout in self.platforms.items():
            alone = Forge(layout)
            alone.finish(alone.image(map(tar, LAYERS), platform))

    def forge(self, *, swapped: bool = False, **changes: Change) -> list[str]:
        forge = Forge(self.folder)
        platforms = (ARM64, AMD64) if swapped else (AMD64, ARM64)
        children = [
            {
                **forge.image(map(tar, LAYERS), platform, configuration=changes.get("configuration", lambda it: it)),
                "platform": {"os": "linux", "architecture": platform.arch},
            }
            for platform in platforms
        ]
        index = {
            "schemaVersion": 2,
            "mediaType": f"{TYPE}.index.v1+json",
            "manifests": children,
            "annotations": dict(SAID),
        }
        top = forge.blob("index.v1+json", Forge._changed(index, changes.get("index")))
        forge.finish(top, changes.get("top"))
        return verify_index(self.folder, self.platforms)


def test_an_index_of_the_images_of_all_platforms_passes(tmp_path: Path) -> None:
    both = Both(tmp_path)
    assert both.forge() == []
    assert [verify_layout(layout, EXPECTED, platform) for platform, layout in both.platforms.items()] == [[], []]


INDEXES = [
    ("index", "manifests/0/platform/architecture", "arm64", 'manifests[0].platform.architecture: expected "amd64"'),
    ("index", "manifests/1/platform/os", "windows", 'manifests[1].platform.os: expected "linux", got "windows"'),
    ("index", "manifests/1/platform/variant", "v8", 'manifests[1].platform.variant: expected nothing, got "v8"'),
    ("index", "manifests/0/platform", None, "manifests[0].platform: expected {"),
    ("index", "manifests/0/annotations", {}, "manifests[0].annotations: expected nothing, got {}"),
    ("index", "manifests/0/size", 5, "manifests[0].size: expected "),
    ("index", "mediaType", "x", "mediaType: expected "),
    ("index", f"annotations/{OCI}title", None, f'annotations.{OCI}title: expected "api", got nothing'),
]


@pytest.mark.parametrize(("document", "key", "value", "finding"), INDEXES, ids=lambda value: str(value)[:40])
def test_an_index_that_says_something_else_is_refused(
    tmp_path: Path, document: str, key: str, value: Any, finding: str
) -> None:
    [found] = Both(tmp_path).forge(**{document: put(key, value)})
    assert found.startswith(f"api: {document}: {finding}")


def test_an_index_in_another_order_is_refused(tmp_path: Path) -> None:
    found = Both(tmp_path).forge(swapped=True)
    assert 'api: index: manifests[0].platform.architecture: expected "amd64", got "arm64"' in found


def test_an_index_with_a_platform_too_few_or_too_many_is_refused(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.forge()
    found = verify_index(both.folder, {AMD64: both.platforms[AMD64]})
    assert any(line.startswith("api: index: manifests: expected [") for line in found)
    assert sum("blob: expected nothing" in line for line in found) == 2, "manifest and configuration of arm64"


def test_an_index_under_another_name_is_refused(tmp_path: Path) -> None:
    found = Both(tmp_path).forge(top=put(f"manifests/0/annotations/{OCI}ref.name", "2"))
    assert {line.partition(": expected")[0] for line in found} == {
        f"api: index.json: manifests[0].annotations.{OCI}ref.name"
    }


def test_images_other_than_those_of_the_platforms_are_refused(tmp_path: Path) -> None:
    [found] = Both(tmp_path).forge(configuration=put("author", "them"))
    assert found.startswith("api: manifest of linux/amd64: ")
    assert found.endswith("expected a file, got No such file or directory")


def test_every_flipped_byte_below_an_index_is_refused(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.forge()
    choice = random.Random(4)
    for path in [both.folder / "index.json", both.folder / "oci-layout", *files(both.folder / "blobs")]:
        content = path.read_bytes()
        for position in choice.sample(range(len(content)), 20):
            path.write_bytes(content[:position] + bytes([content[position] ^ 0x04]) + content[position + 1 :])
            assert verify_index(both.folder, both.platforms), f"byte {position} of {path.name}"
        path.write_bytes(content)
    assert verify_index(both.folder, both.platforms) == []


def test_an_image_that_is_for_another_platform_than_its_place_is_refused(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.forge()
    found = verify_index(both.folder, {AMD64: both.platforms[ARM64], ARM64: both.platforms[AMD64]})
    assert 'api: configuration of linux/amd64: architecture: expected "amd64", got "arm64"' in found


def test_stray_blobs_below_an_index_are_refused_and_other_files_beside_it_are_not(tmp_path: Path) -> None:
    both = Both(tmp_path)
    both.forge()
    (both.folder / "linux-amd64.tar").write_text("x")
    assert verify_index(both.folder, both.platforms) == []
    (both.folder / "blobs/sha256/stray").write_text("x")
    assert verify_index(both.folder, both.platforms) == [
        "api: blobs/sha256/stray: blob: expected nothing, got something"
    ]


READER = """
import sys
from pathlib import Path
from procession_tasks.image.verify import Expected
from procession_tasks.image.verify_oci import verify_layout
from procession_tasks.platform import Platform
peak = lambda: int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
before = peak()
manifest = b'{"acKind":"ImageManifest","name":"a"}'
found = verify_layout(Path(sys.argv[1]), Expected(manifest, ()), Platform("linux", "amd64"))
print(peak() - before, *found, sep="\\n")
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_what_a_layer_inflates_to(tmp_path: Path) -> None:
    """Half a gigabyte of zeros, which is next to nothing when compressed, is read within 32 MB."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=1) as stream:
        stream.write(tarball.header(Entry("zeros", "file", 0o644, size=1 << 29), 0))
        for _ in range(1 << 9):
            stream.write(bytes(1 << 20))
        stream.write(bytes(1024))
    forge = Forge(tmp_path / "zeros/linux-amd64")
    layer = forge.blob("layer.v1.tar+gzip", bytes.fromhex("1f8b08000000000000ff") + out.getvalue()[10:])
    forge.finish(forge.image([], manifest=put("layers", [layer])))
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[2])}

    command = [sys.executable, "-c", READER, forge.layout]
    printed = subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout.splitlines()

    assert "zeros/linux-amd64: layer 0: zeros: member: expected nothing, got file" in printed
    assert int(printed[0]) < 32 * 1024
