"""Where the time of a run went, and what would make it faster."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from procession_tasks.graph.critical import advice, chain, ready, summary
from procession_tasks.graph.record import Ran, Run
from procession_tasks.graph.tracing import to_trace

NEEDS = {
    "go-compile:api": {"go-inputs:api"},
    "inject-binary:api": {"go-compile:api"},
    "pack-aci:api": {"inject-binary:api"},
    "pack-oci:api": {"inject-binary:api"},
}
RUN = Run(
    ("build:api",),
    1_700_000_000.0,
    6.0,
    0,
    (
        Ran("go-inputs:api", "built", 0.5, 0.5, ("services/a.go changed", "go-inputs:api")),
        Ran(
            "go-compile:api", "built", 1.0, 3.0, ("services/a.go changed", "go-inputs:api", "go-compile:api"), thread=1
        ),
        Ran("inject-binary:api", "fresh"),
        Ran("pack-aci:api", "cached", 4.0, 0.5, (), "disk", 2.0),
        Ran("pack-oci:api", "built", 4.5, 1.0),
    ),
    (("fetch https://cache.example", 4.1, 0.3, 2_000_000),),
)


def names(run: Run, needs: Any = NEEDS) -> list[str]:
    return [link.ran.name for link in chain(run, needs)]


def test_the_chain_ends_with_what_ended_last_and_goes_through_what_is_fresh() -> None:
    assert names(RUN) == ["go-inputs:api", "go-compile:api", "pack-oci:api"]
    assert [link.waited for link in chain(RUN, NEEDS)] == [0.0, 0.0, 0.5]


def test_a_task_could_have_begun_when_what_it_needs_had_ended() -> None:
    assert ready(RUN, NEEDS) == {"go-inputs:api": 0.5, "go-compile:api": 1.0, "pack-aci:api": 4.0, "pack-oci:api": 4.0}


def test_of_tasks_that_nothing_is_known_of_the_last_is_the_chain() -> None:
    assert names(RUN, {}) == ["pack-oci:api"]


def test_a_circle_is_no_endless_chain() -> None:
    assert names(RUN, {"pack-oci:api": {"go-compile:api"}, "go-compile:api": {"pack-oci:api"}})[-1] == "pack-oci:api"


def test_a_run_that_did_nothing_has_no_chain() -> None:
    idle = dataclasses.replace(RUN, tasks=(Ran("go-inputs:api", "skipped"),), transfers=())
    assert (chain(idle, NEEDS), summary(idle, NEEDS, 2)) == ((), "doit build:api: 6.0 s: 1 skipped\n")


def test_the_summary_adds_up_to_the_whole() -> None:
    assert summary(RUN, NEEDS, 2) == (
        "doit build:api: 6.0 s: 3 built, 1 cached, 1 fresh\n"
        "tasks: 5.0 s, of 2 threads 1.0 at work\n"
        "fetch https://cache.example: 2.0 MB in 0.3 s, once\n"
        "\n"
        "one after another:\n"
        "   0.50 s   8 %  finding out what is stale\n"
        "   0.50 s   8 %  go-inputs:api\n"
        "   3.00 s  50 %  go-compile:api\n"
        "   0.50 s   8 %  waiting for a thread, behind pack-aci:api\n"
        "   1.00 s  17 %  pack-oci:api\n"
        "   0.50 s   8 %  keeping what the next run needs to know, and sending to caches\n"
        "\n"
        "most work:\n"
        "   3.00 s  50 %  go-compile:api\n"
        "   1.00 s  17 %  pack-oci:api\n"
        "   0.50 s   8 %  go-inputs:api\n"
        "\n"
        "to make it faster:\n"
        "- go-compile:api: keep Go's build cache (GOCACHE) from run to run, or compile on an engine (docs/cache.md)\n"
        "- pack-oci:api: a smaller image: doit sizes:api says what takes room; packages in debian.base are packed once\n"
    )


def test_how_it_ended_is_said() -> None:
    assert summary(dataclasses.replace(RUN, status=130), NEEDS, 2).startswith("doit build:api: 6.0 s, interrupted: ")
    assert summary(dataclasses.replace(RUN, status=1), NEEDS, 2).startswith("doit build:api: 6.0 s, failed: ")


def test_what_takes_little_is_no_advice() -> None:
    quick = dataclasses.replace(RUN, seconds=100.0)
    assert advice(quick, chain(quick, NEEDS), 2) == []


def test_waiting_is_mended_by_threads_and_building_by_a_cache() -> None:
    tasks = (Ran("pack-aci:a", "built", 0.0, 5.0), Ran("pack-aci:b", "built", 5.0, 5.0))
    run = Run((), 0.0, 10.0, 0, tasks)
    told = advice(run, chain(run, {}), 4)
    assert "5.0 s were spent waiting for a thread, of 1: doit -n 4 has more" in told
    few = advice(run, chain(run, {}), 1)
    assert "5.0 s were spent waiting for a thread, of 1: more processors, or less work" in few
    assert "nothing came from a cache: a team's has what others built (docs/cache.md)" in told


def test_what_had_the_thread_is_what_to_make_faster() -> None:
    """Programs are compiled together: one has done the work of all, and others waited for it."""
    tasks = (
        Ran("go-compile:a", "built", 0.0, 8.0),
        Ran("go-compile:b", "built", 0.1, 7.9, thread=1),
        Ran("go-compile:c", "built", 8.0, 0.0),
        Ran("pack-aci:c", "built", 8.0, 1.0),
    )
    run = Run((), 0.0, 9.0, 0, tasks)
    needs = {"pack-aci:c": {"go-compile:c"}}
    told = summary(run, needs, 2)
    assert "   8.00 s  89 %  waiting for a thread, behind go-compile:a\n   0.00 s   0 %  go-compile:c\n" in told
    assert "- go-compile:a: keep Go's build cache" in told


def events(run: Run, **wanted: Any) -> list[dict[str, Any]]:
    document = json.loads(to_trace(run, NEEDS))
    return [one for one in document["traceEvents"] if wanted.items() <= one.items()]


def test_a_trace_has_threads_tasks_and_what_they_are_about() -> None:
    tasks = events(RUN, ph="X")
    assert [one["name"] for one in tasks] == ["go-inputs:api", "go-compile:api", "pack-aci:api", "pack-oci:api"]
    compiled = tasks[1]
    assert (compiled["ts"], compiled["dur"], compiled["tid"], compiled["cat"]) == (1_000_000, 3_000_000, 2, "built")
    assert compiled["args"]["why"] == ["services/a.go changed", "go-inputs:api", "go-compile:api"]
    assert tasks[2]["args"]["from"] == "disk"
    assert [one["args"]["critical"] for one in tasks] == [True, True, False, True]
    assert [one["args"]["name"] for one in events(RUN, ph="M")] == ["doit build:api", "thread 1", "thread 2"]


def test_a_trace_has_waiting_and_caches_beside_the_threads() -> None:
    (begin,), (end,) = events(RUN, cat="waiting", ph="b"), events(RUN, cat="waiting", ph="e")
    assert (begin["name"], begin["ts"], end["ts"]) == ("pack-oci:api waits", 4_000_000, 4_500_000)
    (begin,) = events(RUN, cat="cache", ph="b")
    assert (begin["name"], begin["args"]) == ("fetch https://cache.example", {"bytes": 2_000_000})


def test_arrows_lead_along_the_chain() -> None:
    starts, ends = events(RUN, ph="s"), events(RUN, ph="f")
    assert [one["tid"] for one in starts] == [1, 2]
    assert [one["tid"] for one in ends] == [2, 1]
    assert [one["id"] for one in starts] == [one["id"] for one in ends] == [1, 2]


def test_every_end_has_a_beginning() -> None:
    assert {one["id"] for one in events(RUN, ph="b")} == {one["id"] for one in events(RUN, ph="e")}
