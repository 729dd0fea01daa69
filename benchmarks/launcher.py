"""Runs one program after another and says how long each took and how much memory it needed.

A process of its own, as small as Python can be: a program's peak memory as Linux counts it
begins with that of the process it was forked from, so what is measured is never below this one's.
"""

import os
import sys
import time


def main() -> None:
    """Answer each request on stdin with one on stdout, both behind their length."""
    import marshal  # the whole of what a launcher needs beside os

    while size := sys.stdin.buffer.read(4):
        request = marshal.loads(sys.stdin.buffer.read(int.from_bytes(size)))  # from our own parent
        answer = marshal.dumps(_run(*request))
        sys.stdout.buffer.write(len(answer).to_bytes(4) + answer)
        sys.stdout.buffer.flush()


def _run(argv: tuple[str, ...], folder: str, environment: dict[str, str], output: str) -> tuple[int, float, float, int]:
    """Run a program to its end: exit status, seconds, seconds of processor time, peak KiB."""
    os.chdir(folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    files = [(os.POSIX_SPAWN_OPEN, 1, output, flags, 0o644), (os.POSIX_SPAWN_DUP2, 1, 2)]
    files.append((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0))
    started = time.perf_counter()
    process = os.posix_spawn(argv[0], argv, environment, file_actions=files)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    return os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


if __name__ == "__main__":
    main()
