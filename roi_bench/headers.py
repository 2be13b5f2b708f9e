r"""Marks in a response that name a problem or forecast its level: header lines, names in a line, level tags.

- *Canonical header*: a line that starts (after at most three blanks) with exactly ``###`` and ``Problem k``, in any
  case, bold and italics (``*`` or ``_``) allowed. Anything may follow in the line (a colon, a title, a box).
- *Lenient header*, used only where the response has no canonical header of a problem of this exam: a line that starts
  with any other number of ``#``, or with bold or italics, and ``Problem k``; or with plain ``Problem k`` followed by a
  colon or by nothing else in the line.
- *Name*: ``Problem j:`` anywhere in a line (colon needed, bold allowed); it names the boxes later in the same line.
- A number directly followed by a letter (``1a``, ``1_a``), or by a separator and another digit (``Problem 1.5``,
  ``Problem 1-3``), names no single problem and makes neither header nor name.
- Invisible characters (a byte order mark, a zero-width space) are blanks; up to three may stand before a header.
- A number outside 1…count names a problem that is not in this exam: boxes below such a header count for nothing (models
  that go on inventing a Problem 4 do not overwrite Problem 3).
- Code fences are not special: models fence whole responses.
- Lines end with LF, CR or CRLF.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

INVISIBLE = "\u200b-\u200f\u2060\ufeff"  # for a regular expression's character class
_BLANK = rf"[ \t\u00a0{INVISIBLE}]"
_INDENT = rf"[{INVISIBLE}]{{0,3}}[ \t\u00a0]{{0,3}}[{INVISIBLE}]{{0,3}}"
_NUMBER = r"([0-9]{1,9})(?!_{0,3}[0-9A-Za-z]|[.,/\-\u2013][0-9])"
_PROBLEM = rf"problem{_BLANK}+{_NUMBER}"
_CLOSE = rf"{_BLANK}*[*_]{{0,3}}(?:{_BLANK}*:[*_]{{0,3}})?"
_LINE_START = re.compile(rf"(?:\A|(?<=\n)|(?<=\r)(?!\n))(?=[ \t\u00a0#*_pP{INVISIBLE}])")
_CANONICAL = re.compile(rf"{_INDENT}\#\#\#(?!\#){_BLANK}*[*_]{{0,3}}{_PROBLEM}{_CLOSE}", re.IGNORECASE)
_DECORATED = re.compile(
    rf"{_INDENT}(?:\#{{1,6}}(?!\#){_BLANK}*[*_]{{0,3}}|[*_]{{1,3}}){_PROBLEM}{_CLOSE}", re.IGNORECASE
)
_PLAIN = re.compile(rf"{_INDENT}{_PROBLEM}(?:{_BLANK}*:|{_BLANK}*(?=[\r\n]|\Z))", re.IGNORECASE)
_NAME = re.compile(
    rf"(?<![0-9A-Za-z])(?<![0-9A-Za-z]_)(?<![0-9A-Za-z]__){_PROBLEM}{_BLANK}*(?:[*_]{{1,3}}{_BLANK}*)?:[*_]{{0,3}}",
    re.IGNORECASE,
)
_LEVEL = re.compile(r"<predicted_level>\s{0,8}level[ -]?([0-3])\s{0,8}</predicted_level>", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Mark:
    """A header, name or level tag.

    Attributes:
        start: Offset of its first character (of the line, for a header).
        end: Offset just behind it.
        number: Problem number, 0 if it names none of this exam; for a level tag the level.
    """

    start: int
    end: int
    number: int


def find_canonical_headers(text: str, count: int) -> list[Mark]:
    """Return the canonical headers of ``text``; none at all if none of them names a problem of this exam.

    Args:
        text: Any string.
        count: Number of problems of the exam.
    """
    return _in_force(_marks(text, (_CANONICAL,), count))


def find_lenient_headers(text: str, count: int) -> list[Mark]:
    """Return the lenient headers of ``text``; none at all if none of them names a problem of this exam."""
    return _in_force(_marks(text, (_DECORATED, _PLAIN), count))


def _in_force(marks: list[Mark]) -> list[Mark]:
    return marks if any(mark.number for mark in marks) else []


def _marks(text: str, patterns: tuple[re.Pattern[str], ...], count: int) -> list[Mark]:
    marks = []
    for start in (line.start() for line in _LINE_START.finditer(text)):
        match = next((found for pattern in patterns if (found := pattern.match(text, start)) is not None), None)
        if match is not None:
            marks.append(Mark(start, match.end(), _number(match, count)))
    return marks


def _number(match: re.Match[str], count: int) -> int:
    number = int(match.group(1))
    return number if number <= count else 0


def find_names(text: str, count: int) -> list[Mark]:
    """Return every ``Problem j:`` of ``text``, headers included."""
    return [Mark(match.start(), match.end(), _number(match, count)) for match in _NAME.finditer(text)]


def find_levels(text: str) -> list[Mark]:
    """Return the level tags ``<predicted_level>Level-k</predicted_level>`` with k from 0 to 3."""
    return [Mark(match.start(), match.end(), int(match.group(1))) for match in _LEVEL.finditer(text)]


def nearest_names(text: str, offsets: list[int], names: list[Mark]) -> list[Mark | None]:
    """Return for each of the ``offsets`` the nearest of the ``names`` that ends before it in its own line, or None."""
    if not names:
        return [None] * len(offsets)
    line_ends = [match.end() for match in _LINE_END.finditer(text)]
    ends = [name.end for name in names]
    found: list[Mark | None] = []
    for offset in offsets:
        index = bisect_right(ends, offset) - 1
        line = bisect_right(line_ends, offset) - 1
        line_start = line_ends[line] if line >= 0 else 0
        found.append(names[index] if index >= 0 and names[index].start >= line_start else None)
    return found
