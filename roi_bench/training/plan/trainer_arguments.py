"""Which arguments of TRL's configuration classes a recipe may set: known ones that the method leaves open."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from roi_bench.errors import UsageError, nearest

if TYPE_CHECKING:
    from roi_bench.training.plan.recipe import Recipe

_BATCH = "follows from the batch sizes of the recipe"
_ORDER = "the order of the examples is the recipe's"
_CUT = "an example cut short would lose its answers; lower mft.device_batch_size where memory is short"
_ROWS = "the examples are read as this package writes them"
_TOKENIZER = "every stage and the evaluation take the model's own"
_NO_HELD_OUT = "MFT is not judged on the way; rarl.evaluate_every judges RARL"
_POLICY = "responses are drawn from the model as it is, which the gradient of Dr. GRPO assumes; set rarl.temperature"
_NO_REFERENCE = "Dr. GRPO has no reference model"
_OTHER_LOSS = "it belongs to another loss than that of Dr. GRPO"
_BEST = "checkpoints are compared by their mean score on held-out exams"

_ALWAYS: dict[str, str] = {
    "output_dir": "set --out",
    "seed": "set seed",
    "data_seed": "set seed",
    "gradient_accumulation_steps": _BATCH,
    "resume_from_checkpoint": "a run goes on from its newest checkpoint by itself",
    "do_train": "the commands say what is done",
    "do_eval": "the commands say what is done",
    "do_predict": "the commands say what is done",
    "model_init_kwargs": "the model is loaded as model, dtype and lora say",
    "trust_remote_code": "models are loaded without code of their own",
}
"""What no stage leaves open."""

FIXED_SFT: dict[str, str] = {
    **_ALWAYS,
    "completion_only_loss": "MFT takes its loss on completions only",
    "assistant_only_loss": "MFT takes its loss on completions only",
    **dict.fromkeys(("packing", "packing_strategy", "eval_packing"), "each sequence is one exam under its budget"),
    "train_sampling_strategy": "single problems come first",
    "shuffle_dataset": "single problems come first",
    "learning_rate": "set mft.learning_rate",
    "num_train_epochs": "set mft.epochs",
    "max_steps": "set mft.epochs",
    "per_device_train_batch_size": "set mft.device_batch_size",
    "auto_find_batch_size": "it would change the step; lower mft.device_batch_size",
    **dict.fromkeys(("max_length", "truncation_mode"), _CUT),
    **dict.fromkeys(("dataset_text_field", "dataset_kwargs"), _ROWS),
    **dict.fromkeys(("chat_template_path", "eos_token", "pad_token"), _TOKENIZER),
    **dict.fromkeys(("eval_strategy", "eval_steps", "eval_on_start", "load_best_model_at_end"), _NO_HELD_OUT),
    **dict.fromkeys(("metric_for_best_model", "greater_is_better"), _NO_HELD_OUT),
}
"""Arguments of ``trl.SFTConfig`` that a recipe cannot set under ``mft.trainer``, each with the reason or the way."""

FIXED_GRPO: dict[str, str] = {
    **_ALWAYS,
    "loss_type": "Dr. GRPO fixes it",
    "scale_rewards": "Dr. GRPO fixes it",
    "beta": "Dr. GRPO fixes it",
    "mask_truncated_completions": "an exam over its budget is data",
    "importance_sampling_level": "Dr. GRPO fixes it",
    "shuffle_dataset": _ORDER,
    "train_sampling_strategy": _ORDER,
    "remove_unused_columns": "the reward reads exam, order and budget beside the prompt",
    "reward_weights": "there is one reward; set rarl.reward",
    "max_completion_length": "set budgets",
    "learning_rate": "set rarl.learning_rate",
    "max_steps": "set rarl.steps",
    "num_train_epochs": "set rarl.steps",
    "temperature": "set rarl.temperature",
    "num_generations": "set rarl.generations",
    "per_device_train_batch_size": "set rarl.device_batch_size",
    "use_vllm": "set rarl.rollouts",
    "vllm_mode": "set rarl.rollouts",
    "multi_objective_aggregation": "Dr. GRPO fixes it",
    "num_iterations": "each step answers its own exams",
    "num_generations_eval": "held-out exams are answered once",
    "eval_strategy": "set rarl.evaluate_every",
    "eval_steps": "set rarl.evaluate_every",
    "generation_batch_size": _BATCH,
    "steps_per_generation": _BATCH,
    "restore_callback_states_from_checkpoint": "it follows from rarl.patience",
    "metric_for_best_model": _BEST,
    "greater_is_better": _BEST,
    **dict.fromkeys(("top_p", "top_k", "min_p", "repetition_penalty", "generation_kwargs"), _POLICY),
    "vllm_structured_outputs_regex": _POLICY,
    **dict.fromkeys(("sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps"), _NO_REFERENCE),
    "use_bias_correction_kl": _NO_REFERENCE,
    **dict.fromkeys(("sapo_temperature_neg", "sapo_temperature_pos"), _OTHER_LOSS),
    **dict.fromkeys(("vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg"), _OTHER_LOSS),
}
"""Arguments of ``trl.GRPOConfig`` that a recipe cannot set under ``rarl.trainer``, each with the reason or the way."""


_NEWER_NAMES = {
    "gradient_checkpointing": "activation_checkpointing",
    "gradient_checkpointing_kwargs": "activation_checkpointing_kwargs",
}
"""Names of transformers 5 for what older versions, and most of its users, call otherwise."""


def fixed_arguments(recipe: Recipe, stage: str) -> dict[str, str]:
    """Return what this recipe cannot set under ``trainer`` of ``mft`` or ``rarl``, each with the reason or the way."""
    if stage == "mft":
        return FIXED_SFT
    if not recipe.rarl.patience:
        return FIXED_GRPO
    kept = "with rarl.patience the best checkpoint is kept"
    return {
        **FIXED_GRPO,
        "save_steps": "with rarl.patience it follows from rarl.evaluate_every",
        "load_best_model_at_end": kept,
    }


def renamed_arguments(given: Mapping[str, Any], config_fields: Collection[str]) -> dict[str, Any]:
    """Return ``given`` under the newer names of transformers where it knows them: they win over the older ones.

    Args:
        given: The mapping ``trainer`` of a stage.
        config_fields: Names of the fields of TRL's configuration class.
    """
    newer = {old: new for old, new in _NEWER_NAMES.items() if new in config_fields}
    renamed = {newer[name]: value for name, value in given.items() if name in newer}
    renamed |= {name: value for name, value in given.items() if name not in newer}
    # Null would bring TRL's own default back, under the older name and with its warning.
    return {name: value for name, value in renamed.items() if value is not None or name not in newer.values()}


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
        UsageError: The first one that does not exist (with the nearest), is fixed (with the reason), or is given under
            an older name as well.
    """
    for name in given:
        if name in fixed:
            raise UsageError(f"{where}.{name} is not the recipe's to set: {fixed[name]}; take it out")
        if name not in config_fields:
            hint = nearest(str(name), sorted(config_fields))
            if hint.startswith("known: "):  # more than a hundred
                hint = "the documentation of this class in TRL lists them"
            raise UsageError(f"{where}.{name} is not an argument of TRL's configuration class; {hint}")
        if name in _NEWER_NAMES and _NEWER_NAMES[name] in given:
            raise UsageError(f"{where} has {name} and its newer name {_NEWER_NAMES[name]}; give one of them")
