"""What maintainer scripts would do must be done, declared or not needed; silence is no option."""

from __future__ import annotations

from typing import Any

import pytest

from procession_tasks.definition.model import NO_ACCOUNTS, Accounts, Group, User
from procession_tasks.definition.model import Path as Declared
from procession_tasks.errors import BuildError

APP = Accounts((User("app", 901, 901),), (Group("app", 901), Group("log", 4, ("app",))))


@pytest.fixture
def undeclared(store: Any, maker: Any) -> Any:
    """What is said of a package with a postinst, when the image has these things."""

    def said(
        text: str, *, script: str = "postinst", paths: Any = (), accounts: Accounts = NO_ACCOUNTS, **more: Any
    ) -> list[str]:
        shebang = "" if text.startswith("#!") else "#!/bin/sh\nset -e\n"
        scripts = {script: shebang + text} | more.pop("scripts", {})
        package = store.package(
            "app",
            store.folder("var/lib/app", 0o750, 901, 901),
            store.file("var/lib/app/state", b"", 0o640, uid=901, gid=901),
            store.file("etc/app.conf", b"x", 0o644),
            store.link("etc/link", "app.conf"),
            store.file("usr/bin/app", b"", 0o755),
            store.folder("var/empty"),
            *more.pop("members", ()),
            scripts=scripts,
        )
        try:
            maker.image([package], paths=paths, accounts=accounts, **more)
        except BuildError as error:
            return [line for line in str(error).split("\n") if not line.startswith("  hint")]
        return []

    return said


def subjects(problems: list[str]) -> list[str]:
    """The command of each problem, as it was told."""
    return [problem.partition(" got ")[2].strip("'\"").split("'")[0] for problem in problems]


# Users and groups


@pytest.mark.parametrize(
    "command",
    [
        "adduser --quiet --system --home /nonexistent --group --gecos 'the app' app",
        "adduser --system --home /home/app --no-create-home app",
        "adduser --system --home /var/lib/app app",
        "adduser app log",
        "addgroup --system app",
        "addgroup app log",
        "useradd -r -g app -d /nonexistent -s /bin/false -c 'the app' app",
        "useradd --system -m -d /var/lib/app app",
        "groupadd -r -g 901 app",
        "usermod -aG log app",
        "U=app; getent passwd $U >/dev/null || adduser --system $U",
        "chsh -s /bin/sh app",
    ],
)
def test_accounts_must_be_declared(undeclared: Any, command: str) -> None:
    assert undeclared(command, accounts=APP) == []
    assert len(undeclared(command)) == 1


def test_a_home_folder_that_would_be_made_must_be_there(undeclared: Any) -> None:
    assert len(undeclared("adduser --system --home /var/lib/elsewhere app", accounts=APP)) == 1


def test_accounts_in_files_of_rootfs_count(undeclared: Any, maker: Any) -> None:
    maker.write("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:7:7::/:/bin/false\n")
    assert undeclared("adduser --system app; chown app /usr/bin/app") == [
        "app 1.0-1: a script must do nothing that is not declared, got 'chown app /usr/bin/app' in line 3 of postinst"
    ]


# Paths


@pytest.mark.parametrize(
    "command",
    [
        "mkdir -p /var/lib/app",
        "mkdir -p -m 0750 /var/lib/app/",
        "install -d -m 750 -o app -g app /var/lib/app",
        "touch /etc/app.conf",
        "touch /etc/link",
        "ln -s app.conf /etc/link",
        "ln -sf app.conf /etc/link",
        "chown app:app /var/lib/app",
        "chown -R app.app /var/lib/app",
        "chown 901 /var/lib/app",
        "chgrp app /var/lib/app",
        "chmod 0750 /var/lib/app",
        "chmod 644 /etc/app.conf",
        "chown nobody:nogroup /not/there",
        "chmod -x /not/there",
        "rm -f /not/there /not/*",
        "rm -rf /not/there",
        "rmdir /not/there",
        "rmdir --ignore-fail-on-non-empty /var/lib/app",
        "unlink /not/there",
        "update-alternatives --install /usr/bin/editor editor /usr/bin/pruned 5",
        "update-alternatives --install /etc/link link /usr/bin/app 5 --slave /usr/share/man/man1/l.1 l /usr/share/man/pruned",
        "update-alternatives --quiet --remove app /usr/bin/app",
        "D=/var/lib; cd $D; mkdir -p app",
        "for d in /var/lib/app /var/empty; do mkdir -p $d; done",
    ],
)
def test_what_is_there_already_is_no_news(undeclared: Any, command: str) -> None:
    assert undeclared(command, accounts=APP) == []


