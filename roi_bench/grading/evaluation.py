r"""The value of a formula in floating point with a bound on its error: what certainly differs needs no algebra.

Letters take fixed positive values, a different one each; the arithmetic is complex. Every doubt (overflow, a branch
that could be chosen otherwise, an error bound that grows too large) ends the evaluation: this module only ever says
"different", and only where the two values lie further apart than their errors can explain.
"""

from __future__ import annotations

import cmath
import math
from fractions import Fraction

from roi_bench.grading.formulas import Formula

POINTS = (0.8372910, 1.4196253, 0.3190977)

"""Letters take values near these, a different one for each letter."""

_ROUNDING = 2.0**-50

_SAFETY = 8.0

_LARGEST = 1e150

_MAX_FACTORIAL = 100


class _DoubtError(Exception):
    """The value cannot be told, or not surely enough."""


Value = tuple[complex, float]

"""A number and a bound on how far it may be from the true one."""


def surely_different(gold: Formula, answer: Formula) -> bool:
    """Return whether two formulas certainly have different values; False where in doubt."""
    if _bare_logarithms(gold) != _bare_logarithms(answer):
        return False
    for point in POINTS:
        left = evaluate(gold, point)
        right = evaluate(answer, point) if left is not None else None
        if left is None or right is None:
            return False
        if abs(left[0] - right[0]) > _SAFETY * (left[1] + right[1]):
            return True
    return False


def evaluate(formula: Formula, point: float) -> Value | None:
    """Return the value of ``formula`` with its letters near ``point``, or None where in doubt."""
    try:
        return _value(formula, point)
    except (_DoubtError, ArithmeticError, ValueError):
        return None


def _bare_logarithms(formula: Formula) -> bool:
    r"""Return whether ``\log`` without a base occurs; its base is anybody's guess."""
    if formula.kind == "function" and formula.name == "log" and len(formula.parts) == 1:
        return True
    return any(map(_bare_logarithms, formula.parts))


def _letter_value(name: str, point: float) -> float:
    """Return a value that depends on the whole name, so that ``x_{1}`` and ``x_{2}`` differ."""
    number = 0
    for character in name:
        number = (number * 131 + ord(character)) % 100_003
    return point + (number % 9973) * 0.0001371


def _checked(value: complex, error: float) -> Value:
    size = abs(value)
    if not (math.isfinite(size) and math.isfinite(error)) or size > _LARGEST:
        raise _DoubtError
    return value, error + _ROUNDING * size


def _of_fraction(value: Fraction) -> Value:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 900:
        raise _DoubtError
    return _checked(complex(float(value)), 0.0)


def _value(formula: Formula, point: float) -> Value:
    kind = formula.kind
    if kind == "number":
        return _of_fraction(formula.value)
    if kind == "letter":
        return complex(_letter_value(formula.name, point)), 0.0
    if kind in ("pi", "e", "i"):
        return _checked({"pi": complex(math.pi), "e": complex(math.e), "i": 1j}[kind], 0.0)
    parts = [_value(part, point) for part in formula.parts]
    if kind == "sum":
        return _checked(sum(value for value, _ in parts), sum(e + _ROUNDING * abs(value) for value, e in parts))
    if kind == "product":
        return _times(*parts)
    if kind == "quotient":
        return _times(parts[0], _inverse(parts[1]))
    if kind == "power":
        return _power(*parts)
    if kind == "root":
        return _root(*parts)
    if kind == "absolute":
        return _checked(complex(abs(parts[0][0])), parts[0][1])
    if kind == "function":
        return _function(formula.name, parts)
    return _of_whole_numbers(kind, parts)


def _times(left: Value, right: Value) -> Value:
    (a, da), (b, db) = left, right
    return _checked(a * b, abs(a) * db + abs(b) * da + da * db)


def _inverse(value: Value) -> Value:
    number, error = value
    if error * 4 > abs(number) or number == 0:
        raise _DoubtError
    return _checked(1 / number, 2 * error / abs(number) ** 2)


def _real(value: Value) -> float:
    """Return a number that is surely real."""
    number, _ = value
    if number.imag != 0:
        raise _DoubtError
    return number.real


