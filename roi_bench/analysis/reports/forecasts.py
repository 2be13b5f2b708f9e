"""How well a model forecasts levels and skips: accuracy of forecasts, false and missed skips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from roi_bench.analysis.profile import SoloWithin
from roi_bench.analysis.reports.tables import Cell, Column, Interval, Table
from roi_bench.analysis.reports.views import (
    AskedOrder,
    Clusters,
    Scored,
    asked_orders,
    interval_note,
    left_out_note,
    ratio,
    usable,
)
from roi_bench.exams.exam import TIERS
from roi_bench.scoring.metrics import Part, Sample
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING

# Forecasts: the level that a model predicted for a problem against its actual level.

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
    """Return the level of the tokens spent on an attempt; for a skipped problem the level by ``solo``, or None."""
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
    asked_orders(order)
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
    asked_orders(order)
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


# Does a model skip problems that it could not have solved? Precision and recall of skips against a solo profile.

SOLVABLE = 0.5
"""Share of solo samples within the budget from which on a problem "could have been solved", in the plain version."""

_NOTHING = Interval(None, None, None)


@dataclass(frozen=True, slots=True)
class SkipSkill:
    """Skips in one order of the exams.

    With pᵢ the share of solo samples of problem i that are right within the budget: precision is the mean of 1 − pᵢ
    over skipped problems, recall is Σ (1 − pᵢ) over skipped problems / Σ (1 − pᵢ) over all. The plain versions count
    a problem as unsolvable (1) or solvable (0) in place of 1 − pᵢ.

    Attributes:
        order: Order of the exams.
        tier: Tier of the problems; None for all.
        problems: Number of problems.
        skipped: Number of them that were skipped.
        unknown: Number of them without solo samples; they are left out of precision and recall.
        skip_rate: skipped / problems, 0–1.
        base: Mean of 1 − pᵢ over all problems, 0–1: the precision of skipping at random; None without a profile.
        precision: 0–1; None where nothing was skipped, or without a profile.
        recall: 0–1; None where nothing was beyond the model, or without a profile.
        plain_precision: Share of skipped problems that could not have been solved.
        plain_recall: Share of problems that could not have been solved that were skipped.
    """

    order: str
    tier: str | None
    problems: int
    skipped: int
    unknown: int
    skip_rate: Interval
    base: Interval
    precision: Interval
    recall: Interval
    plain_precision: Interval
    plain_recall: Interval


def skip_skills(
    scored: Scored, order: str, clusters: Clusters | None = None, solo: SoloWithin | None = None
) -> list[SkipSkill]:
    """Return the skips of each tier and of all together, in the task's ``order`` and in easy order.

    Raises:
        UsageError: An unknown order, or an exam without cluster.
    """
    return [_skill(scored, asked, tier, clusters, solo) for asked in asked_orders(order) for tier in (*TIERS, None)]


def skip_table(scored: Scored, order: str, clusters: Clusters | None = None, solo: SoloWithin | None = None) -> Table:
    """Return :func:`skip_skills` as a table; without a profile only the skip rates."""
    found = skip_skills(scored, order, clusters, solo)
    columns = [Column("order"), Column("tier"), Column("problems"), Column("skipped"), Column("skip rate")]
    note = "Skip rate: share of problems answered NA, 0–1."
    rows: list[tuple[Cell, ...]] = [
        (item.order, item.tier or "all", item.problems, item.skipped, item.skip_rate) for item in found
    ]
    if solo is not None:
        columns += map(
            Column, ("no solo samples", "mean 1 − p", "precision", "recall", "plain precision", "plain recall")
        )
        rows = [
            (*row, item.unknown, item.base, item.precision, item.recall, item.plain_precision, item.plain_recall)
            for row, item in zip(rows, found, strict=True)
        ]
        note += (
            " p: share of a problem's solo samples right within the budget; mean 1 − p: over all problems. "
            "Precision: mean over skipped ones. Recall: Σ (1 − p) over skipped / over all problems. Plain: unsolvable "
            f"or not (p below {SOLVABLE}) in place of 1 − p."
        )
    return Table(
        name="skipping",
        title="Skipped problems",
        columns=tuple(columns),
        rows=tuple(rows),
        note=f"{note} {interval_note(clusters)}{left_out_note(scored)}",
    )


def _skill(
    scored: Scored, asked: AskedOrder, tier: str | None, clusters: Clusters | None, solo: SoloWithin | None
) -> SkipSkill:
    def meant(sample: Sample) -> list[ProblemOutcome]:
        return [p for p in asked.response(sample).problems if tier in (None, p.tier)]

    def share(sample: Sample) -> Part | None:
        found = meant(sample)
        return (float(sum(_skipped(p) for p in found)), float(len(found))) if found else None

    problems = [problem for _, sample in usable(scored) for problem in meant(sample)]
    soft = plain = (_NOTHING, _NOTHING, _NOTHING)
    unknown = 0
    if solo is not None:
        rates = {p.problem_id: solo.solve_rate(p.problem_id) for p in problems}
        known = {name: rate for name, rate in rates.items() if rate is not None}
        unknown = sum(problem.problem_id not in known for problem in problems)
        soft = _judged(scored, meant, {name: 1 - rate for name, rate in known.items()}, clusters)
        unsolvable = {name: float(rate < SOLVABLE) for name, rate in known.items()}
        plain = _judged(scored, meant, unsolvable, clusters)
    return SkipSkill(
        order=asked.order,
        tier=tier,
        problems=len(problems),
        skipped=sum(map(_skipped, problems)),
        unknown=unknown,
        skip_rate=ratio(scored, share, clusters),
        base=soft[0],
        precision=soft[1],
        recall=soft[2],
        plain_precision=plain[1],
        plain_recall=plain[2],
    )


def _skipped(problem: ProblemOutcome) -> bool:
    return problem.outcome == "skipped"


def _judged(
    scored: Scored,
    meant: Callable[[Sample], Sequence[ProblemOutcome]],
    beyond: Mapping[str, float],
    clusters: Clusters | None,
) -> tuple[Interval, Interval, Interval]:
    """Return base rate, precision and recall; ``beyond`` gives how far each problem is beyond the model, 0–1."""

    def sums(sample: Sample) -> tuple[float, float, float, float]:
        known = [problem for problem in meant(sample) if problem.problem_id in beyond]
        skipped = [beyond[problem.problem_id] for problem in known if _skipped(problem)]
        whole = [beyond[problem.problem_id] for problem in known]
        return sum(skipped), float(len(skipped)), sum(whole), float(len(whole))

    def of(numerator: int, denominator: int) -> Interval:
        def part(sample: Sample) -> Part | None:
            found = sums(sample)
            # An exam without weight says nothing: counted as one, it would make the interval too narrow.
            return (found[numerator], found[denominator]) if found[denominator] else None

        return ratio(scored, part, clusters)

    return of(2, 3), of(0, 1), of(0, 2)
