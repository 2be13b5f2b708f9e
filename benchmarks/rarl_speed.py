"""The cost of a RARL step and of a held-out evaluation, beside what it was at commit 05e6aa3, in one process.

python benchmarks/rarl_speed.py [--steps 8] [--rounds 2]

The two ways take turns (A, B, A, B) on the exams of the tiny recipe, each from the shipped MFT model, on one thread;
seconds are CPU seconds of the process. A is what the trainer did then: TRL's own generation, cut at the budget of the
step, and a loss over all rows; its held-out exams are asked as they were, sampled, in hard and easy order. B's are
greedy, and asked in medium order as well.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any


def before_class() -> Any:
    """Return the trainer's class of commit 05e6aa3, as far as it matters for speed."""
    from trl import GRPOTrainer

    class Before(GRPOTrainer):  # type: ignore[misc]
        """TRL's trainer, cut at the budget of a step."""

        def __init__(self, *args: Any, judge: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            self.generation_config.max_new_tokens = max(row["budget"] for row in inputs)
            return super()._generate_and_score_completions(inputs)  # type: ignore[no-any-return]

    return Before


def measured(kind: Any, steps: int, orders: tuple[str, ...], batch: int, folder: Path) -> tuple[float, float]:
    """Return CPU seconds of a step (mean) and of an evaluation."""
    from transformers import set_seed

    from roi_bench.exams.tiny import model_path
    from roi_bench.training.data import held_out_exams
    from roi_bench.training.plan.recipe import load_recipe
    from roi_bench.training.rarl.budget_trainer import ExamJudge
    from roi_bench.training.rarl.rarl import exam_rows, grpo_arguments, held_out_schedule, training_schedule
    from roi_bench.training.stages.model import load_model, load_tokenizer

    changes = [f"rarl.steps={steps}", "rarl.evaluate_every=0", "rarl.patience=0"]
    recipe = load_recipe("tiny", [*changes, "rarl.trainer.save_strategy='no'"])
    set_seed(0)
    tokenizer = load_tokenizer(str(model_path("mft")))
    exams, schedule = training_schedule(recipe)
    held_out = held_out_exams(recipe, recipe.rarl.evaluation_exams)
    asked = [item for item in held_out_schedule(len(held_out), recipe.budgets) if item.order in orders]
    judge = ExamJudge([*exams, *held_out], recipe.rarl.reward, tokenizer)
    arguments = grpo_arguments(recipe, folder)
    arguments.per_device_eval_batch_size = batch
    trainer = kind(
        model=load_model(str(model_path("mft")), recipe),
        reward_funcs=judge.reward,
        args=arguments,
        train_dataset=exam_rows(exams, schedule, recipe, tokenizer),
        eval_dataset=exam_rows(held_out, asked, recipe, tokenizer, len(exams)),
        processing_class=tokenizer,
        judge=judge,
    )
    begun = time.process_time()
    trainer.train()
    trained = time.process_time()
    trainer.evaluate()
    return (trained - begun) / steps, time.process_time() - trained


def main() -> None:
    """Measure both ways in turn, and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    import torch

    from roi_bench.training.rarl.budget_trainer import budget_trainer_class

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    ways = {
        "before": (before_class(), ("hard", "easy"), 64),
        "now": (budget_trainer_class(), ("hard", "medium", "easy"), 360),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, (kind, orders, batch) in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                step, evaluation = measured(kind, asked.steps, orders, batch, Path(folder))
            found[name].append((step, evaluation))
            print(f"{name:7} {step:6.2f} s a step, {evaluation:6.2f} s an evaluation", flush=True)
    (step_before, evaluation_before), (step, evaluation) = (
        [median(values) for values in zip(*found[name], strict=True)] for name in ways
    )
    print(f"a step: {step_before:.2f} s before, {step:.2f} s now, {step_before / step:.2f} x")
    for name, one, other in (("before", step_before, evaluation_before), ("now", step, evaluation)):
        print(f"evaluations, one every 20 steps, {name}: {other / (20 * one + other):.1%} of the run")


if __name__ == "__main__":
    main()
