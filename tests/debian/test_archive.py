"""Indexes are taken as the chain of signature and digests says, from mirrors of all sorts."""

from __future__ import annotations

import hashlib
import lzma
import os
import random
import threading
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from procession_tasks import interruption
from procession_tasks.debian import archive as archives
from procession_tasks.debian.archive import Archive, Trust
from procession_tasks.debian.index import Index, PackagesFile
from procession_tasks.debian.pin import IndexPin
from procession_tasks.debian.repositories import Repositories
from procession_tasks.debian.store import Request, Store
from procession_tasks.errors import BuildError
from procession_tasks.interruption import InterruptedWorkError

pytestmark = pytest.mark.usefixtures("in_haste")

NOW = datetime(2026, 6, 1, tzinfo=UTC)
INDEX = "main/binary-amd64/Packages"
NAME = f"debian/dists/bookworm/{INDEX}"
TRY_ANOTHER = "see whether the network and the mirror work, or set PROCESSION_DEBIAN_MIRROR to another mirror"
INRELEASE = "debian/dists/bookworm/InRelease"


class Bench:
    """A published archive of one package, and who fetches its indexes."""

    def __init__(self, published: Any, folder: Path) -> None:
        self.published = published
        self.dists = published.folder / "debian/dists/bookworm"
        self.folder = folder / "indexes"
        self.warnings: list[str] = []
        self.fill = random.Random(1).randbytes(20_000).hex() * 2  # farther apart than gzip can see
        self.pin = published.add_package("hello", architecture="amd64", Fill=self.fill)
        published.publish()

    def archive(self, environment: dict[str, str] | None = None, **trust: Any) -> Archive:
        """Make what a new run makes."""
        environment = environment or {"PATH": os.environ["PATH"], "PROCESSION_DEBIAN_MIRROR": self.published.url}
        trusted = Trust(**{"keyring": self.published.keyring, "now": NOW, **trust})
        return Archive(Repositories(None, None, environment), trusted, self.folder, environment, self.warnings.append)

    def packages(self, suite: str = "bookworm", architecture: str = "amd64", **trust: Any) -> tuple[Path, IndexPin]:
        return self.archive(**trust).packages(suite, architecture)

    def refusal(self, suite: str = "bookworm", architecture: str = "amd64", **trust: Any) -> str:
        """Why an index is refused; no index is there then, and no address is told."""
        with pytest.raises(BuildError) as refused:
            self.packages(suite, architecture, **trust)
        said = str(refused.value)
        assert [word for word in ("127.0.0.1", self.published.url.rpartition(":")[2], "://") if word in said] == []
        assert list(self.folder.glob("*.packages")) + list(self.folder.glob(".*")) == []
        return said

    def resign(self, edit: Callable[[str], str]) -> None:
        """Sign another Release file."""
        text = edit((self.dists / "Release").read_text())
        (self.dists / "InRelease").write_bytes(self.published.keys.sign(text.encode(), "archive"))

    def replace_packed(self, packed: bytes) -> None:
        """Offer and sign another packed index, of what is said to be the same."""
        old = (self.dists / f"{INDEX}.xz").read_bytes()
        digest = hashlib.sha256(packed).hexdigest()
        (self.dists / f"main/binary-amd64/by-hash/SHA256/{digest}").write_bytes(packed)
        entry = f"{hashlib.sha256(old).hexdigest()} {len(old)} {INDEX}.xz"
        self.resign(lambda text: text.replace(entry, f"{digest} {len(packed)} {INDEX}.xz"))

    @property
    def asked(self) -> list[str]:
        """What was asked for, below the suite."""
        return [path.partition("/bookworm/")[2] for path in self.published.mirror.requests]


@pytest.fixture
def bench(debian_archive: Any, tmp_path: Path) -> Bench:
    return Bench(debian_archive, tmp_path)


def by_hash(packed: Path) -> str:
    return f"main/binary-amd64/by-hash/SHA256/{hashlib.sha256(packed.read_bytes()).hexdigest()}"


