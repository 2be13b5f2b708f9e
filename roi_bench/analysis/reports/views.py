"""Views of a run by position and by tokens, and the helpers of all views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roi_bench.analysis.reports.tables import Cell, Column, Interval, Table, interval_around
from roi_bench.errors import UsageError, nearest
from roi_bench.exams.exam import ORDERS, TIERS
from roi_bench.scoring.metrics import Metric, Part, Sample, ScoredResponse, exam_term
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.statistics import confidence_interval, estimate_ratio

# Helpers of all views of one run: its samples in two orders, ratios with intervals, notes on omitted samples.

Scored = Mapping[str, Sequence[Sample]]
"""The scored samples of a run by exam id."""

Clusters = Mapping[str, str]
"""Cluster of each exam by exam id: intervals are for the general target; without one they are for the fixed pool."""


@dataclass(frozen=True, slots=True)
class AskedOrder:
    """One of the orders in which a run asked its exams, and how to get a sample's response in it."""

    order: str
    response: Callable[[Sample], ScoredResponse]


def asked_orders(order: str) -> tuple[AskedOrder, ...]:
    """Return the task's own ``order`` and the easy one beside it.

    Raises:
        UsageError: An unknown order.
    """
    if order not in ORDERS:
        raise UsageError(f"unknown order {order!r}; {nearest(order, ORDERS)}")
    easy = AskedOrder("easy", lambda sample: sample.easy)
    return (easy,) if order == "easy" else (AskedOrder(order, lambda sample: sample.main), easy)


def usable(scored: Scored) -> Iterator[tuple[str, Sample]]:
    """Yield exam id and sample of all samples with both responses, by exam id; failed samples are left out."""
    for exam in sorted(scored):
        for sample in scored[exam]:
            if not sample.failed:
                yield exam, sample


def positions(scored: Scored) -> range:
    """Return the 1-based positions of the exams."""
    return range(1, 1 + max((len(sample.main.problems) for _, sample in usable(scored)), default=0))


def is_attempt(problem: ProblemOutcome) -> bool:
    """Return whether a problem was worked on and its tokens are known; one that was never reached was not."""
    return problem.outcome != "skipped" and problem.actual_level is not None and problem.tokens is not None


def cluster_of(exam: str, clusters: Clusters | None) -> str:
    """Return the cluster of ``exam``: its own id where there are no ``clusters``.

    Raises:
        UsageError: ``clusters`` lacks it.
    """
    if clusters is None:
        return exam
    if exam not in clusters:
        raise UsageError(f"no cluster is given for exam {exam!r}")
    return clusters[exam]


def ratio(
    scored: Scored,
    part: Callable[[Sample], Part | None],
    clusters: Clusters | None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Interval:
    """Return Σ numerator / Σ denominator over exams (means over the samples of each) with its 95 % t interval.

    The interval (:func:`scoring.statistics.confidence_interval`) is cut to ``bounds``, the possible values. There is
    none below two clusters, and none where nothing varied (:func:`roi_bench.analysis.reports.tables.interval_around`).
    """
    metric = Metric("", part, None, "")
    terms = [exam_term(metric, scored[exam], cluster_of(exam, clusters)) for exam in sorted(scored)]
    estimate = estimate_ratio([term for term in terms if term is not None])
    return interval_around(estimate.value, confidence_interval(estimate), bounds)


def interval_note(clusters: Clusters | None) -> str:
    """Return the sentence that names the target of the intervals."""
    if clusters is None:
        return "Intervals: 95 %, on these very exams (exams independent)."
    return "Intervals: 95 %, for new problems (clustered by re-used problem)."


def left_out_note(scored: Scored) -> str:
    """Return a sentence on failed samples with a space before it, or nothing where there are none."""
    failed = any(sample.failed for samples in scored.values() for sample in samples)
    return " Samples without a response are left out." if failed else ""


# Accuracy by position in the exam, and by tier and position together.
#
# In a sorted order tier and position are the same; the two orders of the same exams together separate them.


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
        _accuracy(scored, asked, None, position, clusters)
        for asked in asked_orders(order)
        for position in positions(scored)
    ]


def accuracies_by_tier_and_position(
    scored: Scored, order: str, clusters: Clusters | None = None
) -> list[PositionAccuracy]:
    """Return the accuracy of each tier at each position where it occurs, in the task's ``order`` and in easy order.

    Raises:
        UsageError: An unknown order, or an exam without cluster.
    """
    found = [
        _accuracy(scored, asked, tier, position, clusters)
        for asked in asked_orders(order)
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
    scored: Scored, asked: AskedOrder, tier: str | None, position: int, clusters: Clusters | None
) -> PositionAccuracy:
    def meant(sample: Sample) -> list[ProblemOutcome]:
        outcomes = asked.response(sample).problems
        return [p for p in outcomes if p.position == position and tier in (None, p.tier)]

    def part(sample: Sample) -> Part | None:
        found = meant(sample)
        return (float(sum(p.outcome == "correct" for p in found)), float(len(found))) if found else None

    exams = [exam for exam, sample in usable(scored) if meant(sample)]
    return PositionAccuracy(
        order=asked.order,
        tier=tier,
        position=position,
        exams=len(set(exams)),
        problems=len(exams),
        accuracy=ratio(scored, part, clusters),
    )


