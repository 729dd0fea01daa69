"""The JSON Schema of image.yaml, from the model that loads it.  Pure."""

from __future__ import annotations

from typing import Any

from procession_tasks.definition.model import IMAGE_FILE


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
