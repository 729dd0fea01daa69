"""doit's database as an append-only log: what finished before a kill is remembered.

One line a finished task: its name, a checksum, its record in JSON.  The last line of a task
counts; a torn or damaged line is as if the task had never run.  Appending needs no lock, but
runs hold one anyway (`lock`), and rewriting the log without what is superseded relies on it.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

import xxhash

from procession_tasks import files

_COMPACT_ABOVE = 64 * 1024
_LAST_KEY = "deps:"  # what doit's save_success stores last

_FORGOTTEN = b"\t{}"
_TABS = 2  # of a line

Record = dict[str, Any]


class StateLog:
    """A doit backend; `name` is the log's path, made with its folder at the first write."""

    desc = "append-only log, safe against kills"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:
        del codec, module_name  # part of doit's signature; the format is our own
        self.name = name
        self._path = Path(name)
        self._lines: dict[str, bytes] | None = None
        self._records: dict[str, Record] = {}
        self._unsaved: set[str] = set()
        self._size = 0
        self._is_damaged = False

    def get(self, task_id: str, dependency: str) -> Any:
        """Return a value stored for a task, or None."""
        return self._record(task_id).get(dependency)

    def in_(self, task_id: str) -> bool:
        """Tell whether anything is stored for a task."""
        return bool(self._record(task_id))

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        """Store a value; a task's record is on disk once its last value is in."""
        record = self._record(task_id)
        self._records[task_id] = record
        if dependency == _LAST_KEY:
            kept = {*value, "_values_:", "result:", "checker:"}
            for stale in [key for key in record if key not in kept]:
                del record[stale]
            record[dependency] = list(value)
            if value or record.get("_values_:"):  # else there is nothing to know it by
                self._append(task_id)
            self._unsaved.discard(task_id)
        else:
            record[dependency] = value
            self._unsaved.add(task_id)

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        if self._record(task_id):
            self._records[task_id] = {}
            self._append(task_id)

    def remove_all(self) -> None:
        """Forget every task."""
        for task_id in [*self._load(), *self._records]:
            self.remove(task_id)

    def dump(self) -> None:
        """Write what is not on disk yet, and rewrite a log that has grown long."""
        for task_id in sorted(self._unsaved):
            self._append(task_id)
        if self._size > _COMPACT_ABOVE:
            live = b"".join(line for line in self._load().values() if not line.endswith(_FORGOTTEN))
            if self._size > 3 * len(live):
                files.write(self._path, live)
                self._size = len(live)

    def _record(self, task_id: str) -> Record:
        record = self._records.get(task_id)
        if record is None:
            record = _decode(self._load().get(task_id))
            self._records[task_id] = record
        return record

    def _load(self) -> dict[str, bytes]:
        """Read the log at the first question, which a run asks only after it has the lock."""
        if self._lines is None:
            try:
                content = self._path.read_bytes()
            except OSError:  # what cannot be read is as if it had never been built
                content = b""
            self._is_damaged = bool(content) and content.count(b"\t") < _TABS  # not one line of it counts
            if self._is_damaged:
                rule = "is damaged, so it is not known what was built; the next build makes or takes it anew"
                sys.stderr.write(f"warning: {self.name}: {rule}\n")
                content = b""
            self._size = len(content)
            self._lines = {}
            for line in content.split(b"\n"):
                if line:
                    name = line.partition(b"\t")[0].decode("utf-8", "replace")
                    self._lines[name] = b"\n" + line
        return self._lines

    def _append(self, task_id: str) -> None:
        """Write one record; it starts a line of its own even behind a torn one."""
        self._unsaved.discard(task_id)
        line = _encode(task_id, self._records[task_id])
        self._load()[task_id] = line
        self._size += len(line)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._is_damaged:
                files.write(self._path, b"")
                self._is_damaged = False
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                if os.write(descriptor, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
        except OSError as error:  # the work itself is done: it is only done again next time
            sys.stderr.write(f"{self.name}: {task_id} is not remembered: {error.strerror}\n")


def _encode(task_id: str, record: Record) -> bytes:
    body = json.dumps(record, separators=(",", ":"), ensure_ascii=True).encode()
    return b"\n" + task_id.encode() + b"\t" + xxhash.xxh3_64_hexdigest(body).encode() + b"\t" + body


def _decode(line: bytes | None) -> Record:
    if line is None:
        return {}
    _, _, rest = line.partition(b"\t")
    checksum, _, body = rest.partition(b"\t")
    if checksum != xxhash.xxh3_64_hexdigest(body).encode():
        return {}
    record: Record = json.loads(body)
    return record
