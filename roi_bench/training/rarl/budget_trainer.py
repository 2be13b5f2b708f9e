"""TRL's GRPOTrainer with a budget for each step, and held-out exams scored as the benchmark scores them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from roi_bench.exams.exam import Exam
from roi_bench.rewards import (
    Reward,
    RolloutRecord,
    generated_response,
    record_of,
    rollout_of,
    score_rollouts,
    total_reward,
    training_numbers,
)


class Judged(NamedTuple):
    """A response that was judged: to which exam of the judge, in which order, under which budget, and its record."""

    exam: int
    order: str
    budget: int
    record: RolloutRecord


class ExamJudge:
    """Reward function for TRL; one instance per process. It keeps records of what it judged, for held-out exams.

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
        self._judged: list[Judged] = []

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
        asked = list(zip(exam, order, budget, strict=True))
        rollouts = [
            rollout_of(self._exams[number], name, limit, generated_response(ids, limit, self._tokenizer))
            for ids, (number, name, limit) in zip(completion_ids, asked, strict=True)
        ]
        scored = score_rollouts(rollouts, self._grader, self._counter)
        judged = [Judged(*row, record_of(response)) for row, response in zip(asked, scored, strict=True)]
        self._judged += judged
        if log_metric is not None:
            for name, value in training_numbers([one.record for one in judged]).items():
                log_metric(name, value)
        return [total_reward(response, self._settings) for response in scored]

    def take_judged(self) -> list[Judged]:
        """Return what was judged since the last call, and forget it."""
        judged, self._judged = self._judged, []
        return judged


def held_out_numbers(judged: Sequence[Judged]) -> Mapping[str, float]:
    """Return the numbers of an evaluation by budget: score in hard and easy order, regret, and all that training logs.

    ``held_out`` is the mean score over budgets and orders, by which checkpoints are compared. Regret is left out where
    nothing was right in easy order (SPEC section 8).
    """
    groups: dict[tuple[int, str], list[RolloutRecord]] = defaultdict(list)
    for one in judged:
        groups[one.budget, one.order].append(one.record)
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


@cache
def budget_trainer_class() -> Any:
    """Return the trainer's class; TRL is imported now.

    It changes two things. Generation is cut at the budget of the exams at hand, while the loss is still divided by the
    largest budget, so that tokens weigh the same at every budget. And an evaluation reports the numbers of the
    benchmark, so that the Trainer's own early stopping and best checkpoint work on them.
    """
    from accelerate.utils import gather_object
    from trl import GRPOTrainer

    class BudgetGRPOTrainer(GRPOTrainer):
        """GRPO on exams; rows have a column ``budget``."""

        def __init__(self, *args: Any, judge: ExamJudge, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.judge = judge

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            limit = max(row["budget"] for row in inputs)
            if self.use_vllm:
                # In an evaluation processes meet at the server with exams of different budgets; the judge cuts each.
                held_out = not self.model.training
                self.vllm_generation.max_completion_length = self.args.max_completion_length if held_out else limit
            else:
                self.generation_config.max_new_tokens = limit
            return super()._generate_and_score_completions(inputs)  # type: ignore[no-any-return]

        def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
            self.judge.take_judged()  # of the training steps
            output = super().evaluation_loop(*args, **kwargs)
            prefix = kwargs.get("metric_key_prefix", "eval")
            numbers = held_out_numbers(gather_object(self.judge.take_judged()))
            output.metrics.update({f"{prefix}_{name}": value for name, value in numbers.items()})
            return output

    return BudgetGRPOTrainer
