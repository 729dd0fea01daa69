"""The graph as it is drawn: what is in the picture, where it stands, and that others can read it."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from procession_tasks.graph.columns import column_of_each, lay_out
from procession_tasks.graph.dot import to_dot
from procession_tasks.graph.mermaid import to_mermaid
from procession_tasks.graph.picture import Picture, picture, reached
from procession_tasks.graph.svg import to_svg

HOSTILE = 'a"b<script>&\\;`]-->\udcff\x00\x1b[1m#quot; é%%'
SVG = "{http://www.w3.org/2000/svg}"


@dataclass
class Task:
    """What a picture reads of doit's tasks."""

    name: str
    task_dep: list[str] = field(default_factory=list)
    has_subtask: bool = False


def program(name: str) -> Iterator[Task]:
    """The tasks of an image of a Go program."""
    yield Task(f"go-inputs:{name}")
    yield Task(f"go-compile:{name}", ["_go-inputs:mode", f"go-inputs:{name}"])
    yield Task(f"inject-binary:{name}", [f"go-compile:{name}"])
    yield from ending(name, f"inject-binary:{name}")


def packages(name: str) -> Iterator[Task]:
    """The tasks of an image of packages."""
    yield Task(f"fetch-packages:{name}")
    yield Task(f"inject-packages:{name}", [f"fetch-packages:{name}"])
    yield from ending(name, f"inject-packages:{name}")


def ending(name: str, needed: str) -> Iterator[Task]:
    yield Task(f"pack-aci:{name}", [needed])
    yield Task(f"pack-oci:{name}", [needed])
    yield Task(f"build:{name}", [f"pack-aci:{name}", f"pack-oci:{name}"])


def drawn(*tasks: Task, **stale: str) -> Picture:
    return picture("build", tasks, {name.replace("__", ":").replace("_", "-"): why for name, why in stale.items()})


def states(of: Picture) -> Mapping[str, str]:
    return {box.task: box.state for box in of.boxes}


SIX = drawn(*program("api"), *packages("etcd"), *program("iam"), go_inputs__iam="auth.go changed")
MANY = drawn(*(task for number in range(100) for task in program(f"s{number:04}")), go_inputs__s0044="main.go changed")
ODD = picture("build", list(program(HOSTILE)), {f"go-inputs:{HOSTILE}": f"{HOSTILE} changed"})
PICTURES = pytest.mark.parametrize("of", [SIX, MANY, ODD, drawn()], ids=["six", "many", "odd", "none"])


# What is in the picture


def test_a_picture_has_what_was_asked_for_and_all_that_needs_and_nothing_else() -> None:
    tasks = {task.name: task for name in ("api", "iam") for task in program(name)}
    tasks["_go-inputs:mode"] = Task("_go-inputs:mode", ["go-inputs:api", "go-inputs:iam"])
    tasks["build"] = Task("build", ["build:api", "build:iam"], has_subtask=True)

    names = [task.name for task in reached(["inject-binary:api"], tasks)]
    assert names == ["go-inputs:api", "go-compile:api", "inject-binary:api"]
    assert {task.name for task in reached(["build"], tasks)} == tasks.keys() - {"_go-inputs:mode", "build"}


def test_what_needs_something_stale_is_behind_as_far_as_that_leads() -> None:
    assert states(SIX) | states(drawn(*packages("etcd"))) == states(SIX)
    assert {name: state for name, state in states(SIX).items() if name.endswith(":iam")} == {
        "go-inputs:iam": "stale",
        "go-compile:iam": "behind",
        "inject-binary:iam": "behind",
        "pack-aci:iam": "behind",
        "pack-oci:iam": "behind",
        "build:iam": "behind",
    }
    assert SIX.summary == "build: 3 images, 17 tasks: 1 stale, 5 behind, 11 fresh"


def test_platforms_and_programs_show_in_what_a_task_is_called() -> None:
    two = drawn(Task("go-compile:api/tool@linux-arm64"), Task("go-compile:api/main"))
    assert [(box.image, box.label, box.platform) for box in two.boxes] == [
        ("api", "go-compile tool", "linux-arm64"),
        ("api", "go-compile main", ""),
    ]


def test_images_stand_for_their_tasks_when_there_are_many() -> None:
    assert not SIX.is_crowded
    assert MANY.is_crowded
    assert not drawn(*(Task(f"go-compile:api/p{number}") for number in range(200))).is_crowded  # nothing to tell apart


# Where it stands


def test_stages_are_columns_and_what_ends_alike_is_aligned() -> None:
    assert column_of_each(SIX.boxes) == {
        "go-inputs": 0,
        "go-compile": 1,
        "fetch-packages": 1,
        "inject-binary": 2,
        "inject-packages": 2,
        "pack-aci": 3,
        "pack-oci": 3,
        "build": 4,
    }


def test_no_two_tasks_stand_in_one_place_and_edges_go_to_the_right() -> None:
    laid = lay_out(SIX)
    assert len({(place.column, place.row) for place in laid.places}) == len(laid.places) == 17
    columns = {place.box.task: place.column for place in laid.places}
    assert all(columns[needed] < columns[box.task] for box in SIX.boxes for needed in box.needs)
    assert [(strip.image, strip.top, strip.rows) for strip in laid.strips] == [
        ("api", 0, 2),
        ("etcd", 2, 2),
        ("iam", 4, 2),
    ]


