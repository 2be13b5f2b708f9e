"""Where the tokens of a run go: by position and by tier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from roi_bench.analysis.tables import Cell, Column, Table
from roi_bench.analysis.views import Scored, Side, is_attempt, left_out_note, positions, sides, usable
from roi_bench.exams.exam import TIERS
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome

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
    return [_summary(scored, side, position, None) for side in sides(order) for position in positions(scored)]


def tokens_by_tier(scored: Scored, order: str) -> list[TokenSummary]:
    """Return where the tokens went by tier, in the task's ``order`` and in easy order."""
    return [_summary(scored, side, None, tier) for side in sides(order) for tier in TIERS]


def tokens_by_position_and_tier(scored: Scored, order: str) -> list[TokenSummary]:
    """Return where the tokens went by position and tier, in both orders; pairs that do not occur are left out."""
    return [
        _summary(scored, side, position, tier)
        for side in sides(order)
        for position in positions(scored)
        for tier in TIERS
        if any(
            (problem.position, problem.tier) == (position, tier)
            for _, sample in usable(scored)
            for problem in side.response(sample).problems
        )
    ]


def planning_shares(scored: Scored, order: str) -> dict[str, float | None]:
    """Return by order the share of the tokens that went to no problem: planning and hidden reasoning, 0–1."""
    found: dict[str, float | None] = {}
    for side in sides(order):
        whole, on_problems = _totals(_counted(scored, side))
        found[side.order] = (whole - on_problems) / whole if whole else None
    return found


def token_table(scored: Scored, order: str) -> Table:
    """Return the tokens by position and by tier, and the planning share, as one table."""
    found = [*tokens_by_position(scored, order), *tokens_by_tier(scored, order)]
    planning = planning_shares(scored, order)
    rows: list[tuple[Cell, ...]] = []
    for side in planning:
        for item in found:
            if item.order == side:
                group = item.tier if item.position is None else f"position {item.position}"
                p10, _, median, _, p90 = item.quantiles or (None,) * 5
                rows.append((side, group, item.attempted, item.uncounted, item.mean, p10, median, p90, item.share))
        rows.append((side, "planning", None, None, None, None, None, None, planning[side]))
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


def _counted(scored: Scored, side: Side) -> list[ScoredResponse]:
    """Return the responses whose tokens are known for every problem."""
    responses = [side.response(sample) for _, sample in usable(scored)]
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


def _summary(scored: Scored, side: Side, position: int | None, tier: str | None) -> TokenSummary:
    def meant(problem: ProblemOutcome) -> bool:
        return position in (None, problem.position) and tier in (None, problem.tier)

    problems = [p for _, sample in usable(scored) for p in side.response(sample).problems if meant(p)]
    tokens = np.array([p.tokens for p in problems if is_attempt(p)], dtype=np.float64)
    counted = _counted(scored, side)
    whole, _ = _totals(counted)
    quantiles = None
    if tokens.size:
        p10, p25, median, p75, p90 = (float(q) for q in np.quantile(tokens, QUANTILES))
        quantiles = (p10, p25, median, p75, p90)
    return TokenSummary(
        order=side.order,
        position=position,
        tier=tier,
        attempted=int(tokens.size),
        uncounted=sum(p.tokens is None for p in problems),
        mean=float(tokens.mean()) if tokens.size else None,
        quantiles=quantiles,
        share=sum(_spent(response, meant) for response in counted) / whole if whole else None,
    )
