"""The outer structure of an answer in normal form: bare lists, sets, points, vectors, intervals, unions, matrices."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from roi_bench.grading.formulas import evaluate, letters_of, parse_formula

# Answers made of letters only: words and names, names of segments, products of variables. Pure, linear.
#
# ``dog`` is not ``god`` and ``\text{no}`` is not ``on``, though the products of their letters are equal; ``xy`` and
# ``yx`` are one product. The letters and the question decide which of the two is meant.

_LETTERS = re.compile(r"[A-Za-z]+")
_HYPHENATED = re.compile(r"[A-Za-z]{3,}(?:-[A-Za-z]{3,})+")
_BETWEEN_WORDS = re.compile(r"[ .]|(?<=[A-Za-z])'(?=[A-Za-z]{2})")
_FAMILIES = tuple(map(frozenset, ("abcd", "klmn", "pqrst", "uvwxyz")))
_SEGMENTS = re.compile(
    r"\b(?:segments?|sides?|chords?|edges?|diagonals?|lines?|lengths?|distances?|radius|diameters?)\b", re.IGNORECASE
)
_TEXT = re.compile(r"\s*\$?\s*\\(?:text|mbox|textbf|textit|textrm|mathrm)\s*\{[^{}]*\}\s*\$?\s*")
_WORD_LENGTH = 4
"""So many letters are a word, unless they are the variables of a product."""


def is_set_as_text(answer: str) -> bool:
    r"""Return whether all of ``answer``, as written, is in ``\text{}`` or its like."""
    return _TEXT.fullmatch(answer) is not None


def same_letters(gold: str, answer: str, question: str = "", as_text: bool = False) -> bool | None:
    """Return whether two answers in normal form that consist of letters are the same; None if not both do.

    Words are the same in any case of letters. Letters in another order are the same only in a product of variables, or
    where two capitals name a segment and the question speaks of segments.

    Args:
        gold: The gold answer.
        answer: The answer given.
        question: The question, or empty.
        as_text: Whether one of them was set as text, so that it is no product.
    """
    left, right = (_BETWEEN_WORDS.sub("", text) for text in (gold, answer))
    if not all(_LETTERS.fullmatch(side) or _HYPHENATED.fullmatch(side) for side in (left, right)):
        return None
    if left == right:
        return True
    if max(len(left), len(right)) < 2:
        return None
    # Words first: the same word in any case. Then other orders of the same letters: a segment AB is BA, a product xy is
    # yx, a word is neither.
    if (as_text or len(left) >= _WORD_LENGTH) and left.casefold() == right.casefold():
        return True
    if as_text or sorted(left) != sorted(right):
        return False
    if len(left) == 2 and left.isupper():
        return _SEGMENTS.search(question) is not None
    return _is_product(left, question)


def _is_product(letters: str, question: str) -> bool:
    """Return whether letters are variables: small; of one part of the alphabet, two without an o, or asked about."""
    if not letters.islower():
        return False
    found = frozenset(letters)
    if (len(letters) == 2 and "o" not in found) or any(found <= family for family in _FAMILIES):
        return True
    return all(re.search(rf"(?<![A-Za-z\\]){letter}(?![A-Za-z])", question) is not None for letter in found)


_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPENING = frozenset(("(", "[", "{", r"\{"))
_CLOSING = frozenset((")", "]", "}", r"\}"))
_MATRIX = re.compile(
    r"(.*?)([(\[]?)\\begin\{([pbB]?(?:small)?matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\3\}([)\]]?)(\^\{(?:T|\\top)\})?",
    re.DOTALL,
)
_TRANSPOSED = re.compile(r"([(\[].*[)\]])\^\{(?:T|\\top)\}", re.DOTALL)
_SET_BUILDER = re.compile(r"\\\{([A-Za-z])(?:\\in\\mathbb\{R\})?(?:\||:|\\mid(?![a-z]))(.*)\\\}", re.DOTALL)
_MEMBER = re.compile(r"([A-Za-z]|\\(?:theta|alpha|beta|lambda|phi))\\in(?![a-z])\s*")
_CLOSE = 1e-9
ALL_REALS = r"(-\infty,\infty)"
_REALS = frozenset((r"\mathbb{R}", "all real numbers", "allrealnumbers", r"(-\infty,+\infty)", "all reals", "allreals"))
_RELATION = re.compile(r"(\\le(?![a-z])|\\ge(?![a-z])|\\ne(?![a-z])|<|>)")
_VARIABLE = re.compile(r"[A-Za-z]|\\(?:theta|alpha|beta|lambda|phi)")


@dataclass(frozen=True, slots=True)
class Structure:
    r"""One layer of structure.

    Attributes:
        kind: ``list`` (no brackets), ``set`` (``\{…\}``), ``union``, ``matrix RxC``, ``vector`` (``\langle…\rangle``),
            or the pair of brackets of a point or interval: ``()``, ``[]``, ``[)``, ``(]``.
        items: The parts as answers in normal form; matrices row by row.
    """

    kind: str
    items: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Whether the order of the items matters."""
        return self.kind not in ("list", "set", "union")


