"""What the archive writer promises, judged by GNU tar, Go and Python."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image import tarball
from procession_tasks.rootfs.tree import Entry

needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="go is not installed")

READER = """package main

import (
	"archive/tar"
	"fmt"
	"os"
)

func main() {
	reader := tar.NewReader(os.Stdin)
	for header, err := reader.Next(); err == nil; header, err = reader.Next() {
		fmt.Printf("%x %x\\n", header.Name, header.Linkname)
	}
}
"""

NAMES = {
    "99 bytes": "a" * 99,
    "100 bytes": "a" * 100,
    "101 bytes": "a" * 101,
    "prefix and name": "p" * 155 + "/" + "n" * 100,
    "prefix too long": "p" * 156 + "/" + "n" * 100,
    "name too long": "p" * 100 + "/" + "n" * 101,
    "256 bytes in parts": "/".join(["d" * 63] * 4) + "e",
    "300 bytes in parts": "/".join(["d" * 49] * 6),
    "spaces and line ends": "a b\n\tc\\d",
    "latin": "é",
    "long and not ascii": "日本" * 40,
    "not utf-8": "caf\udce9",
    "not utf-8, in parts": "d" * 90 + "/" + "caf\udce9" * 4,
    "not utf-8 and long": "caf\udce9" * 40,
}


def file(path: str, content: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> Entry:
    return Entry(path, "file", mode, uid, gid, size=len(content), digest=hashlib.sha256(content).hexdigest())


def with_parents(entry: Entry) -> list[Entry]:
    parts = entry.path.split("/")
    return [Entry("/".join(parts[:end]), "directory", 0o755) for end in range(1, len(parts))] + [entry]


def staged(root: Path, contents: dict[str, bytes]) -> Path:
    root.mkdir(exist_ok=True)
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def archive(entries: list[Entry], tree: Path, *, mtime: int = 0, prefix: str = "") -> bytes:
    out = io.BytesIO()
    tarball.write_tree(out, entries, tree, mtime=mtime, prefix=prefix)
    return out.getvalue() + tarball.END


def read(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content), encoding="utf-8", errors="surrogateescape") as tar:
        return tar.getmembers()


def gnu_tar(*arguments: str | Path, content: bytes) -> bytes:
    done = subprocess.run(["tar", *arguments], input=content, capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout


@pytest.fixture(scope="module")
def go_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that prints each member's name and link as hex, as Go reads them."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "main.go").write_text(READER)
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GO111MODULE": "off", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", "reader", "main.go"], cwd=folder, env=environment, check=True)
    return folder / "reader"


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_python_reads_every_name_back(name: str, tmp_path: Path) -> None:
    entries = with_parents(Entry(name, "symlink", 0o777, link=name))

    last = read(archive(entries, tmp_path))[-1]

    assert (last.name, last.linkname) == (name, name)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_gnu_tar_reads_every_name_back(name: str, locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name too long for ustar and not UTF-8 draws a warning on its character set, and is right."""
    monkeypatch.setenv("LC_ALL", locale)
    entries = with_parents(Entry(name, "directory", 0o755))
    known = ["--warning=no-unknown-keyword", "--quoting-style=literal"]

    listed = gnu_tar(*known, "-tf", "-", content=archive(entries, tmp_path))

    assert listed == b"".join(entry.key + b"\n" for entry in entries)


@needs_go
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_go_reads_every_name_back(name: str, tmp_path: Path, go_reader: Path) -> None:
    entries = with_parents(Entry(name, "symlink", 0o777, link=name))

    printed = subprocess.run([go_reader], input=archive(entries, tmp_path), capture_output=True, check=True).stdout

    assert printed.split(b"\n")[-2] == b" ".join([entries[-1].key.hex().encode()] * 2)


def test_ascii_name_that_fits_has_no_pax_header() -> None:
    for name in ("a" * 100, "p" * 155 + "/" + "n" * 100):
        assert len(tarball.header(Entry(name, "directory", 0o755), 0)) == 512
    assert len(tarball.header(Entry("a" * 101, "directory", 0o755), 0)) == 3 * 512


def test_header_holds_sizes_ids_and_times_beyond_ustar() -> None:
    entry = Entry("big", "file", 0o644, uid=2**31, gid=8**7, size=9 * 2**30)

    with tarfile.open(fileobj=io.BytesIO(tarball.header(entry, -5) + tarball.END)) as tar:
        member = tar.firstmember  # type: ignore[attr-defined]  # missing from the stubs

    assert (member.size, member.uid, member.gid, member.mtime) == (9 * 2**30, 2**31, 8**7, -5)


def test_header_of_eight_gib_less_one_is_plain_ustar() -> None:
    assert len(tarball.header(Entry("big", "file", 0o644, size=8**11 - 1), 8**11 - 1)) == 512
    assert len(tarball.header(Entry("big", "file", 0o644, size=8**11), 0)) == 3 * 512


