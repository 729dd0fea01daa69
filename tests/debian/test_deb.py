"""What is read of a package, and what is refused: packages are built here byte by byte."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import struct
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from procession_tasks.debian import deb, tar
from procession_tasks.debian.contents import Member
from procession_tasks.debian.deb import Control, read_deb
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.stream import BrokenError

PIN = Pin("hello", "1:2.10-3", "amd64", "hello", "debian", "bookworm", "pool/main/h/hello/hello.deb", 1, "0" * 64)
CONTROL = "Package: hello\nVersion: 1:2.10-3\nArchitecture: amd64\nInstalled-Size: 12\nDescription: greets\n again\n"
DIGEST = "0123456789abcdef" * 2
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda content: gzip.compress(content, mtime=0),
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


def ar(*parts: tuple[str, bytes]) -> bytes:
    members = (
        b"%-16s%-12d%-6d%-6d%-8s%-10d`\n%b%b"
        % (name.encode(), 0, 0, 0, b"100644", len(content), content, b"\n"[: len(content) % 2])
        for name, content in parts
    )
    return b"!<arch>\n" + b"".join(members)


def member(
    name: str,
    content: bytes = b"",
    kind: bytes = tarfile.REGTYPE,
    form: int = tarfile.GNU_FORMAT,
    mode: int = 0o644,
    link: str = "",
    owner: tuple[int, int] = (0, 0),
    pax: dict[str, str] | None = None,
) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode, info.linkname, info.pax_headers = kind, len(content), mode, link, pax or {}
    info.uid, info.gid = owner
    form = tarfile.PAX_FORMAT if pax else form
    return info.tobuf(form, "utf-8", "surrogateescape") + content + bytes(-len(content) % 512)


def folder(name: str) -> bytes:
    return member(name, kind=tarfile.DIRTYPE, mode=0o755)


def symlink(name: str, target: str) -> bytes:
    return member(name, kind=tarfile.SYMTYPE, mode=0o777, link=target)


def hardlink(name: str, target: str, **fields) -> bytes:
    return member(name, kind=tarfile.LNKTYPE, link=target, **fields)


def archive(*members: bytes) -> bytes:
    return b"".join(members) + bytes(1024)


def control_files(**files: str) -> bytes:
    members = [member(f"./{name}", text.encode("utf-8", "surrogateescape")) for name, text in files.items()]
    return archive(folder("./"), *members)


def package(
    *members: bytes, control: str = CONTROL, files: bytes = b"", inner: str = "", outer: str = "", data: bytes = b""
) -> bytes:
    """A package with these members; `inner` and `outer` are how its two archives are compressed."""
    parts = {
        "debian-binary": b"2.0\n",
        f"control.tar{inner}": COMPRESS[inner](files or control_files(control=control)),
        f"data.tar{outer}": COMPRESS[outer](data or archive(folder("./"), *members)),
    }
    return ar(*parts.items())


def read(content: bytes, pin: Pin = PIN) -> tuple[Control, list[tuple[Member, bytes]]]:
    control, members = read_deb(io.BytesIO(content), pin)
    return control, [(member, b"".join(pieces)) for member, pieces in members]


def members_of(*members: bytes) -> list[Member]:
    return [member for member, _ in read(package(*members))[1]]


def refusal(content: bytes) -> str:
    with pytest.raises(BrokenError) as caught:
        read(content)
    return str(caught.value)


@pytest.mark.parametrize("outer", COMPRESS)
@pytest.mark.parametrize("inner", COMPRESS)
def test_a_package_is_read_however_it_is_compressed(inner: str, outer: str) -> None:
    large = random.Random(1).randbytes(3000) * 300
    content = package(folder("./usr/"), member("./usr/a", large), member("./usr/b"), inner=inner, outer=outer)

    control, members = read(content)

    assert control.text == CONTROL
    assert members == [
        (Member("usr", "directory", 0o755), b""),
        (Member("usr/a", "file", 0o644, size=len(large)), large),
        (Member("usr/b", "file", 0o644), b""),
    ]


def test_content_may_be_left_unread() -> None:
    _, members = read_deb(io.BytesIO(package(member("a", b"x" * 700), member("b", b"y"), outer=".xz")), PIN)
    assert [member.path for member, _ in members] == ["a", "b"]


def test_modes_owners_and_links_come_through() -> None:
    found = members_of(
        member("./su", b"x", mode=0o4755, owner=(0, 42)),
        member("./wall", mode=0o2711),
        member("./tmp", kind=tarfile.DIRTYPE, mode=0o1777),
        hardlink("./su2", "./su", mode=0o4755, owner=(0, 42)),
        hardlink("./su3", "su2", mode=0o4755, owner=(0, 42)),
        symlink("./anywhere", "../../../etc//passwd"),
        member("./numbers", owner=(2**31, 2**32 - 2)),
        member("./pax", pax={"uid": "3000000", "gid": "7"}),
    )
    assert found == [
        Member("su", "file", 0o4755, 0, 42, size=1),
        Member("wall", "file", 0o2711),
        Member("tmp", "directory", 0o1777),
        Member("su2", "hardlink", 0o4755, 0, 42, link="su"),
        Member("su3", "hardlink", 0o4755, 0, 42, link="su"),
        Member("anywhere", "symlink", 0o777, link="../../../etc//passwd"),
        Member("numbers", "file", 0o644, 2**31, 2**32 - 2),
        Member("pax", "file", 0o644, 3000000, 7),
    ]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "name",
    ["a b\n\tc", "é", "caf\udce9", "d" * 90 + "/" + "n" * 99],
    ids=["space", "utf-8", "not utf-8", "prefix"],
)
def test_names_come_through_in_every_format(form: int, name: str) -> None:
    found = members_of(
        member(f"./{name}", b"x", form=form), member("link", kind=tarfile.SYMTYPE, link=name[:99], form=form)
    )
    assert [(each.path, each.link) for each in found] == [(name, ""), ("link", name[:99])]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("part", ["long", "é", "\udce9"])
def test_long_names_come_through(form: int, part: str) -> None:
    name = "/".join([part * 60] * 5)
    found = members_of(member(f"./{name}", b"x", form=form), member("l", kind=tarfile.SYMTYPE, link=name, form=form))
    assert [(each.path, each.link) for each in found] == [(name, ""), ("l", name)]


def test_a_folder_of_an_old_archive_is_one_by_its_slash() -> None:
    found = members_of(member("./old/", kind=tarfile.AREGTYPE), member("./old/file", b"x", kind=tarfile.AREGTYPE))
    assert [(each.path, each.type) for each in found] == [("old", "directory"), ("old/file", "file")]


def test_extended_attributes_come_through() -> None:
    capability = struct.pack("<5I", 0x2000001, 1 << 13, 0, 0, 0)
    records = {
        "SCHILY.xattr.user.note": "é",
        "SCHILY.xattr.security.capability": capability.decode("utf-8", "surrogateescape"),
    }
    [ping] = members_of(member("./ping", b"x", pax=records))
    assert ping.xattrs == (("security.capability", capability), ("user.note", "é".encode()))


@pytest.mark.skipif(shutil.which("setcap") is None, reason="setcap is not installed")
def test_a_capability_that_gnu_tar_stored_is_read(tmp_path: Path) -> None:
    (tmp_path / "ping").write_bytes(b"x")
    if subprocess.run(["setcap", "cap_net_raw+ep", tmp_path / "ping"], capture_output=True).returncode:
        pytest.skip("setting capabilities is not allowed here")
    (tmp_path / "ping6").hardlink_to(tmp_path / "ping")
    tarred = ["tar", "--format=pax", "--xattrs", "--xattrs-include=*", "-cf-", "./ping", "./ping6"]
    data = subprocess.run(tarred, cwd=tmp_path, stdout=subprocess.PIPE, check=True).stdout

    found = [each for each, _ in read(package(data=data))[1]]

    assert [(each.path, each.link) for each in found] == [("ping", ""), ("ping6", "ping")]
    assert found[0].xattrs == (("security.capability", os.getxattr(tmp_path / "ping", "security.capability")),)


def test_the_control_archive_is_taken_apart() -> None:
    files = {
        "postinst": "#!/bin/sh\n# caf\udce9\n",
        "control": CONTROL,
        "triggers": "activate-noawait ldconfig\n",
        "shlibs": "libhello 1 libhello1\n",
        "conffiles": "/etc/hello.conf\nremove-on-upgrade /etc/old.conf\n/etc/b c\n",
        "md5sums": f"{DIGEST}  usr/bin/hello\n{DIGEST}  usr/share/a b\n",
    }
    control, _ = read(package(files=control_files(**files)))
    assert control.text == CONTROL
    assert control.scripts == (("postinst", files["postinst"]), ("triggers", files["triggers"]))
    assert control.conffiles == ("etc/hello.conf", "etc/b c")
    assert control.md5sums == (("usr/bin/hello", DIGEST), ("usr/share/a b", DIGEST))


def test_parts_that_everybody_is_to_ignore_are_ignored() -> None:
    parts = {
        "debian-binary": b"2.1\nsomething new\n",
        "_first": b"1",
        "control.tar/": control_files(control=CONTROL),
        "_second": b"22",
        "data.tar/": archive(member("a")),
        "_gpgorigin": b"a signature",
        "later": b"",
    }
    assert [each.path for each, _ in read(ar(*parts.items()))[1]] == ["a"]


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("Package: hello", "Package: hello-traditional"),
        ("Version: 1:2.10-3", "Version: 2.10-3"),
        ("Architecture: amd64", "Architecture: all"),
        ("Version: 1:2.10-3\n", ""),
        ("Package: hello", "Package: \x1b[31m"),
    ],
)
def test_another_package_than_the_pinned_one_is_refused(wanted: str, got: str) -> None:
    words = dict(line.split(": ") for line in CONTROL.replace(wanted, got).splitlines()[:3] if ": " in line)
    held = " ".join(words.get(field, f"no {field}") for field in ("Package", "Version", "Architecture"))

    found = refusal(package(control=CONTROL.replace(wanted, got)))

    assert found == f"must hold hello 1:2.10-3 amd64, got {held}".replace("\x1b", "\\x1b")


HOSTILE_MEMBERS = {
    "up": ([member("./usr/../../etc/passwd")], "./usr/../../etc/passwd: must be a path below the root"),
    "up only": ([folder("../")], "../: must be a path below the root"),
    "absolute": ([member("/etc/passwd")], "/etc/passwd: must be a path below the root"),
    "absolute behind the dot": ([member(".//etc/passwd")], ".//etc/passwd: must be a path below the root"),
    "empty": ([member("")], ": must be a path below the root"),
    "slash only": ([folder("/")], "/: must be a path below the root"),
    "dot inside": ([member("a/./b")], "a/./b: must be a path below the root"),
    "file with a slash": ([member("a/", b"x")], "a/: must be a path below the root"),
    "root as a link": ([symlink("./", "/")], "./: must be a path below the root"),
    "overlong part": ([member("a" * 256)], "a" * 200 + "…: must be a path below the root"),
    "overlong": ([member("/".join(["a" * 200] * 30))], "a" * 200 + "…: must be a path of at most 4095 bytes"),
    "nul in a name": ([member("a", pax={"path": "a\0b"})], r"a\x00b: must be a path of at most 4095 bytes without NUL"),
    "control characters": ([member("\x1b[31m/..")], r"\x1b[31m/..: must be a path below the root"),
    "twice": ([member("a"), member("./a")], "a: must stand in the package once, got a file and a file"),
    "folder twice": ([folder("a"), folder("./a")], "a: must stand in the package once"),
    "file, then link": ([member("a"), symlink("a", "/etc")], "a: must stand in the package once, got a file and a symlink"),
    "below a symlink": ([symlink("a", "/etc"), member("a/passwd")], "a/passwd: must stand in a folder, got a symlink at 'a'"),
    "far below a symlink": ([symlink("a", "/etc"), member("a/b/c/d")], "a/b/c/d: must stand in a folder, got a symlink at 'a'"),
    "below a file": ([member("a"), folder("a/b")], "a/b: must stand in a folder, got a file at 'a'"),
    "link where a folder was": ([member("a/b"), symlink("a", "/etc")], "a: must be a folder, for something stands below it, got a symlink"),
    "character device": ([member("a", kind=tarfile.CHRTYPE)], "a: must be a file, directory or link, got a device"),
    "block device": ([member("a", kind=tarfile.BLKTYPE)], "a: must be a file, directory or link, got a device"),
    "pipe": ([member("a", kind=tarfile.FIFOTYPE)], "a: must be a file, directory or link, got a pipe"),
    "contiguous file": ([member("a", kind=tarfile.CONTTYPE)], "a: must be a file, directory or link, got type b'7'"),
    "sparse file": ([member("a", b"x", kind=tarfile.GNUTYPE_SPARSE)], "a: must be a file, directory or link, got a sparse file"),
    "sparse file of pax": ([member("a", b"x", pax={"GNU.sparse.major": "1"})], "must have no pax records but names, numbers and attributes, got GNU.sparse.major"),
    "global pax header": ([member("a", b"9 a=b\n", kind=tarfile.XGLTYPE)], "a: must be a file, directory or link, got type b'g'"),
    "hard link to nothing": ([hardlink("a", "b")], "a: must be a hard link to a file before it, got nothing at 'b'"),
    "hard link to itself": ([hardlink("a", "a")], "a: must be a hard link to a file before it, got nothing at 'a'"),
    "hard link outside": ([hardlink("a", "../b")], "../b: must be a path below the root"),
    "hard link to an absolute path": ([hardlink("a", "/etc/shadow")], "/etc/shadow: must be a path below the root"),
    "hard link to a later file": ([hardlink("a", "b"), member("b")], "a: must be a hard link to a file before it, got nothing at 'b'"),
    "hard link to a folder": ([folder("b"), hardlink("a", "b")], "a: must be a hard link to a file before it, got a directory at 'b'"),
    "hard link to an implied folder": ([member("b/c"), hardlink("a", "b")], "a: must be a hard link to a file before it, got nothing at 'b'"),
    "hard link to a symlink": ([symlink("b", "/etc/shadow"), hardlink("a", "b")], "a: must be a hard link to a file before it, got a symlink at 'b'"),
    "hard link that adds setuid": ([member("b"), hardlink("a", "b", mode=0o4755)], "a: must have the mode and owner of 'b', whose hard link it is"),
    "hard link that adds a capability": ([member("b"), hardlink("a", "b", pax={"SCHILY.xattr.security.capability": "x"})], "a: must have the attributes of 'b', whose hard link it is"),
    "link to nothing": ([symlink("a", "")], "a: must link to a path, got ''"),
    "link with nul": ([member("a", kind=tarfile.SYMTYPE, pax={"linkpath": "x\0y"})], "a: must link to a path, got 'x\\\\x00y'"),
    "overlong link": ([symlink("a", "b" * 5000)], "a: must link to a path, got"),
    "link with content": ([member("a", b"x", kind=tarfile.SYMTYPE, link="b")], "a: must hold nothing, as a symlink, got 1 bytes"),
    "nobody's owner": ([member("a", owner=(2**32 - 1, 0))], "a: must have an owner and group up to 4294967294, got 4294967295 and 0"),
    "negative owner": ([member("a", owner=(-1, 0))], "a: must have octal numbers that are not negative"),
    "pax number": ([member("a", pax={"uid": "-1"})], "a: must have a decimal uid, got '-1'"),
    "pax size": ([member("a", pax={"size": "1e9"})], "a: must have a decimal size, got '1e9'"),
    "pax nonsense": ([member("a", b"7 path=\n", kind=tarfile.XHDTYPE)], "must have pax records of a length, keyword and value"),
    "pax record too long": ([member("a", b"999 path=b\n", kind=tarfile.XHDTYPE)], "must have pax records of a length, keyword and value"),
    "two names": ([member("x", b"one\0", kind=tarfile.GNUTYPE_LONGNAME), member("x", b"two\0", kind=tarfile.GNUTYPE_LONGNAME), member("a")], "two: must be told once, got a second path"),
    "huge long name": ([member("x", bytes(2**20 + 1), kind=tarfile.GNUTYPE_LONGNAME)], "x: must come with headers of a sane size"),
    "claims 8 EiB": ([member("a", pax={"size": "9223372036854775807"})], "a tar archive must be whole"),
    "garbage behind": ([bytes(1024), b"x" * 512], "a tar archive must have only zeros behind its last member"),
    "name without member": ([member("x", b"one\0", kind=tarfile.GNUTYPE_LONGNAME)], "a tar archive must have only zeros behind its last member"),
    "not a tar": ([b"x" * 512], "a tar header's checksum: must have octal numbers"),
    "wrong checksum": ([member("a").replace(b"a", b"b", 1)], "b: must be a tar header, got another checksum"),
}  # fmt: skip


@pytest.mark.parametrize(("members", "message"), HOSTILE_MEMBERS.values(), ids=HOSTILE_MEMBERS)
def test_hostile_members_are_refused(members: list[bytes], message: str) -> None:
    assert refusal(package(*members)).startswith(message)


HOSTILE_PACKAGES = {
    "empty": (b"", "must be an ar archive"),
    "thin archive": (b"!<thin>\n", "must be an ar archive"),
    "nothing inside": (ar(), "must begin with debian-binary of version 2, got nothing"),
    "version 3": (ar(("debian-binary", b"3.0\n")), r"must begin with debian-binary of version 2, got debian-binary, 3.0\n"),
    "endless version": (ar(("debian-binary", b"2." * 4000)), "must unpack to at most 4096 bytes"),
    "wrong order": (ar(("debian-binary", b"2.0\n"), ("data.tar", archive())), "control.tar: must come next, got data.tar"),
    "no data": (ar(("debian-binary", b"2.0\n"), ("control.tar", control_files(control=CONTROL))), "data.tar: must be there"),
    "unknown part": (ar(("debian-binary", b"2.0\n"), ("Rules", b"")), "control.tar: must come next, got Rules"),
    "zst": (package().replace(b"data.tar    ", b"data.tar.zst"), "data.tar: must be compressed as one of .bz2, .gz, .xz or not at all, got .zst"),
    "lzma": (package().replace(b"data.tar     ", b"data.tar.lzma"), "data.tar: must be compressed as one of .bz2, .gz, .xz or not at all, got .lzma"),
    "not xz": (package().replace(b"data.tar   ", b"data.tar.xz"), "data.tar: must be a sound compressed stream"),
    "not gzip": (package().replace(b"data.tar   ", b"data.tar.gz"), "data.tar: must be a sound compressed stream"),
    "not bzip2": (package().replace(b"data.tar    ", b"data.tar.bz2"), "data.tar: must be a sound compressed stream"),
    "garbage behind": (package() + b"garbage", "must have nothing but members in its ar archive, got garbage"),
    "size that is none": (package().replace(b"4         `", b"-4        `"), "must have nothing but members in its ar archive"),
    "no control": (package(files=control_files(postinst="")), "control.tar: must hold a file control, got none"),
    "control twice": (package(files=control_files(control=CONTROL)[:-1024] + control_files(control=CONTROL)), "control: must be a file and stand there once, got a second file"),
    "control is a link": (package(files=archive(symlink("control", "/etc/passwd"))), "control: must be a file and stand there once, got a symlink"),
    "control leads outside": (package(files=archive(member("../control"))), "../control: must be a path below the root"),
    "empty control": (package(control="\n"), "control: line 1 must be a field"),
    "two stanzas": (package(control=CONTROL + "\n" + CONTROL), "control: line 7 must be a field"),
    "repeated field": (package(control=CONTROL + "package: other\n"), "control: line 7 must not repeat a field"),
    "no size": (package(control=CONTROL.replace("12", "12k")), "control: must have a decimal Installed-Size, got '12k'"),
    "bad md5sums": (package(files=control_files(control=CONTROL, md5sums=f"{DIGEST}  a\nb\n")), "md5sums: line 2 must be a digest and a path, got 'b'"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), HOSTILE_PACKAGES.values(), ids=HOSTILE_PACKAGES)
def test_hostile_packages_are_refused(content: bytes, message: str) -> None:
    assert refusal(content).startswith(message)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_more_behind_a_compressed_stream_is_refused(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMPRESS, suffix, lambda content, plain=COMPRESS[suffix]: plain(content) + b"more")
    assert refusal(package(outer=suffix)) == "data.tar: must be one compressed stream, got more behind it"


def test_a_bomb_is_left_unread_once_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten megabytes behind a limit of one, the first is all that is given out."""
    monkeypatch.setattr(deb, "_SLACK", 2**20)
    content = package(member("bomb", bytes(10 * 2**20)), outer=".xz", control=CONTROL.replace("12", "0"))
    _, members = read_deb(io.BytesIO(content), PIN)
    given = 0

    with pytest.raises(BrokenError, match="data.tar: must unpack to at most 1048576 bytes, got more"):
        for _, pieces in members:
            for piece in pieces:
                given += len(piece)

    assert given <= 2**20


