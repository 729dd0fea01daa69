"""Shell scripts are read as a shell reads them, and followed along every way they may take."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from procession_tasks.rootfs.shell.conditions import UNKNOWN
from procession_tasks.rootfs.shell.follow import follow
from procession_tasks.rootfs.shell.grammar import parse_shell
from procession_tasks.rootfs.shell.tree import UnreadableError

THERE = {"/etc/hosts": "file", "/var/lib/app": "directory", "/var/run": "symlink"}


def lookup(path: str, follow: bool) -> str | None:  # noqa: FBT001  # as a Lookup is called
    return "directory" if path == "/var/run" and follow else THERE.get(path)


def calls(text: str, *arguments: str) -> list[str]:
    """What a script would run, unknown text as a dot."""
    found = follow(text, arguments or ("configure", ""), {"DPKG_ROOT": ""}, lookup)
    return [" ".join([*call.argv, *(f">{path}" for path in call.writes)]).replace(UNKNOWN, ".") for call in found]


# Words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run a  b\tc", "run a b c"),
        ("run 'a  $b' \"c  d\" e\\ f", "run a  $b c  d e f"),
        ("run a\\\nb", "run ab"),
        ("run \\\n  a", "run a"),
        ("run 'it'\"'\"'s'", "run it's"),
        ('run "a \\" \\$x \\\\ \\n"', 'run a " $x \\ \\n'),
        ("run # comment", "run"),
        ("run a#b '#c'", "run a#b #c"),
        ("x=1; run $x ${x}2 \"$x\" '$x'", "run 1 12 1 $x"),
        ("x='a b'; run $x \"$x\"", "run a b a b"),
        ('x=; run $x "$x" y', "run  y"),
        ("run $y", "run ."),
        ("x=1; run ${x:-2} ${x:+3} ${DPKG_ROOT:-4} ${DPKG_ROOT:+5} ${y:-6}", "run 1 3 4 ."),
        ('run ${DPKG_ROOT:-"a b"} ${DPKG_ROOT:+--root="$DPKG_ROOT"}', "run a b"),
        ("run ${z:=a}", "run ."),
        ("run ${DPKG_ROOT:=/r}; run $DPKG_ROOT", "run /r|run /r"),
        ('x=a/b; run ${x##*/} ${#x} ${x%"}"}', "run . . ."),
        ('run $1 $2 $3 $# "$@"', "run configure 2 configure "),
        ("run $(inner a) `inner b`", "inner a|inner b|run . ."),
        ('run "x$(inner "a b")y"', "inner a b|run x.y"),
        ("run `echo \\`inner\\``", "inner|echo .|run ."),
        ("run $((1 + $(inner)))", "inner|run ."),
        ("run $(dirname /a/b) $(basename /a/b)", "dirname /a/b|basename /a/b|run /a b"),
        ("t=$(mktemp); run $t", "mktemp|run /tmp/scratch"),
        ("x=1 run $x", "run ."),
        ("a=(1 2 'x y'); run $a ${a[0]}", "run . ."),
        ("run $'a' {a,b} ~", "run a {a,b} ~"),
        ("run a*b", "run a*b"),
    ],
)
def test_words(text: str, expected: str) -> None:
    assert "|".join(calls(text)) == expected


# Commands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a; b & c\nd", "a|b|c|d"),
        ("a | b |& c", "a|b|c"),
        ("a && b || c", "a|b|c"),
        ("true && a || b", "a|b"),
        ("false && a || b", "b"),
        ("! true || a", "a"),
        ("! a || b", "a|b"),
        ("( a; b )", "a|b"),
        ("{ a; b; }", "a|b"),
        ("f() { a $1; }; f x", "a x"),
        ("f () ( a ); f", "a"),
        ("function f { a; }; f", "a"),
        ("f() { a; }", ""),
        ("if a; then b; elif c; then d; else e; fi", "a|b|c|d|e"),
        ("if true; then a; else b; fi", "a"),
        ("if false; then a; elif true; then b; else c; fi", "b"),
        ("while a; do b; done", "a|b"),
        ("until a; do b; done", "a|b"),
        ("for x in 1 '2 3'; do a $x; done", "a 1|a 2 3"),
        ("for x in 1 '2 3'; do a \"$x\"; done", "a 1|a 2 3"),
        ("for x; do a $x; done", "a configure|a"),
        ("for x in $y; do a $x; done", "a ."),
        ("for x in; do a; done", ""),
        ("case x in y) a;; x|z) b;; *) c; esac", "b"),
        ("case $y in a) a;; b*) b;; esac", "a|b"),
        ("case a.b in (?.b) a ;; esac", "a"),
        ("case $1 in configure) a;; *) b;; esac", "a"),
        ("command a; exec b; env X=1 c; nohup d", "a|b|c|d"),
        ("command -v a", ""),
        ("eval a b", "a b"),
        ("trap 'a $x' EXIT; x=1; b", "b|a 1"),
        ("trap - EXIT; trap '' INT", ""),
        ("set -- a b; run $1 $2; shift; run $1", "run a b|run b"),
        ("cd /etc; a", "a"),
        ("[[ a == a && -n b ]] && x", "x"),
        ("((1 > 2)) && a", "a"),
        ("a>b 2>&1 <c >>d", "a >b >d"),
        ("a >/dev/null 2>e >&2", "a >/dev/null >e"),
        ("> a", "> >a"),
        ("{ a; } > b", "> >b|a"),
        ("while read x; do a $x; done < in > out", "> >out|a ."),
        ("a <<E > b\nx $(c)\nE\nd", "c|a >b|d"),
        ("a <<'E'\nx $(c)\nE\nd", "a|d"),
        ("a <<-E\n\tx\n\tE\nd", "a|d"),
        ("a <<A <<B; b\n1\nA\n2\nB\nc", "a|b|c"),
        ("cat <<E | b\nif fi (\nE\nc", "cat|b|c"),
        ("a <<< word", "a"),
        ("if [ x ]; then # comment\n a\nfi # end", "a"),
        ("a && # comment\n\n b", "a|b"),
        ("", ""),
        ("#!/bin/sh\n", ""),
    ],
)
def test_commands(text: str, expected: str) -> None:
    assert "|".join(calls(text)) == expected


# Ways


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x=1; a && x=2; run $x", "a|run ."),
        ("x=1; a && x=1; run $x", "a|run 1"),
        ("if a; then x=1; else x=1; fi; run $x", "a|run 1"),
        ("if a; then x=1; fi; run $x", "a|run ."),
        ("(x=1); run $x", "run ."),
        ("a && set -- x; run $1 $12", "a|run . .2"),
        ("a | x=1; run $x", "a|run ."),
        ("x=1; while a; do run $x; x=$x/b; done; run $x", "a|run .|run ."),
        ("x=1; for y in $z; do run $x; x=2; done", "run ."),
        ("exit 0; a", ""),
        ("a || exit 1; b", "a|b"),
        ("if a; then exit; else exit; fi; b", "a"),
        ("f() { return; a; }; f; b", "b"),
        ("f() { a || return; exit; }; f; b", "a|b"),
        ("f() { a && return; b; }; f; c", "a|b|c"),
        ("f() { x=1; a && return; x=2; }; f; run $x", "a|run ."),
        ("f() { while a; do return; done; exit; }; f; b", "a|b"),
        ("while true; do a && break; exit; done; b", "a|b"),
        ("for x in 1 2; do break; a; done; b", "b"),
        ("for x in 1; do a && continue; exit; done; b", "a|b"),
        ("(exit 1); a", "a"),
        ("x=$(exit 1); a", "a"),
        ("f() { a; f x; }; f", "a|a"),
        ("f() { run $1; f b; }; f a", "run a|run ."),
        ("if a; then f() { b; }; else f() { c; }; fi; f", "a|b|c"),
        ("f() { command f; }; f", "f"),
        ("g() { run $1; }; f() { g $2; }; f a b; run $1", "run b|run configure"),
        ("f() { shift; run $1; }; f a b; run $1", "run b|run configure"),
        ("x=a; f() { x=b; }; f; run $x", "run b"),
        ("clean() { rm $t; }; trap clean EXIT; t=$(mktemp)", "mktemp|rm /tmp/scratch"),
        ("trap 'a $x' EXIT; x=1; b && x=2", "b|a ."),
        ('trap "a $x" EXIT; b', "trap a . EXIT|b"),
        ('eval "$x"', "eval ."),
    ],
)
def test_ways(text: str, expected: str) -> None:
    assert "|".join(calls(text)) == expected


# Conditions


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('[ "$1" = configure ]', True),
        ('[ "$1" = "configure" ] && [ -n "$2" ]', False),
        ('[ "$1" = configure -a -z "$2" ]', True),
        ('[ "$1" = upgrade -o "$2" ]', False),
        ('test "$1" != configure', False),
        ('[ ! "$2" ]', True),
        ('[ "x$1" = "xconfigure" ]', True),
        ("[ ]", False),
        ("[ -n ]", True),
        ('[ "$y" ]', None),
        ('[ "$y" = a ]', None),
        ('[ "$y" = a ] && false', None),
        ('[ -n "a$y" ]', True),
        ('[ "$1" = upgrade -a "$y" ]', False),
        ('[ "$1" = configure -o "$y" ]', True),
        ("[ 1 -lt 2 ]", True),
        ("[ 1 -ge 2 ]", False),
        ("[ a -lt 2 ]", None),
        ("[ \\( a = b \\) -o c ]", True),
        ("[[ abc == a* ]]", True),
        ("[ abc = 'a*' ]", False),
        ("[[ a =~ ^a ]]", None),
        ("[ -e /etc/hosts ]", True),
        ("[ -d /etc/hosts ]", False),
        ("[ -d /var/lib/app ]", True),
        ("[ -L /var/run ]", True),
        ("[ -d /var/run ]", True),
        ("[ -L /etc/hosts ]", False),
        ("[ ! -e /etc/hosts ]", False),
        ("[ -e /not/there ]", None),
        ("[ ! -e /not/there ]", None),
        ("[ -f /etc/my.cnf.dpkg-old ]", False),
        ("[ -f /etc/my.cnf.dpkg-new ]", None),
        ('[ -e "$y" ]', None),
        ("[ a -nt b ]", None),
        ('dpkg --compare-versions "$2" lt 1.0', True),
        ('dpkg --compare-versions "$2" le-nl 1.0', False),
        ('dpkg --compare-versions "$2" gt 1.0', False),
        ('dpkg --compare-versions "$2" ge-nl 1.0', True),
        ('dpkg --compare-versions "$y" lt 1.0', None),
        ("a", None),
        ("[ a b c d ]", None),
    ],
)
def test_conditions(condition: str, expected: bool | None) -> None:  # noqa: FBT001
    found = [call for call in calls(f"if {condition}; then yes; else no; fi") if call in ("yes", "no")]
    assert found == {True: ["yes"], False: ["no"], None: ["yes", "no"]}[expected]


@pytest.mark.parametrize(
    "operator", ["lt", "le", "eq", "ne", "ge", "gt", "lt-nl", "le-nl", "ge-nl", "gt-nl", "<<", "<=", "=", ">=", ">>"]
)
def test_dpkg_compares_no_version_in_the_same_way(operator: str, judge: Callable[[str], str]) -> None:
    status = subprocess.run([judge("dpkg"), "--compare-versions", "", operator, "1.0"]).returncode
    assert calls(f"dpkg --compare-versions '' '{operator}' 1.0 && a")[1:] == (["a"] if status == 0 else [])


# What cannot be read


@pytest.mark.parametrize(
    "text",
    ["if a; then b", "a 'b", 'a "b', "a `b", "a $(b", "a ${b", "case x in y", "for", "a)", "fi", "a ;; b", "{ a", "a <<E\nx", "a && ", "a |", "&& a", "( a", "x=$((1", "$((a) | b)", "f() ", "a <"],
)  # fmt: skip
def test_what_is_no_script_is_refused_with_its_line(text: str, judge: Callable[[str], str]) -> None:
    with pytest.raises(UnreadableError, match=r"^line \d+: "):
        parse_shell(text)
    if text != "$((a) | b)":  # which a shell takes for a subshell
        assert (
            subprocess.run([judge("dash"), "-n"], input=text.encode(), capture_output=True).returncode == 2
            or "<<" in text
        )


def test_the_line_is_that_of_the_command() -> None:
    script = "#!/bin/sh\n\n# c\na \\\n  b\nf() {\n  c\n}\ncat <<E\n1\n2\nE\nd `e\ng`\n"
    assert [(call.argv[0], call.line) for call in follow(script, [], {}, lookup)] == [
        ("a", 4),
        ("cat", 9),
        ("e", 13),
        ("g", 14),
        ("d", 13),
    ]


def test_what_is_too_deep_or_too_long_is_refused() -> None:
    for text in ("( " * 1000, "$(" * 1000, "if " * 1000):
        with pytest.raises(UnreadableError):
            parse_shell(text)
    doubling = "".join(f"f{n}() {{ f{n + 1}; f{n + 1}; }}\n" for n in range(30))
    with pytest.raises(UnreadableError, match="more than 20000 steps"):
        calls(f"{doubling}f30() {{ a; }}\nf0")


# A real shell as judge

SCRIPT = """\
set -e
clean() { [ -z "$t" ] || remove "$t"; }
add() {
  if ask "$1"; then return 0; fi
  for d in "$@" /last; do [ "$d" = /skip ] && continue; make "$d" || warn "no $d"; done
  case "$2" in /x*) special "$2";; *) ;; esac
  grant "$1"
}
case "$1" in
  configure)
    t=$(name) ; trap clean EXIT
    add /a /skip || fail
    add /b "/x$(suffix)"
    if test "$2"; then upgrade; elif first "$2" && second; then third; else fourth | fifth; fi
    while more; do step; again && break; last; done
  ;;
  *) never ;;
