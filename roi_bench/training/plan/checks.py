"""Checks of a recipe's surroundings: versions, trainer arguments, pools, batch sizes. No model is loaded."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import gcd
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_type_hints

from packaging.requirements import Requirement

from roi_bench.errors import DataError, DependencyError, UsageError, first_line
from roi_bench.exams.exam import POOL_TIERS, TIERS, Problem
from roi_bench.harness.installation import judge_version, split_requirements
from roi_bench.training.mft.mft import sft_arguments
from roi_bench.training.plan.recipe import Recipe, TierCounts
from roi_bench.training.plan.rules import check_trainer_arguments, exponent_remark, fixed_arguments
from roi_bench.training.rarl.rarl import grpo_arguments
from roi_bench.training.stages.model import accumulation, launched_processes

# Trying the trainers' arguments before anything is computed: TRL's configurations are built and discarded.

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
        UsageError: An argument under ``trainer`` cannot be set, or has an invalid value; a step cannot be
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
        UsageError: An argument under ``trainer`` cannot be set, or has an invalid value; or a step cannot
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
    """Return why TRL would not train on the visible GPUs; None if it would."""
    import torch

    count = torch.cuda.device_count()
    if count < 2 or launched_processes() > 1 or "LOCAL_RANK" in os.environ:
        return None
    return (
        f"{count} GPUs are visible to a single process, which TRL does not train on; start one process per GPU with "
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
    """Check numbers, booleans and choices, which TRL accepts unchecked and fails on during training."""
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


Stages = frozenset[str]
"""Some of ``mft``, ``rarl`` and ``evaluate``."""

Installed = Callable[[str], str | None]
"""Says which version of a distribution is installed; None if it is not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        kind: ``ok``; ``warning``: it may work, or not as meant; ``problem``: the run would stop.
        what: What was checked.
        detail: The finding in one line, with advice unless it is ``ok``.
    """

    kind: Literal["ok", "warning", "problem"]
    what: str
    detail: str


def check_versions(recipe: Recipe, stages: Stages, installed: Installed) -> Iterator[Finding]:
    """Compare installed versions with the recipe's requirements; one finding for all that are fine."""
    always, extras = split_requirements(importlib.metadata.requires("roi-bench") or [])
    trls, trls_vllm = trl_requirements()  # ours leave accelerate and datasets to it
    asked = {item.name: item for item in (*trls, *always, *extras.get("train", []))}
    if "rarl" in stages and recipe.rarl.rollouts != "transformers":
        asked |= {item.name: item for item in trls_vllm}
    well = []
    for name, reason in _needed(recipe, stages).items():
        found = judge_version(asked.get(name, Requirement(name)), installed(name))
        if found.status == "ok":
            well.append(f"{name} {found.detail}")
        else:
            yield Finding("problem", f"package {name}", f"{found.detail}, for {reason}; {found.advice}")
    if well:
        yield Finding("ok", "packages", ", ".join(well))
    sampling = recipe.sampling
    if "mft" in stages and recipe.family != "tiny" and sampling.backend == "auto" and installed("vllm") is None:
        detail = "vllm is not installed, so transformers samples the solutions, many times slower; "
        detail += "pip install 'roi-bench[train-vllm]'"
        yield Finding("warning", "sampling", detail)


def trl_requirements() -> tuple[list[Requirement], list[Requirement]]:
    """Return what the installed TRL requires by its own metadata, and what of vLLM; nothing without TRL."""
    try:
        lines = importlib.metadata.requires("trl") or []
    except importlib.metadata.PackageNotFoundError:
        return [], []
    always, extras = split_requirements(lines)
    return list(always), [item for item in extras.get("vllm", []) if item.name == "vllm"]


