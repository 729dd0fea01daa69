"""What the verifier refuses: every flipped byte, and every archive that is not the one form."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.image import aci
from procession_tasks.image.members import Member
from procession_tasks.image.verify import Expected, read_aci, verify
from procession_tasks.rootfs.tree import Entry

MANIFEST = b'{"acKind":"ImageManifest"}'
TIME = 1_700_000_000
LONG = "etc/" + "n" * 200
BIG = random.Random(1).randbytes(300_000)
CONTENTS = {"bin/api": b"\x7fELF" * 200, "etc/empty": b"", "etc/motd": b"hello\n"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def members(contents: dict[str, bytes]) -> tuple[Member, ...]:
    return (
        Member("bin", "directory", 0o755, uid=1, gid=2**31),
        Member("etc", "directory", 0o1777, xattrs=(("user.a", b"1\n2"), ("user.b", b""))),
        *(Member(path, "file", 0o4755, size=len(data), sha256=sha256(data)) for path, data in contents.items()),
        Member("etc/caf\udce9", "symlink", 0o777, link="/nowhere"),
        Member("etc/café", "symlink", 0o777, link="motd"),
        Member(LONG, "hardlink", 0o4755, link="bin/api"),
        Member(LONG + "\udce9", "symlink", 0o777, link="é" * 60),
    )


def packed(folder: Path, contents: dict[str, bytes]) -> tuple[Path, Expected]:
    """Write an image with everything in it that an image can have."""
    for path, content in contents.items():
        (folder / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tree" / path).write_bytes(content)
    expected = Expected(MANIFEST, members(contents), TIME)
    entries = [
        Entry(m.path, m.type, m.mode, m.uid, m.gid, m.size, m.sha256, m.link, m.xattrs) for m in expected.members
    ]
    aci.write_aci(folder / "a.aci", MANIFEST, entries, folder / "tree", TIME)
    return folder / "a.aci", expected


def published(folder: Path, content: bytes, *, tar: bytes = b"") -> Path:
    """Put bytes under an image's name, with the checksums they should have beside them."""
    (folder / "a.aci").write_bytes(content)
    (folder / "a.aci.sha256").write_text(f"{sha256(content)}  a.aci\n")
    (folder / "a.aci.id").write_text(f"sha512-{hashlib.sha512(tar).hexdigest()}\n")
    return folder / "a.aci"


