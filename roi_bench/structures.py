r"""The outer structure of an answer in normal form: bare lists, sets, points, intervals, unions, matrices."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|.", re.DOTALL)
_OPENING = frozenset(("(", "[", "{", r"\{"))
_CLOSING = frozenset((")", "]", "}", r"\}"))
_MATRIX = re.compile(r"\\begin\{([pb]matrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
_RELATION = re.compile(r"(\\le(?![a-z])|\\ge(?![a-z])|<|>)")
_VARIABLE = re.compile(r"[A-Za-z]|\\(?:theta|alpha|beta|lambda|phi)")
_STRICT = {"<": True, ">": True, r"\le": False, r"\ge": False}


@dataclass(frozen=True, slots=True)
class Structure:
    r"""One layer of structure.

    Attributes:
        kind: ``list`` (no brackets), ``set`` (``\{…\}``), ``union``, ``matrix RxC``, or the pair of brackets of a
            point or interval: ``()``, ``[]``, ``[)``, ``(]``.
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
    matrix = _MATRIX.fullmatch(text)
    if matrix is not None:
        return _matrix(matrix[2])
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


def relation_interval(text: str) -> str | None:
    r"""Return the interval that an inequality in one variable describes (``k<-5``: ``(-\infty,-5)``), else None.

    Several of them separated by commas (``x<1 or x>2`` in normal form) describe a union.
    """
    intervals = [_one_interval(piece) for piece in split_top(text, ",")]
    known = [interval for interval in intervals if interval is not None]
    return r"\cup".join(known) if len(known) == len(intervals) else None


def _one_interval(text: str) -> str | None:
    parts = [part.strip() for part in _RELATION.split(text)]
    if len(parts) == 3:
        left, sign, right = parts
        if _VARIABLE.fullmatch(right):
            left, sign, right = right, {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le"}[sign], left
        if not _VARIABLE.fullmatch(left) or not right or left in right:
            return None
        if sign in (">", r"\ge"):
            return f"{'(' if _STRICT[sign] else '['}{right},\\infty)"
        return f"(-\\infty,{right}{')' if _STRICT[sign] else ']'}"
    if len(parts) == 5:
        low, first, variable, second, high = parts
        if first in (">", r"\ge"):
            low, first, second, high = high, second, first, low
        rising = {"<": "<", r"\le": r"\le", ">": "<", r"\ge": r"\le"}
        same_way = (first in ("<", r"\le")) == (second in ("<", r"\le"))
        if not same_way or not _VARIABLE.fullmatch(variable) or not low or not high:
            return None
        return f"{'(' if rising[first] == '<' else '['}{low},{high}{')' if rising[second] == '<' else ']'}"
    return None


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


def _matrix(inner: str) -> Structure | None:
    if r"\begin" in inner:
        return None
    rows = [split_top(row, "&") for row in split_top(inner, r"\\")]
    if rows and rows[-1] == [""]:
        rows.pop()
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        return None
    return Structure(f"matrix {len(rows)}x{widths.pop()}", tuple(cell for row in rows for cell in row))
