"""Pages of charts: for each exam set and order score against budget and score against cost, each beside a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from roi_bench.leaderboard.board import Board, CellTable, Standing
from roi_bench.leaderboard.graded import Number
from roi_bench.leaderboard.page import PageFile, interval, number, render
from roi_bench.leaderboard.plots import Plot
from roi_bench.leaderboard.run_texts import money_text, number_of
from roi_bench.leaderboard.score_plots import BudgetLine, CostPoint, budget_plot, cost_plot
from roi_bench.leaderboard.shown_text import visible_line
from roi_bench.leaderboard.table_page import chart_slug


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A run over budgets, in text: score and interval at each budget, empty where it did not sit."""

    link: str
    name: str
    prompt: str
    scores: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CostRow:
    """A run by cost, in text."""

    link: str
    name: str
    prompt: str
    usd: str
    score: str
    interval: str
    pareto: bool


@dataclass(frozen=True, slots=True)
class CostView:
    """Score against cost under one budget; ``unknown`` runs of the cell have no known cost."""

    budget: int
    plot: Plot | None
    rows: tuple[CostRow, ...]
    unknown: int


@dataclass(frozen=True, slots=True)
class ChartLink:
    """A page of charts in the list of all."""

    slug: str
    title: str
    budgets: tuple[int, ...]
    runs: int


def chart_pages(board: Board) -> Iterator[PageFile]:
    """Yield ``charts/index.html`` and ``charts/<set>_<order>.html``."""
    groups: dict[str, list[CellTable]] = {}
    for table in board.cells:
        groups.setdefault(chart_slug(table), []).append(table)
    links = tuple(_link(slug, tables) for slug, tables in groups.items())
    yield render("charts.html", "charts/index.html", {"board": board, "links": links})
    for slug, tables in groups.items():
        yield _chart_page(board, slug, sorted(tables, key=lambda table: table.cell.budget))


def _link(slug: str, tables: Sequence[CellTable]) -> ChartLink:
    runs = {(s.entry.id, s.run.prompt) for table in tables for s in table.standings}
    return ChartLink(slug, _title(tables), tuple(sorted(table.cell.budget for table in tables)), len(runs))


def _title(tables: Sequence[CellTable]) -> str:
    return f"{tables[0].cell.set_title} {tables[0].cell.order}"


def _chart_page(board: Board, slug: str, tables: Sequence[CellTable]) -> PageFile:
    by_run: dict[tuple[str, str], dict[int, Standing]] = {}
    for table in tables:
        for standing in table.standings:
            by_run.setdefault((standing.entry.id, standing.run.prompt), {})[table.cell.budget] = standing
    runs = sorted(by_run.values(), key=_best_first)
    budgets = tuple(table.cell.budget for table in tables)
    lines = [BudgetLine(_name(next(iter(run.values()))), tuple(_score(run.get(b)) for b in budgets)) for run in runs]
    return render(
        "chart.html",
        f"charts/{slug}.html",
        {
            "board": board,
            "title": _title(tables),
            "budgets": budgets,
            "plot": budget_plot(lines, budgets),
            "rows": [_budget_row(run, budgets) for run in runs],
            "costs": [_cost_view(table) for table in tables],
            "cells": [table.cell for table in tables],
        },
    )


def _best_first(run: dict[int, Standing]) -> tuple[float, str, str]:
    best = max((number_of(standing.run, "score").value or 0.0 for standing in run.values()), default=0.0)
    first = next(iter(run.values()))
    return -best, first.entry.id, first.run.prompt


def _score(standing: Standing | None) -> Number | None:
    return None if standing is None else number_of(standing.run, "score")


def _name(standing: Standing) -> str:
    return visible_line(f"{standing.entry.graded.submission.metadata.model} · {standing.run.prompt}")


def _budget_row(run: dict[int, Standing], budgets: Sequence[int]) -> BudgetRow:
    first = next(iter(run.values()))
    scores = [_score(run.get(budget)) for budget in budgets]
    return BudgetRow(
        link=first.entry.id,
        name=first.entry.graded.submission.metadata.model,
        prompt=first.run.prompt,
        scores=tuple(("", "") if score is None else (number(score.value), interval(score)) for score in scores),
    )


def _cost_view(table: CellTable) -> CostView:
    known = [standing for standing in table.standings if standing.run.usd_per_exam]
    points = [
        CostPoint(_name(s), s.run.usd_per_exam or 0.0, number_of(s.run, "score"), bool(s.pareto), row)
        for row, s in enumerate(known, start=1)
    ]
    rows = tuple(
        CostRow(
            link=s.entry.id,
            name=s.entry.graded.submission.metadata.model,
            prompt=s.run.prompt,
            usd=money_text(s.run.usd_per_exam),
            score=number(number_of(s.run, "score").value),
            interval=interval(number_of(s.run, "score")),
            pareto=bool(s.pareto),
        )
        for s in known
    )
    budget = table.cell.budget
    return CostView(budget, cost_plot(points, budget) if points else None, rows, len(table.standings) - len(known))
