"""The lock: what is written is read back, and what was changed behind its back is refused."""

from __future__ import annotations

import dataclasses

import pytest

from procession_tasks.debian.lock import (
    differing_versions,
    disagreements,
    dump_lock,
    dump_pins,
    make_lock,
    parse_lock,
    parse_pins,
)
from procession_tasks.debian.pin import IndexPin, Pin
from procession_tasks.definition.model import Debian
from procession_tasks.errors import DefinitionError
from procession_tasks.platform import Platform

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
FILE = "deploy/aci/etcd/packages.lock.yaml"
DEBIAN = Debian(("etcd-server", "base-files"), (("adduser", "users are declared"),), suites=("bookworm",))


def pin(name: str, version: str = "1:1.2-3+b1", architecture: str = "amd64") -> Pin:
    path = f"pool/main/{name[0]}/{name}/{name}_1.2-3_{architecture}.deb"
    return Pin(name, version, architecture, name, "debian", "bookworm", path, 1234, "ab" * 32)


INDEXES = [
    IndexPin("debian", "bookworm", "main", architecture, "20260711T101637Z", "cd" * 32, ("EF" * 20,))
    for architecture in ("arm64", "amd64")
]
PINS = {
    ARM64: [pin("etcd-server", architecture="arm64"), pin("base-files", architecture="arm64")],
    AMD64: [pin("etcd-server"), pin("base-files")],
}
LOCK = make_lock(DEBIAN, INDEXES, PINS)
TEXT = dump_lock(LOCK, "etcd")


def problems(text: bytes) -> str:
    with pytest.raises(DefinitionError) as caught:
        parse_lock(text, FILE)
    return str(caught.value)


def test_a_lock_is_read_back_as_it_was_written() -> None:
    assert parse_lock(TEXT, FILE) == LOCK


def test_the_order_in_which_things_were_chosen_does_not_show() -> None:
    turned = {platform: pins[::-1] for platform, pins in reversed(PINS.items())}
    assert dump_lock(make_lock(DEBIAN, INDEXES[::-1], turned), "etcd") == TEXT


def test_every_package_is_a_line() -> None:
    assert [line.split(b'"')[1] for line in TEXT.splitlines() if b"- {name: " in line] == [
        b"base-files", b"etcd-server", b"base-files", b"etcd-server",
    ]  # fmt: skip


def test_a_lock_that_was_edited_is_refused_with_the_command_that_writes_it_anew() -> None:
    edited = problems(TEXT.replace(b"ab" * 32, b"ba" * 32, 1))
    assert edited == (
        f"{FILE}:3: checksum: must be as it was written: the file was edited, or merged from two\n"
        "  hint: doit lock:etcd writes it anew"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"bookworm", path: "pool/main', b'"bookworm", path: "../pool/main', "must be a path below the repository"),
        (b'"bookworm", path: "pool/main', b'"bookworm", path: "/pool/main', "must be a path below the repository"),
        (b'sha256: "abab', b'sha256: "Abab', "must be a SHA-256 in lower-case hex"),
        (b'name: "base-files"', b'name: "Base Files"', "must be the name of a Debian package"),
        (b"size: 1234", b"size: -1", "must be a whole number"),
        (b"size: 1234", b"sizes: 1234", "sizes: must be a known key"),
        (b"linux/arm64:", b"linux/arm46:", "got 'linux/arm46'"),
        (b"format: 1", b"format: 2", "must be a whole number from 1 to 1"),
        (b"checksum:", b"<<<<<<< ours\nchecksum:", "must be YAML"),
    ],
)
def test_what_is_no_lock_is_refused_where_it_is_wrong(old: bytes, new: bytes, said: str) -> None:
    assert old in TEXT
    told = problems(TEXT.replace(old, new, 1))
    assert said in told
    assert told.endswith("\n  hint: doit lock:etcd writes it anew")


def test_a_lock_cut_short_is_refused() -> None:
    for length in range(len(TEXT)):
        problems(TEXT[:length])


def test_a_package_named_twice_is_refused() -> None:
    doubled = make_lock(DEBIAN, INDEXES, {AMD64: [pin("etcd-server"), pin("etcd-server", "2")]})
    assert "must name each package once for linux/amd64, got etcd-server" in problems(dump_lock(doubled, "etcd"))


@pytest.mark.parametrize(
    ("definition", "platforms", "said"),
    [
        (DEBIAN, (AMD64, ARM64), []),
        (dataclasses.replace(DEBIAN, packages=DEBIAN.packages[::-1]), (ARM64, AMD64), []),
        (dataclasses.replace(DEBIAN, omit=(("adduser", "another reason"),)), (AMD64, ARM64), []),
        (dataclasses.replace(DEBIAN, packages=("etcd-server",)), (AMD64, ARM64), ["roots"]),
        (dataclasses.replace(DEBIAN, omit=()), (AMD64, ARM64), ["omit"]),
        (dataclasses.replace(DEBIAN, suites=("trixie",)), (AMD64,), ["suites", "packages"]),
    ],
)
def test_a_lock_of_another_definition_is_told(
    definition: Debian, platforms: tuple[Platform, ...], said: list[str]
) -> None:
    assert [problem.key for problem in disagreements(LOCK, definition, platforms, FILE)] == said


def test_what_differs_between_platforms_is_named() -> None:
    assert list(differing_versions(LOCK)) == []
    lock = make_lock(DEBIAN, INDEXES, {AMD64: [pin("a1"), pin("b1")], ARM64: [pin("a1", "1:1.2-3+b2"), pin("b1")]})
    assert list(differing_versions(lock)) == ["a1: 1:1.2-3+b1 on linux/amd64, 1:1.2-3+b2 on linux/arm64"]


def test_the_list_of_a_platform_is_read_back() -> None:
    pins = LOCK.pins(AMD64)
    assert parse_pins(dump_pins(pins)) == pins
    assert LOCK.pins(Platform("linux", "arm")) == ()


@pytest.mark.parametrize("text", [b"{}\n", b"{name: 1}\n", b"\n", b"nonsense\n", dump_pins([pin("a1")])[:-20]])
def test_what_is_no_list_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a list of packages"):
        parse_pins(text)
