"""Exact algebra on formulas: a normal form that is the same for equal things, and whether two formulas are equal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, reduce
from math import comb, factorial, floor

from roi_bench.grading.formulas import Formula, evaluate, letters_of, parse_formula, surely_different
from roi_bench.grading.numerals import rounding_tolerance

# Exact algebra on formulas: quotients of sums of products, in a normal form that is the same for equal things.
#
# Rational arithmetic; letters, ``\pi`` and ``e`` as independent symbols; roots of rational numbers as products of prime
# numbers to fractional powers; ``i`` with ``i^2=-1``; powers with letters in the exponent; other functions by name and
# argument. Two formulas whose cross product is zero here have equal values wherever both are defined. Two numbers made
# of rational numbers, their roots and ``i`` that differ here are different, for products of primes to powers between 0
# and 1 are linearly independent (A. S. Besicovitch 1940, *On the linear independence of fractional powers of
# integers*). Nothing else is claimed: that the forms of two other formulas differ proves nothing.

MAX_TERMS = 150
MAX_BITS = 40_000
MAX_POWER = 40
MAX_FACTORIAL = 3000
TRIAL_LIMIT = 20_000
"""Bounds: terms of a sum, bits of a number, exponent of a sum, argument of a factorial, largest trial divisor."""

Monomial = tuple[tuple[str, Fraction], ...]
Polynomial = dict[Monomial, Fraction]

_ONE = Fraction(1)


class DoubtError(Exception):
    """The formula is too large, or of a kind that this module cannot judge."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A quotient of two polynomials in symbols with fractional exponents; the lower one is not zero."""

    top: Polynomial
    bottom: Polynomial

    @property
    def rational(self) -> Fraction | None:
        """The value, if this is a rational number."""
        if not self.top:
            return Fraction(0)
        if set(self.top) == {()} and set(self.bottom) == {()}:
            return self.top[()] / self.bottom[()]
        return None

    @property
    def term(self) -> tuple[Monomial, Fraction] | None:
        """The only term, if this is one term over the number one."""
        if len(self.top) == 1 and self.bottom == {(): _ONE}:
            return next(iter(self.top.items()))
        return None


def same_exactly(gold: Formula, answer: Formula) -> bool | None:
    """Return True if the two are equal, False if they are surely different numbers, None where this cannot tell."""
    try:
        left, right = exact(gold), exact(answer)
        cross = _added(_multiplied(left.top, right.bottom), _multiplied(right.top, left.bottom), -1)
    except (DoubtError, ArithmeticError):
        return None
    if not cross:
        return True
    return False if all(map(_is_independent, (left.top, left.bottom, right.top, right.bottom))) else None


def _is_independent(polynomial: Polynomial) -> bool:
    """Return whether only primes to fractional powers and ``i`` occur: their products are linearly independent."""
    return all(name[0] == "#" or name == "i" for symbols in polynomial for name, _ in symbols)


def same_up_to_factor(gold: Formula, answer: Formula) -> bool | None:
    """Compare two equations ``formula = 0``.

    True if one is a multiple of the other by a number, False if both are linear and different, None where this cannot
    tell.
    """
    try:
        left, right = exact(gold).top, exact(answer).top
    except (DoubtError, ArithmeticError):
        return None
    if not left or not right:
        return None
    if left.keys() == right.keys() and len({left[symbols] / right[symbols] for symbols in left}) == 1:
        return True
    linear = all(
        symbols == () or (len(symbols) == 1 and symbols[0][1] == 1 and symbols[0][0].isalpha())
        for symbols in (*left, *right)
    )
    return False if linear and "i" not in {symbols[0][0] for symbols in (*left, *right) if symbols} else None


@lru_cache(maxsize=2048)
def exact(formula: Formula) -> Ratio:
    """Return the normal form of ``formula``.

    Raises:
        DoubtError: It is of an unknown kind, too large, or divides by zero.
    """
    kind = formula.kind
    if kind == "number":
        return _number(formula.value)
    if kind == "letter":
        return _symbol(formula.name)
    if kind in ("pi", "i"):
        return _symbol({"pi": r"\pi", "i": "i"}[kind])
    if kind == "e":
        return _symbol("exp<()>")
    parts = [exact(part) for part in formula.parts]
    if kind == "sum":
        return reduce(_sum, parts)
    if kind == "product":
        return reduce(_product, parts)
    if kind == "quotient":
        return _product(parts[0], _inverse(parts[1]))
    if kind == "power":
        return _power(*parts)
    if kind == "root":
        return _root(*parts)
    if kind == "function":
        return _function(formula.name, parts)
    return _of_numbers(kind, parts)


