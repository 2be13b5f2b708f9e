"""Pages with a table of runs: the first page of the board, and one page per cell (exam set, order, budget)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roi_bench.exams.exam import ORDERS
from roi_bench.leaderboard.board import Board, CellTable, Reported, Standing
from roi_bench.leaderboard.columns import COLUMNS, Column, Shown
from roi_bench.leaderboard.page import PageFile, number, render
from roi_bench.leaderboard.reported import load_reported

TIERS_IN_WORDS = 3
"""Tiers that are described one by one above a table."""


@dataclass(frozen=True, slots=True)
class RowView:
    """One row of a table.

    Attributes:
        cells: What its cells show, by column.
        first_of_tier: It begins a tier below the first, and a rule stands above it.
    """

    cells: tuple[Shown, ...]
    first_of_tier: bool


@dataclass(frozen=True, slots=True)
class TableView:
    """A table as its page shows it.

    Attributes:
        slug: Name of its cell for files.
        title: Name of its cell for people.
        chart: Slug of the chart page of its exam set and order.
        exams: What was sat, in words.
        tiers: What the tiers hold, in words.
        columns: Its columns.
        rows: Its rows.
    """

    slug: str
    title: str
    chart: str
    exams: str
    tiers: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[RowView, ...]


@dataclass(frozen=True, slots=True)
class GridCell:
    """Where a cell's page is, and what is on it in two numbers."""

    slug: str
    runs: str
    best: str
    current: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """All cells of one exam set: orders down, budgets across; None where nobody sat."""

    title: str
    budgets: tuple[int, ...]
    rows: tuple[tuple[str, tuple[GridCell | None, ...]], ...]


def table_pages(board: Board) -> Iterator[PageFile]:
    """Yield ``index.html`` with the main cell's table, and ``cells/<slug>.html`` for every cell."""
    main = board.cells[0] if board.cells else None
    yield _page("index.html", "index.html", board, main, load_reported())
    for table in board.cells:
        yield _page("cell.html", f"cells/{table.cell.slug}.html", board, table, table.reported)


def chart_slug(table: CellTable) -> str:
    """Return the name of the chart page that shows a cell: ``v1_hard``, ``fresh_7_hard``."""
    return table.cell.slug.rsplit("_", 1)[0]


def grids(board: Board, current: CellTable | None) -> tuple[Grid, ...]:
    """Return mode × budget of every exam set, in the order of the board's cells."""
    found = []
    for title in dict.fromkeys(table.cell.set_title for table in board.cells):
        tables = {
            (t.cell.order, t.cell.budget): _grid_cell(t, current) for t in board.cells if t.cell.set_title == title
        }
        budgets = tuple(sorted({budget for _, budget in tables}))
        orders = sorted({order for order, _ in tables}, key=_order_place)
        found.append(
            Grid(title, budgets, tuple((order, tuple(tables.get((order, b)) for b in budgets)) for order in orders))
        )
    return tuple(found)


def _order_place(order: str) -> int:
    return ORDERS.index(order) if order in ORDERS else len(ORDERS)


def _grid_cell(table: CellTable, current: CellTable | None) -> GridCell:
    scores = [s.run.numbers["score"].value for s in table.standings]
    best = max((score for score in scores if score is not None), default=None)
    return GridCell(table.cell.slug, count_text(len(table.standings), "run"), number(best), table is current)


def count_text(count: int, noun: str) -> str:
    """Return ``1 run``, ``2 runs``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _page(template: str, path: str, board: Board, table: CellTable | None, reported: Sequence[Reported]) -> PageFile:
    view = _view(table) if table is not None else None
    return render(template, path, {"board": board, "view": view, "grids": grids(board, table), "reported": reported})


def _view(table: CellTable) -> TableView:
    rows, above = [], None
    for standing in table.standings:
        first = above is not None and standing.tier != above
        above = standing.tier
        rows.append(RowView(tuple(column.show(standing) for column in COLUMNS), first))
    return TableView(
        slug=table.cell.slug,
        title=table.cell.title,
        chart=chart_slug(table),
        exams=_exams_text(table.standings),
        tiers=_tier_texts(table.standings),
        columns=COLUMNS,
        rows=tuple(rows),
    )


def _exams_text(standings: Sequence[Standing]) -> str:
    """Return on how many exams the numbers rest: runs of a board are whole, so it is the same for all but drafts."""
    counts = sorted({standing.run.exams for standing in standings})
    if not counts:
        return "no exams"
    return f"{counts[0]} exams" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} exams"


def _tier_texts(standings: Sequence[Standing]) -> tuple[str, ...]:
    """Return one text a tier: ``tier 1: not told apart from the best (3 runs)``."""
    counts = Counter(standing.tier for standing in standings if standing.tier is not None)
    texts = []
    for tier in sorted(counts)[:TIERS_IN_WORDS]:
        which = "not told apart from the best" if tier == 1 else f"told apart from the best of tier {tier - 1}"
        texts.append(f"tier {tier}: {which} ({count_text(counts[tier], 'run')})")
    if len(counts) > TIERS_IN_WORDS:
        texts.append(f"and so on to tier {max(counts)}")
    return tuple(texts)
