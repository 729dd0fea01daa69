"""MariaDB from its packed image: the first start, what outlives a kill, and what is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROOT = {"user": "root", "password": "top secret"}
PROCESSION = {"user": "procession", "password": 'it\'s a "qüoted" \\word; -- x', "database": "procession_data"}
SETTINGS = {
    "MYSQL_ROOT_PASSWORD": ROOT["password"],
    "MYSQL_DATABASE": PROCESSION["database"],
    "MYSQL_USER": PROCESSION["user"],
    "MYSQL_PASSWORD": PROCESSION["password"],
}


def rows(server: Any, *statements: str, **login: str) -> Any:
    """Run statements that must succeed and return the rows of the last."""
    answer = server.ask("sql", statements=statements, **login)
    assert "rows" in answer, answer
    return answer["rows"]


def ready(server: Any, login: dict[str, str] = ROOT) -> None:
    assert rows(server, "select 1", **login) == [[1]]


@pytest.fixture(scope="session")
def made(images: Any, workplace: Path) -> Path:
    """An archive of the volume after a first start, so that not every test waits for one."""
    return workplace / "mysql-volume.tar"


@pytest.fixture
def volume(images: Any, bubblewrap: Any, made: Path) -> Path:
    """A volume that had its first start, with SETTINGS."""
    folder: Path = bubblewrap.volume(images["mysql"])
    if not made.exists():
        server = bubblewrap.start(images["mysql"], volumes={"data": folder}, **SETTINGS)
        ready(server)
        assert server.stop() == 0, server.log
        subprocess.run(["tar", "-cSf", made, "-C", folder, "."], check=True)
        return folder
    subprocess.run(["tar", "-xpf", made, "-C", folder], check=True)
    return folder


def test_a_user_logs_in_creates_inserts_and_selects(images: Any, runtime: Any) -> None:
    server = runtime.start(images["mysql"], **SETTINGS)
    create = "create table processions (id int primary key auto_increment, name varchar(40)) engine=innodb"
    insert = "insert into processions (name) values ('Fronleichnam'), ('Пасха 🕯')"
    found = rows(server, create, insert, "select * from processions order by id", **PROCESSION)
    assert found == [[1, "Fronleichnam"], [2, "Пасха 🕯"]]
    assert server.stop() == 0, server.log


def test_the_user_has_rights_on_the_database_alone(images: Any, bubblewrap: Any, volume: Path) -> None:
    server = bubblewrap.start(images["mysql"], volumes={"data": volume})
    assert rows(server, "show databases", **PROCESSION) == [["information_schema"], ["procession_data"]]
    rows(server, "create database processionXdata", **ROOT)  # _ alone would match it
    for statement in ("use processionXdata", "select * from mysql.global_priv", "create database other"):
        assert "denied" in server.ask("sql", statements=[statement], **PROCESSION)["error"][1]
    for login in ({"user": "anybody"}, {"user": "root"}, {"user": "mysql"}, ROOT | {"password": "other"}):
        assert "denied" in server.ask("sql", statements=["select 1"], **login)["error"][1], login


def test_passwords_come_from_files_and_are_told_to_nobody(images: Any, bubblewrap: Any) -> None:
    run = bubblewrap.volume(images["mysql"])
    for name in ("root", "user"):
        (run / name).write_text(f"secret-of-{name}\n")
    given = {
        "MYSQL_USER": "app",
        "MYSQL_PASSWORD_FILE": "/run/mysqld/user",
        "MYSQL_ROOT_PASSWORD_FILE": "/run/mysqld/root",
    }
    server = bubblewrap.start(images["mysql"], volumes={"run": run}, **given)
    commands = set()
    deadline = time.monotonic() + 30
    while "ready for connections" not in server.log and time.monotonic() < deadline:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                commands.add(process.read_bytes())
            except OSError:
                continue
    assert any(b"--bootstrap" in command for command in commands)
    assert not any(b"secret-of" in command for command in commands)
    assert "secret-of" not in server.log
    ready(server, {"user": "root", "password": "secret-of-root"})
    ready(server, {"user": "app", "password": "secret-of-user"})


def test_the_server_does_not_keep_passwords_in_its_environment(images: Any, bubblewrap: Any) -> None:
    server = bubblewrap.start(images["mysql"], **SETTINGS)
    ready(server)
    environment = Path(f"/proc/{server.pid}/environ").read_bytes()
    assert b"MYSQL_DATABASE=" in environment
    assert b"PASSWORD" not in environment


def test_without_a_root_password_nobody_administers_it_over_the_network(images: Any, bubblewrap: Any) -> None:
    server = bubblewrap.start(images["mysql"], MYSQL_USER="app", MYSQL_PASSWORD="p")
    ready(server, {"user": "app", "password": "p"})
    assert "no MYSQL_ROOT_PASSWORD" in server.log
    for user in ("root", "mysql", "mariadb.sys"):
        assert "error" in server.ask("sql", statements=["select 1"], user=user, password="")


def test_a_second_start_takes_the_data_as_it_is(images: Any, bubblewrap: Any, volume: Path) -> None:
    first = bubblewrap.start(images["mysql"], volumes={"data": volume})
    rows(first, "create table t (a int)", "insert into t values (1)", **PROCESSION)
    assert first.stop() == 0
    second = bubblewrap.start(images["mysql"], volumes={"data": volume}, MYSQL_ROOT_PASSWORD="another")
    assert rows(second, "select * from t", **PROCESSION) == [[1]]
    ready(second)  # settings of accounts are for the first start
    assert "making the data folder" not in second.log
    assert second.stop() == 0


def test_nothing_committed_is_lost_by_a_kill_in_the_middle_of_writes(
    images: Any, bubblewrap: Any, volume: Path
) -> None:
    server = bubblewrap.start(images["mysql"], volumes={"data": volume})
    rows(server, "create table written (number int, part char(1), primary key (number, part))", **PROCESSION)
    with subprocess.Popen(server.probing("commits", **PROCESSION), stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        confirmed = [int(writer.stdout.readline()) for _ in range(300)]
        server.stop(signal.SIGKILL)
        confirmed += [int(line) for line in writer.stdout if line.strip().isdigit()]

    again = bubblewrap.start(images["mysql"], volumes={"data": volume})
    found = rows(again, "select number, count(*) from written group by number order by number", **PROCESSION)
    assert [number for number, _ in found][: len(confirmed)] == confirmed == list(range(len(confirmed)))
    assert len(found) - len(confirmed) in (0, 1)  # the last may have been committed before it was confirmed
    assert {count for _, count in found} == {3}  # no half transaction
    assert "Starting crash recovery" in again.log
    assert again.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_first_start_that_was_ended_is_begun_again(
    images: Any, bubblewrap: Any, wait_until: Any, number: signal.Signals
) -> None:
    volume = bubblewrap.volume(images["mysql"])
    unfinished = volume / "data.unfinished"
    for moment in (".", "ibdata1", "mysql/db.MAI", "mysql/help_topic.MAI", "sys"):
        server = bubblewrap.start(images["mysql"], volumes={"data": volume}, **SETTINGS)
        wait_until((unfinished / moment).exists, f"{moment} is being made")
        status = server.stop(number)
        assert not (volume / "data").exists()
        if number == signal.SIGTERM:
            assert status == 0, server.log
            assert list(volume.iterdir()) == []
    server = bubblewrap.start(images["mysql"], volumes={"data": volume}, **SETTINGS)
    ready(server)
    ready(server, PROCESSION)
    assert server.stop() == 0
    assert [path.name for path in volume.iterdir()] == ["data"]


def test_a_failed_first_start_leaves_nothing_that_passes_for_data(images: Any, bubblewrap: Any) -> None:
    volume = bubblewrap.volume(images["mysql"])
    server = bubblewrap.start(images["mysql"], "--no-such-option", volumes={"data": volume}, **SETTINGS)
    assert server.ended() == 1
    assert "unknown option '--no-such-option'" in server.log
    assert "the data folder could not be made" in server.log
    assert not (volume / "data").exists()
    ready(bubblewrap.start(images["mysql"], volumes={"data": volume}, **SETTINGS))


def test_arguments_are_options_of_the_server(images: Any, bubblewrap: Any) -> None:
    options = ("--max-connections=33", "--lower-case-table-names=1", "--log-bin", "--server-id=7")
    server = bubblewrap.start(images["mysql"], *options, **SETTINGS)
    ask = "select @@max_connections, @@lower_case_table_names, @@log_bin, @@server_id"
    assert rows(server, ask, **ROOT) == [[33, 1, 1, 7]]
    assert rows(server, "show master status", **ROOT)[0][0] == "mysqld-bin.000001"
    assert server.stop() == 0, server.log


def test_the_character_set_is_utf8_and_times_are_utc(images: Any, bubblewrap: Any, volume: Path) -> None:
    server = bubblewrap.start(images["mysql"], volumes={"data": volume})
    asked = "select @@character_set_server, @@character_set_database, @@system_time_zone, @@skip_name_resolve"
    assert rows(server, asked, **PROCESSION) == [["utf8mb4", "utf8mb4", "UTC", 1]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"MYSQL_USER": "app"}, "MYSQL_USER must go with MYSQL_PASSWORD"),
        ({"MYSQL_PASSWORD": "p"}, "MYSQL_PASSWORD must go with MYSQL_USER"),
        ({"MYSQL_USER": "root", "MYSQL_PASSWORD": "p"}, "MYSQL_USER must not be root"),
        ({"MYSQL_DATABASE": "a`b"}, "must be letters, digits, _ and -, got a`b"),
        ({"MYSQL_ROOT_PASSWORD": "a\nb"}, "MYSQL_ROOT_PASSWORD must not have line ends"),
        ({"MYSQL_ROOT_PASSWORD_FILE": "/none"}, "MYSQL_ROOT_PASSWORD_FILE must name a readable file, got /none"),
        ({"MYSQL_DATABASE": "a", "MYSQL_DATABASE_FILE": "/b"}, "MYSQL_DATABASE and MYSQL_DATABASE_FILE must not"),
        ({"MYSQL_PASSWORD_FILE": "/dev/null", "MYSQL_USER": "a"}, "MYSQL_PASSWORD_FILE must name a file that is not"),
    ],
)
def test_wrong_settings_are_named(images: Any, bubblewrap: Any, given: dict[str, str], said: str) -> None:
    volume = bubblewrap.volume(images["mysql"])
    server = bubblewrap.start(images["mysql"], volumes={"data": volume}, **given)
    assert server.ended() == 1
    assert said in server.log
    assert list(volume.iterdir()) == []


def test_data_of_a_newer_release_is_left_alone(images: Any, bubblewrap: Any, volume: Path) -> None:
    (volume / "data/mysql_upgrade_info").write_text("11.4.2-MariaDB")
    server = bubblewrap.start(images["mysql"], volumes={"data": volume})
    assert server.ended() == 1
    assert server.log == (
        "procession-mysql: /var/lib/mysql/data was made by 11.4.2-MariaDB, "
        "which 10.11.18 cannot read: run that release, or restore a dump\n"
    )


def test_data_of_an_older_release_is_taken_and_said(images: Any, bubblewrap: Any, volume: Path) -> None:
    (volume / "data/mysql_upgrade_info").write_text("10.6.1-MariaDB")
    server = bubblewrap.start(images["mysql"], volumes={"data": volume})
    ready(server)
    assert "was made by 10.6.1-MariaDB: run mariadb-upgrade" in server.log


def test_data_in_the_volume_itself_is_left_alone(images: Any, bubblewrap: Any, volume: Path) -> None:
    for path in list((volume / "data").iterdir()):
        path.rename(volume / path.name)
    (volume / "data").rmdir()
    before = sorted(path.name for path in volume.iterdir())
    server = bubblewrap.start(images["mysql"], volumes={"data": volume})
    assert server.ended() == 1
    assert "holds data itself, which is expected in /var/lib/mysql/data: move it there" in server.log
    assert sorted(path.name for path in volume.iterdir()) == before


@pytest.mark.parametrize(("name", "path"), [("data", "/var/lib/mysql"), ("run", "/run/mysqld"), ("tmp", "/tmp")])
def test_a_place_it_cannot_write_to_is_named(images: Any, bubblewrap: Any, name: str, path: str) -> None:
    closed = bubblewrap.volume(images["mysql"])
    if os.geteuid() == 0:
        os.chown(closed, 0, 0)
    closed.chmod(0o555)
    server = bubblewrap.start(images["mysql"], volumes={name: closed})
    assert server.ended() == 1
    assert server.log.startswith(f"procession-mysql: {path} must be writable for uid 904: ")
