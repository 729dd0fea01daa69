"""What a .deb holds, as read from it and kept in the store: values only.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Type = Literal["directory", "file", "symlink", "hardlink"]


@dataclass(frozen=True, slots=True)
class Elf:
    """What the dynamic linker reads of a program or library: ELF machine number, SONAME, NEEDED, RUNPATH.

    `runpath` is split at colons, ``$ORIGIN`` still in it; it is DT_RUNPATH, or DT_RPATH without one.
    """

    machine: int
    soname: str
    needed: tuple[str, ...]
    runpath: tuple[str, ...]
    interpreter: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """One path of a package's data archive.

    `path` has no leading ``./`` or slash and no ``.`` or ``..`` part; the root itself is left
    out.  `link` is a symlink's text, or the path (as above) of the file a hard link repeats.
    `offset` is where a file's content begins in `Contents.data`; `sha256` is lower-case hex,
    empty for other types.
    """

    path: str
    type: Type
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    offset: int = 0
    sha256: str = ""
    link: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    elf: Elf | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """A whole package: control information, maintainer scripts, members in archive order.

    `control` is the stanza of the control file as it stands; `scripts` are pairs of name
    (``preinst``, ``postinst``, ``prerm``, ``postrm``, ``config``, ``triggers``) and text, sorted; `md5sums` are
    pairs of path and hex digest.  `data` is the file with all files' bytes, uncompressed.
    """

    control: str
    scripts: tuple[tuple[str, str], ...]
    conffiles: tuple[str, ...]
    md5sums: tuple[tuple[str, str], ...]
    members: tuple[Member, ...]
    data: Path
