"""Tables to download: each cell as CSV and JSON, all cells together as CSV and Parquet; same board, same bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from roi_bench.leaderboard.board import Board, CellTable
from roi_bench.leaderboard.exporters.export_files import safe_name, write_pages
from roi_bench.leaderboard.exporters.table_columns import COLUMNS, NAMES, Kind, Row, rows_of
from roi_bench.leaderboard.page import PageFile

CSV_DTYPES: dict[Kind, str] = {"text": "object", "integer": "Int64", "number": "float64", "flag": "object"}
"""How pandas holds each kind of column on its way to CSV; all of them know missing values."""

_FORMULA = re.compile("(^|[;\t\r\n])(?=[=+\\-@\t\r\n＝＋－＠])")
"""Where a spreadsheet could begin to read a formula: at the start, or behind what it may take for a field's end."""


def board_tables(board: Board) -> Iterator[PageFile]:
    """Yield the downloads of a site.

    ``data/<cell>.csv`` and ``.json`` for each cell, ``data/board.csv`` and ``data/board.parquet`` with the rows of all
    cells. All files have the columns of :data:`roi_bench.leaderboard.exporters.table_columns.COLUMNS`. A missing value
    is an empty field in CSV and null elsewhere.

    Parquet is the same byte by byte under one release of pyarrow, whose name it holds.
    """
    everything: list[Row] = []
    head = (",".join(NAMES) + "\n").encode("ascii")
    lines = head
    for table in board.cells:
        rows = rows_of(table)
        name, body = safe_name(table.cell.slug), _csv_lines(rows)
        everything += rows
        lines += body
        yield PageFile(f"data/{name}.csv", head + body)
        yield PageFile(f"data/{name}.json", _json(board, table, rows))
    yield PageFile("data/board.csv", lines)
    yield PageFile("data/board.parquet", _parquet(everything))


def export_tables(board: Board, out: Path) -> list[Path]:
    """Write :func:`board_tables` below ``out`` and return the files.

    Raises:
        UsageError: ``out`` cannot be written.
    """
    return write_pages(board_tables(board), out)


@lru_cache(maxsize=1 << 14)
def harmless(text: str) -> str:
    """Return ``text`` so that no spreadsheet takes it, or a part of it, for a formula: an apostrophe stands before."""
    return _FORMULA.sub(r"\1'", text)


def _csv_lines(rows: Sequence[Row]) -> bytes:
    """Return ``rows`` as CSV, the line of names left out; floats have all their digits."""
    import pandas

    columns = {}
    for column in COLUMNS:
        values = [row[column.name] for row in rows]
        if column.kind == "text":
            values = [None if value is None else harmless(str(value)) for value in values]
        elif column.kind == "flag":
            values = [None if value is None else str(value).lower() for value in values]
        columns[column.name] = pandas.array(values, dtype=CSV_DTYPES[column.kind])
    stream = io.StringIO()
    pandas.DataFrame(columns).to_csv(stream, index=False, header=False, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    return stream.getvalue().encode("utf-8")


def _json(board: Board, table: CellTable, rows: Sequence[Row]) -> bytes:
    cell = table.cell
    head = {
        "board": board.title,
        "cell": cell.title,
        "exam_set": cell.exam_set,
        "exam_seed": cell.exam_seed,
        "order": cell.order,
        "budget": cell.budget,
        "columns": NAMES,
    }
    parts = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in head.items()]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    parts.append(f'"rows": [\n{lines}\n]' if rows else '"rows": []')
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode("utf-8")


def _parquet(rows: Sequence[Row]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    types = {
        "text": pyarrow.string(),
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "flag": pyarrow.bool_(),
    }
    columns = {c.name: pyarrow.array([row[c.name] for row in rows], type=types[c.kind]) for c in COLUMNS}
    stream = io.BytesIO()
    # the schema of Arrow says nothing that the columns do not
    parquet.write_table(pyarrow.table(columns), stream, compression="zstd", store_schema=False)
    return stream.getvalue()
