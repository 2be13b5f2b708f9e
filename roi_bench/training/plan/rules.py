"""What a recipe may say: known keys, values that can be meant, arguments of TRL that the method leaves open. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from itertools import pairwise
from math import isfinite
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from roi_bench.errors import UsageError, nearest
from roi_bench.exams.exam import ORDERS

if TYPE_CHECKING:
    from roi_bench.training.plan.recipe import OrderShares, Recipe

# Checking recipes: known keys, values of the right type and range; changing a recipe. Pure.

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}

SEEDS = 2**31
"""Seeds below this one. NumPy takes them up to 2**32, and the trainers add the number of a process to them."""

Rule = tuple[bool, str, object, str]
"""Whether a rule holds; key, value and expectation for the message where it does not."""


def build_settings(kind: type, data: Mapping[Any, Any], where: str, prefix: str = "") -> Any:
    """Return an instance of the dataclass ``kind`` with the settings ``data`` in place of its defaults.

    Args:
        kind: A dataclass of settings.
        data: The settings as read from YAML.
        where: Their source, for messages.
        prefix: What stands before the keys in messages: the keys above, with dots.

    Raises:
        UsageError: The first unknown key (with the nearest), missing setting, or value of another type, at any depth.
    """
    hints = get_type_hints(kind)
    known = [item.name for item in fields(kind)]
    for key in data:
        if key not in known:
            raise UsageError(f"recipe {where}: unknown key {prefix + str(key)!r}; {nearest(str(key), known)}")
    values = {}
    for item in fields(kind):
        if item.name in data:
            values[item.name] = _value(hints[item.name], data[item.name], where, prefix + item.name)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise UsageError(f"recipe {where}: {prefix + item.name} is missing; it has no default")
    return kind(**values)


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    """Return ``value`` as a setting of type ``hint``: sections as dataclasses, lists as tuples.

    Raises:
        UsageError: It is of another type.
    """
    choices = get_args(hint)
    if type(None) in choices:  # X | None
        if value is None:
            return None
        hint = choices[0]
        choices = get_args(hint)
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            known = ", ".join(item.name for item in fields(hint))
            raise _fault(where, key, value, f"settings: {known}")
        return build_settings(hint, value, where, f"{key}.")  # type: ignore[arg-type]
    if get_origin(hint) in (Union, UnionType):  # a number, or one of some words
        kinds = [choice for choice in choices if get_origin(choice) is not Literal]
        words = [word for choice in choices if get_origin(choice) is Literal for word in get_args(choice)]
        if value not in words and not any(_is_a(kind, value) for kind in kinds):
            expected = [*(_NAMES[kind] for kind in kinds), *map(str, words)]
            raise _fault(where, key, value, " or ".join(expected))
    elif get_origin(hint) is Literal:
        if value not in choices:
            known_ones = [str(choice) for choice in choices]
            raise _fault(where, key, value, f"one of {', '.join(known_ones)}{_near(value, known_ones)}")
    elif get_origin(hint) in (tuple, dict):
        return _container(hint, value, where, key)
    elif hint is not Any and not _is_a(hint, value):
        raise _fault(where, key, value, _NAMES[hint] + exponent_remark(hint, value))
    return value


def _container(hint: Any, value: Any, where: str, key: str) -> Any:
    first, second = get_args(hint)
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise _fault(where, key, value, f"a list, such as [{value}]")
        return tuple(_value(first, item, where, f"{key}[{index}]") for index, item in enumerate(value))
    if not isinstance(value, Mapping):
        raise _fault(where, key, value, "keys with values")
    return {
        _value(first, name, where, f"a key of {key}"): _value(second, item, where, f"{key}.{name}")
        for name, item in value.items()
    }


def _is_a(kind: type, value: object) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def exponent_remark(kind: type, value: object) -> str:
    """Return a remark on YAML's pitfall that 1e-5 without a decimal point is text."""
    if kind is not float or not isinstance(value, str):
        return ""
    try:
        number = float(value)
    except ValueError:
        return ""
    mantissa, mark, exponent = value.lower().partition("e")
    if not mark:
        return f", without quotes: {number}"
    return f" (YAML takes this for text; write {mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d})"


def _near(value: object, known: list[str]) -> str:
    hint = nearest(str(value), known)
    return f"; {hint}" if hint.startswith("did you mean") else ""


def _fault(where: str, key: str, value: object, expected: str) -> UsageError:
    return UsageError(f"recipe {where}: {key} is {value!r:.80}; expected {expected}")


