"""What editors follow: the schema that a definition names in its first line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each starts doit

REPOSITORY = Path(__file__).resolve().parents[2]
SCHEMAS = {"image": "deploy/aci/image.schema.json", "system": "deploy/system.schema.json"}
DEFINITIONS = sorted(REPOSITORY.glob("deploy/aci/*/image.yaml"))
NAMED = re.compile(r"# yaml-language-server: \$schema=(\S+)\n")


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_files_say_what_the_build_accepts_now(workspace: Any, kind: str) -> None:
    """If this fails: doit schema image -o deploy/aci/image.schema.json, and the same for system."""
    assert workspace.build("schema", kind).out == (REPOSITORY / SCHEMAS[kind]).read_text()


@pytest.mark.parametrize("file", [*DEFINITIONS, REPOSITORY / "deploy/system.yaml"], ids=lambda file: file.parent.name)
def test_a_definition_leads_an_editor_to_its_schema(file: Path) -> None:
    named = NAMED.match(file.read_text())
    assert named
    kind = "image" if file.name == "image.yaml" else "system"
    assert (file.parent / named[1]).resolve() == REPOSITORY / SCHEMAS[kind]


def judged(schema: Path, *files: Path) -> tuple[int, str]:
    check = pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    assert check
    from click.testing import CliRunner

    ended = CliRunner().invoke(check.main, ["--schemafile", str(schema), *map(str, files)])
    return ended.exit_code, ended.output


def test_another_judge_accepts_our_definitions_by_the_schema() -> None:
    assert judged(REPOSITORY / SCHEMAS["image"], *DEFINITIONS)[0] == 0
    assert judged(REPOSITORY / SCHEMAS["system"], REPOSITORY / "deploy/system.yaml")[0] == 0


@pytest.mark.parametrize(("old", "new"), [("platforms:", "platform:"), ("./cmd/api", "../cmd/api"), ("65532", "many")])
def test_an_editor_shows_a_mistake_by_the_schema(workspace: Any, old: str, new: str) -> None:
    workspace.edit("deploy/aci/api/image.yaml", old, new)
    status, said = judged(REPOSITORY / SCHEMAS["image"], workspace.path("deploy/aci/api/image.yaml"))
    assert (status, "image.yaml" in said) == (1, True)


def test_a_comment_in_a_definition_rebuilds_nothing(workspace: Any) -> None:
    workspace.build()
    before = workspace.files("build/aci", "build/oci")
    yaml = workspace.read("deploy/aci/api/image.yaml")
    workspace.write("deploy/aci/api/image.yaml", f"# yaml-language-server: $schema=../image.schema.json\n{yaml}# end\n")
    workspace.build("schema", "-o", "deploy/aci/image.schema.json")
    again = workspace.build()
    assert (again.ran, again.out) == ((), "nothing to do: 10 tasks up to date\n")
    assert workspace.files("build/aci", "build/oci") == before


def test_a_schema_is_written_to_a_file_and_only_if_it_changed(workspace: Any) -> None:
    assert workspace.build("schema", "image", "--output=new/image.schema.json").out == ""
    written = workspace.path("new/image.schema.json")
    assert written.read_text() == workspace.build("schema").out
    before = written.stat().st_mtime_ns
    workspace.build("schema", "-o", "new/image.schema.json", "image")
    assert written.stat().st_mtime_ns == before


def test_a_schema_that_is_none_and_a_file_that_cannot_be_written_are_told(workspace: Any) -> None:
    other = workspace.doit("schema", "manifest")
    assert (other.status, other.err) == (2, "doit: must be image or system, got 'manifest'\n")
    blocked = workspace.doit("schema", "-o", "dodo.py/schema.json")
    assert (blocked.status, blocked.err) == (1, "dodo.py/schema.json: File exists\n")


def test_help_and_wrong_options_are_told_without_a_traceback(workspace: Any) -> None:
    assert "image.yaml" in workspace.build("schema", "--help").out
    wrong = workspace.doit("schema", "--nope")
    assert wrong.status == 2
    assert wrong.err == "doit: option --nope not recognized\n  hint: doit schema --help lists the options\n"
