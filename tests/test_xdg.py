"""Where caches are kept, by the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession_tasks.errors import BuildError
from procession_tasks.xdg import cache_folder


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"PROCESSION_CACHE_DIR": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/c"),
        ({"PROCESSION_CACHE_DIR": "c"}, f"{Path.cwd()}/c"),
        ({"PROCESSION_CACHE_DIR": "", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/procession"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/procession"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/procession"),
    ],
)
def test_the_cache_is_where_the_environment_says(environment: dict[str, str], folder: str) -> None:
    assert str(cache_folder(environment)) == folder


@pytest.mark.parametrize("environment", [{}, {"HOME": ""}, {"HOME": "relative"}])
def test_without_a_home_it_is_told_what_to_set(environment: dict[str, str]) -> None:
    with pytest.raises(BuildError) as failed:
        cache_folder(environment)

    assert str(failed.value) == (
        "HOME: must be set, to find the cache\n  hint: or set PROCESSION_CACHE_DIR to a folder for it"
    )
