"""The isolators of the appc specification, each with the schema of its value.  Pure.

Source: appc spec 0.8.11, "Isolators" in ace.md, and its Go package schema/types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from procession_tasks.definition.decode import Reader, Reading, Record, boolean, list_of, signed, table, text
from procession_tasks.definition.findings import Fault, Report, did_you_mean
from procession_tasks.definition.gojson import Node

# Source: appc spec 0.8.11, schema/types/resource/suffix.go.
_SUFFIXES = ("n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_QUANTITY = re.compile(
    rf"[+-]?([0-9]*(?:\.[0-9]*)?)({'|'.join(sorted(_SUFFIXES, reverse=True))}|[eE][+-]?[0-9]{{1,18}})?"
)
# Without a digit an amount is 0, but these need one.
_NEED_DIGIT = re.compile(r"Pi|Ei|[eE]-0*[1-9][0-9]+")


def quantity(written: str) -> Fault | None:
    """Check an amount of a resource.

    Source: appc spec 0.8.11, schema/types/resource/quantity.go.
    """
    match = _QUANTITY.fullmatch(written.strip())
    if match and match.group() and (match[1].strip(".") or not _NEED_DIGIT.fullmatch(match[2] or "")):
        return None
    rule = "must be a number, with a suffix of " + ", ".join(_SUFFIXES) + " or an exponent where wanted"
    return Fault(rule, _mended_quantity(written.strip()))


def _mended_quantity(written: str) -> str | None:
    number = re.match(r"[0-9.]+", written)
    suffix = written[number.end() :].strip() if number else ""
    best = {"K": "k", "KB": "k", "KiB": "Ki", "MB": "M", "MiB": "Mi", "GB": "G", "GiB": "Gi", "g": "G"}.get(suffix)
    return f'did you mean "{number.group()}{best}"?' if number and best else None


def _read_quantity(node: Node, key: str, _old: str | None, report: Report) -> str | None:
    """Read a string or a number; the escapes of the string stay as they are, so any is wrong."""
    if node.kind == "null":
        return None
    raw = report.text[node.start : node.end]
    fault = quantity(raw[1:-1] if node.kind == "string" else raw)
    if fault or node.kind not in {"string", "number"}:
        raise report.add(node, key, fault or Fault("must be a quantity"))
    return raw


def _check_shared(reading: Reading) -> None:
    if reading.values.get("default"):
        reading.fail("default", Fault("must be false or left out"))


def _check_limited(reading: Reading) -> None:
    if not reading.values.get("default"):
        reading.fail("default", Fault("must be true"))
    if reading.values.get("request") is not None:
        reading.fail("request", Fault("must be left out, this resource has only a limit"))


def _check_set(reading: Reading) -> None:
    reading.require("set")


def _check_seccomp(reading: Reading) -> None:
    reading.require("set")
    errno = reading.values.get("errno")
    if errno and not (errno.startswith("E") and all(map(_is_upper_or_number, errno))):
        reading.fail("errno", Fault("must be E followed by upper-case letters and digits, such as EPERM"))


def _is_upper_or_number(character: str) -> bool:
    import unicodedata  # few manifests have an errno

    return unicodedata.category(character) in {"Lu", "Nd", "Nl", "No"}


def _check_selinux(reading: Reading) -> None:
    for name in ("user", "role", "type", "level"):
        reading.require(name)
        if name != "level" and ":" in reading.values.get(name, ""):
            reading.fail(name, Fault('must not have a ":"'))


def _between(low: int, high: int) -> Reader:
    def read(node: Node, key: str, old: int | None, report: Report) -> int:
        number = signed(node, key, old, report)
        if not low <= number <= high:
            raise report.add(node, key, Fault(f"must be from {low} to {high}"))
        return number

    return read


@dataclass(frozen=True, slots=True)
class _Rule:
    """How the value of an isolator is read, if it may stand twice, and what may not stand beside it."""

    read: Reader
    repeats: bool = True
    excludes: str | None = None


_RESOURCE: dict[str, Reader] = {"default": boolean, "request": _read_quantity, "limit": _read_quantity}
_SHARED = _Rule(Record(_RESOURCE, _check_shared).read)
_LIMITED = _Rule(Record(_RESOURCE, _check_limited).read)
_CAPABILITIES = _Rule(Record({"set": list_of(text)}, _check_set).read)
_SECCOMP = Record({"set": list_of(text), "errno": text}, _check_seccomp).read
_SELINUX = Record(dict.fromkeys(("user", "role", "type", "level"), text), _check_selinux).read

_RULES = {
    "resource/cpu": _SHARED,
    "resource/memory": _SHARED,
    "resource/block-bandwidth": _LIMITED,
    "resource/block-iops": _LIMITED,
    "resource/network-bandwidth": _LIMITED,
    "os/linux/capabilities-retain-set": _CAPABILITIES,
    "os/linux/capabilities-remove-set": _CAPABILITIES,
    "os/linux/seccomp-retain-set": _Rule(_SECCOMP, repeats=False, excludes="os/linux/seccomp-remove-set"),
    "os/linux/seccomp-remove-set": _Rule(_SECCOMP, repeats=False, excludes="os/linux/seccomp-retain-set"),
    "os/linux/selinux-context": _Rule(_SELINUX, repeats=False),
    "os/linux/no-new-privileges": _Rule(boolean),
    "os/linux/oom-score-adj": _Rule(_between(-1000, 1000), repeats=False),
    "os/linux/cpu-shares": _Rule(_between(2, 262144), repeats=False),
    "os/unix/sysctl": _Rule(table, repeats=False),
}


def isolator(name: str) -> Fault | None:
    """Check the name of an isolator: only those of version 0.8.11 are taken."""
    if name in _RULES:
        return None
    hint = did_you_mean(name, _RULES, cutoff=0.75) or "known isolators: " + ", ".join(_RULES)
    return Fault("must be an isolator of appc 0.8.11", hint)


def value_reader(name: str) -> Reader:
    """Read, and so check, the value of a known isolator."""
    return _RULES[name].read


def beside(name: str, earlier: frozenset[str]) -> Fault | None:
    """Check a known isolator against the names of those before it in the list."""
    rule = _RULES[name]
    if name in earlier and not rule.repeats:
        return Fault("must be unique in the list")
    if rule.excludes in earlier:
        return Fault(f"must not stand beside {rule.excludes}")
    return None
