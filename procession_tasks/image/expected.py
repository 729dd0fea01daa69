"""Derives what an image must hold from its definition alone, for the verifier.

Says again, in other words, what rootfs/ merges and stages: a mistake there does not pass
because it was made here too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from procession_tasks.definition.load import Image
from procession_tasks.definition.manifest import canonical
from procession_tasks.definition.model import STANDARD_ACCOUNTS, Accounts
from procession_tasks.errors import BuildError
from procession_tasks.image.members import Member
from procession_tasks.image.verify import Expected
from procession_tasks.platform import Platform

if TYPE_CHECKING:
    from procession_tasks.image.expected_packages import Packages


def expected(
    image: Image,
    root: Path,
    platform: Platform,
    programs: Mapping[str, Path],
    date: int,
    packages: Packages | None = None,
) -> Expected:
    """List what the archive of a definition holds on a platform.

    `programs` has the built file of each program's path in the image; `date` is in seconds
    since 1970.  Raises BuildError when a program was not built, or a package is not there.
    """
    rootfs = root / image.folder / "rootfs"
    members = {member.path: member for member in _copied(rootfs)}
    accounts = image.file.accounts if packages is None else _with_standard(image.file.accounts, rootfs)
    members |= {member.path: member for member in _written(accounts)}
    members |= {place: _program(place, file) for place, file in programs.items()}
    if packages is not None:
        members = _over_packages(members, packages, image, rootfs)
    for path in image.file.paths:
        known = members.get(path.path)
        if path.type == "symlink":
            members[path.path] = Member(path.path, "symlink", 0o777, path.uid, path.gid, link=path.target or "")
        elif path.type == "directory":
            mode = path.mode if path.mode is not None else known.mode if known else 0o755
            members[path.path] = Member(path.path, "directory", mode, path.uid, path.gid)
        elif known:
            mode = known.mode if path.mode is None else path.mode
            members[path.path] = dataclasses.replace(known, mode=mode, uid=path.uid, gid=path.gid)
    for parent in _parents(members):
        members.setdefault(parent, Member(parent, "directory", 0o755))
    return Expected(canonical(image.manifest, dict(platform.appc_labels)), tuple(members.values()), date)


def _over_packages(declared: Mapping[str, Member], packages: Packages, image: Image, rootfs: Path) -> dict[str, Member]:
    """Put what a definition brings over what its packages ship, and add what is written from all of it."""
    from procession_tasks.image import expected_packages  # images of programs alone need none of it

    found = expected_packages.shipped(packages)
    members = dict(found.members)
    for path, member in declared.items():
        if member.type != "directory" or path not in members:
            members[path] = member
    symlinks = {path.path for path in image.file.paths if path.type == "symlink"}
    there = {path: member for path, member in members.items() if path not in symlinks}
    added = {
        path: (rootfs / path).read_bytes()
        for path, member in declared.items()
        if expected_packages.is_certificate(path) and member.type == "file"
    }
    for member in expected_packages.made_from(found, there, added):
        members.setdefault(member.path, member)
    expected_packages.linked(found, members)
    return members


def _with_standard(accounts: Accounts, rootfs: Path) -> Accounts:
    """Add root and nobody, which every image of packages has unless it says otherwise."""
    taken = {user.name for user in accounts.users} | {user.uid for user in accounts.users}
    users = [user for user in STANDARD_ACCOUNTS.users if not taken & {user.name, user.uid}]
    taken = {group.name for group in accounts.all_groups} | {group.gid for group in accounts.all_groups}
    groups = [group for group in STANDARD_ACCOUNTS.groups if not taken & {group.name, group.gid}]
    if not accounts.users and (rootfs / "etc/passwd").exists():
        users = []
    if not accounts.all_groups and (rootfs / "etc/group").exists():
        groups = []
    return Accounts((*users, *accounts.users), (*groups, *accounts.groups))


def _copied(rootfs: Path) -> Iterator[Member]:
    for folder, folders, names in os.walk(rootfs):
        for name in (*folders, *names):
            path = Path(folder, name)
            place = os.path.relpath(path, rootfs)
            if path.is_symlink():
                yield Member(place, "symlink", 0o777, link=os.readlink(path))
            elif path.is_dir():
                yield Member(place, "directory", 0o755)
            else:
                yield _file(place, path, 0o755 if os.access(path, os.X_OK) else 0o644)


def _written(accounts: Accounts) -> Iterator[Member]:
    passwd = b"".join(
        b"%s:x:%d:%d:%s:%s:%s\n"
        % (user.name.encode(), user.uid, user.gid, user.comment.encode(), user.home.encode(), user.shell.encode())
        for user in accounts.users
    )
    group = b"".join(
        b"%s:x:%d:%s\n" % (group.name.encode(), group.gid, ",".join(group.members).encode())
        for group in accounts.all_groups
    )
    for place, content in (("etc/passwd", passwd), ("etc/group", group)):
        if content:
            digest = hashlib.sha256(content).hexdigest()
            yield Member(place, "file", 0o644, size=len(content), sha256=digest)


def _program(place: str, file: Path) -> Member:
    try:
        return _file(place, file, 0o755)
    except OSError as error:
        raise BuildError(f"{file}: cannot be read: {error.strerror}", hint="build the image first") from None


def _file(place: str, file: Path, mode: int) -> Member:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Member(place, "file", mode, size=file.stat().st_size, sha256=digest)


def _parents(paths: Iterable[str]) -> set[str]:
    """Collect every folder above the paths, without the root itself."""
    found: set[str] = set()
    for path in paths:
        parent = posixpath.dirname(path)
        while parent:
            found.add(parent)
            parent = posixpath.dirname(parent)
    return found