def test_a_bomb_among_the_control_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deb, "_MOST_CONTROL", 2**20)
    files = control_files(postinst="x" * 2**21, control=CONTROL)
    assert refusal(package(files=files, inner=".xz")) == "control.tar: must unpack to at most 1048576 bytes, got more"


@pytest.mark.parametrize(("kib", "limit"), [("0", 64 * 2**20), ("1000", 64 * 2**20 + 2000 * 2**10), ("9" * 12, 2**33)])
def test_what_a_package_may_unpack_to_follows_from_its_size_and_has_an_end(kib: str, limit: int) -> None:
    assert read(package(control=CONTROL.replace("12", kib)))[0].limit == limit


def test_a_package_without_a_size_is_taken_for_a_small_one() -> None:
    assert read(package(control=CONTROL.replace("Installed-Size: 12\n", "")))[0].limit == 64 * 2**20


def test_a_member_without_end_of_headers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "_MOST_HEADERS", 100 * 512)
    names = [member(f"a{number}") for number in range(100)]
    assert refusal(package(*names)) == "a99: must come with headers of a sane size, got 0 of 51712 bytes"


def test_an_xz_stream_that_wants_gigabytes_to_be_unpacked_is_refused() -> None:
    compressed = bytearray(lzma.compress(archive(member("a"))))
    header = compressed[12 : 12 + 12]
    assert (header[2], header[3]) == (0x21, 1), "the block header of LZMA2 with its dictionary size"
    header[4] = 40  # 4 GiB - 1
    compressed[12:24] = header[:8] + struct.pack("<I", zlib.crc32(header[:8]))
    content = ar(
        ("debian-binary", b"2.0\n"), ("control.tar", control_files(control=CONTROL)), ("data.tar.xz", compressed)
    )

    assert refusal(content) == "data.tar: must be a sound compressed stream, got: Memory usage limit exceeded"