def test_pax_record_length_counts_its_own_digits() -> None:
    """Lengths around a power of ten are the ones that go wrong."""
    for size in (*range(60, 120), *range(940, 1010), *range(9940, 10010)):
        value = b"v" * size
        content = tarball.header(Entry("a", "directory", 0o755, xattrs=(("user.x", value),)), 0) + tarball.END
        assert read(content)[0].pax_headers["SCHILY.xattr.user.x"] == value.decode()


def test_extended_attributes_come_back_with_gnu_tar(tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.probe", b"")
    except OSError:
        pytest.skip("the file system of the test folder has no extended attributes")
    values = (("user.b", b"line\nline\0\xff="), ("user.a", b"x"))
    entry = Entry("f", "file", 0o644, digest=hashlib.sha256().hexdigest(), xattrs=values)
    content = archive([entry], staged(tmp_path / "tree", {"f": b""}))

    (tmp_path / "out").mkdir()
    gnu_tar("--xattrs", "--xattrs-include=*", "-xf", "-", "-C", tmp_path / "out", content=content)

    assert {(name, os.getxattr(tmp_path / "out/f", name)) for name in os.listxattr(tmp_path / "out/f")} == set(values)


def test_members_are_sorted_by_bytes_with_parents_first(tmp_path: Path) -> None:
    paths = ["a", "a/z", "a-b", "a/é", "a.d", "B", "a/caf\udce9"]
    entries = [Entry(path, "directory", 0o755) for path in paths]

    names = [member.name for member in read(archive(entries, tmp_path))]

    assert names == ["B", "a", "a-b", "a.d", "a/caf\udce9", "a/z", "a/é"]


def test_order_of_the_list_does_not_change_the_bytes(tmp_path: Path) -> None:
    contents = {f"d{number % 5}/f{number}": b"x" * number for number in range(40)}
    tree = staged(tmp_path / "tree", contents)
    entries = [file(path, content) for path, content in contents.items()]
    entries += [Entry(f"d{number}", "directory", 0o755) for number in range(5)]
    first = archive(entries, tree)

    random.Random(1).shuffle(entries)

    assert archive(entries, tree) == first


def test_modes_owners_and_types_are_the_declared_ones(tmp_path: Path) -> None:
    """What the staged tree has on disk does not matter; nor does who builds."""
    tree = staged(tmp_path / "tree", {"bin/su": b"#!", "bin/empty": b"", "tmp/.keep": b"k"})
    entries = [
        Entry("bin", "directory", 0o750, 1, 2),
        file("bin/su", b"#!", mode=0o4755, uid=0, gid=5),
        file("bin/empty", b"", mode=0o600),
        Entry("bin/su2", "hardlink", 0o4755, 0, 5, link="bin/su"),
        Entry("dangling", "symlink", 0o777, link="nowhere/at all"),
        Entry("absolute", "symlink", 0o777, link="/proc/self/exe"),
        Entry("tmp", "directory", 0o1777),
        file("tmp/.keep", b"k"),
    ]

    listed = gnu_tar(
        "-tv", "--numeric-owner", "--full-time", "-f", "-", content=archive(entries, tree, mtime=1)
    ).decode()

    assert [" ".join(line.split()) for line in listed.splitlines()] == [
        "lrwxrwxrwx 0/0 0 1970-01-01 00:00:01 absolute -> /proc/self/exe",
        "drwxr-x--- 1/2 0 1970-01-01 00:00:01 bin",
        "-rw------- 0/0 0 1970-01-01 00:00:01 bin/empty",
        "-rwsr-xr-x 0/5 2 1970-01-01 00:00:01 bin/su",
        "hrwsr-xr-x 0/5 0 1970-01-01 00:00:01 bin/su2 link to bin/su",
        "lrwxrwxrwx 0/0 0 1970-01-01 00:00:01 dangling -> nowhere/at all",
        "drwxrwxrwt 0/0 0 1970-01-01 00:00:01 tmp",
        "-rw-r--r-- 0/0 1 1970-01-01 00:00:01 tmp/.keep",
    ]


def test_gnu_tar_extracts_what_was_staged(tmp_path: Path) -> None:
    contents = {"f0": b"", "f1": b"x", "d/f512": b"y" * 512, "d/f513": b"z" * 513, "d/e/big": os.urandom(700_000)}
    contents["d/exact"] = os.urandom(2 * 256 * 1024)
    entries = [file(path, content) for path, content in contents.items()]
    entries += [Entry("d", "directory", 0o755), Entry("d/e", "directory", 0o755)]
    entries.append(Entry("d/link", "hardlink", 0o644, link="d/f512"))

    (tmp_path / "out").mkdir()
    gnu_tar("-xf", "-", "-C", tmp_path / "out", content=archive(entries, staged(tmp_path / "tree", contents)))

    assert {path: (tmp_path / "out" / path).read_bytes() for path in contents} == contents
    assert (tmp_path / "out/d/link").samefile(tmp_path / "out/d/f512")


def test_prefix_comes_before_names_and_hard_links_only(tmp_path: Path) -> None:
    tree = staged(tmp_path / "tree", {"a": b"1"})
    entries = [file("a", b"1"), Entry("b", "hardlink", 0o644, link="a"), Entry("c", "symlink", 0o777, link="a")]

    members = read(archive(entries, tree, prefix="rootfs/"))

    assert [(m.name, m.linkname) for m in members] == [("rootfs/a", ""), ("rootfs/b", "rootfs/a"), ("rootfs/c", "a")]


@pytest.mark.parametrize("path", ["", "/etc", "..", "a/../b", "./a", "a//b", "a/", "a\0b"])
def test_name_that_is_not_plainly_relative_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="must be a relative path"):
        archive([Entry("a", "directory", 0o755), Entry(path, "directory", 0o755)], tmp_path)


