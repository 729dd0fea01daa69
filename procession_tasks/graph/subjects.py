"""What the tasks of a stage are about, for who names them without making them.  Pure."""

from __future__ import annotations

# Stages that images without programs, or without packages, do not go through.
OF_PROGRAMS = frozenset(["go-inputs", "go-compile"])
OF_PACKAGES = frozenset(["fetch-packages", "inject-packages", "lock", "outdated"])
WITHOUT_PACKAGES = frozenset(["inject-binary"])
WITH_BUDGETS = frozenset(["check-size"])
# Stages with one task an image, whatever its platforms.
ONCE = frozenset(["index-oci", "release", "validate", "push", "run", "lock", "outdated"])
