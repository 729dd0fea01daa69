"""What files hold, digested with XXH3-128 and remembered by what `stat` says of them.

A digest is trusted again while size, mtime, ctime and inode stay the same, and only when it
was taken later than the clock's granularity after the file's last change: a write in the
same tick would move none of the four (git calls such an entry racy).
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat as stat_bits
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import xxhash

from procession_tasks import files, kept

ABSENT = "absent"
UNREADABLE = "unreadable"

_TICK_NS = 20_000_000  # two ticks of a 100 Hz kernel
_COARSE_NS = 2_000_000_000  # file systems that keep whole seconds, or FAT's two

# size, mtime_ns, ctime_ns, inode
Key = tuple[int, int, int, int]
# What moves with every write: a file's key, or a digest of all keys below a folder.
Stamp = Key | str


class States:
    """The states of the files one run looks at; each is read at most once.

    A state is a hex digest for a file, ``tree-…`` for a folder (names, kinds, executable bits,
    link texts and contents of everything below it), `ABSENT`, or `UNREADABLE`, which whoever
    needs the content will find out for themselves.  Links below a folder are not followed.  All
    paths are relative to `root`, or absolute.
    """

    def __init__(self, root: Path, cache: Path, like: States | None = None, same: Collection[str] = ()) -> None:
        """`like` are those of another tree, which has some of the same files; what is in the folders `same` is."""
        self._root = f"{root}/"
        self._cache = cache
        self._known: dict[str, tuple[Key, str]] = like.known() if like else kept.load(cache) or {}
        self._seen: dict[str, str] = like.seen_in(same) if like else {}
        self._stamps: dict[str, Stamp] = {}
        self._racy: set[str] = set()
        self._changed = False

    def seen_in(self, folders: Collection[str]) -> dict[str, str]:
        """Return what was seen in or below these folders."""
        is_seen = in_any(folders)
        return {name: state for name, state in self._seen.items() if is_seen(name)}

    def known(self) -> dict[str, tuple[Key, str]]:
        """Return the digests that are known by now, each with what `stat` said then."""
        return dict(self._known)

    def state(self, path: str) -> str:
        """Return the state of a path as of this run's first look at it."""
        seen = self._seen.get(path)
        if seen is None:
            try:
                seen = self._look(path)
            except OSError:
                seen = UNREADABLE
            self._seen[path] = seen
        return seen

    def same(self, pairs: Iterable[tuple[str, str]]) -> bool:
        """Tell whether every path is in the state it is paired with."""
        seen, state_of = self._seen, self.state
        for path, state in pairs:  # noqa: SIM110  # the innermost loop of a run with nothing to do
            if (seen.get(path) or state_of(path)) != state:
                return False
        return True

    def listing(self, folder: str) -> str:
        """Return a digest of the names in a folder, or `ABSENT`."""
        name = f"{folder}/"
        seen = self._seen.get(name)
        if seen is None:
            seen = self._seen[name] = self._names(folder, name)
        return seen

    def held(self, folder: str) -> tuple[str, list[tuple[str, str, str]]]:
        """Return the state of a folder as it is now, and what makes it: path, kind and state of all below it.

        Raises OSError when it cannot be read.
        """
        found = [(name, kind, state) for name, kind, state, _ in self._below(folder, folder)]
        return _tree_state(found), found

    def look_again(self) -> None:
        """Forget what was seen: another run may have changed it."""
        self._seen.clear()
        self._stamps.clear()

    def has_moved(self, name: str) -> bool:
        """Tell whether something was written since this run's look at it, even if it is the same again.

        A folder and a slash stand for the names in the folder, as in `seen`.
        """
        if name not in self._seen:
            return False
        known = self._known.get(name)
        before = self._stamps.get(name) or (known and known[0])
        try:
            return self._stamp(name) != before
        except OSError:
            return before is not None

    def _stamp(self, name: str) -> Stamp:
        stat = os.stat(self._place(name))
        is_tree = stat_bits.S_ISDIR(stat.st_mode) and not name.endswith("/")
        return self._scan(name)[1] if is_tree else _key(stat)

    def changed_since(self, paths: Iterable[str], moment: int) -> bool:
        """Tell whether any of these may have changed since a moment, in nanoseconds since 1970."""
        for path in paths:
            try:
                if os.lstat(self._place(path)).st_ctime_ns + _TICK_NS > moment:
                    return True
            except OSError:
                return True
        return False

    def seen(self) -> tuple[str, ...]:
        """List what this run looked at, sorted; the names of a folder as the folder and a slash."""
        return tuple(sorted(self._seen))

    def digest(self, names: Iterable[str]) -> str:
        """Digest the states of these, as `seen` lists them; two digests tell whether any differs."""
        seen, look = self._seen, self._look_again
        states = [seen.get(name) or look(name) for name in names]
        return xxhash.xxh3_128_hexdigest("\n".join(states).encode())

    def forget(self, paths: Iterable[str]) -> None:
        """Look at these paths anew: an action has just written them."""
        for path in paths:
            self._seen.pop(path, None)
            self._stamps.pop(path, None)
            if os.path.isdir(self._place(path)):
                below = f"{path}/"
                for seen in [seen for seen in self._seen if seen.startswith(below)]:
                    del self._seen[seen]
                    self._stamps.pop(seen, None)

    def save(self) -> None:
        """Keep what was learnt for the next run; writes nothing when nothing was."""
        if self._racy:
            time.sleep(_TICK_NS / 1e9)  # one pause now spares the next run all this reading
            for path in self._racy:
                self._settle(path)
            self._racy.clear()
        if self._changed:
            with contextlib.suppress(OSError):  # a full disk costs time in the next run, no more
                kept.save(self._cache, self._known)
            self._changed = False

    def _look_again(self, name: str) -> str:
        return self.listing(name[:-1]) if name.endswith("/") else self.state(name)

    def _place(self, path: str) -> str:
        return path if path.startswith("/") else self._root + path

    def _look(self, path: str) -> str:
        try:
            stat = os.lstat(self._place(path))
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        known = self._known.get(path)
        if known is not None and known[0] == _key(stat):
            return known[1]
        if stat_bits.S_ISLNK(stat.st_mode):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                stat = os.stat(self._place(path))
        if stat_bits.S_ISDIR(stat.st_mode):
            return self._tree(path)
        if stat_bits.S_ISREG(stat.st_mode):
            return self._file(path, stat)
        return f"special-{stat.st_mode:o}"

    def _file(self, path: str, stat: os.stat_result) -> str:
        key = _key(stat)
        known = self._known.get(path)
        if known is not None and known[0] == key:
            return known[1]
        return self._remember(path, key, lambda: files.xxh3(self._place(path)))

    def _names(self, folder: str, name: str) -> str:
        try:
            stat = os.stat(self._place(folder))
            key = _key(stat)
            known = self._known.get(name)
            if known is not None and known[0] == key:
                return known[1]
            return self._remember(name, key, lambda: _names_digest(self._place(folder)))
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT

    def _remember(self, name: str, key: Key, digest_of: Callable[[], str]) -> str:
        started = time.time_ns()
        self._stamps[name] = key
        digest = digest_of()
        if settled(key, started):
            self._known[name] = (key, digest)
            self._changed = True
        else:
            self._known.pop(name, None)
            self._racy.add(name)
        return digest

    def _settle(self, name: str) -> None:
        """Digest a racy path once more, now that its tick is over."""
        path = self._place(name)
        with contextlib.suppress(OSError):
            stat = os.stat(path)
            key = _key(stat)
            if settled(key, time.time_ns()):
                self._known[name] = (key, _names_digest(path) if name.endswith("/") else files.xxh3(path))
                self._changed = True

    def _tree(self, folder: str) -> str:
        state, self._stamps[folder] = self._scan(folder)
        return state

    def _scan(self, folder: str) -> tuple[str, str]:
        """Digest what is below a folder, once by content and once by what moves with every write."""
        below = list(self._below(folder, folder))
        stamp = xxhash.xxh3_128()
        for path, kind, _, key in below:
            stamp.update(f"{kind}\0{key}\0{path}\0".encode("utf-8", "surrogateescape"))
        return _tree_state((path, kind, state) for path, kind, state, _ in below), stamp.hexdigest()

    def _below(self, folder: str, top: str) -> Iterable[tuple[str, str, str, Key]]:
        with os.scandir(self._place(folder)) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        for entry in entries:
            path = f"{folder}/{entry.name}"
            name = path[len(top) + 1 :]
            if entry.is_symlink():
                yield name, "link", os.readlink(entry.path), _key(entry.stat(follow_symlinks=False))
            elif entry.is_dir():
                yield name, "folder", "", _key(entry.stat())
                yield from self._below(path, top)
            else:
                stat = entry.stat(follow_symlinks=False)
                regular = stat_bits.S_ISREG(stat.st_mode)
                state = self._file(path, stat) if regular else f"special-{stat.st_mode:o}"
                yield name, "program" if stat.st_mode & 0o100 else "file", state, _key(stat)


def in_any(folders: Collection[str]) -> Callable[[str], bool]:
    """Return what tells whether a path is in or below any of these folders; all are relative to the same one."""

    @functools.cache
    def is_within(folder: str) -> bool:
        return folder in folders or (folder != "" and is_within(folder.rpartition("/")[0]))

    return lambda path: is_within(path.rpartition("/")[0])


def _tree_state(below: Iterable[tuple[str, str, str]]) -> str:
    content = xxhash.xxh3_128()
    for path, kind, state in below:
        content.update(f"{kind}\0{state}\0{path}\0".encode("utf-8", "surrogateescape"))
    return f"tree-{content.hexdigest()}"


def _key(stat: os.stat_result) -> Key:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def settled(key: Key, now: int) -> bool:
    """Tell whether a file with this key had last changed well before a moment: later changes would show."""
    ctime = key[2]
    tick = _COARSE_NS if ctime % 1_000_000_000 == 0 else _TICK_NS
    return ctime + tick < now


def _names_digest(folder: str) -> str:
    names = "\0".join(sorted(os.listdir(folder)))
    return xxhash.xxh3_128_hexdigest(names.encode("utf-8", "surrogateescape"))
