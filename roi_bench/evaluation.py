r"""Fast refutation: formulas that clearly differ in value cannot be equal; no computer algebra is needed to see it.

Formulas in normal form made of numbers, one-letter variables, ``\pi``, ``+ - \cdot /``, powers, ``\frac``, ``\sqrt``
and parentheses are evaluated in floating point at fixed points. Everything else, and every doubt (overflow, complex
values, mixed numbers, the letters ``e`` and ``i``), is left to the symbolic check: this module only ever says
"different".
"""

from __future__ import annotations

import math
import re

_TOKEN = re.compile(r"\\(?:frac|sqrt|pi|cdot)(?![a-zA-Z])|[0-9]+\.?[0-9]*|\.[0-9]+|[a-zA-Z]|[-+/^(){}]| ")
_POINTS = (0.8372910, 1.4196253)
"""Variables take values near these, a different one for each letter, so that even roots stay real."""

_CLEARLY = 1e-3
"""Relative difference from which two values are different: far above rounding in answers given as decimals."""

_MAX_TOKENS = 200
_MAX_DEPTH = 30


class _DoubtError(Exception):
    """The formula is outside what this module can judge."""


def surely_different(gold: str, answer: str) -> bool:
    """Return whether two answers in normal form certainly have different values; False where in doubt."""
    for point in _POINTS:
        left = evaluate(gold, point)
        right = evaluate(answer, point) if left is not None else None
        if left is None or right is None:
            return False
        if abs(left - right) > _CLEARLY * max(abs(left), abs(right)) and abs(left - right) > _CLEARLY**2:
            return True
    return False


def evaluate(text: str, point: float) -> float | None:
    """Return the value of ``text`` with its variables near ``point``, or None where in doubt."""
    tokens = _TOKEN.findall(text)
    if len(tokens) > _MAX_TOKENS or sum(map(len, tokens)) != len(text):
        return None
    parser = _Parser([piece for piece in tokens if piece != " "], point)
    try:
        value = parser.sum(0)
    except (_DoubtError, ArithmeticError, ValueError):
        return None
    return value if parser.at_end() and math.isfinite(value) and abs(value) < 1e12 else None


class _Parser:
    """Recursive descent over tokens; each method returns the value of what it has read."""

    def __init__(self, tokens: list[str], point: float) -> None:
        self._tokens = [*tokens, ""]
        self._index = 0
        self._point = point

    def at_end(self) -> bool:
        return self._tokens[self._index] == ""

    def sum(self, depth: int) -> float:
        if depth > _MAX_DEPTH:
            raise _DoubtError
        value = 0.0
        sign = self._sign()
        while True:
            value += sign * self._product(depth)
            if self._tokens[self._index] not in ("+", "-"):
                return value
            sign = self._sign()

    def _sign(self) -> float:
        piece = self._tokens[self._index]
        self._index += piece in ("+", "-")
        return -1.0 if piece == "-" else 1.0

    def _product(self, depth: int) -> float:
        value, number_before = self._power(depth)
        while True:
            piece = self._tokens[self._index]
            if piece in (r"\cdot", "/"):
                self._index += 1
                factor, number_before = self._power(depth)
                value = value * factor if piece == r"\cdot" else value / factor
            elif piece in ("", "+", "-", ")", "}"):
                return value
            else:
                if piece[0] in "0123456789." or (number_before and piece == r"\frac"):
                    raise _DoubtError  # x3, or the mixed number 3\frac{1}{2}
                factor, number_before = self._power(depth)
                value *= factor

    def _power(self, depth: int) -> tuple[float, bool]:
        number = self._tokens[self._index][:1].isdigit()
        base = self._atom(depth)
        if self._tokens[self._index] == "^":
            self._index += 1
            exponent = self._group("{", "}", depth)
            if (base <= 0 and not exponent.is_integer()) or abs(exponent) > 1000:
                raise _DoubtError
            base = base**exponent
        return base, number

    def _atom(self, depth: int) -> float:
        piece = self._tokens[self._index]
        if piece == "(":
            return self._group("(", ")", depth)
        if piece == "{":
            return self._group("{", "}", depth)
        self._index += 1
        if piece == r"\frac":
            top = self._group("{", "}", depth)
            return top / self._group("{", "}", depth)
        if piece == r"\sqrt":
            return math.sqrt(self._group("{", "}", depth))
        if piece == r"\pi":
            return math.pi
        if piece[:1].isdigit() or piece[:1] == ".":
            return float(piece)
        if len(piece) == 1 and piece.isalpha() and piece not in "eEiI":
            return self._point + (ord(piece) - 64) * 0.01371
        raise _DoubtError

    def _group(self, opening: str, closing: str, depth: int) -> float:
        if self._tokens[self._index] != opening:
            raise _DoubtError
        self._index += 1
        value = self.sum(depth + 1)
        if self._tokens[self._index] != closing:
            raise _DoubtError
        self._index += 1
        return value
