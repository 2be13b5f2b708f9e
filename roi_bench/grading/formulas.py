"""A formula as a tree, for exact and numeric comparison, and its value in floating point with an error bound."""

from __future__ import annotations

import cmath
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

# A formula as a tree: what an answer in normal form says, for exact and for numeric comparison. Pure, linear.
#
# Understood are numbers, letters (with subscripts), ``\pi``, ``e``, ``i``, ``+ - \cdot /``, powers, fractions, mixed
# numbers, roots, absolute values, factorials, binomials, ``\lfloor\rfloor``, degrees, and elementary functions. A
# formula that can be read in two ways, or that has anything else in it, is no formula here: whoever asks has to leave
# it to computer algebra.

MAX_TOKENS = 300
MAX_DEPTH = 25
MAX_DIGITS = 400
"""Formulas with more tokens, deeper nesting or longer numerals are not looked into."""

FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log")
)
"""Functions of one argument; ``log`` without a base is kept apart from ``ln``, for its base is anybody's guess."""

_TOKEN = re.compile(r"\\[A-Za-z]+|[0-9]+\.?[0-9]*|\.[0-9]+|[A-Za-z]|[-+/^_(){}|!\[\]]| ")
_GREEK = frozenset(
    rf"\{name}"
    for name in (
        *(
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "varepsilon",
            "zeta",
            "eta",
            "theta",
            "vartheta",
            "iota",
            "kappa",
        ),
        *("lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "ell", "hbar"),
        *("Gamma", "Delta", "Theta", "Lambda", "Xi", "Sigma", "Phi", "Psi", "Omega"),
    )
)
_FUNCTION_NAMES = frozenset("fghpqFGHPQE")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_FLOORS = {r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}


@dataclass(frozen=True, slots=True)
class Formula:
    r"""A node of the tree.

    Attributes:
        kind: ``number``; ``letter`` (a variable); ``pi``, ``e``, ``i``; ``sum``, ``product``, ``quotient``, ``power``;
            ``root`` (radicand, then its index); ``function`` (argument, and the base of a logarithm); ``absolute``,
            ``factorial``, ``binomial``, ``lfloor``, ``lceil``.
        parts: The nodes below.
        name: Name of a letter or function.
        value: Value of a number.
    """

    kind: str
    parts: tuple[Formula, ...] = ()
    name: str = ""
    value: Fraction = Fraction(0)


class _NoFormulaError(Exception):
    """The text is not a formula that this module can parse."""


_PI, _E, _I = Formula("pi"), Formula("e"), Formula("i")
_CONSTANTS = {r"\pi": _PI, "e": _E, "i": _I, r"\imath": _I}
_DEGREE = Formula("quotient", (_PI, Formula("number", value=Fraction(180))))


@lru_cache(maxsize=4096)
def parse_formula(text: str) -> Formula | None:
    """Return the tree of ``text``, an answer in normal form, or None."""
    tokens = _TOKEN.findall(text)
    if not 0 < len(tokens) <= MAX_TOKENS or sum(map(len, tokens)) != len(text):
        return None
    parser = _Parser([piece for piece in tokens if piece != " "])
    try:
        found = parser.sum(0)
    except (_NoFormulaError, ValueError, ZeroDivisionError):
        return None
    return found if parser.at_end() else None


class _Parser:
    """Recursive descent; each method reads what it is called and returns its tree."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = [*tokens, "", ""]
        self._index = 0
        self._bars = 0  # absolute values that are open

    def at_end(self) -> bool:
        return self._tokens[self._index] == ""

    def sum(self, depth: int) -> Formula:
        if depth > MAX_DEPTH:
            raise _NoFormulaError
        terms: list[Formula] = []
        while True:
            sign = self._tokens[self._index]
            if sign in ("+", "-"):
                self._index += 1
            term = self._product(depth)
            terms.append(_negative(term) if sign == "-" else term)
            if self._tokens[self._index] not in ("+", "-"):
                return terms[0] if len(terms) == 1 else Formula("sum", tuple(terms))

    def _product(self, depth: int) -> Formula:
        value = self._power(depth)
        while True:
            piece = self._tokens[self._index]
            if piece in (r"\cdot", "/"):
                self._index += 1
                sign = self._tokens[self._index] == "-"  # 2\cdot-3
                self._index += sign
                factor = self._power(depth)
                factor = _negative(factor) if sign else factor
                value = Formula("product" if piece == r"\cdot" else "quotient", (value, factor))
            elif not self._begins_atom(piece):
                return value
            else:
                if piece[0] in "0123456789.":
                    raise _NoFormulaError  # x3 or 2 3 is ambiguous
                value = self._joined(value, depth)

    def _joined(self, value: Formula, depth: int) -> Formula:
        r"""Read a factor that follows without a sign; an integer and a proper fraction are a mixed number."""
        before = self._tokens[self._index - 1]
        is_fraction = self._tokens[self._index] == r"\frac"
        factor = self._power(depth)
        if is_fraction and before.isdigit() and value.kind == "number" and _is_literal(factor):
            ratio = factor.parts[0].value / factor.parts[1].value
            if not 0 < ratio < 1:
                raise _NoFormulaError
            return Formula("number", value=value.value + ratio)
        if is_fraction and before.isdigit() and value.kind != "number" and _is_literal(factor):
            raise _NoFormulaError  # 2\cdot3\frac12
        return Formula("product", (value, factor))

    def _begins_atom(self, piece: str) -> bool:
        if piece in ("", "+", "-", ")", "}", "]", "^", "_", "!", "/", r"\cdot", r"\rfloor", r"\rceil"):
            return False
        return piece != "|" or not self._bars

    def _power(self, depth: int) -> Formula:
        base = self._atom(depth)
        while True:
            piece = self._tokens[self._index]
            if piece == "!":
                self._index += 1
                if self._tokens[self._index] == "!":
                    raise _NoFormulaError  # a double factorial
                base = Formula("factorial", (base,))
            elif piece == "^":
                self._index += 1
                if self._tokens[self._index : self._index + 3] == ["{", r"\circ", "}"]:
                    self._index += 3
                    base = Formula("product", (base, _DEGREE))
                else:
                    base = Formula("power", (base, self._group(depth)))
            else:
                return base

    def _atom(self, depth: int) -> Formula:
        piece = self._tokens[self._index]
        if piece in ("(", "[", "{"):
            return self._group(depth)
        self._index += 1
        if piece[:1].isdigit() or piece[:1] == ".":
            if len(piece) > MAX_DIGITS or self._tokens[self._index] == "_":
                raise _NoFormulaError  # a numeral in a base of its own is no decimal number
            return Formula("number", value=Fraction(piece))
        if piece in _CONSTANTS and self._tokens[self._index] != "_":
            return _CONSTANTS[piece]
        if (len(piece) == 1 and piece.isalpha()) or piece in _GREEK:
            if piece in _FUNCTION_NAMES and self._tokens[self._index] == "(":
                raise _NoFormulaError  # f(x+1) is no product
            return Formula("letter", name=piece + self._subscript())
        return self._command(piece, depth)

    def _command(self, piece: str, depth: int) -> Formula:
        """Read the arguments of a command, or what stands between signs that are pairs."""
        if piece == r"\frac":
            return Formula("quotient", (self._group(depth, "{"), self._group(depth, "{")))
        if piece == r"\binom":
            return Formula("binomial", (self._group(depth, "{"), self._group(depth, "{")))
        if piece == r"\sqrt":
            index = self._group(depth) if self._tokens[self._index] == "[" else Formula("number", value=Fraction(2))
            return Formula("root", (self._group(depth, "{"), index))
        if piece == "|":
            self._bars += 1
            inner = self.sum(depth + 1)
            self._expect("|")
            self._bars -= 1
            return Formula("absolute", (inner,))
        if piece in _FLOORS:
            inner = self.sum(depth + 1)
            self._expect(_FLOORS[piece])
            return Formula(piece[1:], (inner,))
        if piece[1:] in FUNCTIONS:
            return self._function(piece[1:], depth)
        raise _NoFormulaError

    def _function(self, name: str, depth: int) -> Formula:
        if depth > MAX_DEPTH:
            raise _NoFormulaError
        base: tuple[Formula, ...] = ()
        exponent: Formula | None = None
        if name == "log" and self._tokens[self._index] == "_":
            self._index += 1
            base = (self._group(depth, "{"),)
        if self._tokens[self._index] == "^":
            self._index += 1
            exponent = self._group(depth, "{")
            if exponent.kind == "number" and exponent.value < 0:
                raise _NoFormulaError
            if exponent.kind != "number":
                raise _NoFormulaError  # \sin^{-1}: an inverse, or a reciprocal
        if self._tokens[self._index] in ("(", "[", "{"):
            argument = self._group(depth)
            if self._tokens[self._index] in ("^", "!"):
                raise _NoFormulaError  # \sin(x)^2
        else:
            argument = self._bare_argument(depth)
        found = Formula("function", (argument, *base), name)
        return found if exponent is None else Formula("power", (found, exponent))

    def _bare_argument(self, depth: int) -> Formula:
        r"""Read what a function without brackets applies to: ``2x`` of ``\sin 2x\cos x``."""
        argument = self._power(depth + 1)
        while True:
            piece = self._tokens[self._index]
            if piece == "/" and self._tokens[self._index + 1][1:] in FUNCTIONS:
                return argument  # \sin x/\cos x
            if piece == "/" or piece in ("(", "["):
                raise _NoFormulaError  # \sin x/2, \sin x(x+1)
            if not self._begins_atom(piece) or piece[1:] in FUNCTIONS:
                return argument
            if piece[0] in "0123456789.":
                raise _NoFormulaError
            argument = self._joined(argument, depth + 1)

    def _subscript(self) -> str:
        if self._tokens[self._index] != "_":
            return ""
        self._index += 1
        self._expect("{")
        pieces = []
        while self._tokens[self._index] not in ("}", "{", ""):
            pieces.append(self._tokens[self._index])
            self._index += 1
        self._expect("}")
        return "_" + "".join(pieces)

    def _group(self, depth: int, opening: str = "") -> Formula:
        piece = self._tokens[self._index]
        if piece not in _CLOSING or (opening and piece != opening):
            raise _NoFormulaError
        self._index += 1
        bars, self._bars = self._bars, 0
        value = self.sum(depth + 1)
        self._bars = bars
        self._expect(_CLOSING[piece])
        return value

    def _expect(self, piece: str) -> None:
        if self._tokens[self._index] != piece:
            raise _NoFormulaError
        self._index += 1


def _negative(formula: Formula) -> Formula:
    if formula.kind == "number":
        return Formula("number", value=-formula.value)
    return Formula("product", (Formula("number", value=Fraction(-1)), formula))


def _is_literal(formula: Formula) -> bool:
    return (
        formula.kind == "quotient"
        and all(part.kind == "number" for part in formula.parts)
        and formula.parts[1].value != 0
    )


def letters_of(formula: Formula) -> frozenset[str]:
    """Return the names of the variables of ``formula``."""
    found: set[str] = set()
    waiting = [formula]
    while waiting:
        node = waiting.pop()
        if node.kind == "letter":
            found.add(node.name)
        waiting += node.parts
    return frozenset(found)


# The value of a formula in floating point with a bound on its error: what certainly differs needs no algebra.
#
# Letters take fixed positive values, a different one each; the arithmetic is complex. Every doubt (overflow, a branch
# that could be chosen otherwise, an error bound that grows too large) ends the evaluation: this module only ever says
# "different", and only where the two values lie further apart than their errors can explain.

POINTS = (0.8372910, 1.4196253, 0.3190977)

"""Letters take values near these, a different one for each letter."""

_ROUNDING = 2.0**-50

_SAFETY = 8.0

_LARGEST = 1e150

_MAX_FACTORIAL = 100


class _DoubtError(Exception):
    """The value cannot be determined, or not with certainty."""


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
    r"""Return whether ``\log`` occurs without a base, so that its base is unknown."""
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
