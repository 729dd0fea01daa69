"""What a terminal shows of a run that goes on: a line a running action, and how far the whole is.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BUILT, CACHED, FRESH, FAILED, SKIPPED = "built", "cached", "fresh", "failed", "skipped"
COUNTED = (BUILT, CACHED, FRESH, FAILED)
RED, GREEN, CYAN, DIM = "31", "32", "36", "2"  # of Select Graphic Rendition, ECMA-48
COLOURS = {BUILT: GREEN, CACHED: CYAN, FRESH: DIM, FAILED: RED, SKIPPED: DIM}
_NAME, _BAR, _SHORTEST_BAR = 40, 30, 6  # columns
_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Look:
    """What the terminal can show: its columns and rows, colours, characters beyond ASCII."""

    columns: int
    rows: int
    colours: bool
    unicode: bool

    @property
    def name_columns(self) -> int:
        """The columns for the name of a task, those of the plain lines where there is room."""
        return max(1, min(_NAME, self.columns - 12))


@dataclass(frozen=True, slots=True)
class Running:
    """An action that runs; `detail` is what it says of how far it is."""

    name: str
    started: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """A run: the actions that run, how many tasks make files, and how many of them ended in which way."""

    begun: float
    total: int
    running: tuple[Running, ...] = ()
    ended: Mapping[str, int] | None = None


def frame(state: State, now: float, look: Look) -> list[str]:
    """Lay out the lines at the bottom, oldest action first; none is as wide as the terminal, nor all as high."""
    room = max(0, min(look.rows - 2, len(state.running)))
    shown = sorted(state.running, key=lambda one: one.started)
    left_out = len(shown) - room
    if left_out > 0 and room > 0:
        shown, left_out = shown[: room - 1], left_out + 1
        return [*(_action(one, now, look) for one in shown), _cut(f"and {left_out} more", look), _bar(state, now, look)]
    return [*(_action(one, now, look) for one in shown[:room]), _bar(state, now, look)]


def finished(name: str, seconds: float, where: str, how: str, look: Look) -> str:
    """Lay out the line of a task that ended; in a narrow terminal it may take two rows."""
    text = f"{_padded(name, look)} {seconds:6.2f} s{where}"
    return paint(text, COLOURS[how], look)


def paint(text: str, colour: str, look: Look) -> str:
    """Colour a text, where that is wanted."""
    return f"\x1b[{colour}m{text}\x1b[0m" if look.colours and text else text


def lasted(seconds: float) -> str:
    """Write a time that is still running."""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // _MINUTE_S} min {int(seconds) % _MINUTE_S:02} s"


def _action(one: Running, now: float, look: Look) -> str:
    time = lasted(max(0.0, now - one.started))
    detail = f"  {one.detail}" if one.detail else ""
    return _cut(f"{_padded(one.name, look)} {time:>8}{detail}", look)


def _bar(state: State, now: float, look: Look) -> str:
    """Draw the progress of the whole: as much of it as there is room for."""
    ended = state.ended or {}
    done = min(sum(ended.values()), state.total)
    counts = ", ".join(f"{ended[how]} {how}" for how in COUNTED if ended.get(how))
    parts = [f"{done}/{state.total}", counts, lasted(max(0.0, now - state.begun))]
    text = "  ".join(filter(None, parts))
    if len(text) >= look.columns:
        return _cut("  ".join((parts[0], parts[2])), look)
    width = min(_BAR, look.columns - len(text) - 3)
    if width < _SHORTEST_BAR:
        return text
    full = width * done // max(state.total, 1)
    of, rest = ("━", "─") if look.unicode else ("=", "-")
    colour = RED if ended.get(FAILED) else GREEN
    return f"{paint(of * full, colour, look)}{paint(rest * (width - full), DIM, look)}  {text}"


def _padded(name: str, look: Look) -> str:
    width = look.name_columns
    return name.ljust(width) if len(name) <= width else _shortened(name, width, look)


def _cut(text: str, look: Look) -> str:
    """Leave the last column free: a terminal would wait there with the next row."""
    width = max(1, look.columns - 1)
    return text if len(text) <= width else _shortened(text, width, look)


def _shortened(text: str, width: int, look: Look) -> str:
    mark = "…" if look.unicode else "."
    return text[: width - 1] + mark
