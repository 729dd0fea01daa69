"""`doit watch --run` replaces what runs when its image changes."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MAIN = """\
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	fmt.Println("this is one")
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	<-asked
}
"""
SYSTEM = """\
name: watched
images:
  api: {}
  iam: {}
"""


@pytest.fixture
def ask(podman_store: dict[str, str]) -> Callable[..., str]:
    """Ask podman something."""

    def asked(*words: str) -> str:
        return subprocess.run(["podman", *words], env=podman_store, capture_output=True, text=True, check=False).stdout

    return asked


@pytest.mark.slow
def test_the_container_of_an_image_that_changed_is_replaced_and_no_other(
    tmp_path: Path, new_workspace: Any, podman_store: dict[str, str], ask: Callable[..., str]
) -> None:
    workspace = new_workspace(tmp_path / "repository")
    for name in ("api", "iam"):
        workspace.write(f"services/cmd/{name}/main.go", MAIN)
    workspace.write("deploy/system.yaml", SYSTEM)
    log = tmp_path / "log"

    def until(what: str, count: int = 1) -> None:
        deadline = time.monotonic() + 120
        while len(re.findall(what, log.read_text())) < count:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def running() -> dict[str, str]:
        rows = ask("ps", "--format={{.Names}} {{.ID}}").split("\n")
        return dict(row.split() for row in rows if row)

    environment = workspace.environment | podman_store | {"PROCESSION_ENGINE": "podman"}
    command = [sys.executable, "-m", "doit", "watch", "--run"]
    with Path(tempfile.gettempdir(), "procession-podman.lock").open("w") as lock, log.open("wb") as out:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as other tests of podman do
        watch = subprocess.Popen(command, cwd=workspace.root, env=environment, stdout=out, stderr=out)
        try:
            until("watching ")
            before = running()
            assert before.keys() == {"watched-api", "watched-iam"}

            workspace.edit("services/cmd/api/main.go", "this is one", "this is two")
            until("done after ")
            after = running()
            assert after["watched-iam"] == before["watched-iam"]
            assert after["watched-api"] != before["watched-api"]
            assert "this is two" in ask("logs", "watched-api")

            workspace.edit("services/cmd/api/main.go", "this is", "this is \n")
            until("failed with status 1 after ")
            assert running() == after

            watch.send_signal(signal.SIGINT)
            assert watch.wait(timeout=10) == 130
            assert "no longer watching, what runs stays (doit down ends it)\n" in log.read_text()
            assert running() == after
        finally:
            if watch.poll() is None:
                os.kill(watch.pid, signal.SIGTERM)
                watch.wait()
            ask("rm", "--force", "--all", "-t", "0")
            ask("network", "prune", "--force")
