"""Models of a stage: loading one, resuming from a checkpoint, and the folder that a stage writes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

from roi_bench.errors import DependencyError, ModelError, RecordError, UsageError, first_line
from roi_bench.harness.run_record import fingerprint
from roi_bench.machine import write_atomically
from roi_bench.training.plan.recipe import Lora, Recipe, differences, recipe_text, stage_settings

# Resuming training from checkpoints, and only from those of the same training.

IDENTITY = "training.json"
"""File beside the checkpoints: what the training started from, its settings, and the seconds that it has taken so far.

The model of a finished stage has one of the same name, with the same ``inputs`` and ``settings``."""

OLDER = "was made by an older version of roi-bench, which did not record what each stage depends on"


def check_settings_of(known: object, asked: Mapping[str, Any], where: Path) -> bool:
    """Make sure that a stage was made with the settings that the recipe asks for.

    A finished RARL may be asked for more steps, as long as its first ones stay what they were: not with a curriculum,
    whose shares would stretch.

    Args:
        known: Settings that were recorded, as :func:`~roi_bench.training.plan.recipe.stage_settings` returns them.
        asked: The recipe's.
        where: What was made with them.

    Returns:
        Whether more steps are asked for.

    Raises:
        RecordError: None were recorded, as by older versions.
        UsageError: They are others.
    """
    if not isinstance(known, Mapping):
        raise RecordError(f"{where} {OLDER}; give another --out, or the version of roi-bench that made it")
    steps, more = "rarl.steps", False
    there = dict(known)
    if steps in there and steps in asked and asked[steps] > there[steps]:
        if any(key.startswith("rarl.curriculum.") for key in asked):
            raise UsageError(
                f"{where} has {there[steps]} steps, {asked[steps]} are asked for: with rarl.curriculum the first ones "
                "would have been others; give another --out"
            )
        there[steps], more = asked[steps], True
    if changed := differences(there, asked):
        raise UsageError(
            f"{where} was made with other settings ({'; '.join(changed[:3])}); give another --out, the settings it was "
            "made with, or remove it"
        )
    return more


def is_main_process() -> bool:
    """Return whether this is the first of the processes that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a failure of torch says that memory ran out, on a GPU or a CPU."""
    return any(words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory"))


def is_disk_full(error: BaseException) -> bool:
    """Return whether a failure says that a disk, or a quota on it, is full."""
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        return True
    # safetensors says so in words; torch's writer only that its file has another length than was written
    return any(words in str(error) for words in ("No space left", "inline_container", "iostream error"))


def start_of(model: str) -> str:
    """Return the identity of the weights that a stage starts from: a hash of the folder's files, or the hub's name."""
    return fingerprint(Path(model)) if Path(model).is_dir() else model


def train_to_the_end(
    trainer: Any,
    checkpoints: Path,
    lower: str,
    inputs: Mapping[str, str],
    settings: Mapping[str, Any],
    patience: int = 0,
) -> int:
    """Train, from the newest complete checkpoint in ``checkpoints`` if there is one.

    Args:
        trainer: A Trainer.
        checkpoints: Its folder of checkpoints.
        lower: What to lower when memory runs out.
        inputs: Inputs besides the recipe, by name: weights to start from, data.
        settings: Settings of the recipe that the stage depends on.
        patience: Evaluations without a better one after which training ends; 0: it never does.

    Returns:
        Seconds of training, those before an interruption included.

    Raises:
        UsageError: The checkpoints are of a training with other inputs or settings.
        RecordError: It is unknown which training they belong to.
        ModelError: Out of memory, or the disk is full.
    """
    before = _claim(checkpoints, inputs, settings)
    checkpoint = last_checkpoint(checkpoints)
    if checkpoint is not None and patience and _bad_evaluations(checkpoint) >= patience:
        _load_best(trainer, checkpoint)
        return before
    started = time.monotonic()
    try:
        _train(trainer, checkpoint, checkpoints, lower)
    finally:
        seconds = before + round(time.monotonic() - started)
        with suppress(OSError):  # on a full disk the error that is under way says more
            _write(checkpoints, inputs, settings, seconds)
    return seconds


def _train(trainer: Any, checkpoint: str | None, checkpoints: Path, lower: str) -> None:
    """Train; memory and disk that run out are named, and what goes on from there."""
    from safetensors import SafetensorError

    try:
        trainer.train(resume_from_checkpoint=checkpoint)
    except (RuntimeError, OSError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise ModelError(
                f"out of memory; lower {lower} and run the same command again: it resumes from the checkpoints in "
                f"{checkpoints}. Or train adapters (lora: {{rank: 32}}) in another --out"
            ) from error
        if is_disk_full(error):
            raise ModelError(
                f"the disk is full: a checkpoint could not be written to {checkpoints}; free some space and run the "
                "same command again: it resumes from the newest whole checkpoint there"
            ) from error
        raise


def last_checkpoint(folder: Path) -> str | None:
    """Return the newest complete Trainer checkpoint in ``folder``, or None.

    ``trainer_state.json`` is what the Trainer writes last: a checkpoint without it was cut off.
    """
    complete = [state.parent for state in folder.glob("checkpoint-*/trainer_state.json")]
    return str(max(complete, key=lambda path: int(path.name.rpartition("-")[2]))) if complete else None


def _claim(checkpoints: Path, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> int:
    """Make sure that the checkpoints are of a training with these inputs and settings; return its seconds so far."""
    path = checkpoints / IDENTITY
    if not path.exists():
        if last_checkpoint(checkpoints) is not None:
            raise RecordError(
                f"{checkpoints} has checkpoints but no {IDENTITY}, so their starting point is unknown; "
                "remove the folder to train from the beginning"
            )
        _write(checkpoints, inputs, settings, 0)
        return 0
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        there, seconds = dict(known["inputs"]), int(known["seconds"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path} is damaged; remove {checkpoints} to train from the beginning") from error
    if there != dict(inputs):
        changed = sorted(name for name in {*there, *inputs} if there.get(name) != inputs.get(name))
        raise UsageError(
            f"{checkpoints} has checkpoints of a training with another {' and another '.join(changed)}; remove the "
            "folder to train from the beginning, or give another --out"
        )
    if last_checkpoint(checkpoints) is not None:
        check_settings_of(known.get("settings"), settings, checkpoints)
    return seconds


def _write(checkpoints: Path, inputs: Mapping[str, str], settings: Mapping[str, Any], seconds: int) -> None:
    if is_main_process():
        checkpoints.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"inputs": dict(inputs), "settings": dict(settings), "seconds": seconds}) + "\n"
        write_atomically(checkpoints / IDENTITY, content.encode("utf-8"))


def _load_best(trainer: Any, checkpoint: str) -> None:
    """Load the best checkpoint of an early-stopped training that was killed before saving its model.

    The Trainer cannot resume without another step, so its own method for loading the best checkpoint is called.
    """
    from transformers import TrainerState

    trainer.state = TrainerState.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
    trainer._load_best_model()


def _bad_evaluations(checkpoint: str) -> int:
    """Return the number of evaluations without improvement when ``checkpoint`` was written."""
    state = json.loads((Path(checkpoint) / "trainer_state.json").read_text(encoding="utf-8"))
    stored = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
    first = stored[0] if isinstance(stored, list) else stored
    return int(first.get("attributes", {}).get("early_stopping_patience_counter", 0))


# Loading a model for a stage, and writing the folder that the stage leaves: weights, tokenizer, record.


def base_model_name(recipe: Recipe) -> str:
    """Return the folder or hub name of the base model; ``tiny`` stands for the shipped one."""
    from roi_bench.exams.tiny import model_path

    return str(model_path()) if recipe.model == "tiny" else recipe.model


def load_tokenizer(name: str) -> Any:
    """Return the tokenizer of ``name``, with a padding token.

    Raises:
        ModelError: It cannot be loaded.
    """
    from roi_bench.records.tokenizer import load_tokenizer as load

    tokenizer = load(name)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(name: str, recipe: Recipe) -> Any:
    """Return the causal language model of ``name`` in the recipe's type (4 bits for QLoRA).

    Raises:
        ModelError: It cannot be loaded, or its context is shorter than the largest budget.
        DependencyError: QLoRA without bitsandbytes.
    """
    import torch
    from transformers import AutoModelForCausalLM

    settings: dict[str, Any] = {"dtype": getattr(torch, recipe.dtype)}
    if recipe.attn_implementation is not None:
        settings["attn_implementation"] = recipe.attn_implementation
    if recipe.lora is not None and recipe.lora.quantised:
        settings["quantization_config"] = _four_bits(recipe.dtype)
    try:
        model = AutoModelForCausalLM.from_pretrained(name, **settings)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"cannot load model {name!r}: {first_line(error)}; give a folder with config.json, or the "
            "name of a model on the hub that can be reached"
        ) from error
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and recipe.budgets[-1] >= context:
        raise ModelError(
            f"{name} holds {context} tokens, prompt included, and the largest budget is {recipe.budgets[-1]}; lower "
            "budgets, or take a model with a longer context"
        )
    return model


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
    """Return the arguments of TRL's configurations for device and precision."""
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
    """Return transformers' name of gradient checkpointing; where the newer name is known, the older one warns."""
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
    if trainer.accelerator.is_main_process:
        (folder / "training.json").unlink(missing_ok=True)  # of the model that this one replaces
    trainer.save_model(str(saved))
    if not trainer.accelerator.is_main_process:
        return
    if recipe.lora is not None:
        from peft import PeftModel
        from transformers.integrations import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()  # else ZeRO-3 waits for the other processes to load the base as well
        # in float32, also on disk: what an adapter adds to a bfloat16 weight may be less than its rounding
        base = load_model(name, replace(recipe, lora=None, dtype="float32"))
        PeftModel.from_pretrained(base, str(saved)).merge_and_unload().save_pretrained(folder)
        load_tokenizer(name).save_pretrained(folder)
    _write_plain_generation_config(folder)
    (folder / "training_args.bin").unlink(missing_ok=True)  # a pickle; training.json says more
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes files that only their owner can read
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _write_plain_generation_config(folder: Path) -> None:
    """Keep of a model's generation configuration only where a response begins and ends.

    Trained and rewarded were responses decoded neutrally; a penalty or ``top_k`` that the base model's configuration
    asks for would shape them wherever the model is used next.
    """
    from transformers import GenerationConfig

    if not (folder / "generation_config.json").is_file():
        return
    own = GenerationConfig.from_pretrained(folder)
    kept = {name: getattr(own, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    GenerationConfig(**{name: value for name, value in kept.items() if value is not None}).save_pretrained(folder)


def device_name() -> str:
    """Return the name of the training device."""
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
        "settings": stage_settings(recipe, stage),
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
