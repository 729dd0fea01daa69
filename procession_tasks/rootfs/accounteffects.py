"""Says what commands on accounts would do.  Pure.

Source: adduser(8); useradd(8), usermod(8), groupadd(8) and chsh(1) of package passwd.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator

from procession_tasks.rootfs.effect import Effect, arguments, first
from procession_tasks.rootfs.shell.commands import Call


def _adduser(call: Call) -> Iterator[Effect]:
    """Say what adduser and addgroup do."""
    options, names = arguments(
        call,
        "--home --shell --uid --gid --ingroup --gecos --comment --conf --firstuid --lastuid --firstgid --lastgid"
        " --add-extra-groups",
    )
    of_group = posixpath.basename(call.argv[0]) == "addgroup"
    only_group = "--group" in options and "--system" not in options
    if len(names) > 1:
        yield Effect("member", names[0], names[1])
    for name in names[:1] if len(names) == 1 else []:
        yield Effect("group" if of_group or only_group else "user", name)
        home = options.get("--home", "")
        if home and home != "/nonexistent" and "--no-create-home" not in options:
            yield Effect("folder", home)


def _useradd(call: Call) -> Iterator[Effect]:
    """Say what the tools of package passwd do with a user, whose name comes last."""
    options, names = arguments(
        call,
        "-b --base-dir -c --comment -d --home-dir --home -e --expiredate -f --inactive -g --gid -G --groups -k --skel"
        " -K --key -l --login -p --password -s --shell -u --uid",
    )
    yield from (Effect("user", name) for name in names[-1:])
    home = first(options, "-d", "--home-dir", "--home")
    if home and ("-m" in options or "--create-home" in options):
        yield Effect("folder", home)


def _groupadd(call: Call) -> Iterator[Effect]:
    return (Effect("group", name) for name in arguments(call, "-g --gid -K --key -p --password")[1][-1:])


ON_ACCOUNTS: dict[str, Callable[[Call], Iterator[Effect]]] = {
    **dict.fromkeys(("adduser", "addgroup"), _adduser),
    **dict.fromkeys(("useradd", "usermod", "chsh", "chfn"), _useradd),
    "groupadd": _groupadd,
}
