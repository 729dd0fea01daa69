"""Which ports of this machine are taken, and by whom."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from procession_tasks.errors import BuildError
from procession_tasks.run.container import Container

_PROC = Path("/proc")
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_LISTENING = {"tcp": "0A", "udp": "07"}


@dataclass(frozen=True, slots=True, order=True)
class Socket:
    """A port of 127.0.0.1."""

    protocol: str
    port: int

    @property
    def is_taken(self) -> bool:
        """Whether somebody listens there."""
        with socket.socket(socket.AF_INET, _KINDS[self.protocol]) as tried:
            if self.protocol == "tcp":  # what only waits for late packets does not count
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", self.port))
            except OSError as error:
                return error.errno == errno.EADDRINUSE
        return False

    def holder(self) -> str:
        """Name the process that listens there, as far as this user may know."""
        inodes = {f"socket:[{inode}]" for inode in self._inodes()}
        for folder in sorted(_PROC.glob("[0-9]*"), key=lambda path: int(path.name)):
            with contextlib.suppress(OSError):
                if any(os.readlink(link) in inodes for link in (folder / "fd").iterdir()):
                    return f"{(folder / 'comm').read_text().strip()} (process {folder.name})"
        return "another process"

    def _inodes(self) -> Iterable[str]:
        """Find the sockets that listen.

        Source: proc(5), /proc/net/tcp.
        """
        for family in ("", "6"):
            with contextlib.suppress(OSError):
                for line in (_PROC / f"net/{self.protocol}{family}").read_text().splitlines()[1:]:
                    _, local, _, state, *rest = line.split()
                    if state == _LISTENING[self.protocol] and int(local.rpartition(":")[2], 16) == self.port:
                        yield rest[5]


def check_free(containers: Iterable[Container], ours: frozenset[Socket]) -> None:
    """Refuse to start containers whose ports are taken by others than those that are `ours`.

    Raises BuildError with every port that is.
    """
    problems = []
    for container in containers:
        for binding in container.bindings:
            wanted = Socket(binding.protocol, binding.host_port)
            if wanted not in ours and wanted.protocol in _KINDS and wanted.is_taken:
                place = f"{container.name}: port {binding.host_port} of 127.0.0.1 must be free for {binding.name}"
                problems.append(f"{place}, got {wanted.holder()}")
    if problems:
        hint = 'stop it, or choose another port in deploy/system.yaml, such as publish: ["http:18080"]'
        raise BuildError("\n".join(sorted(problems)), hint=hint)
