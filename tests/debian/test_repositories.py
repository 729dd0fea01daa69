"""Where repositories are found, who says it first, and what is refused as an address."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from procession_tasks.debian.repositories import Place, Repositories, repository_of
from procession_tasks.errors import BuildError

TARGET = """\
MetaKey: main/binary-amd64/Packages
Repo-URI: {base}
Release: {release}
Codename: {codename}
Component: main
"""
CONFIGURATION = """\
APT "";
Acquire::http::Proxy "http://proxy.example:3128/";
"""


class FakeApt:
    """apt-get and apt-config that print what they are told to, and note that they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": f"{folder}:/usr/bin:/bin"}
        folder.mkdir()
        for name in ("apt-get", "apt-config"):
            (folder / name).write_text(f'#!/bin/sh\necho "$0 $*" >> {folder}/asked\ncat {folder}/{name}.out\n')
            (folder / name).chmod(0o755)
        self.say([], "")

    def say(self, targets: list[tuple[str, str, str]], configuration: str) -> None:
        blocks = [TARGET.format(base=base, release=release, codename=codename) for base, release, codename in targets]
        (self.folder / "apt-get.out").write_text("\n".join(blocks))
        (self.folder / "apt-config.out").write_text(configuration)

    @property
    def was_asked(self) -> bool:
        return (self.folder / "asked").exists()

    def place(self, repository: str, suite: str) -> Place:
        return Repositories(None, None, self.environment).place(repository, suite)


@pytest.fixture
def fake_apt(tmp_path: Path) -> FakeApt:
    return FakeApt(tmp_path / "apt")


def shown(place: Place) -> tuple[str, str | None, bool]:
    return place.url, place.proxy, place.dates_count


@pytest.mark.parametrize(
    ("suite", "repository"),
    [
        ("bookworm", "debian"),
        ("bookworm-updates", "debian"),
        ("bookworm-security", "debian-security"),
        ("stable-security", "debian-security"),
        ("sid", "debian"),
    ],
)
def test_a_suite_tells_its_repository(suite: str, repository: str) -> None:
    assert repository_of(suite) == repository


@pytest.mark.parametrize(
    ("mirror", "debian", "security"),
    [
        ("http://m.example", "http://m.example/debian", "http://m.example/debian-security"),
        ("http://m.example/", "http://m.example/debian", "http://m.example/debian-security"),
        ("http://m.example/debian", "http://m.example/debian", "http://m.example/debian-security"),
        ("http://m.example/debian/", "http://m.example/debian", "http://m.example/debian-security"),
        ("https://m.example/debian-security", "https://m.example/debian", "https://m.example/debian-security"),
        ("http://m.example:81/a/b/debian", "http://m.example:81/a/b/debian", "http://m.example:81/a/b/debian-security"),
        ("http://[::1]:81/old", "http://[::1]:81/old/debian", "http://[::1]:81/old/debian-security"),
        ("file:///srv/mirror", "file:///srv/mirror/debian", "file:///srv/mirror/debian-security"),
    ],
)
def test_a_mirror_is_the_folder_of_repositories_or_one_of_them(mirror: str, debian: str, security: str) -> None:
    repositories = Repositories(mirror, None, {})

    assert repositories.place("debian", "bookworm") == Place(debian)
    assert repositories.place("debian-security", "bookworm-security") == Place(security)


def test_the_environment_wins_over_the_setting_and_that_over_apt(fake_apt: FakeApt) -> None:
    fake_apt.say([("http://apt.example/debian/", "bookworm", "")], "")
    setting, variable = "http://setting.example", {"PROCESSION_DEBIAN_MIRROR": "http://variable.example"}

    assert Repositories(setting, None, fake_apt.environment | variable).place("debian", "bookworm") == Place(
        "http://variable.example/debian"
    )
    assert Repositories(setting, None, fake_apt.environment).place("debian", "bookworm") == Place(
        "http://setting.example/debian"
    )
    assert not fake_apt.was_asked
    assert Repositories(None, None, fake_apt.environment).place("debian", "bookworm") == Place(
        "http://apt.example/debian"
    )
    assert fake_apt.was_asked