def apply_change(data: dict[str, Any], change: str) -> None:
    """Set one value in the settings ``data``; ``change`` is ``key=value``, with dots for nested keys, the value YAML.

    Raises:
        UsageError: It has no key or no value, or the key lies below a single value.
    """
    import yaml

    key, equals, value = change.partition("=")
    if not equals or not key:
        raise UsageError(f"cannot read the change {change!r}; write key=value, e.g. mft.epochs=2")
    *parents, last = key.split(".")
    place = data
    for parent in parents:
        inner = place[parent] = {} if place.get(parent) is None else place[parent]
        if not isinstance(inner, dict):
            raise UsageError(f"cannot set {key!r}: {parent!r} is a single value")
        place = inner
    try:
        place[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"cannot read the value of {key!r}: {value!r} is not YAML") from error


def check_values(recipe: Recipe, where: str) -> None:
    """Check that every value is valid; ``where`` names the source of the recipe in messages.

    Raises:
        UsageError: The first value that is not.
    """
    for holds, key, value, expected in (*_general(recipe), *_mft(recipe), *_rarl(recipe)):
        if not holds:
            raise _fault(where, key, value, expected)
    mft, rarl = recipe.mft, recipe.rarl
    responses = rarl.prompts * rarl.generations
    whole = [
        ("mft.batch_size", mft.batch_size, "mft.device_batch_size", mft.device_batch_size),
        ("rarl.prompts × rarl.generations", responses, "rarl.device_batch_size", rarl.device_batch_size),
    ]
    for name, total, divisor_name, divisor in whole:
        if divisor < 1 or total < 1 or total % divisor:
            raise UsageError(f"recipe {where}: {name} is {total}, which {divisor_name} ({divisor}) does not divide")


def _general(recipe: Recipe) -> Iterator[Rule]:
    budgets, sampling, labels, lora = recipe.budgets, recipe.sampling, recipe.labels, recipe.lora
    evaluation, asked = recipe.evaluation, recipe.sampling.problems
    ascending = all(left < right for left, right in pairwise(budgets))
    yield bool(budgets) and min(budgets) > 0, "budgets", budgets, "at least one, each above 0"
    yield ascending, "budgets", budgets, "different ones, the tightest first"
    yield 0 <= recipe.seed < SEEDS, "seed", recipe.seed, f"0 to {SEEDS - 1}"
    counts = (asked.easy, asked.middle, asked.hard)
    yield min(counts) > 0, "sampling.problems", counts, "at least 1 of each tier"
    yield sampling.samples > 0, "sampling.samples", sampling.samples, "at least 1"
    yield sampling.temperature > 0, "sampling.temperature", sampling.temperature, "above 0"
    yield sampling.cap is None or sampling.cap > 0, "sampling.cap", sampling.cap, "at least 1, or null"
    yield sampling.batch_size > 0, "sampling.batch_size", sampling.batch_size, "at least 1"
    yield from _teacher(recipe)
    range_correct = f"1 to sampling.samples ({sampling.samples})"
    holds = 0 < labels.minimum_correct <= sampling.samples
    yield holds, "labels.minimum_correct", labels.minimum_correct, range_correct
    yield 0.25 <= labels.largest_share <= 1, "labels.largest_share", labels.largest_share, "0.25 to 1 (four levels)"
    if lora is not None:
        yield lora.rank > 0, "lora.rank", lora.rank, "at least 1"
        yield lora.alpha > 0, "lora.alpha", lora.alpha, "above 0"
        yield 0 <= lora.dropout < 1, "lora.dropout", lora.dropout, "0 or more, below 1"
    yield from _everywhere(recipe)
    limit = evaluation.limit
    yield limit is None or limit > 0, "evaluation.limit", limit, "at least 1, or null for all exams"
    size = evaluation.batch_size
    yield isinstance(size, str) or size > 0, "evaluation.batch_size", evaluation.batch_size, "at least 1"
    yield evaluation.samples >= 0, "evaluation.samples", evaluation.samples, "at least 0"


def _teacher(recipe: Recipe) -> Iterator[Rule]:
    """Yield the rules for the arguments of a teacher behind an API."""
    given, backend = recipe.sampling.model_args, recipe.sampling.backend
    expected = "the teacher's arguments where sampling.backend is api, else none"
    yield bool(given) == (backend == "api"), "sampling.model_args", sorted(given), expected
    for name in ("api_key", "header"):
        expected = "nothing: the folder of a run holds its recipe; set the provider's environment variable"
        yield name not in given, f"sampling.model_args.{name}", "given", expected
    expected = "nothing: sampling waits for its responses"
    yield "provider_batch" not in given, "sampling.model_args.provider_batch", given.get("provider_batch"), expected


EVERYWHERE = {
    **dict.fromkeys(("chat_template_args", "chat_template_kwargs", "enable_thinking"), "chat_template_kwargs"),
    "attn_implementation": "attn_implementation",
    **dict.fromkeys(("max_length", "max_model_len"), "context"),
    "gpu_memory_utilization": "vllm.gpu_memory_utilization",
    "tensor_parallel_size": "vllm.tensor_parallel_size",
}
"""Arguments of lm_eval's models that are settings of the whole recipe, each with its key there."""


