"""The pictures of a report and of an allocation, made of what their tables show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from roi_bench.analysis.allocation_tables import curve_bands, curve_means, profile_title
from roi_bench.analysis.efficiency import Efficiency, ValueCurves
from roi_bench.analysis.figures import (
    Curve,
    Point,
    PositionBars,
    RunScores,
    accuracy_by_position,
    budget_sweep,
    level_confusion,
    scores_of_runs,
    tokens_by_position_and_tier,
)
from roi_bench.analysis.level_views import level_forecast
from roi_bench.analysis.position_views import accuracies_by_position
from roi_bench.analysis.profile import Profile
from roi_bench.analysis.profiled_runs import ProfiledRuns
from roi_bench.analysis.report import Allocation, solo_within
from roi_bench.analysis.runs import ScoredRun
from roi_bench.analysis.score_tables import cells_of, interval_of
from roi_bench.analysis.tables import Interval
from roi_bench.analysis.token_views import tokens_by_position_and_tier as token_summaries

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTERVALS = {
    "general": "95 % intervals, for such problems in general",
    "fixed": "95 % intervals, on these very exams",
}
"""What error bars are about, by target."""

SWEEP_POINTS = 65
"""Budgets at which the curves of a sweep are drawn."""

BANDED = "best policy (V_DP)"
"""The curve that gets a band."""


def sweep_figure(
    profile: Profile, curves: ValueCurves, found: Sequence[tuple[str, Efficiency]], target: str = "general"
) -> Figure:
    """Return score against budget in one order: what the profile is worth, and what runs really scored.

    Args:
        profile: The solo profile.
        curves: Its values in the order.
        found: Runs with their names; those in another order are left out.
        target: What intervals are about.
    """
    budgets = np.unique(np.linspace(0, curves.budget, SWEEP_POINTS).round().astype(int))
    bands = curve_bands(curves, [int(budget) for budget in budgets], target)
    drawn = []
    for name, values in curve_means(curves).items():
        x, y = [float(budget) for budget in budgets], [float(values[budget]) for budget in budgets]
        if name == BANDED:
            low = [_end(bands[int(budget)].low, level) for budget, level in zip(budgets, y, strict=True)]
            high = [_end(bands[int(budget)].high, level) for budget, level in zip(budgets, y, strict=True)]
            drawn.append(Curve(name, x, y, low, high))
        else:
            drawn.append(Curve(name, x, y))
    points = [
        Point(f"scored: {name}", float(item.budget), interval_of(item.score, target))
        for name, item in found
        if item.order == curves.order
    ]
    return budget_sweep(
        drawn,
        points,
        f"Score against budget, {curves.order} order: {profile_title(profile, len(curves.exams))}",
        INTERVALS[target],
    )


def _end(bound: float | None, value: float) -> float:
    """Return an end of a band, within the possible scores; the curve itself where there is none."""
    return value if bound is None else min(3.0, max(0.0, bound))


def report_figures(
    runs: Sequence[ScoredRun],
    matched: Sequence[ProfiledRuns] = (),
    allocated: Sequence[Allocation] = (),
    target: str = "general",
) -> dict[str, Figure]:
    """Return the pictures of a report by name (of their files).

    For what each cell sat: scores and regrets, accuracy by position; for each run: tokens, and forecasts where there
    are any; for each profile and order: the sweep over budgets.
    """
    figures: dict[str, Figure] = {}
    solo = solo_within(matched)
    for cell, members in cells_of(runs).items():
        figures[f"scores_{_slug(cell.slug)}"] = scores_of_runs(
            [_scores(run, target) for run in members], f"Score and regret: {cell.title}", INTERVALS[target]
        )
        figures[f"accuracy_by_position_{_slug(cell.slug)}"] = accuracy_by_position(
            [_positions(run, target) for run in members], f"Accuracy by position: {cell.title}", INTERVALS[target]
        )
    taken: set[str] = set()
    for run in runs:
        name = _unused(f"{_slug(run.cell.slug)}_{_slug(run.name)}", taken)
        title = f"{run.name}, {run.cell.title}"
        summaries = token_summaries(run.scored, run.cell.order)
        if any(summary.quantiles for summary in summaries):
            figures[f"tokens_{name}"] = tokens_by_position_and_tier(
                summaries, f"Tokens spent on attempted problems: {title}"
            )
        counts = level_forecast(run.scored, solo=solo.get(run.key)).counts
        if any(map(sum, counts)):
            figures[f"levels_{name}"] = level_confusion(counts, f"Forecast and actual levels: {title}")
    for number, allocation in enumerate(allocated, start=1):
        which = f"_{number}" if len(allocated) > 1 else ""
        for order, curves in allocation.curves.items():
            figures[f"budget_sweep{which}_{order}"] = sweep_figure(allocation.profile, curves, allocation.found, target)
    return figures


def _scores(run: ScoredRun, target: str) -> RunScores:
    found = run.estimates()
    return RunScores(run.name, interval_of(found["score"], target), interval_of(found["regret"], target))


def _positions(run: ScoredRun, target: str) -> PositionBars:
    order, clusters = run.cell.order, run.clusters if target == "general" else None
    found: list[Interval] = [
        item.accuracy for item in accuracies_by_position(run.scored, order, clusters) if item.order == order
    ]
    return PositionBars(run.name, found)


def _unused(name: str, taken: set[str]) -> str:
    """Return ``name``, numbered if it is taken: names of models may differ only in letters that files leave out."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    taken.add(found)
    return found


def _slug(text: str) -> str:
    """Return ``text`` as part of a file's name: letters, digits and single underscores."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in text.lower())
    return "_".join(part for part in kept.split("_") if part)
