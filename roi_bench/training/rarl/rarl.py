"""Rationality-Aware RL: Dr. GRPO on training exams, on TRL's GRPOTrainer (SPEC section 12; arXiv 2503.20783)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import islice
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roi_bench.errors import UsageError
from roi_bench.exams.exam import ORDERS, Exam
from roi_bench.scoring.outcomes import level_bounds
from roi_bench.scoring.prompts import Message, exam_messages
from roi_bench.training.data import (
    RARL_STREAM,
    chat_wrapper,
    exam_stream,
    held_out_exams,
    refuse_evaluation_questions,
    stream_seed,
    trl_prompt,
)
from roi_bench.training.plan.recipe import Rarl, Recipe, stage_settings
from roi_bench.training.plan.rules import (
    check_trainer_arguments,
    fixed_arguments,
    renamed_arguments,
)
from roi_bench.training.stages.model import (
    accumulation,
    adapter_settings,
    base_model_name,
    launched_processes,
    load_model,
    load_tokenizer,
    place_settings,
    save_stage,
    stage_record,
    start_of,
    train_to_the_end,
)

if TYPE_CHECKING:
    from datasets import Dataset


# The schedule of a training run: exam, order and budget, step by step. Pure.

HELD_OUT_ORDERS = ("hard", "medium", "easy")
"""Orders in which held-out exams are asked: the scores of the first two against the last give the regrets."""


@dataclass(frozen=True, slots=True)
class ScheduledExam:
    """One exam of the schedule, with its order and budget.

    Attributes:
        exam: Number of the exam.
        order: Order of its problems.
        budget: Budget in tokens.
    """

    exam: int
    order: str
    budget: int


def exam_schedule(settings: Rarl, budgets: Sequence[int], seed: int) -> list[ScheduledExam]:
    """Return the schedule of a training run: every exam of every step.

    All exams of a step have one budget, so that generation is really cut at it; orders are drawn by their shares within
    a step. Budgets of the curriculum come first, in its order; after it all budgets take turns, step by step.

    Args:
        settings: Steps, exams a step, orders, curriculum.
        budgets: All budgets.
        seed: Another seed, other orders.
    """
    rng = random.Random(f"roi-bench rarl/{seed}")
    plan: list[int] = []
    for budget, share in settings.curriculum.items():
        plan += [budget] * round(share * settings.steps)
    plan += [budgets[index % len(budgets)] for index in range(settings.steps - len(plan))]
    weights = [settings.orders[order] for order in ORDERS]
    return [
        ScheduledExam(step * settings.prompts + number, rng.choices(ORDERS, weights)[0], budget)
        for step, budget in enumerate(plan[: settings.steps])
        for number in range(settings.prompts)
    ]


def held_out_schedule(exams: int, budgets: Sequence[int]) -> list[ScheduledExam]:
    """Return the schedule of an evaluation: each exam in every order under each budget."""
    return [
        ScheduledExam(exam, order, budget) for budget in budgets for order in HELD_OUT_ORDERS for exam in range(exams)
    ]


BEST = "eval_held_out"
"""The number by which checkpoints are compared: mean score over budgets and orders on held-out exams."""


IMPORTANCE = {
    "vllm_importance_sampling_correction": True,
    "vllm_importance_sampling_mode": "token_truncate",
    "vllm_importance_sampling_clip_max": 3.0,
}
"""TRL's correction for what vLLM computes otherwise than the trainer: each token counts min(p_trainer / p_vLLM, 3).

TRL's own default multiplies a whole response by the product of its ratios, and drops those above 3. The product spreads
with length (384 tokens of a real 135 M model: 0.15 to 4.49), so that long exams would be damped or dropped for how they
were computed. Truncated ratios by token: Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy
RL Training"; ``rarl.trainer`` can set another mode."""


