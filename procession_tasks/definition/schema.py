"""The JSON Schema of image.yaml, from the model that loads it, and the files for editors.  Pure."""

from __future__ import annotations

import json
from typing import Any

from procession_tasks.definition.model import IMAGE_FILE

IMAGE_SCHEMA = "image.schema.json"  # beside the definitions; each image.yaml names it in its first line


def image_schema() -> dict[str, Any]:
    """Describe image.yaml for editors.

    Source: JSON Schema, draft 2020-12.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "image.yaml",
        "description": "how the content of an image comes about",
        **IMAGE_FILE.schema(),
    }


def schema_text(schema: dict[str, Any]) -> str:
    """Render a schema as the file that editors read."""
    return json.dumps(schema, indent=2) + "\n"
