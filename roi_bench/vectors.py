r"""Notations of a vector that mean something else elsewhere: ``\binom{1}{2}``, ``i+2j``, ``<1,2>``. Pure, linear."""

from __future__ import annotations

import re

from roi_bench.structures import split_top, structure

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