def test_an_index_is_given_with_all_that_identifies_it(bench: Bench) -> None:
    path, pin = bench.packages()

    plain = (bench.dists / INDEX).read_bytes()
    assert path.read_bytes() == plain
    assert b"Package: hello\n" in plain
    signers = (bench.published.keys.fingerprint("archive"),)
    sha256 = hashlib.sha256(plain).hexdigest()
    assert pin == IndexPin("debian", "bookworm", "main", "amd64", "20260102T030405Z", sha256, signers)


def test_a_suite_may_be_called_by_its_codename_or_its_place(bench: Bench) -> None:
    for suite, codename in (("oldstable", "bookworm"), ("bookworm", "oldstable")):
        bench.published.publish(Suite=suite, Codename=codename)

        release = bench.archive().release("bookworm")
        assert (release.suite, release.codename) == (suite, codename)


def test_the_security_suite_is_in_a_repository_of_its_own(bench: Bench) -> None:
    bench.published.publish("bookworm-security", repository="debian-security")

    _, pin = bench.packages("bookworm-security")
    assert (pin.repository, pin.suite) == ("debian-security", "bookworm-security")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("forms", "suffix"), [(("", ".xz", ".gz"), ".xz"), (("", ".gz"), ".gz"), (("",), ""), ((".xz",), ".xz")]
)
@pytest.mark.parametrize("has_by_hash", [True, False])
def test_the_smallest_form_is_fetched(bench: Bench, forms: tuple[str, ...], suffix: str, *, has_by_hash: bool) -> None:
    for file in bench.dists.rglob("Packages*"):
        file.unlink()
    bench.published.publish(forms=forms, by_hash=has_by_hash)
    path, _ = bench.packages()

    packed = bench.dists / f"{INDEX}{suffix}"
    assert bench.asked == ["InRelease", by_hash(packed) if has_by_hash else f"{INDEX}{suffix}"]
    assert f"Fill: {bench.fill}" in path.read_text()


def test_a_mirror_without_names_by_digest_is_asked_by_the_plain_ones(bench: Bench) -> None:
    packed = bench.dists / f"{INDEX}.xz"
    (bench.dists / by_hash(packed)).unlink()
    bench.packages()

    assert bench.asked == ["InRelease", by_hash(packed), f"{INDEX}.xz"]


def test_a_mirror_without_the_smallest_form_is_asked_for_another(bench: Bench) -> None:
    bench.published.publish(forms=("", ".xz", ".gz"), by_hash=False)
    (bench.dists / f"{INDEX}.xz").unlink()
    bench.packages()

    assert bench.asked == ["InRelease", f"{INDEX}.xz", f"{INDEX}.gz"]


def test_a_form_that_nobody_here_can_read_is_of_no_use(bench: Bench) -> None:
    bench.resign(lambda text: text.replace("Packages.xz", "Packages.zst"))
    bench.packages()

    assert bench.asked == ["InRelease", by_hash(bench.dists / INDEX)]


