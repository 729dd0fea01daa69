"""The settings of the repository at a session's root; who needs no definition of an image loads no more."""

from __future__ import annotations

from procession_tasks.definition.model import Project
from procession_tasks.definition.project import load_project
from procession_tasks.graph.session import Session
from procession_tasks.once import once


@once
def project(session: Session) -> Project:
    """Return the settings, read once; raises DefinitionError."""
    return load_project(session.root)
