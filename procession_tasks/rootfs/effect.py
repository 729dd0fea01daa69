"""What a command would do to an image, and how its arguments are read.  Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Literal

from procession_tasks.rootfs.shell.commands import Call

Kind = Literal[
    "user",
    "group",
    "member",
    "folder",
    "present",
    "written",
    "link",
    "alternative",
    "removed",
    "emptied",
    "owner",
    "mode",
    "other",
]


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that a command would do.

    `name` is an absolute path as it was written, or an account.  `detail` is the text of a link,
    the file of an alternative, ``user:group`` of an owner, a mode, the group of a member, or the
    name of what is copied.
    """

    kind: Kind
    name: str = ""
    detail: str = ""
    recursive: bool = False


def absolute(path: str, call: Call) -> str:
    """Return a path as seen from the folder that a command runs in."""
    return posixpath.join(call.folder, path)


def arguments(call: Call, valued: str) -> tuple[dict[str, str], list[str]]:
    """Split arguments into options and the rest; `valued` names the options that take a value."""
    takes, options, rest = valued.split(), {}, []
    words = list(call.argv[:0:-1])
    while words:
        word = words.pop()
        if word == "--":
            rest += words[::-1]
            break
        if word.startswith("--"):
            option, has_value, value = word.partition("=")
            options[option] = value if has_value else words.pop() if option in takes and words else ""
        elif word.startswith("-") and len(word) > 1:
            for place, letter in enumerate(word[1:], 2):
                options[f"-{letter}"] = ""
                if f"-{letter}" in takes:
                    options[f"-{letter}"] = word[place:] or (words.pop() if words else "")
                    break
        else:
            rest.append(word)
    return options, rest


def first(options: dict[str, str], *names: str) -> str:
    """Return the value of the first of several options that is given."""
    return next((options[name] for name in names if name in options), "")
