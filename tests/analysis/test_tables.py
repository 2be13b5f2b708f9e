"""Tables in their three forms, with hostile cells."""

from __future__ import annotations

import csv
import io
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.reports.tables import (
    Cell,
    Column,
    Interval,
    Table,
    break_text,
    display_width,
    format_cell,
    interval_around,
    printable,
    to_csv,
    to_markdown,
    to_text,
)
from roi_bench.errors import UsageError


def table(*rows: tuple[Cell, ...], columns: tuple[Column, ...] | None = None, note: str = "A note.") -> Table:
    heads = columns or (Column("run"), Column("n", 0), Column("score"), Column("p", 4))
    return Table("scores", "Scores", heads, rows, note)


ROW: tuple[Cell, ...] = ("a model", 480, Interval(0.1734, 0.13, 0.2149), 0.00371)
BARE: tuple[Cell, ...] = ("b", 12.0, Interval(None, None, None), None)


def read_csv(made: Table) -> list[list[str]]:
    return list(csv.reader(io.StringIO(to_csv(made), newline="")))


def test_text_by_hand() -> None:
    assert to_text(table(ROW, BARE)) == (
        "Scores\n"
        "\n"
        "run        n              score       p\n"
        "-------  ---  -----------------  ------\n"
        "a model  480  0.17 [0.13, 0.21]  0.0037\n"
        "b         12                n/a     n/a\n"
        "\n"
        "A note.\n"
    )


def test_markdown_by_hand() -> None:
    assert to_markdown(table(ROW, BARE)) == (
        "**Scores**\n"
        "\n"
        "| run | n | score | p |\n"
        "| :-- | --: | --: | --: |\n"
        "| a model | 480 | 0.17 [0.13, 0.21] | 0.0037 |\n"
        "| b | 12 | n/a | n/a |\n"
        "\n"
        "A note.\n"
    )


def test_csv_by_hand() -> None:
    assert to_csv(table(ROW, BARE)) == (
        "run,n,score,score_low,score_high,p\r\na model,480,0.1734,0.13,0.2149,0.00371\r\nb,12.0,,,,\r\n"
    )


def test_csv_keeps_every_digit_and_knows_numpy() -> None:
    value = 1 / 3
    rows = read_csv(table(("x", 10**17 + 1, Interval(value, None, value), np.float64(value))))
    assert rows[1] == ["x", "100000000000000001", repr(value), "", repr(value), repr(value)]
    assert float(rows[1][2]) == value


def test_a_column_is_one_of_intervals_if_any_cell_is() -> None:
    made = table(("a", 1, 0.5, None), ("b", 2, Interval(0.25, 0.0, 0.5), None))
    assert read_csv(made)[1] == ["a", "1", "0.5", "", "", ""]
    assert read_csv(table(("a", 1, 0.5, None)))[0] == ["run", "n", "score", "p"]


@pytest.mark.parametrize(
    ("cell", "decimals", "expected"),
    [
        (0.175, 1, "0.2"),
        (-0.001, 2, "0.00"),
        (1234567, 2, "1234567"),
        (12.0, 0, "12"),
        (math.nan, 2, "n/a"),
        (None, 2, "n/a"),
        (Interval(0.5, None, None), 2, "0.50"),
        (Interval(0.5, None, 1.0), 1, "0.5 [n/a, 1.0]"),
        (Interval(None, 0.1, 0.2), 2, "n/a"),
        (Interval(math.nan, 0.1, 0.2), 2, "n/a"),
        ("n\ta", 2, r"n\ta"),
    ],
)
def test_cells(cell: Cell, decimals: int, expected: str) -> None:
    assert format_cell(cell, decimals) == expected


HOSTILE = [
    "a|b",
    "line\nbreak\r\n| x | y |",
    "\x1b[2Jcleared",
    "evil\u202eedoc",
    "zero\u200bwidth\ufeff",
    "<script>alert(1)</script>",
    "![](https://example.org/x.png)[a](javascript:x)",
    "*bold* _it_ `code` ~~no~~ &amp; $x$ \\| end\\",
    "=1+1",
    "+A1",
    "-2",
    "@SUM(A1)",
    "＝1",
    'say "hi", now',
    "\ud800 lone",
    "",
    "日本語",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_out(name: str) -> None:
    made = Table("t", name, (Column(f"{name}!"), Column("n")), ((name, 1), ("plain", 2)), name)
    text, markdown, rows = to_text(made), to_markdown(made), read_csv(made)
    for form in (text, markdown, to_csv(made)):
        form.encode("utf-8")
        assert all(character.isprintable() or character in "\r\n" for character in form)
    lines = markdown.splitlines()
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines[2:6]] == [3, 3, 3, 3]
    assert not re.search(r"(?<!\\)(?:\\\\)*[<`*_\[$&~]", lines[4])
    assert len(rows) == 3
    assert [len(row) for row in rows] == [2, 2, 2]
    assert rows[1][0].lstrip("'") == printable(name)
    assert not rows[1][0].startswith(("=", "+", "-", "@", "＝"))
    assert not rows[0][0].startswith(("=", "+", "-", "@", "＝"))
    assert len(text.splitlines()) >= 6


