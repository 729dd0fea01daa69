"""The account files of an image, written from what its definition declares.  Pure."""

from __future__ import annotations

from procession_tasks.definition.model import Accounts


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
