"""JSON with a line for each item of a list: for machines, and for people who look for one.  Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def render(content: Mapping[str, Any]) -> str:
    """Render an object, its lists with a line an item; Python's own indentation is many times as slow."""
    pairs = (f"  {json.dumps(key)}: {_value(value)}" for key, value in content.items())
    return "{\n" + ",\n".join(pairs) + "\n}\n"


def _value(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"
