"""The account files of an image, written from what its definition declares.  Pure."""

from __future__ import annotations

from procession_tasks.definition.model import STANDARD_ACCOUNTS, Accounts


def account_files(accounts: Accounts) -> dict[str, bytes]:
    """Render /etc/passwd and /etc/group, by path; nothing is added to what is declared.

    Source: passwd(5), group(5).
    """
    users = [
        f"{user.name}:x:{user.uid}:{user.gid}:{user.comment}:{user.home}:{user.shell}\n" for user in accounts.users
    ]
    groups = [f"{group.name}:x:{group.gid}:{','.join(group.members)}\n" for group in accounts.all_groups]
    files = {"etc/passwd": users, "etc/group": groups}
    return {path: "".join(lines).encode() for path, lines in files.items() if lines}


def with_standard(accounts: Accounts) -> Accounts:
    """Add those accounts that every image of packages has, before the declared ones.

    What is declared wins, by name and by number.
    """
    names, uids = {user.name for user in accounts.users}, {user.uid for user in accounts.users}
    groups, gids = {group.name for group in accounts.all_groups}, {group.gid for group in accounts.groups}
    users = [user for user in STANDARD_ACCOUNTS.users if user.name not in names and user.uid not in uids]
    added = [group for group in STANDARD_ACCOUNTS.groups if group.name not in groups and group.gid not in gids]
    return Accounts((*users, *accounts.users), (*added, *accounts.groups))


def account_numbers(text: str) -> dict[str, int]:
    """Read the names of an account file with their numbers; lines that are none are left out."""
    return {fields[0]: int(fields[2]) for fields in _lines(text)}


def group_members(text: str) -> frozenset[tuple[str, str]]:
    """Read pairs of user and group from the text of /etc/group."""
    return frozenset((member, fields[0]) for fields in _lines(text) for member in fields[3].split(",") if member)


def _lines(text: str) -> list[list[str]]:
    lines = (line.split(":") for line in text.splitlines())
    return [
        fields
        for fields in lines
        if len(fields) >= len(("name", "password", "number", "rest"))
        and fields[2].isascii()  # ² is a digit too
        and fields[2].isdigit()
    ]
