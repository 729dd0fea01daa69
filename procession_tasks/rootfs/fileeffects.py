"""Says what commands on files would do.  Pure.

Source: the manual pages of coreutils, findutils and sed; update-alternatives(1), dpkg-statoverride(1), ucf(1).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

from procession_tasks.rootfs.effect import Effect, absolute, arguments, first
from procession_tasks.rootfs.shell.commands import Call

_AWK_WRITES = re.compile(r"""\bsystem\s*\(|\bprintf?\b[^;}\n]*[>|]\s*["(]""")
_WRITING = {"-exec", "-execdir", "-ok", "-okdir", "-delete", "-fprint", "-fprint0", "-fprintf", "-fls"}


def _mkdir(call: Call) -> Iterator[Effect]:
    options, folders = arguments(call, "-m --mode")
    for folder in folders:
        yield Effect("folder", absolute(folder, call))
        yield from _given(options, absolute(folder, call))


def _given(options: dict[str, str], path: str) -> Iterator[Effect]:
    """Say what options of mkdir and install make of a path's owner and mode."""
    owner, group = first(options, "-o", "--owner"), first(options, "-g", "--group")
    if owner or group:
        yield Effect("owner", path, f"{owner}:{group}")
    if mode := first(options, "-m", "--mode"):
        yield Effect("mode", path, mode)


def _install(call: Call) -> Iterator[Effect]:
    options, rest = arguments(call, "-m --mode -o --owner -g --group -t --target-directory -S --suffix")
    if "-d" in options or "--directory" in options:
        for folder in rest:
            yield Effect("folder", absolute(folder, call))
            yield from _given(options, absolute(folder, call))
    else:
        yield from _copied(options, rest, call)
        for path in rest[1:]:
            yield from _given(options, absolute(path, call))


def _copied(options: dict[str, str], rest: list[str], call: Call) -> Iterator[Effect]:
    folder = first(options, "-t", "--target-directory")
    sources, target = (rest, folder) if folder else (rest[:-1], rest[-1] if rest else "")
    for source in sources:
        yield Effect("written", absolute(target, call), posixpath.basename(source))


def _cp(call: Call) -> Iterator[Effect]:
    return _copied(*arguments(call, "-t --target-directory -S --suffix"), call)


def _mv(call: Call) -> Iterator[Effect]:
    options, rest = arguments(call, "-t --target-directory -S --suffix")
    moved = rest if first(options, "-t", "--target-directory") else rest[:-1]
    yield from (Effect("removed", absolute(path, call)) for path in moved)
    yield from _copied(options, rest, call)


def _ln(call: Call) -> Iterator[Effect]:
    options, rest = arguments(call, "-t --target-directory -S --suffix")
    if "-s" not in options and "--symbolic" not in options:
        yield from _copied(options, rest, call)
    elif len(rest) == 1:
        yield Effect("link", absolute(posixpath.basename(rest[0]), call), rest[0])
    else:
        yield from (Effect("link", absolute(rest[-1], call), text) for text in rest[:-1])


def _rm(call: Call) -> Iterator[Effect]:
    return (Effect("removed", absolute(path, call)) for path in arguments(call, "")[1])


def _rmdir(call: Call) -> Iterator[Effect]:
    return (Effect("emptied", absolute(path, call)) for path in arguments(call, "")[1])


def _touch(call: Call) -> Iterator[Effect]:
    return (Effect("present", absolute(path, call)) for path in arguments(call, "-d --date -r --reference -t")[1])


def _owners(call: Call) -> Iterator[Effect]:
    """Say what chown, chgrp and chmod do."""
    name = posixpath.basename(call.argv[0])
    options, rest = arguments(call, "--from")
    is_first = "--reference" not in options and not {"-r", "-w", "-x", "-s", "-t"} & options.keys()
    detail = rest[0] if is_first and rest else "?"
    recursive = "-R" in options or "--recursive" in options
    for path in rest[1:] if is_first else rest:
        if name == "chmod":
            yield Effect("mode", absolute(path, call), detail, recursive)
        else:
            yield Effect("owner", absolute(path, call), f":{detail}" if name == "chgrp" else detail, recursive)


def _alternatives(call: Call) -> Iterator[Effect]:
    """Say which links are made; an alternative whose file is not in the image makes none."""
    words = call.argv
    for place, word in enumerate(words):
        if word in ("--install", "--slave") and len(words) > place + 3:
            yield Effect("alternative", words[place + 1], words[place + 3])


def _statoverride(call: Call) -> Iterator[Effect]:
    rest = arguments(call, "")[1]
    if "--add" in call.argv and len(rest) == len(("user", "group", "mode", "path")):
        yield Effect("owner", rest[3], f"{rest[0]}:{rest[1]}")
        yield Effect("mode", rest[3], rest[2])
    else:
        yield Effect("other")


def _ucf(call: Call) -> Iterator[Effect]:
    options, rest = arguments(call, "--sum-file --src-dir --state-dir")
    if not {"-p", "--purge"} & options.keys():
        yield from (Effect("written", absolute(path, call)) for path in rest[1:2])


def _sed(call: Call) -> Iterator[Effect]:
    options, rest = arguments(call, "-e --expression -f --file -l --line-length")
    if "-i" in options or "--in-place" in options:
        has_script = {"-e", "--expression", "-f", "--file"} & options.keys()
        yield from (Effect("written", absolute(path, call)) for path in rest[0 if has_script else 1 :])


def _find(call: Call) -> Iterator[Effect]:
    if _WRITING & {*call.argv}:
        yield Effect("other")


def _awk(call: Call) -> Iterator[Effect]:
    if any(_AWK_WRITES.search(word) for word in call.argv[1:]):
        yield Effect("other")


def _sort(call: Call) -> Iterator[Effect]:
    options, _ = arguments(call, "-o --output -k --key -t --field-separator -S -T")
    if path := first(options, "-o", "--output"):
        yield Effect("written", absolute(path, call))


def _written(call: Call) -> Iterator[Effect]:
    return (Effect("written", absolute(path, call)) for path in arguments(call, "")[1])


ON_FILES: dict[str, Callable[[Call], Iterator[Effect]]] = {
    "mkdir": _mkdir,
    "install": _install,
    "cp": _cp,
    "mv": _mv,
    "ln": _ln,
    **dict.fromkeys(("rm", "unlink"), _rm),
    "rmdir": _rmdir,
    "touch": _touch,
    **dict.fromkeys(("chown", "chgrp", "chmod"), _owners),
    "tee": _written,
    "sed": _sed,
    "find": _find,
    **dict.fromkeys(("awk", "gawk", "mawk"), _awk),
    "sort": _sort,
    "update-alternatives": _alternatives,
    "dpkg-statoverride": _statoverride,
    "ucf": _ucf,
}
