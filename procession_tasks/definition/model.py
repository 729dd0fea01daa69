"""What image.yaml may say: the model that loads it, checks it and describes it to editors.  Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from procession_tasks.definition.cache import NO_CACHE, NO_REMOTE, CacheSettings, RemoteSettings
from procession_tasks.definition.shape import (
    Boolean,
    Choice,
    Finding,
    ForAll,
    Integer,
    Listing,
    Record,
    Table,
    Text,
    key,
)
from procession_tasks.platform import Platform, known

_NAMING_FILES = re.compile(r"(?:^|\s)--?(overlay|modfile|pgo|toolexec|C|o|pkgdir)(?=[=\s]|$)")
_ID_LIMIT = 2**32 - 2  # the last one means "nobody in particular" to the kernel
_RESERVED = ("CGO_ENABLED", "GOARCH", "GOENV", "GOOS", "GOTOOLCHAIN", "GOWORK")


def _image_path(text: str) -> str:
    """Turn an absolute path of the image into one relative to its root."""
    parts = text.split("/")[1:]
    if not parts or any(part in ("", ".", "..") for part in parts):
        raise ValueError(text)
    return "/".join(parts)


IMAGE_PATH = Text(
    "must be an absolute path inside the rootfs, without . and .. and double slashes",
    r"/[^\x00-\x1f]+",
    convert=_image_path,
)
FOLDER = Text("must be a relative folder of the repository", r"(?!/)[^\x00-\x1f]+", convert=posixpath.normpath)
PLATFORM = Choice(known(), convert=Platform.parse)
_URL = Text("must be a URL", r"(https?|file)://[^\s]+", hint="such as http://mirror.example/debian")
_ENV_NAME = Text("must be the name of an environment variable", r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = Text("must be a string (quote it)", r"[^\x00]*")
_FLAGS = Text("must be a string of flags", r"[^\x00\n]*")
_TAG = Text("must be a Go build tag", r"[A-Za-z0-9_.]+")
_ACCOUNT = Text("must be lower-case letters, digits, - and _, starting with a letter", r"[a-z_][a-z0-9_-]{0,31}")
_FIELD = Text("must be text without a colon or a line end", r"[^:\n\x00]*")
_PACKAGE = Text(
    "must be one package: ./folder inside the module, or an import path",
    r"\.|(\./)?(?!\.\.?(/|$))[\w.~+-]+(/(?!\.)[\w.~+-]+)*",
    hint="such as ./cmd/procession-api",
)
_MODE = Text("must be an octal mode in quotes", r"[0-7]{3,4}", 'such as "0755"', convert=lambda text: int(text, 8))
_ID = Integer(0, _ID_LIMIT)
DEBIAN_PACKAGE = Text("must be the name of a Debian package", r"[a-z0-9][a-z0-9+.-]+", hint="such as etcd-server")
_SUITE = Text("must be the name of a suite", r"[a-z0-9][a-z0-9./-]*", hint="such as bookworm")
PATTERN = Text(
    "must be a pattern of paths relative to the image's root, without . and .. and double slashes",
    r"(?!/)(?!.*//)(?!(.*/)?\.\.?(/|$))[^\x00-\x1f]*[^\x00-\x1f/]",
    hint="such as usr/share/man, or usr/share/doc/**/*.gz",
)
# What is found wrong with packages that do not fit together, and can be accepted with a reason.
WAIVABLE = ("clash", "copyright", "library", "link", "script")


@dataclass(frozen=True, slots=True)
class GoBinary:
    """A Go program and where it goes in the image."""

    package: str = key(_PACKAGE, "the main package, in the module's folder")
    binary: str = key(IMAGE_PATH, "where the program is put in the image")
    module: str | None = key(FOLDER, "the module's folder, when there are several", default=None)
    output: str | None = key(
        Text("must be a file name", r"[A-Za-z0-9_][A-Za-z0-9_.+-]*"),
        "the program's name under build/bin, when two images would use the same",
        default=None,
    )
    tags: tuple[str, ...] | None = key(Listing(_TAG), "build tags", default=None)
    ldflags: str | None = key(_FLAGS, "flags of the linker; {version} is the manifest's version label", default=None)
    gcflags: str | None = key(_FLAGS, "flags of the compiler", default=None)
    trimpath: bool | None = key(Boolean(), "whether paths of the build machine are left out", default=None)
    environment: tuple[tuple[str, str], ...] = key(
        Table(_ENV_NAME, _VALUE), "further environment of the compiler, such as GOAMD64", default=()
    )
    cgo: bool = key(Boolean(), "whether cgo is on; the C compiler is then an input", default=False)
    cc: tuple[tuple[Platform, str], ...] = key(
        Table(PLATFORM, Text("must be the name or path of a C compiler", r"[^\s]+")),
        "the C compiler of a platform, with cgo (default: cc for the machine's own)",
        default=(),
    )

    @property
    def name(self) -> str:
        """The program's file name under ``build/bin/<os>-<arch>/``."""
        return self.output or posixpath.basename(self.binary)


