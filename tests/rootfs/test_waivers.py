"""What is found wrong can be accepted, by name and with a reason; nothing else can."""

from __future__ import annotations

import pytest

from procession_tasks.rootfs.waivers import Finding, unwaived

LINK = Finding(
    "link", "usr/share/doc/x", "/usr/share/doc/x: a link must lead somewhere", "add usr/share/doc/x to prune"
)
SCRIPT = Finding("script", "prometheus chown", "prometheus: a script must do nothing", "add it to paths")
ODD = Finding("link", "usr/bin/x[1]", "/usr/bin/x[1]: a link", "add it to prune")


def problems(**waive: set[str]) -> list[str]:
    return unwaived([LINK, SCRIPT, ODD], waive, "deploy/aci/sample")


def test_a_finding_is_told_with_the_two_ways_out() -> None:
    assert problems()[1] == (
        "prometheus: a script must do nothing\n"
        '  hint: add it to paths; or waive: {script: {"prometheus chown": why}} under debian'
    )


def test_what_a_message_says_to_write_is_accepted() -> None:
    assert problems(link={LINK.subject, ODD.subject}, script={SCRIPT.subject}) == []


@pytest.mark.parametrize("pattern", ["usr/share/doc/*", "usr/**/x", "usr/share/???/x", "**"])
def test_subjects_may_be_patterns(pattern: str) -> None:
    assert not any(LINK.message in problem for problem in problems(link={pattern}))


def test_a_waiver_is_for_its_check_alone() -> None:
    found = problems(library={LINK.subject}, script={SCRIPT.subject}, link={ODD.subject})
    assert len(found) == 2
    assert LINK.message in found[1]


def test_a_waiver_that_waives_nothing_is_told() -> None:
    found = problems(link={LINK.subject, ODD.subject}, script={SCRIPT.subject, "prometheus chwon"}, copyright={"zzz"})
    assert found == [
        (
            "deploy/aci/sample/image.yaml: debian.waive.script: must waive something that is found, got 'prometheus chwon'\n"
            "  hint: did you mean prometheus chown?"
        ),
        "deploy/aci/sample/image.yaml: debian.waive.copyright: must waive something that is found, got 'zzz'\n  hint: remove it",
    ]


def test_a_prefix_of_a_subject_waives_nothing() -> None:
    assert len(problems(link={"usr/share/doc", "usr"})) == 5
