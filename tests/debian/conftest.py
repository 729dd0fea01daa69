"""apt as a judge of what is chosen: with folders of its own, of nothing installed.  Downloads that do not wait."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from procession_tasks.debian import download, transport
from procession_tasks.debian.index import PackagesFile

# Name, version, architecture and SHA-256.
Chosen = tuple[str, str, str, str]
_URI = re.compile(r"^'[^']+' ([^_]+)_([^_]+)_([^_]+)\.deb [0-9]+ SHA256:([0-9a-f]{64})$", re.MULTILINE)
_OMITTED = """\
Package: {name}
Status: install ok installed
Version: 9999:1
Architecture: {architecture}
Multi-Arch: allowed
Maintainer: X <x@example.org>
Description: omitted

"""


class Apt:
    """apt-get for one architecture, of which everything it writes is below a folder."""

    def __init__(self, folder: Path, architecture: str = "amd64") -> None:
        self.folder = folder
        self.architecture = architecture
        for name in ("lists/partial", "cache/archives/partial", "nothing"):
            (folder / name).mkdir(parents=True)
        self.options = {
            "Dir::State": str(folder),
            "Dir::State::lists": str(folder / "lists"),
            "Dir::State::status": str(folder / "status"),
            "Dir::Cache": str(folder / "cache"),
            "Dir::Etc::preferences": str(folder / "nothing/preferences"),
            "Dir::Etc::preferencesparts": str(folder / "nothing"),
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "",
            "APT::Solver": "internal",
            "APT::AutoRemove::RecommendsImportant": "false",
            "APT::AutoRemove::SuggestsImportant": "false",
            "Acquire::ForceHash": "SHA256",
            "Acquire::GzipIndexes": "false",
        }

    def run(self, *words: str, omit: Iterable[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run apt-get with what is omitted as if it were installed."""
        stubs = (_OMITTED.format(name=name, architecture=self.architecture) for name in omit)
        (self.folder / "status").write_text("".join(stubs))
        options = "".join(f'{name} "{value}";\n' for name, value in self.options.items())
        # What is read after the machine's own configuration can take its hooks away.
        (self.folder / "apt.conf").write_text(f"#clear APT::Architectures;\n#clear APT::Update;\n{options}")
        argv = ["apt-get", "-c", self.folder / "apt.conf", *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=300)

    def choose(self, roots: Sequence[str], omit: Iterable[str] = ()) -> list[Chosen]:
        """What apt would fetch, sorted; nothing if it can install nothing."""
        ended = self.run("-qq", "-y", "--no-install-recommends", "--print-uris", "install", *roots, omit=omit)
        found = [(name, version.replace("%3a", ":"), *rest) for name, version, *rest in _URI.findall(ended.stdout)]
        assert len(found) == len(ended.stdout.splitlines()), ended.stdout
        assert (ended.returncode == 0) == bool(found), ended.stderr
        return sorted(found)

    def offer(self, packages: str) -> None:
        """Put in place an index of its own, the only one."""
        (self.folder / "sources.list").write_text("deb [trusted=yes] file:/offered suite main\n")
        name = f"_offered_dists_suite_main_binary-{self.architecture}_Packages"
        (self.folder / "lists" / name).write_text(packages)
        self.options |= {
            "Dir::Etc::sourcelist": str(self.folder / "sources.list"),
            "Dir::Etc::sourceparts": str(self.folder / "nothing"),
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
        }

    def update(self) -> list[PackagesFile]:
        """Fetch the indexes of the machine's own sources; in apt's order, none if there is no network."""
        self.run("update")
        fields = "$(FILENAME)|$(REPO_URI)|$(RELEASE)"
        listed = self.run("indextargets", "--format", fields, "Created-By: Packages").stdout.splitlines()
        targets = [line.split("|") for line in listed]
        return [PackagesFile(Path(file), Path(uri).name, suite) for file, uri, suite in targets if Path(file).exists()]


@pytest.fixture
def in_haste(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Download without long waits, and by the proxies of this test's environment."""
    monkeypatch.setattr(download, "_WAITS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(transport, "TIMEOUT_S", 20)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    transport._opener.cache_clear()
    yield
    transport._opener.cache_clear()


@pytest.fixture(scope="session")
def new_apt() -> type[Apt]:
    """To have apt-get in a folder of its own; without it the test is skipped."""
    if shutil.which("apt-get") is None:
        pytest.skip("apt-get is not installed")
    return Apt


@pytest.fixture
def apt(new_apt: type[Apt], tmp_path: Path) -> Apt:
    """apt-get in a folder of its own, for amd64."""
    return new_apt(tmp_path / "apt")