class TestChain:
    """Each link is looked at."""

    def test_an_altered_release_is_refused(self, bench: Bench) -> None:
        inrelease = bench.dists / "InRelease"
        inrelease.write_bytes(inrelease.read_bytes().replace(b"2026", b"2027"))

        assert bench.refusal() == (
            f"{INRELEASE}: must be signed by a key of {bench.published.keyring}:"
            " its text was altered after it was signed"
        )

    def test_one_without_a_signature_is_refused(self, bench: Bench) -> None:
        bench.published.publish(sign=False)

        assert bench.refusal().endswith(": it is not signed, or not whole")

    def test_one_that_somebody_else_signed_is_refused(self, bench: Bench) -> None:
        bench.published.publish(key="other")

        assert bench.refusal().endswith(": it was signed by a key that is not in the keyring")

    def test_a_form_of_other_bytes_is_passed_over(self, bench: Bench) -> None:
        bench.published.publish(by_hash=False)
        (bench.dists / f"{INDEX}.xz").write_bytes(b"something else")
        path, _ = bench.packages()

        assert path.read_bytes() == (bench.dists / INDEX).read_bytes()

    @pytest.mark.parametrize("suffix", ["", ".xz"])
    def test_an_index_of_other_bytes_is_refused(self, bench: Bench, suffix: str) -> None:
        bench.published.publish(forms=(suffix,), by_hash=False)
        packed = bench.dists / f"{INDEX}{suffix}"
        right = hashlib.sha256(packed.read_bytes()).hexdigest()
        packed.write_bytes(packed.read_bytes()[:-1] + b"!")
        wrong = hashlib.sha256(packed.read_bytes()).hexdigest()
        if not suffix:
            bench.resign(lambda text: text.replace("Packages.xz", "Packages.zst"))
        else:
            (bench.dists / INDEX).unlink()

        assert bench.refusal() == (
            f"{NAME}: changed: must have the sha256 {right}, got {wrong}\n"
            "  hint: the mirror may be at work, try again in minutes"
        )

    def test_an_index_of_another_size_is_refused(self, bench: Bench) -> None:
        size = (bench.dists / f"{INDEX}.xz").stat().st_size
        for file in (bench.dists / "main/binary-amd64").rglob("*"):
            if file.is_file():
                file.write_bytes(b"short")

        assert bench.refusal().startswith(f"{NAME}: changed: must have {size} bytes, got 5\n")

    def test_an_index_that_unpacks_to_something_else_is_refused(self, bench: Bench) -> None:
        plain = (bench.dists / INDEX).read_bytes()
        other = plain.replace(b"hello", b"jello")
        bench.replace_packed(lzma.compress(other))

        assert bench.refusal() == (
            f"{NAME}.xz: must unpack to the sha256 {hashlib.sha256(plain).hexdigest()},"
            f" got {hashlib.sha256(other).hexdigest()}"
        )

    def test_an_index_that_unpacks_to_less_is_refused(self, bench: Bench) -> None:
        bench.replace_packed(lzma.compress((bench.dists / INDEX).read_bytes()[:-1]))

        assert bench.refusal().startswith(f"{NAME}.xz: must unpack to the sha256 ")

    def test_an_index_that_unpacks_to_more_is_cut_off(self, bench: Bench) -> None:
        bench.replace_packed(lzma.compress(bytes(20_000_000), preset=0))
        size = (bench.dists / INDEX).stat().st_size

        assert bench.refusal() == f"{NAME}.xz: must unpack to at most {size} bytes, got more"

    def test_an_index_that_asks_for_all_memory_is_refused(self, bench: Bench) -> None:
        packed = bytearray(lzma.compress((bench.dists / INDEX).read_bytes()))
        header = slice(12, 12 + 4 * (packed[12] + 1) - 4)  # xz file format, 3.1: the first block's
        assert packed[header][2:4] == b"\x21\x01"
        packed[header.start + 4] = 40  # a dictionary of 4 GiB
        packed[header.stop : header.stop + 4] = zlib.crc32(packed[header]).to_bytes(4, "little")
        bench.replace_packed(bytes(packed))

        assert bench.refusal() == (f"{NAME}.xz: must be a sound compressed stream, got: Memory usage limit exceeded")

    @pytest.mark.parametrize(
        ("spoil", "why"),
        [
            (lambda packed: packed[:-20], "must be a whole compressed stream, got its end too early"),
            (lambda _: b"", "must be a whole compressed stream, got its end too early"),
            (lambda packed: packed + packed, "must be one compressed stream, got more behind it"),
            (
                lambda packed: b"x" + packed[1:],
                "must be a sound compressed stream, got: Input format not supported by decoder",
            ),
        ],
    )
    def test_an_index_that_cannot_be_unpacked_is_refused(
        self, bench: Bench, spoil: Callable[[bytes], bytes], why: str
    ) -> None:
        bench.replace_packed(spoil((bench.dists / f"{INDEX}.xz").read_bytes()))

        assert bench.refusal() == f"{NAME}.xz: {why}"

    def test_another_suite_is_refused(self, bench: Bench) -> None:
        bench.published.publish(Suite="stable", Codename="trixie")

        assert bench.refusal() == f"{INRELEASE}: must be of the suite bookworm, got stable (trixie)"

    @pytest.mark.parametrize(
        ("edit", "why"),
        [
            (lambda text: text.replace("Date:", "Day:"), "must have the field Date"),
            (lambda text: text.replace("SHA256:", "SHA1:"), "must have the field SHA256"),
            (
                lambda _: "nothing\n",
                "must be a Release file: line 1 must be a field such as Version: 1.0, got 'nothing'",
            ),
        ],
    )
    def test_a_signed_file_that_is_no_release_is_refused(
        self, bench: Bench, edit: Callable[[str], str], why: str
    ) -> None:
        bench.resign(edit)

        assert bench.refusal() == f"{INRELEASE}: {why}"

    def test_an_architecture_that_is_not_there_is_told(self, bench: Bench) -> None:
        assert bench.refusal(architecture="riscv64") == (
            "debian/dists/bookworm/main/binary-riscv64/Packages: must be listed in the suite's Release file"
        )

    def test_a_release_that_is_far_too_large_is_refused(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archives, "_RELEASE_LIMIT", 100)

        assert bench.refusal() == f"{INRELEASE}: changed: must have at most 100 bytes, got more\n  hint: {TRY_ANOTHER}"

    def test_a_label_that_is_not_utf_8_is_no_reason_to_refuse(self, bench: Bench) -> None:
        text = (bench.dists / "Release").read_bytes().replace(b"Sample", b"caf\xe9")
        (bench.dists / "InRelease").write_bytes(bench.published.keys.sign(text, "archive"))

        assert bench.packages()