def _everywhere(recipe: Recipe) -> Iterator[Rule]:
    """Yield the rules for settings of all stages and the evaluation."""
    yield (
        recipe.chat or not recipe.chat_template_kwargs,
        "chat_template_kwargs",
        recipe.chat_template_kwargs,
        ("none without a chat template (chat is false)"),
    )
    longest, context, vllm = max(recipe.budgets, default=0), recipe.context, recipe.vllm
    expected = f"more than the largest budget ({longest}): the prompt takes tokens as well, or null"
    yield context is None or context > longest, "context", context, expected
    for name in ("gpu_memory_utilization", "beside_training"):
        share = getattr(vllm, name)
        yield share is None or 0 < share <= 1, f"vllm.{name}", share, "a share above 0, at most 1"
    yield vllm.tensor_parallel_size > 0, "vllm.tensor_parallel_size", vllm.tensor_parallel_size, "at least 1"
    for name, value in recipe.evaluation.model_args.items():
        yield (
            name not in EVERYWHERE,
            f"evaluation.model_args.{name}",
            value,
            (f"nothing: it would hold in the evaluation alone; set {EVERYWHERE.get(name)} for the whole recipe"),
        )


def _mft(recipe: Recipe) -> Iterator[Rule]:
    mft = recipe.mft
    for name, count in (("singles", mft.singles), ("exams", mft.exams), ("solo", mft.solo)):
        yield count >= 0, f"mft.{name}", count, "at least 0"
    yield mft.singles + mft.exams > 0, "mft.exams", mft.exams, "some examples"
    yield 0 <= mft.over_budget_kept <= 1, "mft.over_budget_kept", mft.over_budget_kept, "0 to 1"
    yield from _shares("mft.orders", mft.orders)
    whole = all(mft.orders[order] == int(mft.orders[order]) for order in ORDERS)
    yield whole, "mft.orders", asdict(mft.orders), "whole numbers: orders come in turn"
    yield recipe.rate("mft") > 0, "mft.learning_rate", mft.learning_rate, "above 0"
    yield mft.epochs > 0, "mft.epochs", mft.epochs, "above 0"


def _shares(key: str, orders: OrderShares) -> Iterator[Rule]:
    shares = [orders[order] for order in ORDERS]
    fine = all(share >= 0 and isfinite(share) for share in shares) and sum(shares) > 0
    yield fine, key, asdict(orders), "shares of at least 0, one of them above 0"


def _rarl(recipe: Recipe) -> Iterator[Rule]:
    rarl = recipe.rarl
    curriculum = rarl.curriculum
    yield rarl.steps > 0, "rarl.steps", rarl.steps, "at least 1"
    yield rarl.generations > 1, "rarl.generations", rarl.generations, "at least 2: a group of one has no baseline"
    yield recipe.rate("rarl") > 0, "rarl.learning_rate", rarl.learning_rate, "above 0"
    yield rarl.temperature > 0, "rarl.temperature", rarl.temperature, "above 0"
    yield from _shares("rarl.orders", rarl.orders)
    parts = set(curriculum) <= set(recipe.budgets) and sum(curriculum.values()) <= 1
    expected = f"shares of the steps (together at most 1) for budgets out of {list(recipe.budgets)}"
    yield parts and min(curriculum.values(), default=0) >= 0, "rarl.curriculum", curriculum, expected
    fault = rarl.reward.format_fault
    yield fault >= 0, "rarl.reward.format_fault", fault, "at least 0"
    yield rarl.evaluate_every >= 0, "rarl.evaluate_every", rarl.evaluate_every, "at least 0"
    held_out = rarl.evaluation_exams
    yield held_out > 0 or rarl.evaluate_every == 0, "rarl.evaluation_exams", held_out, "at least 1"
    yield held_out >= 0, "rarl.evaluation_exams", held_out, "at least 0"
    judged = rarl.evaluate_every > 0 or rarl.patience == 0
    yield rarl.patience >= 0 and judged, "rarl.patience", rarl.patience, "at least 0, and 0 where evaluate_every is 0"


# Arguments of TRL's configuration classes that a recipe may set under ``trainer``.

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
    "model_init_kwargs": "the model is loaded as model, dtype, attn_implementation and lora say",
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
    "chat_template_kwargs": "set chat_template_kwargs for the whole recipe",
    "vllm_max_model_length": "set context for the whole recipe",
    "vllm_gpu_memory_utilization": "set vllm.beside_training",
    "vllm_tensor_parallel_size": "set vllm.tensor_parallel_size for the whole recipe",
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
