"""Amounts of resources are compared by what they are, not by how they are written."""

from __future__ import annotations

from fractions import Fraction

import pytest

from procession_tasks.publish.kubernetes.quantity import quantity


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("1", 1),
        ("100m", Fraction(1, 10)),
        ("0.1", Fraction(1, 10)),
        (".5", Fraction(1, 2)),
        ("1.", 1),
        ("1k", 1000),
        ("64Mi", 64 * 1024**2),
        ("1Gi", 1024**3),
        ("1024Mi", 1024**3),
        ("1G", 10**9),
        ("2E", 2 * 10**18),
        ("1Ei", 1024**6),
        ("1e3", 1000),
        ("1E-3", Fraction(1, 1000)),
        ("5n", Fraction(5, 10**9)),
        ("7u", Fraction(7, 10**6)),
        ("-3", -3),
    ],
)
def test_an_amount_is_a_number_and_a_suffix(written: str, amount: Fraction) -> None:
    assert quantity(written) == amount


@pytest.mark.parametrize("written", ["", "m", "1 Gi", "1MB", "1K", "1mi", "one", "1e", "1e9999", "1.2.3", "None"])
def test_anything_else_is_no_amount(written: str) -> None:
    assert quantity(written) is None
