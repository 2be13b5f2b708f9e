"""Downloads of a board: all digits, nulls, types, no formulas, the same bytes twice."""

import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.analysis.reports.tables import Interval
from roi_bench.leaderboard.exporters.tables import COLUMNS, NAMES, board_tables, export_tables, harmless, rows_of
from tests.leaderboard.exporters.small_board import changed, small_board, with_entries
from tests.leaderboard.invented_board import hostile_board, invented_board

BOARD = invented_board(6, exams=30)
DOCS = Path(__file__).parents[3] / "docs" / "exports.md"


def files_of(board):
    return {page.path: page.content for page in board_tables(board)}


def csv_rows(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))


def number_of(text):
    return None if text == "" else float(text)


def test_there_is_a_csv_and_a_json_of_each_cell_and_all_of_them_together():
    assert list(files_of(BOARD)) == [
        *(f"data/{table.cell.slug}.{kind}" for table in BOARD.cells for kind in ("csv", "json")),
        "data/board.csv",
        "data/board.parquet",
    ]


def test_csv_json_and_parquet_hold_the_same_numbers_with_all_their_digits():
    files = files_of(BOARD)
    parquet = pandas.read_parquet(io.BytesIO(files["data/board.parquet"])).astype(object)
    table = parquet.where(parquet.notna(), None).to_dict("records")
    everything = csv_rows(files["data/board.csv"])
    start = 0
    for cell in BOARD.cells:
        rows = csv_rows(files[f"data/{cell.cell.slug}.csv"])
        from_json = json.loads(files[f"data/{cell.cell.slug}.json"])
        assert from_json["columns"] == list(NAMES)
        assert len(rows) == len(from_json["rows"]) == len(cell.standings) + len(cell.reported)
        assert everything[start : start + len(rows)] == rows
        for place, (row, found) in enumerate(zip(rows, from_json["rows"], strict=True)):
            assert list(row) == list(found) == list(NAMES)
            assert table[start + place] == found
            for column in COLUMNS:
                if column.kind in ("number", "integer"):
                    assert number_of(row[column.name]) == found[column.name]
                elif column.kind == "flag":
                    assert row[column.name] == {True: "true", False: "false", None: ""}[found[column.name]]
                else:
                    assert row[column.name] == harmless(found[column.name] or "")
        start += len(rows)
    assert start == len(everything) == len(table)


def test_a_row_says_what_the_table_shows():
    board, _ = small_board(version="2", parameters=800_448, open_weights=True, organisation="Made up")
    run = board.cells[0].standings[0].run
    row = rows_of(board.cells[0])[0]
    assert (row["cell"], row["exam_seed"], row["order"], row["budget"]) == ("tiny hard 128", 0, "hard", 128)
    assert (row["rank_low"], row["rank_high"], row["tier"], row["pareto"]) == (1, 1, 1, None)
    assert (row["model"], row["version"], row["parameters"], row["open_weights"]) == (
        "made-up/model",
        "2",
        800448,
        True,
    )
    score = run.numbers["score"]
    assert (row["score"], row["score_low"], row["score_high"]) == (score.value, score.low, score.high)
    assert (row["score_fixed_low"], row["score_fixed_high"]) == (0.5, 2.5)
    assert (row["v_dp"], row["v_replay"], row["ae"], row["sr"], row["lift"]) == (1.5, 1.2, 0.8, 1.1, 0.3)
    assert (row["decoding"], row["deviations"], row["repeats"]) == ("temperature=0.7", "temperature=0.7", 2)
    assert (row["badge"], row["draft"], row["submission"]) == ("regraded", False, board.entries[0].id)
    reported = {"cell": "v1 hard 512", "exam_set": "v1", "order": "hard", "budget": 512, "score": 0.93}
    reported |= {"model": "A paper's model", "badge": "reported", "method": "MFT + RARL", "source": "arXiv"}
    assert {name: value for name, value in rows_of(board.cells[1])[-1].items() if value is not None} == reported


