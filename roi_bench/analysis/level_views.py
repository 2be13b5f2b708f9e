"""Forecast against fact: which level a model predicted for a problem, and which level it turned out to have."""

from __future__ import annotations

from dataclasses import dataclass

from roi_bench.analysis.solo_skill import SoloWithin
from roi_bench.analysis.tables import Cell, Column, Interval, Table
from roi_bench.analysis.views import Clusters, Scored, interval_note, left_out_note, ratio, sides, usable
from roi_bench.scoring.metrics import Part, Sample
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING

LEVELS = tuple(range(NOT_WORTH_ATTEMPTING + 1))
"""Level-0 to Level-3."""


@dataclass(frozen=True, slots=True)
class LevelForecast:
    """Predicted against actual levels, in the task's own order.

    Attributes:
        counts: Problems by predicted level (4 rows) and actual level (5 columns: Level-0 to Level-3, and skipped
            ones whose level is unknown).
        not_begun: Problems with a forecast but neither skipped nor with known tokens spent on them; not in ``counts``.
        without_forecast: Problems without a forecast; not in ``counts``.
        accuracy: Share of the forecasts with known actual level that are right, 0–1; without a solo profile the same as
            the metric ``level_acc``.
        error: Mean |predicted − actual| over the same forecasts, 0–3; without a profile the metric ``level_mae``.
    """

    counts: tuple[tuple[int, ...], ...]
    not_begun: int
    without_forecast: int
    accuracy: Interval
    error: Interval

    @property
    def known(self) -> int:
        """Number of forecasts whose actual level is known."""
        return sum(sum(row[: len(LEVELS)]) for row in self.counts)


def actual_level(problem: ProblemOutcome, solo: SoloWithin | None = None) -> int | None:
    """Return the level of the tokens spent on an attempt; of a skipped problem what ``solo`` says, or None."""
    if problem.outcome == "skipped":
        return None if solo is None else solo.level(problem.problem_id, problem.pool)
    return problem.actual_level


def level_forecast(scored: Scored, clusters: Clusters | None = None, solo: SoloWithin | None = None) -> LevelForecast:
    """Return how well levels were predicted; with ``solo`` skipped problems have an actual level as well.

    Raises:
        UsageError: An exam without cluster.
    """
    counts = [[0] * (len(LEVELS) + 1) for _ in LEVELS]
    not_begun = without_forecast = 0
    for _, sample in usable(scored):
        for problem in sample.main.problems:
            actual = actual_level(problem, solo)
            if problem.level is None:
                without_forecast += 1
            elif actual is None and problem.outcome != "skipped":
                not_begun += 1
            else:
                counts[problem.level][len(LEVELS) if actual is None else actual] += 1

    def pairs(sample: Sample) -> list[tuple[int, int]]:
        found = [(problem.level, actual_level(problem, solo)) for problem in sample.main.problems]
        return [(level, actual) for level, actual in found if level is not None and actual is not None]

    def right(sample: Sample) -> Part | None:
        found = pairs(sample)
        return (float(sum(level == actual for level, actual in found)), float(len(found))) if found else None

    def distance(sample: Sample) -> Part | None:
        found = pairs(sample)
        return (float(sum(abs(level - actual) for level, actual in found)), float(len(found))) if found else None

    return LevelForecast(
        counts=tuple(tuple(row) for row in counts),
        not_begun=not_begun,
        without_forecast=without_forecast,
        accuracy=ratio(scored, right, clusters),
        error=ratio(scored, distance, clusters, (0.0, float(NOT_WORTH_ATTEMPTING))),
    )


def confusion_table(scored: Scored, order: str, solo: SoloWithin | None = None) -> Table:
    """Return predicted against actual levels as a table of counts.

    Raises:
        UsageError: An unknown order.
    """
    sides(order)
    forecast = level_forecast(scored, solo=solo)
    rows: list[tuple[Cell, ...]] = [
        (f"Level-{level}", *row, sum(row)) for level, row in zip(LEVELS, forecast.counts, strict=True)
    ]
    heads = ("predicted", *(f"actual {level}" for level in LEVELS), "skipped, unknown", "all")
    return Table(
        name="level_confusion",
        title="Predicted against actual levels",
        columns=tuple(map(Column, heads)),
        rows=tuple(rows),
        note="Number of problems with a forecast, in the task's order. Actual level: of the tokens spent; of a skipped "
        f"problem, of its cost alone where a solo profile tells it.{left_out_note(scored)}",
    )


def level_table(scored: Scored, order: str, clusters: Clusters | None = None, solo: SoloWithin | None = None) -> Table:
    """Return accuracy and mean absolute error of the forecasts, of attempts alone and with skips where these are known.

    Raises:
        UsageError: An unknown order, or an exam without cluster.
    """
    sides(order)
    found = {"attempted problems": level_forecast(scored, clusters)}
    if solo is not None:
        found["attempted and skipped problems"] = level_forecast(scored, clusters, solo)
    rows: list[tuple[Cell, ...]] = [
        (of, item.known, item.accuracy, item.error, item.not_begun, item.without_forecast) for of, item in found.items()
    ]
    return Table(
        name="level_forecast",
        title="Level forecasts",
        columns=tuple(
            map(Column, ("of", "forecasts", "accuracy", "mean absolute error", "not begun", "without forecast"))
        ),
        rows=tuple(rows),
        note="Forecasts in the task's order whose actual level is known. Accuracy: share of right levels, 0–1. "
        "Error: in levels, 0–3. Left out: problems not begun, or whose tokens are unknown, and those without forecast. "
        f"{interval_note(clusters)}{left_out_note(scored)}",
    )
