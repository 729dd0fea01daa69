"""The same sources give the same bytes: whoever builds them, wherever, whenever and in whatever environment."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ARTEFACTS = ("build/aci", "build/oci", "build/bin", "build/rootfs", "build/state/inputs")
NOBODY = 65534
PT_INTERP, PT_DYNAMIC = 3, 2
ENVIRONMENTS = {
    "a time zone": {"TZ": "Pacific/Kiritimati"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "another locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "a hash seed": {"PYTHONHASHSEED": "1"},
    "another hash seed": {"PYTHONHASHSEED": "4294967295"},
    "flags of Go": {"GOFLAGS": "-tags=other -race -ldflags=-X=main.version=leaked"},
    "another operating system": {"GOOS": "darwin", "GOARCH": "arm64"},
    "cgo": {"CGO_ENABLED": "1", "CC": "false", "CGO_CFLAGS": "-g -O0"},
    "another processor level": {"GOAMD64": "v3", "GOARM64": "v8.2"},
    "debug settings": {"GODEBUG": "panicnil=1", "GOEXPERIMENT": "rangefunc", "GOGC": "50"},
    "another toolchain": {"GOTOOLCHAIN": "go1.26.0+auto", "GOROOT": "/nonexistent", "GO111MODULE": "off"},
    "a workspace": {"GOWORK": "/nonexistent/go.work"},
    "one processor": {"GOMAXPROCS": "1"},
    "a version of nothing here": {"VERSION": "9.9.9", "SOURCE_VERSION": "x"},
}


@pytest.fixture
def cache() -> dict[str, str]:
    """The Go cache of whoever runs the tests, for builds with another home."""
    usual = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "go-build")
    return {"GOCACHE": os.environ.get("GOCACHE", str(usual))}


@pytest.fixture
def expected(new_workspace: Any, tmp_path: Path) -> dict[str, bytes]:
    """What a build in a plain place gives."""
    if not _expected:
        plain = new_workspace(tmp_path / "plain")
        plain.build()
        _expected.update(plain.files(*ARTEFACTS))
    return dict(_expected)


_expected: dict[str, bytes] = {}


@pytest.fixture
def umask() -> Iterator[Any]:
    """Set the umask until the test ends."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def assert_same(workspace: Any, expected: dict[str, bytes]) -> None:
    got = workspace.files(*ARTEFACTS)
    assert got.keys() == expected.keys()
    assert [name for name in got if got[name] != expected[name]] == []


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@sample.example", "-c", "init.defaultBranch=main")
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", *identity, *words], cwd=folder, env=environment, check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_environment_does_not_leak_in(workspace: Any, expected: dict[str, bytes], name: str) -> None:
    workspace.build(**ENVIRONMENTS[name])
    assert_same(workspace, expected)
    assert workspace.build().ran == (), "and what was built in it is as good without it"


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder", ["r", "a/folder/with a space/and-a-rather-long-name-of-its-own-for-a-repository/ü"], ids=["short", "long"]
)
def test_the_folder_does_not_matter(
    new_workspace: Any, tmp_path: Path, expected: dict[str, bytes], cache: dict[str, str], folder: str
) -> None:
    workspace = new_workspace(tmp_path / folder)
    workspace.build(**cache)
    assert_same(workspace, expected)
    for path in workspace.path("build/bin").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002], ids=oct)
def test_the_umask_does_not_matter(
    new_workspace: Any, tmp_path: Path, expected: dict[str, bytes], umask: Any, mask: int
) -> None:
    umask(mask)
    workspace = new_workspace(tmp_path / "masked")
    workspace.build()
    assert_same(workspace, expected)


