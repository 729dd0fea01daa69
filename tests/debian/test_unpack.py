"""What is kept of an unpacked package: whole, made once, made anew when it is not what it was; judged by dpkg-deb."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import interruption, kept
from procession_tasks.debian import unpack
from procession_tasks.debian.contents import Contents, Elf, Member
from procession_tasks.debian.pin import Pin
from procession_tasks.debian.unpack import unpacked
from procession_tasks.errors import BuildError

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")

CONTROL = "Package: hello\nVersion: 2.10-3\nArchitecture: amd64\nInstalled-Size: {size}\n"
PROGRAM = Path(sys.executable).resolve()
CHILD = """
import json, os, signal, sys
from pathlib import Path
from procession_tasks.debian import unpack
from procession_tasks.debian.pin import Pin
deb, fields, folder = json.loads(sys.argv[1])
def run():
    return unpack.unpacked(Path(deb), Pin(**fields), Path(folder))
"""


def header(name: str, size: int, **fields: Any) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def archive(files: dict[str, bytes]) -> bytes:
    return b"".join(header(name, len(text)) + text + bytes(-len(text) % 512) for name, text in files.items()) + bytes(
        1024
    )


def part(name: str, size: int) -> bytes:
    return b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), 0, 0, 0, b"100644", size)


def package(files: dict[str, bytes], control: str = CONTROL) -> bytes:
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar": archive({"./control": control.format(size=1).encode()}),
        "data.tar": archive(files),
    }
    return b"!<arch>\n" + b"".join(part(name, len(content)) + content for name, content in parts.items())


def pin_of(deb: Path, name: str = "hello", version: str = "2.10-3", architecture: str = "amd64") -> Pin:
    content = deb.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return Pin(name, version, architecture, name, "debian", "bookworm", f"pool/{deb.name}", len(content), digest)


def written(folder: Path, content: bytes) -> tuple[Path, Pin]:
    deb = folder / "hello.deb"
    deb.write_bytes(content)
    return deb, pin_of(deb)


def child(deb: Path, pin: Pin, folder: Path, code: str) -> subprocess.Popen[str]:
    """Start a process of its own that can `run()` the unpacking."""
    asked = json.dumps([str(deb), dataclasses.asdict(pin), str(folder)])
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, asked], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def names(folder: Path) -> list[str]:
    """What a folder holds, with the digest before a name's suffix left out."""
    return sorted(path.suffix or path.name for path in folder.iterdir()) if folder.exists() else []


FILES = {"./usr/bin/hello": b"hello, world\n" * 999, "./usr/share/empty": b"", "./usr/share/doc": b"read me"}