def test_platforms_are_rows_and_programs_run_side_by_side() -> None:
    tasks = [Task(f"{kind}:api/{name}{of}") for kind in ("go-inputs",) for name in "ab" for of in ("", "@linux-arm64")]
    tasks += [Task(task.name.replace("inputs", "compile"), [task.name]) for task in tasks]
    laid = lay_out(drawn(*tasks))

    (strip,) = laid.strips
    assert [(band.label, band.top, band.rows) for band in strip.bands] == [("", 0, 2), ("linux-arm64", 2, 2)]
    rows = {place.box.task: place.row for place in laid.places}
    assert all(rows[box.task] == rows[needed] for box in drawn(*tasks).boxes for needed in box.needs)


# SVG


@PICTURES
def test_svg_is_well_formed_and_needs_nothing_from_elsewhere(of: Picture) -> None:
    text = to_svg(of)
    tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(text).iter()}
    assert tags <= {"svg", "title", "style", "rect", "text", "path", "g"}
    assert not re.search(r"url\(|@import|@font-face|href|<script", text)
    assert "prefers-color-scheme:dark" in text


def test_svg_names_every_task_and_says_why_it_is_stale() -> None:
    titles = [element.text for element in ET.fromstring(to_svg(SIX)).iter(f"{SVG}title")]
    assert "go-inputs:iam: auth.go changed" in titles
    assert {box.task for box in SIX.boxes} == {title.rpartition(": ")[0] for title in titles[1:] if title}


def test_svg_of_many_images_fits_a_page_and_has_a_square_a_task() -> None:
    root = ET.fromstring(to_svg(MANY))
    assert int(root.attrib["width"]) < 1400
    assert int(root.attrib["height"]) < 900
    squares = [element for element in root.iter(f"{SVG}rect") if element.find(f"{SVG}title") is not None]
    assert len(squares) == 600
    assert [element.attrib["class"] for element in squares].count("stale") == 1


def test_hostile_names_stay_text() -> None:
    texts = [element.text or "" for element in ET.fromstring(to_svg(ODD)).iter(f"{SVG}text")]
    assert any('a"b<script>&' in text for text in texts)


@PICTURES
def test_a_picture_is_drawn_the_same_every_time(of: Picture) -> None:
    for render in (to_svg, to_dot, to_mermaid):
        assert render(of) == render(of)
        assert render(of).endswith("\n")


# DOT


@PICTURES
def test_graphviz_takes_the_dot(of: Picture) -> None:
    if shutil.which("dot") is None:
        pytest.skip("dot is not installed")
    text = to_dot(of).encode("utf-8", "replace")
    done = subprocess.run(["dot", "-Tsvg"], input=text, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert not done.stderr
    nodes = re.findall(rb'class="node"', done.stdout)
    assert len(nodes) == len(of.images if of.is_crowded else list(of.boxes))


# Mermaid

_ID = r"[a-z]+_?[a-z0-9]*"
_LABEL = r'\["(?:[^"\\<>&`#;]|#\d+;)*"\]'
_LINES = [
    r"%% .*",
    r"flowchart LR",
    rf"subgraph {_ID}{_LABEL}",
    r"direction LR",
    rf"{_ID}{_LABEL}:::(fresh|behind|stale)",
    r"end",
    rf"{_ID} --> {_ID}",
    rf"{_ID}( ~~~ {_ID})+",
    r"classDef (fresh|behind|stale) [a-z0-9#:, -]+",
]


@PICTURES
def test_mermaid_is_of_the_few_forms_that_are_needed(of: Picture) -> None:
    lines = to_mermaid(of).splitlines()
    assert [line for line in lines if not any(re.fullmatch(form, line.strip()) for form in _LINES)] == []
    depth = 0
    for line in map(str.strip, lines):
        depth += line.startswith("subgraph") - (line == "end")
        assert depth in (0, 1)
    assert depth == 0


def test_mermaid_of_many_images_stays_below_what_mermaid_draws() -> None:
    text = to_mermaid(MANY)
    assert len(text) < 50_000  # maxTextSize
    assert text.count("~~~") < 500  # maxEdges
    assert 's0044: stale: go-inputs"]:::stale' in text


_JUDGE = """\
const modules = process.argv[1];
const { JSDOM } = await import(`${modules}/jsdom/lib/api.js`);
globalThis.window = new JSDOM("").window;
globalThis.document = window.document;
const { default: mermaid } = await import(`${modules}/mermaid/dist/mermaid.core.mjs`);
let text = "";
for await (const part of process.stdin) text += part;
console.log((await mermaid.parse(text)).diagramType);
"""


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """Where npm has put mermaid and jsdom for all."""
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    root = subprocess.run(["npm", "root", "--global"], capture_output=True, text=True, check=True).stdout.strip()
    for name in ("mermaid", "jsdom"):
        if not Path(root, name).is_dir():
            pytest.skip(f"the npm package {name} is not installed")
    return Path(root)


@pytest.mark.slow
@PICTURES
def test_mermaid_itself_takes_it(of: Picture, node_modules: Path) -> None:
    command = ["node", "--input-type=module", "-e", _JUDGE, str(node_modules)]
    done = subprocess.run(command, input=to_mermaid(of).encode("utf-8", "replace"), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip().startswith("flowchart")


# The documents


def test_the_picture_in_the_documents_is_small_and_one_of_ours() -> None:
    content = (Path(__file__).parents[2] / "docs/graph.svg").read_bytes()
    assert len(content) < 60_000
    root = ET.fromstring(content)
    assert root.find(f"{SVG}title").text == "build: 6 images, 32 tasks: 2 stale, 8 behind, 22 fresh"
    style = ET.fromstring(to_svg(SIX)).find(f"{SVG}style")
    assert root.find(f"{SVG}style").text == style.text
