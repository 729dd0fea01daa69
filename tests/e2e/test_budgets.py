"""Size budgets: images that are within them, that are not, and what is done when a budget changes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytestmark = pytest.mark.slow  # each builds, some more than once

IMAGE = "deploy/aci/api/image.yaml"
BIG = "deploy/aci/api/rootfs/etc/big"


@pytest.fixture
def budgeted(workspace: Any) -> Any:
    """A repository whose image api has a budget that is kept, and is built."""
    workspace.write(IMAGE, workspace.read(IMAGE) + "size-budget: 2M\n")
    workspace.build("build:api")
    return workspace


def test_a_budget_that_is_kept_costs_one_check(budgeted: Any) -> None:
    again = budgeted.build("build:api")
    assert again.out == "nothing to do: 6 tasks up to date\n"
    assert "check-size      see that images are within their size budgets\n" in budgeted.build("list").out


def test_an_image_that_outgrows_its_budget_is_not_packed(budgeted: Any) -> None:
    packed = budgeted.files("build/aci", "build/oci")
    budgeted.write(BIG, "x" * 1_000_000)
    for _ in range(2):  # and it stays so
        ended = budgeted.doit("-c", "build:api")
        assert ended.status == 1
        line = budgeted.read(IMAGE).splitlines().index("size-budget: 2M") + 1
        rule = "the files of the image for linux/amd64 must have at most 2.0 MB"
        assert f"check-size:api: failed\n{IMAGE}:{line}: size-budget: {rule}, got 2.2 MB, " in ended.err
        grew = "  what grew since it last was within its budget:\n      +1.0 MB  rootfs: 12 B -> 1.0 MB (/etc/big)\n"
        assert grew in ended.err
        assert "hint: make it smaller, or raise its size-budget; doit sizes:api says all it holds\n" in ended.err
        assert "not built, because of that: pack-aci:api, pack-oci:api\n" in ended.err
        assert budgeted.files("build/aci", "build/oci") == packed
    budgeted.path(BIG).unlink()
    assert "check-size:api" in budgeted.build("build:api").ran
    assert budgeted.files("build/aci", "build/oci") == packed


def test_another_budget_is_checked_and_repacks_nothing(budgeted: Any) -> None:
    budgeted.edit(IMAGE, "2M", "1500K")
    assert budgeted.build("build:api").ran == ("check-size:api",)
    budgeted.edit(IMAGE, "1500K", "1MiB")
    ended = budgeted.doit("build:api")
    assert (ended.status, ended.ran) == (1, ())
    assert "must have at most 1.0 MB, got 1.2 MB, " in ended.err
    assert "  what it holds:\n       1.2 MB  go (/bin/api)\n" in ended.err
    budgeted.edit(IMAGE, "size-budget: 1MiB\n", "")
    assert budgeted.build("build:api").out == "nothing to do: 5 tasks up to date\n"


def test_a_platform_may_have_a_budget_of_its_own(workspace: Any) -> None:
    workspace.write(IMAGE, workspace.read(IMAGE) + "size-budget:\n  linux/amd64: 2M\n  linux/arm64: 1M\n")
    assert "check-size:api" in workspace.build("build:api").ran
    ended = workspace.doit("release:api")
    assert ended.status == 1
    line = workspace.read(IMAGE).splitlines().index("  linux/arm64: 1M") + 1
    assert f"check-size:api@linux-arm64: failed\n{IMAGE}:{line}: size-budget: " in ended.err
    assert "doit sizes:api@linux-arm64 says all it holds" in ended.err
    workspace.edit(IMAGE, "  linux/arm64: 1M\n", "")
    assert "check-size:api@linux-arm64" not in workspace.build("release:api").ran


def test_a_package_that_grows_is_named(packed: Any, supply: Any) -> None:
    db = "deploy/aci/db/image.yaml"
    packed.write(db, packed.read(db) + "size-budget: 10K\n")
    packed.build("build:db")
    for architecture in ("amd64", "arm64"):
        library = {f"usr/lib/libserver.{architecture}": b"a library " * 4000}
        supply.package("libserver", "1.1-1", architecture, depends="base", files=library)
    supply.archive.publish()
    packed.build("lock:db")
    ended = packed.doit("build:db")
    assert ended.status == 1
    grew = r"  what grew .*\n +\+36\.[0-9] kB  libserver: 4\.[0-9] kB -> 40\.[0-9] kB \(/usr/lib/libserver\.amd64\)\n  hint"
    assert re.search(grew, ended.err), ended.err
    assert "% of its budget of 0.0 MB\n" in packed.build("sizes:db").out


def test_sizes_say_how_much_of_a_budget_is_used(budgeted: Any) -> None:
    assert "1.2 MB in 4 files, 61 % of its budget of 2.0 MB\n" in budgeted.build("sizes:api").out
    assert "1.2 MB in 4 files\n" in budgeted.build("sizes:iam").out


def test_a_report_says_that_the_image_failed(budgeted: Any) -> None:
    budgeted.write(BIG, "x" * 1_000_000)
    budgeted.doit("build:api", "--report", "report.json")
    report = json.loads(budgeted.read("report.json"))
    assert [(one["name"], one["outcome"]) for one in report["images"]] == [("api", "failed")]
    [error] = report["errors"]
    assert (error["task"], error["file"]) == ("check-size:api", IMAGE)
    assert "/etc/big" in error["message"]


def test_what_was_remembered_may_be_lost_or_spoilt(budgeted: Any) -> None:
    record = "build/state/sizes/api@linux-amd64.sizes"
    budgeted.write(record, "nonsense")
    assert budgeted.build("build:api").ran == ("check-size:api",)
    budgeted.path(record).unlink()
    assert budgeted.build("build:api").ran == ("check-size:api",)
    assert f"remove {record}\n" in budgeted.build("clean", "check-size:api").out


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("20", "size-budget: must be a size with its unit: .*, got 20\n  hint: such as 20M"),
        ("0M", "size-budget: must be a size with its unit"),
        ("20 parsecs", "size-budget: must be a size with its unit"),
        ("[20M]", "size-budget: must be a size with its unit: .*, got a list"),
        ("{linux/arm46: 20M}", "size-budget.linux/arm46: must be one of .*\n  hint: did you mean linux/arm64"),
        ("{linux/s390x: 20M}", "size-budget: must be for platforms of the image, got linux/s390x\n  hint: platforms: "),
        ("20M\nsize_budget: 20M", "size_budget: must be a known key\n  hint: did you mean size-budget"),
    ],
)
def test_a_budget_that_is_none_is_refused(workspace: Any, written: str, told: str) -> None:
    workspace.write(IMAGE, workspace.read(IMAGE) + f"size-budget: {written}\n")
    ended = workspace.doit("validate:api")
    assert ended.status == 3
    assert re.search(told, ended.err), ended.err
