"""Which numbers the user of an image has."""

from __future__ import annotations

import pytest

from procession_tasks.rootfs.tree import Entry
from procession_tasks.rootfs.user import UnknownAccountError, numbers

PASSWD = "root:x:0:0::/root:/bin/sh\napi:x:65532:65533::/:/usr/sbin/nologin\n"
GROUPS = "root:x:0:\napi:x:65533:\n"
ENTRIES = (Entry("srv", "directory", 0o755, 901, 902),)


@pytest.mark.parametrize(
    ("user", "group", "expected"),
    [
        ("api", "api", (65532, 65533)),
        ("0", "0", (0, 0)),
        ("1000", "api", (1000, 65533)),
        ("/srv", "/srv", (901, 902)),
        ("root", "/srv", (0, 902)),
    ],
)
def test_a_user_is_a_name_a_number_or_the_owner_of_a_path(user: str, group: str, expected: tuple[int, int]) -> None:
    assert numbers(user, group, ENTRIES, PASSWD, GROUPS) == expected


@pytest.mark.parametrize(
    ("user", "group", "key", "hint"),
    [("apo", "api", "user", "did you mean api?"), ("api", "nobody", "group", None), ("/nowhere", "api", "user", None)],
)
def test_an_account_that_is_not_there_is_told(user: str, group: str, key: str, hint: str | None) -> None:
    with pytest.raises(UnknownAccountError) as caught:
        numbers(user, group, ENTRIES, PASSWD, GROUPS)
    assert (caught.value.key, caught.value.hint) == (key, hint)
    assert caught.value.got == repr(user if key == "user" else group)
    file = "passwd" if key == "user" else "group"
    assert str(caught.value) == f"must be a number, a path of the image or a name in its /etc/{file}"


def test_an_image_without_account_files_has_numbers_only() -> None:
    assert numbers("5", "6", (), "", "") == (5, 6)
    with pytest.raises(UnknownAccountError):
        numbers("root", "root", (), "", "")


def test_lines_that_are_no_accounts_are_passed_over() -> None:
    assert numbers("a", "b", (), "\n# a:x:1\na:x:y:0\na:x:7:8::/:/bin/sh\n", "b\nb:x:\nb:x:9:\n") == (7, 9)
