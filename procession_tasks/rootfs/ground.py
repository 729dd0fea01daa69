"""What maintainer scripts are held against: the finished image, and what its definition declares.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from procession_tasks.rootfs.effect import Effect
from procession_tasks.rootfs.links import destination
from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.prune import expression
from procession_tasks.rootfs.shell.conditions import UNKNOWN

# Paths that scripts make or change, and that a server in an image does without.
_NOT_NEEDED = {
    "made by the container's runtime, or anew at each start": "dev proc run sys tmp var/run var/lock var/tmp "
    "etc/hosts etc/hostname etc/resolv.conf etc/mtab etc/machine-id",
    "folders for administrators and their own software": "usr/local mnt srv opt media etc/opt var/opt boot home "
    "var/mail var/spool/mail",
    "for people who log in": "root etc/profile etc/profile.d etc/motd etc/shells etc/skel etc/environment "
    "etc/update-motd.d etc/inputrc etc/bash.bashrc var/log/wtmp var/log/btmp var/log/lastlog",
    "documentation and its indexes": "usr/share/info usr/share/doc usr/share/man var/cache/man",
    "nothing there means the same: UTC, the usual folders of libraries, no named networks": "etc/localtime "
    "etc/timezone etc/ld.so.cache etc/ld.so.nohwcap etc/networks",
    "read by update-ca-certificates only, whose bundle the image has": "etc/ca-certificates.conf "
    "etc/ca-certificates.conf.dpkg-old",
    "for machines with an init system": "etc/init.d etc/default etc/systemd etc/rc?.d etc/cron.* etc/logrotate.d "
    "var/lib/systemd",
    "for the kernel of a host": "etc/apparmor.d",
    "the state of dpkg and its companions": "etc/dpkg var/lib/dpkg var/lib/ucf var/cache/debconf var/lib/pam",
}
_IS_NOT_NEEDED = re.compile(
    "(?:" + "|".join(expression(path) for paths in _NOT_NEEDED.values() for path in paths.split()) + r")(?:/|\Z)"
)
_OCTAL = re.compile(r"[0-7]{3,4}")
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Ground:
    """An image as it will be.

    `links` has the text of every link by its path, `users` and `groups` the numbers in its
    account files, `members` pairs of user and group.  `declared` are the paths under ``paths``
    and `packages` the names of those whose files the image has.
    """

    sources: Mapping[str, Source]
    links: Mapping[str, str]
    users: Mapping[str, int]
    groups: Mapping[str, int]
    members: frozenset[tuple[str, str]]
    declared: frozenset[str]
    packages: frozenset[str]

    def type_at(self, path: str, follow: bool) -> str | None:  # noqa: FBT001  # as a Lookup is called
        """Tell what is at an absolute path: its type, or None for nothing."""
        source = self.sources.get(self.resolved(path) if follow else self.place(path))
        return None if source is None else source.entry.type

    def resolved(self, path: str) -> str:
        """Return where an absolute path leads."""
        found = destination(path, self.links)
        return path.strip("/") if found is None else found

    def place(self, path: str) -> str:
        """Return where an absolute path is, the last part of which is not followed."""
        parent, _, name = path.rstrip("/").rpartition("/")
        folder = self.resolved(parent)
        return f"{folder}/{name}" if folder else name

    def has(self, effect: Effect) -> bool:
        """Tell whether an effect is there, declared, or one that an image does without."""
        if effect.kind in ("user", "group", "member"):
            return self._has_account(effect)
        if effect.kind == "other":
            return False
        path, resolved = self.place(effect.name), self.resolved(effect.name)
        if _IS_NOT_NEEDED.match(path) or _IS_NOT_NEEDED.match(resolved):
            return True
        if effect.kind in ("owner", "mode"):
            return bool({path, resolved} & self.declared) or self._has_metadata(effect, resolved)
        if effect.kind in ("removed", "emptied"):
            return self._is_gone(effect, path)
        return self._has_path(effect, path, resolved)

    def _has_account(self, effect: Effect) -> bool:
        if effect.kind == "member":
            return (effect.name, effect.detail) in self.members
        return effect.name in (self.users if effect.kind == "user" else self.groups)

    def _has_path(self, effect: Effect, path: str, resolved: str) -> bool:
        source, end = self.sources.get(path), self.sources.get(resolved)
        match effect.kind:
            case "folder":
                return end is not None and end.entry.type == "directory"
            case "written":
                if end is not None and end.entry.type == "directory":
                    end = self.sources.get(f"{resolved}/{effect.detail}")
                return end is not None and not self._is_shipped(end)
            case "link":
                return source is not None and (not self._is_shipped(source) or source.entry.link == effect.detail)
            case "alternative":
                is_there = source is not None and (not self._is_shipped(source) or source.entry.type == "symlink")
                return is_there or self.type_at(effect.detail, follow=True) is None
        return end is not None

    def _is_gone(self, effect: Effect, path: str) -> bool:
        if UNKNOWN in path:
            return False
        if _GLOB.search(path):
            return not any(map(re.compile(expression(path)).fullmatch, self.sources))
        source = self.sources.get(path)
        if source is None or not self._is_shipped(source):
            return True
        return effect.kind == "emptied" and any(below.startswith(f"{path}/") for below in self.sources)

    def _has_metadata(self, effect: Effect, path: str) -> bool:
        """Tell whether a path, and all below it if need be, has an owner or mode; what is not there needs none."""
        if UNKNOWN in path or _GLOB.search(path):
            return False
        paths = [path, *(below for below in self.sources if effect.recursive and below.startswith(f"{path}/"))]
        entries = [self.sources[one].entry for one in paths if one in self.sources]
        if effect.kind == "mode":
            wanted = int(effect.detail, 8) if _OCTAL.fullmatch(effect.detail) else None
            return all(entry.mode == wanted for entry in entries)
        uid, gid = self._numbers(effect.detail)
        return all(uid in ("", entry.uid) and gid in ("", entry.gid) for entry in entries)

    def _numbers(self, owner: str) -> tuple[int | str | None, int | str | None]:
        """Return the numbers of ``user:group``: empty for what is not named, None for what is not known."""
        user, _, group = owner.replace(".", ":").partition(":")
        return _number(user, self.users), _number(group, self.groups)

    def _is_shipped(self, source: Source) -> bool:
        return source.owner in self.packages and source.entry.path not in self.declared


def _number(name: str, known: Mapping[str, int]) -> int | str | None:
    if not name:
        return ""
    return int(name) if name.isdigit() else known.get(name)