class TestDates:
    """An index says how long it is valid."""

    UNTIL = datetime(2026, 5, 4, tzinfo=UTC)
    WARNING = f"{INRELEASE}: was valid until 2026-05-04"

    def test_an_expired_index_is_refused(self, bench: Bench) -> None:
        bench.published.publish(valid_until=self.UNTIL)

        assert bench.refusal() == (
            f"{INRELEASE}: must not be expired, got one that was valid until 2026-05-04\n"
            '  hint: use another mirror; or set expired = "warn" under [tool.procession.debian]'
        )
        assert bench.packages(now=self.UNTIL)
        assert bench.warnings == []

    def test_who_wants_to_is_only_warned(self, bench: Bench) -> None:
        bench.published.publish(valid_until=self.UNTIL)

        assert bench.packages(expired_counts=True)
        assert bench.warnings == [self.WARNING]

    def test_where_apt_does_not_mind_one_is_only_warned(self, bench: Bench, tmp_path: Path) -> None:
        bench.published.publish(valid_until=self.UNTIL)
        tools = tmp_path / "apt"
        tools.mkdir()
        target = f"Repo-URI: {bench.published.url}/debian/\nRelease: bookworm\n"
        for name, said in (("apt-get", target), ("apt-config", 'Acquire::Check-Valid-Until "false";')):
            (tools / name).write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
            (tools / name).chmod(0o755)
        archive = bench.archive({"PATH": f"{tools}:{os.environ['PATH']}"})

        for architecture in ("amd64", "arm64"):
            assert archive.packages("bookworm", architecture)
        assert bench.warnings == [self.WARNING]


