"""Whether two runs change places between budgets: the paired test of the interaction, corrected for multiplicity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from roi_bench.analysis.paired import holm
from roi_bench.analysis.ranking import ComparedPair, FloatArray, RunTerms, mean_terms, paired_lines
from roi_bench.analysis.reports.tables import Interval

LEVEL = 0.05
"""Level of the tests, of all of them together."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """How the difference of two runs, A − B, moves from one budget to a larger one, on the exams that both sat at both.

    Attributes:
        a: Index of run A, the one that is ahead under the smaller budget.
        b: Index of run B.
        low: The smaller budget.
        high: The larger one.
        exams: Number of exams.
        at_low: A − B under the smaller budget, with its 95 % interval.
        at_high: A − B under the larger one.
        change: ``at_high`` − ``at_low``, with its interval.
        adjusted_p: p of the change, adjusted for all pairs and budgets (Holm); None where it is undefined.
        sure_at_low: The difference under the smaller budget is significant, adjusted likewise.
        sure_at_high: The same under the larger one.
    """

    a: int
    b: int
    low: int
    high: int
    exams: int
    at_low: Interval
    at_high: Interval
    change: Interval
    adjusted_p: float | None
    sure_at_low: bool
    sure_at_high: bool

    @property
    def changes(self) -> bool:
        """The difference is not the same under both budgets, significantly."""
        return self.adjusted_p is not None and self.adjusted_p <= LEVEL

    @property
    def reverses(self) -> bool:
        """It changes, and the estimate has another sign: the other run is ahead."""
        return self.changes and (self.at_low.value or 0.0) * (self.at_high.value or 0.0) < 0

    @property
    def is_sure(self) -> bool:
        """It reverses, and each of the two runs is significantly ahead under one of the budgets."""
        return self.reverses and self.sure_at_low and self.sure_at_high


def budget_interactions(runs: Sequence[Mapping[int, RunTerms]]) -> list[Interaction]:
    """Return the interaction of every two runs with every two budgets that both sat, the most certain first.

    With s_A,i(b) the score of run A on exam i under budget b, the interaction of A, B and budgets b < c is the mean of
    (s_A,i(c) − s_A,i(b)) − (s_B,i(c) − s_B,i(b)): the difference of two gains, tested like any paired difference
    (:func:`roi_bench.analysis.ranking.paired_lines`: clustered by re-used problem, t with clusters − 1 degrees of
    freedom). p-values are adjusted for all of them together (Holm 1979), those of the differences under single budgets
    in a family of their own.

    Args:
        runs: The terms of each run's score (:func:`roi_bench.analysis.ranking.mean_terms`), by budget.

    Raises:
        UsageError: An exam in two different clusters.
    """
    rows = []
    for low, high in combinations(sorted({budget for run in runs for budget in run}), 2):
        members = [index for index, run in enumerate(runs) if low in run and high in run]
        pairs = list(combinations(range(len(members)), 2))
        if not pairs:
            continue
        sides = [_on_common(runs[index][low], runs[index][high]) for index in members]
        gains = [
            mean_terms(before.exams, before.clusters, (after.numerators - before.numerators).tolist())
            for before, after in sides
        ]
        found = zip(
            paired_lines([before for before, _ in sides], pairs),
            paired_lines([after for _, after in sides], pairs),
            paired_lines(gains, pairs),
            strict=True,
        )
        rows += [(members, low, high, lines) for lines in found]
    changes = _adjusted([lines[2] for *_, lines in rows])
    at_low, at_high = np.split(_adjusted([lines[side] for side in (0, 1) for *_, lines in rows]), 2)
    interactions = [
        _interaction(*row, change, low <= LEVEL, high <= LEVEL)
        for row, change, low, high in zip(rows, changes.tolist(), at_low.tolist(), at_high.tolist(), strict=True)
    ]
    return sorted(interactions, key=_surest_first)


def _on_common(low: RunTerms, high: RunTerms) -> tuple[RunTerms, RunTerms]:
    """Return the terms of one run under two budgets, both of the same exams in the same order."""
    common = sorted(set(low.exams) & set(high.exams))
    sides = []
    for terms in (low, high):
        place = {exam: index for index, exam in enumerate(terms.exams)}
        chosen = [place[exam] for exam in common]
        clusters = [terms.clusters[index] for index in chosen]
        sides.append(mean_terms(common, clusters, terms.numerators[chosen].tolist()))
    return sides[0], sides[1]


def _adjusted(lines: Sequence[ComparedPair]) -> FloatArray:
    """Return p of each comparison, adjusted for all of them; NaN where it is undefined."""
    found = [np.nan if line.p_value is None else line.p_value for line in lines]
    return holm(np.array(found, dtype=np.float64))


def _interaction(
    members: Sequence[int],
    low: int,
    high: int,
    lines: tuple[ComparedPair, ComparedPair, ComparedPair],
    adjusted: float,
    sure_at_low: bool,
    sure_at_high: bool,
) -> Interaction:
    before, after, change = lines
    ahead = (before.difference.value or 0.0) >= 0
    at_low, at_high, moved = (
        line.difference if ahead else _negative(line.difference) for line in (before, after, change)
    )
    a, b = (before.a, before.b) if ahead else (before.b, before.a)
    return Interaction(
        a=members[a],
        b=members[b],
        low=low,
        high=high,
        exams=before.exams,
        at_low=at_low,
        at_high=at_high,
        change=moved,
        adjusted_p=None if np.isnan(adjusted) else adjusted,
        sure_at_low=sure_at_low,
        sure_at_high=sure_at_high,
    )


def _negative(found: Interval) -> Interval:
    value, low, high = (None if end is None else -end for end in (found.value, found.high, found.low))
    return Interval(value, low, high)


def _surest_first(found: Interaction) -> tuple[bool, bool, float, int, int, int, int]:
    p_value = 2.0 if found.adjusted_p is None else found.adjusted_p
    return not found.is_sure, not found.reverses, p_value, found.a, found.b, found.low, found.high
