"""Does a model skip what it could not have solved anyway? Precision and recall of skips against a solo profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from roi_bench.analysis.solo_skill import SoloWithin
from roi_bench.analysis.tables import Cell, Column, Interval, Table
from roi_bench.analysis.views import (
    Clusters,
    Scored,
    Side,
    interval_note,
    left_out_note,
    ratio,
    sides,
    usable,
)
from roi_bench.exams.exam import TIERS
from roi_bench.scoring.metrics import Part, Sample
from roi_bench.scoring.outcomes import ProblemOutcome

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
    return [_skill(scored, side, tier, clusters, solo) for side in sides(order) for tier in (*TIERS, None)]


def skip_table(scored: Scored, order: str, clusters: Clusters | None = None, solo: SoloWithin | None = None) -> Table:
    """Return :func:`skip_skills` as a table; without a profile only how often was skipped."""
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
    scored: Scored, side: Side, tier: str | None, clusters: Clusters | None, solo: SoloWithin | None
) -> SkipSkill:
    def meant(sample: Sample) -> list[ProblemOutcome]:
        return [p for p in side.response(sample).problems if tier in (None, p.tier)]

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
        order=side.order,
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
    """Return base rate, precision and recall, where ``beyond`` tells how far each problem is beyond the model, 0–1."""

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
