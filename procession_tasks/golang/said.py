"""What the go command printed, as a message of ours: places from the repository's root, no noise.  Pure."""

from __future__ import annotations

import re

_SOURCE = r"[^\s:#][^:\n]*\.(?:go|s|S|c|cc|cpp|cxx|h|hpp|m|swig|swigcxx)|go\.mod|go\.work|vendor/modules\.txt"
_PLACE = re.compile(rf"^(?:go: )?(?:\./)?((?:{_SOURCE}):[0-9]+)", re.MULTILINE)
_NOISE = re.compile(r"^go: errors parsing [^\n]*:\n", re.MULTILINE)
_USAGE = re.compile(r"^usage: (?:go|link|compile|asm) .*", re.MULTILINE | re.DOTALL)
_UP = re.compile(r"^(?:\.\./)+")


def said(text: bytes, module: str, root: str) -> str:
    """Rewrite what `go` said when it ran in the folder `module` of the repository at `root`."""
    message = text.decode("utf-8", "replace").strip().replace(f"{root}/", "")
    message = _USAGE.sub("", _NOISE.sub("", message)).strip()
    return _PLACE.sub(lambda match: _from_root(match[1], module), message)


def _from_root(place: str, module: str) -> str:
    """Turn a place as seen from the module's folder into one as seen from the root."""
    if place.startswith(f"{module}/") or module == ".":
        return place
    up = _UP.match(place)
    steps = len(up[0]) // 3 if up else 0
    parts = module.split("/")
    return "/".join([*parts[: len(parts) - steps], place[3 * steps :]])
