"""Which arguments of TRL's configuration classes a recipe may set: known ones that the method leaves open."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from roi_bench.errors import UsageError, nearest

_BATCH = "follows from the batch sizes of the recipe"

FIXED_SFT: dict[str, str] = {
    "completion_only_loss": "MFT takes its loss on completions only",
    "packing": "an exam and its budget stand in one sequence each",
    "train_sampling_strategy": "single problems come first",
    "output_dir": "set --out",
    "seed": "set seed",
    "learning_rate": "set mft.learning_rate",
    "num_train_epochs": "set mft.epochs",
    "per_device_train_batch_size": "set mft.device_batch_size",
    "gradient_accumulation_steps": _BATCH,
}
"""Arguments of ``trl.SFTConfig`` that a recipe cannot set under ``mft.trainer``, each with the reason or the way."""

FIXED_GRPO: dict[str, str] = {
    "loss_type": "Dr. GRPO fixes it",
    "scale_rewards": "Dr. GRPO fixes it",
    "beta": "Dr. GRPO fixes it",
    "mask_truncated_completions": "an exam over its budget is data",
    "shuffle_dataset": "the order of exams and budgets is the recipe's",
    "max_completion_length": "set budgets",
    "output_dir": "set --out",
    "seed": "set seed",
    "learning_rate": "set rarl.learning_rate",
    "max_steps": "set rarl.steps",
    "temperature": "set rarl.temperature",
    "num_generations": "set rarl.generations",
    "per_device_train_batch_size": "set rarl.device_batch_size",
    "use_vllm": "set rarl.rollouts",
    "vllm_mode": "set rarl.rollouts",
    "gradient_accumulation_steps": _BATCH,
    "multi_objective_aggregation": "Dr. GRPO fixes it",
    "num_iterations": "each step answers its own exams",
    "num_generations_eval": "held-out exams are answered once",
    "eval_strategy": "set rarl.evaluate_every",
    "eval_steps": "set rarl.evaluate_every",
    "generation_batch_size": _BATCH,
    "steps_per_generation": _BATCH,
}
"""Arguments of ``trl.GRPOConfig`` that a recipe cannot set under ``rarl.trainer``, each with the reason or the way."""


def check_trainer_arguments(
    config_fields: Collection[str], given: Mapping[str, object], fixed: Mapping[str, str], where: str
) -> None:
    """Check that every argument in ``given`` exists and is not fixed.

    Args:
        config_fields: Names of the fields of TRL's configuration class.
        given: The mapping ``trainer`` of a stage.
        fixed: Arguments that the method or another setting fixes, each with the reason or the way.
        where: What holds them, for the message, e.g. ``recipe tiny.yaml: rarl.trainer``.

    Raises:
        UsageError: The first one that does not exist (with the nearest), or is fixed (with the reason).
    """
    for name in given:
        if name in fixed:
            raise UsageError(f"{where}.{name} is not the recipe's to set: {fixed[name]}; take it out")
        if name not in config_fields:
            hint = nearest(str(name), sorted(config_fields))
            if hint.startswith("known: "):  # more than a hundred
                hint = "the documentation of this class in TRL lists them"
            raise UsageError(f"{where}.{name} is no argument of TRL's configuration class; {hint}")
