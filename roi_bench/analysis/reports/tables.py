"""Tables of numbers with intervals, and their three forms: text for a terminal, Markdown for a page, CSV for machines.

Cells are untrusted: names of models come from outside. In none of the formats can a cell break out, hide its text or
run as a formula.
"""

from __future__ import annotations

import csv
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING

from roi_bench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with the interval around it.

    Attributes:
        value: The number; None where it is undefined.
        low: Lower end, or None where there is no interval.
        high: Upper end, or None.
    """

    value: float | None
    low: float | None = None
    high: float | None = None


def interval_around(
    value: float | None, ends: tuple[float, float] | None, within: tuple[float | None, float | None] = (None, None)
) -> Interval:
    """Return ``value`` with its interval, without one where nothing varied.

    If all of a few exams agree, the number is not certain, as an interval of no width would suggest. ``within``: the
    possible values, to which the interval is cut; an estimate beyond them (AE, a ratio of estimates) stays inside.
    """
    if value is None or ends is None or ends[1] - ends[0] < _NOISE:
        return Interval(value, None, None)
    (low, high), (least, most) = ends, within
    low = low if least is None else min(value, max(low, least))
    return Interval(value, low, high if most is None else max(value, min(high, most)))


_NOISE = 1e-12

Cell = str | int | float | None | Interval
"""What stands in a table; None is "not applicable" and never a number."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, and how many decimals its fractions have in text and Markdown."""

    name: str
    decimals: int = 2


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: Its slug, the name of its CSV file.
        title: Its title.
        columns: Its columns; no two of the same name.
        rows: Its rows, one cell a column.
        note: One or two sentences that say what is shown, in which unit, for which target.

    Raises:
        UsageError: A name that cannot name a file, two columns of one name, or a row of another length.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str

    def __post_init__(self) -> None:
        if re.fullmatch(r"[a-z0-9]+(?:[-_][a-z0-9]+)*", self.name) is None:
            raise UsageError(f"table name {self.name!r}: only a-z, 0-9 and single - or _ between them can name a file")
        names = _csv_head(self)
        if len(set(names)) < len(names):
            raise UsageError(f"table {self.name!r} has two columns of the same name: {', '.join(names)}")
        for row in self.rows:
            if len(row) != len(self.columns):
                raise UsageError(f"table {self.name!r} has {len(self.columns)} columns, and a row has {len(row)} cells")


def printable(text: str) -> str:
    r"""Return ``text`` with invisible characters escaped: ``\n``, ``\x1b``, ``\u202e``.

    So a name can move no cursor, reverse no line and add no row.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def format_cell(cell: Cell, decimals: int) -> str:
    """Return ``cell`` as people read it: ``0.17 [0.13, 0.21]``, ``n/a``; text goes through :func:`printable`."""
    if isinstance(cell, Interval):
        value = format_cell(cell.value, decimals)
        if value == _UNDEFINED or (cell.low is None and cell.high is None):
            return value
        return f"{value} [{format_cell(cell.low, decimals)}, {format_cell(cell.high, decimals)}]"
    if isinstance(cell, str):
        return printable(cell)
    if cell is None or isnan(cell):
        return _UNDEFINED
    return str(cell) if isinstance(cell, int) else f"{cell:z.{decimals}f}"


def display_width(text: str) -> int:
    """Return how many terminal columns ``text`` takes: wide East Asian characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in printable(text)
    )