def _check_environment(environment: Iterable[tuple[str, str]]) -> Iterable[Finding]:
    """Refuse flags that name files: nobody would see when these change."""
    for flags in (value for name, value in environment if name == "GOFLAGS"):
        for flag in _NAMING_FILES.findall(flags):
            yield "environment", "must not have a flag in GOFLAGS that names a file", f"-{flag}", "remove it"


def _check_binary(binary: GoBinary) -> Iterable[Finding]:
    for name, _ in binary.environment:
        if name in _RESERVED:
            yield "environment", "must not set what the build sets itself", name, "remove it, or use platforms and cgo"
    yield from _check_environment(binary.environment)
    for variable in re.findall(r"\{([^{}]*)\}", binary.ldflags or ""):
        if variable != "version":
            yield "ldflags", "must use no other variable than {version}", "{" + variable + "}", None
    if binary.cc and not binary.cgo:
        yield "cc", "must go with cgo", None, "add cgo: true"


@dataclass(frozen=True, slots=True)
class User:
    """A line of the image's /etc/passwd."""

    name: str = key(_ACCOUNT, "the user's name")
    uid: int = key(_ID, "the user's number")
    gid: int = key(_ID, "the number of the user's group")
    home: str = key(Text("must be an absolute path", r"/[^:\n]*"), "the home folder", default="/nonexistent")
    shell: str = key(Text("must be an absolute path", r"/[^:\n]*"), "the login shell", default="/usr/sbin/nologin")
    comment: str = key(_FIELD, "who it is", default="")


@dataclass(frozen=True, slots=True)
class Group:
    """A line of the image's /etc/group."""

    name: str = key(_ACCOUNT, "the group's name")
    gid: int = key(_ID, "the group's number")
    members: tuple[str, ...] = key(Listing(_ACCOUNT), "names of its users", default=())


@dataclass(frozen=True, slots=True)
class Accounts:
    """The users and groups of the image; a user without a declared group gets one of its name."""

    users: tuple[User, ...] = key(Listing(Record(User)), "users, for /etc/passwd", default=())
    groups: tuple[Group, ...] = key(Listing(Record(Group)), "groups, for /etc/group", default=())

    @property
    def all_groups(self) -> tuple[Group, ...]:
        """Declared groups, then one for each gid of a user that no group declares."""
        groups = {group.gid: group for group in self.groups}
        for user in self.users:
            groups.setdefault(user.gid, Group(user.name, user.gid))
        return tuple(groups.values())


NO_ACCOUNTS = Accounts()
# What Debian's base-passwd would have put there, as far as a server needs it; only with packages.
STANDARD_ACCOUNTS = Accounts(
    (User("root", 0, 0, "/root", comment="root"), User("nobody", 65534, 65534, comment="nobody")),
    (Group("root", 0), Group("nogroup", 65534)),
)


def _check_accounts(accounts: Accounts) -> Iterable[Finding]:
    for field, values in (
        ("users", [user.name for user in accounts.users]),
        ("users", [str(user.uid) for user in accounts.users]),
        ("groups", [group.name for group in accounts.all_groups]),
        ("groups", [str(group.gid) for group in accounts.groups]),
    ):
        for value in sorted({value for value in values if values.count(value) > 1}):
            yield field, "must use each name and number once", value, None


@dataclass(frozen=True, slots=True)
class Path:
    """A path of the image that is declared rather than copied, or the mode of one that is."""

    path: str = key(IMAGE_PATH, "the path in the image")
    type: str = key(
        Choice(("directory", "symlink", "file")),
        "directory or symlink make it; file gives a file of rootfs/ another mode or owner",
    )
    mode: int | None = key(_MODE, "permission bits, octal, in quotes", default=None)
    uid: int = key(_ID, "the owner's number", default=0)
    gid: int = key(_ID, "the group's number", default=0)
    target: str | None = key(Text("must be the text of a link", r"[^\x00]+"), "what a symlink says", default=None)


