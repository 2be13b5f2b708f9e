"""Pages of charts: for each exam set and order score against budget and score against cost, each beside a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10

from roi_bench.analysis.reports.tables import Interval
from roi_bench.leaderboard.board.board import Board, CellTable, Standing
from roi_bench.leaderboard.site.page import PageFile, interval, money_text, number, render
from roi_bench.leaderboard.site.plots import (
    Label,
    Plot,
    Scale,
    Stroke,
    dot,
    label,
    left_axis,
    line,
    log_ticks,
    number_text,
    polyline,
    ticks,
)
from roi_bench.leaderboard.site.shown_text import visible_line
from roi_bench.leaderboard.site.table_page import chart_slug

# Pictures of many runs: score against budget, and score against cost with the line of best value.

WIDTH, HEIGHT = 480, 330
LEFT, RIGHT, TOP, BOTTOM = 36, 470, 26, 288

NAMED = 8
"""Runs that a picture numbers and colours; the others are grey."""

CROWD = 40
"""Runs from which on the grey ones are drawn fainter."""


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """A run over budgets.

    Attributes:
        name: Its name.
        scores: Its score at each budget, None where it has no run.
    """

    name: str
    scores: tuple[Interval | None, ...]


@dataclass(frozen=True, slots=True)
class CostPoint:
    """A run by cost.

    Attributes:
        name: Its name.
        usd: USD per exam, more than 0.
        score: Its score.
        pareto: No other run has a score at least as high for less.
        row: Its row in the table beside the picture, from 1.
    """

    name: str
    usd: float
    score: Interval
    pareto: bool
    row: int


def budget_plot(lines: Sequence[BudgetLine], budgets: Sequence[int]) -> Plot | None:
    """Return score against budget of ``lines``, the best first; None where no score is defined.

    Runs of one budget stand beside one another, so that their intervals do not overlap.
    """
    scores = [score for one in lines for score in one.scores if score is not None]
    scale = _score_scale(scores)
    if scale is None:
        return None
    values = ticks(0.0, scale.high, 6)
    strokes, labels = left_axis(scale, LEFT, RIGHT, values, [number_text(value) for value in values])
    width = (RIGHT - LEFT) / len(budgets)
    labels += [label(LEFT + width * (i + 0.5), BOTTOM + 18, str(b), "m f") for i, b in enumerate(budgets)]
    labels += [label((LEFT + RIGHT) / 2, BOTTOM + 35, "budget, tokens", "m f"), label(4, TOP - 12, "score", "f")]
    offsets = _offsets(len(lines), width * 0.85)
    for index in reversed(range(len(lines))):
        centres = [LEFT + width * (i + 0.5) + offsets[index] for i in range(len(budgets))]
        drawn, numbers = _budget_line(lines[index], centres, scale, index)
        strokes += drawn
        labels += numbers
    return Plot(
        id="budget",
        kind="many crowd" if len(lines) >= CROWD else "many",
        width=WIDTH,
        height=HEIGHT,
        title="Score against budget, with 95 % intervals",
        description="Each run has a dot and an interval at each budget that it sat, joined by a line. Numbers are rows "
        "of the table below, which holds all values.",
        strokes=tuple(strokes),
        labels=tuple(labels),
    )


def _offsets(count: int, width: float) -> list[float]:
    """Return where runs stand within the ``width`` of their budget; numbered ones take room for their numbers first."""
    numbered = min(count, NAMED)
    step = min(24.0, width / max(1, count - 1))
    wide = max(step, min(11.0, width * 0.6 / NAMED))
    rest = min(step, (width - numbered * wide) / max(1, count - numbered))
    places = [
        index * wide if index < numbered else numbered * wide + (index - numbered) * rest for index in range(count)
    ]
    return [place - places[-1] / 2 for place in places]


def _budget_line(
    one: BudgetLine, centres: Sequence[float], scale: Scale, index: int
) -> tuple[list[Stroke], list[Label]]:
    kind = f"k{index}" if index < NAMED else "other"
    points, bars, tip = [], "", 0.0
    for x, score in zip(centres, one.scores, strict=True):
        if score is None or score.value is None:
            continue
        points.append((x, scale.at(score.value)))
        tip = scale.at(score.value if score.high is None else score.high)
        if score.low is not None and score.high is not None:
            bars += line(x, scale.at(score.low), x, scale.at(score.high))
    if not points:
        return [], []
    strokes = [Stroke(f"{kind} thread", polyline(points))] if len(points) > 1 else []
    strokes += [Stroke(f"{kind} whisker", bars)] if bars else []
    strokes.append(Stroke(f"{kind} mark", "".join(dot(*point) for point in points), one.name))
    return strokes, [label(points[-1][0], tip - 5, str(index + 1), "m")] if index < NAMED else []


def cost_plot(points: Sequence[CostPoint], budget: int) -> Plot | None:
    """Return score against USD per exam (logarithmic) with the line of best value; None where no cost is known."""
    scale = _score_scale([point.score for point in points])
    if scale is None:
        return None
    low, high = min(point.usd for point in points), max(point.usd for point in points)
    across = Scale(log10(low / 1.4), log10(high * 1.4), LEFT, RIGHT)
    values = ticks(0.0, scale.high, 6)
    strokes, labels = left_axis(scale, LEFT, RIGHT, values, [number_text(value) for value in values])
    labels += [
        label(across.at(log10(usd)), BOTTOM + 18, money_text(usd), "m f") for usd in log_ticks(low / 1.4, high * 1.4)
    ]
    labels += [
        label((LEFT + RIGHT) / 2, BOTTOM + 35, "USD per exam, logarithmic", "m f"),
        label(4, TOP - 12, "score", "f"),
    ]
    drawn, numbers = _cost_points(points, across, scale)
    return Plot(
        id=f"cost-{budget}",
        kind="many cost",
        width=WIDTH,
        height=HEIGHT,
        title=f"Score against cost at {budget} tokens, with 95 % intervals",
        description="Each run is a dot with an interval. The line joins the runs than which none is better for less; "
        "they are numbered by their rows in the table below, which holds all values.",
        strokes=(*strokes, *drawn),
        labels=(*labels, *numbers),
    )


def _cost_points(points: Sequence[CostPoint], across: Scale, scale: Scale) -> tuple[list[Stroke], list[Label]]:
    strokes: list[Stroke] = []
    labels: list[Label] = []
    front = sorted((point for point in points if point.pareto), key=lambda point: point.usd)
    stairs: list[tuple[float, float]] = []
    for point in front:
        x, y = across.at(log10(point.usd)), scale.at(point.score.value or 0.0)
        stairs += [(x, stairs[-1][1]), (x, y)] if stairs else [(x, y)]
    for point in sorted(points, key=lambda point: point.pareto):
        if point.score.value is None:
            continue
        x, y = across.at(log10(point.usd)), scale.at(point.score.value)
        kind = "k0" if point.pareto else "other"
        if point.score.low is not None and point.score.high is not None:
            bar = line(x, scale.at(point.score.low), x, scale.at(point.score.high))
            strokes.append(Stroke(f"{kind} whisker", bar))
        strokes.append(Stroke(f"{kind} mark", dot(x, y), point.name))
        if point.pareto:
            labels.append(label(x - 6, y - 6, str(point.row), "e"))
    if len(stairs) > 1:
        strokes.insert(0, Stroke("front", polyline(stairs)))
    return strokes, labels


def _score_scale(scores: Sequence[Interval]) -> Scale | None:
    """Return a scale from 0 to a round number above the highest interval; None where no score is defined."""
    known = [score.value if score.high is None else score.high for score in scores if score.value is not None]
    if not known:
        return None
    return Scale(0.0, min(3.0, max(0.1, max(known) * 1.06)), BOTTOM, TOP)


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """A run over budgets, in text: score and interval at each budget, empty where it has no run."""

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
    best = max((standing.run.number("score").value or 0.0 for standing in run.values()), default=0.0)
    first = next(iter(run.values()))
    return -best, first.entry.id, first.run.prompt


def _score(standing: Standing | None) -> Interval | None:
    return None if standing is None else standing.run.number("score")


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
        CostPoint(_name(s), s.run.usd_per_exam or 0.0, s.run.number("score"), bool(s.pareto), row)
        for row, s in enumerate(known, start=1)
    ]
    rows = tuple(
        CostRow(
            link=s.entry.id,
            name=s.entry.graded.submission.metadata.model,
            prompt=s.run.prompt,
            usd=money_text(s.run.usd_per_exam),
            score=number(s.run.number("score").value),
            interval=interval(s.run.number("score")),
            pareto=bool(s.pareto),
        )
        for s in known
    )
    budget = table.cell.budget
    return CostView(budget, cost_plot(points, budget) if points else None, rows, len(table.standings) - len(known))