def _power(base: Value, exponent: Value) -> Value:
    (number, error), (power, power_error) = base, exponent
    whole = round(power.real) if abs(power) < 1e6 else 0
    if power == whole and power_error < 1e-6 and abs(whole) <= 1000:
        if whole < 0:
            return _power(_inverse(base), (complex(-whole), 0.0))
        size = abs(number)
        if whole > 0 and whole * math.log(size + error + 1e-300) > 300:
            raise _DoubtError
        slope = whole * (size + error) ** (whole - 1) if whole else 0.0
        return _checked(number**whole, slope * error + whole * _ROUNDING * size**whole)
    real = _real(base)
    if real <= 4 * error:
        raise _DoubtError  # zero, or a power of a negative number: several numbers
    logarithm = math.log(real)
    inner = power * logarithm
    if abs(inner) > 300:
        raise _DoubtError
    spread = power_error * abs(logarithm) + abs(power) * 2 * error / real + _ROUNDING * (1 + abs(inner))
    if spread > 1e-3:
        raise _DoubtError
    found = cmath.exp(inner)
    return _checked(found, 2 * abs(found) * spread)


def _root(base: Value, index: Value) -> Value:
    number, error = base
    degree = round(index[0].real)
    if index[0] != degree or not 2 <= degree <= 100:
        raise _DoubtError
    if number.imag != 0 and (degree != 2 or number.real < 0):
        raise _DoubtError  # the principal root needs not be the one that is meant
    size = abs(number)
    if size <= 4 * error:
        raise _DoubtError
    if number.imag != 0:
        found = cmath.sqrt(number)
    elif number.real < 0:
        if degree % 2 == 0 and degree != 2:
            raise _DoubtError
        found = 1j * math.sqrt(size) if degree == 2 else complex(-(size ** (1 / degree)))
    else:
        found = complex(math.sqrt(size) if degree == 2 else size ** (1 / degree))
    return _checked(found, 2 * abs(found) * (error / size + 2 * _ROUNDING))


def _function(name: str, parts: list[Value]) -> Value:
    real, error = _real(parts[0]), parts[0][1]
    if abs(real) > 1e6 or error > 1e-3:
        raise _DoubtError
    if name in ("ln", "log"):
        if real <= 4 * error:
            raise _DoubtError
        found = _checked(complex(math.log(real)), 2 * error / real + _ROUNDING)
        if len(parts) == 1:
            return found
        return _times(found, _inverse(_function("ln", [parts[1]])))
    sine: Value = (complex(math.sin(real)), error + 2 * _ROUNDING)
    cosine: Value = (complex(math.cos(real)), error + 2 * _ROUNDING)
    table = {"sin": (sine, None), "cos": (cosine, None), "tan": (sine, cosine), "cot": (cosine, sine)}
    table |= {"sec": ((1 + 0j, 0.0), cosine), "csc": ((1 + 0j, 0.0), sine)}
    if name in table:
        top, bottom = table[name]
        return top if bottom is None else _times(top, _inverse(bottom))
    if name == "arctan":
        return _checked(complex(math.atan(real)), error + _ROUNDING)
    if name in ("arcsin", "arccos"):
        if abs(real) > 0.999:
            raise _DoubtError
        slope = 2 / math.sqrt(1 - real * real)
        return _checked(complex(math.asin(real) if name == "arcsin" else math.acos(real)), slope * error + _ROUNDING)
    if abs(real) > 50:
        raise _DoubtError
    grown = math.cosh(real)
    hyperbolic = {"sinh": math.sinh(real), "cosh": grown, "tanh": math.tanh(real)}[name]
    return _checked(complex(hyperbolic), 2 * grown * error + 2 * _ROUNDING * grown)


def _of_whole_numbers(kind: str, parts: list[Value]) -> Value:
    """Return a factorial, binomial or rounding of real numbers that surely lie on one side of a whole one."""
    if kind in ("lfloor", "lceil"):
        real, error = _real(parts[0]), parts[0][1]
        if abs(real - round(real)) <= 4 * error + 1e-9 and error > 0:
            raise _DoubtError
        return complex(math.floor(real) if kind == "lfloor" else math.ceil(real)), 0.0
    numbers = [_real(part) for part in parts]
    if any(number != round(number) or not 0 <= number <= _MAX_FACTORIAL for number in numbers):
        raise _DoubtError
    found = math.factorial(round(numbers[0])) if kind == "factorial" else math.comb(*map(round, numbers))
    return _checked(complex(float(found)), 0.0)
