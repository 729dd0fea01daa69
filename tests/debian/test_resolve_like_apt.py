"""The packages chosen are those that apt chooses: of Debian's own indexes, and of made-up ones."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from procession_tasks.debian.index import Index, PackagesFile
from procession_tasks.debian.resolve import resolve
from procession_tasks.errors import BuildError

pytestmark = pytest.mark.slow

# Name, version, architecture and SHA-256.
Chosen = tuple[str, str, str, str]

# The infrastructure images: what they ask for, and what they can omit.
IMAGES = {
    "etcd-server base-files netbase tzdata ca-certificates": "adduser init-system-helpers awk debconf openssl",
    "prometheus base-files netbase tzdata ca-certificates": (
        "adduser init-system-helpers awk debconf openssl dpkg javascript-common"
    ),
    "memcached base-files netbase": "adduser init-system-helpers perl lsb-base awk libsasl2-modules-db",
    "mariadb-server-core base-files netbase tzdata busybox-static": "awk debconf",
}
# Virtual packages, alternatives, conflicts, versions provided, any architecture; alone and together.
AWKWARD = """\
apache2
build-essential
dbus-x11 dconf-cli
default-jre
default-mta
emacs-nox
exim4
git
gnome-core
gnupg
kde-standard
libreoffice-core
mailutils
mailutils postfix
mailutils sendmail-bin
mariadb-server
nginx
nodejs
opensmtpd cron mailutils
openjdk-17-jre-headless
perl
php
postgresql
python3-dev
rmail ftpsync
ruby
systemd
sysvinit-core libpam-elogind
task-desktop
vim
""".splitlines()
# Pairs that exclude each other, or what the other needs.
CONFLICTING = ["postfix exim4-daemon-light", "gnuplot-qt gnuplot-nox", "sysvinit-core dbus-user-session"]

MEASURE = """\
import sys
from pathlib import Path
from procession_tasks.debian.index import Index, PackagesFile
from procession_tasks.debian.resolve import resolve
with Index([PackagesFile(Path(sys.argv[1]), "debian", "stable")], "amd64") as index:
    resolve(index, ["mariadb-server"], {})
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


@dataclass
class Debian:
    """The indexes of the machine's own sources, and apt that chooses from them."""

    apt: Any
    files: list[PackagesFile]
    index: Index

    def differences(self, roots: str, omit: str = "") -> tuple[set[Chosen], set[Chosen]]:
        """What only we choose, and what only apt."""
        expected = set(self.apt.choose(roots.split(), omit.split()))
        closure = resolve(self.index, roots.split(), dict.fromkeys(omit.split(), "for a reason"))
        pins = [package.pin for package in closure.packages]
        ours = {(pin.name, pin.version, pin.architecture, pin.sha256) for pin in pins}
        assert ours
        return ours - expected, expected - ours


@pytest.fixture(scope="module")
def debian(new_apt, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Debian]]:
    """Fetch the indexes of an architecture, once."""
    fetched: dict[str, Debian] = {}

    def of(architecture: str) -> Debian:
        if architecture not in fetched:
            apt = new_apt(tmp_path_factory.mktemp("debian") / architecture, architecture)
            files = apt.update()
            if not files:
                pytest.skip("apt can fetch no index: no sources, or no network")
            fetched[architecture] = Debian(apt, files, Index(files, architecture))
        return fetched[architecture]

    yield of
    for debian in fetched.values():
        debian.index.close()


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
@pytest.mark.parametrize("roots", IMAGES)
def test_the_infrastructure_images_are_of_what_apt_would_install(debian, architecture: str, roots: str) -> None:
    assert debian(architecture).differences(roots) == (set(), set())
    assert debian(architecture).differences(roots, IMAGES[roots]) == (set(), set())


@pytest.mark.parametrize("roots", AWKWARD)
def test_awkward_packages_bring_what_they_bring_with_apt(debian, roots: str) -> None:
    assert debian("amd64").differences(roots) == (set(), set())