def _of_numbers(kind: str, parts: list[Ratio]) -> Ratio:
    """Return an absolute value, factorial, binomial or rounding."""
    values = [part.rational for part in parts]
    first = values[0]
    if kind == "absolute":
        if first is not None:
            return _number(abs(first))
        scale, rest = _scaled(parts[0])
        return _product(_number(abs(scale)), _symbol(f"abs<{_key(rest)}>"))
    if first is None:
        return _symbol(f"{kind}<{';'.join(map(_key, parts))}>")
    if kind == "lfloor":
        return _number(Fraction(floor(first)))
    if kind == "lceil":
        return _number(Fraction(-floor(-first)))
    second = values[-1]
    if second is None or any(value.denominator != 1 or not 0 <= value <= MAX_FACTORIAL for value in (first, second)):
        raise DoubtError
    return _number(Fraction(factorial(int(first)) if kind == "factorial" else comb(int(first), int(second))))


# ------------------------------------------------------------------------------------------ polynomials and quotients
def _number(value: Fraction) -> Ratio:
    return Ratio({(): _bounded(value)} if value else {}, {(): _ONE})


def _symbol(name: str, exponent: Fraction = _ONE) -> Ratio:
    return Ratio({((name, exponent),): _ONE}, {(): _ONE})


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise DoubtError
    return value


def _sum(left: Ratio, right: Ratio) -> Ratio:
    if left.bottom == right.bottom:
        return _ratio(_added(left.top, right.top), left.bottom)
    crossed = _added(_multiplied(left.top, right.bottom), _multiplied(right.top, left.bottom))
    return _ratio(crossed, _multiplied(left.bottom, right.bottom))


def _product(left: Ratio, right: Ratio) -> Ratio:
    return _ratio(_multiplied(left.top, right.top), _multiplied(left.bottom, right.bottom))


def _inverse(ratio: Ratio) -> Ratio:
    if not ratio.top:
        raise DoubtError
    return _ratio(ratio.bottom, ratio.top)


def _ratio(top: Polynomial, bottom: Polynomial) -> Ratio:
    """Return the quotient; a lower part of one term goes into the upper one."""
    if not top:
        return Ratio({}, {(): _ONE})
    if len(bottom) > 1:
        return Ratio(top, bottom)
    (symbols, factor) = next(iter(bottom.items()))
    inverse: Polynomial = {tuple((name, -exponent) for name, exponent in symbols): 1 / factor}
    return Ratio(_multiplied(top, inverse), {(): _ONE})


def _added(left: Polynomial, right: Polynomial, sign: int = 1) -> Polynomial:
    total = dict(left)
    for symbols, factor in right.items():
        value = total.get(symbols, Fraction(0)) + sign * factor
        if value:
            total[symbols] = _bounded(value)
        else:
            total.pop(symbols, None)
    if len(total) > MAX_TERMS:
        raise DoubtError
    return total


def _multiplied(left: Polynomial, right: Polynomial) -> Polynomial:
    if len(left) * len(right) > MAX_TERMS**2:
        raise DoubtError
    if right == {(): _ONE}:
        return left
    total: Polynomial = {}
    for a, first in left.items():
        for b, second in right.items():
            symbols, factor = _merged(a, b, first * second)
            value = total.get(symbols, Fraction(0)) + factor
            if value:
                total[symbols] = _bounded(value)
            else:
                total.pop(symbols, None)
    if len(total) > MAX_TERMS:
        raise DoubtError
    return total


