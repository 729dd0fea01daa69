"""A step as data: what runs, in which environment, from which inputs, to which outputs.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

import xxhash


@dataclass(frozen=True, slots=True)
class Step:
    """The whole declaration of one step; two equal steps over equal inputs give equal outputs.

    `kind` and `subject` name the task (``pack-aci:api``); `platform` is a slug (``linux-amd64``).
    `command` is an argv, run in the repository; the first word is ``go`` or a tool of our own.
    `inputs` and `outputs` are paths relative to the repository, folders included; a folder
    stands for everything below it.  The first output is made last: while it is there, the others
    are.  `environment` is all there is of it, and `properties` what the machine must have, such as
    a version of Go; both are sorted by name.
    """

    kind: str
    subject: str
    platform: str
    command: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()
    properties: tuple[tuple[str, str], ...] = ()

    @property
    def digest(self) -> str:
        """XXH3-128 of everything declared but the contents of the inputs, as hex."""
        return xxhash.xxh3_128_hexdigest(repr(self).encode())

    def option(self, name: str) -> str:
        """Return the value of ``--name=value`` in the command."""
        return self.options(name)[0]

    def options(self, name: str) -> tuple[str, ...]:
        """Return every value of ``--name=value`` in the command, in order."""
        prefix = f"--{name}="
        return tuple(word.removeprefix(prefix) for word in self.command if word.startswith(prefix))