def _check_path(path: Path) -> Iterable[Finding]:
    if path.type == "symlink" and path.target is None:
        yield "target", "must be given for a symlink", None, None
    if path.type == "symlink" and path.mode is not None:
        yield "mode", "must not be given for a symlink", f"{path.mode:04o}", "remove it"
    if path.type != "symlink" and path.target is not None:
        yield "target", "must go with type: symlink", repr(path.target), None


def _size(text: str) -> int:
    """Read a size as sizes are printed: M and MB are a million bytes; MiB is 1024 times 1024."""
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", text).groups()  # type: ignore[union-attr]  # by the pattern
    size: float = float(number) * (1024 if unit.endswith("iB") else 1000) ** ("KMG".index(unit[0].upper()) + 1)
    return round(size)


_SIZE = Text(
    "must be a size with its unit: K, M or G, which are powers of 1000, or KiB, MiB or GiB",
    r"(0\.[0-9]{1,3}|[1-9][0-9]{0,5}(\.[0-9]{1,3})?)[kKMG](i?B)?",
    "such as 20M",
    convert=_size,
)
DEFAULT_PLATFORMS = (Platform("linux", "amd64"),)
_SUITES = Listing(_SUITE, at_least=1)
_PATTERNS = Listing(PATTERN)
_REASON = Text("must be a reason, in words", r"\s*\S[\s\S]*")


@dataclass(frozen=True, slots=True)
class Debian:
    """The packages of an image and what becomes of them."""

    packages: tuple[str, ...] = key(Listing(DEBIAN_PACKAGE, at_least=1), "packages, whose dependencies come with them")
    omit: tuple[tuple[str, str], ...] = key(
        Table(DEBIAN_PACKAGE, _REASON), "dependencies to leave out, each with its reason", default=()
    )
    prune: tuple[str, ...] = key(
        _PATTERNS, "patterns of paths to leave out; one that matches a folder takes all below it", default=()
    )
    keep: tuple[str, ...] = key(_PATTERNS, "patterns of paths to keep, whatever prune says", default=())
    suites: tuple[str, ...] | None = key(_SUITES, "the suites that packages are chosen from", default=None)
    waive: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = key(
        Table(Choice(WAIVABLE), Table(Text("must be what the message names"), _REASON)),
        "findings to accept, by rule and subject, each with its reason",
        default=(),
    )


def _check_debian(debian: Debian) -> Iterable[Finding]:
    for field, names in (("packages", debian.packages), ("prune", debian.prune), ("keep", debian.keep)):
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield field, "must name each once", name, None
    for name, _ in debian.omit:
        if name in debian.packages:
            yield "omit", "must not omit what packages asks for", name, "remove it from one of the two"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """What image.yaml says: how an image's content comes about."""

    go: tuple[GoBinary, ...] = key(
        Listing(Record(GoBinary, _check_binary), at_least=1, or_one=True),
        "the Go program, or a list of them",
        default=(),
    )
    debian: Debian | None = key(Record(Debian, _check_debian), "Debian packages", default=None)
    platforms: tuple[Platform, ...] = key(
        Listing(PLATFORM, at_least=1), "what the image is built for", default=DEFAULT_PLATFORMS
    )
    accounts: Accounts = key(Record(Accounts, _check_accounts), "users and groups", default=NO_ACCOUNTS)
    paths: tuple[Path, ...] = key(Listing(Record(Path, _check_path)), "declared paths and modes", default=())
    size_budget: int | tuple[tuple[Platform, int], ...] = key(
        ForAll(_SIZE, Table(PLATFORM, _SIZE)),
        "the most that an image's files may have, such as 20M, or such a size for a platform each",
        default=(),
    )

    def budget(self, platform: Platform) -> int | None:
        """Return the most bytes that the files of the image may have on a platform."""
        return self.size_budget if isinstance(self.size_budget, int) else dict(self.size_budget).get(platform)


