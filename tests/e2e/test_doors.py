"""The front doors: deploy/container-build.bash and its other name, in a checkout of this project."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOOR = "deploy/container-build.bash"
DOORS = pytest.mark.parametrize("door", [DOOR, "deploy/build-oci.bash"])
PINS = "constraints.txt"
OF_PIP = ("pip", "setuptools", "procession-tasks", "procession_tasks")


@pytest.fixture
def environment() -> dict[str, str]:
    """What a user has: the programs of the machine, and no sign of the tests' own Python."""
    own = Path(sys.prefix, "bin")
    path = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != own]
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PROCESSION_PYTHON", "PYTHONHOME")
    return {name: value for name, value in os.environ.items() if name not in ours} | {"PATH": os.pathsep.join(path)}


def knock(
    root: Path, environment: dict[str, str], *words: str, door: str = DOOR, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Go through a door of a checkout and wait."""
    return subprocess.run(
        [str(root / door), *words],
        cwd=folder or root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture
def furnished(project: Path) -> Path:
    """A checkout whose .venv is complete: it borrows the packages of the tests' own Python."""
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/doit").symlink_to(Path(sys.prefix, "bin/doit"))
    (project / ".venv/bin/python").symlink_to(sys.executable)
    stamp = subprocess.run(
        f"cat {PINS} pyproject.toml | cksum", shell=True, cwd=project, capture_output=True, text=True, check=True
    ).stdout.strip()
    (project / f".venv/.{PINS}").write_text(stamp)
    return project


def images(root: Path) -> list[str]:
    """The names of the images that were built."""
    return sorted("-".join(path.name.split("-")[:2]) for path in root.glob("build/aci/*.aci"))


# Names and arguments


@DOORS
@pytest.mark.slow
def test_a_name_builds_that_image_with_and_without_its_prefix(
    furnished: Path, environment: dict[str, str], door: str
) -> None:
    first = knock(furnished, environment, "procession-api", door=door)
    assert (first.returncode, images(furnished)) == (0, ["procession-api"]), first.stderr
    second = knock(furnished, environment, "api", door=door)
    assert (second.returncode, second.stdout) == (0, "nothing to do: 5 tasks up to date\n")
    third = knock(furnished, environment, "procession-iam", "api", door=door)
    assert (third.returncode, images(furnished)) == (0, ["procession-api", "procession-iam"])


@pytest.mark.slow
def test_no_name_builds_all_and_a_second_time_nothing(furnished: Path, environment: dict[str, str]) -> None:
    first = knock(furnished, environment)
    built = [f"procession-{name}" for name in ("api", "etcd", "iam", "memcached", "mysql", "prometheus")]
    assert (first.returncode, images(furnished)) == (0, built), first.stderr
    second = knock(furnished, environment)
    assert (second.returncode, second.stdout, second.stderr) == (0, "nothing to do: 26 tasks up to date\n", "")


@pytest.mark.parametrize("word", ["nope", "procession-nope"])
def test_an_unknown_name_is_wrong_usage_and_the_known_ones_are_listed(
    furnished: Path, environment: dict[str, str], word: str
) -> None:
    ended = knock(furnished, environment, word)
    assert ended.returncode == 2
    assert "nope" in ended.stderr
    assert "api, etcd, iam, memcached, mysql, prometheus" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert images(furnished) == []


@pytest.mark.slow
def test_options_are_passed_on(furnished: Path, environment: dict[str, str]) -> None:
    assert knock(furnished, environment, "-n", "1", "api").returncode == 0
    again = knock(furnished, environment, "api", "-a")
    assert again.returncode == 0
    assert "5 tasks run, 0 up to date" in again.stdout


def test_help_is_told(furnished: Path, environment: dict[str, str]) -> None:
    ended = knock(furnished, environment, "--help")
    assert ended.returncode == 0, ended.stderr
    assert "usage" in ended.stdout.lower()


def test_an_unknown_option_is_wrong_usage(furnished: Path, environment: dict[str, str]) -> None:
    ended = knock(furnished, environment, "--no-such-option")
    assert ended.returncode == 2
    assert "no-such-option" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_task_can_be_named_in_full(furnished: Path, environment: dict[str, str]) -> None:
    ended = knock(furnished, environment, "validate:api")
    assert (ended.returncode, ended.stdout) == (0, "deploy/aci/api: ok\n")


@pytest.mark.slow
def test_it_works_from_anywhere_and_through_links(furnished: Path, environment: dict[str, str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "link").symlink_to(os.path.relpath(furnished / DOOR, elsewhere))
    (elsewhere / "link-to-link").symlink_to("link")
    assert knock(furnished, environment, "api", folder=Path("/")).returncode == 0
    assert images(furnished) == ["procession-api"]
    for link in ("link", "link-to-link"):
        ended = knock(elsewhere, environment, "api", door=link, folder=elsewhere)
        assert (ended.returncode, ended.stdout) == (0, "nothing to do: 5 tasks up to date\n"), ended.stderr
    assert sorted(path.name for path in elsewhere.iterdir()) == ["link", "link-to-link"]


# Python

FAKE = """\
#!/bin/sh
case $1 in
    --version) echo "Python 3.9.2" ;;
    *) exit 1 ;;
esac
"""
TOOLS = ("bash", "cat", "cksum", "dirname", "env", "flock", "head", "readlink", "sed", "sh", "tail", "tr", "uname")


@pytest.fixture
def old_python(tmp_path: Path, environment: dict[str, str], needed: Any) -> dict[str, str]:
    """An environment whose only Python says that it is 3.9."""
    folder = tmp_path / "old"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(needed(tool))
    (folder / "python3").write_text(FAKE)
    (folder / "python3").chmod(0o755)
    return environment | {"PATH": str(folder)}


@DOORS
def test_an_old_python_is_refused_in_one_line(project: Path, old_python: dict[str, str], door: str) -> None:
    ended = knock(project, old_python, "api", door=door)
    assert (ended.returncode, ended.stdout) == (1, "")
    lines = ended.stderr.splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in ("3.11", "3.9.2", "PROCESSION_PYTHON"))
    assert not (project / ".venv").exists()


def test_no_python_at_all_is_told_in_one_line(project: Path, old_python: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "old/python3").unlink()
    ended = knock(project, old_python)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert len(ended.stderr.splitlines()) == 1
    assert "needs Python 3.11 or newer" in ended.stderr


def test_a_chosen_python_that_is_not_there_is_named(project: Path, environment: dict[str, str]) -> None:
    ended = knock(project, environment | {"PROCESSION_PYTHON": "/nonexistent/python3.12"})
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert "/nonexistent/python3.12" in ended.stderr


# A .venv of its own


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let one test at a time download packages."""
    with (tmp_path_factory.getbasetemp().parent / "downloads.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_whole(root: Path, environment: dict[str, str]) -> None:
    """Build once with what is there of .venv, then see that it is complete and used."""
    ended = knock(root, environment, "api")
    assert ended.returncode == 0, ended.stderr
    assert images(root) == ["procession-api"]
    again = knock(root, environment, "api")
    assert (again.returncode, again.stdout, again.stderr) == (0, "nothing to do: 5 tasks up to date\n", "")
    assert (root / ".venv/bin/doit").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_a_fresh_checkout_gets_a_venv_with_the_pinned_packages(project: Path, environment: dict[str, str]) -> None:
    environment = environment | {"PROCESSION_PYTHON": os.path.realpath(sys.executable)}
    first = knock(project, environment, "validate:api")
    assert (first.returncode, first.stdout) == (0, "deploy/aci/api: ok\n"), first.stderr
    assert first.stderr == "making .venv with the packages of constraints.txt\n"
    made_whole(project, environment)
    pip = [project / ".venv/bin/python", "-m", "pip", "--disable-pip-version-check", "list", "--format=freeze"]
    installed = subprocess.run(pip, capture_output=True, text=True, check=True).stdout.splitlines()
    pins = (project / PINS).read_text()
    found = {line.lower().replace("_", "-") for line in installed if line.partition("==")[0] not in OF_PIP}
    assert found == {line.partition(" ")[0] for line in pins.splitlines() if re.match(r"[a-z].*==", line)}


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_a_venv_interrupted_before_pip_was_in_it_is_mended(project: Path, environment: dict[str, str]) -> None:
    """`python -m venv` puts bin/python there first and pip last; Ctrl-C comes in between."""
    python = os.path.realpath(sys.executable)
    subprocess.run([python, "-m", "venv", "--without-pip", str(project / ".venv")], check=True)
    made_whole(project, environment | {"PROCESSION_PYTHON": python})


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_a_venv_killed_while_packages_were_installed_is_mended(project: Path, environment: dict[str, str]) -> None:
    environment = environment | {"PROCESSION_PYTHON": os.path.realpath(sys.executable)}
    running = subprocess.Popen(
        [str(project / DOOR), "api"], cwd=project, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(project.glob(".venv/lib/python3*/site-packages/pip/__main__.py")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (project / f".venv/.{PINS}").exists()
    made_whole(project, environment)


@pytest.mark.slow
def test_other_pins_make_the_venv_anew(
    furnished: Path, old_python: dict[str, str], environment: dict[str, str]
) -> None:
    """With no Python to make it with, the door says so instead of going on with the old packages."""
    ready = environment | {"PATH": f"{old_python['PATH']}{os.pathsep}{environment['PATH']}"}
    assert knock(furnished, ready, "validate:api").returncode == 0
    with (furnished / PINS).open("a") as pins:
        pins.write("# another day\n")
    shutil.rmtree(furnished / ".venv/bin")
    ended = knock(furnished, old_python, "validate:api")
    assert ended.returncode == 1
    assert "needs Python 3.11" in ended.stderr
