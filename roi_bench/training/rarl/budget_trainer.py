"""TRL's GRPOTrainer with a budget for each step, and held-out exams scored as the benchmark scores them."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def budget_trainer_class() -> Any:
    """Return the trainer's class; TRL is imported now.

    It changes two things. Generation is cut at the budget of the exams at hand, while the loss is still divided by the
    largest budget, so that tokens weigh the same at every budget. And an evaluation reports the numbers of the
    benchmark, so that the Trainer's own early stopping and best checkpoint work on them.
    """
    from accelerate.utils import gather_object
    from trl import GRPOTrainer

    from roi_bench.training.rarl.reward import ExamJudge, held_out_numbers

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
            self.judge.take_records()  # of the training steps
            output = super().evaluation_loop(*args, **kwargs)
            prefix = kwargs.get("metric_key_prefix", "eval")
            numbers = held_out_numbers(gather_object(self.judge.take_records()))
            output.metrics.update({f"{prefix}_{name}": value for name, value in numbers.items()})
            return output

    return BudgetGRPOTrainer