@pytest.mark.parametrize(
    "command",
    [
        "mkdir -p /var/lib/other",
        "mkdir -p /etc/app.conf",
        "mkdir -p $UNSET",
        "mkdir -p /var/lib/$UNSET",
        "install -d /var/lib/other",
        "install -m 600 /dev/null /etc/app.conf",
        "touch /var/lib/app/other",
        "echo x > /etc/app.conf",
        "echo x >> /etc/other",
        "echo x > /var/lib/app/$(date)",
        "cat > /etc/other <<E\nx\nE",
        "printf x | tee /etc/other",
        "cp /etc/app.conf /etc/other",
        "cp /etc/app.conf /var/lib/app",
        "cp -t /var/lib/app /etc/app.conf",
        "mv /etc/app.conf /etc/other",
        "ln -s other /etc/link",
        "ln -s x /etc/other",
        "ln /etc/app.conf /etc/other",
        "chown root /var/lib/app",
        "chown app:log /var/lib/app",
        "chown unknown /var/lib/app",
        "chown app /usr/bin/*",
        "chown -R app /var/lib",
        "chown --reference=/x /var/lib/app",
        "chmod 755 /var/lib/app",
        "chmod u+s /usr/bin/app",
        "chmod +x /etc/app.conf",
        "chmod -x /usr/bin/app",
        "chmod -R 0750 /var/lib/app",
        "rm /etc/app.conf",
        "rm -rf /var/lib/ap*",
        "rm -f $UNSET",
        "rmdir /var/empty",
        "update-alternatives --install /usr/bin/editor editor /usr/bin/app 5",
        "dpkg-statoverride --update --add app app 0700 /var/lib/app",
        "ucf --three-way /usr/share/app.conf /etc/app.conf",
        "sed -i s/a/b/ /etc/app.conf",
        "sed -i -e s/a/b/ /etc/app.conf",
        "sort -o /etc/app.conf /etc/app.conf",
        "find /var/lib/app -delete",
        "find / -exec chown app {} +",
        "awk '{ print > \"/etc/x\" }'",
        "awk 'BEGIN { system(\"rm\") }'",
    ],
)
def test_what_would_change_the_image_is_told(undeclared: Any, command: str) -> None:
    problems = undeclared(command, accounts=APP)
    assert len(problems) == 1
    assert problems[0].startswith("app 1.0-1: a script must do nothing that is not declared, got ")


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("chown app:log /var/lib/app", Declared("var/lib/app", "directory", None, 1, 1)),
        ("chmod 0700 /var/lib/app/", Declared("var/lib/app", "directory", 0o700, 1, 1)),
        ("chmod u+s /usr/bin/app", Declared("usr/bin/app", "file", 0o4755)),
        ("chown app /etc/link", Declared("etc/app.conf", "file", None, 901, 901)),
        ("mkdir -p /var/lib/other; chown app /var/lib/other", Declared("var/lib/other", "directory", 0o700, 901, 901)),
        ("update-alternatives --install /etc/x x /etc/app.conf 5", Declared("etc/x", "symlink", target="app.conf")),
        ("ln -s /etc/app.conf /etc/x", Declared("etc/x", "symlink", target="elsewhere/it/knows")),
        ("echo x > /etc/app.conf", Declared("etc/app.conf", "file", 0o600)),
    ],
)
def test_declared_paths_are_the_definitions_own_affair(
    undeclared: Any, maker: Any, command: str, path: Declared
) -> None:
    maker.write("elsewhere/it/knows")
    maker.write("etc/elsewhere/it/knows")
    assert len(undeclared(command, accounts=APP)) > 0
    assert undeclared(command, accounts=APP, paths=[path]) == []


@pytest.mark.parametrize(
    "command",
    [
        "cp /usr/share/x /etc/other.conf",
        "echo x > /etc/other.conf",
        "sed -i s/a/b/ /etc/other.conf",
        "[ -e /etc/other.conf ] || rm -rf /etc/app.conf",
    ],
)
def test_a_file_of_rootfs_is_the_definitions_own_affair(undeclared: Any, maker: Any, command: str) -> None:
    maker.write("etc/other.conf", "mine")
    assert undeclared(command) == []


