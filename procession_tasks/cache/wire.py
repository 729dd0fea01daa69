"""The wire format of Protocol Buffers for frozen dataclasses whose fields say their numbers.

The library and its generated classes would do the same; forty messages that never change need
neither, and a build without a remote cache is spared both.  Fields are written in the order of
their numbers and left out at their defaults, so equal messages are equal bytes.

Source: Protocol Buffers, "Encoding".
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

M = TypeVar("M")

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 10
_INT64, _UINT64 = 1 << 63, 1 << 64
_SHORT = [bytes((value,)) for value in range(0x80)]


def string(number: int) -> Any:
    """Declare a text."""
    return _declared(number, "", _LENGTH, str.encode, _text)


def strings(number: int) -> Any:
    """Declare texts."""
    return _declared(number, (), _LENGTH, str.encode, _text)


def binary(number: int) -> Any:
    """Declare bytes."""
    return _declared(number, b"", _LENGTH, bytes, bytes)


def integer(number: int) -> Any:
    """Declare an int32, int64 or the number of an enum's value."""
    return _declared(number, 0, _VARINT, _from_signed, _signed)


def integers(number: int) -> Any:
    """Declare numbers as `integer`; written together, read in either form."""
    return _declared(number, (), _VARINT, _from_signed, _signed)


def boolean(number: int) -> Any:
    """Declare a truth value."""
    return _declared(number, False, _VARINT, int, bool)  # noqa: FBT003  # the default of the field


def message(number: int, kind: type[Any]) -> Any:
    """Declare a message that may be absent, which is None."""
    return _declared(number, None, _LENGTH, encode, functools.partial(decode, kind))


def messages(number: int, kind: type[Any]) -> Any:
    """Declare messages."""
    return _declared(number, (), _LENGTH, encode, functools.partial(decode, kind))


def encode(value: Any) -> bytes:
    """Write a message; the same one is always the same bytes."""
    parts: list[bytes] = []
    for name, default, put in _putters(type(value)):  # type: ignore[arg-type]  # mypy takes no class for hashable
        held = getattr(value, name)
        if held != default:
            put(parts, held)
    return b"".join(parts)


def decode(kind: type[M], content: bytes | memoryview) -> M:
    """Read a message; what it has beside the declared fields is passed over.

    Raises ValueError for what is no such message.
    """
    by_number = _by_number(kind)  # type: ignore[arg-type]  # as above
    found: dict[str, Any] = {}
    for number, wire, raw in _parts(memoryview(content)):
        if (known := by_number.get(number)) is not None:
            name, field = known
            values = field.read(wire, raw)
            if field.is_repeated:
                found.setdefault(name, []).extend(values)
            elif values:
                found[name] = values[-1]
    return kind(**{name: tuple(held) if isinstance(held, list) else held for name, held in found.items()})


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """How one field is written: `wire` is the type of one value, `default` what is left out."""

    number: int
    default: Any
    wire: int
    write: Callable[[Any], Any]
    parse: Callable[[Any], Any]

    @property
    def is_repeated(self) -> bool:
        return isinstance(self.default, tuple)

    def putter(self) -> Callable[[list[bytes], Any], None]:
        """Make what adds a value's bytes to a message; a tree has thousands, so what is known is not looked up."""
        if self.wire == _VARINT:
            return self._putter(self._together) if self.is_repeated else self._put_number
        put = self._putter(self.write)

        def put_all(parts: list[bytes], held: Any) -> None:
            for one in held:
                put(parts, one)

        return put_all if self.is_repeated else put

    def _putter(self, write: Callable[[Any], bytes]) -> Callable[[list[bytes], Any], None]:
        tag = _varint(self.number << 3 | _LENGTH)

        def put(parts: list[bytes], held: Any) -> None:
            content = write(held)
            parts += (tag, _varint(len(content)), content)

        return put

    def _put_number(self, parts: list[bytes], held: Any) -> None:
        parts += (_varint(self.number << 3 | _VARINT), _varint(self.write(held)))

    def _together(self, held: Any) -> bytes:
        return b"".join(_varint(self.write(one)) for one in held)

    def read(self, wire: int, raw: Any) -> list[Any]:
        if wire == self.wire:
            return [self.parse(raw)]
        if wire == _LENGTH and self.wire == _VARINT and self.is_repeated:
            return list(map(self.parse, _packed(raw)))
        raise ValueError(f"field {self.number} has the wire type {wire}")


def _declared(number: int, default: Any, wire: int, write: Callable[[Any], Any], parse: Callable[[Any], Any]) -> Any:
    return dataclasses.field(default=default, metadata={"wire": _Field(number, default, wire, write, parse)})


@functools.cache
def _fields(kind: Any) -> tuple[tuple[str, _Field], ...]:
    declared = ((field.name, field.metadata["wire"]) for field in dataclasses.fields(kind))
    return tuple(sorted(declared, key=lambda pair: pair[1].number))


@functools.cache
def _putters(kind: Any) -> tuple[tuple[str, Any, Callable[[list[bytes], Any], None]], ...]:
    return tuple((name, field.default, field.putter()) for name, field in _fields(kind))


@functools.cache
def _by_number(kind: Any) -> dict[int, tuple[str, _Field]]:
    return {field.number: (name, field) for name, field in _fields(kind)}


def _parts(content: memoryview) -> Iterator[tuple[int, int, Any]]:
    """Go through the number, the wire type and the raw value of each field."""
    at, end = 0, len(content)
    while at < end:
        tag, at = _read_varint(content, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _read_varint(content, at)
            yield tag >> 3, wire, value
            continue
        if wire == _LENGTH:
            size, at = _read_varint(content, at)
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise ValueError(f"there is no wire type {wire}")
        if at + size > end:
            raise ValueError("the message is cut short")
        yield tag >> 3, wire, content[at : at + size]
        at += size


def _packed(raw: memoryview) -> Iterator[int]:
    at = 0
    while at < len(raw):
        value, at = _read_varint(raw, at)
        yield value


def _read_varint(content: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(content[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004  # the format's own
            return value % _UINT64, at + place + 1
    raise ValueError("a number is cut short")


def _varint(value: int) -> bytes:
    if value < 0x80:  # noqa: PLR2004  # most are
        return _SHORT[value]
    written = bytearray()
    while value >= 0x80:  # noqa: PLR2004
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _text(raw: memoryview) -> str:
    return str(raw, "utf-8")


def _from_signed(value: int) -> int:
    return value % _UINT64


def _signed(value: int) -> int:
    return value - _UINT64 if value >= _INT64 else value