def structure(text: str) -> Structure | None:
    """Return the outer structure of ``text``, an answer in normal form; None for a single expression."""
    if r"\begin" in text:
        matrix = _MATRIX.fullmatch(text)
        return None if matrix is None else _matrix(matrix)
    # ``[[1],[2]]`` before brackets in general, which would see a point of two points.
    if (bracketed := _bracketed_matrix(text)) is not None:
        return bracketed
    if text.startswith(r"\langle") and text.endswith(r"\rangle"):
        return Structure("vector", tuple(split_top(text[len(r"\langle") : -len(r"\rangle")].strip(), ",")))
    # The loosest operator first: a union of intervals has commas only inside its pieces.
    pieces = split_top(text, r"\cup")
    if len(pieces) > 1:
        return Structure("union", tuple(pieces))
    brackets = _outer_brackets(text)
    if brackets is None:
        items = _expand_signs(split_top(text, ","))
        return Structure("list", items) if len(items) > 1 else None
    opening, closing = brackets
    inner = split_top(text[len(opening) : len(text) - len(closing)], ",")
    if opening == r"\{" and closing == r"\}":
        return Structure("set", _expand_signs(inner))
    return Structure(opening + closing, tuple(inner)) if len(inner) > 1 else None


def ungrouped(text: str) -> str:
    """Remove a leading ``+``, and parentheses around a single expression."""
    for _ in range(8):
        text = text.removeprefix("+")
        if not (text.startswith("(") and _outer_brackets(text) == ("(", ")")) or len(split_top(text[1:-1], ",")) > 1:
            break
        text = text[1:-1]
    return text


def is_interval(text: str) -> bool:
    """Return whether ``text`` is an interval (or an open pair that may be one), a set, or a union of such."""
    return all(_outer_brackets(piece) is not None for piece in split_top(text, r"\cup"))


@dataclass(frozen=True, slots=True)
class _Span:
    """An interval: its ends as text and as numbers, and whether they belong to it."""

    low: str
    high: str
    low_value: float
    high_value: float
    low_closed: bool
    high_closed: bool

    def __str__(self) -> str:
        return f"{'[' if self.low_closed else '('}{self.low},{self.high}{']' if self.high_closed else ')'}"


def relation_interval(text: str) -> str | None:
    r"""Return the set that inequalities in one variable describe (``k<-5``: ``(-\infty,-5)``), else None.

    ``or`` (``\cup`` in normal form) joins sets, ``and`` (``\cap``) intersects them; a comma means *and* where that
    leaves anything, else *or*. Set-builder notation and ``x\ne3`` count; one piece at least must be an inequality.
    """
    found = _described(text)
    return None if found is None else r"\cup".join(map(str, found[1]))


def relation_variable(text: str) -> str | None:
    """Return the variable of inequalities that :func:`relation_interval` understands, else None."""
    found = _described(text)
    return None if found is None else found[0]


