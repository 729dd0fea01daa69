"""What somebody at a terminal sees of a build: in tmux, as wide as they like, until it is done, fails or is stopped."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

pytestmark = pytest.mark.slow

INTERRUPTED = 130
BAR = re.compile(r"^[━─]+  \d+/\d+  .*\d s$|^\d+/\d+  .*\d s$", re.MULTILINE)
STATUS = re.compile(r"^status (\d+)", re.MULTILINE)  # after a kill, what was drawn is left behind it


class Tmux:
    """A terminal in a tmux of its own, in which doit runs, and then a shell says its status."""

    def __init__(self, program: str, socket: Path, workspace: Any, until: Callable[..., Any]) -> None:
        self._program, self._socket, self._workspace, self._until = program, socket, workspace, until

    def tmux(self, *words: str) -> str:
        command = [self._program, "-S", str(self._socket), "-f", "/dev/null", *words]
        return subprocess.run(
            command, env=self._workspace.environment, capture_output=True, text=True, check=True
        ).stdout

    def doit(self, *words: str, columns: int = 80, rows: int = 24, setup: str = "true", pipe: str = "") -> None:
        """Start doit; what is written before it is on the screen too."""
        run = " ".join([sys.executable, "-m", "doit", *words, pipe])
        shell = f"{setup}; echo before; {run}; echo status $?; cat"
        size = ["-x", str(columns), "-y", str(rows)]
        self.tmux("new-session", "-d", *size, "-c", str(self._workspace.root), shell)

    def screen(self, *, colours: bool = False) -> str:
        """What is on the screen, and what has scrolled off it, without the room right of it."""
        shown = self.tmux("capture-pane", "-p", "-S", "-", *(["-e"] if colours else []))
        return "\n".join(line.rstrip() for line in shown.rstrip().splitlines()) + "\n"

    def see(self, holds: Callable[[str], Any], what: str) -> str:
        """Wait until something is on the screen, and return that."""
        self._until(lambda: holds(self.screen()), f"the screen shows {what}")
        return self.screen()

    def status(self) -> int:
        """Wait for the end and return the exit status."""
        return int(STATUS.search(self.see(STATUS.search, "the status"))[1])

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int = 24) -> None:
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def cursor(self) -> tuple[bool, int]:
        """Whether the cursor is shown, and in which column."""
        flag, column = self.tmux("display-message", "-p", "#{cursor_flag} #{cursor_x}").split()
        return flag == "1", int(column)


@pytest.fixture
def terminal(workspace: Any, needed: Any, tmp_path: Path, wait_until: Any) -> Iterator[Tmux]:
    for name in ("NO_COLOR", "TERM", "TMUX", "COLUMNS", "LINES"):
        workspace.environment.pop(name, None)
    workspace.environment["LC_ALL"] = "C.UTF-8"
    made = Tmux(needed("tmux"), tmp_path / "tmux", workspace, wait_until)
    yield made
    subprocess.run([made._program, "-S", str(made._socket), "kill-server"], capture_output=True)


def compiling(screen: str) -> bool:
    return len(re.findall(r"^go-compile:\S+ +[\d.]+ s$", screen, re.MULTILINE)) == 2 and bool(BAR.search(screen))


@pytest.mark.parametrize("columns", [80, 160])
def test_what_runs_is_drawn_and_what_ended_stays_above(
    terminal: Tmux, workspace: Any, gated_go: Any, columns: int
) -> None:
    go = gated_go(workspace)
    terminal.doit(columns=columns)
    during = terminal.see(compiling, "two actions")
    before, *listed, first, second, bar = during.splitlines()
    assert before == "before"
    assert sorted(line.split()[0] for line in listed) == ["go-inputs:api", "go-inputs:iam"]
    assert sorted((first.split()[0], second.split()[0])) == ["go-compile:api", "go-compile:iam"]
    assert re.fullmatch(r"━{6}─{24}  2/10  2 built  [\d.]+ s", bar)
    later = terminal.see(lambda screen: screen.splitlines()[-1] != bar, "a later time")
    assert later.splitlines()[:3] == during.splitlines()[:3]
    go.open()
    assert terminal.status() == 0
    after = terminal.screen()
    assert not BAR.search(after), "the drawn lines are gone"
    *lines, nothing, head, api, iam, summary, _ = after.splitlines()
    assert (len(lines), nothing) == (1 + 10, "")
    assert head.split() == ["image", "outcome", "digest", "time", "size"]
    assert re.fullmatch(r"api    built    [0-9a-f]{12}  +[\d.]+ s  [\d.]+ kB", api)
    assert re.fullmatch(r"iam    built    [0-9a-f]{12}  +[\d.]+ s  [\d.]+ kB", iam)
    assert summary == "10 tasks run, 0 up to date"
    assert terminal.cursor()[0]


def test_nothing_to_do_is_one_line(terminal: Tmux, workspace: Any) -> None:
    workspace.build()
    terminal.doit()
    assert terminal.status() == 0
    assert terminal.screen() == "before\nnothing to do: 10 tasks up to date\nstatus 0\n"


def test_a_part_of_the_images_is_built_and_the_others_are_fresh(terminal: Tmux, workspace: Any) -> None:
    workspace.build()
    workspace.edit("services/internal/apionly/api.go", '"apionly"', '"edited"')
    terminal.doit()
    assert terminal.status() == 0
    rows = [line.split()[:2] for line in terminal.screen().splitlines()[-4:-2]]
    assert rows == [["api", "built"], ["iam", "fresh"]]


@pytest.mark.parametrize("columns", [20, 8])
def test_a_narrow_terminal_does_not_break(terminal: Tmux, workspace: Any, gated_go: Any, columns: int) -> None:
    go = gated_go(workspace)
    terminal.doit(columns=columns)
    during = terminal.see(lambda screen: "2/10" in screen, "two tasks done")
    assert max(map(len, during.splitlines())) <= columns
    go.open()
    assert terminal.status() == 0
    assert "2/10" not in terminal.screen(), "the drawn lines are gone"


def test_a_terminal_may_be_resized_meanwhile(terminal: Tmux, workspace: Any, gated_go: Any) -> None:
    go = gated_go(workspace)
    terminal.doit(columns=100, setup="seq 50")  # of a screen that is all but empty, tmux loses the cursor's place
    terminal.see(compiling, "two actions")
    for columns, rows in ((40, 24), (100, 24), (30, 24), (80, 24), (80, 8), (80, 24)):
        terminal.resize(columns, rows)
        time.sleep(0.5)  # tmux tells some time after it has wrapped all lines anew
        during = terminal.screen()
        assert len(BAR.findall(during)) == 1, "drawn anew, not once more"
        assert len(re.findall("^go-compile:", during, re.MULTILINE)) == 2
    go.open()
    assert terminal.status() == 0
    after = terminal.screen()
    assert not BAR.search(after)
    assert len(re.findall(r"^go-inputs:api ", after, re.MULTILINE)) == 1, "nothing was drawn over, nothing twice"


def test_a_failure_is_told_once_above_what_runs(terminal: Tmux, workspace: Any) -> None:
    workspace.edit("services/internal/apionly/api.go", '"apionly"', "nowhere")
    terminal.doit("-c", columns=160)
    assert terminal.status() == 1
    screen = terminal.screen()
    told = "services/internal/apionly/api.go:4:29: undefined: nowhere"
    assert screen.count(told) == 1
    assert (
        f"go-compile:api: failed\n# sample.example/services/internal/apionly\n{told}\n  command: go build -C services "
        in screen
    )
    assert "\n  log: build/state/logs/go-compile.api.log\n" in screen
    assert re.search(r"^api    failed +[\d.]+ s$", screen, re.MULTILINE)
    assert re.search(r"^iam    built    [0-9a-f]{12} ", screen, re.MULTILINE)
    assert not BAR.search(screen)


@pytest.mark.parametrize("how", ["key", "signal"])
def test_an_interrupted_build_leaves_the_terminal_to_others(
    terminal: Tmux, workspace: Any, gated_go: Any, how: str
) -> None:
    gated_go(workspace)
    terminal.doit(setup="stty -a | grep -o '[-]*icanon\\|[-]*echo ' | tr -d ' \n'; echo; trap : INT")
    terminal.see(compiling, "two actions")
    if how == "key":
        terminal.press("C-c")
    else:
        for process in Path("/proc").glob("[0-9]*"):
            if (process / "cmdline").exists() and _is_doit(process, workspace.root):
                time.sleep(0.05)
                subprocess.run(["kill", "-TERM", process.name], check=True)
    assert terminal.status() == INTERRUPTED
    screen = terminal.screen()
    assert not BAR.search(screen), "the drawn lines are gone"
    assert "go-compile" not in screen
    assert "image  outcome" not in screen, "nothing came to its end"
    assert "interrupted: what was finished is kept, run the same command to go on\n" in screen
    assert terminal.cursor() == (True, 0)
    assert screen.splitlines()[0] == "icanonecho"


def _is_doit(process: Path, folder: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        return b"doit" in words and b"-c" not in words and (process / "cwd").readlink() == folder
    except OSError:
        return False


def test_a_kill_leaves_the_terminal_usable(terminal: Tmux, workspace: Any, gated_go: Any, wait_until: Any) -> None:
    """Nothing has to be put back: the cursor was never hidden."""
    gated_go(workspace)
    terminal.doit()
    terminal.see(compiling, "two actions")
    (doit,) = (process for process in Path("/proc").glob("[0-9]*") if _is_doit(process, workspace.root))
    subprocess.run(["kill", "-KILL", doit.name], check=True)
    assert terminal.status() == 128 + signal.SIGKILL
    assert terminal.cursor()[0]


@pytest.mark.parametrize(
    ("setup", "coloured"), [("true", True), ("export NO_COLOR=1", False), ("export NO_COLOR=", True)]
)
def test_colours_are_there_unless_they_are_not_wanted(terminal: Tmux, setup: str, *, coloured: bool) -> None:
    terminal.doit("build:api", setup=setup)
    assert terminal.status() == 0
    assert ("\x1b[32m" in terminal.screen(colours=True)) is coloured
    assert "image  outcome" in terminal.screen()


@pytest.mark.parametrize(("setup", "pipe"), [("export TERM=dumb", ""), ("true", "| cat")], ids=["dumb", "piped"])
def test_where_nothing_can_be_drawn_lines_are_plain(terminal: Tmux, setup: str, pipe: str) -> None:
    terminal.doit("build:api", setup=setup, pipe=pipe)
    assert terminal.status() == 0
    first, *lines, last, _ = terminal.screen(colours=True).splitlines()
    assert (first, last) == ("before", "5 tasks run, 0 up to date")
    assert [line for line in lines if not re.fullmatch(r"\S+ +[0-9.]+ s", line)] == []


def test_what_is_said_meanwhile_goes_above(terminal: Tmux, workspace: Any, gated_go: Any) -> None:
    """A warning on the other stream of the same terminal."""
    go = gated_go(workspace)
    terminal.doit(setup="export PROCESSION_CACHE=on PROCESSION_CACHE_DIR=/proc/nowhere")
    during = terminal.see(lambda screen: compiling(screen) and "warning" in screen, "a warning and two actions")
    assert during.index("warning: cache /proc/nowhere") < BAR.search(during).start()
    assert len(BAR.findall(during)) == 1
    go.open()
    assert terminal.status() == 0
    assert "warning: cache /proc/nowhere" in terminal.screen()


def test_who_asks_is_told_why_each_task_runs(terminal: Tmux, workspace: Any) -> None:
    workspace.build("build:api")
    workspace.write("deploy/aci/api/rootfs/etc/motd", "new\n")
    terminal.doit("-v", "2", "build:api")
    assert terminal.status() == 0
    screen = terminal.screen()
    assert re.search(
        r"^inject-binary:api +[\d.]+ s\n  because deploy/aci/api/rootfs/etc/motd changed$", screen, re.MULTILINE
    )


def test_the_picture_of_the_documents_is_small_and_is_one() -> None:
    """`python -m benchmarks.picture` makes it."""
    picture = Path(__file__).resolve().parents[2] / "docs/terminal.svg"
    text = " ".join(part for part in ET.parse(picture).getroot().itertext())
    assert picture.stat().st_size < 60_000
    assert re.search(r"\d+/26 ", text), "while it runs"
    assert "26 tasks run, 0 up to date" in text, "when it is done"
