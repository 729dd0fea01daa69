"""`doit doctor`: what this machine lacks for this repository, what that is for, and how to get it."""

from __future__ import annotations

import atexit
import dataclasses
import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from procession_tasks.graph.located import FAILED, Explained

if TYPE_CHECKING:
    from procession_tasks.graph.doctor.finding import Finding
    from procession_tasks.graph.doctor.needs import Needs

_MARKS = {"ok": "ok", "missing": "missing", "absent": "-"}
_MARK, _NAME = 9, 15


class Doctor(Explained):
    """Looks at the machine without changing anything; ends with 1 if something needed here is missing."""

    name = "doctor"
    doc_purpose = "say what this machine lacks for this repository, what that is for, and how to get it"
    doc_usage = ""
    cmd_options = (
        {
            "name": "json",
            "long": "json",
            "type": bool,
            "default": False,
            "help": "print a list of objects: name, status, found, use, needed, remedy",
        },
    )

    def execute(self, params: Any, args: list[str]) -> int:
        if args:
            return self.misused(f"doctor must be given nothing, got {args[0]!r}")
        found = examine()
        if params["json"]:
            rows = [dataclasses.asdict(one) | {"status": one.status} for one in found]
            for row in rows:
                del row["there"]
            sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        else:
            sys.stdout.writelines(f"{line}\n" for line in told(found))
        return FAILED if any(one.status == "missing" for one in found) else 0


def examine() -> list[Finding]:
    """Look at everything; what takes time to answer is asked at once."""
    from concurrent.futures import ThreadPoolExecutor  # only who asks for it pays for it

    from procession_tasks.graph.doctor import places, python, tools
    from procession_tasks.graph.doctor.needs import needs
    from procession_tasks.graph.session import session

    atexit.register(gc.freeze)  # as where images are built, which is not loaded here
    needed, found = needs(session().root, session().environment)
    looks: tuple[Callable[[Needs], Iterator[Finding]], ...]
    looks = (python.findings, tools.go, tools.debian, tools.engine, tools.others, places.folders, places.servers)
    with ThreadPoolExecutor(len(looks)) as pool:
        answers = pool.map(lambda look: list(look(needed)), looks)
        return found + [one for answer in answers for one in answer]


def told(found: Iterable[Finding]) -> Iterator[str]:
    """Tell findings to people: what is there in a line, of the rest what it is for and how to get it."""
    missing = 0
    for one in found:
        yield f"{_MARKS[one.status]:<{_MARK}}{one.name:<{_NAME}}{one.found}"
        if not one.there:
            missing += one.needed
            yield f"{'':<{_MARK + _NAME}}for {one.use}"
            if one.remedy:
                yield f"{'':<{_MARK + _NAME}}hint: {one.remedy}"
    yield ""
    if missing:
        yield f"{missing} of the things that this repository needs {'is' if missing == 1 else 'are'} missing"
    else:
        yield "this repository has all it needs here"