def to_text(table: Table, width: int = 120) -> str:
    """Return ``table`` for a terminal of ``width`` columns; ends with a line break.

    Numbers are right-aligned. Where a row is too wide, headings and text cells are broken into lines; numbers never
    are, so a table of many numbers may still be wider.
    """
    cells = _formatted(table)
    text = [_is_text(table, index) for index in range(len(table.columns))]
    heads = [printable(column.name) for column in table.columns]
    widths = _widths(heads, cells, text, width)
    lines = [printable(table.title), ""]
    lines += _lines(heads, widths, text, bottom=True)
    lines.append("  ".join("-" * column for column in widths))
    for row in cells:
        lines += _lines(row, widths, text, bottom=False)
    if table.note:
        lines += ["", *textwrap.wrap(printable(table.note), max(width, 20))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def to_markdown(table: Table) -> str:
    """Return ``table`` as GitHub Markdown: title in bold, table, note; ends with a line break.

    Text cannot start HTML, links, images or emphasis, and a ``|`` starts no cell.
    """
    heads = [_escape_markdown(printable(column.name)) for column in table.columns]
    text = [_is_text(table, index) for index in range(len(table.columns))]
    rows = [
        [_escape_markdown(cell) if isinstance(raw, str) else cell for raw, cell in zip(row, shown, strict=True)]
        for row, shown in zip(table.rows, _formatted(table), strict=True)
    ]
    lines = [f"**{_escape_markdown(printable(table.title))}**", ""]
    lines += [f"| {' | '.join(row)} |" for row in (heads, [":--" if left else "--:" for left in text], *rows)]
    if table.note:
        lines += ["", _escape_markdown(printable(table.note))]
    return "\n".join(lines) + "\n"


def to_csv(table: Table) -> str:
    """Return ``table`` as CSV (RFC 4180: comma, CRLF, header line), numbers in full precision, nothing for None.

    A column with intervals becomes three: ``name``, ``name_low``, ``name_high``. Text that a spreadsheet would take for
    a formula gets an apostrophe in front.
    """
    lines = _Lines()
    writer = csv.writer(lines)
    writer.writerow([_csv_cell(name) for name in _csv_head(table)])
    for fields in _split_rows(table):
        writer.writerow([_csv_cell(field) for field in fields])
    return "".join(lines)


def to_frame(table: Table) -> pd.DataFrame:
    """Return ``table`` as a pandas frame: the columns of :func:`to_csv`, None where a number does not apply."""
    import pandas as pd

    return pd.DataFrame(list(_split_rows(table)), columns=_csv_head(table))


def _split_rows(table: Table) -> Iterator[list[Cell]]:
    """Yield the rows with an interval column as three: value, low, high."""
    intervals = [_has_interval(table, index) for index in range(len(table.columns))]
    for row in table.rows:
        fields: list[Cell] = []
        for cell, split in zip(row, intervals, strict=True):
            whole = cell if isinstance(cell, Interval) else Interval(None, None, None)
            value = whole.value if isinstance(cell, Interval) else cell
            fields += [value, whole.low, whole.high] if split else [value]
        yield fields


class _Lines(list[str]):
    """A list of lines that a CSV writer can write to."""

    def write(self, line: str) -> None:
        self.append(line)


_FORMULA = tuple("=+-@＝＋－＠")
_MARKDOWN = re.compile(r"[\\`*_\[\]<>|~&$#!]")


def _csv_cell(cell: Cell) -> str:
    if isinstance(cell, str):
        text = printable(cell)
        return f"'{text}" if text.startswith(_FORMULA) else text
    if cell is None or isinstance(cell, Interval) or isnan(cell):
        return ""
    return str(int(cell)) if isinstance(cell, int) else repr(float(cell))  # numpy's own floats print their type


def _csv_head(table: Table) -> list[str]:
    parts = [("", "_low", "_high") if _has_interval(table, index) else ("",) for index, _ in enumerate(table.columns)]
    return [column.name + part for column, ends in zip(table.columns, parts, strict=True) for part in ends]


def _escape_markdown(text: str) -> str:
    return _MARKDOWN.sub(lambda match: f"\\{match[0]}", text)


def _formatted(table: Table) -> list[list[str]]:
    return [
        [format_cell(cell, column.decimals) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]


def _has_interval(table: Table, index: int) -> bool:
    return any(isinstance(row[index], Interval) for row in table.rows if index < len(row))


def _is_text(table: Table, index: int) -> bool:
    return any(isinstance(row[index], str) for row in table.rows)


def _widths(heads: Sequence[str], cells: Sequence[Sequence[str]], text: Sequence[bool], width: int) -> list[int]:
    """Return the width of each column: as wide as its widest cell; where that is too much, headings break first."""
    columns = range(len(heads))
    bodies = [max((display_width(row[index]) for row in cells), default=0) for index in columns]
    widths = [max(display_width(heads[index]), bodies[index]) for index in columns]
    gaps = 2 * (len(heads) - 1)
    excess = sum(widths) + gaps - width
    if excess <= 0:
        return widths
    words = [max((display_width(word) for word in heads[index].split()), default=0) for index in columns]
    widths = [max(words[index], bodies[index]) for index in columns]
    floors = [max(words[index], _NARROWEST) if text[index] else widths[index] for index in columns]
    for _ in range(sum(widths) + gaps - width):
        widest = max(columns, key=lambda index: (widths[index] > floors[index], widths[index]))
        widths[widest] -= widths[widest] > floors[widest]
    return widths


_NARROWEST = 15  # columns of a terminal that a column of text keeps
_UNDEFINED = "n/a"


def _lines(row: Sequence[str], widths: Sequence[int], text: Sequence[bool], *, bottom: bool) -> list[str]:
    """Return the lines of one row, cells broken to their widths, at the top of the row or at its ``bottom``."""
    broken = [break_text(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(map(len, broken), default=0)
    padded = [
        [""] * (height - len(lines)) + lines if bottom else lines + [""] * (height - len(lines)) for lines in broken
    ]
    return [
        "  ".join(_pad(cells[line], width, left) for cells, width, left in zip(padded, widths, text, strict=True))
        for line in range(height)
    ]


def _pad(cell: str, width: int, left: bool) -> str:
    space = " " * (width - display_width(cell))
    return cell + space if left else space + cell


def break_text(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` columns, broken at spaces, long words after ``-``, ``/``, ``_``."""
    pieces: list[str] = []
    for word in re.split(r"(?<= )", text):
        pieces += re.split(r"(?<=[-/_])", word) if display_width(word) > width // 2 else [word]
    lines, line = [], ""
    for piece in pieces:
        if display_width((line + piece).rstrip()) <= width:
            line += piece
            continue
        if line:
            lines.append(line.rstrip())
        line = ""
        for character in piece:
            if line and display_width(line + character) > width:
                lines.append(line)
                line = ""
            line += character
    return [*lines, line.rstrip()]
