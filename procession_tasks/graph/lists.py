"""In what two lists of a program's inputs differ.  Pure."""

from __future__ import annotations

from collections.abc import Iterator

from procession_tasks.graph.cause import CHANGED, DELETED, NEW, TOOLCHAIN, VERSION, Cause


def differences(before: bytes, after: bytes) -> tuple[Cause, ...]:
    """Compare two lists: files by their digests, modules and tools by their versions."""
    return tuple(_differences(before, after))


def _differences(before: bytes, after: bytes) -> Iterator[Cause]:
    old, new = _by_subject(before), _by_subject(after)
    for kind, subject in sorted(old | new):
        was, is_now = old.get((kind, subject), ""), new.get((kind, subject), "")
        if was != is_now and kind:
            yield Cause(VERSION if kind == "module" else TOOLCHAIN, subject, was, is_now)
        elif was != is_now:
            yield Cause(CHANGED if was and is_now else NEW if is_now else DELETED, subject)


def _by_subject(text: bytes) -> dict[tuple[str, str], str]:
    """Read a list of inputs: files by their path, modules by theirs, tools by name."""
    found = {}
    for line in text.decode("utf-8", "surrogateescape").splitlines():
        digest, is_file, path = line.partition("  ")
        if is_file:
            found["", path] = digest
        else:
            kind, _, rest = line.partition(" ")
            subject, _, value = rest.partition(" ") if kind == "module" else (kind, "", rest)
            key = (kind, subject)
            found[key] = f"{found[key]}, {value}" if key in found else value
    return found
