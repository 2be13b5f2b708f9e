r"""A formula as a tree: what an answer in normal form says, for exact and for numeric comparison. Pure, linear.

Understood are numbers, letters (with subscripts), ``\pi``, ``e``, ``i``, ``+ - \cdot /``, powers, fractions, mixed
numbers, roots, absolute values, factorials, binomials, ``\lfloor\rfloor``, degrees, and elementary functions. A formula
that can be read in two ways, or that has anything else in it, is no formula here: whoever asks has to leave it to
computer algebra.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

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
    """The text is not a formula of this module."""


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
                    raise _NoFormulaError  # x3 or 2 3: nobody knows what is meant
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