def _check_image(image: ImageFile) -> Iterable[Finding]:
    for platform in sorted({p for p in image.platforms if image.platforms.count(p) > 1}):
        yield "platforms", "must name each platform once", str(platform), None
    for platform, _ in () if isinstance(image.size_budget, int) else image.size_budget:
        if platform not in image.platforms:
            rule = "must be for platforms of the image"
            yield "size-budget", rule, str(platform), f"platforms: {', '.join(map(str, image.platforms))}"
    claims = [binary.binary for binary in image.go] + [path.path for path in image.paths if path.type != "file"]
    for path in sorted({path for path in claims if claims.count(path) > 1}):
        yield "paths", "must claim each path once", "/" + path, None
    outputs = [binary.name for binary in image.go]
    for name in sorted({name for name in outputs if outputs.count(name) > 1}):
        yield "go", "must give each program its own name under build/bin", name, "set output: on one of them"


IMAGE_FILE = Record(ImageFile, _check_image, any_of=("go", "debian"))


@dataclass(frozen=True, slots=True)
class GoSettings:
    """The ``[tool.procession.go]`` table: the toolchain and the defaults of every program."""

    version: str = key(
        Text("must be an exact Go version", r"1\.[0-9]+(\.[0-9]+)?((rc|beta)[0-9]+)?", 'such as "1.27.3"'),
        "the toolchain's exact version",
    )
    modules: tuple[str, ...] = key(
        Listing(FOLDER, at_least=1, or_one=True), "the Go module's folder, or folders", default=(".",)
    )
    tags: tuple[str, ...] = key(Listing(_TAG), "build tags", default=())
    ldflags: str = key(_FLAGS, "flags of the linker", default="-s -w -buildid=")
    gcflags: str = key(_FLAGS, "flags of the compiler", default="")
    trimpath: bool = key(Boolean(), "whether paths of the build machine are left out", default=True)
    environment: tuple[tuple[str, str], ...] = key(
        Table(_ENV_NAME, _VALUE), "further environment of the compiler", default=()
    )


def _check_go(settings: GoSettings) -> Iterable[Finding]:
    yield from _check_environment(settings.environment)


NO_GO = GoSettings("", ())


@dataclass(frozen=True, slots=True)
class DebianSettings:
    """The ``[tool.procession.debian]`` table: where packages come from, and defaults of every image."""

    suites: tuple[str, ...] = key(_SUITES, "the suites that packages are chosen from", default=("bookworm",))
    mirror: str | None = key(_URL, "where repositories are, on machines whose apt does not say it", default=None)
    snapshot: str | None = key(_URL, "where packages are that the mirror has no more", default=None)
    keyring: str = key(
        Text("must be the absolute path of a keyring", r"/[^\x00-\x1f]+"),
        "the keys that may sign",
        default="/usr/share/keyrings/debian-archive-keyring.gpg",
    )
    expired: str = key(
        Choice(("refuse", "warn")), "what becomes of an index that is past its Valid-Until date", default="refuse"
    )
    prune: tuple[str, ...] = key(_PATTERNS, "patterns of paths to leave out of every image", default=())
    keep: tuple[str, ...] = key(_PATTERNS, "patterns of paths to keep in every image", default=())
    base: tuple[str, ...] = key(
        Listing(DEBIAN_PACKAGE), "packages that images have in common, which form their lowest OCI layer", default=()
    )


NO_DEBIAN = DebianSettings()


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The ``[tool.procession.run]`` table: what runs images on this machine."""

    engine: str | None = key(
        Text("must be podman, docker or rkt, with flags if need be", r"[^\x00-\x1f]+"),
        "the engine (default: podman or docker, the first on PATH)",
        default=None,
    )
    options: tuple[str, ...] = key(Listing(Text("must be text")), "further options of every container", default=())


NO_RUN = RunSettings()


@dataclass(frozen=True, slots=True)
class Project:
    """The ``[tool.procession]`` table of pyproject.toml."""

    go: GoSettings = key(Record(GoSettings, _check_go), "the Go toolchain and defaults", default=NO_GO)
    debian: DebianSettings = key(Record(DebianSettings), "Debian packages, and defaults", default=NO_DEBIAN)
    run: RunSettings = key(Record(RunSettings), "what runs images on this machine", default=NO_RUN)
    cache: CacheSettings = key(Record(CacheSettings), "where results of steps are kept", default=NO_CACHE)
    remote: RemoteSettings = key(Record(RemoteSettings), "an engine that compiles programs", default=NO_REMOTE)
    definitions: str = key(FOLDER, "the folder of the image definitions", default="deploy/aci")
    registry: str | None = key(
        Text(
            "must be a registry and a path in it",
            r"[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*",
            "such as registry.example/team, without a scheme",
        ),
        "where images are pushed (default: where their names say)",
        default=None,
    )


PROJECT = Record(Project)
