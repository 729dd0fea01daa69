"""The tools that list and compile Go programs, all of one mode at once."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from procession_tasks import files, process
from procession_tasks.cache.contents import Look
from procession_tasks.errors import BuildError
from procession_tasks.golang import toolchain
from procession_tasks.golang.ingredients import sources
from procession_tasks.golang.program import Program, batch_command, batches, build_command, go_name
from procession_tasks.golang.said import said
from procession_tasks.graph import elsewhere, listings
from procession_tasks.graph.actions import FULL_DISK
from procession_tasks.graph.caching import Asked, Caching, caching
from procession_tasks.graph.gocache import run_go_build
from procession_tasks.graph.planned import ProgramPlan
from procession_tasks.graph.session import Session

_SCRATCH = ".tmp"  # where go puts what it needs on the way
_GO_USAGE = 2  # the go command's exit status for wrong usage


def list_inputs(plans: dict[str, ProgramPlan], session: Session) -> dict[str, BuildError]:
    """List the inputs of programs of one mode, with at most one `go list`; by task, return what went wrong."""
    inputs = session.inputs(next(iter(plans.values())).program.mode)
    started = time.time_ns()
    try:
        lookups = listings.lookups(session)
        known = lookups.take(plans) if lookups else {}
        missing = sorted({plan.program.package for plan in plans.values()} - known.keys())
        listed = inputs.listing(missing) if missing else {}
        everything = {path: package for below in known.values() for path, package in below.items()} | listed
        inputs.learn(sorted({plan.program.package for plan in plans.values()}), everything, started)
    except BuildError as error:
        return dict.fromkeys(plans, error)
    for plan in plans.values():
        files.write_if_changed(session.root / plan.list.outputs[0], inputs.text(plan.program.package))
    seconds = (time.time_ns() - started) / 1e9 / max(len(missing), 1)
    if lookups:
        lookups.keep([plan for plan in plans.values() if plan.program.package in missing], listed, seconds)
    return {}


def compile_programs(plans: dict[str, ProgramPlan], session: Session) -> dict[str, BuildError]:
    """Take programs of one mode from caches, or compile them: by an engine, or with as few `go build` as can be.

    By task, return what went wrong.
    """
    caches = caching(session)
    look = Look(caches.contents) if caches else None
    asked = {name: _asked(plan, caches, look, session) for name, plan in plans.items()} if caches else {}
    left = {name: plan for name, plan in plans.items() if not _is_taken(asked.get(name), caches)}
    started = time.monotonic()
    done, failed = elsewhere.compile_programs(left, session)
    failed |= _compile_all({name: plan for name, plan in left.items() if name not in {*done, *failed}}, session)
    seconds = (time.monotonic() - started) / max(len(left), 1)
    for plan in left.values():
        session.inputs(plan.program.mode).look_again()
    kept = left.keys() - failed.keys() if _is_plain(left, session) else ()
    for name in kept:
        plan = left[name]
        # A file that came or went since it was listed may have been compiled, and is in no key.
        if caches and (one := asked[name]) and not session.inputs(plan.program.mode).has_moved(plan.program.package):
            caches.keep(one, seconds, look=look)
    return failed


def _asked(plan: ProgramPlan, caches: Caching, look: Look | None, session: Session) -> Asked | None:
    """Look a program up by its list of inputs and all that the list names; None for one that has others.

    These are the headers and libraries of a machine with cgo, the folder without trimpath.
    """
    if not plan.program.mode.is_portable:
        return None
    listing = plan.compile.inputs[0]
    try:
        named = sources((session.root / listing).read_bytes())
        return caches.ask(plan.compile, [listing, *named], look=look)
    except OSError:
        return None  # a source that cannot be read: the compiler says so


def _is_plain(plans: dict[str, ProgramPlan], session: Session) -> bool:
    """Tell whether the toolchain that compiled is what its version says; a worker's was asked for by that."""
    versions = {plan.program.mode.version for plan in plans.values()}
    try:
        return all(toolchain.find(version, session.environment).is_plain for version in versions)
    except BuildError:
        return True  # there is none here, so it was a worker's


def _is_taken(asked: Asked | None, caches: Caching | None) -> bool:
    return caches is not None and asked is not None and caches.take(asked)


def _compile_all(plans: dict[str, ProgramPlan], session: Session) -> dict[str, BuildError]:
    failed: dict[str, BuildError] = {}
    task_of = {plan.program: name for name, plan in plans.items()}
    broken = [program for program in task_of if session.inputs(program.mode).is_broken(program.package)]
    # What cannot even be loaded stops a whole run before it starts, so it gets one of its own.
    sound = [program for program in task_of if program not in broken]
    for run in [*batches(sound), *([program] for program in broken)]:
        for program, error in _compile(run, session).items():
            failed[task_of[program]] = error
    return failed


def _compile(run: list[Program], session: Session) -> dict[Program, BuildError]:
    """Build programs into a folder beside the final one, then move each that came about."""
    root, mode = session.root, run[0].mode
    final = root / Path(run[0].output).parent
    for left in final.glob(f".{mode.name}.*.part"):  # by a run that was killed, whose compiler may be at work yet
        process.stop_left("GOTMPDIR", os.fspath(left / _SCRATCH))
        shutil.rmtree(left, ignore_errors=True)
    part = final / f".{mode.name}.{os.getpid()}.part"
    scratch = part / _SCRATCH
    scratch.mkdir(parents=True)
    try:
        command, made = _commands(run, f"{part.relative_to(root)}")
        finished = run_go_build(mode, command, scratch, session)
        there = [program for program in run if (part / made[program]).is_file()]
        for program in there:
            (part / made[program]).replace(root / program.output)
        missing = [program for program in run if program not in there]
        if finished.status == _GO_USAGE and len(run) > 1:  # wrong flags of one stop them all
            return {program: error for one in run for program, error in _compile([one], session).items()}
        return _explain(run if finished.status != 0 and not missing else missing, finished, session)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _commands(run: list[Program], part: str) -> tuple[tuple[str, ...], dict[Program, str]]:
    """Return the command for a run and the name under which it leaves each program in `part`."""
    if len(run) > 1:
        return batch_command(run, part), {program: go_name(program) for program in run}
    name = Path(run[0].output).name
    alone = Program(run[0].mode, run[0].package, run[0].ldflags, f"{part}/{name}")
    return build_command(alone), {run[0]: name}


def _explain(missing: list[Program], finished: process.Finished, session: Session) -> dict[Program, BuildError]:
    """Say once what the compiler said, or why it said nothing."""
    errors = {}
    for program in missing:
        mode = program.mode
        message = said(finished.stderr, mode.module, str(session.root)) or f"go build: exit status {finished.status}"
        if finished.status == 0:
            folder = os.path.normpath(f"{mode.module}/{program.package}")
            name = session.inputs(mode).package_name(program.package)
            message = f"{folder}: must be package main, got package {name}"
        full = "no space left on device" in message
        errors[program] = BuildError(message, hint=FULL_DISK if full else None)
    return errors
