"""The bundle of certificates is the one that Debian's own tool would make."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.rootfs.certificates import BUNDLE, certificate_bundle
from procession_tasks.rootfs.content import Range
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.tree import Entry

SHARED, LOCAL = "usr/share/ca-certificates", "usr/local/share/ca-certificates"


def source(path: str, content: Any, owner: str = "ca-certificates") -> Source:
    return Source(Entry(path, "file", 0o644), f"{owner}: /{path}", content, owner)


def bundle(files: dict[str, bytes]) -> bytes | None:
    made = certificate_bundle({path: source(path, content) for path, content in files.items()})
    return None if made is None else made.content  # type: ignore[return-value]


def test_an_image_without_certificates_has_no_bundle() -> None:
    assert bundle({"usr/share/ca-certificates/README": b"", "etc/x.crt": b"x"}) is None


def test_a_bundle_of_the_definition_stays() -> None:
    assert bundle({f"{SHARED}/a.crt": b"a", BUNDLE: b"mine"}) is None


def test_certificates_are_sorted_and_each_ends_its_line() -> None:
    files = {
        f"{SHARED}/b/z.crt": b"1\n",
        f"{SHARED}/b/A.crt": b"2",
        f"{SHARED}/a.crt": b"3\n\n",
        f"{SHARED}/empty.crt": b"",
    }
    assert bundle(files) == b"3\n\n2\n1\n"


def test_those_of_the_definition_come_last() -> None:
    assert bundle({f"{LOCAL}/a.crt": b"team", f"{SHARED}/z.crt": b"z"}) == b"z\nteam\n"


def test_a_certificate_that_is_not_what_was_unpacked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"evil")
    path = f"{SHARED}/a.crt"
    with pytest.raises(
        BuildError, match=r"^ca-certificates: /usr/share/ca-certificates/a.crt: must be what was unpacked"
    ):
        certificate_bundle({path: source(path, Range(tmp_path / "data", 0, 4, "0" * 64))})


def test_debian_makes_the_same(tmp_path: Path, judge: Callable[[str], str]) -> None:
    names = [
        "mozilla/B.crt",
        "mozilla/a.crt",
        "mozilla/Caf\u00e9.crt",
        "A_b.crt",
        "A-c.crt",
        "A/x.crt",
        "mozilla/e.crt",
    ]
    files = {f"{SHARED}/{name}": f"cert {name}{number % 2 * chr(10)}".encode() for number, name in enumerate(names)}
    files |= {f"{LOCAL}/z.crt": b"local z", f"{LOCAL}/a/b.crt": b"local a\n"}
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    (tmp_path / "etc").mkdir()
    (tmp_path / "conf").write_text("".join(f"{name}\n" for name in sorted(names)))  # as the package's script writes it
    command = [
        judge("update-ca-certificates"),
        *("--certsconf", tmp_path / "conf", "--certsdir", tmp_path / SHARED, "--localcertsdir", tmp_path / LOCAL),
        *("--etccertsdir", tmp_path / "etc", "--hooksdir", ""),
    ]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    assert bundle(files) == (tmp_path / "etc/ca-certificates.crt").read_bytes()