def _described(text: str) -> tuple[str, list[_Span]] | None:
    builder = _SET_BUILDER.fullmatch(text)
    if builder is not None:
        text = builder[2].strip()
    if _RELATION.search(text) is None:
        return None
    names: set[str] = set()
    union: list[_Span] = []
    for piece in split_top(text, r"\cup"):
        spans: list[_Span] | None = None
        for separator in (r"\cap", ","):
            if len(parts := split_top(piece, separator)) > 1:
                break
        for part in parts:
            found = _one_relation(part)
            if found is None:
                return None
            names.add(found[0])
            if len(parts) > 1 and any(math.isnan(span.low_value) or math.isnan(span.high_value) for span in found[1]):
                return None  # ends with letters have no order
            if spans is None:
                spans = found[1]
            else:
                # ``x>1, x<3`` means both; ``x<1, x>3`` leaves nothing in common and can only mean either.
                both = [met for a in spans for b in found[1] if (met := _intersection(a, b)) is not None]
                if not both and separator == "," and len(parts) == 2:
                    both = spans + found[1]
                spans = both
        if not spans:
            return None
        union += spans
    return (names.pop(), union) if len(names) == 1 else None


def _one_relation(text: str) -> tuple[str, list[_Span]] | None:
    """Return the variable and the intervals of ``a<x``, ``x\\ne a``, ``a<x<b`` or ``x\\in[a,b]``."""
    member = _MEMBER.match(text)
    if member is not None:
        inside = _span_of(text[member.end() :])
        return None if inside is None else (member[1], [inside])
    parts = [part.strip() for part in _RELATION.split(text)]
    if not all(parts):
        return None
    if len(parts) == 3:
        # ``a<x`` is turned round, so that the variable is on the left.
        left, sign, right = parts
        if _VARIABLE.fullmatch(right) and not _VARIABLE.fullmatch(left):
            left, sign, right = right, {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}.get(sign, sign), left
        if not _VARIABLE.fullmatch(left):
            return None
        spans = {
            "<": [(r"-\infty", right, False, False)],
            r"\le": [(r"-\infty", right, False, True)],
            ">": [(right, r"\infty", False, False)],
            r"\ge": [(right, r"\infty", True, False)],
            r"\ne": [(r"-\infty", right, False, False), (right, r"\infty", False, False)],
        }[sign]
        known = [span for values in spans if (span := _span(*values)) is not None]
        return (left, known) if len(known) == len(spans) else None
    if len(parts) == 5:
        # ``a<x<b``, or ``b>x>a`` turned round; both signs must point the same way.
        low, first, variable, second, high = parts
        if first in (">", r"\ge"):
            low, first, second, high = high, second, first, low
        rising = {"<": "<", r"\le": r"\le", ">": "<", r"\ge": r"\le"}
        if r"\ne" in (first, second) or not _VARIABLE.fullmatch(variable):
            return None
        if (parts[1] in ("<", r"\le")) != (parts[3] in ("<", r"\le")):
            return None
        span = _span(low, high, rising[first] == r"\le", rising[second] == r"\le")
        return None if span is None else (variable, [span])
    return None


def _span(low: str, high: str, low_closed: bool, high_closed: bool) -> _Span | None:
    values = _end_value(low), _end_value(high)
    if values[0] is None or values[1] is None or values[0] > values[1]:
        return None
    return _Span(low, high, values[0], values[1], low_closed, high_closed)


def _span_of(text: str) -> _Span | None:
    brackets = _outer_brackets(text)
    if brackets is None or brackets[0] not in ("(", "[") or brackets[1] not in (")", "]"):
        return None
    ends = split_top(text[1:-1], ",")
    return _span(ends[0], ends[1], brackets[0] == "[", brackets[1] == "]") if len(ends) == 2 else None


def _end_value(text: str) -> float | None:
    if text in (r"\infty", r"+\infty", r"-\infty"):
        return -math.inf if text[0] == "-" else math.inf
    formula = parse_formula(text)
    if formula is None:
        return None
    if letters_of(formula):
        return math.nan
    value = evaluate(formula, 1.0)
    return None if value is None or value[0].imag else value[0].real


def _intersection(a: _Span, b: _Span) -> _Span | None:
    low, high = (
        max((a, b), key=lambda s: (s.low_value, not s.low_closed)),
        min((a, b), key=lambda s: (s.high_value, s.high_closed)),
    )
    if low.low_value >= high.high_value:
        return None
    return _Span(low.low, high.high, low.low_value, high.high_value, low.low_closed, high.high_closed)


def split_top(text: str, separator: str) -> list[str]:
    r"""Split ``text`` at ``separator`` (``,``, ``&``, ``\\`` or ``\cup``) outside all brackets and braces."""
    parts: list[str] = []
    depth = start = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _OPENING:
            depth += 1
        elif token in _CLOSING:
            depth -= 1
        elif token == separator and depth == 0:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    return [*parts, text[start:].strip()]


