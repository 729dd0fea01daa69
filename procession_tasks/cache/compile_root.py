"""`go build` of a program as an action for an engine: its command, and an input root with all that it needs.

The command is the one that runs here.  What is added to it says where things are on a worker, and no byte of
the program depends on that.  Go's build cache is an input, too: what a program imports from elsewhere is
compiled by an action of its own, whose output is put there by its digest and never comes here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from procession_tasks.cache import wire
from procession_tasks.cache.action import Keyed, with_root
from procession_tasks.cache.grpc_cache import GrpcCache
from procession_tasks.cache.merkle import File, Grafted, Node, child_directories, merkle
from procession_tasks.cache.module_root import Modules
from procession_tasks.cache.part import NotRemoteError, Part, file_blob
from procession_tasks.cache.reapi import ActionResult, Digest, Tree, digest_of
from procession_tasks.cache.remote import Blob, RemoteError
from procession_tasks.golang.program import Mode, Program, build_command, environment
from procession_tasks.step import Step

_GO = ".procession/go"
_CACHE = ".procession/gocache"
_MODULES = ".procession/modules"
_SCRATCH = "/tmp"  # noqa: S108  # the worker's own
_PATH = "/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin"  # where a worker may have its go

_NO_CACHE = "made no build cache that can be used"


@dataclass(frozen=True, slots=True)
class Worker:
    """What an engine's workers are like.

    `root` is where they put inputs and `properties` what they must have; `toolchain` is the Go that they are
    given, None when they have it.  `salt` disowns what was made before.
    """

    root: str = "/"
    properties: tuple[tuple[str, str], ...] = ()
    toolchain: Part | None = None
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An action, and what its input root has besides the directories that the action brings."""

    action: Keyed
    blobs: Mapping[Digest, Blob | bytes]


def compile_action(
    program: Program, sources: Iterable[str], root: Path, modules: Modules, worker: Worker, graft: Part | None = None
) -> Prepared:
    """Prepare `go build` of a program whose sources are these, relative to the repository at `root`.

    `graft` is what `grafted` returned for its mode.  Raises NotRemoteError.
    """
    mode = program.mode
    _check(mode)
    nodes, blobs = _here(root, {*sources, *modules.files})
    command = build_command(program)
    name = posixpath.basename(program.output)
    return _prepared(("compile", name), mode, command, (program.output,), (nodes, blobs), modules, worker, graft)


def warm_action(mode: Mode, packages: Iterable[str], root: Path, modules: Modules, worker: Worker) -> Prepared:
    """Prepare `go build` of what programs import from elsewhere, by import path; its output is Go's build cache.

    For the standard library alone nothing of the repository is in the action, so that repositories
    share it.  Raises NotRemoteError.
    """
    _check(mode)
    wanted = sorted({"runtime", *packages})  # what every program is linked with
    if all(map(_is_standard, wanted)):
        mode = replace(mode, module=".", workspace=None)
        modules = Modules((), None)
    nodes, blobs = _here(root, modules.files)
    # Flags without a pattern are for the packages on the command line, which are others when a program is compiled.
    command = [word for word in build_command(Program(mode, "", "", "-")) if not word.startswith(("-o=", "-gcflags=-"))]
    command = [*command[: command.index("--") + 1], *wanted]
    return _prepared(("warm", mode.name), mode, command, (_CACHE,), (nodes, blobs), modules, worker, None)


def grafted(cache: GrpcCache, result: ActionResult) -> Part:
    """Return the build cache that a `warm_action` made, as what may be put into input roots.

    Only its directories are read.  Raises RemoteError when it is none.
    """
    for directory in result.output_directories:
        if directory.path == _CACHE and directory.tree_digest is not None:
            return _graft(cache.read(directory.tree_digest))
    raise RemoteError(_NO_CACHE)


def _graft(content: bytes) -> Part:
    """Check that each directory is there under the digest that the one above has for it."""
    try:
        tree = wire.decode(Tree, content)
    except ValueError:
        raise RemoteError(_NO_CACHE) from None
    below = child_directories(tree)
    named = {node.digest for directory in (tree.root, *tree.children) if directory for node in directory.directories}
    if tree.root is None or not named <= below.keys():
        raise RemoteError(_NO_CACHE)
    return Part(digest_of(wire.encode(tree.root)), below)


def _prepared(
    name: tuple[str, str],
    mode: Mode,
    command: Sequence[str],
    outputs: tuple[str, ...],
    here: tuple[dict[str, Node], dict[Digest, Blob | bytes]],
    modules: Modules,
    worker: Worker,
    graft: Part | None,
) -> Prepared:
    nodes, blobs = here
    for path, part in ((_GO, worker.toolchain), (_CACHE, graft), (_MODULES, modules.fetched)):
        if part is not None:
            nodes[path] = Grafted(part.root)
            blobs |= part.blobs
    base = worker.root.rstrip("/")
    go = f"{base}/{_GO}/bin/go" if worker.toolchain else "go"
    variables = tuple(sorted(_variables(mode, modules, worker, base).items()))
    step = Step(*name, mode.platform.slug, (go, *command[1:]), (), outputs, variables, tuple(sorted(worker.properties)))
    try:
        return Prepared(with_root(step, merkle(nodes), worker.salt), blobs)
    except ValueError as error:
        raise NotRemoteError(f"an input cannot be named elsewhere: {error}") from None


def _variables(mode: Mode, modules: Modules, worker: Worker, base: str) -> dict[str, str]:
    """Return the whole environment: what shapes the program, and where things are on a worker."""
    declared = dict(environment(mode))
    places = {
        "GOCACHE": f"{base}/{_CACHE}",
        "GOMODCACHE": f"{_SCRATCH}/modules",
        "GOPROXY": "off",
        "GOSUMDB": "off",  # go.sum vouches for what is there
        "GOTELEMETRY": "off",
        "HOME": _SCRATCH,
        "TMPDIR": _SCRATCH,
    }
    if mode.workspace:
        places["GOWORK"] = f"{base}/{mode.workspace}"
    if modules.fetched:
        places["GOPROXY"] = f"file://{quote(base)}/{_MODULES}"
        places["GOFLAGS"] = f"{declared.get('GOFLAGS', '')} -modcacherw".strip()  # or a worker could not clean up
    if worker.toolchain:
        places["GOROOT"] = f"{base}/{_GO}"
    else:
        places["GOTOOLCHAIN"] = f"go{mode.version}"  # another version would have to be fetched, which fails
        places["PATH"] = _PATH
    return declared | places


def _here(root: Path, paths: Iterable[str]) -> tuple[dict[str, Node], dict[Digest, Blob | bytes]]:
    """Digest files of the repository."""
    nodes: dict[str, Node] = {}
    blobs: dict[Digest, Blob | bytes] = {}
    for path in sorted(paths):
        try:
            blob = file_blob(root / path)
        except (OSError, ValueError):
            raise NotRemoteError(f"{path}: cannot be read") from None
        nodes[path] = File(blob.digest)
        blobs[blob.digest] = blob
    return nodes, blobs


def _check(mode: Mode) -> None:
    if mode.cc:
        raise NotRemoteError("a program with cgo needs the C compiler of this machine")
    if not mode.trimpath:
        raise NotRemoteError("a program without trimpath has the folders in it that it was compiled in")


def _is_standard(package: str) -> bool:
    """Tell a package of the standard library by its first name, as `go` does."""
    return "." not in package.split("/", 1)[0]