def train_rarl(recipe: Recipe, out: Path, model: str | None = None) -> Path:
    """Train the MFT model (or another) and return the folder of the result; goes on from a checkpoint if there is one.

    Args:
        recipe: The recipe.
        out: Folder of the run.
        model: Model to start from; by default ``out / "mft"``.

    Raises:
        UsageError: There is no model to start from, or the checkpoints started from another one.
        DataError: A training pool is missing, or holds an evaluation problem.
        ModelError: Out of memory.
    """
    from transformers import EarlyStoppingCallback, set_seed

    from roi_bench.training.rarl.budget_trainer import ExamJudge, budget_trainer_class

    name = model or str(out / "mft")
    if model is None and not (out / "mft" / "config.json").is_file():
        raise UsageError(
            f"there is no model in {out / 'mft'}; make it with roi-bench train mft {recipe.name} --out {out}, or name "
            "another to start from with --model"
        )
    set_seed(recipe.seed)
    tokenizer = load_tokenizer(name)
    exams, schedule = training_schedule(recipe)
    held_out = held_out_exams(recipe, recipe.rarl.evaluation_exams)
    inputs = {"model to start from": start_of(name)}
    arguments = grpo_arguments(recipe, out / "rarl-checkpoints")
    arguments.restore_callback_states_from_checkpoint = bool(recipe.rarl.patience)  # patience goes on where it was
    judge = ExamJudge([*exams, *held_out], recipe.rarl.reward, tokenizer)
    trainer = budget_trainer_class()(
        model=load_model(name, recipe),
        reward_funcs=judge.reward,
        args=arguments,
        train_dataset=exam_rows(exams, schedule, recipe, tokenizer),
        eval_dataset=exam_rows(
            held_out, held_out_schedule(len(held_out), recipe.budgets), recipe, tokenizer, len(exams)
        ),
        processing_class=tokenizer,
        peft_config=adapter_settings(recipe.lora),
        judge=judge,
        callbacks=[EarlyStoppingCallback(recipe.rarl.patience)] if recipe.rarl.patience else [],
    )
    lower = "rarl.device_batch_size (the step stays the same by accumulation) or vllm.beside_training"
    settings = stage_settings(recipe, "rarl")
    seconds = train_to_the_end(trainer, out / "rarl-checkpoints", lower, inputs, settings, recipe.rarl.patience)
    data = {"exams": len(exams), "responses": len(exams) * recipe.rarl.generations}
    record = stage_record("rarl", recipe, trainer, data, inputs, seconds)
    if model is not None:
        record["started_from"] = model
    save_stage(trainer, name, recipe, out / "rarl", record)
    return out / "rarl"


def training_schedule(recipe: Recipe) -> tuple[list[Exam], list[ScheduledExam]]:
    """Return the exams of a run and their schedule, step by step, one budget a step.

    Raises:
        DataError: A training pool is missing, or holds an evaluation problem.
    """
    schedule = exam_schedule(recipe.rarl, recipe.budgets, recipe.seed)
    exams = list(islice(exam_stream(recipe.family, stream_seed(recipe.seed, RARL_STREAM)), len(schedule)))
    refuse_evaluation_questions((p.question for exam in exams for p in exam.problems), recipe.family)
    return exams, schedule


def exam_rows(
    exams: Sequence[Exam], schedule: Sequence[ScheduledExam], recipe: Recipe, tokenizer: Any, first: int = 0
) -> Dataset:
    """Return the schedule in TRL's form: ``prompt``, ``exam`` (its number in the judge's list), ``order``, ``budget``.

    Args:
        exams: The exams to which ``schedule`` refers.
        schedule: Exam number, order and budget of each row.
        recipe: Its prompts: chat messages or bare text, with its system prompt.
        tokenizer: Its chat template decides whether a prompt keeps its system turn.
        first: Number of ``exams[0]`` in the judge's list.
    """
    from datasets import Dataset

    rows = [
        {
            "prompt": exam_prompt(exams[item.exam], item, recipe, tokenizer),
            "exam": first + item.exam,
            "order": item.order,
            "budget": item.budget,
        }
        for item in schedule
    ]
    return Dataset.from_list(rows)


def exported_rows(recipe: Recipe, held_out: bool = False) -> list[dict[str, Any]]:
    """Return the exams of a run for any trainer, as plain data: each with its prompt and what a reward needs.

    Args:
        recipe: The recipe: its schedule gives exams, orders and budgets, its reward what a response earns.
        held_out: The held-out exams of an evaluation in place of those of the training steps.

    Returns:
        Rows as :func:`exam_rows` makes them, with the columns of :func:`roi_bench.rewards.exam_row`.

    Raises:
        UsageError: The recipe asks for a chat template and the tokenizer has none.
        DataError: A training pool is missing, or holds an evaluation problem.
        ModelError: The tokenizer cannot be loaded.
    """
    from roi_bench.records.tokenizer import lasting_name
    from roi_bench.rewards import TINY, exam_row

    tokenizer = load_tokenizer(base_model_name(recipe))
    chat_wrapper(recipe, tokenizer)  # refuses a chat template that is not there
    if held_out:
        exams: Sequence[Exam] = held_out_exams(recipe, recipe.rarl.evaluation_exams)
        schedule = held_out_schedule(len(exams), recipe.budgets)
    else:
        exams, schedule = training_schedule(recipe)
    name = TINY if recipe.model == "tiny" else str(lasting_name(recipe.model))
    return [
        {
            "prompt": exam_prompt(exams[item.exam], item, recipe, tokenizer),
            **exam_row(exams[item.exam], item.order, item.budget, name, recipe.rarl.reward),
        }
        for item in schedule
    ]


