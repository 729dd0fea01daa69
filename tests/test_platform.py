"""The platforms images are built for, in Go's names and in those of appc."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from procession_tasks import platform
from procession_tasks.platform import Platform


@pytest.mark.parametrize("text", platform.known())
def test_a_known_platform_is_read_and_written_alike(text: str) -> None:
    read = Platform.parse(text)
    assert str(read) == text
    assert read.slug == text.replace("/", "-")


@pytest.mark.parametrize(
    "text",
    ["", "linux", "linux/", "/amd64", "linux/x86_64", "Linux/amd64", "linux/amd64/v3", " linux/amd64", "windows/amd64"],
)
def test_any_other_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=rf"^{text}$"):
        Platform.parse(text)


def test_appc_has_names_of_its_own() -> None:
    names = {text: dict(Platform.parse(text).appc_labels)["arch"] for text in platform.known()}
    assert names == {
        "linux/386": "i386",
        "linux/amd64": "amd64",
        "linux/arm": "armv7l",
        "linux/arm64": "aarch64",
        "linux/ppc64": "ppc64",
        "linux/ppc64le": "ppc64le",
        "linux/s390x": "s390x",
    }


@pytest.mark.parametrize(
    ("machine", "expected"),
    [("x86_64", "linux/amd64"), ("aarch64", "linux/arm64"), ("i686", "linux/386"), ("riscv64", "linux/riscv64")],
)
def test_the_host_is_named_as_go_names_it(monkeypatch: pytest.MonkeyPatch, machine: str, expected: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    assert str(platform.host()) == expected


def test_platforms_sort_by_name() -> None:
    assert list(platform.known()) == sorted(platform.known())
    assert sorted(map(Platform.parse, reversed(platform.known()))) == list(map(Platform.parse, platform.known()))
