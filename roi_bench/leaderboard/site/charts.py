"""Pages of charts: for each exam set and order score against budget, cost, size and date, each beside a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from math import log2, log10
from statistics import median

from roi_bench.analysis.reports.tables import Interval
from roi_bench.exams.exam import ORDERS
from roi_bench.leaderboard.board.board import Board, CellTable, Standing
from roi_bench.leaderboard.board.build import on_front
from roi_bench.leaderboard.site.budgets import runs_by_budget
from roi_bench.leaderboard.site.page import PageFile, interval, money_text, number, render, size_text
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

# Pictures of many runs: score against budget, and score against cost, size and date with the line of best value.

WIDTH, HEIGHT = 480, 330
LEFT, RIGHT, TOP, BOTTOM = 36, 470, 26, 288

NAMED = 8
"""Runs that a picture numbers and colours; the others are grey."""

CROWD = 40
"""Runs from which on the grey ones are drawn fainter."""

DODGE = 0.18
"""Share of the distance between two budgets over which runs of one budget are spread, so that intervals can be told
apart: no more, or a row of runs would look like a curve over tokens."""

LABEL_HEIGHT = 12.0
"""Least distance of two numbers, in units of the picture."""

FAR = 3.0
"""Powers of ten from the median beyond which a cost is off the scale: one absurd value must not hide all others."""


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
class Point:
    """A run by cost, size or date.

    Attributes:
        name: Its name.
        at: Where it stands across: USD per 1,000 exams or parameters, more than 0, or the number of a day.
        score: Its score.
        front: No other run has a score at least as high for less.
        row: Its row in the table beside the picture, from 1.
    """

    name: str
    at: float
    score: Interval
    front: bool
    row: int


def budget_plot(lines: Sequence[BudgetLine], budgets: Sequence[int]) -> Plot | None:
    """Return score against budget of ``lines``, the best first; None where no score is defined.

    Budgets stand on a logarithmic axis. Runs of one budget stand close together in the order of their names, which says
    nothing of their scores.
    """
    scores = [score for one in lines for score in one.scores if score is not None]
    scale = _score_scale(scores)
    if scale is None:
        return None
    values = ticks(0.0, scale.high, 6)
    strokes, labels = left_axis(scale, LEFT, RIGHT, values, [number_text(value) for value in values])
    centres, step = _budget_places(budgets)
    labels += [label(x, BOTTOM + 18, str(budget), "m f") for x, budget in zip(centres, budgets, strict=True)]
    labels.append(label((LEFT + RIGHT) / 2, BOTTOM + 35, "budget, tokens, logarithmic", "m f"))
    labels.append(label(4, TOP - 12, "score", "f"))
    by_name = sorted(range(len(lines)), key=lambda index: (lines[index].name, index))
    apart = min(7.0, DODGE * step / max(1, len(lines) - 1))
    offsets = {index: (place - (len(lines) - 1) / 2) * apart for place, index in enumerate(by_name)}
    ends: list[tuple[int, float, float, int]] = []
    for index in reversed(range(len(lines))):
        places = [x + offsets[index] for x in centres]
        drawn, end = _budget_line(lines[index], places, scale, index)
        strokes += drawn
        ends += [] if end is None or index >= NAMED else [(*end, index)]
    strokes_of_labels, numbers = _numbers(ends, centres, (len(lines) - 1) / 2 * apart)
    return Plot(
        id="budget",
        kind="many crowd" if len(lines) >= CROWD else "many",
        width=WIDTH,
        height=HEIGHT,
        title="Score against budget, with 95 % intervals",
        description="Each run has a dot and an interval at each budget that it sat, joined by a line. Numbers are rows "
        "of the table below, which holds all values.",
        strokes=(*strokes, *strokes_of_labels),
        labels=(*labels, *numbers),
    )


def _budget_places(budgets: Sequence[int]) -> tuple[list[float], float]:
    """Return where budgets stand across, and the least distance of two.

    Logarithmic, unless two would then stand too close together to be read: evenly.
    """
    room = (RIGHT - LEFT) / len(budgets)
    first, last = LEFT + room / 2, RIGHT - room / 2
    if len(budgets) < 2:
        return [(first + last) / 2], room
    across = Scale(log2(budgets[0]), log2(budgets[-1]), first, last)
    found = [across.at(log2(budget)) for budget in budgets]
    step = min(after - before for before, after in pairwise(found))
    if step < 0.4 * room:
        return [first + index * room for index in range(len(budgets))], room
    return found, step


def _budget_line(
    one: BudgetLine, places: Sequence[float], scale: Scale, index: int
) -> tuple[list[Stroke], tuple[int, float, float] | None]:
    """Return the strokes of a run, and its last budget (by index) with the place of its dot there."""
    kind = f"k{index}" if index < NAMED else "other"
    points, bars, end = [], "", None
    for budget, (x, score) in enumerate(zip(places, one.scores, strict=True)):
        if score is None or score.value is None:
            continue
        points.append((x, scale.at(score.value)))
        end = budget, x, scale.at(score.value)
        if score.low is not None and score.high is not None:
            bars += line(x, scale.at(score.low), x, scale.at(score.high))
    if not points:
        return [], None
    strokes = [Stroke(f"{kind} thread", polyline(points))] if len(points) > 1 else []
    strokes += [Stroke(f"{kind} whisker", bars)] if bars else []
    strokes.append(Stroke(f"{kind} mark", "".join(dot(*point) for point in points), one.name))
    return strokes, end


def _numbers(
    ends: Sequence[tuple[int, float, float, int]], centres: Sequence[float], half: float
) -> tuple[list[Stroke], list[Label]]:
    """Return the numbers of runs beside their last dots, none upon another, and the lines that lead to them."""
    strokes, labels = [], []
    for budget, centre in enumerate(centres):
        here = sorted((y, index, x) for last, x, y, index in ends if last == budget)
        for (y, index, x), place in zip(here, _apart([y for y, _, _ in here]), strict=True):
            at = centre + half + 16
            strokes.append(Stroke(f"k{index} lead", line(x + 4, y, at - 3, place)))
            labels.append(label(at, place + 4, str(index + 1)))
    return strokes, labels


def _apart(heights: Sequence[float]) -> list[float]:
    """Return ascending ``heights`` moved so that neighbours are :data:`LABEL_HEIGHT` apart, their mean kept."""
    found: list[float] = []
    for height in heights:
        found.append(max(height, found[-1] + LABEL_HEIGHT) if found else height)
    moved = sum(found) / len(found) - sum(heights) / len(heights) if found else 0.0
    lowest = min(0.0, BOTTOM - (found[-1] - moved)) if found else 0.0
    return [height - moved + lowest for height in found]


@dataclass(frozen=True, slots=True)
class Axis:
    """What runs are shown against.

    Attributes:
        name: What it is, ``cost``.
        title: What stands below the axis.
        place: Returns the place of a value on a linear axis.
        marks: Returns values that bear a number, between two ends.
        text: Returns what a number says.
        column: Heading of the column of its values in the table.
        best: What the runs on the line have in common.
    """

    name: str
    title: str
    place: Callable[[float], float]
    marks: Callable[[float, float], Sequence[float]]
    text: Callable[[float], str]
    best: str


def _days(low: float, high: float) -> list[float]:
    """Return days between two: first days of up to six months or quarters or years, the two ends if there are none."""
    first, last = date.fromordinal(int(low)), date.fromordinal(int(high))
    months = [date(year, month, 1).toordinal() for year in range(first.year, last.year + 1) for month in range(1, 13)]
    inside = [float(day) for day in months if low <= day <= high]
    for every in (1, 3, 12, 60):
        found = [day for day in inside if (date.fromordinal(int(day)).month - 1) % min(every, 12) == 0]
        found = found if every <= 12 else [day for day in found if date.fromordinal(int(day)).year % 5 == 0]
        if len(found) <= 6:
            return found or [low]
    return found[:: len(found) // 6 + 1]


COST = Axis("cost", "USD per 1,000 exams, logarithmic", log10, log_ticks, money_text, "none is better for less")
SIZE = Axis(
    "size",
    "parameters, logarithmic",
    log10,
    log_ticks,
    lambda value: size_text(round(value)),
    "none smaller is as good",
)
DATE = Axis(
    "date",
    "day of the run, as submitted",
    float,
    _days,
    lambda value: date.fromordinal(int(value)).isoformat(),
    "none was as good before",
)


def point_plot(points: Sequence[Point], axis: Axis, budget: int) -> Plot | None:
    """Return score against what ``axis`` says, with the line of best value; None where no score is defined.

    Costs and sizes that are absurdly far from the others stand at the edge.
    """
    scale = _score_scale([point.score for point in points])
    if scale is None:
        return None
    far = far_rows(points, axis)
    inside = [point.at for point in points if point.row not in far]
    low, high = axis.place(min(inside)), axis.place(max(inside))
    room = 0.15 if axis is not DATE else 1.0
    across = Scale(low - max(room, 0.04 * (high - low)), high + max(room, 0.04 * (high - low)), LEFT, RIGHT)
    values = ticks(0.0, scale.high, 6)
    strokes, labels = left_axis(scale, LEFT, RIGHT, values, [number_text(value) for value in values])
    ends = (across.low, across.high) if axis is DATE else (10**across.low, 10**across.high)
    labels += [
        label(min(max(across.at(axis.place(value)), LEFT + 22), RIGHT - 22), BOTTOM + 18, axis.text(value), "m f")
        for value in axis.marks(*ends)
    ]
    labels += [label((LEFT + RIGHT) / 2, BOTTOM + 35, axis.title, "m f"), label(4, TOP - 12, "score", "f")]
    drawn, numbers = _points(points, axis, across, scale, far)
    return Plot(
        id=f"{axis.name}-{budget}",
        kind="many cost",
        width=WIDTH,
        height=HEIGHT,
        title=f"Score against {axis.name} at {budget} tokens, with 95 % intervals",
        description=f"Each run is a dot with an interval. The line joins the runs of which {axis.best}; "
        "they are numbered by their rows in the table below, which holds all values.",
        strokes=(*strokes, *drawn),
        labels=(*labels, *numbers),
    )


def far_rows(points: Sequence[Point], axis: Axis) -> frozenset[int]:
    """Return the rows of the points that are off the scale: more than :data:`FAR` powers of ten from the median."""
    if axis is DATE or not points:
        return frozenset()
    middle = median(log10(point.at) for point in points)
    return frozenset(point.row for point in points if abs(log10(point.at) - middle) > FAR)


def _points(
    points: Sequence[Point], axis: Axis, across: Scale, scale: Scale, far: frozenset[int]
) -> tuple[list[Stroke], list[Label]]:
    strokes: list[Stroke] = []
    labels: list[Label] = []
    front = sorted((point for point in points if point.front), key=lambda point: point.at)
    stairs: list[tuple[float, float]] = []
    for point in front:
        x, y = across.at(axis.place(point.at)), scale.at(point.score.value or 0.0)
        stairs += [(x, stairs[-1][1]), (x, y)] if stairs else [(x, y)]
    for point in sorted(points, key=lambda point: point.front):
        if point.score.value is None:
            continue
        x, y = across.at(axis.place(point.at)), scale.at(point.score.value)
        kind = "k0" if point.front else "other"
        if point.score.low is not None and point.score.high is not None:
            bar = line(x, scale.at(point.score.low), x, scale.at(point.score.high))
            strokes.append(Stroke(f"{kind} whisker", bar))
        strokes.append(Stroke(f"{kind} mark{' far' if point.row in far else ''}", dot(x, y), point.name))
        if point.front:
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
class PointRow:
    """A run by cost, size and date, in text; ``best``: names of the pictures on whose line it is."""

    link: str
    name: str
    prompt: str
    usd: str
    size: str
    date: str
    score: str
    interval: str
    best: str


@dataclass(frozen=True, slots=True)
class PointsView:
    """Score against cost, size and date under one budget: pictures with what is left out of each, and their table."""

    budget: int
    plots: tuple[tuple[Plot, str], ...]
    rows: tuple[PointRow, ...]


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
    for table in sorted(board.cells, key=lambda table: (table.cell.set_title, ORDERS.index(table.cell.order))):
        groups.setdefault(chart_slug(table), []).append(table)
    links = tuple(_link(slug, tables) for slug, tables in groups.items())
    yield render("charts.html", "charts/index.html", {"board": board, "links": links})
    several = runs_by_budget(board)
    for slug, tables in groups.items():
        yield _chart_page(board, slug, sorted(tables, key=lambda table: table.cell.budget), slug in several)


def _link(slug: str, tables: Sequence[CellTable]) -> ChartLink:
    runs = {(s.entry.id, s.run.prompt) for table in tables for s in table.standings}
    return ChartLink(slug, _title(tables), tuple(sorted(table.cell.budget for table in tables)), len(runs))


def _title(tables: Sequence[CellTable]) -> str:
    return f"{tables[0].cell.set_title} {tables[0].cell.order}"


def _chart_page(board: Board, slug: str, tables: Sequence[CellTable], several: bool) -> PageFile:
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
            "views": [_points_view(table) for table in tables if table.standings],
            "cells": [table.cell for table in tables],
            "budget_page": f"budgets/{slug}.html" if several else None,
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


def _points_view(table: CellTable) -> PointsView:
    standings = table.standings
    plots: list[tuple[Plot, str]] = []
    on_line: dict[int, list[str]] = {row: [] for row in range(1, len(standings) + 1)}
    for axis in (COST, SIZE, DATE):
        known = [(row, s, at) for row, s in enumerate(standings, start=1) if (at := _at(s, axis)) is not None]
        if len({at for *_, at in known}) < (1 if axis is COST else 2):
            continue  # nothing to see
        best = on_front([(at, s.run.number("score").value) for _, s, at in known])
        points = [
            Point(_name(s), at, s.run.number("score"), bool(front), row)
            for (row, s, at), front in zip(known, best, strict=True)
        ]
        for point in points:
            on_line[point.row] += [axis.name] if point.front else []
        plot = point_plot(points, axis, table.cell.budget)
        if plot is not None:
            plots.append((plot, _left_out(points, axis, len(standings))))
    rows = tuple(_point_row(standing, ", ".join(on_line[row])) for row, standing in enumerate(standings, start=1))
    return PointsView(table.cell.budget, tuple(plots), rows)


def _left_out(points: Sequence[Point], axis: Axis, runs: int) -> str:
    """Return the caption of a picture."""
    said = f"Score against {axis.name}. The line joins the runs of which {axis.best}."
    if unknown := runs - len(points):
        said += f" {unknown} without a known {axis.name} {'is' if unknown == 1 else 'are'} left out."
    if far := len(far_rows(points, axis)):
        said += f" {far} far off the scale {'stands' if far == 1 else 'stand'} at its edge."
    return said


def _at(standing: Standing, axis: Axis) -> float | None:
    """Return where a run stands on ``axis``; None where that is unknown. A cost of 0 is none that could be compared."""
    said = standing.entry.graded.submission.metadata
    if axis is COST:
        return 1000 * standing.run.usd_per_exam if standing.run.usd_per_exam else None
    if axis is SIZE:
        return float(said.parameters) if said.parameters else None
    return float(date.fromisoformat(said.date).toordinal())


def _point_row(standing: Standing, best: str) -> PointRow:
    said, usd = standing.entry.graded.submission.metadata, standing.run.usd_per_exam
    return PointRow(
        link=standing.entry.id,
        name=said.model,
        prompt=standing.run.prompt,
        usd=money_text(None if usd is None else 1000 * usd),
        size=size_text(said.parameters),
        date=said.date,
        score=number(standing.run.number("score").value),
        interval=interval(standing.run.number("score")),
        best=best,
    )