class TestMirrors:
    """What mirrors do that are not well."""

    def test_a_suite_that_is_not_there_is_gone(self, bench: Bench) -> None:
        assert bench.refusal("trixie") == (
            "debian/dists/trixie/InRelease: gone: HTTP 404 Not Found\n"
            "  hint: see whether this is a suite that the mirror has"
        )

    def test_an_index_that_is_not_there_is_gone(self, bench: Bench) -> None:
        for file in (bench.dists / "main/binary-amd64").rglob("Packages*"):
            file.unlink()
        for file in (bench.dists / "main/binary-amd64/by-hash/SHA256").iterdir():
            file.unlink()

        assert bench.refusal() == (
            f"{NAME}: gone: HTTP 404 Not Found\n  hint: the mirror may be at work, try again in minutes"
        )

    def test_a_mirror_that_is_down_is_unreachable(self, bench: Bench) -> None:
        bench.published.mirror.close()

        assert bench.refusal() == f"{INRELEASE}: unreachable: connection refused\n  hint: {TRY_ANOTHER}"

    def test_a_mirror_that_fails_half_way_is_unreachable(self, bench: Bench) -> None:
        path = f"/debian/dists/bookworm/{by_hash(bench.dists / f'{INDEX}.xz')}"
        bench.published.mirror.fail(path, status=500)

        assert bench.refusal() == f"{NAME}: unreachable: HTTP 500 Internal Server Error\n  hint: {TRY_ANOTHER}"
        assert len(set(bench.asked)) == 2

    def test_a_mirror_that_is_at_work_is_told_to_be(self, bench: Bench) -> None:
        bench.published.publish(by_hash=False)
        inrelease = (bench.dists / "InRelease").read_bytes()
        bench.published.add_package("new", architecture="amd64")
        bench.published.publish(by_hash=False)
        (bench.dists / "InRelease").write_bytes(inrelease)

        said = bench.refusal()
        assert said.startswith(f"{NAME}: changed: must have ")
        assert said.endswith("\n  hint: the mirror may be at work, try again in minutes")

    def test_what_failed_is_not_tried_again_by_the_same_run(self, bench: Bench) -> None:
        archive = bench.archive()
        for _ in range(3):
            with pytest.raises(BuildError, match="gone: HTTP 404"):
                archive.packages("trixie", "amd64")

        assert len(bench.published.mirror.requests) == 1

    def test_a_truncated_index_is_continued(self, bench: Bench) -> None:
        path = f"/debian/dists/bookworm/{by_hash(bench.dists / f'{INDEX}.xz')}"
        bench.published.mirror.fail(path, 1, cut=50)
        bench.packages()

        assert bench.asked[-1].endswith(" bytes=50-")


