"""What an image file promises, judged by actool, GNU tar, gunzip and sha256sum."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image import aci
from procession_tasks.rootfs.tree import Entry

needs_actool = pytest.mark.skipif(shutil.which("actool") is None, reason="actool (Debian: appc-spec) is not installed")
needs_gunzip = pytest.mark.skipif(shutil.which("gunzip") is None, reason="gunzip is not installed")
needs_sha256sum = pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")

MANIFEST = json.dumps(
    {
        "acKind": "ImageManifest",
        "acVersion": "0.8.11",
        "name": "example.com/procession-api",
        "labels": [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}],
        "app": {"exec": ["/bin/api"], "user": "0", "group": "0"},
    }
).encode()
CONTENTS = {"bin/api": b"\x7fELF" + bytes(range(256)) * 3000, "etc/motd": b"hello\n", "etc/empty": b""}
PARTS = [".a.aci.id.part", ".a.aci.part", ".a.aci.sha256.part"]


def entries() -> list[Entry]:
    files = [
        Entry(path, "file", 0o755 if path.startswith("bin/") else 0o644, size=len(content), digest=sha256(content))
        for path, content in CONTENTS.items()
    ]
    names = [Entry("etc/café", "symlink", 0o777, link="motd"), Entry("etc/caf\udce9", "symlink", 0o777, link="motd")]
    long = Entry("etc/" + "n" * 200, "hardlink", 0o644, link="etc/motd")
    return [Entry("bin", "directory", 0o755), Entry("etc", "directory", 0o755), *files, *names, long]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def staged(root: Path) -> Path:
    for path, content in CONTENTS.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def packed(folder: Path, *, mtime: int = 0) -> Path:
    output = folder / "out" / "api-1.0.0-linux-amd64.aci"
    aci.write_aci(output, MANIFEST, entries(), staged(folder / "tree"), mtime)
    return output


def tool(*argv: str | Path, cwd: Path | None = None) -> bytes:
    return subprocess.run(argv, cwd=cwd, capture_output=True, check=True).stdout


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@needs_actool
def test_actool_accepts_the_image_and_reads_its_manifest(tmp_path: Path) -> None:
    output = packed(tmp_path)

    assert tool("actool", "--debug", "validate", "--type=appimage", output) == b""
    assert tool("actool", "cat-manifest", output).rstrip(b"\n") == MANIFEST


@needs_gunzip
def test_gunzip_accepts_the_image(tmp_path: Path) -> None:
    subprocess.run(["gunzip", "-t"], input=packed(tmp_path).read_bytes(), check=True)


def test_gnu_tar_lists_manifest_then_rootfs(tmp_path: Path) -> None:
    listed = tool("tar", "--quoting-style=literal", "-tf", packed(tmp_path)).splitlines()

    assert listed[:5] == [b"manifest", b"rootfs", b"rootfs/bin", b"rootfs/bin/api", b"rootfs/etc"]
    assert listed[2:] == sorted(b"rootfs/" + entry.key for entry in entries())


@needs_sha256sum
def test_sha256sum_checks_the_image_in_its_own_folder(tmp_path: Path) -> None:
    output = packed(tmp_path)

    assert tool("sha256sum", "-c", f"{output.name}.sha256", cwd=output.parent) == f"{output.name}: OK\n".encode()


@needs_gunzip
def test_image_id_is_the_sha512_of_the_tar(tmp_path: Path) -> None:
    output = tmp_path / "a.aci"

    image_id = aci.write_aci(output, MANIFEST, entries(), staged(tmp_path / "tree"), 0)

    tar = subprocess.run(["gunzip", "-c"], input=output.read_bytes(), capture_output=True, check=True).stdout
    assert image_id == "sha512-" + hashlib.sha512(tar).hexdigest()
    assert (tmp_path / "a.aci.id").read_text() == f"{image_id}\n"


def test_same_inputs_give_the_same_bytes_whatever_the_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folder, umask, time zone, number of processors, times on disk and order of the list differ."""
    first = packed(tmp_path / "one").read_bytes()
    before = os.umask(0o077)
    try:
        monkeypatch.setenv("TZ", "Pacific/Auckland")
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
        tree = staged(tmp_path / "two" / "other")
        os.utime(tree / "bin/api", (1, 1))
        aci.write_aci(tmp_path / "second", MANIFEST, reversed(entries()), tree, 0)
    finally:
        os.umask(before)

    assert (tmp_path / "second").read_bytes() == first


