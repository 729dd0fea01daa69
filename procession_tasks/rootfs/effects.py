"""Says what a command of a maintainer script would do to the image.  Pure.

A command that is in no table is not known, which is not the same as harmless.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator

from procession_tasks.rootfs.accounteffects import ON_ACCOUNTS
from procession_tasks.rootfs.effect import Effect, absolute
from procession_tasks.rootfs.fileeffects import ON_FILES
from procession_tasks.rootfs.shell.commands import Call

# Each with the reason why it leaves nothing behind that an image would need.
_HARMLESS = {
    "only reads, prints or computes": """
        [ alias base64 basename cat cksum cmp cut date df diff dirname dpkg-query echo egrep expr fgrep
        getcap getent getopt grep head hostname id ischroot kill locale logger ls md5sum mktemp mountpoint nproc
        od pgrep pidof printf ps pwd readlink realpath runlevel seq sha256sum sleep stat tail test tr tty type
        ulimit umask uname uniq wait wc which""",
    "there is no init system in an image": """
        busctl deb-systemd-helper deb-systemd-invoke invoke-rc.d journalctl loginctl rc-update runit-helper service
        systemctl systemd systemd-machine-id-setup telinit udevadm update-inetd update-rc.d""",
    "acts on upgrades only": "dpkg-maintscript-helper",
    "keeps the state of dpkg, debconf or ucf; what a trigger does is seen in the script that it triggers": """
        dpkg-trigger ucfr""",
    "caches what is found without it, too": """
        fc-cache gio-querymodules gtk-update-icon-cache ldconfig mandb py3clean py3compile pyclean pycompile
        update-desktop-database update-initramfs update-mime-database""",
    "serves people at a terminal or desktop": "add-shell install-info remove-shell update-info-dir update-menus "
    "update-shells",
    "merges /usr, which the image has done": "convert-etc-shells convert-usrmerge",
    "labels or confines for the kernel of a host": "aa-enabled aa-status apparmor_parser restorecon selinuxenabled",
}
_NONE = frozenset(name for names in _HARMLESS.values() for name in names.split())
_QUERIES = {
    "dpkg": "--compare-versions --print-architecture --status -s --list -l --listfiles -L --search -S --show -W"
    " --verify -V --assert-multi-arch --get-selections",
    "dpkg-divert": "--list --listpackage --truename",
    "dpkg-statoverride": "--list",
    "update-alternatives": "--query --display --list --get-selections",
}
# These do something with some arguments only; any other command that does nothing was not understood.
_OFTEN_HARMLESS = frozenset(
    [".", "awk", "dpkg-divert", "find", "gawk", "mawk", "perl", "sed", "sort", "ucf", "update-alternatives"]
)
_DEBCONF = "/usr/share/debconf/confmodule"  # after which db_… ask questions


def effects(call: Call) -> list[Effect] | None:
    """List what a command would do; None for a command that is not known."""
    name = posixpath.basename(call.argv[0])
    written = [Effect("written", absolute(path, call)) for path in call.writes]
    if name in _NONE or name == ">" or name.startswith("db_"):
        return written
    if not {*_QUERIES.get(name, "").split()}.isdisjoint(call.argv):
        return written
    handler = _HANDLERS.get(name)
    if handler is None:
        return None
    found = [*handler(call)]
    return [*found, *written] if found or name in _OFTEN_HARMLESS else [Effect("other")]


def _dpkg(_: Call) -> Iterator[Effect]:
    yield Effect("other")


def _diverted(call: Call) -> Iterator[Effect]:
    """Say what dpkg-divert does; what keeps dpkg from undoing merged /usr is no concern of an image."""
    if not any(word.endswith(".usr-is-merged") for word in call.argv):
        yield Effect("other")


def _source(call: Call) -> Iterator[Effect]:
    if call.argv[1:2] != (_DEBCONF,):
        yield Effect("other")


def _perl(call: Call) -> Iterator[Effect]:
    if call.argv[1:] != ("-e", ""):  # which sees whether perl is there
        yield Effect("other")


def _certificates(_: Call) -> Iterator[Effect]:
    yield Effect("present", "/etc/ssl/certs/ca-certificates.crt")


_HANDLERS: dict[str, Callable[[Call], Iterator[Effect]]] = {
    **ON_FILES,
    **ON_ACCOUNTS,
    ".": _source,
    "dpkg": _dpkg,
    "dpkg-divert": _diverted,
    "perl": _perl,
    "update-ca-certificates": _certificates,
}