def test_what_is_unknown_or_not_finite_is_empty_in_csv_and_null_elsewhere():
    board, _ = small_board()
    standing = board.cells[0].standings[0]
    numbers = {**standing.run.numbers, "tokens": Interval(math.nan, -math.inf, math.inf), "level_acc": Interval(None)}
    run = replace(standing.run, numbers=numbers, usd=None)
    table = replace(board.cells[0], standings=(replace(standing, run=run, ranks=None, tier=None),))
    files = files_of(replace(board, cells=(table,)))
    empty = ("tokens", "tokens_low", "tokens_high", "level_acc", "usd", "rank_low", "tier", "provider", "open_weights")
    (row,), (found,) = csv_rows(files["data/board.csv"]), json.loads(files["data/tiny_hard_128.json"])["rows"]
    frame = pandas.read_parquet(io.BytesIO(files["data/board.parquet"]))
    assert {name: row[name] for name in empty} == dict.fromkeys(empty, "")
    assert {name: found[name] for name in empty} == dict.fromkeys(empty)
    assert all(frame[name].isna().all() for name in empty)
    assert not {"nan", "inf", "-inf"} & {value.lower() for value in row.values()}


def test_the_same_board_gives_the_same_bytes():
    assert files_of(BOARD) == files_of(invented_board(6, exams=30))


def test_a_board_without_runs_has_empty_tables():
    board = replace(BOARD, entries=(), cells=tuple(replace(t, standings=(), reported=()) for t in BOARD.cells))
    files = files_of(board)
    assert files["data/board.csv"].decode() == ",".join(NAMES) + "\n"
    assert json.loads(files["data/v1_hard_512.json"])["rows"] == []
    assert list(pandas.read_parquet(io.BytesIO(files["data/board.parquet"])).columns) == list(NAMES)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "＝"])
def test_no_text_of_a_csv_begins_a_formula(begin):
    board, _ = small_board(model=f"{begin}HYPERLINK(1)", provider=f"a;{begin}1", organisation=f"{begin}{begin}")
    (row, *_) = csv_rows(files_of(board)["data/tiny_hard_128.csv"])
    shown = begin if begin.isprintable() else f"⟦U+{ord(begin):04X}⟧"
    mark = "'" if begin.isprintable() else ""
    assert row["model"] == f"{mark}{shown}HYPERLINK(1)"
    assert row["provider"] == f"a;{mark}{shown}1"
    assert json.loads(files_of(board)["data/tiny_hard_128.json"])["rows"][0]["model"] == f"{shown}HYPERLINK(1)"


@given(st.text(alphabet=st.sampled_from("=+-@;\t\r\n'\" ,a1＝"), max_size=8))
def test_no_part_of_a_harmless_text_begins_a_formula(text):
    fields = harmless(text).replace("\r", ";").replace("\n", ";").replace("\t", ";").split(";")
    assert not [field for field in fields if field[:1] in ("=", "+", "-", "@", "＝") and field]
    assert harmless(text).replace("'", "") == text.replace("'", "")


def test_hostile_text_is_written_out_and_cannot_break_a_row():
    files = files_of(hostile_board())
    rows = csv_rows(files["data/board.csv"])
    assert len(rows) == sum(len(table.standings) + len(table.reported) for table in hostile_board().cells)
    assert sum("⟦U+0000⟧⟦U+001B⟧⟦U+D800⟧⟦U+202E⟧" in row["model"] for row in rows) == 5
    assert all(b"\x00" not in content for path, content in files.items() if not path.endswith(".parquet"))


def test_drafts_say_so():
    board, _ = small_board()
    board = with_entries(board, changed(board.entries[0], submission={"draft": True}))
    assert {row["draft"] for row in csv_rows(files_of(board)["data/tiny_hard_128.csv"])} == {"true"}


def test_export_writes_the_files(tmp_path):
    board, _ = small_board()
    written = export_tables(board, tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in written} == files_of(board)


def test_the_documentation_names_every_column():
    page = DOCS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]*) \|", page[page.index("| columns |") : page.index("## Hugging Face Hub")], re.M)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert named == [name for name in NAMES if not name.endswith(("_low", "_high")) or name in named]  # in this order
