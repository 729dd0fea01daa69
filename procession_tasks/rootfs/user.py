"""Finds the numbers of the user that an image runs as.  Pure.

Source: appc specification 0.8.11, "Image Manifest Schema", app.user and app.group.
"""

from __future__ import annotations

from collections.abc import Iterable

from procession_tasks.definition.shape import did_you_mean
from procession_tasks.rootfs.accounts import account_numbers
from procession_tasks.rootfs.tree import Entry


class UnknownAccountError(Exception):
    """An account that an image does not have; `key` is ``user`` or ``group``, the rest makes the message."""

    def __init__(self, key: str, rule: str, got: str, hint: str | None) -> None:
        super().__init__(rule)
        self.key = key
        self.rule = rule
        self.got = got
        self.hint = hint


def numbers(user: str, group: str, entries: Iterable[Entry], passwd: str, groups: str) -> tuple[int, int]:
    """Return uid and gid of what a manifest names: a number, a name, or a path whose owner is meant.

    `passwd` and `groups` are the texts of the image's account files.  Raises UnknownAccountError.
    """
    by_path = {entry.path: entry for entry in entries}
    owner = by_path.get(user.lstrip("/")) if user.startswith("/") else None
    of_group = by_path.get(group.lstrip("/")) if group.startswith("/") else None
    return (
        owner.uid if owner else _number("user", user, account_numbers(passwd), "etc/passwd"),
        of_group.gid if of_group else _number("group", group, account_numbers(groups), "etc/group"),
    )


def _number(key: str, name: str, known: dict[str, int], file: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    if name in known:
        return known[name]
    rule = f"must be a number, a path of the image or a name in its /{file}"
    raise UnknownAccountError(key, rule, repr(name), did_you_mean(name, list(known)))
