"""What is read of a Release file, and what is refused as one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from procession_tasks.debian.release import parse_release
from procession_tasks.errors import BuildError

BAD_DATE = "must be a Release file: a date must be one such as Sat, 11 Jul 2026 10:16:37 UTC"
DIGEST = "0123456789abcdef" * 4
RELEASE = f"""\
Origin: Debian
Suite: oldstable
Codename: bookworm
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Acquire-By-Hash: yes
MD5Sum:
 0ed6d4c8891eb86358b94bb35d9e4da4  1484322 contrib/Contents-all
SHA256:
 {DIGEST} 50060337 main/binary-amd64/Packages
 {DIGEST.upper()}        9 main/binary-amd64/Packages.xz
"""


def test_a_release_is_what_its_file_says() -> None:
    release = parse_release(RELEASE, "InRelease")

    assert (release.suite, release.codename, release.by_hash) == ("oldstable", "bookworm", True)
    assert release.date == datetime(2026, 7, 11, 10, 16, 37, tzinfo=UTC)
    assert release.valid_until == release.date + timedelta(days=7)
    assert release.stamp == "20260711T101637Z"
    assert release.files == {
        "main/binary-amd64/Packages": (DIGEST, 50060337),
        "main/binary-amd64/Packages.xz": (DIGEST, 9),
    }


def test_what_need_not_be_there_may_be_missing() -> None:
    release = parse_release(f"Date: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n {DIGEST} 0 a\n", "InRelease")

    assert (release.suite, release.codename, release.by_hash, release.valid_until) == ("", "", False, None)
    assert not release.is_expired(datetime.max.replace(tzinfo=UTC))


def test_a_release_expires_after_its_last_second() -> None:
    release = parse_release(RELEASE, "InRelease")
    last = datetime(2026, 7, 18, 10, 16, 37, tzinfo=UTC)

    assert not release.is_expired(last)
    assert release.is_expired(last + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("date", "stamp"),
    [
        ("Sat, 11 Jul 2026 10:16:37 UTC", "20260711T101637Z"),
        ("Sat, 11 Jul 2026 10:16:37 +0000", "20260711T101637Z"),
        ("Sat, 11 Jul 2026 10:16:37 -0000", "20260711T101637Z"),
        ("Sat, 11 Jul 2026 12:16:37 +0200", "20260711T101637Z"),
        ("Sat, 11 Jul 2026 10:16:37 GMT", "20260711T101637Z"),
        ("11 Jul 2026 10:16:37 UTC", "20260711T101637Z"),
    ],
)
def test_a_date_is_told_in_utc(date: str, stamp: str) -> None:
    assert parse_release(RELEASE.replace("Sat, 11 Jul 2026 10:16:37 UTC", date), "InRelease").stamp == stamp


@pytest.mark.parametrize("entry", [f"{DIGEST} 1 a", f"  {DIGEST}\t1\t\ta "])
def test_white_space_between_the_parts_of_an_entry_is_free(entry: str) -> None:
    assert parse_release(f"Date: 11 Jul 2026 10:16:37\nSHA256:\n {entry}\n", "x").files == {"a": (DIGEST, 1)}


def without(field: str) -> str:
    return "".join(line for line in RELEASE.splitlines(keepends=True) if not line.startswith(field))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (without("Date"), "must have the field Date"),
        (RELEASE.replace("SHA256:", "SHA512:"), "must have the field SHA256"),
        ("", "must be a Release file: line 1 must be a field such as Version: 1.0, got ''"),
        (
            "<html>\n",
            "must be a Release file: line 1 must be a field such as Version: 1.0, got '<html>'",
        ),
        (f"{RELEASE}Date: 1\n", "must be a Release file: line 12 must not repeat a field, got Date"),
        (
            RELEASE.replace("11 Jul 2026", "32 Jul 2026"),
            f"{BAD_DATE}, got 'Sat, 32 Jul 2026 10:16:37 UTC'",
        ),
        (
            RELEASE.replace("11 Jul 2026", "11 Jul 99999999999999999999"),
            f"{BAD_DATE}, got 'Sat, 11 Jul 99999999999999999999 10:16:37 UTC'",
        ),
        (
            RELEASE.replace("Sat, 18 Jul 2026", "soon"),
            f"{BAD_DATE}, got 'soon 10:16:37 UTC'",
        ),
        *(
            (
                RELEASE.replace(f"{DIGEST} 50060337 main/binary-amd64/Packages\n", f"{entry}\n"),
                f"must be a Release file: under SHA256 must be digest, size and path, got {entry!r}",
            )
            for entry in (
                DIGEST,
                f"{DIGEST} 1",
                f"{DIGEST[:-1]} 1 a",
                f"{DIGEST}0 1 a",
                f"{'../' * 21}a 1 a",
                f"{DIGEST} -1 a",
                f"{DIGEST} 1.5 a",
                f"{DIGEST} ² a",
                f"{DIGEST} {'9' * 16} a",
                f"{DIGEST} 1 a b",
            )
        ),
    ],
)
def test_what_is_no_release_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(BuildError) as refused:
        parse_release(text, "debian/dists/bookworm/InRelease")

    assert str(refused.value) == f"debian/dists/bookworm/InRelease: {message}"