def exam_prompt(exam: Exam, item: ScheduledExam, recipe: Recipe, tokenizer: Any) -> str | list[Message]:
    """Return the prompt of a scheduled exam in TRL's form."""
    problems = exam.ordered(item.order)
    bounds = level_bounds(problems[0].pool)
    asked = exam_messages([problem.question for problem in problems], item.budget, "metacognitive", bounds)
    return trl_prompt(asked, recipe, tokenizer)


def grpo_arguments(recipe: Recipe, checkpoints: Path) -> Any:
    """Return TRL's configuration of Dr. GRPO.

    ``loss_type="dr_grpo"`` divides the loss by the constant ``max_completion_length`` in place of each response's own
    length; ``scale_rewards="none"`` leaves the advantage R - mean(R) undivided by the group's standard deviation; both
    are needed (arXiv 2503.20783, section 3). ``beta=0``: no reference model. Truncated responses stay in the loss.

    Raises:
        UsageError: A key under ``rarl.trainer`` is unknown or fixed by the method, or a step cannot be divided.
        ValueError: TRL refuses a value; ``plan.checks.try_arguments`` says which.
        TypeError: The same.
    """
    from trl import GRPOConfig

    settings = recipe.rarl
    every = settings.evaluate_every
    known = {item.name for item in fields(GRPOConfig)}
    fixed_ones = fixed_arguments(recipe, "rarl")
    check_trainer_arguments(known, settings.trainer, fixed_ones, f"recipe {recipe.name}: rarl.trainer")
    defaults: dict[str, Any] = {
        **place_settings(recipe),
        "lr_scheduler_type": "constant",
        "logging_steps": 10,
        "save_steps": every or 50,
        "save_total_limit": 2,
        "per_device_eval_batch_size": evaluation_batch(recipe),
        **(IMPORTANCE if settings.rollouts != "transformers" else {}),
    }
    fixed: dict[str, Any] = {
        "loss_type": "dr_grpo",
        "scale_rewards": "none",
        "beta": 0.0,
        "mask_truncated_completions": False,
        "shuffle_dataset": False,  # the schedule keeps one budget a step
        "max_steps": settings.steps,
        "learning_rate": recipe.rate("rarl"),
        "temperature": settings.temperature,
        "num_generations": settings.generations,
        "num_generations_eval": 1,
        "max_completion_length": max(recipe.budgets),
        "per_device_train_batch_size": settings.device_batch_size,
        "gradient_accumulation_steps": accumulation(
            settings.prompts * settings.generations, settings.device_batch_size
        ),
        "chat_template_kwargs": dict(recipe.chat_template_kwargs) or None,
        **_rollout_arguments(recipe),
        "eval_strategy": "steps" if every else "no",
        "eval_steps": every or None,
    }
    if settings.patience:
        fixed |= {"load_best_model_at_end": True, "save_steps": every}  # the best checkpoint is one that was evaluated
    if settings.patience or settings.trainer.get("load_best_model_at_end"):
        fixed |= {"metric_for_best_model": BEST, "greater_is_better": True}
    chosen = renamed_arguments(settings.trainer, known)
    return GRPOConfig(output_dir=str(checkpoints), **{**defaults, **chosen, **fixed})


def _rollout_arguments(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of TRL's configuration that say who writes the responses."""
    rollouts = recipe.rarl.rollouts
    if rollouts == "transformers":
        return {"use_vllm": False}
    if rollouts == "vllm-server":
        return {"use_vllm": True, "vllm_mode": "server"}
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": recipe.vllm.beside_training,
        "vllm_tensor_parallel_size": recipe.vllm.tensor_parallel_size,
        "vllm_max_model_length": recipe.context,
    }


def evaluation_batch(recipe: Recipe) -> int:
    """Return how many held-out responses a process generates at once: at most as many as in a step of training.

    Those of one budget are divided evenly, so that where they can be no batch has to go on for a few of a larger
    budget. vLLM gets all at once: it fills places as they become free, and would wake up and fall asleep for each
    batch.
    """
    rarl = recipe.rarl
    asked = max(1, rarl.evaluation_exams * len(HELD_OUT_ORDERS))
    if rarl.rollouts != "transformers":
        return asked * len(recipe.budgets)
    batches = ceil(asked / (rarl.prompts * rarl.generations))
    return ceil(asked / (batches * launched_processes()))
