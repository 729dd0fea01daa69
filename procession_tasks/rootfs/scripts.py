"""Sees that what maintainer scripts would do on a first installation is done, declared or not needed.

No script is run.  Each is followed along every way it may take in the finished image, and every
command on these ways must be known.  Source: Debian Policy 6.5.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from procession_tasks.debian.contents import Contents
from procession_tasks.debian.pin import Pin
from procession_tasks.rootfs.effect import Effect
from procession_tasks.rootfs.effects import effects
from procession_tasks.rootfs.ground import Ground
from procession_tasks.rootfs.shell.commands import Call
from procession_tasks.rootfs.shell.conditions import UNKNOWN
from procession_tasks.rootfs.shell.follow import follow
from procession_tasks.rootfs.shell.tree import UnreadableError
from procession_tasks.rootfs.waivers import Finding

_SHELL = re.compile(r"#! ?(/usr)?/bin/(env )?(ba|da)?sh\b")
_INTEREST = re.compile(r"^interest(?:-noawait|-await)?\s+(\S+)", re.MULTILINE)
_WIDTH = 120


@dataclass(frozen=True, slots=True)
class _Deed:
    """What a script would do and nobody declared: the command's name, what is told of it, a way out."""

    command: str
    told: str
    hint: str


def undeclared_effects(packages: Sequence[tuple[Pin, Contents]], ground: Ground) -> Iterator[Finding]:
    """Find what scripts would do and nobody declared, by package and command."""
    for pin, contents in packages:
        by_command: dict[str, list[_Deed]] = {}
        for name, text, arguments in _runs(contents):
            for deed in _deeds(pin, name, text, arguments, ground):
                by_command.setdefault(deed.command, []).append(deed)
        for command, deeds in by_command.items():
            told = "; ".join(dict.fromkeys(deed.told for deed in deeds))
            message = f"{pin.name} {pin.version}: a script must do nothing that is not declared, got {told}"
            hint = " and ".join(dict.fromkeys(deed.hint for deed in deeds))
            yield Finding("script", f"{pin.name} {command}", message, hint)


def _runs(contents: Contents) -> Iterator[tuple[str, str, list[str]]]:
    """List what dpkg and debconf run on a first installation, with the arguments."""
    scripts = dict(contents.scripts)
    for name, arguments in (("preinst", ["install"]), ("config", ["configure", ""]), ("postinst", ["configure", ""])):
        if name in scripts:
            yield name, scripts[name], arguments
    if "postinst" in scripts:
        for trigger in _INTEREST.findall(scripts.get("triggers", "")):
            yield "postinst", scripts["postinst"], ["triggered", trigger]


def _deeds(pin: Pin, name: str, text: str, arguments: list[str], ground: Ground) -> Iterator[_Deed]:
    environment = {
        "DPKG_ROOT": "",
        "DPKG_MAINTSCRIPT_NAME": name,
        "DPKG_MAINTSCRIPT_PACKAGE": pin.name,
        "DPKG_MAINTSCRIPT_ARCH": pin.architecture,
    }
    try:
        if not _SHELL.match(text):
            raise UnreadableError("must be a shell script to be followed")
        calls = follow(text, arguments, environment, ground.type_at)
    except UnreadableError as error:
        yield _Deed(name, f"{name}, which cannot be followed: {error}", "declare what it does")
        return
    for call, unmet in _unmet(calls, ground):
        known = "" if unmet else ", a command that is not known"
        told = f"{_spelled(call)!r} in line {call.line} of {name}{known}"
        hint = _hint(unmet, ground) if unmet else "declare what it does"
        yield _Deed(posixpath.basename(call.argv[0]).replace(UNKNOWN, "?"), told, hint)


def _unmet(calls: Sequence[Call], ground: Ground) -> list[tuple[Call, list[Effect]]]:
    """Choose the commands whose effects are neither there nor declared nor needless, with these effects.

    A command that is not known comes without any.
    """
    chosen: list[tuple[Call, list[Effect]]] = []
    for call in calls:
        found = effects(call)
        if found is None:
            chosen.append((call, []))
            continue
        # What a script makes and then moves or removes itself is not there in the end.
        gone = {effect.name for effect in found if effect.kind == "removed"}
        chosen = [(one, of) for one, of in chosen if not of or not {effect.name for effect in of} <= gone]
        if unmet := [effect for effect in found if not ground.has(effect)]:
            chosen.append((call, unmet))
    return chosen


def _spelled(call: Call) -> str:
    """Spell a command with what is known of its arguments."""
    writes = [f"> {path}" for path in call.writes if not path.startswith("/dev/")]
    text = " ".join([*call.argv, *writes]).replace(UNKNOWN, "…")
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]}…"


def _hint(unmet: Sequence[Effect], ground: Ground) -> str:
    """Say what would declare the first of the effects."""
    effect = unmet[0]
    if UNKNOWN in effect.name or effect.kind == "other":
        return "declare what it does"
    path = f"/{ground.place(effect.name)}"
    kind = ground.type_at(path, follow=True) or "directory"
    declared = f"add {{path: {path}, type: {kind}, mode: …, uid: …, gid: …}} to paths"
    linked = f"add {{path: {path}, type: symlink, target: {effect.detail}}} to paths"
    hints = {
        "user": f"add {{name: {effect.name}, uid: …, gid: …}} to accounts.users",
        "group": f"add {{name: {effect.name}, gid: …}} to accounts.groups",
        "member": f"add {effect.name} to the members of {effect.detail} under accounts.groups",
        "link": linked,
        "alternative": linked,
        "written": f"put {path} into rootfs/",
        "present": f"put {path} into rootfs/",
        "removed": f"add {path[1:]} to prune",
        "emptied": f"add {path[1:]} to prune",
    }
    return hints.get(effect.kind, declared)
