"""What TAB completes, asked of the shells themselves; and how long that takes."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once

REPOSITORY = Path(__file__).resolve().parents[2]
SHELLS = ("bash", "zsh", "fish")
SLOWEST_MS = 100  # as people notice; asserted with room for a busy machine
ROOM = 5

BASH = r"""
source "$1"
COMP_WORDBREAKS=$' \t\n"\'@><=;|&(:'
shift
for line in "$@"; do
    COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
    word=${line##* } command=${line%% *}
    began=$EPOCHREALTIME
    case $command in *build*.bash) _doit_door "$command" ;; *) _doit "$command" ;; esac 2>/dev/null
    ended=$EPOCHREALTIME
    case ${word##*[:=]} in *@*) kept=${word%@*} ;; *) kept=${word%"${word##*[:=]}"} ;; esac
    printf '%s\n' "= $(( ${ended/./} - ${began/./} ))" "${COMPREPLY[@]/#/$kept}"
done
"""
FISH = r"""
source $argv[1]
for line in $argv[2..]
    set began (date +%s%N)
    set found (complete -C $line)
    set ended (date +%s%N)
    echo "= "(math "($ended - $began) / 1000")
    string replace -r '\t.*' '' -- $found
end
"""
ZSH = r"""
PS1= RPS1= ; unsetopt zle_bracketed_paste prompt_cr
autoload -Uz compinit && compinit -u -D
zmodload zsh/datetime
source $SCRIPT
_try() {
    local -a seen
    compadd() {
        local -a these
        local word
        for word in "$@"; do
            case $word in (--|-) break ;; (-[OAD]) builtin compadd "$@"; return ;; esac
        done
        builtin compadd -A these "$@"
        seen+=("${these[@]}")
        (( $#these ))
    }
    local began=$EPOCHREALTIME
    _main_complete
    local ended=$EPOCHREALTIME
    unfunction compadd
    print -rl -- "= $(( (ended - began) * 1000000 ))" "${seen[@]}" > $ANSWER.part
    mv $ANSWER.part $ANSWER
}
zle -C try complete-word _try
bindkey '^T' try
"""


class Shell:
    """A shell with the script, which says what a begun command line may become."""

    def __init__(self, name: str, script: Path, folder: Path) -> None:
        self.name, self.script, self.folder = name, script, folder
        self.took_ms: dict[str, float] = {}

    def __call__(self, line: str, at: Path | None = None) -> set[str]:
        asked = {"bash": self._bash, "fish": self._fish, "zsh": self._zsh}[self.name]
        head, *words = asked(line, at or self.folder).splitlines()
        assert head.startswith("= "), head
        self.took_ms[line] = float(head[2:]) / 1000
        whole = {word.rstrip() for word in words if word}
        # zsh has taken `--report=` off the word before it looks for the rest.
        option = re.search(r"(--[a-z-]+=)\S*$", line)
        return {f"{option[1]}{word}" for word in whole} if option and self.name == "zsh" else whole

    def _bash(self, line: str, at: Path) -> str:
        return self._ended(["bash", "--norc", "--noprofile", "-c", BASH, "bash", str(self.script), line], at)

    def _fish(self, line: str, at: Path) -> str:
        return self._ended(["fish", "--no-config", "-c", FISH, str(self.script), line], at)

    def _ended(self, command: list[str], at: Path) -> str:
        environment = os.environ | {"HOME": str(self.script.parent), "PWD": str(at)}
        ended = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, timeout=60)
        assert ended.stderr == ""
        return ended.stdout

    def _zsh(self, line: str, at: Path) -> str:
        """Type the line into an interactive zsh; its completion works nowhere else."""
        answer = self.script.parent / "answer"
        answer.unlink(missing_ok=True)
        setup = self.script.parent / "setup.zsh"
        setup.write_text(ZSH)
        environment = {**os.environ, "HOME": str(self.script.parent), "PWD": str(at), "TERM": "dumb"}
        environment |= {"SCRIPT": str(self.script), "ANSWER": str(answer)}
        leader, follower = pty.openpty()
        shell = subprocess.Popen(
            ["zsh", "-f", "-i"], cwd=at, env=environment, stdin=follower, stdout=follower, stderr=follower,
            start_new_session=True,
        )  # fmt: skip
        os.close(follower)
        try:
            os.write(leader, f"source {setup}; print -r -- rea''dy\n".encode())
            _read_until(leader, "ready")
            os.write(leader, line.encode() + b"\x14")
            deadline = time.monotonic() + 30
            while not answer.exists():
                assert time.monotonic() < deadline, _read_until(leader, "")
                time.sleep(0.01)
            return answer.read_text()
        finally:
            shell.kill()
            shell.wait()
            os.close(leader)


def _read_until(terminal: int, word: str) -> str:
    seen, deadline = "", time.monotonic() + 20
    while word not in seen or not seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")
    return seen


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The script of each shell."""
    folder, found = tmp_path_factory.mktemp("scripts"), {}
    for name in SHELLS:
        said = subprocess.run(
            [sys.executable, "-m", "doit", "completion", name],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        found[name] = folder / f"doit.{name}"
        found[name].write_text(said.stdout)
    return found


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, scripts: dict[str, Path], tmp_path: Path) -> Iterator[Any]:
    """Each shell, in this repository unless it is told another folder."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    script = shutil.copyfile(scripts[request.param], tmp_path / f"doit.{request.param}")
    shell = Shell(request.param, script, REPOSITORY)
    yield shell
    for line, took in shell.took_ms.items():
        print(f"{request.param}: {took:.1f} ms for {line!r}")


@pytest.fixture(scope="module")
def tasks() -> list[str]:
    """Every task of this repository."""
    said = subprocess.run(
        [sys.executable, "-m", "doit", "list", "--all", "-q"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.split()


IMAGES = {"api", "etcd", "iam", "memcached", "mysql", "prometheus"}


def test_the_first_word_is_a_command_or_a_stage(shell: Shell, tasks: list[str]) -> None:
    found = shell("doit ")
    stages = {task for task in tasks if ":" not in task}
    assert found >= stages | {"list", "up", "completion", "help", "cache"}
    assert not found & {"strace", "dumpdb", "tabcompletion", "reset-dep"}
    assert shell("doit bu") == {"build"}


def test_a_stage_goes_on_with_the_images_that_it_is_for(shell: Shell, tasks: list[str]) -> None:
    for stage in ("build", "go-compile", "inject-binary", "inject-packages", "lock", "release"):
        expected = {task for task in tasks if task.startswith(f"{stage}:") and "@" not in task}
        assert shell(f"doit {stage}:") == expected, stage


def test_an_image_goes_on_with_its_platforms(shell: Shell) -> None:
    assert shell("doit pack-aci:api") == {"pack-aci:api", "pack-aci:api@linux-arm64"}
    assert shell("doit pack-aci:api@") == {"pack-aci:api@linux-arm64"}
    assert shell("doit release:api") == {"release:api"}  # one for all platforms
    assert shell("doit build:me") == {"build:memcached", "build:memcached@linux-arm64"}
    assert shell("doit build:zzz") == set()


def test_a_command_goes_on_with_what_it_takes(shell: Shell) -> None:
    assert shell("doit cache ") == {"stats", "gc", "verify", "key"}
    assert shell("doit schema s") == {"system"}
    assert shell("doit up ") == IMAGES
    assert shell("doit lock ") == {"etcd", "memcached", "mysql", "prometheus"}
    assert shell("doit info go-compile:") == {"go-compile:api", "go-compile:iam"}
    assert {"push", "build"} <= shell("doit help ")
    assert shell("doit ps ") == set()


def test_several_tasks_and_options_before_them(shell: Shell) -> None:
    expected = {"build:api", "build:api@linux-arm64"}
    assert shell("doit build:iam build:ap") == expected
    assert shell("doit -c build:ap") == expected
    assert shell("doit -n 4 build:ap") == expected
    assert shell("doit --report build build:ap") == expected
    assert shell("doit --report=build build:ap") == expected


def test_options_of_the_command_are_known(shell: Shell) -> None:
    assert {"--report=", "--always-execute", "--continue"} <= {
        word.rstrip("=") + "=" * ("report" in word) for word in shell("doit --")
    }
    assert {word.rstrip("=") for word in shell("doit push --re")} == {"--registry", "--report", "--reporter"}
    assert shell("doit clean --d") == {"--dry-run"}
    assert not [word for word in shell("doit --") if "db-file" in word or "pdb" in word]
    assert {word.rpartition("=")[2] for word in shell("doit list --sort=")} == {"name", "definition"}


def test_a_file_for_the_report(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "somewhere"
    (folder / "reports").mkdir(parents=True)
    (folder / "report.json").write_text("")
    for line in ("doit --report rep", "doit --report=rep", "doit -o rep"):
        found = {word.rpartition("=")[2].rstrip("/") for word in shell(line, folder)}
        assert found >= {"report.json", "reports"}, line


def test_the_door_takes_names_of_images(shell: Shell) -> None:
    assert shell("deploy/container-build.bash ") == IMAGES
    assert shell("deploy/container-build.bash me") == {"memcached"}
    assert shell("deploy/container-build.bash verify:ap") == {"verify:api", "verify:api@linux-arm64"}


def test_images_are_found_where_the_settings_say_and_from_folders_below(shell: Shell, workspace: Any) -> None:
    workspace.write(
        "pyproject.toml", "[tool.procession]\ndefinitions = 'images' # moved\n\n" + workspace.read("pyproject.toml")
    )
    workspace.path("deploy/aci").rename(workspace.path("images"))
    assert shell("doit build:", workspace.root) == {"build:api", "build:iam"}
    assert shell("doit build:", workspace.path("services/cmd")) == {"build:api", "build:iam"}


def test_programs_are_known_once_they_were_built(shell: Shell, workspace: Any) -> None:
    for program in ("ctl", "web"):
        workspace.write(f"build/state/inputs/api/{program}@linux-amd64.inputs", "")
    names = {"go-compile:api", "go-compile:api/ctl", "go-compile:api/web"}
    found = shell("doit go-compile:api", workspace.root)
    assert found == names | {f"{name}@linux-arm64" for name in names}
    assert "go-compile:api/ctl" in shell("doit go-compile:api/c", workspace.root)


def test_platforms_are_read_from_lists_of_either_style(shell: Shell, workspace: Any) -> None:
    yaml = workspace.read("deploy/aci/api/image.yaml")
    workspace.write(
        "deploy/aci/api/image.yaml",
        yaml.replace(
            "platforms: [linux/amd64, linux/arm64]", "platforms: # linux/386\n- linux/amd64\n  # no\n- linux/s390x"
        ),
    )
    assert shell("doit build:api@", workspace.root) == {"build:api@linux-s390x"}


def test_nothing_in_the_name_of_a_folder_is_run(shell: Shell, workspace: Any) -> None:
    for name in ("$(touch pwned)", "`touch pwned`", "a b", ";touch pwned", "*"):
        workspace.write(f"deploy/aci/{name}/image.yaml", "go:\nplatforms: [linux/amd64]\n")
    assert shell("doit build:", workspace.root) == {"build:api", "build:iam"}
    assert shell("doit go-compile:", workspace.root) == {"go-compile:api", "go-compile:iam"}
    assert not list(workspace.root.rglob("pwned"))


def test_where_there_is_no_repository_commands_are_known_all_the_same(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "nothing here"
    folder.mkdir()
    assert {"build", "list"} <= shell("doit ", folder)
    assert shell("doit build:", folder) == set()
    assert shell("doit up ", folder) == set()


def test_a_hundred_images_take_no_time_that_is_noticed(shell: Shell, workspace: Any, tmp_path: Path) -> None:
    yaml, settings = (workspace.read(name) for name in ("deploy/aci/api/image.yaml", "pyproject.toml"))
    for number in range(98):
        workspace.write(f"deploy/aci/s{number:02}/image.yaml", yaml)
    workspace.write("pyproject.toml", settings + (REPOSITORY / "pyproject.toml").read_text().split("[tool.mypy]")[1])
    for line, count in (("doit ", 30), ("doit build:", 100), ("doit go-compile:", 100), ("doit build:s42", 2)):
        took = []
        for _ in range(3):
            assert len(shell(line, workspace.root)) >= count
            took.append(shell.took_ms[line])
        assert min(took) < SLOWEST_MS * ROOM, line


def test_a_script_starts_neither_python_nor_doit(scripts: dict[str, Path]) -> None:
    for script in scripts.values():
        lines = script.read_text().splitlines()
        code = [line for line in lines if not line.lstrip().startswith(("#", "'", "set -g __doit_"))]
        assert not re.search(r"python|\$\(doit|`|command doit", "\n".join(code))


def test_the_script_of_bash_is_clean(scripts: dict[str, Path]) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    checked = subprocess.run(["shellcheck", str(scripts["bash"])], capture_output=True, text=True)
    assert checked.stdout == ""


def test_tab_in_a_terminal_completes_the_word(scripts: dict[str, Path], tmp_path: Path) -> None:
    """In bash itself, whose own breaks of words are in the way: `build:me` becomes `build:memcached`."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "PS1": "> ", "HOME": str(tmp_path)}
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"], cwd=REPOSITORY, env=environment, stdin=follower, stdout=follower,
        stderr=follower, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    try:
        os.write(leader, f"source {scripts['bash']}; doit() {{ printf '<%s>' \"$@\"; echo; }}; echo rea''dy\n".encode())
        _read_until(leader, "ready")
        os.write(leader, b"doit bui\t:iam veri\t:etcd@\t list --stat\t\n")
        said = _read_until(leader, "<--stat")
    finally:
        shell.kill()
        shell.wait()
        os.close(leader)
    assert "<build:iam><verify:etcd@linux-arm64><list><--stat" in said


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ((), "completion must be given a shell: bash, fish, zsh"),
        (("bahs",), "completion must be given a shell: bash, fish, zsh, got 'bahs'\n  hint: did you mean bash?"),
        (("bash", "zsh"), "completion must be given a shell: bash, fish, zsh, got 'bash zsh'"),
    ],
)
def test_a_shell_that_is_none_is_wrong_usage(workspace: Any, words: tuple[str, ...], what: str) -> None:
    ended = workspace.doit("completion", *words)
    assert (ended.status, ended.out, ended.err) == (2, "", f"doit: {what}\n")