def _outer_brackets(text: str) -> tuple[str, str] | None:
    """Return the brackets that enclose all of ``text``, or None."""
    depth = 0
    opening = ""
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in _OPENING:
            depth += 1
            opening = opening or token
        elif token in _CLOSING:
            depth -= 1
        if depth == 0:
            whole = match.end() == len(text) and bool(opening) and opening != "{" and token in _CLOSING
            return (opening, token) if whole else None
    return None


def _expand_signs(items: list[str]) -> tuple[str, ...]:
    r"""Replace each ``a\pm b`` by ``a+b`` and ``a-b``."""
    expanded: list[str] = []
    for item in items:
        if r"\pm" in item:
            expanded.append(item.replace(r"\pm", "+").replace(r"\mp", "-"))
            expanded.append(item.replace(r"\pm", "-").replace(r"\mp", "+"))
        else:
            expanded.append(item)
    return tuple(expanded)


def surely_other_sets(gold: str, answer: str) -> bool:
    """Return whether two unions of intervals and points with numbers as ends are certainly different sets."""
    sides = _merged_spans(gold), _merged_spans(answer)
    if sides[0] is None or sides[1] is None:
        return False
    if len(sides[0]) != len(sides[1]):
        return True
    return any(
        (a.low_closed, a.high_closed) != (b.low_closed, b.high_closed)
        or not (_close(a.low_value, b.low_value) and _close(a.high_value, b.high_value))
        for a, b in zip(sides[0], sides[1], strict=True)
    )


def _close(a: float, b: float) -> bool:
    return a == b or abs(a - b) <= _CLOSE * max(1.0, abs(a), abs(b))


def _merged_spans(text: str) -> list[_Span] | None:
    """Return the intervals of a union in rising order, those that touch made one; None if there is anything else."""
    spans: list[_Span] = []
    for piece in split_top(text, r"\cup"):
        span = _span_of(piece)
        if span is not None:
            spans.append(span)
        elif piece.startswith(r"\{") and piece.endswith(r"\}"):
            points = [_span(point, point, True, True) for point in split_top(piece[2:-2], ",")]
            if None in points:
                return None
            spans += [point for point in points if point is not None]
        else:
            return None
    if any(math.isnan(span.low_value) or math.isnan(span.high_value) for span in spans):
        return None  # ends with letters have no order
    spans.sort(key=lambda span: (span.low_value, not span.low_closed))
    merged: list[_Span] = []
    for span in spans:
        if merged and _touch(merged[-1], span):
            last = merged.pop()
            high = max(last, span, key=lambda s: (s.high_value, s.high_closed))
            span = replace(last, high=high.high, high_value=high.high_value, high_closed=high.high_closed)
        merged.append(span)
    return merged


def _touch(left: _Span, right: _Span) -> bool:
    if right.low_value < left.high_value:
        return True
    return _close(right.low_value, left.high_value) and (left.high_closed or right.low_closed)


def _matrix(found: re.Match[str]) -> Structure | None:
    scalar, inner, transposed = found[1].removesuffix(r"\cdot"), found[4], found[6] is not None
    if r"\begin" in inner or (scalar and (scalar != "-" and parse_formula(scalar) is None)):
        return None
    rows = [split_top(row, "&") for row in split_top(inner, r"\\")]
    if rows and rows[-1] == [""]:
        rows.pop()
    if scalar:
        factor = "-1" if scalar == "-" else scalar
        rows = [[rf"({factor})\cdot({cell})" for cell in row] for row in rows]
    return _of_rows(rows, transposed)


def _of_rows(rows: list[list[str]], transposed: bool) -> Structure | None:
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        return None
    if transposed:
        rows = [list(column) for column in zip(*rows, strict=True)]
    return Structure(f"matrix {len(rows)}x{len(rows[0])}", tuple(cell for row in rows for cell in row))