def test_apt_is_asked_once(fake_apt: FakeApt) -> None:
    fake_apt.say([("http://apt.example/debian/", "bookworm", "")], "")
    repositories = Repositories(None, None, fake_apt.environment)
    for _ in range(3):
        repositories.place("debian", "bookworm")

    assert (fake_apt.folder / "asked").read_text().count("apt-get ") == 1


TARGETS = [
    ("http://a.example/debian/", "bookworm", ""),
    ("http://b.example/debian/", "unstable", "sid"),
    ("http://s.example/debian-security/", "bookworm-security", ""),
    ("http://o.example/debian-other/", "trixie", ""),
    ("mirror+file:/etc/apt/mirrors/debian/", "trixie", ""),
    ("cdrom://disc/debian/", "trixie", ""),
]


@pytest.mark.parametrize(
    ("repository", "suite", "base"),
    [
        ("debian", "bookworm", "http://a.example/debian"),
        ("debian", "unstable", "http://b.example/debian"),
        ("debian", "sid", "http://b.example/debian"),
        ("debian", "trixie", "http://a.example/debian"),  # one pool serves all suites
        ("debian-security", "bookworm-security", "http://s.example/debian-security"),
        ("debian-security", "trixie-security", "http://s.example/debian-security"),
    ],
)
def test_of_apts_sources_the_one_with_the_suite_is_taken(
    fake_apt: FakeApt, repository: str, suite: str, base: str
) -> None:
    fake_apt.say(TARGETS, "")

    assert fake_apt.place(repository, suite) == Place(base)


@pytest.mark.parametrize(
    ("configuration", "base", "proxy"),
    [
        (CONFIGURATION, "http://a.example/debian", "http://proxy.example:3128/"),
        (CONFIGURATION, "https://a.example/debian", "http://proxy.example:3128/"),
        (CONFIGURATION + 'Acquire::https::Proxy "DIRECT";\n', "https://a.example/debian", ""),
        (CONFIGURATION + 'Acquire::http::Proxy::a.example "direct";\n', "http://a.example:81/debian", ""),
        (
            CONFIGURATION + 'Acquire::http::Proxy::b.example "direct";\n',
            "http://a.example/debian",
            "http://proxy.example:3128/",
        ),
        ('acquire::HTTP::proxy "http://other.example";\n', "http://a.example/debian", "http://other.example"),
        ('Acquire::http::Proxy "";\n', "http://a.example/debian", None),
        ("", "http://a.example/debian", None),
        (CONFIGURATION, "file:/srv/debian", "http://proxy.example:3128/"),
    ],
)
def test_apts_proxy_is_used_where_apt_would(
    fake_apt: FakeApt, configuration: str, base: str, proxy: str | None
) -> None:
    fake_apt.say([(f"{base}/", "bookworm", "")], configuration)

    assert shown(fake_apt.place("debian", "bookworm")) == (base, proxy, True)


@pytest.mark.parametrize("name", ["Check-Valid-Until", "Check-Date"])
@pytest.mark.parametrize(
    ("word", "count"), [("false", False), ("No", False), ("0", False), ("off", False), ("true", True), ("1", True)]
)
def test_dates_count_as_they_do_for_apt(fake_apt: FakeApt, name: str, word: str, *, count: bool) -> None:
    fake_apt.say([("http://a.example/debian/", "bookworm", "")], f'Acquire::{name} "{word}";\n')

    assert fake_apt.place("debian", "bookworm").dates_count is count


def test_without_apt_or_a_source_it_is_said_what_to_set(fake_apt: FakeApt, tmp_path: Path) -> None:
    fake_apt.say([("http://o.example/debian-other/", "bookworm", "")], "")
    for environment in (fake_apt.environment, {"PATH": str(tmp_path)}):
        with pytest.raises(BuildError) as refused:
            Repositories(None, None, environment).place("debian", "bookworm")

        assert str(refused.value) == (
            "debian: nothing says where this repository is\n"
            "  hint: set PROCESSION_DEBIAN_MIRROR, or mirror under [tool.procession.debian], to the URL of a mirror;"
            " or add the repository to this machine's apt sources"
        )