@pytest.mark.parametrize("roots", CONFLICTING)
def test_what_apt_cannot_install_together_is_refused(debian, roots: str) -> None:
    assert debian("amd64").apt.choose(roots.split()) == []
    with pytest.raises(BuildError, match="conflicts with"):
        resolve(debian("amd64").index, roots.split(), {})


def test_a_large_index_takes_little_memory(debian) -> None:
    largest = max(debian("amd64").files, key=lambda file: file.path.stat().st_size)
    measured = subprocess.run([sys.executable, "-c", MEASURE, largest.path], capture_output=True, text=True, check=True)
    assert int(measured.stdout) < 100_000  # kB


def universe(generator: random.Random) -> tuple[str, list[str]]:
    """An index of a dozen packages that want, provide and exclude one another, and what to ask for."""
    names = [f"p{number:02}" for number in range(generator.randint(4, 22))]
    virtual = [f"v{number}" for number in range(generator.randint(0, 4))]
    peaceful = generator.random()

    def relation(often_versioned: float) -> str:
        name = generator.choice([*names, *virtual]) + generator.choice([":any", *[""] * 20])
        operator = generator.choice(["<<", "<=", "=", ">=", ">=", ">=", ">>"])
        return f"{name} ({operator} {generator.randint(1, 3)})" if generator.random() < often_versioned else name

    def alternatives() -> str:
        return " | ".join(relation(0.1) for _ in range(generator.choice([1, 1, 1, 2, 3])))

    def listed(one: Callable[[], str], most: int) -> str:
        return ", ".join(one() for _ in range(generator.randint(1, most)))

    def provided() -> str:
        name = generator.choice([*virtual, generator.choice(names)])
        return f"{name} (= {generator.randint(1, 3)})" if generator.random() < 0.4 else name

    stanzas = []
    for name in generator.sample(names, len(names)):
        version = generator.randint(1, 3)
        fields = {
            "Priority": (0.9, lambda: generator.choice(["required", "important", "standard", *["optional"] * 6])),
            "Multi-Arch": (0.4, lambda: generator.choice(["same", "foreign", "allowed"])),
            "Pre-Depends": (0.15, lambda: listed(alternatives, 2)),
            "Depends": (0.8, lambda: listed(alternatives, 3)),
            "Recommends": (0.15, lambda: listed(alternatives, 2)),
            "Conflicts": (0.3 * peaceful, lambda: listed(lambda: relation(0.4), 2)),
            "Breaks": (0.3 * peaceful, lambda: listed(lambda: relation(0.4), 2)),
            "Provides": (0.4, lambda: listed(provided, 2)),
        }
        written = [f"{field}: {make()}\n" for field, (often, make) in fields.items() if generator.random() < often]
        fixed = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
        stanzas.append(f"{fixed}{''.join(written)}Filename: pool/{name}.deb\nSize: 1\nSHA256: {version:064}\n")
    return "\n".join(stanzas), generator.sample(names, generator.choice([1, 1, 2, 3]))


def test_made_up_packages_bring_what_they_bring_with_apt(apt, tmp_path: Path) -> None:
    """Where apt finds nothing, nothing is found; where both find something, it is the same.

    That apt alone finds something happens: its second attempt, which lets go of packages by their
    scores, is left out here.
    """
    outcomes = dict.fromkeys(("same", "neither", "apt alone"), 0)
    for seed in range(200):
        text, roots = universe(random.Random(seed))
        apt.offer(text)
        expected = [name for name, *_ in apt.choose(roots)]
        (tmp_path / "Packages").write_text(text)
        with Index([PackagesFile(tmp_path / "Packages", "offered", "suite")], "amd64") as index:
            try:
                ours = [package.name for package in resolve(index, roots, {}).packages]
            except BuildError:
                outcomes["apt alone" if expected else "neither"] += 1
                continue
        assert ours == expected, f"seed {seed}: {roots}\n{text}"
        outcomes["same"] += 1
    assert outcomes["same"] > 60
    assert outcomes["neither"] > 60
    assert outcomes["apt alone"] < 6