def _merged(left: Monomial, right: Monomial, factor: Fraction) -> tuple[Monomial, Fraction]:
    """Multiply two products of symbols: whole powers of primes become numbers, those of ``i`` signs."""
    exponents = dict(left)
    for name, exponent in right:
        exponents[name] = exponents.get(name, Fraction(0)) + exponent
    kept = []
    for name, exponent in sorted(exponents.items()):
        if name[0] == "#":
            whole = floor(exponent)
            factor *= Fraction(int(name[1:])) ** whole
            exponent -= whole
        elif name == "i":
            if exponent.denominator != 1:
                raise DoubtError
            factor *= -1 if exponent % 4 >= 2 else 1
            exponent = exponent % 2
        if exponent:
            kept.append((name, exponent))
    return tuple(kept), factor


# ------------------------------------------------------------------------------------------------- powers and functions
def _power(base: Ratio, exponent: Ratio) -> Ratio:
    value = exponent.rational
    if value is None:
        return _variable_power(base, exponent)
    if value.denominator == 1:
        return _whole_power(base, int(value))
    if not base.top:
        raise DoubtError
    term = base.term
    if term is not None and term[1] > 0 and (found := _term_power(term, value)) is not None:
        return found
    if term is not None and term[1] < 0 and _is_constant(term[0]):
        raise DoubtError  # a power of a negative number is several numbers
    return _symbol(f"pow<{_key(base)}>", value)


def _root(base: Ratio, index: Ratio) -> Ratio:
    """Return the root: of a negative number the real one if the index is odd, a positive multiple of i if it is 2."""
    degree = index.rational
    if degree is None or degree.denominator != 1 or not 2 <= degree <= 100:
        raise DoubtError
    if not base.top:
        return base
    term = base.term
    if term is not None and term[1] < 0 and _is_constant(term[0]):
        if degree % 2 == 0 and degree != 2:
            raise DoubtError
        sign = _number(Fraction(-1)) if degree % 2 else _symbol("i")
        return _product(sign, _power(_product(_number(Fraction(-1)), base), _number(1 / degree)))
    return _power(base, _number(1 / degree))


def _whole_power(base: Ratio, exponent: int) -> Ratio:
    if exponent < 0:
        return _whole_power(_inverse(base), -exponent)
    term = base.term
    if term is not None:
        symbols, factor = term
        bits = max(factor.numerator.bit_length(), factor.denominator.bit_length())
        if (bits - 1) * exponent > MAX_BITS or exponent > MAX_BITS:
            raise DoubtError
        whole, rest = _merged(tuple((name, power * exponent) for name, power in symbols), (), factor**exponent)
        return Ratio({whole: _bounded(rest)}, {(): _ONE})
    if exponent > MAX_POWER:
        raise DoubtError
    found = _number(_ONE)
    for _ in range(exponent):
        found = _product(found, base)
    return found


def _is_constant(symbols: Monomial) -> bool:
    """Return whether all symbols are positive numbers: primes, pi, e."""
    return all(name[0] == "#" or name in (r"\pi", "exp<()>") for name, _ in symbols)


def _term_power(term: tuple[Monomial, Fraction], exponent: Fraction) -> Ratio | None:
    """Return a fractional power of a positive number, or of such a number times one letter; else None."""
    symbols, factor = term
    letters = [(name, power) for name, power in symbols if not _is_constant(((name, power),))]
    if len(letters) > 1 or any(power != 1 or "<" in name or name == "i" for name, power in letters):
        return None
    raised = tuple((name, power * exponent) for name, power in symbols)
    primes = tuple((f"#{prime}", power * exponent) for prime, power in _factors(factor).items())
    whole, rest = _merged(raised, primes, _ONE)
    return Ratio({whole: _bounded(rest)}, {(): _ONE})


def _factors(value: Fraction) -> dict[int, int]:
    """Return the prime factors of a positive number with their powers."""
    found: dict[int, int] = {}
    for number, sign in ((value.numerator, 1), (value.denominator, -1)):
        if number.bit_length() > 4000:
            raise DoubtError
        divisor = 2
        while number > 1 and divisor <= TRIAL_LIMIT and divisor * divisor <= number:
            while number % divisor == 0:
                number //= divisor
                found[divisor] = found.get(divisor, 0) + sign
            divisor += 1 if divisor == 2 else 2
        if number > 1:
            if number > TRIAL_LIMIT * TRIAL_LIMIT:
                raise DoubtError
            found[number] = found.get(number, 0) + sign
    return found


