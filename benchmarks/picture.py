"""Makes docs/terminal.svg: what a build looks like at a terminal, while it runs and when it is done.

    .venv/bin/python -m benchmarks.picture docs/terminal.svg

It clones this repository, builds all images with an empty cache, changes two of them, and builds in a fresh
clone: two are built, the others come from the cache.  Needs git and tmux, and a mirror for the packages.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
COLUMNS, ROWS = 80, 44
WIDTH, HEIGHT, MARGIN = 8.4, 18, 16  # of a character, of a row, around all
PROMPT = "$ "
STYLES = {"": "#d0d7de", "31": "#ff7b72", "32": "#3fb950", "36": "#39c5cf", "2": "#8b949e"}
SGR = re.compile(r"\x1b\[([0-9;]*)m")
BAR = re.compile(r"^[━─]+ +\d+/\d+ ")

Row = list[tuple[str, str]]  # pieces of text, each with its colour


class Tmux:
    """A terminal that nobody sees."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.socket, self.environment = folder / "tmux", environment

    def __call__(self, *words: str) -> str:
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def rows(self) -> list[Row]:
        """What is on the screen, without the empty rows below it."""
        rows, colour = [], ""
        for line in self("capture-pane", "-p", "-e").splitlines():
            row, colour = pieces(line, colour)
            rows.append(row)
        while rows and not rows[-1]:
            rows.pop()
        return rows


def pieces(line: str, colour: str) -> tuple[Row, str]:
    """Divide a row by its colours; the one it ends with goes on in the next."""
    row: Row = []
    for number, part in enumerate(SGR.split(line)):
        if number % 2:
            colour = next((code for code in reversed(part.split(";")) if code in STYLES), "")
        elif part:
            row.append((part, colour))
    return row, colour


def text(row: Row) -> str:
    return "".join(part for part, _ in row)


def frames(clone: Path, folder: Path, environment: dict[str, str]) -> tuple[list[Row], list[Row]]:
    """Build in a terminal; return what it shows when most runs at once, and in the end."""
    tmux = Tmux(folder, environment)
    tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(clone), "bash --norc --noprofile")
    tmux("send-keys", f"PS1='{PROMPT}'; clear", "Enter")
    time.sleep(0.5)
    tmux("send-keys", "doit", "Enter")
    best: list[Row] = []
    try:
        while True:
            time.sleep(0.1)
            rows = tmux.rows()
            if len(rows) > 2 and text(rows[-1]) == PROMPT.strip():
                return best, rows[:-1]
            if rows and BAR.match(text(rows[-1])) and (len(rows) > len(best) or not best) and len(rows) < ROWS // 2:
                best = rows
    finally:
        tmux("kill-server")


def panel(rows: list[Row], top: float) -> Iterator[str]:
    height = len(rows) * HEIGHT + MARGIN
    yield f'<rect x="0" y="{top:.0f}" width="100%" height="{height}" rx="8" fill="#0d1117"/>'
    for number, row in enumerate(rows, start=1):
        yield f'<text y="{top + number * HEIGHT:.0f}">{"".join(words(row))}</text>'


def words(row: Row) -> Iterator[str]:
    """Place what stands between gaps by itself, so that columns are straight in every font."""
    column = 0
    for colour, same in groupby(row, key=lambda piece: piece[1]):
        whole = "".join(part for part, _ in same)
        for word in re.finditer(r"\S+(?: \S+)*", whole):
            kind = f' class="c{colour}"' if colour else ""
            x = MARGIN + (column + word.start()) * WIDTH
            yield f'<tspan x="{x:.1f}"{kind}>{html.escape(word[0], quote=False)}</tspan>'
        column += len(whole)


def picture(during: list[Row], after: list[Row]) -> str:
    """Lay out both, one below the other."""
    second = len(during) * HEIGHT + 2 * MARGIN
    height = second + len(after) * HEIGHT + MARGIN
    width = COLUMNS * WIDTH + 2 * MARGIN
    colours = "".join(f".c{code}{{fill:{colour}}}" for code, colour in STYLES.items() if code)
    style = f"text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre;fill:{STYLES['']}}}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}">'
    title = "<title>doit at a terminal: while it builds, and when it is done</title>"
    body = [head, title, f"<style>{style}{colours}</style>", *panel(during, 0), *panel(after, second), "</svg>", ""]
    return "\n".join(body)


def edit(clone: Path) -> None:
    """Change a program, and a file of an image of packages."""
    source = clone / "services/internal/iam/routes.go"
    before = source.read_text()
    source.write_text(before.replace("change could not be stored", "change was not stored"))
    assert source.read_text() != before
    settings = clone / "deploy/aci/prometheus/rootfs/etc/prometheus/prometheus.yml"
    settings.write_text(settings.read_text() + "# edited\n")


def main(output: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("TMUX", "NO_COLOR"))}
        environment |= {"PATH": path, "LC_ALL": "C.UTF-8"}
        environment |= {"PROCESSION_CACHE": "on", "PROCESSION_CACHE_DIR": str(folder / "cache")}
        for clone in (folder / "first", folder / "second"):
            subprocess.run(["git", "clone", "-q", REPOSITORY, clone], check=True)
            if clone.name == "first":
                subprocess.run(["doit"], cwd=clone, env=environment, check=True)
        edit(clone)
        output.write_text(picture(*frames(clone, folder, environment)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
