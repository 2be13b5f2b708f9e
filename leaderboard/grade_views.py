"""How a run behaved, as the plots of its pages show it: outcomes, skips, positions, tokens, levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from roi_bench.analysis.level_views import level_forecast
from roi_bench.analysis.position_views import accuracies_by_position
from roi_bench.analysis.runs import ScoredRun
from roi_bench.analysis.skipping import skip_skills
from roi_bench.analysis.solo_skill import SoloWithin
from roi_bench.analysis.token_views import tokens_by_position_and_tier
from roi_bench.analysis.views import ratio
from roi_bench.exams.exam import TIERS
from roi_bench.leaderboard.graded import Number, TokenBox
from roi_bench.records.results import RecordedTask
from roi_bench.scoring.metrics import Part, Sample
from roi_bench.scoring.outcomes import OUTCOMES

SOURCES = ("unknown", "retokenized", "provider", "generated")
"""How tokens were counted, least certain first; a run is as certain as the least certain of its responses."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The views of one run; attributes as in :class:`roi_bench.leaderboard.graded.GradedRun`."""

    outcomes_by_tier: Mapping[str, Mapping[str, float]]
    skip_rate_by_tier: Mapping[str, Number]
    accuracy_by_position: Mapping[str, tuple[Number, ...]]
    token_boxes: tuple[TokenBox, ...]
    level_counts: tuple[tuple[int, ...], ...]


def behaviour_of(run: ScoredRun, solo: SoloWithin | None = None) -> Behaviour:
    """Return how ``run`` behaved; with ``solo`` skipped problems have an actual level too."""
    order, clusters = run.cell.order, run.clusters
    accuracies: dict[str, list[Number]] = {}
    for at in accuracies_by_position(run.scored, order, clusters):
        accuracies.setdefault(at.order, []).append(Number(at.accuracy.value, at.accuracy.low, at.accuracy.high))
    skips = {
        skill.tier: Number(skill.skip_rate.value, skill.skip_rate.low, skill.skip_rate.high)
        for skill in skip_skills(run.scored, order, clusters)
        if skill.order == order and skill.tier is not None
    }
    counts = level_forecast(run.scored, clusters, solo).counts
    return Behaviour(
        outcomes_by_tier={tier: _outcomes(run, tier) for tier in TIERS},
        skip_rate_by_tier=skips,
        accuracy_by_position={side: tuple(numbers) for side, numbers in accuracies.items()},
        token_boxes=tuple(
            TokenBox(box.order, box.position or 0, box.tier or "", box.attempted, box.mean, box.quantiles)
            for box in tokens_by_position_and_tier(run.scored, order)
        ),
        level_counts=counts if any(map(sum, counts)) else (),
    )


def tokens_source(task: RecordedTask, *, counted: bool) -> str:
    """Return how the tokens of a run were counted (:data:`SOURCES`).

    Args:
        task: The run.
        counted: Whether the tokens of its texts are known, so that a response without usage could be counted.
    """
    counted_again = "retokenized" if counted and task.record.text_is_whole else "unknown"
    found = {
        counted_again if response.usage is None else response.usage.source
        for document in task.documents
        for request in document.requests
        for response in request
        if response.usage is not None or response.text is not None
    }
    return min(found, key=SOURCES.index, default="unknown")


def _outcomes(run: ScoredRun, tier: str) -> dict[str, float]:
    """Return the share of each outcome among problems of ``tier`` in the task's order; none without such problems."""

    def share(outcome: str) -> Callable[[Sample], Part | None]:
        def part(sample: Sample) -> Part | None:
            meant = [problem.outcome for problem in sample.main.problems if problem.tier == tier]
            return (float(meant.count(outcome)), float(len(meant))) if meant else None

        return part

    shares = {outcome: ratio(run.scored, share(outcome), None).value for outcome in OUTCOMES if outcome != "error"}
    return {outcome: value for outcome, value in shares.items() if value is not None}