@pytest.mark.parametrize(
    "command",
    [
        "mkdir -p /run/app /var/run/x /tmp/y; touch /dev/null",
        "echo x > /dev/null 2>&1",
        "t=$(mktemp); echo x > $t; rm -f $t",
        "mkdir /usr/local/lib/app /mnt /srv/app",
        "echo UTC > /etc/timezone; ln -sf /usr/share/zoneinfo/UTC /etc/localtime",
        "cp /x /root/.profile; touch /var/log/wtmp",
        "chmod +x /etc/init.d/app; rm -f /etc/default/app",
        "cat > /etc/hosts <<E\nE",
        "echo x > /etc/app.dpkg-new; mv /etc/app.dpkg-new /etc/localtime",
        "echo x > /etc/app.tmp; rm -f /etc/app.tmp",
    ],
)
def test_paths_that_no_server_needs_are_passed_over(undeclared: Any, command: str) -> None:
    assert undeclared(command) == []


def test_what_is_written_and_then_moved_is_judged_by_where_it_ends(undeclared: Any) -> None:
    (problem,) = undeclared("echo x > /etc/other.new; mv /etc/other.new /etc/other")
    assert subjects([problem]) == ["mv /etc/other.new /etc/other"]


# Commands


@pytest.mark.parametrize(
    "command",
    [
        "update-rc.d app defaults; invoke-rc.d app start || exit 1",
        "deb-systemd-helper enable app.service; systemctl daemon-reload; deb-systemd-invoke start app",
        "ldconfig; dpkg-trigger --no-await x",
        'dpkg-maintscript-helper rm_conffile /etc/x 1.0 -- "$@"',
        ". /usr/share/debconf/confmodule; db_get app/x; db_stop",
        "py3compile -p app",
        "dpkg -L app | xargs_is_not_here=1; dpkg-query -W; dpkg --print-architecture",
        "dpkg-divert --list x; dpkg-statoverride --list /x",
        "perl -e ''",
        "echo hello; printf x; cat /etc/x | grep -q y",
        "if which restorecon >/dev/null; then restorecon /etc/x; fi",
    ],
)
def test_commands_that_leave_nothing_behind_are_passed_over(undeclared: Any, command: str) -> None:
    assert undeclared(command) == []


@pytest.mark.parametrize(
    ("command", "subject"),
    [
        ("frobnicate --all", "frobnicate"),
        ("/usr/share/app/setup", "setup"),
        ("setcap cap_net_raw+ep /usr/bin/app", "setcap"),
        ("dpkg-divert --add --rename /usr/bin/app", "dpkg-divert"),
        ("dpkg -i x.deb", "dpkg"),
        ("systemd-tmpfiles --create app.conf", "systemd-tmpfiles"),
        ("su -c 'touch /x' app", "su"),
        ("find . | xargs rm", "xargs"),
        ("perl -e 'unlink'", "perl"),
        (". /usr/share/app/functions", "."),
        ('eval "$X"', "eval"),
        ("$X --setup", "?"),
        ('"$DIR"/setup', "setup"),
        ("chown", "chown"),
        ("adduser", "adduser"),
    ],
)
def test_a_command_that_is_not_known_is_told_and_can_be_waived_by_its_name(
    undeclared: Any, command: str, subject: str
) -> None:
    assert len(undeclared(command)) == 1
    assert undeclared(command, waive={"script": {f"app {subject}"}}) == []


def test_the_message_shows_every_line_and_the_way_out(store: Any, maker: Any) -> None:
    script = '#!/bin/sh\nU=app\nmkdir -p /var/lib/$U\nif [ "$1" = configure ]; then\n  mkdir \\\n    /var/log/$U\nfi\n'
    package = store.package("app", scripts={"postinst": script})
    assert maker.problems([package]) == [
        (
            "app 1.0-1: a script must do nothing that is not declared, got 'mkdir -p /var/lib/app' in line 3 of postinst;"
            " 'mkdir /var/log/app' in line 5 of postinst\n"
            "  hint: add {path: /var/lib/app, type: directory, mode: …, uid: …, gid: …} to paths and"
            " add {path: /var/log/app, type: directory, mode: …, uid: …, gid: …} to paths;"
            ' or waive: {script: {"app mkdir": why}} under debian'
        )
    ]


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("adduser app", "add {name: app, uid: …, gid: …} to accounts.users"),
        ("addgroup app", "add {name: app, gid: …} to accounts.groups"),
        ("adduser app log", "add app to the members of log under accounts.groups"),
        ("chmod u+s /usr/bin/app", "add {path: /usr/bin/app, type: file, mode: …, uid: …, gid: …} to paths"),
        ("echo x > /etc/x", "put /etc/x into rootfs/"),
        ("touch /etc/x", "put /etc/x into rootfs/"),
        ("ln -s a /etc/x", "add {path: /etc/x, type: symlink, target: a} to paths"),
        ("rm /usr/bin/app", "add usr/bin/app to prune"),
        ("frobnicate", "declare what it does"),
    ],
)
def test_the_hint_is_what_to_write(store: Any, maker: Any, command: str, hint: str) -> None:
    package = store.package(
        "app", store.file("usr/bin/app", b"", 0o755), scripts={"postinst": f"#!/bin/sh\n{command}\n"}
    )
    (problem,) = maker.problems([package])
    assert problem.partition("hint: ")[2].partition("; or waive")[0] == hint