esac
"""


@pytest.mark.parametrize(
    "failing", ["", "ask", "make", "ask first", "second more", "grant", "name", "again fail ask", "suffix"]
)
def test_what_a_shell_runs_was_foreseen(failing: str, tmp_path: Path, judge: Callable[[str], str]) -> None:
    words = "remove ask make warn special grant name fail suffix upgrade first second third fourth fifth more step again last never"
    for word in words.split():
        status = int(word in failing.split())
        stub = tmp_path / word
        if word == "more" and not status:  # or it would never end
            text = f'[ -e {tmp_path}/once ] && exit 1; : > {tmp_path}/once; echo "more" >> {tmp_path}/log; exit 0'
        else:
            text = f'echo "{word} $*" >> {tmp_path}/log; exit {status}'
        stub.write_text(f"#!{judge('dash')}\n{text}\n")
        stub.chmod(0o755)
    subprocess.run(
        [judge("dash"), "-c", SCRIPT, "script", "configure", ""], env={"PATH": f"{tmp_path}"}, capture_output=True
    )
    ran = {line.split()[0] for line in (tmp_path / "log").read_text().splitlines()}
    foreseen = {call.split()[0] for call in calls(SCRIPT)}
    assert ran <= foreseen
    assert foreseen == set(words.split()) - {"upgrade", "never"}
