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

from procession_tasks.definition.load import Image
from procession_tasks.definition.manifest import canonical
from procession_tasks.definition.model import Accounts
from procession_tasks.errors import BuildError
from procession_tasks.image.members import Member
from procession_tasks.image.verify import Expected
from procession_tasks.platform import Platform


def expected(image: Image, root: Path, platform: Platform, programs: Mapping[str, Path], date: int) -> Expected:
    """List what the archive of a definition holds on a platform.

    `programs` has the built file of each program's path in the image; `date` is in seconds
    since 1970.  Raises BuildError when a program was not built.
    """
    members = {member.path: member for member in _copied(root / image.folder / "rootfs")}
    members |= {member.path: member for member in _written(image.file.accounts)}
    members |= {place: _program(place, file) for place, file in programs.items()}
    for path in image.file.paths:
        mode = 0o755 if path.mode is None else path.mode
        if path.type == "directory":
            members[path.path] = Member(path.path, "directory", mode, path.uid, path.gid)
        elif path.type == "symlink":
            members[path.path] = Member(path.path, "symlink", 0o777, path.uid, path.gid, link=path.target or "")
        else:
            known = members[path.path]
            mode = known.mode if path.mode is None else path.mode
            members[path.path] = dataclasses.replace(known, mode=mode, uid=path.uid, gid=path.gid)
    for parent in _parents(members):
        members.setdefault(parent, Member(parent, "directory", 0o755))
    return Expected(canonical(image.manifest, dict(platform.appc_labels)), tuple(members.values()), date)


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
