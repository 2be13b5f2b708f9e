"""The reward of a response to a training exam, by the benchmark's own code, and numbers to log (SPEC section 12)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roi_bench.exams.exam import TIERS, Exam
from roi_bench.scoring.kinds import GraderLike, parse_exam_response, score_responses
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import ProblemOutcome, Response
from roi_bench.scoring.tokens import NOT_WORTH_ATTEMPTING, TokenCounter, Usage
from roi_bench.training.plan.recipe import Reward

# The reward of a response: the benchmark's own reading, counting and grading (SPEC section 12).


@dataclass(frozen=True, slots=True)
class Rollout:
    """One response to a training exam.

    Attributes:
        exam: The exam.
        order: Order in which it was asked.
        budget: Budget in tokens.
        response: Text and exact usage.
    """

    exam: Exam
    order: str
    budget: int
    response: Response


def score_rollouts(rollouts: Sequence[Rollout], grader: GraderLike, counter: TokenCounter) -> list[ScoredResponse]:
    """Return the scored responses; graded in one call."""
    parsed = [parse_exam_response(r.exam, r.order, r.budget, r.response, counter) for r in rollouts]
    return score_responses(parsed, grader)


def problem_reward(outcome: ProblemOutcome, settings: Reward) -> float:
    """Return rᵢ = 1[correct ∧ predicted level = actual level] (arXiv 2601.03822), minus the penalty for a format fault.

    The fault is ours: a problem skipped behind a forecast other than Level-3, or behind none.
    """
    if outcome.outcome == "skipped" and outcome.level != NOT_WORTH_ATTEMPTING:
        return -settings.format_fault
    if outcome.outcome != "correct":
        return 0.0
    return float(not settings.level or (outcome.level is not None and outcome.level == outcome.actual_level))


def exam_reward(scored: ScoredResponse, settings: Reward) -> float:
    """Return R = Σ rᵢ over the problems of an exam.

    Problems solved before the budget cut a response are rewarded: an over-budget exam is data, not a fault.
    """
    return sum(problem_reward(outcome, settings) for outcome in scored.problems)


# The judge of RARL: scores rollouts with the benchmark's own code, rewards them, and records numbers to log.


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """Summary of a scored response, small enough for processes to exchange.

    Attributes:
        order: Order of the exam.
        budget: Budget in tokens.
        correct: Right answers.
        skipped: Tiers of the skipped problems.
        levels: ``(predicted, actual)`` of each attempt that has both.
        truncated: Whether the budget ended it.
    """

    order: str
    budget: int
    correct: int
    skipped: tuple[str, ...]
    levels: tuple[tuple[int, int], ...]
    truncated: bool


class ExamJudge:
    """Reward function for TRL; one instance per process.

    Args:
        exams: All exams; rows of the data set name them by number.
        settings: The reward's settings.
        tokenizer: The model's tokenizer, to count with.
    """

    def __init__(self, exams: Sequence[Exam], settings: Reward, tokenizer: Any) -> None:
        from roi_bench.grading.grader import shared_grader
        from roi_bench.records.tokenizer import HFTokenCounter

        self._exams, self._settings, self._tokenizer = exams, settings, tokenizer
        self._counter, self._grader = HFTokenCounter(tokenizer), shared_grader()
        self._records: list[RolloutRecord] = []

    def reward(
        self,
        completion_ids: Sequence[Sequence[int]],
        exam: Sequence[int],
        order: Sequence[str],
        budget: Sequence[int],
        log_metric: Any = None,
        **unused: Any,
    ) -> list[float]:
        """Return the reward of each response (TRL's signature: one list entry a response)."""
        rollouts = [
            Rollout(self._exams[number], name, limit, self.response(ids, limit))
            for ids, number, name, limit in zip(completion_ids, exam, order, budget, strict=True)
        ]
        scored = score_rollouts(rollouts, self._grader, self._counter)
        records = [count(rollout, response) for rollout, response in zip(rollouts, scored, strict=True)]
        self._records += records
        if log_metric is not None:
            for name, value in training_numbers(records).items():
                log_metric(name, value)
        return [exam_reward(response, self._settings) for response in scored]

    def response(self, ids: Sequence[int], budget: int) -> Response:
        """Return generated ``ids`` as a response that ends at ``budget``, with exact usage."""
        kept = list(ids[:budget])
        stopped = len(kept) < budget or kept[-1] in (self._tokenizer.eos_token_id, self._tokenizer.pad_token_id)
        text = self._tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Response(text, Usage(len(kept), "stop" if stopped else "length", "generated"))

    def take_records(self) -> list[RolloutRecord]:
        """Return the records since the last call, and clear them."""
        records, self._records = self._records, []
        return records


def count(rollout: Rollout, scored: ScoredResponse) -> RolloutRecord:
    """Return the record of a scored response."""
    return RolloutRecord(
        order=rollout.order,
        budget=rollout.budget,
        correct=scored.score,
        skipped=tuple(item.tier for item in scored.problems if item.outcome == "skipped"),
        levels=tuple(
            (item.level, item.actual_level)
            for item in scored.problems
            if item.level is not None and item.actual_level is not None
        ),
        truncated=scored.usage is not None and scored.usage.finish_reason == "length",
    )


def training_numbers(records: Sequence[RolloutRecord]) -> dict[str, float]:
    """Return the numbers of a batch of responses: score, skip rate by tier, level accuracy, share truncated."""
    if not records:
        return {}
    numbers = {
        "score": sum(item.correct for item in records) / len(records),
        "truncated": sum(item.truncated for item in records) / len(records),
    }
    for tier in TIERS:
        numbers[f"skip_rate_{tier}"] = sum(tier in item.skipped for item in records) / len(records)
    levels = [pair for item in records for pair in item.levels]
    if levels:
        numbers["level_accuracy"] = sum(predicted == actual for predicted, actual in levels) / len(levels)
    return numbers


def held_out_numbers(records: Sequence[RolloutRecord]) -> Mapping[str, float]:
    """Return the numbers of an evaluation by budget: score in hard and easy order, regret, and all that training logs.

    ``held_out`` is the mean score over budgets and orders, by which checkpoints are compared. Regret is left out where
    nothing was right in easy order (SPEC section 8).
    """
    groups: dict[tuple[int, str], list[RolloutRecord]] = defaultdict(list)
    for item in records:
        groups[item.budget, item.order].append(item)
    scores = {key: sum(item.correct for item in items) / len(items) for key, items in groups.items()}
    numbers: dict[str, float] = {"held_out": sum(scores.values()) / len(scores)} if scores else {}
    for budget in sorted({budget for budget, _ in groups}):
        hard, easy = scores.get((budget, "hard")), scores.get((budget, "easy"))
        for name, value in training_numbers(groups.get((budget, "hard"), [])).items():
            numbers[f"{name}_{budget}"] = value
        if easy is not None:
            numbers[f"score_easy_{budget}"] = easy
        if hard is not None and easy:
            numbers[f"regret_{budget}"] = (easy - hard) / easy
    return numbers
