"""Trained models on held-out training exams, by which settings are chosen before anything is evaluated.

    python -m benchmarks.training_choice OUT… [--exams 120] [--recipe tiny]

Each OUT is the folder of a training run. Its MFT and RARL models answer the same exams of held-out training problems
(of a seed that no run has, so that all are compared on the same ones) in three orders under each budget, greedily.
Prints the mean score, its standard error over exams, and scores and regrets by order and budget.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

STAGES = ("mft", "rarl")
SEED = 1000
AT_ONCE = 120


def answered(model: str, recipe: Any, exams: int) -> list[Any]:
    """Return what a model made of the held-out exams, as the trainer judges it."""
    import torch

    from roi_bench.training.data import held_out_exams
    from roi_bench.training.rarl.budget_trainer import ExamJudge, generate
    from roi_bench.training.rarl.rarl import exam_prompt, held_out_schedule
    from roi_bench.training.stages.model import load_model, load_tokenizer

    tokenizer, weights = load_tokenizer(model), load_model(model, recipe).eval()
    held_out = held_out_exams(recipe, exams)
    judge = ExamJudge(held_out, recipe.rarl.reward, tokenizer)
    asked = held_out_schedule(exams, recipe.budgets)
    for start in range(0, len(asked), AT_ONCE):
        part = asked[start : start + AT_ONCE]
        prompts = [tokenizer(exam_prompt(held_out[item.exam], item, recipe, tokenizer))["input_ids"] for item in part]
        limits = [item.budget for item in part]
        with torch.inference_mode():
            ids = generate(weights, prompts, limits, [tokenizer.eos_token_id], tokenizer.pad_token_id, None)
        judge.reward(ids, *zip(*((item.exam, item.order, item.budget) for item in part), strict=True))
    return judge.take_judged()


def lines(judged: Sequence[Any]) -> Iterator[str]:
    """Yield the numbers of a model, by name."""
    from roi_bench.training.rarl.budget_trainer import held_out_numbers

    by_exam: dict[int, list[int]] = defaultdict(list)
    for one in judged:
        by_exam[one.exam].append(one.record.correct)
    scores = [mean(found) for found in by_exam.values()]
    yield f"held_out {mean(scores):.3f} ± {stdev(scores) / sqrt(len(scores)):.3f}"
    numbers = held_out_numbers(judged)
    for name in sorted(numbers):
        if name.startswith(("score", "regret")):
            yield f"{name} {numbers[name]:.3f}"


def main() -> None:
    """Parse the command line."""
    from roi_bench.training.plan.recipe import load_recipe

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="+", type=Path)
    parser.add_argument("--exams", type=int, default=120)
    parser.add_argument("--recipe", default="tiny")
    options = parser.parse_args()
    recipe = replace(load_recipe(options.recipe), seed=SEED)
    for folder in options.out:
        for stage in STAGES:
            if (folder / stage / "config.json").is_file():
                found = lines(answered(str(folder / stage), recipe, options.exams))
                print(f"{folder.name}, {stage}: {'; '.join(found)}", flush=True)


if __name__ == "__main__":
    main()
