r"""Exact value of a number as an answer spells it: integer, decimal, fraction, mixed or repeating number, percent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from roi_bench.answers import normalize_answer

MAX_EXPONENT = 300
r"""Larger powers of ten in ``a \cdot 10^{b}`` are not numbers to us."""

ROUNDED_PLACES = 6
"""From this many decimal places on, a decimal may stand for a fraction that it rounds (math-verify's default)."""

_DECIMAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_NUMBER = re.compile(
    rf"""(?P<sign>[+-]?)(?:
        (?P<whole>[0-9]+)?\\frac\{{(?P<top>[+-]?{_DECIMAL})\}}\{{(?P<bottom>[+-]?{_DECIMAL})\}}
      | (?P<left>{_DECIMAL})/(?P<right>{_DECIMAL})
      | (?P<start>[0-9]*\.[0-9]*)\\overline\{{(?P<period>[0-9]+)\}}
      | (?P<decimal>{_DECIMAL})(?:\\cdot10\^\{{(?P<power>[+-]?[0-9]{{1,4}})\}}|[eE](?P<exponent>[+-]?[0-9]{{1,4}}))?
    )(?P<percent>%?)""",
    re.VERBOSE,
)
_SCALED = re.compile(r"(?P<value>.*[0-9}])\s*(?P<scale>thousand|million|billion)\b.*", re.DOTALL | re.IGNORECASE)
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_LABEL = re.compile(r"[^0-9=:]*[=:]\s*(?=[^=:]*\Z)")


@dataclass(frozen=True, slots=True)
class Number:
    """An exact number.

    Attributes:
        value: The value, percent sign ignored.
        percent: A percent sign was written.
        places: Decimal places written (0 for integers); None for fractions.
    """

    value: Fraction
    percent: bool
    places: int | None


def parse_number(text: str) -> Number | None:
    """Return the number that ``text``, an answer in normal form, spells, or None."""
    if len(text) > 1000:
        return None
    while text.startswith("(") and text.endswith(")") and len(text) > 2:
        text = text[1:-1]
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign = -1 if match["sign"] == "-" else 1
    places: int | None = None
    if match["bottom"] is not None or match["right"] is not None:
        top, bottom = Fraction(match["top"] or match["left"]), Fraction(match["bottom"] or match["right"])
        if bottom == 0 or (match["whole"] and (top < 0 or bottom < 0)):
            return None
        value = int(match["whole"] or 0) + top / bottom
    elif match["period"] is not None:
        value = _repeating(match["start"], match["period"])
    else:
        exponent = int(match["power"] or match["exponent"] or 0)
        if abs(exponent) > MAX_EXPONENT:
            return None
        value = Fraction(match["decimal"]) * Fraction(10) ** exponent
        places = len(match["decimal"].partition(".")[2])
    return Number(sign * value, bool(match["percent"]), places)


def _repeating(start: str, period: str) -> Fraction:
    whole, _, fixed = start.partition(".")
    unit = Fraction(1, 10 ** len(fixed))
    return Fraction(int(whole or 0)) + int(fixed or 0) * unit + Fraction(int(period), 10 ** len(period) - 1) * unit


def read_quantity(answer: str) -> Number | None:
    """Return the one number that ``answer`` to a numeric problem states, or None.

    Beyond :func:`parse_number`: any unit words behind it go (``18 eggs``, ``\\$18 per day``), a label or equation
    before it goes (``Total: 18``, ``m+n=18``), thousand/million/billion multiply. Text with other digits in it is no
    number (``18 or 20``, ``3:1``).
    """
    scaled = _SCALED.fullmatch(answer) if len(answer) <= 1000 else None
    text = normalize_answer(scaled["value"] if scaled else answer, any_unit=True)
    equation = text.rpartition("=")[2] if "=" in text else text
    number = parse_number(equation)
    if number is None and (label := _LABEL.match(equation)) is not None:
        number = parse_number(equation[label.end() :])
    if number is not None and scaled is not None:
        number = Number(number.value * _SCALES[scaled["scale"].lower()], number.percent, number.places)
    return number


def numbers_equal(gold: Number, answer: Number, rounded: bool = False) -> bool:
    """Return whether two numbers are equal: the same value with percent signs ignored, or read as hundredths.

    Args:
        gold: The reference.
        answer: The candidate.
        rounded: Whether a decimal of at least :data:`ROUNDED_PLACES` places may stand for the fraction it rounds.
    """
    if gold.value == answer.value:
        return True
    if gold.percent != answer.percent and _value(gold) == _value(answer):
        return True
    if rounded and (gold.places is None) != (answer.places is None):
        places = gold.places if gold.places is not None else answer.places
        if places is not None and places >= ROUNDED_PLACES:
            return abs(gold.value - answer.value) <= Fraction(1, 2 * 10**ROUNDED_PLACES)
    return False


def _value(number: Number) -> Fraction:
    return number.value / 100 if number.percent else number.value
