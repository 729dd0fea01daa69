"""Checks bare files, for editors and hooks.

    python -m procession_tasks.definition [--json] FILE…

A file that ends in .yaml or .yml is an image.yaml, any other a manifest.  Each gets one
verdict, in the order given; the exit status is 1 when any is wrong, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from procession_tasks.definition.imagefile import parse_image_file
from procession_tasks.definition.manifest import parse_manifest
from procession_tasks.errors import DefinitionError, Problem


def problems_of(file: str) -> tuple[Problem, ...]:
    """Check one file by itself and return everything that is wrong with it."""
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        return (Problem(file, 1, "", "must be a readable file", error.strerror),)
    try:
        if file.endswith((".yaml", ".yml")):
            parse_image_file(text, file)
        else:
            parse_manifest(text, file)
    except DefinitionError as error:
        return error.problems
    return ()


def main(argv: Sequence[str]) -> int:
    """Check the files named on the command line and print the verdicts."""
    parser = argparse.ArgumentParser(prog="python -m procession_tasks.definition", description="check definitions")
    parser.add_argument("--json", action="store_true", help='print a list of {"file", "ok", "errors"}')
    parser.add_argument("files", nargs="+", metavar="FILE")
    arguments = parser.parse_args(argv)
    verdicts = [(file, problems_of(file)) for file in arguments.files]
    if arguments.json:
        print(json.dumps([_verdict(file, problems) for file, problems in verdicts], indent=2))
    else:
        for file, problems in verdicts:
            print("\n".join(map(str, problems)) if problems else f"{file}: ok")
    return 1 if any(problems for _, problems in verdicts) else 0


def _verdict(file: str, problems: tuple[Problem, ...]) -> dict[str, Any]:
    errors = [
        {
            "line": problem.line,
            "key": problem.key,
            "rule": problem.rule,
            "got": problem.got,
            "hint": problem.hint,
            "message": str(problem),
        }
        for problem in problems
    ]
    return {"file": file, "ok": not problems, "errors": errors}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
