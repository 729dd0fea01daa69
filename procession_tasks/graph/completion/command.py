"""`doit completion`: prints the script that has a shell complete commands, tasks, images and options."""

from __future__ import annotations

import sys
from typing import Any

from procession_tasks.graph.located import Explained

SHELLS = ("bash", "fish", "zsh")


class Completion(Explained):
    """Prints a script for a shell, which asks neither doit nor Python when TAB is pressed."""

    name = "completion"
    doc_purpose = "print a script that has bash, zsh or fish complete commands, tasks, images and options"
    doc_usage = "bash|fish|zsh"

    def __init__(self, cmds: Any = None, **kwargs: Any) -> None:
        super().__init__(cmds=cmds, **kwargs)
        self._cmds, self._made_with = cmds, {"cmds": cmds, **kwargs}

    def execute(self, params: Any, args: list[str]) -> int:
        del params
        if len(args) != 1 or args[0] not in SHELLS:
            from procession_tasks.definition.shape import did_you_mean  # only a mistake pays for it

            got = f", got {' '.join(args)!r}" if args else ""
            near = did_you_mean(args[0], SHELLS) if len(args) == 1 else None
            return self.misused(f"completion must be given a shell: {', '.join(SHELLS)}{got}", near)
        from procession_tasks.graph.completion.script import script  # needed here alone
        from procession_tasks.graph.completion.vocabulary import vocabulary
        from procession_tasks.graph.helpcommand import is_ours, stages
        from procession_tasks.graph.topics import COMMANDS

        commands = [made(**self._made_with) for made in self._cmds.to_dict().values()]
        ours = [command for command in commands if is_ours(command) or command.name in COMMANDS]
        sys.stdout.write(script(args[0], vocabulary(ours, stages())))
        return 0
