"""Pictures of many runs: score against budget, and score against cost with the line of best value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

from roi_bench.leaderboard.graded import Number
from roi_bench.leaderboard.plots import (
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
from roi_bench.leaderboard.run_texts import money_text

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
        scores: Its score at each budget, None where it did not sit.
    """

    name: str
    scores: tuple[Number | None, ...]


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
    score: Number
    pareto: bool
    row: int


def budget_plot(lines: Sequence[BudgetLine], budgets: Sequence[int]) -> Plot | None:
    """Return score against budget of ``lines``, the best first; None where no score is defined.

    Runs of one budget stand beside one another, so that their intervals can be told apart.
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


def _score_scale(scores: Sequence[Number]) -> Scale | None:
    """Return a scale from 0 to a round number above the highest interval; None where no score is defined."""
    known = [score.value if score.high is None else score.high for score in scores if score.value is not None]
    if not known:
        return None
    return Scale(0.0, min(3.0, max(0.1, max(known) * 1.06)), BOTTOM, TOP)
