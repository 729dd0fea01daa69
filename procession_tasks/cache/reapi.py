"""Actions, what goes into them and what they make: messages of the Remote Execution API, as values.

Source: Remote Execution API 2.3, remote_execution.proto.  Names and numbers are its own.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from procession_tasks.cache import wire

TYPES = "type.googleapis.com/"
PACKAGE = "build.bazel.remote.execution.v2"
_LARGEST = 16 * 1024**3  # bytes of a content: no program or archive has more
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content by its hex SHA-256 and its size in bytes."""

    hash: str = wire.string(1)
    size_bytes: int = wire.integer(2)


EMPTY = Digest(hashlib.sha256(b"").hexdigest(), 0)


def is_sound(digest: Digest | None) -> bool:
    """Tell whether a digest that came from elsewhere is one: it becomes part of paths and addresses."""
    return digest is not None and _HASH.fullmatch(digest.hash) is not None and 0 <= digest.size_bytes <= _LARGEST


def digest_of(content: bytes) -> Digest:
    """Digest a content."""
    return Digest(hashlib.sha256(content).hexdigest(), len(content))


@dataclass(frozen=True, slots=True)
class Duration:
    """google.protobuf.Duration."""

    seconds: int = wire.integer(1)
    nanos: int = wire.integer(2)


@dataclass(frozen=True, slots=True)
class Any:
    """google.protobuf.Any: a message of a named type."""

    type_url: str = wire.string(1)
    value: bytes = wire.binary(2)


@dataclass(frozen=True, slots=True)
class FileNode:
    """A file of a directory."""

    name: str = wire.string(1)
    digest: Digest = wire.message(2, Digest)
    is_executable: bool = wire.boolean(4)


@dataclass(frozen=True, slots=True)
class DirectoryNode:
    """A directory in a directory, by the digest of its own message."""

    name: str = wire.string(1)
    digest: Digest = wire.message(2, Digest)


@dataclass(frozen=True, slots=True)
class SymlinkNode:
    """A symbolic link of a directory."""

    name: str = wire.string(1)
    target: str = wire.string(2)


@dataclass(frozen=True, slots=True)
class Directory:
    """What a directory holds, each kind sorted by name."""

    files: tuple[FileNode, ...] = wire.messages(1, FileNode)
    directories: tuple[DirectoryNode, ...] = wire.messages(2, DirectoryNode)
    symlinks: tuple[SymlinkNode, ...] = wire.messages(3, SymlinkNode)


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory and all below it."""

    root: Directory = wire.message(1, Directory)
    children: tuple[Directory, ...] = wire.messages(2, Directory)


@dataclass(frozen=True, slots=True)
class Property:
    """What a worker must be like."""

    name: str = wire.string(1)
    value: str = wire.string(2)


@dataclass(frozen=True, slots=True)
class Platform:
    """All that a worker must be like, sorted by name."""

    properties: tuple[Property, ...] = wire.messages(1, Property)


@dataclass(frozen=True, slots=True)
class EnvironmentVariable:
    """A variable of a command's environment."""

    name: str = wire.string(1)
    value: str = wire.string(2)


@dataclass(frozen=True, slots=True)
class Command:
    """What runs and what it makes; variables and output paths are sorted."""

    arguments: tuple[str, ...] = wire.strings(1)
    environment_variables: tuple[EnvironmentVariable, ...] = wire.messages(2, EnvironmentVariable)
    platform: Platform | None = wire.message(5, Platform)
    working_directory: str = wire.string(6)
    output_paths: tuple[str, ...] = wire.strings(7)


@dataclass(frozen=True, slots=True)
class Action:
    """A command over an input root; the digest of this is the key of its result."""

    command_digest: Digest = wire.message(1, Digest)
    input_root_digest: Digest = wire.message(2, Digest)
    timeout: Duration | None = wire.message(6, Duration)
    do_not_cache: bool = wire.boolean(7)
    salt: bytes = wire.binary(9)
    platform: Platform | None = wire.message(10, Platform)


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file that an action made."""

    path: str = wire.string(1)
    digest: Digest | None = wire.message(2, Digest)
    is_executable: bool = wire.boolean(4)
    contents: bytes = wire.binary(5)


@dataclass(frozen=True, slots=True)
class OutputSymlink:
    """A link that an action made."""

    path: str = wire.string(1)
    target: str = wire.string(2)


@dataclass(frozen=True, slots=True)
class OutputDirectory:
    """A directory that an action made, by the digest of its `Tree`."""

    path: str = wire.string(1)
    tree_digest: Digest | None = wire.message(3, Digest)
    is_topologically_sorted: bool = wire.boolean(4)
    root_directory_digest: Digest | None = wire.message(5, Digest)


@dataclass(frozen=True, slots=True)
class ExecutedActionMetadata:
    """What is known of how an action was executed; nothing here shapes what it made."""

    worker: str = wire.string(1)
    auxiliary_metadata: tuple[Any, ...] = wire.messages(11, Any)
    virtual_execution_duration: Duration | None = wire.message(12, Duration)


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What an action made."""

    output_files: tuple[OutputFile, ...] = wire.messages(2, OutputFile)
    output_directories: tuple[OutputDirectory, ...] = wire.messages(3, OutputDirectory)
    exit_code: int = wire.integer(4)
    stdout_raw: bytes = wire.binary(5)
    stdout_digest: Digest | None = wire.message(6, Digest)
    stderr_raw: bytes = wire.binary(7)
    stderr_digest: Digest | None = wire.message(8, Digest)
    execution_metadata: ExecutedActionMetadata | None = wire.message(9, ExecutedActionMetadata)
    output_symlinks: tuple[OutputSymlink, ...] = wire.messages(12, OutputSymlink)
