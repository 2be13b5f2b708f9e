r"""Whether two formulas are equal: by exact algebra, then by value; a decimal may stand for what it rounds. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from roi_bench.grading.algebra import same_exactly
from roi_bench.grading.evaluation import evaluate, surely_different
from roi_bench.grading.formulas import Formula, letters_of, parse_formula
from roi_bench.grading.numerals import rounding_tolerance

_INVERSE = re.compile(r"\\(sin|cos|tan)\^\{-1\}")

_RECIPROCAL = {"sin": r"\csc", "cos": r"\sec", "tan": r"\cot"}

_DECIMAL = re.compile(r"-?[0-9]*\.([0-9]+)")


def same_formula(gold: str, answer: str) -> bool | None:
    """Compare two formulas by exact algebra and by their values; None where neither can tell.

    A decimal may stand for the irrational number that it rounds (:func:`grading.numerals.rounding_tolerance`).
    """
    if _INVERSE.search(gold + answer) is not None:
        verdicts = {same_formula(_INVERSE.sub(r"\\arc\1", gold), _INVERSE.sub(r"\\arc\1", answer))}
        verdicts.add(same_formula(*(_INVERSE.sub(lambda m: _RECIPROCAL[m[1]], text) for text in (gold, answer))))
        return verdicts.pop() if len(verdicts) == 1 else None
    left, right = parse_formula(gold), parse_formula(answer)
    if left is None or right is None:
        return None
    exactly = same_exactly(left, right)
    decimal = _DECIMAL.fullmatch(answer) or _DECIMAL.fullmatch(gold)
    tolerance = None if decimal is None else rounding_tolerance(Fraction(decimal[0]), len(decimal[1]))
    if exactly or (exactly is not None and tolerance is None):
        return exactly
    if decimal is not None:
        return _rounds(left, right, tolerance)
    return False if surely_different(left, right) else None


def _rounds(left: Formula, right: Formula, tolerance: Fraction | None) -> bool | None:
    """Return whether a decimal with that tolerance stands for the other side; None where the value is in doubt."""
    values = evaluate(left, 1.0), evaluate(right, 1.0)
    if values[0] is None or values[1] is None:
        return None
    if letters_of(left) or letters_of(right) or tolerance is None:
        return False if surely_different(left, right) else None
    distance = abs(values[0][0] - values[1][0])
    return distance <= float(tolerance) + values[0][1] + values[1][1]