def _needed(recipe: Recipe, stages: Stages) -> dict[str, str]:
    """Return the distributions that the stages need, each with what for."""
    needed = dict.fromkeys(("torch", "transformers", "trl", "accelerate", "datasets"), "training")
    if recipe.lora is not None:
        needed["peft"] = "lora"
        if recipe.lora.quantised:
            needed["bitsandbytes"] = "lora.quantised"
    if "mft" in stages and recipe.sampling.backend == "vllm":
        needed["vllm"] = "sampling.backend"
    if "mft" in stages and recipe.sampling.backend == "api":
        needed["litellm"] = "sampling.backend"
    if "rarl" in stages and recipe.rarl.rollouts != "transformers":
        needed["vllm"] = "rarl.rollouts"
    if "evaluate" in stages and recipe.evaluation.backend == "vllm":
        needed.setdefault("vllm", "evaluation.backend")
    if launched_with("DEEPSPEED"):
        needed["deepspeed"] = "accelerate launch with a DeepSpeed configuration"
    return needed


def _has_cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def launched_with(plugin: str) -> bool:
    """Tell whether ``accelerate launch`` started this process with ``FSDP`` or ``DEEPSPEED``."""
    return os.environ.get(f"ACCELERATE_USE_{plugin}", "false").lower() == "true"


def check_arguments(recipe: Recipe, stages: Stages) -> Iterator[Finding]:
    """Check the mappings ``trainer``: TRL's configurations are built from them, without a model."""
    try:
        from trl import GRPOConfig, SFTConfig
    except (ImportError, RuntimeError) as error:
        detail = f"cannot be imported ({first_line(error)}); pip install 'roi-bench[train]'"
        yield Finding("problem", "package trl", detail)
        return
    for stage, kind, given in (("mft", SFTConfig, recipe.mft.trainer), ("rarl", GRPOConfig, recipe.rarl.trainer)):
        if stage not in stages:
            continue
        where = f"{stage}.trainer"
        known = {item.name for item in fields(kind)}
        try:
            check_trainer_arguments(known, given, fixed_arguments(recipe, stage), where)
            total, device = step_sizes(recipe, stage)
            if total % (device * launched_processes()) == 0:  # else nothing can be built, and the batches say so
                try_arguments(recipe, stage)
        except (UsageError, DependencyError) as error:
            yield Finding("problem", where, str(error))
        else:
            yield Finding("ok", where, f"{', '.join(given) or 'nothing'} for trl.{kind.__name__}")


def check_visible_gpus(stages: Stages, processes: int) -> Iterator[Finding]:
    """Check that one process sees one GPU at most where it trains, and that FSDP finds any."""
    if launched_with("FSDP") and not _has_cuda():
        detail = "accelerate falls back to DDP on a CPU, where every process holds all weights; launch it on GPUs"
        yield Finding("warning", "FSDP", detail)
    if processes == 1 and stages & {"mft", "rarl"} and (fault := visible_gpus_fault()):
        yield Finding("problem", "GPUs", fault)


def check_data(recipe: Recipe, stages: Stages) -> Iterator[Finding]:
    """Check that the training problems are available, where they come from, and whether there are enough."""
    if recipe.family != "v1":
        from roi_bench.training.data import sampled_problems

        try:
            sampled_problems(recipe.family, TierCounts(1, 1, 1), recipe.seed)
        except (DataError, DependencyError) as error:
            yield Finding("problem", "training problems", str(error))
        else:
            yield Finding("ok", "training problems", "generated from the seed; nothing to download")
        return
    from roi_bench.exams.pools import load_pool, resolve_source

    source, missing = resolve_source(), False
    for pool in POOL_TIERS:
        try:
            count = len(load_pool(pool, "training", source))
        except (DataError, DependencyError) as error:
            missing = True
            yield Finding("problem", f"pool {pool}", str(error))
        else:
            place = "the Hugging Face hub" if source == "hub" else source
            yield Finding("ok", f"pool {pool}", f"{count} training problems, from {place}")
    if missing or "mft" not in stages:
        return
    from roi_bench.training.data import sampled_problems

    try:
        usable = sampled_problems(recipe.family, TierCounts(*[10**9] * len(TIERS)), recipe.seed)
    except DataError as error:
        yield Finding("problem", "training problems", str(error))
        return
    yield from _repeated(recipe, usable, stages)
    for tier in TIERS:
        there, asked = len(usable[tier]), recipe.sampling.problems[tier]
        if there < asked:
            detail = f"{asked} asked for, {there} can be used (others are held out or unfit); all are taken"
            yield Finding("warning", f"sampling.problems.{tier}", detail)