# Where the tokens of a run go: by position and by tier.

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""What a :class:`TokenSummary` tells of a distribution."""


@dataclass(frozen=True, slots=True)
class TokenSummary:
    """Tokens spent on a group of problems.

    Attributes:
        order: Order of the exams.
        position: 1-based position of the problems; None for all.
        tier: Tier of the problems; None for all.
        attempted: Number of attempted problems with a token count; mean and quantiles are over these.
        uncounted: Number of problems whose tokens are not known; they are left out of everything.
        mean: Mean tokens; None where nothing was attempted.
        quantiles: 10th, 25th, 50th, 75th and 90th percentile in tokens, interpolated linearly (Hyndman & Fan 1996,
            The American Statistician 50(4), type 7); None where nothing was attempted.
        share: Tokens of the group's problems, attempted or not, over all tokens of the responses that are counted; None
            where none is. The positions, or the tiers, and the planning share add up to 1.
    """

    order: str
    position: int | None
    tier: str | None
    attempted: int
    uncounted: int
    mean: float | None
    quantiles: tuple[float, float, float, float, float] | None
    share: float | None


def tokens_by_position(scored: Scored, order: str) -> list[TokenSummary]:
    """Return where the tokens went by position, in the task's ``order`` and in easy order."""
    return [_summary(scored, asked, position, None) for asked in asked_orders(order) for position in positions(scored)]


def tokens_by_tier(scored: Scored, order: str) -> list[TokenSummary]:
    """Return where the tokens went by tier, in the task's ``order`` and in easy order."""
    return [_summary(scored, asked, None, tier) for asked in asked_orders(order) for tier in TIERS]


def tokens_by_position_and_tier(scored: Scored, order: str) -> list[TokenSummary]:
    """Return where the tokens went by position and tier, in both orders; pairs that do not occur are left out."""
    return [
        _summary(scored, asked, position, tier)
        for asked in asked_orders(order)
        for position in positions(scored)
        for tier in TIERS
        if any(
            (problem.position, problem.tier) == (position, tier)
            for _, sample in usable(scored)
            for problem in asked.response(sample).problems
        )
    ]


def planning_shares(scored: Scored, order: str) -> dict[str, float | None]:
    """Return by order the share of the tokens that went to no problem: planning and hidden reasoning, 0–1."""
    found: dict[str, float | None] = {}
    for asked in asked_orders(order):
        whole, on_problems = _totals(_fully_counted(scored, asked))
        found[asked.order] = (whole - on_problems) / whole if whole else None
    return found


def token_table(scored: Scored, order: str) -> Table:
    """Return the tokens by position and by tier, and the planning share, as one table."""
    found = [*tokens_by_position(scored, order), *tokens_by_tier(scored, order)]
    planning = planning_shares(scored, order)
    rows: list[tuple[Cell, ...]] = []
    for asked in planning:
        for item in found:
            if item.order == asked:
                group = item.tier if item.position is None else f"position {item.position}"
                p10, _, median, _, p90 = item.quantiles or (None,) * 5
                rows.append((asked, group, item.attempted, item.uncounted, item.mean, p10, median, p90, item.share))
        rows.append((asked, "planning", None, None, None, None, None, None, planning[asked]))
    return Table(
        name="tokens",
        title="Tokens by position and by tier",
        columns=(
            *(Column("order"), Column("problems"), Column("attempted"), Column("not counted"), Column("mean", 0)),
            *(Column("p10", 0), Column("median", 0), Column("p90", 0), Column("share of response")),
        ),
        rows=tuple(rows),
        note="Generated tokens spent on attempted problems: mean, 10th percentile, median, 90th percentile. Share of "
        "response: of all its tokens, those in such problems, skipped ones included; planning: before the first "
        "problem, in a closing section, or hidden. Not counted: problems whose tokens are unknown."
        f"{left_out_note(scored)}",
    )


def _fully_counted(scored: Scored, asked: AskedOrder) -> list[ScoredResponse]:
    """Return the responses whose tokens are known for every problem."""
    responses = [asked.response(sample) for _, sample in usable(scored)]
    return [r for r in responses if r.problems and all(p.tokens is not None for p in r.problems)]


def _totals(responses: Sequence[ScoredResponse]) -> tuple[int, int]:
    """Return the tokens of ``responses``, and those on problems.

    Text counted again can give a problem more tokens than the provider says the whole response has; then that is whole.
    """
    whole = on_problems = 0
    for response in responses:
        spent = _spent(response, lambda _: True)
        on_problems += spent
        whole += max(spent, response.tokens or 0)
    return whole, on_problems


def _spent(response: ScoredResponse, meant: Callable[[ProblemOutcome], bool]) -> int:
    return sum(problem.tokens or 0 for problem in response.problems if meant(problem))


def _summary(scored: Scored, asked: AskedOrder, position: int | None, tier: str | None) -> TokenSummary:
    def meant(problem: ProblemOutcome) -> bool:
        return position in (None, problem.position) and tier in (None, problem.tier)

    problems = [p for _, sample in usable(scored) for p in asked.response(sample).problems if meant(p)]
    tokens = np.array([p.tokens for p in problems if is_attempt(p)], dtype=np.float64)
    counted = _fully_counted(scored, asked)
    whole, _ = _totals(counted)
    quantiles = None
    if tokens.size:
        p10, p25, median, p75, p90 = (float(q) for q in np.quantile(tokens, QUANTILES))
        quantiles = (p10, p25, median, p75, p90)
    return TokenSummary(
        order=asked.order,
        position=position,
        tier=tier,
        attempted=int(tokens.size),
        uncounted=sum(p.tokens is None for p in problems),
        mean=float(tokens.mean()) if tokens.size else None,
        quantiles=quantiles,
        share=sum(_spent(response, meant) for response in counted) / whole if whole else None,
    )
