"""The cost of a RARL step and of a held-out evaluation, beside what it was at commit 05e6aa3, in one process.

python benchmarks/rarl_speed.py [--steps 8] [--rounds 2] [--only now]

The two ways take turns (A, B, A, B) on the exams of the tiny recipe, each from the shipped MFT model, on one thread;
seconds are CPU seconds of the process. A is what the trainer did then: TRL's own generation, cut at the budget of the
step, and a loss over all rows; its 60 held-out exams are asked as they were every 20 steps: sampled, in hard and easy
order, 64 at once. B's are those of the recipe: greedy, in medium order as well, budget by budget.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Way:
    """One of the two ways.

    Attributes:
        kind: Class of the trainer.
        every: Steps between two evaluations.
        orders: Orders of held-out exams.
        changes: Changes to the recipe.
        batch: Held-out responses at once; None for the recipe's.
    """

    kind: Any
    every: int
    orders: tuple[str, ...]
    changes: Sequence[str] = ()
    batch: int | None = None


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


def measured(way: Way, steps: int, folder: Path) -> tuple[float, float]:
    """Return CPU seconds of a step (mean) and of an evaluation."""
    from transformers import set_seed

    from roi_bench.exams.tiny import model_path
    from roi_bench.training.data import held_out_exams
    from roi_bench.training.plan.recipe import load_recipe
    from roi_bench.training.rarl.budget_trainer import ExamJudge
    from roi_bench.training.rarl.rarl import exam_rows, grpo_arguments, held_out_schedule, training_schedule
    from roi_bench.training.stages.model import load_model, load_tokenizer

    changes = [f"rarl.steps={steps}", "rarl.evaluate_every=0", "rarl.patience=0", "rarl.trainer.save_strategy='no'"]
    recipe = load_recipe("tiny", [*changes, *way.changes])
    set_seed(0)
    tokenizer = load_tokenizer(str(model_path("mft")))
    exams, schedule = training_schedule(recipe)
    held_out = held_out_exams(recipe, recipe.rarl.evaluation_exams)
    asked = [item for item in held_out_schedule(len(held_out), recipe.budgets) if item.order in way.orders]
    judge = ExamJudge([*exams, *held_out], recipe.rarl.reward, tokenizer)
    arguments = grpo_arguments(recipe, folder)
    if way.batch is not None:
        arguments.per_device_eval_batch_size = way.batch
    trainer = way.kind(
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
    parser.add_argument("--only", choices=("before", "now"), help="measure one of the two")
    asked = parser.parse_args()
    import torch

    from roi_bench.training.plan.recipe import load_recipe
    from roi_bench.training.rarl.budget_trainer import budget_trainer_class

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    every = load_recipe("tiny").rarl.evaluate_every
    ways = {
        "before": Way(before_class(), 20, ("hard", "easy"), ["rarl.evaluation_exams=60"], 64),
        "now": Way(budget_trainer_class(), every, ("hard", "medium", "easy")),
    }
    ways = {name: way for name, way in ways.items() if asked.only in (None, name)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, way in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                step, evaluation = measured(way, asked.steps, Path(folder))
            found[name].append((step, evaluation))
            print(f"{name:7} {step:6.2f} s a step, {evaluation:6.2f} s an evaluation", flush=True)
    medians = {name: [median(values) for values in zip(*pairs, strict=True)] for name, pairs in found.items()}
    for name, (step, evaluation) in medians.items():
        share = evaluation / (ways[name].every * step + evaluation)
        print(f"evaluations, one every {ways[name].every} steps, {name}: {share:.1%} of the run")
    if len(medians) == 2:
        before, now = (step for step, _ in medians.values())
        print(f"a step: {before:.2f} s before, {now:.2f} s now, {before / now:.2f} x")


if __name__ == "__main__":
    main()
