"""doit's commands that take images out of the build: to a registry, to a cluster, or to this machine's engine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from procession_tasks.errors import BuildError, DefinitionError
from procession_tasks.graph import asked
from procession_tasks.graph.commands import INTERRUPTED, Run
from procession_tasks.graph.located import DEFINITION, FAILED, USAGE
from procession_tasks.graph.session import session
from procession_tasks.interruption import InterruptedWorkError


def _text(name: str, meaning: str) -> dict[str, Any]:
    return {"name": name, "long": name, "type": str, "default": "", "help": meaning}


def _flag(name: str, meaning: str) -> dict[str, Any]:
    return {"name": name, "long": name, "type": bool, "default": False, "help": meaning}


class Push(Run):
    """Pushes images as `run push:IMAGE` does, to where the options say."""

    name = "push"
    doc_purpose = "push images for all platforms to a registry"
    doc_usage = "[IMAGE ...]"
    cmd_options = (
        *Run.cmd_options,
        _text("registry", "a registry and a path in it, such as registry.example/team (default: the setting)"),
        {
            "name": "tag",
            "long": "tag",
            "type": list,
            "default": [],
            "help": "a tag beside the version; may be repeated",
        },
        _flag("force", "move tags that name another image"),
        _flag("insecure", "allow a registry without TLS"),
    )

    def execute(self, params: Any, args: list[str]) -> int:
        asked.pushing.set(
            asked.Pushing(params["registry"] or None, tuple(params["tag"]), params["force"], params["insecure"])
        )
        return super().execute(params, [f"push:{word.removeprefix('push:')}" for word in args] or ["push"])


class Outward(Run):
    """Has something built, says so on stderr, then does something with it that needs no lock on the tree."""

    def build_then(self, params: Any, words: list[str], do: Callable[[], None]) -> int:
        """Run tasks, then `do` if all went well; returns the exit status."""
        params["outfile"] = sys.stderr
        status: int = super().execute(params, words)
        if status != 0:
            return status
        return self.attempt(do)

    def attempt(self, do: Callable[[], None]) -> int:
        """Do something, tell of mistakes, and return the exit status."""
        try:
            do()
            sys.stdout.flush()
        except DefinitionError as error:
            sys.stderr.write(f"{error}\n")
            return DEFINITION
        except BuildError as error:
            sys.stderr.write(f"{error}\n")
            return FAILED
        except BrokenPipeError:  # who read our output has ended, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except (KeyboardInterrupt, InterruptedWorkError):
            from procession_tasks.graph.actions import interrupt  # loaded already if something was built

            interrupt()
            sys.stderr.write("interrupted\n")
            return INTERRUPTED
        return 0

    def prepared(self, params: Any, do: Callable[[], None]) -> int:
        """Do something that needs the repository and no task."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        self.loader.setup(params)
        return self.attempt(do)

    def takes_nothing(self, args: list[str]) -> bool:
        """Tell of words that the command does not take, and whether there are none."""
        if args:
            sys.stderr.write(f"doit: {self.name} must be given no tasks, got {args[0]!r}\n")
        return not args


class Kubernetes(Outward):
    """Renders the kustomize base with every image pinned by its digest."""

    name = "kubernetes"
    doc_purpose = "render deploy/kubernetes with the images that are built, each by its digest"
    doc_usage = ""
    cmd_options = (
        *Run.cmd_options,
        _text("registry", "where images are pulled from, such as registry.example/team (default: the setting)"),
        _text("output", "a folder for a file an object (default: all of it on stdout)"),
    )

    def execute(self, params: Any, args: list[str]) -> int:
        def render() -> None:
            from procession_tasks.graph.deploying import print_rendered  # other commands deploy nothing

            print_rendered(session(), params["registry"] or None, params["output"] or None)

        return self.build_then(params, ["index-oci"], render) if self.takes_nothing(args) else USAGE


class Deploy(Outward):
    """Brings a cluster to what was built and pushed."""

    name = "deploy"
    doc_purpose = "bring a Kubernetes cluster to the images that are built and pushed"
    doc_usage = ""
    cmd_options = (
        *Run.cmd_options,
        _text("registry", "where images are pulled from (default: the setting)"),
        _text("context", "a context of kubectl's configuration (default: the current one)"),
        _flag("dry-run", "change nothing, say what would change"),
        _flag("force", "overwrite what somebody else has set in the cluster since"),
        {"name": "timeout", "long": "timeout", "type": int, "default": 300, "help": "seconds for each roll-out"},
    )

    def execute(self, params: Any, args: list[str]) -> int:
        def bring() -> None:
            from procession_tasks.graph import deploying  # other commands deploy nothing

            where, force = (params["registry"] or None, params["context"] or None), params["force"]
            if params["dry-run"]:
                deploying.show(session(), *where, force=force)
            else:
                deploying.bring(session(), *where, params["timeout"], force=force)

        return self.build_then(params, ["index-oci"], bring) if self.takes_nothing(args) else USAGE


class Up(Outward):
    """Starts the system on this machine."""

    name = "up"
    doc_purpose = "start the system on this machine, each part when what it needs is healthy"
    doc_usage = "[IMAGE ...]"

    def execute(self, params: Any, args: list[str]) -> int:
        from procession_tasks.graph import running  # other commands run nothing

        words: list[str] = []
        failed = self.prepared(params, lambda: words.extend(running.tasks(session(), args)))
        return failed or self.build_then(params, words, lambda: running.up(session(), args))


class Down(Outward):
    """Stops the system."""

    name = "down"
    doc_purpose = "stop what `doit up` started, and remove all of it but the volumes"
    doc_usage = ""
    cmd_options = (*Run.cmd_options, _flag("volumes", "remove what the system keeps as well"))

    def execute(self, params: Any, args: list[str]) -> int:
        from procession_tasks.graph import running  # as above

        if not self.takes_nothing(args):
            return USAGE
        return self.prepared(params, lambda: running.down(session(), volumes=params["volumes"]))


class Ps(Outward):
    """Says how the parts of the system are."""

    name = "ps"
    doc_purpose = "say how the parts of the system are, and where they listen"
    doc_usage = ""

    def execute(self, params: Any, args: list[str]) -> int:
        from procession_tasks.graph import running  # as above

        return self.prepared(params, lambda: running.ps(session())) if self.takes_nothing(args) else USAGE


class Logs(Outward):
    """Prints what the parts of the system print."""

    name = "logs"
    doc_purpose = "print what the parts of the system print"
    doc_usage = "[IMAGE ...]"
    cmd_options = (*Run.cmd_options, _flag("follow", "go on until they end"))

    def execute(self, params: Any, args: list[str]) -> int:
        from procession_tasks.graph import running  # as above

        return self.prepared(params, lambda: running.logs(session(), args, follow=params["follow"]))
