"""What a recipe needs around it: versions, arguments of the trainers, pools, batches that divide. No model."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from math import gcd
from typing import Literal

from packaging.requirements import Requirement

from roi_bench.diagnosis import judge_version, split_requirements
from roi_bench.errors import DataError, DependencyError, UsageError, first_line
from roi_bench.exams.exam import POOL_TIERS, TIERS
from roi_bench.reference_training.argument_checks import step_sizes, try_arguments, visible_gpus_fault
from roi_bench.reference_training.recipe import Recipe, TierCounts
from roi_bench.reference_training.stage_model import launched_processes
from roi_bench.reference_training.trainer_arguments import check_trainer_arguments, fixed_arguments

Stages = frozenset[str]
"""Some of ``mft``, ``rarl`` and ``evaluate``."""

Installed = Callable[[str], str | None]
"""Says which version of a distribution is installed; None if it is not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        kind: ``ok``; ``warning``: it may work, or not as meant; ``problem``: the run would stop.
        what: What was looked at.
        detail: What was found, one line, with what to do where it is no ``ok``.
    """

    kind: Literal["ok", "warning", "problem"]
    what: str
    detail: str


def check_versions(recipe: Recipe, stages: Stages, installed: Installed) -> Iterator[Finding]:
    """Compare what is installed with what the recipe needs; one finding for all that is well."""
    always, extras = split_requirements(importlib.metadata.requires("roi-bench") or [])
    asked = {item.name: item for item in (*always, *extras.get("train", []))}
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
        detail = "vllm is not installed, so transformers samples the solutions, many times slower; pip install vllm"
        yield Finding("warning", "sampling", detail)


def _needed(recipe: Recipe, stages: Stages) -> dict[str, str]:
    """Return the distributions that the stages need, each with what for."""
    needed = dict.fromkeys(("torch", "transformers", "trl", "accelerate", "datasets"), "training")
    if recipe.lora is not None:
        needed["peft"] = "lora"
        if recipe.lora.quantised:
            needed["bitsandbytes"] = "lora.quantised"
    if "mft" in stages and recipe.sampling.backend == "vllm":
        needed["vllm"] = "sampling.backend"
    if "rarl" in stages and recipe.rarl.rollouts != "transformers":
        needed["vllm"] = "rarl.rollouts"
    if "evaluate" in stages and recipe.evaluation.backend == "vllm":
        needed.setdefault("vllm", "evaluation.backend")
    if launched_with("DEEPSPEED"):
        needed["deepspeed"] = "accelerate launch with a DeepSpeed configuration"
    return needed


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
    """Check that one process sees one GPU at most where it trains."""
    if processes == 1 and stages & {"mft", "rarl"} and (fault := visible_gpus_fault()):
        yield Finding("problem", "GPUs", fault)


def check_data(recipe: Recipe, stages: Stages) -> Iterator[Finding]:
    """Look whether the training problems are there, where they come from, and whether there are enough."""
    if recipe.family == "tiny":
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
    from roi_bench.reference_training.training_problems import sampled_problems

    try:
        usable = sampled_problems(recipe.family, TierCounts(*[10**9] * len(TIERS)), recipe.seed)
    except DataError as error:
        yield Finding("problem", "training problems", str(error))
        return
    for tier in TIERS:
        there, asked = len(usable[tier]), recipe.sampling.problems[tier]
        if there < asked:
            detail = f"{asked} asked for, {there} can be used (others are held out or unfit); all are taken"
            yield Finding("warning", f"sampling.problems.{tier}", detail)


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