class TestKeeping:
    """Indexes are kept between runs."""

    def test_a_second_run_fetches_only_the_release(self, bench: Bench) -> None:
        first = bench.packages()
        bench.published.mirror.requests.clear()

        assert bench.packages() == first
        assert bench.asked == ["InRelease"]

    def test_one_run_fetches_everything_once(self, bench: Bench) -> None:
        bench.published.add_package("other", architecture="arm64")
        bench.published.publish()
        archive = bench.archive()
        answers = [archive.packages("bookworm", name) for name in ("amd64", "arm64", "amd64") for _ in range(2)]

        assert archive.release("bookworm").suite == "bookworm"
        assert len(set(answers)) == 2
        assert len(bench.asked) == 3

    @pytest.mark.parametrize("content", [b"", b"tampered"])
    def test_a_kept_index_that_was_tampered_with_is_replaced(self, bench: Bench, content: bytes) -> None:
        path, _ = bench.packages()
        good = path.read_bytes()
        path.write_bytes(content or good.replace(b"hello", b"jello"))

        assert bench.packages()[0].read_bytes() == good

    def test_a_lost_index_is_unpacked_again_without_the_network(self, bench: Bench) -> None:
        path, _ = bench.packages()
        path.unlink()
        bench.published.mirror.requests.clear()
        bench.packages()

        assert bench.asked == ["InRelease"]

    def test_what_nobody_used_for_long_is_removed(self, bench: Bench) -> None:
        old, _ = bench.packages()
        (bench.folder / ".unpacking-killed").mkdir()
        (bench.folder / ".unpacking-killed/file").touch()
        other, _ = bench.packages(architecture="arm64")
        for path in [*bench.folder.iterdir()]:
            if path != other:
                os.utime(path, (0, time.time() - 15 * 24 * 3600))
        bench.published.add_package("new", architecture="amd64", Fill=bench.fill)
        bench.published.publish()
        new, _ = bench.packages()

        assert not old.exists()
        assert sorted(path.suffix for path in bench.folder.iterdir()) == [".packages", ".packages", ".xz"]
        assert new.exists()
        assert other.exists()

    def test_what_is_used_is_kept(self, bench: Bench) -> None:
        used, _ = bench.packages()
        os.utime(used, (0, 0))
        bench.packages()

        assert time.time() - used.stat().st_mtime < 60

    def test_nothing_half_unpacked_is_left(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        bench.replace_packed(lzma.compress((bench.dists / INDEX).read_bytes() + bytes(1000)))
        with pytest.raises(BuildError):
            bench.packages()
        assert [path.suffix for path in bench.folder.iterdir()] == [".xz"]

        def check() -> None:
            if list(bench.folder.glob(".unpacking-*")):  # where it can be renamed from
                raise InterruptedWorkError

        monkeypatch.setattr(interruption, "check", check)
        with pytest.raises(InterruptedWorkError):
            bench.packages()
        assert [path.suffix for path in bench.folder.iterdir()] == [".xz"]


def test_threads_and_other_runs_get_the_same_index(bench: Bench) -> None:
    archive = bench.archive()
    got: list[tuple[Path, IndexPin]] = []
    asking = [archive, archive, bench.archive(), bench.archive(), bench.archive()]
    threads = [threading.Thread(target=lambda of=of: got.append(of.packages("bookworm", "amd64"))) for of in asking]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == 5
    assert len(set(got)) == 1
    assert got[0][0].read_bytes() == (bench.dists / INDEX).read_bytes()
    assert bench.asked.count("InRelease") == 4
    assert len(bench.asked) == 5


def a_defect(bench: Bench, name: str) -> None:
    """Publish with something wrong."""
    bench.published.publish(by_hash=False, forms=(".xz",))
    inrelease, packed = bench.dists / "InRelease", bench.dists / f"{INDEX}.xz"
    match name:
        case "unsigned":
            bench.published.publish(by_hash=False, sign=False)
        case "altered":
            inrelease.write_bytes(inrelease.read_bytes().replace(b"Sample", b"Simple"))
        case "another key":
            bench.published.publish(by_hash=False, key="other")
        case "a weak digest":
            text = (bench.dists / "Release").read_bytes()
            inrelease.write_bytes(bench.published.keys.sign(text, "archive", options=("--digest-algo", "SHA1")))
        case "expired":
            bench.published.publish(by_hash=False, valid_until=datetime(2026, 5, 4, tzinfo=UTC))
        case "an index of other bytes":
            packed.write_bytes(packed.read_bytes()[:-1] + b"!")
        case "no index":
            packed.unlink()
        case "a second key":
            bench.published.publish(by_hash=False, key=("archive", "other"))


DEFECTS = ("unsigned", "altered", "another key", "a weak digest", "expired", "an index of other bytes", "no index")


@pytest.mark.slow
@pytest.mark.parametrize("defect", ["none", "a second key", *DEFECTS])
def test_apt_is_of_the_same_opinion(bench: Bench, apt: Any, tmp_path: Path, defect: str) -> None:
    a_defect(bench, defect)
    (bench.dists / INDEX).unlink()
    keyring = f"signed-by={bench.published.keyring}"
    (apt.folder / "sources.list").write_text(f"deb [{keyring}] {bench.published.url}/debian bookworm main\n")
    apt.options |= {
        "Dir::Etc::sourcelist": str(apt.folder / "sources.list"),
        "Dir::Etc::sourceparts": str(apt.folder / "nothing"),
        "Acquire::Retries": "0",
        "Acquire::Check-Valid-Until": "true",
        "Acquire::Check-Date": "true",
    }
    taken = [file for file in apt.update() if "binary-amd64" in file.path.name]

    if defect in DEFECTS:
        assert taken == []
        assert bench.refusal(now=datetime.now(UTC))
    else:
        assert taken[0].path.read_bytes() == bench.packages()[0].read_bytes()


@pytest.mark.slow
def test_the_machines_own_mirror_is_understood(tmp_path: Path) -> None:
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not keyring.exists():
        pytest.skip("debian-archive-keyring is not installed")
    environment = dict(os.environ)
    repositories = Repositories(None, None, environment)
    archive = Archive(repositories, Trust(keyring, datetime.now(UTC)), tmp_path / "indexes", environment, print)
    try:
        path, pin = archive.packages("bookworm", "arm64")
    except BuildError as error:
        if "nothing says where" in error.message or "unreachable" in error.message:
            pytest.skip(error.message)
        raise
    with Index([PackagesFile(path, pin.repository, pin.suite)], "arm64") as index:
        chosen = index.candidates("netbase")[0].pin
    store = Store(tmp_path / "packages")
    store.ensure(
        Request("lock", "x", (chosen,)), lambda of: [repositories.place(of.repository, of.suite)], lambda _: None
    )

    assert len(pin.signers) >= 2
    assert store.holds(chosen)