# Which scripts, and how


@pytest.mark.parametrize("script", ["preinst", "postinst", "config"])
def test_what_runs_on_installation_is_followed(undeclared: Any, script: str) -> None:
    assert len(undeclared("frobnicate", script=script)) == 1


@pytest.mark.parametrize("script", ["prerm", "postrm"])
def test_what_runs_on_removal_is_not(undeclared: Any, script: str) -> None:
    assert undeclared("frobnicate", script=script) == []


@pytest.mark.parametrize(
    "text",
    [
        'if [ "$1" = upgrade ]; then frobnicate; fi',
        'case "$1" in abort-upgrade|abort-remove) frobnicate;; esac',
        'if [ -n "$2" ]; then frobnicate; fi',
        'if dpkg --compare-versions "$2" lt-nl 2.0; then frobnicate; fi',
        'if [ "$1" = triggered ]; then frobnicate; fi',
    ],
)
def test_what_a_first_installation_leaves_out_is_left_out(undeclared: Any, text: str) -> None:
    assert undeclared(text) == []


def test_a_trigger_that_the_package_waits_for_is_followed(undeclared: Any) -> None:
    text = 'if [ "$1" = triggered ] && [ "$2" = /usr/share/x ]; then frobnicate; fi'
    triggers = {"triggers": "# comment\ninterest-noawait /usr/share/x\nactivate-noawait ldconfig\n"}
    assert len(undeclared(text, scripts=triggers)) == 1
    assert undeclared(text, scripts={"triggers": "activate /usr/share/x\ninterest other\n"}) == []


@pytest.mark.parametrize(
    "text",
    ["#!/usr/bin/perl\nunlink 'x';\n", "#!/bin/shiny\n", "\x7fELF", "#!/bin/sh\nif broken\n", "#!/bin/sh\necho 'x\n"],
)
def test_a_script_that_cannot_be_followed_is_told_by_its_name(undeclared: Any, text: str) -> None:
    (problem,) = undeclared(text if text.startswith("#!") else f"#!{text}")
    assert "postinst, which cannot be followed" in problem
    assert undeclared(text if text.startswith("#!") else f"#!{text}", waive={"script": {"app postinst"}}) == []


@pytest.mark.parametrize(
    "shebang", ["#!/bin/sh", "#! /bin/sh -e", "#!/bin/bash", "#!/usr/bin/env bash", "#!/usr/bin/dash"]
)
def test_every_shell_is_a_shell(undeclared: Any, shebang: str) -> None:
    assert undeclared(f"{shebang}\ntrue\n") == []


def test_a_waiver_covers_its_command_in_its_package_alone(store: Any, maker: Any) -> None:
    packages = [store.package(name, scripts={"postinst": "#!/bin/sh\nfrobnicate\nmangle\n"}) for name in ("one", "two")]
    problems = maker.problems(packages, waive={"script": {"one frobnicate", "two *"}})
    assert [problem.partition(" in line")[0] for problem in problems] == [
        "one 1.0-1: a script must do nothing that is not declared, got 'mangle'"
    ]


def test_the_certificates_tool_needs_a_bundle(store: Any, maker: Any) -> None:
    scripts = {"postinst": "#!/bin/sh\nupdate-ca-certificates --fresh\n"}
    assert len(maker.problems([store.package("ca-certificates", scripts=scripts)])) == 1
    certificate = store.file("usr/share/ca-certificates/a.crt", b"a")
    assert maker.image([store.package("ca-certificates", certificate, scripts=scripts)])