REPEATED = 10
"""Exams of RARL with the same problem from which on the plan warns of it."""


def _repeated(recipe: Recipe, usable: Mapping[str, Sequence[Problem]], stages: Stages) -> Iterator[Finding]:
    """Warn where a tier has so few problems that each stands in many exams: a model may learn them by heart."""
    exams = recipe.rarl.steps * recipe.rarl.prompts
    for tier in TIERS if "rarl" in stages else ():
        times = exams / len(usable[tier])
        if times >= REPEATED:
            detail = (
                f"each of {len(usable[tier])} {tier} problems stands in about {times:.0f} of {exams:,} exams, with "
            )
            detail += f"{recipe.rarl.generations} responses each; family: fresh has no end of problems"
            yield Finding("warning", "repeated problems", detail)


def check_curriculum(recipe: Recipe, stages: Stages) -> Iterator[Finding]:
    """Warn of a curriculum that starts again in the middle."""
    if "mft" in stages and recipe.mft.epochs > 1 and recipe.mft.singles > 0:
        detail = (
            f"{recipe.mft.epochs:g}: single problems come first in each pass, so that the curriculum starts again; "
        )
        detail += "take 1 and more mft.exams"
        yield Finding("warning", "mft.epochs", detail)


def check_batches(recipe: Recipe, stages: Stages, processes: int) -> Iterator[Finding]:
    """Check that a step divides into processes × device batch; the quotient is the gradient accumulation."""
    mft, rarl = recipe.mft, recipe.rarl
    if "mft" in stages:
        yield _division("mft", mft.batch_size, processes, mft.device_batch_size, ("mft.batch_size", 1))
    if "rarl" in stages:
        total = rarl.prompts * rarl.generations
        yield _division("rarl", total, processes, rarl.device_batch_size, ("rarl.prompts", rarl.generations))


def _division(stage: str, total: int, processes: int, device: int, name: tuple[str, int]) -> Finding:
    """Return whether ``total`` divides; ``name`` is the setting to change, and how many of the total each of it is."""
    what = f"{stage} batches"
    if total % (processes * device) == 0:
        passes = total // (processes * device)
        return Finding("ok", what, f"{total} a step = {processes} × {device} on a device × {passes} passes")
    ways = []
    sizes = device_batch_sizes(total, processes, device)
    if sizes:
        ways.append(f"{stage}.device_batch_size: {' or '.join(map(str, sizes))}")
    setting, each = name
    step = processes * device // gcd(processes * device, each)  # smallest change of the setting that divides
    wanted = total // each
    near = [value for value in (wanted // step * step, (wanted // step + 1) * step) if value > 0]
    ways.append(f"{setting}: {' or '.join(map(str, near))}")
    detail = f"{total} a step does not divide into {processes} processes × {device} on a device"
    return Finding("problem", what, f"{detail}; set {', or '.join(ways)}")


def device_batch_sizes(total: int, processes: int, wanted: int) -> list[int]:
    """Return the at most two sizes of a device batch nearest to ``wanted`` that divide a step of ``total`` evenly."""
    share, rest = divmod(total, processes)
    if rest:
        return []
    sizes = [size for size in range(1, share + 1) if share % size == 0]
    return sorted(sorted(sizes, key=lambda size: (abs(size - wanted), size))[:2])
