"""Records that are JSON objects as Go's structs are: field tags, and writing them out.  Pure."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any, Literal

Form = Literal["plain", "table", "raw"]

# Source: encoding/json of Go 1.19, encodeState.string with HTML escaping.
_ESCAPES = {
    **{chr(code): f"\\u{code:04x}" for code in (*range(0x20), ord("<"), ord(">"), ord("&"), 0x2028, 0x2029)},
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    '"': '\\"',
    "\\": "\\\\",
}
_ESCAPED = re.compile(r'[\x00-\x1f"\\<>&\u2028\u2029]')
_HTML = re.compile(r"[<>&\u2028\u2029]")
_STRING_OR_SPACE = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\r\n]+')


@dataclasses.dataclass(frozen=True, slots=True)
class Tag:
    """How a field stands in JSON.

    `omit` leaves it out when it is empty, zero or false.  A "table" is a tuple of pairs written
    as an object; "raw" is JSON text, written as it is.
    """

    attribute: str
    key: str
    omit: bool
    form: Form


def tagged(key: str, default: Any, *, omit: bool = False, form: Form = "plain") -> Any:
    """Declare a field of a dataclass under its JSON key; the default is Go's zero value of its type."""
    return dataclasses.field(default=default, metadata={"key": key, "omit": omit, "form": form})


@functools.cache
def tags(cls: type) -> tuple[Tag, ...]:
    """List the tagged fields of a dataclass in the order they are written."""
    return tuple(
        Tag(field.name, field.metadata["key"], field.metadata["omit"], field.metadata["form"])
        for field in dataclasses.fields(cls)
        if "key" in field.metadata
    )


def marshal(value: Any, form: Form = "plain") -> str:
    """Write a record, or a value within one, as compact JSON with <, > and & escaped.

    Source: encoding/json of Go 1.19, Marshal.
    """
    if form == "raw":
        return _HTML.sub(_escape, value)
    if form == "table":
        return "{" + ",".join(f"{_string(key)}:{_string(text)}" for key, text in value) + "}"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, tuple):
        return "[" + ",".join(map(marshal, value)) + "]"
    if value is None or isinstance(value, int):
        return {None: "null", True: "true", False: "false"}[value] if isinstance(value, bool | None) else str(value)
    return "{" + ",".join(_members(value)) + "}"


def compact(raw: str) -> str:
    """Drop the white space between the tokens of JSON text, and nothing else."""
    return _STRING_OR_SPACE.sub(lambda match: match[1] or "", raw)


def _members(record: Any) -> list[str]:
    written = []
    for tag in tags(record.__class__):
        value = getattr(record, tag.attribute)
        if value or not tag.omit:
            written.append(f'"{tag.key}":{marshal(value, tag.form)}')
    return written


def _string(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES[match.group()]
