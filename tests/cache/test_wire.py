"""The wire format: what the reference library reads and writes, and bytes that are no message."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import random
from typing import Any

import pytest

from procession_tasks.cache import reapi, services, wire
from procession_tasks.cache.reapi import ActionResult, Digest, Directory, FileNode
from procession_tasks.cache.services import ServerCapabilities

REMOTE_EXECUTION = "buildstream._protos.build.bazel.remote.execution.v2.remote_execution_pb2"
MESSAGES = [
    kind
    for module in (reapi, services)
    for kind in vars(module).values()
    if dataclasses.is_dataclass(kind) and isinstance(kind, type)
]


def random_message(kind: type[Any], chance: random.Random) -> Any:
    """Fill a message with values that are awkward to write: long, empty, large, not ASCII."""

    def value(field: Any) -> Any:
        if isinstance(field.parse, functools.partial):
            return random_message(field.parse.args[0], chance)
        if field.default is False:
            return True
        if field.default == b"":
            return chance.randbytes(chance.choice([0, 1, 127, 128, 300]))
        if field.wire == 0:
            return chance.choice([1, 127, 128, 2**31 - 1, 5])
        return chance.choice(["", "a", "é/→", "x" * 200])

    values = {}
    for one in dataclasses.fields(kind):
        field = one.metadata["wire"]
        if chance.random() < 0.75:
            many = tuple(value(field) for _ in range(chance.choice([0, 1, 3])))
            values[one.name] = many if field.is_repeated else value(field)
    if kind is services.Operation and values.get("response"):
        values["error"] = None  # one of the two, never both
    return kind(**values)


# Where the reference has what is a message of its own here: a file of BuildStream's or the library's, and a name.
ELSEWHERE = {
    "Any": ("google.protobuf.any_pb2", "Any"),
    "Duration": ("google.protobuf.duration_pb2", "Duration"),
    "Status": ("buildstream._protos.google.rpc.status_pb2", "Status"),
    "Operation": ("buildstream._protos.google.longrunning.operations_pb2", "Operation"),
    "ReadRequest": ("buildstream._protos.google.bytestream.bytestream_pb2", "ReadRequest"),
    "ReadResponse": ("buildstream._protos.google.bytestream.bytestream_pb2", "ReadResponse"),
    "WriteRequest": ("buildstream._protos.google.bytestream.bytestream_pb2", "WriteRequest"),
    "WriteResponse": ("buildstream._protos.google.bytestream.bytestream_pb2", "WriteResponse"),
    "SemVer": ("buildstream._protos.build.bazel.semver.semver_pb2", "SemVer"),
    "Property": (REMOTE_EXECUTION, "Platform.Property"),
    "EnvironmentVariable": (REMOTE_EXECUTION, "Command.EnvironmentVariable"),
    "UpdateBlob": (REMOTE_EXECUTION, "BatchUpdateBlobsRequest.Request"),
    "UpdatedBlob": (REMOTE_EXECUTION, "BatchUpdateBlobsResponse.Response"),
    "ReadBlob": (REMOTE_EXECUTION, "BatchReadBlobsResponse.Response"),
}


def reference_of(kind: type[Any]) -> Any:
    module, name = ELSEWHERE.get(kind.__name__, (REMOTE_EXECUTION, kind.__name__))
    found = pytest.importorskip(module, reason="BuildStream is not installed")
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_messages_are_those_of_the_reference_library(kind: type[Any]) -> None:
    reference = reference_of(kind)
    for seed in range(40):
        message = random_message(kind, random.Random(seed))
        theirs = reference()
        theirs.ParseFromString(wire.encode(message))
        assert theirs.SerializeToString(deterministic=True) == wire.encode(message)
        assert wire.decode(kind, theirs.SerializeToString()) == message


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_what_is_written_is_read_back(kind: type[Any]) -> None:
    for seed in range(10):
        message = random_message(kind, random.Random(seed))
        assert wire.decode(kind, wire.encode(message)) == message


def test_what_is_left_at_its_default_takes_no_room() -> None:
    assert wire.encode(ActionResult()) == b""
    assert wire.encode(Digest("", 0)) == b""


def test_a_negative_number_takes_ten_bytes_and_comes_back() -> None:
    assert len(wire.encode(Digest("", -1))) == 11
    assert wire.decode(Digest, wire.encode(Digest("", -1))).size_bytes == -1


def test_numbers_are_read_packed_and_one_by_one() -> None:
    packed = wire.encode(services.CacheCapabilities(digest_functions=(1, 2, 300)))
    single = b"".join(b"\x08" + number for number in (b"\x01", b"\x02", b"\xac\x02"))
    assert wire.decode(services.CacheCapabilities, packed) == wire.decode(services.CacheCapabilities, single)


def test_fields_that_are_not_known_are_passed_over() -> None:
    unknown = b"\xfa\x07\x03abc" + b"\xf8\x07\x01" + b"\xf9\x07" + bytes(8) + b"\xfd\x07" + bytes(4)
    assert wire.decode(Digest, unknown + wire.encode(Digest("ab", 1)) + unknown) == Digest("ab", 1)


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a",  # a length is missing
        b"\x0a\x05abc",  # cut short
        b"\x08\x01",  # a number where a text is declared
        b"\x10",  # a number is missing
        b"\x10" + b"\xff" * 11,  # a number without end
        b"\x0b",  # a group
        b"\x0a\x02\xff\xfe",  # no UTF-8
        b"<html>502 Bad Gateway</html>",
    ],
)
def test_bytes_that_are_no_message_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # any will do
        wire.decode(Digest, content)


def test_random_bytes_give_a_message_or_a_value_error() -> None:
    chance = random.Random(7)
    valid = wire.encode(random_message(ServerCapabilities, chance)) + wire.encode(random_message(ActionResult, chance))
    for _ in range(3000):
        content = bytearray(valid[: chance.randrange(len(valid))])
        for _ in range(chance.randrange(4)):
            if content:
                content[chance.randrange(len(content))] = chance.randrange(256)
        with contextlib.suppress(ValueError):
            wire.decode(chance.choice([ActionResult, Directory, FileNode]), bytes(content))
