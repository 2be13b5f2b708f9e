r"""Marks in a response that name a problem or forecast its level: header lines, names in a line, level tags.

- *Canonical header*: a line that starts (after at most three blanks) with exactly ``###`` and ``Problem k``, in any
  case, bold allowed. Anything may follow in the line (a colon, a title, a box).
- *Lenient header*, used only where the response has no canonical header of a problem of this exam: a line that starts
  with any other number of ``#``, or with bold or italics, and ``Problem k``; or with plain ``Problem k`` followed by a
  colon or by nothing else in the line.
- *Name*: ``Problem j:`` anywhere in a line (colon needed, bold allowed); it names the boxes later in the same line.
- A number directly followed by a letter, or by a separator and another digit (``Problem 1.5``, ``Problem 1-3``), names
  no single problem and makes neither header nor name.
- A number outside 1…count names a problem that is not in this exam: boxes below such a header count for nothing (models
  that go on inventing a Problem 4 do not overwrite Problem 3).
- Code fences are not special: models fence whole responses.
- Lines end with LF, CR or CRLF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLANK = "[ \t\u00a0]"
_NUMBER = r"([0-9]{1,9})(?![0-9A-Za-z_]|[.,/\-\u2013][0-9])"
_PROBLEM = rf"problem{_BLANK}+{_NUMBER}"
_CLOSE = rf"{_BLANK}*[*_]{{0,3}}(?:{_BLANK}*:[*_]{{0,3}})?"
_LINE_START = re.compile(r"(?:\A|(?<=\n)|(?<=\r)(?!\n))(?=[ \t\u00a0#*_pP])")
_CANONICAL = re.compile(rf"{_BLANK}{{0,3}}\#\#\#(?!\#){_BLANK}*[*_]{{0,3}}{_PROBLEM}{_CLOSE}", re.IGNORECASE)
_DECORATED = re.compile(
    rf"{_BLANK}{{0,3}}(?:\#{{1,6}}(?!\#){_BLANK}*[*_]{{0,3}}|[*_]{{1,3}}){_PROBLEM}{_CLOSE}", re.IGNORECASE
)
_PLAIN = re.compile(rf"{_BLANK}{{0,3}}{_PROBLEM}(?:{_BLANK}*:|{_BLANK}*(?=[\r\n]|\Z))", re.IGNORECASE)
_NAME = re.compile(rf"(?<![0-9A-Za-z_]){_PROBLEM}{_BLANK}*(?:[*_]{{1,3}}{_BLANK}*)?:[*_]{{0,3}}", re.IGNORECASE)
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


def find_headers(text: str, count: int) -> list[Mark]:
    """Return the header lines of ``text`` that are in force: the canonical ones, or the lenient ones if there is none.

    Args:
        text: Any string.
        count: Number of problems of the exam.
    """
    starts = [match.start() for match in _LINE_START.finditer(text)]
    canonical = _marks(text, starts, (_CANONICAL,), count)
    if any(mark.number for mark in canonical):
        return canonical
    lenient = _marks(text, starts, (_DECORATED, _PLAIN), count)
    return lenient if any(mark.number for mark in lenient) else []


def _marks(text: str, starts: list[int], patterns: tuple[re.Pattern[str], ...], count: int) -> list[Mark]:
    marks = []
    for start in starts:
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


def find_line_ends(text: str) -> list[int]:
    """Return the offset just behind each line end of ``text``."""
    return [match.end() for match in _LINE_END.finditer(text)]
