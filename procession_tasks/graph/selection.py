"""Which tasks a command line can lead to, so that no other is made and no other definition read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextvars import ContextVar

# The stages that nothing else depends on; they are made when they are asked for.
_ENDS = frozenset(["release", "validate", "verify", "lock", "outdated", "sizes", "push", "run"])
# What some of them alone depend on, beside who asks for it by name.
_USERS = {"index-oci": frozenset(["release", "push"]), "archive-oci": frozenset(["release", "run"])}
_OF_ALL_PLATFORMS = frozenset(["release", "push", "index-oci"])
_GATHERING = frozenset(["go-inputs", "go-compile", "fetch-packages", "inject-binary", "inject-packages"])
_PACKING = frozenset(["check-size", "pack-aci", "pack-oci", "index-oci", "archive-oci", "build", "release"])
_MAKING = _GATHERING | _PACKING
# The stages that are about the locks, and so need none.
_LOCKING = frozenset(["lock", "outdated"])
_TASK = re.compile(r"(?P<stage>[a-z][a-z-]*)(:(?P<image>[^/@*:]+)(/[^@*:]+)?(?P<platform>@[a-z0-9-]+)?)?")

_images: ContextVar[frozenset[str] | None] = ContextVar("images", default=None)
_stages: ContextVar[frozenset[str] | None] = ContextVar("stages", default=None)
_is_of_usual: ContextVar[bool] = ContextVar("is_of_usual", default=False)


def is_plain(word: str) -> bool:
    """Tell whether a word of the command line is a task of a stage, or a whole stage."""
    return _TASK.fullmatch(word) is not None


def is_stage(word: str) -> bool:
    """Tell whether a word is a stage that makes files, or a task of one; anything else may be an image."""
    match = _TASK.fullmatch(word)
    return match is not None and match["stage"] in _MAKING


def is_plain_build(words: Sequence[str]) -> bool:
    """Tell whether a command line names tasks that make files, and nothing else."""
    matches = [_TASK.fullmatch(word) for word in words]
    return all(match and match["stage"] in _MAKING for match in matches)


def is_only_a_check(words: Sequence[str]) -> bool:
    """Tell whether a command line only checks definitions, which needs and leaves no state."""
    return all(word.partition(":")[0] == "validate" for word in words)


def select(words: Sequence[str]) -> None:
    """Note the tasks that a command line names; without any it means `build`.

    A word that is no plain task, such as a file or a pattern, can lead to everything.
    """
    matches = [_TASK.fullmatch(word) for word in words or ("build",)]
    plain = [match for match in matches if match]
    if len(plain) < len(matches):
        return
    stages = frozenset(match["stage"] for match in plain)
    _stages.set(stages)
    _is_of_usual.set(stages.isdisjoint(_OF_ALL_PLATFORMS) and not any(match["platform"] for match in plain))
    images = frozenset(match["image"] or "" for match in plain)
    _images.set(None if "" in images else images)


def built(words: Sequence[str]) -> list[str]:
    """Name the tasks that words mean where images are spoken of: an image stands for its `build`."""
    return [word if {*word} & {*":/"} or word in _MAKING | _ENDS else f"build:{word}" for word in words]


def selected() -> frozenset[str] | None:
    """Return the names of the images asked for, or None for all."""
    return _images.get()


def is_about_locks() -> bool:
    """Tell whether only locks were asked for: they may be missing, or of another definition."""
    stages = _stages.get()
    return stages is not None and stages <= _LOCKING


def may_need(stage: str) -> bool:
    """Tell whether the tasks of a stage can be part of what was asked for."""
    stages = _stages.get()
    if stages is None or stage in stages:
        return True
    return not stages.isdisjoint(_USERS[stage]) if stage in _USERS else stage not in _ENDS


def is_of_usual_platform() -> bool:
    """Tell whether no image is asked for on another platform than its usual one."""
    return _is_of_usual.get()


def is_asked(stage: str) -> bool:
    """Tell whether the command line names a stage."""
    return stage in (_stages.get() or ())