@pytest.fixture
def hello(tmp_path: Path) -> tuple[Path, Pin]:
    """A package of three files and the pin it answers to."""
    return written(tmp_path, package(FILES))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where unpacked packages are kept; not there yet."""
    return tmp_path / "store" / "unpacked"


def test_a_package_is_kept_as_bytes_and_what_is_known_of_them(hello: tuple[Path, Pin], store: Path) -> None:
    deb, pin = hello

    contents = unpacked(deb, pin, store)

    assert contents.data == store / f"{pin.sha256}.data"
    assert contents.data.read_bytes() == b"".join(FILES.values())
    assert contents.control == CONTROL.format(size=1)
    offsets = (0, 12987, 12987)
    assert contents.members == tuple(
        Member(name[2:], "file", 0o644, size=len(text), offset=offset, sha256=hashlib.sha256(text).hexdigest())
        for (name, text), offset in zip(FILES.items(), offsets, strict=True)
    )
    assert names(store) == [".contents", ".data"]


def test_what_the_dynamic_linker_reads_is_kept_of_programs_and_libraries(tmp_path: Path, store: Path) -> None:
    program = PROGRAM.read_bytes()
    cut = {"./text": b"before", "./program": program, "./cut": program[:100], "./magic": b"\x7fEL"}
    deb, pin = written(tmp_path, package(cut))

    fresh, warm = unpacked(deb, pin, store), unpacked(deb, pin, store)

    found = {member.path: member.elf for member in warm.members}
    assert isinstance(found["program"], Elf)
    assert any(name.startswith("libc.") for name in found["program"].needed)
    assert (found["text"], found["cut"], found["magic"]) == (None, None, None)
    assert fresh == warm


def test_an_unpacked_package_is_not_unpacked_again(
    hello: tuple[Path, Pin], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = unpacked(*hello, store)
    monkeypatch.setattr(unpack, "read_deb", None)
    assert unpacked(*hello, store) == first


def damaged_record(store: Path, pin: Pin) -> None:
    (store / f"{pin.sha256}.contents").write_bytes(b"procession kept")


def short_data(store: Path, pin: Pin) -> None:
    with (store / f"{pin.sha256}.data").open("r+b") as file:
        file.truncate(100)


def long_data(store: Path, pin: Pin) -> None:
    with (store / f"{pin.sha256}.data").open("ab") as file:
        file.write(b"x")


def no_data(store: Path, pin: Pin) -> None:
    (store / f"{pin.sha256}.data").unlink()


def changed_record(store: Path, pin: Pin, place: int, value: Any) -> None:
    path = store / f"{pin.sha256}.contents"
    record = kept.load(path)
    kept.save(path, (*record[:place], value, *record[place + 1 :]))


def other_format(store: Path, pin: Pin) -> None:
    changed_record(store, pin, 0, (unpack.FORMAT + 1, unpack._FIELDS))


def other_fields(store: Path, pin: Pin) -> None:
    changed_record(store, pin, 0, (unpack.FORMAT, ()))


def other_package(store: Path, pin: Pin) -> None:
    changed_record(store, pin, 1, "0" * 64)


def other_value(store: Path, pin: Pin) -> None:
    kept.save(store / f"{pin.sha256}.contents", 1)


DAMAGES = [damaged_record, short_data, long_data, no_data, other_format, other_fields, other_package, other_value]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_as_it_was_kept_is_made_anew(damage: Any, hello: tuple[Path, Pin], store: Path) -> None:
    first = unpacked(*hello, store)
    record = (store / f"{hello[1].sha256}.contents").read_bytes()
    damage(store, hello[1])

    assert unpacked(*hello, store) == first

    assert first.data.read_bytes() == b"".join(FILES.values())
    assert (store / f"{hello[1].sha256}.contents").read_bytes() == record


@pytest.mark.parametrize("kept_before", [[], [".contents", ".data"]], ids=["cold", "warm"])
def test_a_package_that_was_tampered_with_is_refused(
    kept_before: list[str], hello: tuple[Path, Pin], store: Path
) -> None:
    deb, pin = hello
    if kept_before:
        unpacked(deb, pin, store)
    deb.write_bytes(deb.read_bytes().replace(b"world", b"there"))

    with pytest.raises(BuildError) as caught:
        unpacked(deb, pin, store)

    got = hashlib.sha256(deb.read_bytes()).hexdigest()
    expected = f"{deb}: must have the SHA-256 of hello 2.10-3 amd64, {pin.sha256}, got {got}"
    assert (caught.value.message, caught.value.hint) == (expected, f"rm {deb}")
    assert names(store) == kept_before


def test_a_package_that_is_not_there_is_named(hello: tuple[Path, Pin], store: Path) -> None:
    hello[0].unlink()
    with pytest.raises(BuildError, match=r"hello\.deb: cannot be read: No such file or directory"):
        unpacked(*hello, store)


HOSTILE = {
    "no package": (b"garbage", "must be an ar archive, got other bytes at its start"),
    "another package": (package({}, CONTROL.replace("hello", "howdy")), "must hold hello 2.10-3 amd64, got howdy 2.10-3 amd64"),
    "a path outside": (package(FILES | {"../../x": b"y"}), "../../x: must be a path below the root"),
    "an absolute path": (package(FILES | {"/tmp/x": b"y"}), "/tmp/x: must be a path below the root"),
    "cut": (package(FILES)[:-1500], "data.tar: must be whole, got the end of the package"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_package_is_refused_by_name_and_leaves_nothing(
    content: bytes, message: str, tmp_path: Path, store: Path
) -> None:
    deb, pin = written(tmp_path, content)

    with pytest.raises(BuildError) as caught:
        unpacked(deb, pin, store)

    assert str(caught.value).startswith(f"{deb}: hello 2.10-3 amd64: {message}")
    assert names(store) == []
    assert names(tmp_path) == [".deb", "store"]


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, store: Path) -> None:
    """A quarter of a gigabyte, from a package that claims to be of one kilobyte."""
    deb, pin = written(tmp_path, large_package(2**28, 1))
    with pytest.raises(BuildError, match="data.tar: must unpack to at most 67110912 bytes, got more"):
        unpacked(deb, pin, store)
    assert names(store) == []


def large_package(size: int, claimed: int) -> bytes:
    """A package with one file of zeros, made without having it in memory."""
    packer = zlib.compressobj(1, wbits=31)
    data = io.BytesIO()
    data.write(packer.compress(header("./zeros", size)))
    for _ in range(size // 2**20):
        data.write(packer.compress(bytes(2**20)))
    data.write(packer.compress(bytes(1024)) + packer.flush())
    control = archive({"./control": CONTROL.format(size=claimed).encode()})
    parts = (("debian-binary", b"2.0\n"), ("control.tar", control), ("data.tar.gz", data.getvalue()))
    return b"!<arch>\n" + b"".join(part(name, len(text)) + text + bytes(len(text) % 2) for name, text in parts)


def test_threads_that_ask_for_one_package_unpack_it_once(
    hello: tuple[Path, Pin], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, together = [], threading.Barrier(6)
    plain = unpack.read_deb

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return plain(*arguments)

    def ask() -> Contents:
        together.wait()
        return unpacked(*hello, store)

    monkeypatch.setattr(unpack, "read_deb", counted)
    with ThreadPoolExecutor(6) as threads:
        found = [each.result() for each in [threads.submit(ask) for _ in range(6)]]

    assert found == [found[0]] * 6
    assert len(calls) == 1


def test_processes_that_unpack_one_package_do_not_disturb_each_other(tmp_path: Path, store: Path) -> None:
    """Each waits with its half-made form until the others are as far."""
    deb, pin = written(tmp_path, package(FILES))
    code = """
