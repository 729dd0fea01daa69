"""One run at a time in a build folder: the second waits, and says for whom."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Hold a lock of a build folder while the block runs, and tell it whether it had to wait.

    The kernel drops the lock with the process, however it ends.

    The file stays empty, so that a run with nothing to do writes nothing.  A lock that cannot
    be had at all (a read-only tree) is done without: such a run can only find nothing to do.
    """
    descriptor = _open(path)
    try:
        yield descriptor is not None and _wait(descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _open(path: Path) -> int | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        sys.stderr.write(f"{path}: going on without the lock: {error.strerror}\n")
        return None


def _wait(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"waiting: {_holder(descriptor)} is at work here\n")
        sys.stderr.flush()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return True
    return False


def _holder(descriptor: int) -> str:
    """Name the process that has the lock, as the kernel lists it: proc(5), /proc/locks."""
    inode = f":{os.fstat(descriptor).st_ino}"
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if "->" not in fields and "FLOCK" in fields and fields[5].endswith(inode):
                words = Path(f"/proc/{fields[4]}/cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
                return f"process {fields[4]} ({' '.join(words).strip()})"
    return "another run"
