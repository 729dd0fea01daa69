"""From a definition to the steps that build it.  Pure: two equal definitions give equal steps."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from procession_tasks.definition.model import (
    Accounts,
    Debian,
    DebianSettings,
    GoBinary,
    Group,
    Path,
    Project,
    User,
)
from procession_tasks.golang.program import Mode, Program, build_command, environment, list_command
from procession_tasks.graph.planned import Plan, ProgramPlan
from procession_tasks.image import aci, deflate, oci
from procession_tasks.image import budget as budgets
from procession_tasks.platform import Platform
from procession_tasks.rootfs import stage
from procession_tasks.step import Step

if TYPE_CHECKING:
    from procession_tasks.definition.load import Image


def plan(
    image: Image, platform: Platform, suffix: str, project: Project, workspaces: dict[str, str], date: int
) -> Plan:
    """Declare every step of an image on one platform.

    `suffix` distinguishes the tasks of a platform other than the usual one; `workspaces` has the
    go.work file of each module folder that has one; `date` is the time inside the archive, in
    seconds since 1970.
    """
    programs = tuple(_programs(image, platform, suffix, project.go.version, workspaces))
    name = f"{image.name}{suffix}"
    fetch = None if image.file.debian is None else _fetch(image, name, platform)
    inject = _inject(image, name, platform, programs, fetch, project.debian)
    pack_oci = _pack_oci(image, name, platform, inject, date, project.debian)
    return Plan(
        name,
        image.name,
        platform,
        programs,
        fetch,
        inject,
        _pack(image, name, platform, inject, date),
        pack_oci,
        _archive_oci(name, platform, pack_oci, date),
        _check_size(image, name, platform, inject),
    )


def _programs(
    image: Image, platform: Platform, suffix: str, version: str, workspaces: dict[str, str]
) -> Iterable[ProgramPlan]:
    for binary in image.file.go:
        of_program = f"/{binary.name}" if len(image.file.go) > 1 else ""
        shared = _mode(binary, platform, version, workspaces.get(binary.module or "."))
        output = f"build/bin/{platform.slug}/{binary.name}"
        program = Program(shared, binary.package, binary.ldflags or "", output)
        subject = f"{image.name}{of_program}{suffix}"
        listing = f"build/state/inputs/{image.name}{of_program}@{platform.slug}.inputs"
        command = list_command(shared, (binary.package,))
        yield ProgramPlan(
            program,
            _go_step("go-inputs", subject, shared, command, (), (listing,)),
            _go_step("go-compile", subject, shared, build_command(program), (listing,), (output,)),
        )


def _go_step(
    kind: str, subject: str, mode: Mode, command: tuple[str, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Step:
    properties = (("go", mode.version),)
    return Step(kind, subject, mode.platform.slug, command, inputs, outputs, environment(mode), properties)


def _fetch(image: Image, name: str, platform: Platform) -> Step:
    from procession_tasks.debian.lock import FILE  # tools, which read steps here, parse no lock

    listing = f"build/state/packages/{image.name}@{platform.slug}.packages"
    lock = f"{image.folder}/{FILE}"
    command = ("fetch-packages", f"--lock={lock}", f"--platform={platform}", f"--list={listing}")
    return Step("fetch-packages", name, platform.slug, command, (lock,), (listing,))


def _inject(
    image: Image,
    name: str,
    platform: Platform,
    programs: tuple[ProgramPlan, ...],
    fetch: Step | None,
    defaults: DebianSettings,
) -> Step:
    kind = "inject-packages" if image.file.debian else "inject-binary"
    tree = f"build/rootfs/{image.name}/{platform.slug}"
    rootfs = f"{image.folder}/rootfs"
    built = [plan.program.output for plan in programs]
    places = [binary.binary for binary in image.file.go]
    command = (
        kind,
        f"--format={stage.FORMAT}",
        f"--definition={image.folder}",
        f"--rootfs={rootfs}",
        *(_package_options(image.file.debian, defaults) if image.file.debian else ()),
        *(f"--packages={listing}" for listing in (fetch.outputs if fetch else ())),
        *(f"--program={place}={output}" for place, output in zip(places, built, strict=True)),
        *(f"--account={_account(user)}" for user in image.file.accounts.users),
        *(f"--account={_account(group)}" for group in image.file.accounts.groups),
        *(f"--path={_path(path)}" for path in image.file.paths),
        f"--tree={tree}",
        f"--list={tree}.files",
        f"--owners={tree}.owners",
    )
    inputs = (*(fetch.outputs if fetch else ()), *built, rootfs)
    return Step(kind, name, platform.slug, command, inputs, (f"{tree}.files", tree, f"{tree}.owners"))


def _package_options(debian: Debian, defaults: DebianSettings) -> Iterable[str]:
    """Declare what becomes of packages; reasons are for readers and change no byte."""
    yield from (f"--prune={pattern}" for pattern in sorted(debian.prune))
    yield from (f"--keep={pattern}" for pattern in sorted(debian.keep))
    yield from (f"--default-prune={pattern}" for pattern in sorted(defaults.prune))
    yield from (f"--default-keep={pattern}" for pattern in sorted(defaults.keep))
    yield from (f"--waive={json.dumps([rule, subject])}" for rule, of in debian.waive for subject, _ in of)


def _check_size(image: Image, name: str, platform: Platform, inject: Step) -> Step | None:
    """Declare what checks a size budget; it is a step of its own, so that another budget repacks nothing."""
    if (budget := image.file.budget(platform)) is None:
        return None
    listing, _, owners = inject.outputs
    record = f"build/state/sizes/{image.name}@{platform.slug}.sizes"
    command = (
        "check-size",
        f"--format={budgets.FORMAT}",
        f"--definition={image.folder}",
        f"--platform={platform}",
        f"--budget={budget}",
        f"--list={listing}",
        f"--owners={owners}",
        f"--record={record}",
    )
    return Step("check-size", name, platform.slug, command, (listing, owners), (record,))


def _pack(image: Image, name: str, platform: Platform, inject: Step, date: int) -> Step:
    listing, tree, _ = inject.outputs
    output = f"build/aci/{image.stem}-{platform.slug}.aci"
    manifest = f"{image.folder}/manifest"
    command = (
        "pack-aci",
        f"--format={aci.FORMAT}",
        f"--compressor={deflate.COMPRESSOR}",
        f"--date={date}",
        f"--manifest={manifest}",
        *(f"--label={name}={value}" for name, value in platform.appc_labels),
        f"--tree={tree}",
        f"--list={listing}",
        f"--output={output}",
    )
    outputs = (output, f"{output}.id", f"{output}.sha256")
    return Step("pack-aci", name, platform.slug, command, (listing, manifest), outputs)


def _pack_oci(image: Image, name: str, platform: Platform, inject: Step, date: int, settings: DebianSettings) -> Step:
    listing, tree, owners = inject.outputs
    output = f"build/oci/{image.name}/{platform.slug}"
    manifest = f"{image.folder}/manifest"
    base = sorted(settings.base) if image.file.debian else ()
    command = (
        "pack-oci",
        f"--format={oci.FORMAT}",
        f"--compressor={deflate.COMPRESSOR}",
        f"--date={date}",
        f"--manifest={manifest}",
        f"--platform={platform}",
        *(f"--base={package}" for package in base),
        f"--tree={tree}",
        f"--list={listing}",
        f"--owners={owners}",
        f"--output={output}",
    )
    return Step("pack-oci", name, platform.slug, command, (listing, owners, manifest), (output,))


def _archive_oci(name: str, platform: Platform, packed: Step, date: int) -> Step:
    layout = packed.option("output")
    output = f"{layout}.tar"
    command = ("archive-oci", f"--format={oci.FORMAT}", f"--date={date}", f"--layout={layout}", f"--output={output}")
    return Step("archive-oci", name, platform.slug, command, (f"{layout}/index.json",), (output,))


def _account(account: User | Group) -> str:
    if isinstance(account, User):
        fields = [account.name, account.uid, account.gid, account.home, account.shell, account.comment]
        return json.dumps(["user", *fields])
    return json.dumps(["group", account.name, account.gid, account.members])


def _path(path: Path) -> str:
    return json.dumps([path.path, path.type, path.mode, path.uid, path.gid, path.target])


def _mode(binary: GoBinary, platform: Platform, version: str, workspace: str | None) -> Mode:
    """Derive the mode of a completed declaration (its module and flags filled in)."""
    return Mode(
        module=binary.module or ".",
        workspace=workspace,
        platform=platform,
        tags=tuple(sorted(set(binary.tags or ()))),
        gcflags=binary.gcflags or "",
        trimpath=binary.trimpath is not False,
        cc=dict(binary.cc).get(platform, "cc") if binary.cgo else "",
        environment=binary.environment,
        version=version,
    )


def accounts_of(step: Step) -> Accounts:
    """Read back the accounts that an inject step declares."""
    read = [json.loads(text) for text in step.options("account")]
    users = tuple(User(*fields) for kind, *fields in read if kind == "user")
    groups = tuple(
        Group(name, gid, tuple(members))
        for kind, name, gid, members in (fields for fields in read if fields[0] == "group")
    )
    return Accounts(users, groups)


def paths_of(step: Step) -> tuple[Path, ...]:
    """Read back the declared paths of an inject step."""
    return tuple(Path(*json.loads(text)) for text in step.options("path"))


def waived_of(step: Step) -> dict[str, set[str]]:
    """Read back what an inject step waives: the subjects of each rule."""
    waived: dict[str, set[str]] = {}
    for rule, subject in map(json.loads, step.options("waive")):
        waived.setdefault(rule, set()).add(subject)
    return waived