import time
save = unpack.kept.save
def late(path, value):
    (Path(folder).parent / f"at-{os.getpid()}").touch()
    while len(list(Path(folder).parent.glob("at-*"))) < 3:
        time.sleep(0.005)
    save(path, value)
unpack.kept.save = late
print(len(run().members))
"""
    ended = [(each, *each.communicate(timeout=60)) for each in [child(deb, pin, store, code) for _ in range(3)]]

    assert [(each.returncode, out, err) for each, out, err in ended] == [(0, "3\n", "")] * 3
    assert names(store) == [".contents", ".data"]
    assert unpacked(deb, pin, store).data.read_bytes() == b"".join(FILES.values())


KILLS = {
    "while files are written": ("unpack._window = die", []),
    "before what is known is written": ("unpack.kept.save = die", []),
    "before the bytes have their name": ("at = 2; Path.replace = count", []),
    "between the two names": ("at = 3; Path.replace = count", [".data"]),
}


@pytest.mark.parametrize(("how", "left"), KILLS.values(), ids=KILLS)
def test_a_kill_leaves_nothing_that_looks_finished(how: str, left: list[str], tmp_path: Path, store: Path) -> None:
    deb, pin = written(tmp_path, package({"./program": PROGRAM.read_bytes(), **FILES}))
    code = f"""
replace, calls = Path.replace, []
def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
def count(path, target):
    calls.append(target)
    return die() if len(calls) == at else replace(path, target)
{how}
run()
"""
    killed = child(deb, pin, store, code)
    killed.communicate(timeout=60)

    assert killed.returncode == -signal.SIGKILL
    assert [name for name in names(store) if not name.startswith(unpack._UNFINISHED)] == left
    assert len(unpacked(deb, pin, store).members) == 4
    assert unpacked(deb, pin, store).data.stat().st_size == PROGRAM.stat().st_size + 12994


def test_what_killed_runs_left_is_removed_after_an_hour(hello: tuple[Path, Pin], store: Path) -> None:
    for name in ("old", "new"):
        (store / f".unpacking-{name}").mkdir(parents=True)
        (store / f".unpacking-{name}" / "half").write_bytes(b"x")
    past = (store / ".unpacking-new").stat().st_mtime - 3700
    os.utime(store / ".unpacking-old", (past, past))

    unpacked(*hello, store)

    assert names(store) == [".contents", ".data", ".unpacking-new"]


def test_a_full_disk_is_named_and_nothing_stays(tmp_path: Path, store: Path) -> None:
    """A limit on the size of files stands for the disk."""
    deb, pin = written(tmp_path, package({"./large": os.urandom(2**20)}))
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (2**17, 2**17))
try:
    run()
except OSError as error:
    print(error.errno, error.filename)
"""
    ended = child(deb, pin, store, code)
    out, err = ended.communicate(timeout=60)

    assert (out, err) == (f"{errno.EFBIG} {store / pin.sha256}.data\n", "")
    assert names(store) == []