def _variable_power(base: Ratio, exponent: Ratio) -> Ratio:
    """Return a power with letters in its exponent, one factor for each term of the exponent."""
    term = base.term
    if term is None or exponent.bottom != {(): _ONE} or term[1] <= 0:
        return _symbol(f"pow<{_key(base)}><{_key(exponent)}>")
    symbols, factor = term
    if (
        any("<" in name and name != "exp<()>" for name, _ in symbols)
        or len(symbols) > 1
        or (symbols and (factor != 1 or (symbols[0][1] != 1 and symbols[0][0] != "exp<()>")))
    ):
        return _symbol(f"pow<{_key(base)}><{_key(exponent)}>")
    bases = symbols or tuple((f"#{prime}", Fraction(power)) for prime, power in _factors(factor).items())
    found = _number(_ONE)
    for name, power in bases:
        for inner, times in exponent.top.items():
            if name == "exp<()>":
                found = _product(found, _symbol(f"exp<{_monomial_key(inner)}>", times * power))
            elif inner:
                found = _product(found, _symbol(f"pow<{name}><{_monomial_key(inner)}>", times * power))
            else:
                merged, rest = _merged(((name, times * power),), (), _ONE)
                found = _product(found, Ratio({merged: rest}, {(): _ONE}))
    return found


def _function(name: str, parts: list[Ratio]) -> Ratio:
    argument = parts[0]
    if name in ("ln", "log"):
        if len(parts) > 1:
            return _product(_logarithm(argument), _inverse(_logarithm(parts[1])))
        return _product(_logarithm(argument), _symbol("base of log")) if name == "log" else _logarithm(argument)
    scale, rest = _scaled(argument)
    sign = Fraction(-1 if scale < 0 else 1)
    key = _key(_product(rest, _number(abs(scale))))
    sine = _product(_number(sign), _symbol(f"sin<{key}>"))
    cosine = _symbol(f"cos<{key}>")
    one = _number(_ONE)
    table = {"sin": (sine, one), "cos": (cosine, one), "tan": (sine, cosine), "cot": (cosine, sine)}
    table |= {"sec": (one, cosine), "csc": (one, sine)}
    if name in table:
        top, bottom = table[name]
        return _product(top, _inverse(bottom))
    return _symbol(f"{name}<{_key(argument)}>")


def _logarithm(argument: Ratio) -> Ratio:
    value = argument.rational
    if value is None:
        return _symbol(f"ln<{_key(argument)}>")
    if value <= 0:
        raise DoubtError
    found = _number(Fraction(0))
    for prime, power in _factors(value).items():
        found = _sum(found, _product(_number(Fraction(power)), _symbol(f"ln<{prime}>")))
    return found


# ------------------------------------------------------------------------------------------------------------- names
def _scaled(ratio: Ratio) -> tuple[Fraction, Ratio]:
    """Return a number and the rest, whose first term has the factor one."""
    if not ratio.top:
        return _ONE, ratio
    first = ratio.top[min(ratio.top)]
    return first, _product(ratio, _number(1 / first))


def _key(ratio: Ratio) -> str:
    first = ratio.bottom[min(ratio.bottom)]
    sides = [{symbols: factor / first for symbols, factor in side.items()} for side in (ratio.top, ratio.bottom)]
    return "/".join(
        "+".join(f"{factor}{_monomial_key(symbols)}" for symbols, factor in sorted(side.items())) for side in sides
    )


def _monomial_key(symbols: Monomial) -> str:
    return f"({'*'.join(f'{name}^{exponent}' for name, exponent in symbols)})"


# Whether two formulas are equal: by exact algebra, then by value; a decimal may stand for what it rounds. Pure.

_INVERSE = re.compile(r"\\(sin|cos|tan)\^\{-1\}")

_RECIPROCAL = {"sin": r"\csc", "cos": r"\sec", "tan": r"\cot"}

_DECIMAL = re.compile(r"-?[0-9]*\.([0-9]+)")


def same_formula(gold: str, answer: str) -> bool | None:
    """Compare two formulas by exact algebra and by their values; None if neither can decide.

    A decimal may stand for the irrational number that it rounds
    (:func:`roi_bench.grading.numerals.rounding_tolerance`).
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
