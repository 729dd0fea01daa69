"""Amounts of resources, such as 100m and 64Mi.  Pure.

Source: Kubernetes API, "Quantity".
"""

from __future__ import annotations

import re
from fractions import Fraction

_WRITTEN = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,3}))?")
_FACTORS = {None: Fraction(1), "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000)}
_FACTORS |= {letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", 1)}
_FACTORS |= {f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", 1)}


def quantity(written: str) -> Fraction | None:
    """Read an amount, None for what is none."""
    match = _WRITTEN.fullmatch(written)
    if match is None:
        return None
    return Fraction(match[1]) * _FACTORS[match[2]] * Fraction(10) ** int(match[3] or 0)
