"""`doit diff`: what is different between two images, or between one and what was last pushed of it."""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from procession_tasks.errors import BuildError, DefinitionError
from procession_tasks.graph.located import DEFINITION, USAGE, Located
from procession_tasks.graph.session import session

_DIFFERENT, _INTERRUPTED = 1, 130


class Diff(Located):
    """Compares two images; like diff, it ends with 0 if they are equal, 1 if not, and 2 if it cannot tell."""

    name = "diff"
    doc_purpose = "say what is different between two images, or between an image and what was last pushed of it"
    doc_usage = "IMAGE [IMAGE]"
    completes = "IMAGE FILE"
    doc_description = (
        "An IMAGE is one of this repository (api, api@linux-arm64), an .aci, an OCI image layout "
        "or an archive of one. "
        "Exit status: 0 if the images are equal, 1 if they are not, 2 if that cannot be told."
    )
    cmd_options = (
        {"name": "json", "long": "json", "type": bool, "default": False, "help": "for machines: docs/diff.md says how"},
        {
            "name": "insecure",
            "long": "insecure",
            "type": bool,
            "default": False,
            "help": "allow a registry without TLS",
        },
    )

    def parse_execute(self, in_args: list[str]) -> int:
        """Let options stand after images too."""
        try:
            options, words = getopt.gnu_getopt(in_args, self.cmdparser.get_short(), self.cmdparser.get_long())
        except getopt.GetoptError as error:
            if "--help" in in_args:
                return int(super().parse_execute(in_args))
            sys.stderr.write(f"doit: {error}\n  hint: doit diff --help lists the options\n")
            return USAGE
        status: int = super().parse_execute([part for option in options for part in option if part] + words)
        return status

    def execute(self, params: Any, args: list[str]) -> int:
        if not 1 <= len(args) <= 2:  # noqa: PLR2004  # one or two
            got = f"{len(args)}" if args else "none"
            hint = "doit diff api compares with what was pushed, doit diff A B two images"
            sys.stderr.write(f"doit: diff must be given one image or two, got {got}\n  hint: {hint}\n")
            return USAGE
        here = Path.cwd()
        self.loader.setup(params)  # which goes to the folder of dodo.py
        return _told(lambda: _compare(here, tuple(args), insecure=params["insecure"], as_json=params["json"]))


def _told(do: Callable[[], int]) -> int:
    """Do something, tell what is in its way, and return the exit status."""
    try:
        return do()
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return DEFINITION if isinstance(error, DefinitionError) else USAGE
    except BrokenPipeError:  # who read our output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _DIFFERENT
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'the disk'}: {error.strerror}\n")
        return USAGE
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return _INTERRUPTED


def _compare(here: Path, words: tuple[str, ...], *, insecure: bool, as_json: bool) -> int:
    from procession_tasks.graph.diffing import Asked, compare  # other commands compare nothing
    from procession_tasks.image.difference_json import to_json
    from procession_tasks.image.difference_text import render

    found = compare(Asked(here, words, insecure), session())
    text = to_json(found) if as_json else render(found)
    sys.stdout.buffer.write(text.encode())
    sys.stdout.flush()
    return 0 if found.is_none else _DIFFERENT
