"""Programs compiled by an engine of the Remote Execution API; whatever it does not do is done here."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from procession_tasks import interruption, notice
from procession_tasks.errors import BuildError
from procession_tasks.golang import toolchain
from procession_tasks.golang.ingredients import sources
from procession_tasks.golang.program import Mode
from procession_tasks.golang.said import said
from procession_tasks.graph.planned import ProgramPlan
from procession_tasks.graph.project import project
from procession_tasks.graph.session import STATE, Session
from procession_tasks.notice import warn
from procession_tasks.once import once

if TYPE_CHECKING:
    from procession_tasks.cache.compile_root import Worker
    from procession_tasks.cache.disk import Disk
    from procession_tasks.cache.execution import Engine
    from procession_tasks.cache.module_root import Modules
    from procession_tasks.cache.part import Part

_SCRATCH = f"{STATE}/.elsewhere.part"
_GO_FAILED = (1, 2)  # exit statuses of a `go` that ran; others are the worker's
_TOOLCHAIN = f"{STATE}/toolchain"


@dataclass(slots=True)
class _Job:
    """Programs of one mode on an engine, and what has become of them, by task.

    `disk` has what comes back, until it is in its place; `problem` is why the engine is asked no more.
    """

    session: Session
    engine: Engine
    worker: Worker
    modules: Modules
    disk: Disk
    graft: Part | None = None
    done: set[str] = field(default_factory=set)
    failed: dict[str, BuildError] = field(default_factory=dict)
    problem: str = ""


def compile_programs(plans: Mapping[str, ProgramPlan], session: Session) -> tuple[set[str], dict[str, BuildError]]:
    """Have programs of one mode compiled by the engine that is set, if there is one.

    Returns the tasks that are done, and those whose program does not compile; the others are left.
    Raises BuildError for settings that are wrong.
    """
    engine = _engine(session) if plans else None
    if engine is None:
        return set(), {}
    from procession_tasks.cache.part import NotRemoteError  # only who has an engine pays for it
    from procession_tasks.cache.remote import RemoteError

    mode = next(iter(plans.values())).program.mode
    try:
        job = _begun(engine, mode, session)
    except NotRemoteError as error:
        notice.say(f"note: engine {engine.name}: {error}; compiling here")
        return set(), {}
    except RemoteError as error:
        warn(f"engine {engine.name}: {error}; compiling here")
        return set(), {}
    try:
        most = project(session).remote.jobs
        interruption.few_at_once(lambda pair: _compile(*pair, job), plans.items(), most)
    finally:
        shutil.rmtree(job.disk.folder, ignore_errors=True)
    if job.problem:
        warn(f"engine {engine.name}: {job.problem}; compiling here")
    return job.done, job.failed


@once
def _engine(session: Session) -> Engine | None:
    settings = project(session)
    if not (settings.remote.execution or session.environment.get("PROCESSION_REMOTE_EXECUTION")):
        return None
    from procession_tasks.cache.execution import Engine  # only who has an engine pays for it
    from procession_tasks.cache.settings import engine

    endpoint = engine(settings.remote, settings.cache, session.root, session.environment)
    # What is signed vouches for a program, so the engine is not to take it from whoever filled its cache.
    signs = "PROCESSION_CACHE_SIGNING_KEY" in session.environment
    session.engine = Engine(endpoint, takes_known=not signs) if endpoint else None
    return session.engine


def _begun(engine: Engine, mode: Mode, session: Session) -> _Job:
    """Have Go and what programs import from elsewhere on the engine; raises NotRemoteError or RemoteError."""
    from procession_tasks.cache.compile_root import Worker, grafted, warm_action  # as above
    from procession_tasks.cache.disk import Disk
    from procession_tasks.cache.execution import FailedActionError
    from procession_tasks.cache.module_root import modules
    from procession_tasks.cache.toolchain_root import toolchain_part

    settings = project(session)
    given = None
    if settings.remote.toolchain == "input":
        found = toolchain.find(mode.version, session.environment)
        given = toolchain_part(found.go.parent.parent, session.root / _TOOLCHAIN)
    salt = session.environment.get("PROCESSION_CACHE_SALT", settings.cache.salt)
    worker = Worker(settings.remote.root, settings.remote.properties, given, salt)
    known = modules(session.root, mode, session.environment)
    disk = Disk(session.root / _SCRATCH)
    job = _Job(session, engine, worker, known, disk)
    warm = warm_action(mode, session.inputs(mode).outside(), session.root, known, worker)
    try:
        job.graft = grafted(engine.cache, engine.execute(warm.action, warm.blobs))
    except FailedActionError:
        job.graft = None  # the program itself says what is wrong, or needs none of what is
    disk.open()
    return job


def _compile(name: str, plan: ProgramPlan, job: _Job) -> None:
    """Compile one program and put it in its place, or note what became of it."""
    from procession_tasks.cache.execution import FailedActionError  # as above
    from procession_tasks.cache.part import NotRemoteError
    from procession_tasks.cache.remote import RemoteError

    if job.problem:
        return
    try:
        _execute(plan, job)
    except FailedActionError as error:
        if error.exit_code in _GO_FAILED:
            mode = plan.program.mode
            message = said(error.stderr, mode.module, job.worker.root) or str(error)
            job.failed[name] = BuildError(message)
        else:
            job.problem = job.problem or f"{plan.what}: exit status {error.exit_code}"
    except (RemoteError, NotRemoteError) as error:
        job.problem = job.problem or str(error)
    else:
        job.done.add(name)
        job.session.executed[name] = job.engine.name


def _execute(plan: ProgramPlan, job: _Job) -> None:
    from procession_tasks.cache import outputs  # as above
    from procession_tasks.cache.compile_root import compile_action
    from procession_tasks.cache.remote import RemoteError

    root = job.session.root
    named = sources((root / plan.compile.inputs[0]).read_bytes())
    prepared = compile_action(plan.program, named, root, job.modules, job.worker, job.graft)
    result = job.engine.execute(prepared.action, prepared.blobs)
    if not outputs.is_of(result, plan.compile.outputs):
        raise RemoteError("made something else than it was asked for")
    job.engine.cache.fetch(outputs.direct(result), job.disk.accept)
    outputs.restore(root, plan.compile.outputs, result, job.disk)
