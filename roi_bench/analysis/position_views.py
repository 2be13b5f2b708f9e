"""Accuracy by position in the exam, and by tier and position together.

In a sorted order tier and position are the same thing; the two orders of the same exams side by side tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from roi_bench.analysis.tables import Cell, Column, Interval, Table
from roi_bench.analysis.views import (
    Clusters,
    Scored,
    Side,
    interval_note,
    left_out_note,
    positions,
    ratio,
    sides,
    usable,
)
from roi_bench.exams.exam import TIERS
from roi_bench.scoring.metrics import Part, Sample
from roi_bench.scoring.outcomes import ProblemOutcome


@dataclass(frozen=True, slots=True)
class PositionAccuracy:
    """Accuracy at one position of the exams.

    Attributes:
        order: Order of the exams.
        tier: Tier of the problems; None for all tiers together.
        position: 1-based position.
        exams: Number of exams with such a problem there.
        problems: Number of such problems: exams × samples, failed ones left out.
        accuracy: Share of them answered right, 0–1.
    """

    order: str
    tier: str | None
    position: int
    exams: int
    problems: int
    accuracy: Interval


def accuracies_by_position(scored: Scored, order: str, clusters: Clusters | None = None) -> list[PositionAccuracy]:
    """Return the accuracy at each position, in the task's ``order`` and in easy order.

    Raises:
        UsageError: An unknown order, or an exam without cluster.
    """
    return [
        _accuracy(scored, side, None, position, clusters) for side in sides(order) for position in positions(scored)
    ]


def accuracies_by_tier_and_position(
    scored: Scored, order: str, clusters: Clusters | None = None
) -> list[PositionAccuracy]:
    """Return the accuracy of each tier at each position where it occurs, in the task's ``order`` and in easy order.

    Raises:
        UsageError: An unknown order, or an exam without cluster.
    """
    found = [
        _accuracy(scored, side, tier, position, clusters)
        for side in sides(order)
        for tier in TIERS
        for position in positions(scored)
    ]
    return [accuracy for accuracy in found if accuracy.problems]


def position_table(scored: Scored, order: str, clusters: Clusters | None = None) -> Table:
    """Return :func:`accuracies_by_position` as a table."""
    rows: list[tuple[Cell, ...]] = [
        (found.order, found.position, found.exams, found.problems, found.accuracy)
        for found in accuracies_by_position(scored, order, clusters)
    ]
    return Table(
        name="accuracy_by_position",
        title="Accuracy by position",
        columns=(Column("order"), Column("position"), Column("exams"), Column("problems"), Column("accuracy")),
        rows=tuple(rows),
        note="Share of problems answered right at each position, 0–1, in both orders of the same exams. "
        f"{interval_note(clusters)}{left_out_note(scored)}",
    )


def tier_position_table(scored: Scored, order: str, clusters: Clusters | None = None) -> Table:
    """Return :func:`accuracies_by_tier_and_position` as a table."""
    rows: list[tuple[Cell, ...]] = [
        (found.order, found.tier, found.position, found.exams, found.problems, found.accuracy)
        for found in accuracies_by_tier_and_position(scored, order, clusters)
    ]
    heads = ("order", "tier", "position", "exams", "problems", "accuracy")
    return Table(
        name="accuracy_by_tier_and_position",
        title="Accuracy by tier and position",
        columns=tuple(map(Column, heads)),
        rows=tuple(rows),
        note="Share of problems answered right, 0–1; the same problems at another place in the other order. "
        f"{interval_note(clusters)}{left_out_note(scored)}",
    )


def _accuracy(
    scored: Scored, side: Side, tier: str | None, position: int, clusters: Clusters | None
) -> PositionAccuracy:
    def meant(sample: Sample) -> list[ProblemOutcome]:
        outcomes = side.response(sample).problems
        return [p for p in outcomes if p.position == position and tier in (None, p.tier)]

    def part(sample: Sample) -> Part | None:
        found = meant(sample)
        return (float(sum(p.outcome == "correct" for p in found)), float(len(found))) if found else None

    exams = [exam for exam, sample in usable(scored) if meant(sample)]
    return PositionAccuracy(
        order=side.order,
        tier=tier,
        position=position,
        exams=len(set(exams)),
        problems=len(exams),
        accuracy=ratio(scored, part, clusters),
    )