D, F = Entry("a", "directory", 0o755), Entry("a", "file", 0o644)
REFUSED = {
    "twice": ([D, D], "/a: must stand in the list once, got a directory and a directory"),
    "no parent": ([Entry("x/y", "directory", 0o755)], "/x/y: must stand in a directory, got nothing at /x"),
    "below a file": ([F, Entry("a/b", "directory", 0o755)], "/a/b: must stand in a directory, got file at /a"),
    "hard link before its file": (
        [Entry("A", "hardlink", 0o644, link="a"), F],
        "/A: a hard link must repeat a file that sorts before it, got /a",
    ),
    "hard link to a directory": (
        [D, Entry("b", "hardlink", 0o644, link="a")],
        "/b: a hard link must repeat a file that sorts before it, got /a",
    ),
    "link to nothing": ([Entry("a", "symlink", 0o777)], "/a: a symlink must have a target, got ''"),
    "file type in the mode": ([Entry("a", "directory", 0o40755)], "/a: mode must be from 0 to 7777, got 40755"),
    "attribute with =": (
        [Entry("a", "directory", 0o755, xattrs=(("user.a=b", b""),))],
        "/a: extended attributes must have names that differ and hold no '=', got user.a=b",
    ),
}


@pytest.mark.parametrize(("entries", "message"), REFUSED.values(), ids=REFUSED)
def test_list_that_is_no_tree_is_refused_before_anything_is_written(
    entries: list[Entry], message: str, tmp_path: Path
) -> None:
    out = io.BytesIO()

    with pytest.raises(BuildError) as caught:
        tarball.write_tree(out, entries, tmp_path, mtime=0)

    assert (caught.value.message, out.getvalue()) == (message, b"")


@pytest.mark.parametrize("content", [b"", b"other", b"longer than it was", b"x" * 300_000])
def test_file_that_differs_from_the_list_is_an_error(content: bytes, tmp_path: Path) -> None:
    tree = staged(tmp_path / "tree", {"d/f": content})

    with pytest.raises(BuildError, match=r"^/d/f changed while it was packed: .*\n  hint: run the build again$"):
        archive([Entry("d", "directory", 0o755), file("d/f", b"bytes")], tree)


def test_file_that_grew_by_exactly_a_chunk_is_an_error(tmp_path: Path) -> None:
    content = bytes(256 * 1024)
    tree = staged(tmp_path / "tree", {"f": content + content})

    with pytest.raises(BuildError, match="size or SHA-256"):
        archive([file("f", content)], tree)


def test_file_that_is_gone_or_no_file_any_more_is_an_error(tmp_path: Path) -> None:
    """A symlink is not followed, a pipe is not waited for, and a message shows any name."""
    tree = staged(tmp_path / "tree", {"real": b"x"})
    (tree / "link").symlink_to("real")
    (tree / "folder").mkdir()
    os.mkfifo(tree / "pipe")

    for name in ("link", "folder", "pipe", "gone", "gone\udce9"):
        with pytest.raises(BuildError, match="changed while it was packed") as caught:
            archive([file(name, b"x")], tree)
        str(caught.value).encode()


def test_symlink_in_place_of_a_folder_is_not_followed(tmp_path: Path) -> None:
    outside = staged(tmp_path / "outside", {"f": b"secret"})
    tree = staged(tmp_path / "tree", {})
    (tree / "d").symlink_to(outside)

    with pytest.raises(BuildError, match=r"^/d/f changed while it was packed"):
        archive([Entry("d", "directory", 0o755), file("d/f", b"secret")], tree)


def test_tree_that_is_not_there_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="cannot be read: No such file or directory\n  hint: run the build again"):
        archive([], tmp_path / "gone")


def test_failure_to_write_is_not_blamed_on_the_tree(tmp_path: Path) -> None:
    class Full:
        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        tarball.write_tree(Full(), [file("f", b"x")], staged(tmp_path / "tree", {"f": b"x"}), mtime=0)
