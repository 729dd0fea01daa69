"""What image.yaml and the settings may say of Debian packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from procession_tasks.definition.imagefile import parse_image_file
from procession_tasks.definition.load import load_image
from procession_tasks.definition.model import Debian
from procession_tasks.definition.project import load_project
from procession_tasks.definition.schema import image_schema
from procession_tasks.errors import DefinitionError

FILE = "deploy/aci/etcd/image.yaml"
MANIFEST = """{"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "sample.example/etcd",
"app": {"exec": ["/usr/bin/etcd"], "user": "%s", "group": "0"}}"""


def debian(text: str) -> Debian:
    found = parse_image_file(f"debian: {text}\n".encode(), FILE).debian
    assert found is not None
    return found


def refused(text: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        parse_image_file(text.encode(), FILE)
    return str(caught.value)


def test_packages_are_all_that_must_be_said() -> None:
    assert debian("{packages: [etcd-server]}") == Debian(("etcd-server",))


def test_everything_can_be_said() -> None:
    assert debian(
        "{packages: [etcd-server, libstdc++6], omit: {adduser: declared}, prune: [usr/share/man, '**/*.gz'],"
        " keep: ['usr/share/doc/*/copyright'], suites: [bookworm, bookworm-security],"
        " waive: {link: {/etc/mtab: made at run time}, script: {prometheus chown: declared}}}"
    ) == Debian(
        ("etcd-server", "libstdc++6"),
        (("adduser", "declared"),),
        ("usr/share/man", "**/*.gz"),
        ("usr/share/doc/*/copyright",),
        ("bookworm", "bookworm-security"),
        (("link", (("/etc/mtab", "made at run time"),)), ("script", (("prometheus chown", "declared"),))),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("platforms: [linux/amd64]\n", "go: must be given, or debian\n  hint: add go: the Go program"),
        ("debain: {packages: [etcd]}\n", "debain: must be a known key\n  hint: did you mean debian?"),
        ("debian: {}\n", "debian.packages: must be given\n  hint: add packages: packages, whose"),
        ("debian: {packages: []}\n", "debian.packages: must have at least 1 item"),
        ("debian: {packages: [Etcd]}\n", "debian.packages[0]: must be the name of a Debian package, got 'Etcd'"),
        ("debian: {packages: [etcd=1]}\n", "debian.packages[0]: must be the name of a Debian package"),
        ("debian: {packages: [etcd, etcd]}\n", "debian.packages: must name each once, got etcd"),
        ("debian: {packages: [etcd], omit: [adduser]}\n", "debian.omit: must be a mapping"),
        ("debian: {packages: [etcd], omit: {adduser: ''}}\n", "debian.omit.adduser: must be a reason, in words"),
        ("debian: {packages: [etcd], omit: {etcd: no}}\n", "debian.omit.etcd: must be a reason, in words"),
        ("debian: {packages: [etcd], omit: {etcd: why}}\n", "debian.omit: must not omit what packages asks for"),
        ("debian: {packages: [etcd], prune: [/usr/share]}\n", "debian.prune[0]: must be a pattern of paths relative"),
        ("debian: {packages: [etcd], prune: [usr/../etc]}\n", "debian.prune[0]: must be a pattern of paths relative"),
        ("debian: {packages: [etcd], prune: [usr//share]}\n", "debian.prune[0]: must be a pattern of paths relative"),
        ("debian: {packages: [etcd], prune: [usr/share/]}\n", "debian.prune[0]: must be a pattern of paths relative"),
        ("debian: {packages: [etcd], prune: [a, a]}\n", "debian.prune: must name each once, got a"),
        ("debian: {packages: [etcd], suites: []}\n", "debian.suites: must have at least 1 item"),
        ("debian: {packages: [etcd], waive: {links: {/a: b}}}\n", "hint: did you mean link?"),
        ("debian: {packages: [etcd], waive: {link: [/a]}}\n", "debian.waive.link: must be a mapping"),
    ],
)
def test_a_mistake_is_told_where_it_is(text: str, said: str) -> None:
    assert refused(text).startswith(f"{FILE}:1: ")
    assert said in refused(text)


def test_the_schema_wants_a_program_or_packages() -> None:
    schema = image_schema()
    assert schema["anyOf"] == [{"required": ["go"]}, {"required": ["debian"]}]
    assert schema["properties"]["debian"]["required"] == ["packages"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that builds no Go program."""
    folder = tmp_path / "deploy/aci/etcd"
    folder.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[tool.procession.debian]\nsuites = ['trixie']\n")
    (folder / "image.yaml").write_text("debian: {packages: [etcd-server]}\n")
    (folder / "manifest").write_text(MANIFEST % "nobody")
    return tmp_path


def load(root: Path) -> Any:
    return load_image(root, load_project(root), "etcd")


def test_suites_are_the_settings_unless_the_image_says_others(repository: Path) -> None:
    assert load(repository).file.debian.suites == ("trixie",)
    (repository / FILE).write_text("debian: {packages: [etcd-server], suites: [sid]}\n")
    assert load(repository).file.debian.suites == ("sid",)


def test_packages_bring_root_and_nobody_and_no_other_user(repository: Path) -> None:
    assert load(repository).manifest.app.user == "nobody"
    (repository / "deploy/aci/etcd/manifest").write_text(MANIFEST % "etcd")
    with pytest.raises(DefinitionError, match=r"app\.user: must be a number, or a user under accounts"):
        load(repository)


def test_a_program_needs_the_settings_of_go(repository: Path) -> None:
    (repository / FILE).write_text("go: {package: ./cmd/etcd, binary: /bin/etcd}\n")
    with pytest.raises(DefinitionError, match=r"image.yaml:1: go: must go with the settings of Go in pyproject.toml"):
        load(repository)
