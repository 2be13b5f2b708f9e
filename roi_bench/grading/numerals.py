r"""Exact value of a number as an answer spells it: integer, decimal, fraction, mixed or repeating number, percent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from roi_bench.grading.answers import normalize_answer
from roi_bench.grading.structures import split_top

MAX_EXPONENT = 300
r"""Larger powers of ten in ``a \cdot 10^{b}`` are not numbers to us."""

ROUNDED_PLACES = 6
"""From this many decimal places on, a decimal may stand for a value that it rounds (math-verify's default)."""

ROUNDED_DIGITS = 4
"""So many significant digits such a decimal has at least: ``0.000002`` has one, and rounds thousands of fractions."""

_DECIMAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_NUMBER = re.compile(
    rf"""(?P<sign>[+-]?)(?:
        (?P<whole>[0-9]+)?\\frac\{{(?P<top>[+-]?{_DECIMAL})\}}\{{(?P<bottom>[+-]?{_DECIMAL})\}}
      | (?P<left>{_DECIMAL})/(?P<right>{_DECIMAL})
      | (?P<start>[0-9]*\.[0-9]*)\\overline\{{(?P<period>[0-9]+)\}}
      | (?P<decimal>{_DECIMAL})(?:[eE](?P<exponent>[+-]?[0-9]{{1,4}}))?
    )(?:\\cdot(?P<base>10|12)\^\{{(?P<power>[+-]?[0-9]{{1,4}})\}})?(?P<percent>%?)""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_BASE_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASED = re.compile(r"(-?)([0-9A-Z]+)(?:\.([0-9A-Z]+))?_\{([0-9]{1,2})\}")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-4])(?::([0-5][0-9])(?::([0-5][0-9]))?)?\s?([ap]m)?")
_WHOLE_HOUR = re.compile(r"([01]?[0-9]|2[0-4]):00")
_LABEL = re.compile(r"[^0-9=:]*:")
_SIGN = re.compile(r"=|\\approx(?![A-Za-z])")
_NO_EQUATION = re.compile(r";|\\\\|[<>]|\\(?:le|ge|ne)(?![A-Za-z])|[A-Za-z]!\Z")
_COUNTED = re.compile(r"[0-9.,/]+[A-Za-z]")
_PROSE = re.compile(r"(?<![\\a-z])[A-Za-z]?[a-z]{3}")
_OR = re.compile(r"(?<![A-Za-z])or(?![A-Za-z])|\\(?:lor|vee)(?![A-Za-z])|∨")
_PERCENT = re.compile(r"per\s?cent|%", re.IGNORECASE)
_PERCENT_ASKED = re.compile(
    r"\b(?:what|which|how\s+many)\s+(?:(?:is|was|are)\s+the\s+)?(?:[a-z]+\s+){0,2}?per\s?cent|\bas\s+an?\s+per\s?cent"
    r"|\b(?:find|give|determine)\s+the\s+per\s?cent",
    re.IGNORECASE,
)

AskedPercent = Literal["unknown", "no", "mentioned", "asked"]
"""Whether a question asks for percent (``asked``) or mentions it; ``unknown`` without a question."""


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


@lru_cache(maxsize=8192)
def parse_number(text: str) -> Number | None:
    """Return the number that ``text``, an answer in normal form, spells, or None."""
    if len(text) > 1000:
        return None
    if _PLAIN.fullmatch(text) is not None:
        return Number(Fraction(text), False, len(text.partition(".")[2]))
    while len(text) > 2 and text[0] + text[-1] in ("()", "{}", "[]"):
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
        exponent = int(match["exponent"] or 0)
        if abs(exponent) > MAX_EXPONENT:
            return None
        value = Fraction(match["decimal"])
        if exponent:
            value *= Fraction(10) ** exponent
        places = len(match["decimal"].partition(".")[2])
    power = int(match["power"] or 0)
    if abs(power) > MAX_EXPONENT:
        return None
    if match["base"]:
        value *= Fraction(match["base"]) ** power
    return Number(sign * value, bool(match["percent"]), places)


def _repeating(start: str, period: str) -> Fraction:
    whole, _, fixed = start.partition(".")
    unit = Fraction(1, 10 ** len(fixed))
    return Fraction(int(whole or 0)) + int(fixed or 0) * unit + Fraction(int(period), 10 ** len(period) - 1) * unit


@dataclass(frozen=True, slots=True)
class ClockTime:
    """A time of day.

    Attributes:
        hour: As written.
        minute: 0 where only the hour is written.
        second: 0 where it is not written.
        half: ``am``, ``pm``, or None where the answer does not say.
        marked: Whether it is surely a time of day, because it says which half.
    """

    hour: int
    minute: int
    second: int
    half: str | None
    marked: bool


def clock_time(text: str) -> ClockTime | None:
    """Return the time of day that ``text``, an answer in normal form, states, or None."""
    match = _CLOCK.fullmatch(text) if len(text) < 14 else None
    if match is None:
        return None
    half = match[4]
    if half is not None and not 1 <= int(match[1]) <= 12:
        return None
    return ClockTime(int(match[1]), int(match[2] or 0), int(match[3] or 0), half, half is not None)


def same_time(gold: str, answer: str) -> bool:
    """Return whether two answers are the same time of day; one may leave out its half of the day."""
    left, right = clock_time(gold), clock_time(answer)
    if left is None or right is None:
        return False
    if (left.hour, left.minute, left.second) != (right.hour, right.minute, right.second):
        return False
    return left.half is None or right.half is None or left.half == right.half


def base_value(text: str) -> Number | None:
    """Return the value of a numeral with its base (``0.0011_{2}`` is 3/16), or None."""
    match = _BASED.fullmatch(text) if len(text) < 200 else None
    if match is None or not 2 <= int(match[4]) <= 36:
        return None
    base, fraction = int(match[4]), match[3] or ""
    digits = [_BASE_DIGITS.index(digit) for digit in match[2] + fraction]
    if max(digits) >= base:
        return None
    value = 0
    for digit in digits:
        value = value * base + digit
    return Number(Fraction(-value if match[1] else value, base ** len(fraction)), False, None)


def read_quantity(answer: str, question: str = "") -> Number | None:
    r"""Return the one number that ``answer`` to a numeric problem states, or None.

    Beyond :func:`parse_number`: any unit words behind it go (``18 eggs``, ``\$18 per day``), a label or equation
    before it goes (``Total: 18``, ``m+n=18``, ``9\cdot2=18``), and two spellings of a number are one (``1/2 or 0.5``).
    Nothing is picked out of several statements (``x=18,y=3``), out of prose with numbers (``more than 2=3``), out of a
    false equation (``17=18``) or out of text with other digits (``18 or 20``, ``3:1``).
    """
    if _PLAIN.fullmatch(answer) is not None:
        return parse_number(answer)
    text = normalize_answer(answer, any_unit=True, question=question)
    if len(text) > 1000:
        return None
    if len(pieces := split_top(text, ",")) > 1:
        numbers = [parse_number(piece) for piece in pieces]
        if len(set(pieces)) < len(pieces) and not states_alternatives(answer):
            return None  # 18,18 are two numbers
        return numbers[0] if len({None if number is None else number.value for number in numbers}) == 1 else None
    *sides, last = _SIGN.split(text)
    label = _LABEL.match(last)
    last = last[label.end() :].strip() if label is not None else last
    hour = _WHOLE_HOUR.fullmatch(last)
    number = parse_number(hour[1] if hour is not None else last)
    if number is None or any(_COUNTED.fullmatch(side) for side in sides[1:]):
        return None  # x=18y=3 was two equations
    return number if all(_may_precede(side, number) for side in sides) else None


def states_alternatives(answer: str) -> bool:
    """Return whether ``answer``, as written, joins anything by *or*."""
    return _OR.search(answer) is not None


def _may_precede(side: str, number: Number) -> bool:
    """Return whether ``side`` may stand before ``= number``: a name, or a formula that is no other number."""
    if _NO_EQUATION.search(side) is not None:
        return False
    if not any(character.isdigit() for character in side):
        return True
    stated = parse_number(side)
    return _PROSE.search(side) is None and (stated is None or stated.value == number.value)


def contradicts_itself(text: str) -> bool:
    """Return whether ``text``, an answer in normal form, equates two different numbers: ``x=5=6``."""
    if text.count("=") == 0 or len(text) > 1000:
        return False
    found = [parse_number(side) for side in text.split("=")]
    numbers = [number for number in found if number is not None]
    return any(not numbers_agree(numbers[0], number) for number in numbers[1:])


def asked_percent(question: str) -> AskedPercent:
    """Return whether ``question`` asks for percent, or mentions it."""
    if not question:
        return "unknown"
    if _PERCENT_ASKED.search(question) is not None:
        return "asked"
    return "mentioned" if _PERCENT.search(question) is not None else "no"


def leaves_out_percent(value: Fraction | float, is_decimal: bool, asked: AskedPercent) -> bool:
    """Return whether a gold answer without a percent sign only leaves it out, so that ``20%`` is right for 20.

    Else a percent sign on the answer means hundredths. One of the two holds for a gold answer and its question, never
    both: a gold answer cannot equal two answers that differ by a factor of 100.

    Args:
        value: The value of the gold answer.
        is_decimal: Whether it is an integer or decimal: fractions are shares more often than percentages.
        asked: What the question says.
    """
    if asked == "asked":
        return is_decimal or not -1 <= value <= 1
    return asked != "no" and is_decimal and not -1 <= value <= 1


def numbers_equal(gold: Number, answer: Number, asked: AskedPercent = "unknown") -> bool:
    """Return whether two numbers are equal as answers of the pool ``math``.

    A decimal may stand for the fraction it rounds (:func:`rounding_tolerance`). Of a gold answer with a percent sign
    the sign may be left out, or be meant as hundredths; what it means on the answer alone tells
    :func:`leaves_out_percent`. (Numeric pools: :func:`same_quantity`.)
    """
    if gold.percent == answer.percent:
        return _close(gold, answer)
    if gold.percent:
        return _close(gold, answer) or _close(_of_hundredths(gold), answer)
    if leaves_out_percent(gold.value, gold.places is not None, asked):
        return _close(gold, answer)
    return _close(gold, _of_hundredths(answer))


def numbers_agree(left: Number, right: Number) -> bool:
    """Return whether two parts of a chain do not contradict each other: ``0.2=20%``, and ``20=20%`` is carelessness."""
    if left.percent == right.percent:
        return _close(left, right)
    plain, percentage = (right, left) if left.percent else (left, right)
    return _close(plain, _of_hundredths(percentage)) or numbers_equal(plain, percentage)


def same_quantity(gold: Number, answer: Number, asked: AskedPercent) -> bool:
    """Return whether two numbers are equal as answers of a numeric pool.

    The values are equal, and a percent sign on the answer alone is one that the gold answer leaves out (or it is 0).
    """
    if gold.value != answer.value:
        return False
    if gold.percent or not answer.percent or gold.value == 0:
        return True
    return leaves_out_percent(gold.value, gold.places is not None, asked)


def _close(gold: Number, answer: Number) -> bool:
    if gold.value == answer.value:
        return True
    if (gold.places is None) == (answer.places is None):
        return False
    decimal = gold if gold.places is not None else answer
    tolerance = rounding_tolerance(decimal.value, decimal.places or 0)
    return tolerance is not None and abs(gold.value - answer.value) <= tolerance


def _of_hundredths(number: Number) -> Number:
    return Number(number.value / 100, False, None if number.places is None else number.places + 2)


def rounding_tolerance(value: Fraction, places: int) -> Fraction | None:
    """Return how far a decimal written with so many places may be from what it stands for; None if it is just itself.

    It has at least :data:`ROUNDED_PLACES` places and :data:`ROUNDED_DIGITS` significant digits: so it is within 0.05 %
    of what it stands for, which is no claim about a small number that six places alone would make. All its digits have
    to be right: it rounds to six places, and further digits are within one unit of its own last place, so that
    ``0.66666666``, cut off, is two thirds.
    """
    if places < ROUNDED_PLACES or abs(value) < Fraction(10 ** (ROUNDED_DIGITS - 1), 10**places):
        return None
    return min(Fraction(1, 2 * 10**ROUNDED_PLACES), Fraction(1, 10**places))