def test_numbers_are_no_formulas() -> None:
    assert read_csv(table(("x", -3, Interval(-0.5, -1.0, 0.0), -0.25)))[1] == [
        "x",
        "-3",
        "-0.5",
        "-1.0",
        "0.0",
        "-0.25",
    ]


def test_narrow_terminals_break_headings_first_then_text_and_never_numbers() -> None:
    columns = (Column("run"), Column("score in easy order"), Column("n"))
    made = table(("org/a-rather-long-model-name · plan_and_solve", Interval(1.5, 1.25, 1.75), 480), columns=columns)
    wide, middle, narrow = (to_text(made, width).splitlines() for width in (90, 70, 46))
    assert "score in easy order" in wide[2]
    assert all(len(line) <= 70 for line in middle)
    assert "org/a-rather-long-model-name · plan_and_solve" in "".join(middle)
    assert all(len(line) <= 46 for line in narrow)
    assert any(line.endswith(" 480") for line in narrow)
    for lines in (wide, middle, narrow):
        assert "1.50 [1.25, 1.75]" in "\n".join(lines)
    assert "1.50 [1.25, 1.75]" in to_text(made, 5)


def test_wide_characters_keep_columns_straight() -> None:
    lines = to_text(table(("日本語", 1, 0.5, None), ("abcdef", 22, 0.25, None))).splitlines()
    assert {display_width(line) for line in lines[2:6]} == {display_width(lines[2])}
    assert display_width("e\u0301日") == 3


def test_break_text_by_hand() -> None:
    assert break_text("Qwen/Qwen2.5-1.5B-Instruct · direct", 14) == ["Qwen/Qwen2.5-", "1.5B-Instruct", "· direct"]
    assert break_text("at random (1/2)", 13) == ["at random", "(1/2)"]
    assert break_text("abcdefgh", 3) == ["abc", "def", "gh"]
    assert break_text("", 3) == [""]


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60).map(printable), st.integers(2, 20))
def test_broken_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    lines = break_text(text, width)
    assert all(display_width(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_empty_tables() -> None:
    made = table()
    assert to_text(made).splitlines()[2] == "run  n  score  p"
    assert to_csv(made) == "run,n,score,p\r\n"
    assert to_markdown(made).count("\n| ") == 2
    assert to_text(Table("t", "Nothing", (), (), "")) == "Nothing\n\n\n"


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a.csv", "a__b", "-a", "a\n"])
def test_a_name_must_be_able_to_name_a_file(name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        Table(name, "", (), (), "")


def test_rows_and_columns_must_fit() -> None:
    with pytest.raises(UsageError, match=r"'scores'.*4 columns.*1"):
        table(("a",))
    with pytest.raises(UsageError, match=r"'scores'.*a, a$"):
        table(columns=(Column("a"), Column("a", 3)))
    with pytest.raises(UsageError, match=r"'scores'.*a_low.*a_low"):
        table((Interval(1, 0, 2), 1), columns=(Column("a"), Column("a_low")))


def test_forms_end_with_a_line_break_and_do_not_depend_on_the_moment() -> None:
    for form in (to_text, to_markdown, to_csv):
        assert form(table(ROW, BARE)) == form(table(ROW, BARE))
        assert form(table(ROW, BARE)).endswith("\n")


def test_intervals_are_cut_to_what_is_possible_and_hold_their_value() -> None:
    assert interval_around(0.5, (-1.0, 2.0), (0.0, 1.0)) == Interval(0.5, 0.0, 1.0)
    assert interval_around(0.5, (-1.0, 2.0), (None, 1.0)) == Interval(0.5, -1.0, 1.0)
    assert interval_around(1.03, (0.9, 1.1), (0.0, 1.0)) == Interval(1.03, 0.9, 1.03)
    assert interval_around(0.5, (0.5, 0.5), (0.0, 1.0)) == Interval(0.5)
