"""The trainers' arguments tried out before anything is computed: TRL's configurations are built, and thrown away."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from roi_bench.errors import DependencyError, UsageError, first_line
from roi_bench.reference_training.mft import sft_arguments
from roi_bench.reference_training.rarl import grpo_arguments
from roi_bench.reference_training.recipe import Recipe
from roi_bench.reference_training.recipe_checks import exponent_remark
from roi_bench.reference_training.stage_model import accumulation, launched_processes
from roi_bench.reference_training.trainer_arguments import check_trainer_arguments, fixed_arguments

_UNUSED = Path("unused")
"""Folder of checkpoints for a configuration that nothing is trained with; it is not made."""

_REFUSALS = (ValueError, TypeError, KeyError, OSError, RuntimeError)
"""What TRL's configurations raise about a value, a file that is not there among them."""

_PLAIN = {bool: "true or false", int: "a whole number", float: "a number"}


def require_arguments(recipe: Recipe, stages: Collection[str]) -> None:
    """Make sure that the trainers of ``stages`` will take their arguments and run here, before anything is computed.

    Args:
        recipe: The recipe.
        stages: Those that will be trained: ``mft``, ``rarl`` or both.

    Raises:
        UsageError: An argument under ``trainer`` cannot be set, or has a value that cannot be meant; a step cannot be
            divided among the processes; several GPUs are visible to a single process.
        DependencyError: What an argument names is not installed.
    """
    for stage in stages:
        try_arguments(recipe, stage)
    if stages and (fault := visible_gpus_fault()):
        raise UsageError(fault)


def step_sizes(recipe: Recipe, stage: str) -> tuple[int, int]:
    """Return how many sequences a step of ``mft`` or ``rarl`` has, and how many of them a device takes at a time."""
    if stage == "mft":
        return recipe.mft.batch_size, recipe.mft.device_batch_size
    return recipe.rarl.prompts * recipe.rarl.generations, recipe.rarl.device_batch_size


def try_arguments(recipe: Recipe, stage: str) -> None:
    """Build TRL's configuration of ``mft`` or ``rarl``; nothing is written.

    Raises:
        UsageError: An argument under ``trainer`` cannot be set, or has a value that cannot be meant; or a step cannot
            be divided among the processes.
        DependencyError: What an argument names is not installed.
    """
    from trl import GRPOConfig, SFTConfig

    where = f"recipe {recipe.name}: {stage}.trainer"
    kind = SFTConfig if stage == "mft" else GRPOConfig
    given = recipe.mft.trainer if stage == "mft" else recipe.rarl.trainer
    check_trainer_arguments({item.name for item in fields(kind)}, given, fixed_arguments(recipe, stage), where)
    _check_plain_values(kind, given, where)
    accumulation(*step_sizes(recipe, stage))
    if launched_processes() > 1 and "MASTER_ADDR" not in os.environ:
        return  # no launcher's doing: a configuration would wait for processes that it cannot find
    try:
        arguments = _made(recipe, stage, given)
    except ImportError as error:
        raise DependencyError(f"{where}: {first_line(error)}") from error
    except _REFUSALS as error:
        place, reason = _culprit(recipe, stage, given) or ("", error)
        raise UsageError(f"{where}{place}: TRL refuses it ({first_line(reason)}); change it or take it out") from error
    if arguments.fp16 and recipe.dtype == "bfloat16":
        raise UsageError(f"{where}.fp16 contradicts dtype: bfloat16; take it out, or set dtype: float32")
    if arguments.fp16 and arguments.device.type == "cpu":
        raise UsageError(f"{where}.fp16 needs a GPU; there is none, or use_cpu is set; take it out")
    _check_optimizer(arguments, where)
    _check_reports(arguments.report_to, f"{where}.report_to")


def visible_gpus_fault() -> str | None:
    """Return why TRL would not train on the GPUs that are visible here; None if it would."""
    import torch

    count = torch.cuda.device_count()
    if count < 2 or launched_processes() > 1 or "LOCAL_RANK" in os.environ:
        return None
    return (
        f"{count} GPUs are visible to a single process, which TRL does not train on; start one process a GPU with "
        "accelerate launch, or show it one: CUDA_VISIBLE_DEVICES=0"
    )


def _made(recipe: Recipe, stage: str, given: Mapping[str, Any]) -> Any:
    """Return TRL's configuration with ``given`` in place of what the recipe has under ``trainer``."""
    if stage == "mft":
        return sft_arguments(replace(recipe, mft=replace(recipe.mft, trainer=dict(given))), _UNUSED)
    return grpo_arguments(replace(recipe, rarl=replace(recipe.rarl, trainer=dict(given))), _UNUSED)


def _culprit(recipe: Recipe, stage: str, given: Mapping[str, Any]) -> tuple[str, Exception] | None:
    """Return the first argument that is refused by itself, with its value, and why; None if it takes several."""
    for name, value in given.items():
        try:
            _made(recipe, stage, {name: value})
        except _REFUSALS as error:
            return f".{name} is {value!r:.80}", error
    return None


def _check_plain_values(kind: type, given: Mapping[str, object], where: str) -> None:
    """Check numbers and truth values, which TRL takes as they are and stumbles over while it trains; and choices."""
    hints = get_type_hints(kind)
    choices = {item.name: tuple(item.metadata.get("choices") or ()) for item in fields(kind)}
    for name, value in given.items():
        if choices[name] and value not in choices[name]:
            known = ", ".join(map(str, choices[name]))
            raise UsageError(f"{where}.{name} is {value!r:.80}; expected one of {known}")
        members = get_args(hints[name]) or (hints[name],)
        plain = [member for member in members if member is not NoneType]
        if not plain or not set(plain) <= set(_PLAIN) or (value is None and NoneType in members):
            continue
        if not any(_is_plain(member, value) for member in plain):
            expected = " or ".join(_PLAIN[member] for member in plain)
            remark = exponent_remark(float if float in plain else plain[0], value)
            raise UsageError(f"{where}.{name} is {value!r:.80}; expected {expected}{remark}")


def _is_plain(kind: type, value: object) -> bool:
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    return isinstance(value, (int, float) if kind is float else kind)


def _check_optimizer(arguments: Any, where: str) -> None:
    """Check that the package of the optimizer is there; some optimizers ask for the model first and are not checked."""
    from transformers import Trainer

    try:
        Trainer.get_optimizer_cls_and_kwargs(arguments)
    except ImportError as error:
        raise DependencyError(f"{where}.optim is {arguments.optim.value!r}: {first_line(error)}") from error
    except ValueError as error:
        if "model" not in str(error):
            raise UsageError(f"{where}.optim is {arguments.optim.value!r}: {first_line(error)}") from error


def _check_reports(names: Collection[str], where: str) -> None:
    """Check names and packages of loggers as the Trainer does, which is built after the data have been made."""
    from transformers.integrations import get_reporting_integration_callbacks

    for name in names:
        try:
            loggers = get_reporting_integration_callbacks([name])
        except (ValueError, TypeError) as error:
            raise UsageError(f"{where} is {name!r:.80}: {first_line(error)}") from error
        try:
            for logger in loggers:
                logger()
        except (ImportError, RuntimeError, ValueError) as error:
            raise DependencyError(f"{where} is {name!r}: {first_line(error)}") from error
