"""Loading a model for a stage, and writing the folder that the stage leaves: weights, tokenizer, record."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError, ModelError, UsageError, first_line
from roi_bench.reference_training.recipe import Lora, Recipe, recipe_text


def base_model_name(recipe: Recipe) -> str:
    """Return the folder or hub name of the base model; ``tiny`` stands for the shipped one."""
    from roi_bench.exams.tiny import model_path

    return str(model_path()) if recipe.model == "tiny" else recipe.model


def load_tokenizer(name: str) -> Any:
    """Return the tokenizer of ``name``, with a padding token.

    Raises:
        ModelError: It cannot be loaded.
    """
    from roi_bench.harness.tokenizer import load_tokenizer as load

    tokenizer = load(name)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(name: str, recipe: Recipe) -> Any:
    """Return the causal language model of ``name`` in the recipe's type (4 bits for QLoRA).

    Raises:
        ModelError: It cannot be loaded.
        DependencyError: QLoRA without bitsandbytes.
    """
    import torch
    from transformers import AutoModelForCausalLM

    settings: dict[str, Any] = {"dtype": getattr(torch, recipe.dtype)}
    if recipe.lora is not None and recipe.lora.quantised:
        settings["quantization_config"] = _four_bits(recipe.dtype)
    try:
        return AutoModelForCausalLM.from_pretrained(name, **settings)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"cannot load model {name!r}: {first_line(error)}; give a folder with config.json, or the "
            "name of a model on the hub that can be reached"
        ) from error


def _four_bits(dtype: str) -> Any:
    from importlib.util import find_spec

    if find_spec("bitsandbytes") is None:
        raise DependencyError("lora.quantised needs bitsandbytes; pip install bitsandbytes (CUDA only)")
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, dtype)
    )


def adapter_settings(lora: Lora | None) -> Any:
    """Return peft's configuration for TRL's trainers, None for full fine-tuning."""
    if lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def place_settings(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of TRL's configurations that say where and in which precision a stage runs."""
    import torch

    cuda = torch.cuda.is_available()
    return {
        "bf16": recipe.dtype == "bfloat16",
        "fp16": False,
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        _checkpointing_name(): cuda,
        "report_to": "none",
        "seed": recipe.seed,
    }


def _checkpointing_name() -> str:
    """Return what transformers calls gradient checkpointing; the older name warns where the newer one is known."""
    from transformers import TrainingArguments

    known = {item.name for item in fields(TrainingArguments)}
    return "activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing"


def save_stage(trainer: Any, name: str, recipe: Recipe, folder: Path, record: Mapping[str, Any]) -> None:
    """Write the model of a finished stage to ``folder``, adapters merged, and ``training.json`` beside it.

    The Trainer saves, so that sharded weights are gathered; all processes must call this.

    Args:
        trainer: The trainer of the stage.
        name: Model that the stage started from; adapters are merged into it.
        recipe: The recipe.
        folder: Where to.
        record: Content of ``training.json``, which comes last: a folder that has it is complete.
    """
    saved = folder if recipe.lora is None else folder.with_name(f"{folder.name}-adapters")
    trainer.save_model(str(saved))
    if not trainer.accelerator.is_main_process:
        return
    if recipe.lora is not None:
        from peft import PeftModel
        from transformers.integrations import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()  # else ZeRO-3 waits for the other processes to load the base as well
        base = load_model(name, replace(recipe, lora=None))
        PeftModel.from_pretrained(base, str(saved)).merge_and_unload().save_pretrained(folder)
        load_tokenizer(name).save_pretrained(folder)
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle; training.json says more
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes files that only their owner can read
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def device_name() -> str:
    """Return what this process trains on, in words."""
    import platform

    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}"
    return f"{torch.get_num_threads()} CPU threads ({platform.machine()})"


def stage_record(
    stage: str, recipe: Recipe, trainer: Any, data: Mapping[str, int], inputs: Mapping[str, str], seconds: int
) -> dict[str, Any]:
    """Return the content of ``training.json``: all that decided the outcome, and how the training went."""
    import torch
    import transformers
    import trl

    from roi_bench import __version__

    return {
        "stage": stage,
        "data": dict(data),
        "inputs": dict(inputs),
        "recipe": recipe_text(recipe),
        "steps": trainer.state.global_step,
        "kept_step": trainer.state.best_global_step
        if trainer.args.load_best_model_at_end
        else trainer.state.global_step,
        "seconds": seconds,
        "device": device_name(),
        "versions": {
            "roi-bench": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "trl": trl.__version__,
        },
        "log": trainer.state.log_history,
    }


def launched_processes() -> int:
    """Return how many processes a launcher started, one a device; 1 without one.

    Raises:
        UsageError: The environment variable WORLD_SIZE is no number.
    """
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdigit():
        raise UsageError(f"the environment variable WORLD_SIZE is {text!r}; expected a number of processes")
    return int(text)


def accumulation(total: int, device_batch_size: int) -> int:
    """Return the forward passes of an optimizer step on each process.

    Raises:
        UsageError: ``total`` cannot be divided so.
    """
    processes = launched_processes()
    if total % (device_batch_size * processes):
        raise UsageError(
            f"a step of {total} cannot be divided among {processes} processes with {device_batch_size} each; make it a "
            f"multiple of {processes * device_batch_size}"
        )
    return total // (device_batch_size * processes)