def test_an_apt_that_fails_says_nothing(fake_apt: FakeApt) -> None:
    (fake_apt.folder / "apt-get").write_text("#!/bin/sh\necho 'E: Malformed entry' >&2\nexit 100\n")

    with pytest.raises(BuildError, match="nothing says where"):
        fake_apt.place("debian", "bookworm")


@pytest.mark.parametrize(
    "url",
    [
        "mirror.example/debian",
        "ftp://mirror.example/debian",
        "http://",
        "http:///debian",
        "http://mirror.example:port/debian",
        "http://mirror.example:99999/debian",
        "http://[::1/debian",
        "http://mirror.example/a debian",
        "http://mirror.example/debian?a=b",
        "http://mirror.example/debian#a",
        "http://mirror.example/\u200bdebian",
        "file://srv/debian",
        "file:debian",
        "https://user:secret@",
    ],
)
def test_what_is_no_url_of_a_folder_is_refused_and_not_shown(url: str) -> None:
    for name, mirror, environment in (
        ("PROCESSION_DEBIAN_MIRROR", None, {"PROCESSION_DEBIAN_MIRROR": url}),
        ("[tool.procession.debian] mirror", url, {}),
    ):
        with pytest.raises(BuildError) as refused:
            Repositories(mirror, None, environment).place("debian", "bookworm")

        assert str(refused.value) == (
            f"{name}: must be the URL of a folder\n"
            "  hint: such as http://mirror.example/debian or file:///srv/mirror/debian"
        )


def test_a_wrong_address_hurts_only_who_downloads() -> None:
    assert Repositories("mirror.example", "snapshot.example", {})


def test_a_snapshot_is_by_repository_and_date() -> None:
    date = "20260711T101637Z"
    setting = Repositories(None, "http://snapshot.example/archive/", {})
    variable = Repositories(None, "http://snapshot.example", {"PROCESSION_DEBIAN_SNAPSHOT": "file:///srv/old"})

    assert setting.snapshot("debian", date) == Place(f"http://snapshot.example/archive/debian/{date}")
    assert variable.snapshot("debian-security", date) == Place(f"file:///srv/old/debian-security/{date}")
    assert setting.snapshot("debian", "") is None
    assert Repositories(None, None, {}).snapshot("debian", date) is None
    with pytest.raises(BuildError, match="^PROCESSION_DEBIAN_SNAPSHOT: must be the URL of a folder"):
        Repositories(None, None, {"PROCESSION_DEBIAN_SNAPSHOT": "x"}).snapshot("debian", date)


def test_a_place_does_not_show_what_may_be_a_password() -> None:
    place = Place("https://user:secret@mirror.example/debian", "http://user:secret@proxy.example")

    assert "secret" not in repr(place)


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt-get is not installed")
def test_the_machines_own_apt_is_understood(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "deb http://a.example/debian/ bookworm main\n"
        "deb [arch=amd64] https://b.example/some/debian-security stable-security main contrib\n"
    )
    (tmp_path / "none").mkdir()
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\n'
        f'Dir::Etc::sourceparts "{tmp_path}/none";\n'
        f'Dir::Etc::parts "{tmp_path}/none";\n'
        'acquire::http::proxy "http://proxy.example:3128";\n'
        'Acquire { https { Proxy { b.example "DIRECT"; }; }; Check-Valid-Until "no"; };\n'
    )
    environment = {"PATH": "/usr/bin:/bin", "APT_CONFIG": str(tmp_path / "apt.conf")}
    repositories = Repositories(None, None, environment)

    assert shown(repositories.place("debian", "bookworm")) == (
        "http://a.example/debian",
        "http://proxy.example:3128",
        False,
    )
    assert shown(repositories.place("debian-security", "stable-security")) == (
        "https://b.example/some/debian-security",
        "",
        False,
    )