def compressed(tar: bytes) -> bytes:
    """Compress with the header that an image has."""
    return bytes.fromhex("1f8b08000000000000ff") + gzip.compress(tar, compresslevel=1, mtime=0)[10:]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: str | int) -> bytes:
    """Render one member with Python's own tar writer, and the device numbers that an image has."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.mtime = len(content), kind, TIME
    for field, value in fields.items():
        setattr(info, field, value)
    head = resealed(info.tobuf(tarfile.USTAR_FORMAT), DEVICE, b"0000000\0" * 2)
    return head + content + bytes(-len(content) % 512)


def folder(name: str) -> bytes:
    """Render a directory, whose name Python ends with a slash and an image does not."""
    return resealed(member(name, kind=tarfile.DIRTYPE, mode=0o755), len(name), b"\0")


def resealed(block: bytes, offset: int, value: bytes) -> bytes:
    """Change bytes of a header and make its checksum right again."""
    changed = bytearray(block)
    changed[offset : offset + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


SIZE, TYPE, DEVICE = 124, 156, 329
HEAD = member("manifest", MANIFEST) + folder("rootfs")
END = bytes(1024)
FILE = member("rootfs/f", b"x")
LINK = tarfile.LNKTYPE
BROKEN: dict[str, tuple[bytes, str]] = {
    "not sorted": (
        HEAD + member("rootfs/g") + FILE + END,
        "rootfs/f: order: expected a name that sorts after rootfs/g",
    ),
    "twice": (HEAD + FILE + FILE + END, "rootfs/f: order: expected a name that sorts after rootfs/f"),
    "no parent": (HEAD + member("rootfs/d/f") + END, "rootfs/d/f: parent: expected a directory before it, got nothing"),
    "below a file": (
        HEAD + FILE + member("rootfs/f/g") + END,
        "rootfs/f/g: parent: expected a directory before it, got file",
    ),
    "absolute": (HEAD + member("/rootfs/f") + END, "/rootfs/f: name: expected a relative path"),
    "dot dot": (HEAD + member("rootfs/../f") + END, "rootfs/../f: name: expected a relative path"),
    "beside rootfs": (HEAD + member("rootfs2") + END, "rootfs2: first part: expected rootfs, got rootfs2"),
    "rootfs first": (folder("rootfs") + END, "rootfs: place: expected manifest, got rootfs"),
    "pipe": (HEAD + member("rootfs/p", kind=tarfile.FIFOTYPE) + END, "type and size: expected a file"),
    "old file type": (HEAD + member("rootfs/f", kind=tarfile.AREGTYPE) + END, "type and size: expected a file"),
    "directory with content": (
        HEAD + resealed(FILE, TYPE, tarfile.DIRTYPE) + END,
        "type and size: expected a file, or a link or directory of size 0",
    ),
    "file with a link": (HEAD + member("rootfs/f", linkname="x") + END, "link: expected"),
    "symlink to nothing": (HEAD + member("rootfs/s", kind=tarfile.SYMTYPE) + END, "link: expected"),
    "hard link to a later file": (
        HEAD + member("rootfs/a", kind=LINK, linkname="rootfs/f") + FILE + END,
        "rootfs/a: target rootfs/f: expected a file before it, got nothing",
    ),
    "hard link out of rootfs": (
        HEAD + member("rootfs/a", kind=LINK, linkname="f") + END,
        "rootfs/a: target f: expected a file before it, got nothing",
    ),
    "user name": (HEAD + member("rootfs/f", uname="root") + END, "user names: expected"),
    "device number": (HEAD + resealed(FILE, DEVICE, b"0000001") + END, "device: expected"),
    "gnu magic": (HEAD + resealed(FILE, 257, b"ustar  \0") + END, "magic: expected"),
    "end of header": (HEAD + resealed(FILE, 511, b"x") + END, "end of header: expected"),
    "after the name": (HEAD + resealed(FILE, 50, b"x") + END, "name: expected zero bytes only after it"),
    "number with spaces": (HEAD + resealed(FILE, 108, b"     0 \0") + END, "uid: expected octal digits"),
    "checksum": (HEAD + FILE[:148] + b"000000\0 " + FILE[156:] + END, "checksum: expected"),
    "padding": (HEAD + FILE[:-1] + b"x" + END, "padding: expected zeros, got other bytes"),
    "mode with a file type": (HEAD + resealed(FILE, 100, b"0100644\0") + END, "mode: expected"),
    "prefix without need": (
        HEAD + resealed(resealed(FILE, 0, b"f" + bytes(9)), 345, b"rootfs") + END,
        "name: expected",
    ),
    "global header": (HEAD + member("x", b"9 a=bcd\n", tarfile.XGLTYPE) + FILE + END, "type and size: expected a file"),
    "gnu long name": (HEAD + member("././@LongLink", b"a\0", tarfile.GNUTYPE_LONGNAME) + FILE + END, "type and size"),
    "pax without need": (
        HEAD + member("././@PaxHeader", b"17 path=rootfs/f\n", b"x") + FILE + END,
        "pax keywords: expected []",
    ),
    "pax of nothing": (HEAD + member("././@PaxHeader", b"", b"x") + FILE + END, "size of a pax header: expected"),
    "pax for ever": (HEAD + member("././@PaxHeader", b"0 a=b\n", b"x") + FILE + END, "pax record: expected"),
    "pax past its end": (HEAD + member("././@PaxHeader", b"99 a=b\n", b"x") + FILE + END, "pax record: expected"),
    "pax keyword twice": (
        HEAD + member("././@PaxHeader", b"6 a=b\n6 a=c\n", b"x") + FILE + END,
        "pax record: expected",
    ),
    "pax under a name": (HEAD + member("PaxHeader", b"6 a=b\n", b"x") + FILE + END, "name, mode, link and owner"),
    "pax time": (
        HEAD + member("././@PaxHeader", b"6 a=b\n", b"x", mtime=1) + FILE + END,
        f"time of its pax header: expected {TIME}, got 1",
    ),
    "pax number that is none": (
        HEAD + member("././@PaxHeader", b"9 uid=+1\n", b"x") + FILE + END,
        "uid: expected 0 and a decimal number in the pax record",
    ),
    "no end": (HEAD + FILE, "bytes before the end: expected 512, got 0"),
    "half an end": (HEAD + FILE + bytes(512), "bytes before the end: expected 512, got 0"),
    "one block of zeros": (HEAD + bytes(512) + FILE + END, "end of the tar: expected two blocks of zeros, got one"),
    "three blocks of zeros": (HEAD + END + bytes(512), "after the end of the tar: expected nothing, got more bytes"),
    "cut short": (HEAD + FILE[:600], "bytes before the end: expected 511, got 87"),
    "empty": (b"", "bytes before the end: expected 512, got 0"),
}


def test_image_as_written_passes(tmp_path: Path) -> None:
    assert verify(*packed(tmp_path, {**CONTENTS, "bin/big": BIG})) == []


def test_every_member_is_read_with_all_it_has(tmp_path: Path) -> None:
    path, expected = packed(tmp_path, CONTENTS)

    archive = read_aci(path)

    assert archive.findings == ()
    assert [m.path for m in archive.members][:3] == ["manifest", "rootfs", "rootfs/bin"]
    wanted = {f"rootfs/{m.path}": dataclasses.replace(m, mtime=TIME) for m in expected.members if m.type != "hardlink"}
    assert wanted.items() <= {m.path: dataclasses.replace(m, path=m.path[7:]) for m in archive.members}.items()


def test_every_flipped_byte_of_a_small_image_is_refused(tmp_path: Path) -> None:
    path, expected = packed(tmp_path, CONTENTS)
    good = path.read_bytes()

    for position in range(len(good)):
        for mask in (0x01, 0x80, 0xFF):
            path.write_bytes(good[:position] + bytes([good[position] ^ mask]) + good[position + 1 :])
            assert verify(path, expected) != [], f"byte {position} flipped with {mask:#x}"


@pytest.mark.slow
def test_flipped_bytes_of_the_tar_are_refused(tmp_path: Path) -> None:
    """Compressed again and with new checksums beside it, as someone would who means it."""
    path, expected = packed(tmp_path, CONTENTS)
    good = gzip.decompress(path.read_bytes())

    for position in range(0, len(good), 13):
        tar = good[:position] + bytes([good[position] ^ 0x01]) + good[position + 1 :]
        assert verify(published(tmp_path, compressed(tar), tar=tar), expected) != [], f"byte {position}"


def test_flipped_bytes_of_a_larger_image_are_refused(tmp_path: Path) -> None:
    path, expected = packed(tmp_path, {**CONTENTS, "bin/big": BIG})
    good = path.read_bytes()
    choice = random.Random(2)

    for _ in range(100):
        position, mask = choice.randrange(len(good)), choice.randrange(1, 256)
        path.write_bytes(good[:position] + bytes([good[position] ^ mask]) + good[position + 1 :])
        assert verify(path, expected) != [], f"byte {position} flipped with {mask:#x}"


def test_truncated_image_is_refused(tmp_path: Path) -> None:
    path, expected = packed(tmp_path, CONTENTS)
    good = path.read_bytes()

    for length in (*range(0, len(good), 7), len(good) - 1):
        assert verify(published(tmp_path, good[:length]), expected) != [], f"{length} bytes"


@pytest.mark.parametrize(("tar", "finding"), BROKEN.values(), ids=BROKEN)
def test_archive_in_another_form_is_refused(tar: bytes, finding: str, tmp_path: Path) -> None:
    archive = read_aci(published(tmp_path, compressed(tar), tar=tar))

    assert any(finding in found for found in archive.findings), archive.findings


def test_archive_made_of_the_same_pieces_in_the_right_form_passes(tmp_path: Path) -> None:
    """Otherwise the table above would prove little."""
    tar = HEAD + FILE + END

    expected = Expected(MANIFEST, (Member("f", "file", 0o644, size=1, sha256=sha256(b"x")),), TIME)

    assert verify(published(tmp_path, compressed(tar), tar=tar), expected) == []


GZIPS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "file name": (lambda good: good[:3] + b"\x08" + good[4:10] + b"a\0" + good[10:], "gzip: header: expected"),
    "time": (lambda good: good[:4] + b"\1" + good[5:], "gzip: header: expected"),
    "system": (lambda good: good[:9] + b"\3" + good[10:], "gzip: header: expected"),
    "junk at the end": (lambda good: good + b"x", "gzip: CRC-32, length and end: expected"),
    "second member": (lambda good: good + good, "gzip: CRC-32, length and end: expected"),
    "no trailer": (lambda good: good[:-8], "gzip: CRC-32, length and end: expected"),
    "wrong length": (lambda good: good[:-4] + bytes(4), "gzip: CRC-32, length and end: expected"),
    "not compressed": (gzip.decompress, "gzip: header: expected 1f8b08000000000000ff, got 6d616e6966657374"),
    "no deflate": (lambda good: good[:10] + b"\xff" * 50, "gzip: content: expected a deflate stream"),
    "empty": (lambda _: b"", "gzip: header: expected 1f8b08000000000000ff, got nothing"),
}


@pytest.mark.parametrize(("change", "finding"), GZIPS.values(), ids=GZIPS)
def test_gzip_in_another_form_is_refused(change: Callable[[bytes], bytes], finding: str, tmp_path: Path) -> None:
    path, expected = packed(tmp_path, CONTENTS)

    found = verify(published(tmp_path, change(path.read_bytes())), expected)

    assert found[0].startswith(f"a.aci: {finding}")


def changed(expected: Expected, index: int, **fields: object) -> Expected:
    listed = list(expected.members)
    listed[index] = dataclasses.replace(listed[index], **fields)  # type: ignore[arg-type]  # the table's own fields
    return dataclasses.replace(expected, members=tuple(listed))


PROMISES: dict[str, tuple[Callable[[Expected], Expected], str]] = {
    "mode": (lambda e: changed(e, 0, mode=0o700), "rootfs/bin: mode: expected 0700, got 0755"),
    "owner": (lambda e: changed(e, 0, uid=5), "rootfs/bin: uid: expected 5, got 1"),
    "group": (lambda e: changed(e, 0, gid=5), "rootfs/bin: gid: expected 5, got 2147483648"),
    "attributes": (lambda e: changed(e, 1, xattrs=()), "rootfs/etc: xattrs: expected (), got (('user.a', b'1\\n2'),"),
    "content": (
        lambda e: changed(e, 4, sha256="0" * 64),
        f"rootfs/etc/motd: sha256: expected '{'0' * 64}', got '5891b",
    ),
    "link": (lambda e: changed(e, 6, link="x"), "rootfs/etc/café: link: expected 'x', got 'motd'"),
    "type": (lambda e: changed(e, 3, type="directory"), "rootfs/etc/empty: type: expected 'directory', got 'file'"),
    "missing": (lambda e: changed(e, 5, path="bin/x"), "rootfs/bin/x: member: expected symlink, got nothing"),
    "too much": (
        lambda e: dataclasses.replace(e, members=e.members[1:]),
        "rootfs/bin: member: expected nothing, got directory",
    ),
    "manifest": (lambda e: dataclasses.replace(e, manifest=MANIFEST + b" "), "manifest: size: expected 27, got 26"),
    "time": (lambda e: dataclasses.replace(e, mtime=5), f"manifest: mtime: expected 5, got {TIME}"),
}


@pytest.mark.parametrize(("change", "finding"), PROMISES.values(), ids=PROMISES)
def test_image_that_is_not_what_was_promised_is_refused(
    change: Callable[[Expected], Expected], finding: str, tmp_path: Path
) -> None:
    path, expected = packed(tmp_path, CONTENTS)

    found = verify(path, change(expected))

    assert found
    assert any(line.startswith(f"a.aci: {finding}") for line in found), found


@pytest.mark.parametrize("suffix", [".id", ".sha256"])
def test_file_beside_the_image_that_is_wrong_or_missing_is_a_finding(suffix: str, tmp_path: Path) -> None:
    path, expected = packed(tmp_path, CONTENTS)
    beside = Path(f"{path}{suffix}")

    beside.write_bytes(beside.read_bytes() + b"\n")
    assert [line.split(": expected")[0] for line in verify(path, expected)] == [f"a.aci{suffix}: content"]

    beside.unlink()
    assert verify(path, expected)[0].endswith("got No such file or directory")


def test_image_that_cannot_be_opened_is_an_error_without_traceback(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"a\.aci: cannot be read: No such file or directory"):
        verify(tmp_path / "a.aci", Expected(MANIFEST, ()))


def test_noise_is_refused_without_traceback(tmp_path: Path) -> None:
    choice = random.Random(3)
    for _ in range(200):
        tar = bytearray(HEAD + FILE + END)
        for _ in range(choice.randrange(1, 40)):
            tar[choice.randrange(len(tar))] = choice.randrange(256)
        assert verify(published(tmp_path, compressed(bytes(tar)), tar=bytes(tar)), Expected(MANIFEST, (), TIME))


READER = """
import sys
from pathlib import Path
from procession_tasks.image.verify import read_aci
peak = lambda: int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
before = peak()
archive = read_aci(Path(sys.argv[1]))
print(len(archive.findings), len(archive.members), peak() - before)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_what_an_archive_inflates_to(tmp_path: Path) -> None:
    """Half a gigabyte of zeros, which is next to nothing when compressed, is read within 32 MB."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=1) as stream:
        stream.write(HEAD + resealed(member("rootfs/zeros"), SIZE, b"%011o\0" % (1 << 29)))
        for _ in range(1 << 9):
            stream.write(bytes(1 << 20))
        stream.write(END)
    path = published(tmp_path, bytes.fromhex("1f8b08000000000000ff") + out.getvalue()[10:])
    environment = {**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[2])}

    printed = subprocess.run([sys.executable, "-c", READER, path], env=environment, capture_output=True, check=True)

    findings, members_read, grown = map(int, printed.stdout.split())
    assert (findings, members_read) == (0, 3)
    assert grown < 32 * 1024