def _bracketed_matrix(text: str) -> Structure | None:
    """Return a matrix written in plain brackets: ``[[1],[2]]``, ``[1;2]``, ``(1,2)^{T}``; else None."""
    transposed = _TRANSPOSED.fullmatch(text)
    if transposed is not None:
        text = transposed[1]
    if _outer_brackets(text) not in (("[", "]"), ("(", ")")):
        return None
    # Three spellings: rows in brackets of their own, rows separated by semicolons, and one row that is transposed.
    inner = text[1:-1]
    rows = split_top(inner, ",")
    if text[0] == "[" and all(_outer_brackets(row) == ("[", "]") for row in rows):
        return _of_rows([split_top(row[1:-1], ",") for row in rows], transposed is not None)
    if len(rows := split_top(inner, ";")) > 1:
        return _of_rows([split_top(row, ",") for row in rows], transposed is not None)
    if transposed is not None and len(cells := split_top(inner, ",")) > 1:
        return _of_rows([cells], True)
    return None


def as_interval(text: str) -> str:
    """Return ``text``, or the interval of all real numbers if it names these."""
    return ALL_REALS if text in _REALS else text


_GROUP = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
_BINOMIAL = re.compile(rf"\\[dt]?binom\s*(?:{_GROUP}|([0-9A-Za-z]))\s*(?:{_GROUP}|([0-9A-Za-z]))")
_OLD_MATRIX = re.compile(rf"\\[pb]?matrix{_GROUP}")
_ROW_END = re.compile(r"\\cr(?![A-Za-z])\s*")
_ANGLED = re.compile(r"<([^<>=]*,[^<>=]*)>")
_AXIS = re.compile(r"\\(?:hat|vec|text|overrightarrow)\s*\{\s*(?:\\text\s*\{\s*)?\\?([ijk])(?:math)?\s*\}?\s*\}")
_ALONG = re.compile(r"([+-]?)(.*?)(?:\\cdot)?\s*([ijk])", re.DOTALL)
_TERM = re.compile(rf"[+-]?(?:{_GROUP}|\((?:[^()]*)\)|\\[a-z]+|[^+\\(){{}}-])+")


def is_vector(text: str) -> bool:
    r"""Return whether ``text``, an answer in normal form, is a column or a vector in ``\langle\rangle``."""
    if r"\begin" not in text and r"\langle" not in text:
        return False
    found = structure(text)
    return found is not None and len(found.items) > 1 and (found.kind == "vector" or found.kind.endswith("x1"))


def as_vector(text: str) -> str:
    r"""Return the vector that ``text`` means beside a gold vector; ``text`` itself if it is in no such notation.

    Elsewhere ``\binom{1}{2}`` is a number, and ``i`` is the imaginary unit.
    """
    name, sign, value = text.rpartition("=")
    if (angled := _ANGLED.fullmatch(value)) is not None:
        return rf"{name}{sign}\langle {angled[1]}\rangle"
    cells = _stacked(value) or _along_axes(value)
    if len(cells) < 2 or not all(cells):
        return text
    rows = r"\\".join(cells)
    return rf"{name}{sign}\begin{{pmatrix}}{rows}\end{{pmatrix}}"


def _stacked(text: str) -> list[str]:
    r"""Return the cells of ``\binom{1}{2}`` or a column ``\pmatrix{1\cr2}``."""
    if (binomial := _BINOMIAL.fullmatch(text)) is not None:
        return [cell for cell in binomial.groups() if cell]
    if (old := _OLD_MATRIX.fullmatch(text)) is not None and "&" not in old[1]:
        rows = split_top(_ROW_END.sub(r"\\\\", old[1]), r"\\")
        return rows if rows[-1] else rows[:-1]
    return []


def _along_axes(text: str) -> list[str]:
    """Return the coordinates of ``2i-j+3k``; at least two axes must be named."""
    # ``\hat{i}`` and the like become bare letters; the terms must cover the whole text and name each axis once.
    text = _AXIS.sub(r"\1", text)
    terms = [match[0] for match in _TERM.finditer(text)]
    if len(terms) > 3 or "".join(terms) != text:
        return []
    found: dict[str, str] = {}
    for term in terms:
        along = _ALONG.fullmatch(term)
        if along is None or along[3] in found:
            return []
        found[along[3]] = along[1].removeprefix("+") + (along[2].strip() or "1")
    return [found.get(axis, "0") for axis in ("ijk" if "k" in found else "ij")] if len(found) > 1 else []
