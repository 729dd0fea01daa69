"""A step over its inputs as a REAPI Action, whose digest is the key of what the step makes.  Pure.

A step is run from its declaration and keyed by the same one, so what shapes an output is in the
key: the command with our own formats, the environment, the toolchain, the inputs by SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from procession_tasks.cache import reapi, wire
from procession_tasks.cache.merkle import Merkle, Node, merkle
from procession_tasks.cache.reapi import Digest, digest_of
from procession_tasks.step import Step


@dataclass(frozen=True, slots=True)
class Keyed:
    """An action under its key; `blobs` are the action, its command and the directories of its input root.

    `outputs` are relative to the root, as the step declares them: the first is made last.
    """

    name: str
    key: Digest
    outputs: tuple[str, ...]
    blobs: Mapping[Digest, bytes]


def keyed(step: Step, inputs: Mapping[str, Node], salt: str) -> Keyed:
    """Turn a step over its inputs into an action; what is not there is no input.

    Raises ValueError for paths that a tree cannot have: that leave it, that are not UTF-8.
    """
    return with_root(step, merkle(inputs), salt)


def with_root(step: Step, root: Merkle, salt: str, timeout_s: int | None = None) -> Keyed:
    """Turn a step over an input root into an action; raises as `keyed`."""
    for path in step.outputs:
        if any(part in ("", ".", "..") for part in path.split("/")):
            raise ValueError(f"an output must be a path below the root, got {path!r}")
    platform = _platform(step.properties)
    command = wire.encode(
        reapi.Command(
            arguments=step.command,
            environment_variables=_variables(step.environment),
            platform=platform,
            output_paths=tuple(sorted(step.outputs)),
        )
    )
    action = wire.encode(
        reapi.Action(
            command_digest=digest_of(command),
            input_root_digest=root.root,
            timeout=None if timeout_s is None else reapi.Duration(timeout_s),
            salt=salt.encode(),
            platform=platform,
        )
    )
    blobs = {digest_of(action): action, digest_of(command): command, **root.messages}
    return Keyed(f"{step.kind}:{step.subject}", digest_of(action), step.outputs, blobs)


def _variables(environment: Iterable[tuple[str, str]]) -> tuple[reapi.EnvironmentVariable, ...]:
    return tuple(reapi.EnvironmentVariable(name, value) for name, value in sorted(environment))


def _platform(properties: Iterable[tuple[str, str]]) -> reapi.Platform | None:
    listed = tuple(reapi.Property(name, value) for name, value in sorted(properties))
    return reapi.Platform(listed) if listed else None
