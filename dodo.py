"""Procession's image build: `doit list` shows what it can do, `doit` brings every image up to date.

The tasks are made from the definitions under deploy/aci; procession_tasks/graph has how.
"""

from procession_tasks.graph.doitfile import DOIT_CONFIG, task_images

__all__ = ["DOIT_CONFIG", "task_images"]
