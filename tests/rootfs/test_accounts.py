"""The account files of an image, with and without packages."""

from __future__ import annotations

import pytest

from procession_tasks.definition.model import NO_ACCOUNTS, Accounts, Group, User
from procession_tasks.rootfs.accounts import account_files, account_numbers, group_members, with_standard

ETCD = Accounts((User("etcd", 901, 901, "/var/lib/etcd"),))


def files(accounts: Accounts) -> dict[str, str]:
    return {path: content.decode() for path, content in account_files(with_standard(accounts)).items()}


def test_without_packages_nothing_is_added() -> None:
    assert account_files(NO_ACCOUNTS) == {}
    assert account_files(ETCD) == {
        "etc/passwd": b"etcd:x:901:901::/var/lib/etcd:/usr/sbin/nologin\n",
        "etc/group": b"etcd:x:901:\n",
    }


def test_with_packages_there_are_root_and_nobody() -> None:
    assert files(ETCD) == {
        "etc/passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        "etcd:x:901:901::/var/lib/etcd:/usr/sbin/nologin\n",
        "etc/group": "root:x:0:\nnogroup:x:65534:\netcd:x:901:\n",
    }


@pytest.mark.parametrize(
    ("accounts", "names", "groups"),
    [
        (Accounts((User("root", 0, 0, "/", "/bin/sh"),)), ["nobody", "root"], ["nogroup", "root"]),
        (Accounts((User("toor", 0, 0),)), ["nobody", "toor"], ["root", "nogroup"]),
        (Accounts((User("nobody", 99, 99),)), ["root", "nobody"], ["root", "nogroup", "nobody"]),
        (Accounts((User("app", 1, 65534),)), ["root", "nobody", "app"], ["root", "nogroup"]),
        (Accounts((), (Group("wheel", 0),)), ["root", "nobody"], ["nogroup", "wheel"]),
        (Accounts((), (Group("nogroup", 5),)), ["root", "nobody"], ["root", "nogroup", "nobody"]),
    ],
)
def test_what_is_declared_wins_by_name_and_number(accounts: Accounts, names: list[str], groups: list[str]) -> None:
    found = files(accounts)
    assert [line.split(":")[0] for line in found["etc/passwd"].splitlines()] == names
    assert [line.split(":")[0] for line in found["etc/group"].splitlines()] == groups


def test_account_files_are_read_back() -> None:
    text = "root:x:0:\nadm:x:4:syslog,app\n\n# a comment\nbroken:x\nodd:x:y:z\n"
    assert account_numbers(text) == {"root": 0, "adm": 4}
    assert group_members(text) == {("syslog", "adm"), ("app", "adm")}


def test_a_number_that_is_none_in_a_program_is_left_out() -> None:
    assert account_numbers("a:x:²:0::/:/bin/sh\nb:x:2:0::/:/bin/sh\n") == {"b": 2}