def test_a_folder_that_cannot_be_made_is_named(hello: tuple[Path, Pin], tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"a file")
    with pytest.raises(OSError, match="store") as caught:
        unpacked(*hello, tmp_path / "store" / "unpacked")
    assert caught.value.filename is not None


@pytest.mark.parametrize("pieces", [0, 1, 2, 3])
def test_unpacking_can_be_interrupted(
    pieces: int, hello: tuple[Path, Pin], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(pieces))

    def check() -> None:
        if next(left, None) is None:
            raise interruption.InterruptedWorkError

    with monkeypatch.context() as patched:
        patched.setattr(interruption, "check", check)
        with pytest.raises(interruption.InterruptedWorkError):
            unpacked(*hello, store)

    assert names(store) == []
    assert len(unpacked(*hello, store).members) == 3


@pytest.mark.slow
def test_memory_does_not_grow_with_the_package(tmp_path: Path, store: Path) -> None:
    deb, pin = written(tmp_path, large_package(300 * 2**20, 300 * 2**10))
    code = """
peak = lambda: int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
before = peak()
run()
print((peak() - before) // 1024)
"""
    out, err = child(deb, pin, store, code).communicate(timeout=120)
    assert err == ""
    assert int(out) < 16, "MiB"


# --- judged by dpkg-deb ---

Described = dict[str, tuple[Any, ...]]


def on_disk(root: Path) -> Described:
    """Each path's type, mode, owner, content and the names of the same file."""
    paths = {os.fsdecode(path.relative_to(root)): path.lstat() for path in sorted(root.rglob("*"))}
    same: dict[int, list[str]] = {}
    for path, status in paths.items():
        same.setdefault(status.st_ino, []).append(path)
    found: Described = {}
    for path, status in paths.items():
        kind = stat.S_IFMT(status.st_mode)
        content = {
            stat.S_IFREG: lambda path=path: (root / path).read_bytes(),
            stat.S_IFLNK: lambda path=path: os.readlink(root / path),
            stat.S_IFDIR: lambda: None,
        }[kind]()
        owner = (status.st_uid, status.st_gid) if os.geteuid() == 0 else None
        group = same[status.st_ino] if kind == stat.S_IFREG else None
        found[path] = (kind, stat.S_IMODE(status.st_mode), owner, content, group)
    return found


def as_read(contents: Contents) -> Described:
    """The same of what was unpacked."""
    data = contents.data.read_bytes()
    members = {member.path: member for member in contents.members}
    same: dict[str, list[str]] = {}
    for member in sorted(contents.members, key=lambda member: Path(member.path)):
        same.setdefault(member.link if member.type == "hardlink" else member.path, []).append(member.path)
    found: Described = {}
    for path, member in members.items():
        owner = (member.uid, member.gid) if os.geteuid() == 0 else None
        first = members[member.link] if member.type == "hardlink" else member
        content = data[first.offset : first.offset + first.size]
        assert hashlib.sha256(content).hexdigest() == first.sha256 or first.type != "file"
        found[path] = {
            "file": (stat.S_IFREG, member.mode, owner, content, same.get(first.path)),
            "symlink": (stat.S_IFLNK, member.mode, owner, member.link, None),
            "directory": (stat.S_IFDIR, member.mode, owner, None, None),
        }[first.type]
    return found


def extracted(deb: Path, folder: Path) -> Described:
    subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
    return on_disk(folder)


def without_time(listing: str) -> Iterator[str]:
    for line in listing.splitlines():
        mode, owner, size, _, _, name = line.split(maxsplit=5)
        yield f"{mode} {owner} {size} {name}"