@pytest.mark.slow
def test_the_order_in_which_files_were_made_does_not_matter(
    workspace: Any, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    for name in ("forth", "back"):
        other = tmp_path / name
        files = sorted((path for path in workspace.root.rglob("*") if path.is_file()), reverse=name == "back")
        for path in files:
            place = other / path.relative_to(workspace.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            os.utime(place, (len(str(path)), 10_000 * len(name)))
        copy = type(workspace)(tmp_path / "unused", ())
        copy.root = other
        copy.build()
        assert_same(copy, expected)


@pytest.mark.slow
def test_the_home_and_what_go_keeps_there_do_not_matter(
    workspace: Any, tmp_path: Path, expected: dict[str, bytes], cache: dict[str, str]
) -> None:
    home = tmp_path / "home"
    (home / ".config/go").mkdir(parents=True)
    (home / ".config/go/env").write_text("GOFLAGS=-tags=other\nCGO_ENABLED=1\nGOAMD64=v3\n")
    workspace.build(HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"), **cache)
    assert_same(workspace, expected)


@pytest.mark.slow
def test_a_git_repository_and_its_commits_do_not_matter(
    workspace: Any, expected: dict[str, bytes], needed: Any
) -> None:
    needed("git")
    git(workspace.root, "init")
    workspace.write(".gitignore", "build\n__pycache__\n")
    git(workspace.root, "add", ".")
    git(workspace.root, "commit", "-m", "one")
    workspace.build()
    assert_same(workspace, expected)
    git(workspace.root, "commit", "--allow-empty", "-m", "two")
    git(workspace.root, "tag", "v9.9.9")
    workspace.write("uncommitted", "text\n")
    assert workspace.build().ran == ()
    workspace.build("-a")
    assert_same(workspace, expected)


@pytest.mark.slow
def test_a_clone_gives_the_bytes_of_the_original(
    workspace: Any, tmp_path: Path, expected: dict[str, bytes], needed: Any
) -> None:
    needed("git")
    git(workspace.root, "init")
    git(workspace.root, "add", ".")
    git(workspace.root, "commit", "-m", "one")
    git(tmp_path, "clone", str(workspace.root), "a-clone-in-another-place")
    workspace.root = tmp_path / "a-clone-in-another-place"
    workspace.build()
    assert_same(workspace, expected)


@pytest.mark.slow
def test_another_user_with_nothing_in_a_cache_gets_the_same_bytes(
    workspace: Any, expected: dict[str, bytes], needed: Any
) -> None:
    setpriv = needed("setpriv")
    if os.getuid() != 0:
        pytest.skip("setpriv needs root to become another user")
    with tempfile.TemporaryDirectory() as made:  # pytest's own folders are closed to others
        folder = Path(made)
        folder.chmod(0o755)
        shutil.copytree(workspace.root, folder / "of-nobody")
        (folder / "home").mkdir()
        for path in (folder / "of-nobody", folder / "home", *(folder / "of-nobody").rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        workspace.root = folder / "of-nobody"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "XDG"))}
        ended = subprocess.run(
            [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", sys.executable, "-m", "doit"],
            cwd=workspace.root,
            env=inherited | {"HOME": str(folder / "home"), "GOCACHE": str(folder / "home/cache")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if ended.returncode == 126 or "Permission denied" in ended.stderr.partition("\n")[0]:
            pytest.skip(f"the Python of the tests is closed to other users: {ended.stderr.strip()}")
        assert ended.returncode == 0, ended.stderr
        assert workspace.path("build/aci").stat().st_uid == NOBODY
        assert_same(workspace, expected)


@pytest.mark.slow
def test_releases_for_every_platform_are_the_same_in_two_places(new_workspace: Any, tmp_path: Path) -> None:
    one, other = (new_workspace(tmp_path / name) for name in ("one", "another/place"))
    one.build("release", LC_ALL="C", TZ="UTC")
    other.build("release", LC_ALL="C.UTF-8", TZ="Asia/Tokyo", PYTHONHASHSEED="7")
    assert one.aci("api", "linux-arm64").is_file()
    assert_same(other, one.files(*ARTEFACTS))


@pytest.mark.slow
def test_another_source_date_changes_the_image_in_one_way_everywhere(new_workspace: Any, tmp_path: Path) -> None:
    dated = []
    for name, zone in (("one", "UTC"), ("another/place", "America/St_Johns")):
        workspace = new_workspace(tmp_path / name)
        workspace.build("build:api", SOURCE_DATE_EPOCH="1700000000", TZ=zone)
        dated.append(workspace.aci("api").read_bytes())
    assert dated[0] == dated[1]


# What is in the files


def programs(content: bytes) -> set[int]:
    """The kinds of program headers of a 64-bit little-endian ELF file."""
    assert content[:6] == b"\x7fELF\x02\x01"
    offset, size, count = struct.unpack_from("<Q", content, 32)[0], *struct.unpack_from("<HH", content, 54)
    return {struct.unpack_from("<I", content, offset + size * i)[0] for i in range(count)}


def test_the_programs_are_static(workspace: Any) -> None:
    workspace.build()
    for name in ("api", "iam"):
        assert not programs(workspace.path(f"build/bin/linux-amd64/{name}").read_bytes()) & {PT_INTERP, PT_DYNAMIC}


def test_the_reference_tool_takes_the_images(workspace: Any, actool: str) -> None:
    workspace.build()
    for name in ("api", "iam"):
        ended = subprocess.run(
            [actool, "--debug", "validate", str(workspace.aci(name))], capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert "valid app container image" in ended.stdout + ended.stderr


def _check_out(source: str, target: str) -> None:
    """Copy a file as git makes one: executable or not, and the rest up to the umask."""
    with open(os.open(target, os.O_WRONLY | os.O_CREAT, 0o777 if os.access(source, os.X_OK) else 0o666), "wb") as file:
        file.write(Path(source).read_bytes())


@pytest.mark.slow
def test_the_images_of_this_project_are_the_same_in_two_places_static_and_valid(
    project: Path, tmp_path: Path, new_workspace: Any, umask: Any, actool: str
) -> None:
    """Built by one with umask 022, and by one with umask 077, a new Go cache entry for main and another home."""
    other = tmp_path / "another/place/of the project"
    umask(0o077)
    shutil.copytree(project, other, copy_function=_check_out, symlinks=True)
    built = []
    for root, environment in ((project, {"TZ": "UTC"}), (other, {"TZ": "Asia/Tokyo", "GOFLAGS": "-tags=x"})):
        workspace = new_workspace(tmp_path / "unused", ())
        workspace.root = root
        workspace.build("build", **environment)
        built.append(workspace.files(*ARTEFACTS))
        umask(0o022)
    assert built[0] == built[1]
    images = sorted((project / "build/aci").glob("*.aci"))
    assert [image.name.split("-")[1] for image in images] == ["api", "etcd", "iam", "memcached", "mysql", "prometheus"]
    for image in images:
        subprocess.run([actool, "validate", str(image)], check=True, capture_output=True)
    for program in sorted((project / "build/bin/linux-amd64").iterdir()):
        content = program.read_bytes()
        assert not programs(content) & {PT_INTERP, PT_DYNAMIC}
        for place in (str(tmp_path), os.path.realpath(sys.prefix), str(Path.home() / ".cache")):
            assert place.encode() not in content
