"""Follows symbolic links within an image, and finds those that lead nowhere.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from procession_tasks.rootfs.merge import Source
from procession_tasks.rootfs.waivers import Finding

_LINK_LIMIT = 40  # what Linux follows before it calls a path a loop (path_resolution(7))
# What a container's runtime mounts, or a server makes when it starts.
_MADE_LATER = re.compile(r"(dev|proc|run|sys|tmp)(/|$)")
# Links that a machine's administrator may give a target; without one, the system's default holds.
_OPTIONAL = {"usr/share/zoneinfo/localtime": "etc/localtime"}


def destination(path: str, links: Mapping[str, str]) -> str | None:
    """Return where a path leads when all links are followed, in a root of its own; None for a circle.

    `links` has their texts, by path.  There need be nothing where it leads; the root is empty
    text.  Source: path_resolution(7).
    """
    here = ""
    ahead = path.split("/")[::-1]
    followed = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            here = here.rpartition("/")[0]
        elif part not in ("", "."):
            parent, here = here, f"{here}/{part}" if here else part
            text = links.get(here)
            if text is not None:
                followed += 1
                if followed > _LINK_LIMIT:
                    return None
                here = "" if text.startswith("/") else parent
                ahead += text.split("/")[::-1]
    return here


def link_texts(sources: Mapping[str, Source]) -> dict[str, str]:
    """Return the text of every symbolic link, by its path."""
    return {path: source.entry.link for path, source in sources.items() if source.entry.type == "symlink"}


def dangling_links(sources: Mapping[str, Source], links: Mapping[str, str]) -> Iterator[Finding]:
    """Find the links that lead to nothing that is in the image or made when it runs."""
    for path in links:
        found = destination(path, links)
        if found is None:
            yield _finding(sources[path], "must not lead in a circle")
        elif found and found not in sources and not _MADE_LATER.match(found) and _OPTIONAL.get(path) != found:
            yield _finding(sources[path], f"must lead to something, and there is no /{found}")


def _finding(source: Source, rule: str) -> Finding:
    path = source.entry.path
    message = f"/{path}: a link {rule}, got a link to {source.entry.link!r} ({source.owner})"
    return Finding("link", path, message, f"add {path} to prune")
