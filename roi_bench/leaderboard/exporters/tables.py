"""Tables to download: each cell as CSV and JSON, all cells together as CSV and Parquet; same board, same bytes."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Literal

from roi_bench.analysis.reports.tables import Interval
from roi_bench.leaderboard.board.board import Board, CellTable, Reported, Standing
from roi_bench.leaderboard.board.graded import GradedRun, PromptSpread
from roi_bench.leaderboard.exporters.export_files import safe_name, write_pages
from roi_bench.leaderboard.site.page import PageFile
from roi_bench.leaderboard.site.shown_text import visible_line
from roi_bench.leaderboard.submission.schema import SETUP, Metadata

# The columns of downloaded tables: their names, kinds and order, and the rows of a cell.

Value = str | int | float | bool | None
Row = dict[str, Value]
"""Values by column name; None where unknown or undefined."""

Kind = Literal["text", "integer", "number", "flag"]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column.

    Attributes:
        name: Its name, the same in every file.
        kind: What it holds.
        read: Returns its value for a row.
    """

    name: str
    kind: Kind
    read: Callable[[Standing], Value]


def _text(name: str, read: Callable[[Metadata], str | None]) -> TableColumn:
    return TableColumn(name, "text", lambda row: read(row.entry.graded.submission.metadata))


def _run(name: str, kind: Kind, read: Callable[[GradedRun], Value]) -> TableColumn:
    return TableColumn(name, kind, lambda row: read(row.run))


def _task_field(name: str) -> TableColumn:
    """Return the column of a field of the task that a run was submitted as."""

    def read(row: Standing) -> Value:
        tasks = row.entry.graded.submission.tasks
        return next((getattr(task, name) for task in tasks if task.name == row.run.task), None)

    return TableColumn(name, "text", read)


def _number(name: str, read: Callable[[GradedRun], Interval]) -> tuple[TableColumn, ...]:
    """Return the columns of a number and of the ends of its interval."""

    def part(end: Literal["value", "low", "high"]) -> Callable[[GradedRun], Value]:
        return lambda run: getattr(read(run), end)

    return (
        _run(name, "number", part("value")),
        _run(f"{name}_low", "number", part("low")),
        _run(f"{name}_high", "number", part("high")),
    )


def _metric(name: str) -> tuple[TableColumn, ...]:
    return _number(name, lambda run: run.number(name))


def _fixed(name: str, read: Callable[[GradedRun], Interval]) -> tuple[TableColumn, ...]:
    return _number(f"{name}_fixed", read)[1:]


def _over_prompts(name: str, read: Callable[[GradedRun], PromptSpread | None]) -> tuple[TableColumn, ...]:
    """Return the columns of a spread over prompts, and of the interval that includes prompt noise."""

    def part(pick: Callable[[PromptSpread], Value]) -> Callable[[GradedRun], Value]:
        def value(run: GradedRun) -> Value:
            found = read(run)
            return None if found is None else pick(found)

        return value

    parts: tuple[tuple[str, Callable[[PromptSpread], Value]], ...] = (
        ("min", lambda found: found.low),
        ("max", lambda found: found.high),
        ("sd", lambda found: found.spread),
        ("noise_sd", lambda found: found.prompt_sd),
        ("low", lambda found: found.noisy.low),
        ("high", lambda found: found.noisy.high),
    )
    return tuple(_run(f"{name}_prompts_{end}", "number", part(pick)) for end, pick in parts)