def test_the_strongest_xz_is_read() -> None:
    data = lzma.compress(archive(member("a")), preset=9 | lzma.PRESET_EXTREME)
    content = ar(("debian-binary", b"2.0\n"), ("control.tar", control_files(control=CONTROL)), ("data.tar.xz", data))
    assert [each.path for each, _ in read(content)[1]] == ["a"]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_package_that_was_cut_anywhere_is_refused(suffix: str) -> None:
    content = package(member("a", b"content"), inner=".xz", outer=suffix)
    for end in range(len(content) - 1):  # the last byte may be padding
        refusal(content[:end])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", COMPRESS)
def test_damage_ends_in_a_refusal_or_goes_unnoticed_and_never_otherwise(suffix: str) -> None:
    """Digests are what notices; here it must not crash, hang or lead out of the root."""
    content = package(
        folder("./usr/"),
        member("./usr/a", b"content", pax={"SCHILY.xattr.user.a": "b", "path": "./usr/" + "a" * 120}),
        member("./usr/" + "b" * 150, b"x"),
        hardlink("./usr/c", "./usr/" + "b" * 150),
        outer=suffix,
    )
    chance = random.Random(suffix)
    refused = 0
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(chance.choice((1, 1, 4))):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 0x2E, 0x2F, 0x37, 0xFF, chance.randrange(256)))
        try:
            _, members = read(bytes(damaged))
        except BrokenError:
            refused += 1
        else:
            assert not [each.path for each, _ in members if each.path.startswith("/") or ".." in each.path.split("/")]
    assert refused > 100