def test_time_of_every_member_is_the_given_one(tmp_path: Path) -> None:
    listed = tool("tar", "-tv", "--full-time", "--utc", "-f", packed(tmp_path, mtime=1_700_000_000)).splitlines()

    assert all(b" 2023-11-14 22:13:20 " in line for line in listed)
    assert len(listed) == 2 + len(entries())


def test_image_of_nothing_but_a_manifest_is_complete(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()

    aci.write_aci(tmp_path / "a.aci", MANIFEST, [], tmp_path / "tree", 0)

    assert tool("tar", "-tf", tmp_path / "a.aci") == b"manifest\nrootfs\n"


def test_tree_that_changed_leaves_no_file(tmp_path: Path) -> None:
    tree = staged(tmp_path / "tree")
    (tree / "etc/motd").write_bytes(b"HELLO\n")

    with pytest.raises(BuildError, match=r"^/etc/motd changed while it was packed"):
        aci.write_aci(tmp_path / "out/a.aci", MANIFEST, entries(), tree, 0)

    assert names(tmp_path / "out") == []


def test_failure_keeps_the_image_that_was_there(tmp_path: Path) -> None:
    output = packed(tmp_path)
    before = {path: path.read_bytes() for path in output.parent.iterdir()}
    (tmp_path / "tree/etc/motd").unlink()

    with pytest.raises(BuildError):
        aci.write_aci(output, MANIFEST, entries(), tmp_path / "tree", 0)

    assert {path: path.read_bytes() for path in output.parent.iterdir()} == before


@pytest.mark.parametrize("survivors", [0, 1, 2])
def test_stop_between_the_renames_leaves_no_image(
    survivors: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the old one beside new checksums nor the new one beside old ones."""
    output = packed(tmp_path)
    done: list[str] = []
    replace = Path.replace

    def stopping(path: Path, target: Path) -> Path:
        if len(done) == survivors:
            raise KeyboardInterrupt
        done.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        aci.write_aci(output, MANIFEST, entries(), tmp_path / "tree", 5)

    assert done == [f"{output.name}.sha256", f"{output.name}.id"][:survivors]
    assert names(output.parent) == [f"{output.name}.id", f"{output.name}.sha256"]


CHILD = """
import hashlib, json, os, sys
from pathlib import Path
from procession_tasks.image import aci
from procession_tasks.rootfs.tree import Entry
folder, gigabytes = Path(sys.argv[1]), 1
(folder / "tree").mkdir()
with open(folder / "tree/sparse", "wb") as file:
    file.truncate(gigabytes << 30)
digest = hashlib.sha256()
for _ in range(gigabytes << 10):
    digest.update(bytes(1 << 20))
many = [Entry(f"link-{number:05}", "symlink", 0o777, link="sparse") for number in range(1000)]
entry = Entry("sparse", "file", 0o644, size=gigabytes << 30, digest=digest.hexdigest())
peak = lambda: int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
before = peak()
print("ready", flush=True)
aci.write_aci(folder / "out/a.aci", b"{}", [entry, *many], folder / "tree", 0)
print(peak() - before)
"""


def child(folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[2])}
    argv = [sys.executable, "-c", CHILD, os.fspath(folder)]
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    """A gigabyte is packed within 64 MB."""
    printed, _ = child(tmp_path).communicate()

    assert int(printed) < 64 * 1024


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "left"), [(signal.SIGINT, []), (signal.SIGKILL, PARTS)])
def test_stopped_half_way_there_is_nothing_under_a_final_name(stop: int, left: list[str], tmp_path: Path) -> None:
    process = child(tmp_path)
    part = tmp_path / "out/.a.aci.part"
    while not part.exists() or part.stat().st_size < 20_000:
        assert process.poll() is None
        time.sleep(0.001)

    process.send_signal(stop)

    process.communicate()
    assert process.returncode != 0
    assert names(tmp_path / "out") == left