COLUMNS: tuple[TableColumn, ...] = (
    _run("cell", "text", lambda run: run.cell.title),
    _run("exam_set", "text", lambda run: run.cell.exam_set),
    _run("exam_seed", "integer", lambda run: run.cell.exam_seed),
    _run("order", "text", lambda run: run.cell.order),
    _run("budget", "integer", lambda run: run.cell.budget),
    TableColumn("rank_low", "integer", lambda row: None if row.ranks is None else row.ranks[0]),
    TableColumn("rank_high", "integer", lambda row: None if row.ranks is None else row.ranks[1]),
    TableColumn("tier", "integer", lambda row: row.tier),
    TableColumn("pareto", "flag", lambda row: row.pareto),
    _text("model", lambda of: of.model),
    _text("version", lambda of: of.version),
    _run("prompt", "text", lambda run: run.prompt),
    *_metric("score"),
    *_fixed("score", lambda run: run.score_fixed),
    _run("score_sampling_stderr", "number", lambda run: run.sampling_stderr),
    *_metric("score_easy"),
    *_metric("regret"),
    *_fixed("regret", lambda run: run.regret_fixed),
    _run("prompts", "integer", lambda run: 1 if run.score_prompts is None else run.score_prompts.prompts),
    *_over_prompts("score", lambda run: run.score_prompts),
    *_over_prompts("regret", lambda run: run.regret_prompts),
    *(column for k in (1, 2, 3) for column in _metric(f"p{k}_acc")),
    *(column for tier in ("easy", "middle", "hard") for column in _metric(f"{tier}_acc")),
    *_metric("skip_rate"),
    *(column for name in ("correct", "wrong", "truncated", "unanswered", "empty") for column in _metric(name)),
    *_metric("unboxed"),
    *(column for name in ("level_acc", "level_mae", "tokens") for column in _metric(name)),
    *(column for k in (1, 2, 3) for column in _metric(f"p{k}_tokens")),
    *(column for name in ("planning_tokens", "budget_use") for column in _metric(name)),
    _run("usd_per_exam", "number", lambda run: run.usd_per_exam),
    _run("usd", "number", lambda run: run.usd),
    *(column for name in ("v_dp", "v_replay", "ae", "sr", "lift") for column in _metric(name)),
    TableColumn("parameters", "integer", lambda row: row.entry.graded.submission.metadata.parameters),
    TableColumn("open_weights", "flag", lambda row: row.entry.graded.submission.metadata.open_weights),
    _text("provider", lambda of: of.provider),
    _text("organisation", lambda of: of.organisation),
    _text("licence", lambda of: of.licence),
    _text("hardware", lambda of: of.hardware),
    _run("decoding", "text", lambda run: run.decoding or None),
    _run("deviations", "text", lambda run: "; ".join(run.deviations) or None),
    _run("repeats", "integer", lambda run: run.repeats),
    _run("exams", "integer", lambda run: run.exams),
    _run("clusters", "integer", lambda run: run.clusters),
    _run("tokens_source", "text", lambda run: run.tokens_source),
    _run("tokens_checked", "text", lambda run: run.tokens_checked),
    *(_task_field(name) for name in (*SETUP, "sent_as", "chat_template_sha256")),
    _text("date", lambda of: of.date),
    TableColumn("accepted", "text", lambda row: row.entry.accepted),
    TableColumn("badge", "text", lambda row: row.entry.badge),
    TableColumn("draft", "flag", lambda row: row.entry.graded.submission.draft),
    TableColumn("submission", "text", lambda row: row.entry.id),
    _run("task", "text", lambda run: run.task),
    _text("model_url", lambda of: of.model_url),
    _text("paper_url", lambda of: of.paper_url),
    _text("code_url", lambda of: of.code_url),
    TableColumn("method", "text", lambda _: None),
    TableColumn("source", "text", lambda _: None),
)
"""All columns, in the order of the files. ``method`` and ``source`` say what reported rows are."""

NAMES = tuple(column.name for column in COLUMNS)
"""Their names."""


def rows_of(table: CellTable) -> list[Row]:
    """Return the rows of a cell: its runs, best score first, then what the literature reports of it."""
    rows = [{column.name: _plain(column.read(standing)) for column in COLUMNS} for standing in table.standings]
    return rows + [_reported_row(reported) for reported in table.reported]


def _reported_row(reported: Reported) -> Row:
    cell = reported.cell
    known: Row = {
        "cell": cell.title,
        "exam_set": cell.exam_set,
        "exam_seed": cell.exam_seed,
        "order": cell.order,
        "budget": cell.budget,
        "model": reported.model,
        "score": reported.score,
        "regret": reported.regret,
        "badge": "reported",
        "method": reported.method,
        "source": reported.source,
    }
    return {name: _plain(known.get(name)) for name in NAMES}


def _plain(value: Value) -> Value:
    """Return ``value`` as all formats can hold it: no NaN, no infinity, no hidden character."""
    if isinstance(value, str):
        return _one_line(value)
    return None if isinstance(value, float) and not isfinite(value) else value


_one_line = lru_cache(maxsize=1 << 14)(visible_line)


CSV_DTYPES: dict[Kind, str] = {"text": "object", "integer": "Int64", "number": "float64", "flag": "object"}
"""How pandas holds each kind of column on its way to CSV; all of them know missing values."""

_FORMULA = re.compile("(^|[;\t\r\n])(?=[=+\\-@\t\r\n＝＋－＠])")
"""Where a spreadsheet could begin to read a formula: at the start, or behind what it may take for a field's end."""


def board_tables(board: Board) -> Iterator[PageFile]:
    """Yield the downloads of a site.

    ``data/<cell>.csv`` and ``.json`` for each cell, ``data/board.csv`` and ``data/board.parquet`` with the rows of all
    cells. All files have the columns of :data:`roi_bench.leaderboard.exporters.tables.COLUMNS`. A missing value
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
    """Return ``text`` with an apostrophe wherever a spreadsheet would read it, or a part of it, as a formula."""
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
