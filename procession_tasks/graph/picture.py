"""The graph of tasks as it is drawn: images, their tasks, and which of these are stale.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["fresh", "behind", "stale"]

STATES: Mapping[State, str] = {
    "stale": "runs in the next build",
    "behind": "runs if what it needs comes out different",
    "fresh": "up to date",
}
_MOST = 120  # tasks that can be told apart on a page
_SUBJECT = re.compile(r"(?P<image>[^/@]*)(/(?P<program>[^@]+))?(@(?P<platform>.+))?")


@dataclass(frozen=True, slots=True)
class Box:
    """A task: `kind` is its stage, `needs` are the tasks of the picture that it depends on.

    `program` and `platform` are empty for a task that is of no certain one; `why` it is stale, empty if it is not.
    """

    task: str
    kind: str
    image: str
    program: str
    platform: str
    state: State
    why: str
    needs: tuple[str, ...]

    @property
    def label(self) -> str:
        """What tells it from the other tasks of its image and platform."""
        return f"{self.kind} {self.program}" if self.program else self.kind


@dataclass(frozen=True, slots=True)
class Image:
    """An image with its tasks, each after those that it needs."""

    name: str
    boxes: tuple[Box, ...]

    @property
    def state(self) -> State:
        """The state of an image is that of its worst task."""
        states = {box.state for box in self.boxes}
        return next(state for state in STATES if state in states)

    @property
    def summary(self) -> str:
        """The image's state, and which tasks are stale."""
        stale = [box.task.replace(f":{self.name}", "", 1) for box in self.boxes if box.state == "stale"]
        return f"stale: {', '.join(stale)}" if stale else self.state


@dataclass(frozen=True, slots=True)
class Picture:
    """All images that were asked for, by name; `title` says what was."""

    title: str
    images: tuple[Image, ...]

    @property
    def boxes(self) -> Iterator[Box]:
        """Every task, image by image."""
        return (box for image in self.images for box in image.boxes)

    @property
    def is_crowded(self) -> bool:
        """Whether only images can be drawn, not their tasks; no image needs another, so little is lost."""
        return len(self.images) > 1 and sum(len(image.boxes) for image in self.images) > _MOST

    @property
    def summary(self) -> str:
        """How many tasks there are, and how many of them are stale."""
        states = [box.state for box in self.boxes]
        counted = [f"{states.count(state)} {state}" for state in STATES if state in states]
        images = "1 image" if len(self.images) == 1 else f"{len(self.images)} images"
        return f"{self.title}: {images}, {len(states)} tasks: {', '.join(counted) or 'none'}"


def reached(words: Iterable[str], tasks: Mapping[str, Any]) -> list[Any]:
    """List the tasks that words name and all they depend on, each after what it needs.

    What stands for a whole stage is left out, and what only has tasks wait for one another (its name
    begins with an underscore): they would join images that have nothing in common.
    """
    found: dict[str, Any] = {}

    def visit(name: str) -> None:
        if name in found or name.startswith("_"):
            return
        for needed in tasks[name].task_dep:
            visit(needed)
        found[name] = tasks[name]

    for word in words:
        visit(word)
    return [task for task in found.values() if not task.has_subtask]


def picture(title: str, tasks: Iterable[Any], stale: Mapping[str, str]) -> Picture:
    """Draw tasks, each after those it needs; `stale` says why each that is not up to date would run."""
    boxes: dict[str, Box] = {}
    for task in tasks:
        needs = tuple(sorted(name for name in {*task.task_dep} if name in boxes))
        kind, _, subject = task.name.partition(":")
        match = _SUBJECT.fullmatch(subject)
        image, program, platform = match.group("image", "program", "platform") if match else (subject, "", "")
        state: State = "stale" if task.name in stale else _by_needs(boxes[name].state for name in needs)
        why = stale.get(task.name, "")
        boxes[task.name] = Box(task.name, kind, image, program or "", platform or "", state, why, needs)
    names = sorted({box.image for box in boxes.values()})
    images = (Image(name, tuple(box for box in boxes.values() if box.image == name)) for name in names)
    return Picture(title, tuple(images))


def _by_needs(states: Iterable[State]) -> State:
    return "fresh" if all(state == "fresh" for state in states) else "behind"