def listed(contents: Contents) -> Iterator[str]:
    """What `dpkg-deb -c` prints, without times and owners' names."""
    kinds = {"file": "-", "hardlink": "h", "symlink": "l", "directory": "d"}
    for member in contents.members:
        mode = stat.filemode(member.mode)[1:]
        name = f"./{member.path}" + ("/" if member.type == "directory" else "")
        arrow = {"symlink": f" -> {member.link}", "hardlink": f" link to ./{member.link}"}.get(member.type, "")
        yield f"{kinds[member.type]}{mode} {member.size} {name}{arrow}"


@needs_dpkg
@pytest.mark.parametrize("compressor", ["xz", "gzip", "none"])
def test_what_dpkg_deb_builds_is_read_as_it_unpacks_it(compressor: str, tmp_path: Path, store: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("DEBIAN", "usr/bin", "var/spool/mail", "usr/share/" + "/".join(["long" * 20] * 3)):
        (tree / name).mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: hello\nVersion: 2.10-3\nArchitecture: amd64\nMaintainer: A <a@example.org>\nDescription: greets\n"
    )
    (tree / "usr/bin/hello").write_bytes(PROGRAM.read_bytes())
    (tree / "usr/bin/hello").chmod(0o4755)
    (tree / "usr/bin/hi").hardlink_to(tree / "usr/bin/hello")
    (tree / "usr/bin/howdy").symlink_to("../../usr/bin/hello")
    (tree / "var/spool/mail").chmod(0o3777)
    (tree / "usr/share" / "/".join(["long" * 20] * 3) / "file").write_text("deep")
    (tree / "usr/share/empty").touch(0o600)
    (tree / "usr/share" / os.fsdecode(b"caf\xe9 and \xc3\xa9")).write_text("not utf-8")
    deb = tmp_path / "hello.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", f"-Z{compressor}", "-b", tree, deb], check=True, stdout=subprocess.DEVNULL
    )

    contents = unpacked(deb, pin_of(deb), store)

    assert as_read(contents) == extracted(deb, tmp_path / "out")
    assert max(member.mode for member in contents.members) == 0o4755
    assert [member.link for member in contents.members if member.type == "hardlink"] == ["usr/bin/hello"]


REAL = (
    "base-files",
    "base-passwd",
    "hostname",
    "libc-bin",
    "libcap2",
    "login",
    "mount",
    "netbase",
    "passwd",
    "perl-base",
)
REAL += ("sed", "tzdata", "ca-certificates", "libstdc++6")


@pytest.mark.slow
@needs_dpkg
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt-get is not installed")
def test_real_packages_are_read_as_dpkg_deb_unpacks_them(tmp_path: Path, store: Path) -> None:
    downloaded = subprocess.run(["apt-get", "-q", "download", *REAL], cwd=tmp_path, capture_output=True, text=True)
    if downloaded.returncode:
        pytest.skip(f"apt-get cannot download: {downloaded.stderr.strip()[-200:]}")
    debs = sorted(tmp_path.glob("*.deb"))
    assert len(debs) == len(REAL)
    for deb in debs:
        show = ["dpkg-deb", "-W", "--showformat=${Package} ${Version} ${Architecture}", deb]
        pin = pin_of(deb, *subprocess.check_output(show, text=True).split())

        contents = unpacked(deb, pin, store)

        assert contents == unpacked(deb, pin, store)
        assert as_read(contents) == extracted(deb, tmp_path / pin.name), deb.name
        lines = without_time(subprocess.check_output(["dpkg-deb", "-c", deb], text=True))
        told = [f"{mode} {size} {name}" for mode, _, size, name in (line.split(" ", 3) for line in lines)]
        assert [line for line in told if not line.endswith(" ./")] == list(listed(contents)), deb.name
        control = tmp_path / f"{pin.name}.control"
        subprocess.run(["dpkg-deb", "-e", deb, control], check=True)
        assert contents.control == (control / "control").read_text()
        kinds = ("preinst", "postinst", "prerm", "postrm", "config", "triggers")
        scripts = {path.name: path.read_text() for path in control.iterdir() if path.name in kinds}
        assert dict(contents.scripts) == scripts
