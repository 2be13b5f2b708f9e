"""Meta-Cognitive Fine-Tuning: sample, label, build examples, train on them with TRL's SFTTrainer (SPEC section 12)."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

from roi_bench.exams.exam import sha256_text
from roi_bench.records.journal import canonical_json
from roi_bench.training.data import (
    MFT_STREAM,
    chat_wrapper,
    refuse_evaluation_questions,
    sampled_problems,
    stream_seed,
    trl_prompt,
)
from roi_bench.training.mft.labels import Example, LabelledProblem, balance, check_labels, label, mft_examples
from roi_bench.training.mft.sampling import (
    VLLM_BATCH,
    Generator,
    choose_backend,
    grade_samples,
    on_gpu,
    release_memory,
    sample_solutions,
    sampling_requests,
    solution_cap,
    transformers_generator,
    vllm_generator,
)
from roi_bench.training.plan.recipe import Recipe
from roi_bench.training.plan.trainer_arguments import FIXED_SFT, check_trainer_arguments, renamed_arguments
from roi_bench.training.stages.model import (
    accumulation,
    adapter_settings,
    base_model_name,
    load_model,
    load_tokenizer,
    place_settings,
    save_stage,
    stage_record,
    start_of,
    train_to_the_end,
)


def make_labels(recipe: Recipe, out: Path) -> list[LabelledProblem]:
    """Return the labelled training problems, sampling what ``out / "samples.jsonl"`` does not hold yet.

    Raises:
        DataError: A pool is missing, or a class of labels is empty.
        ModelError: The model cannot be loaded, or never writes an answer that can be read.
        RecordError: The journal is damaged or of another run.
    """
    from roi_bench.grading.grader import shared_grader
    from roi_bench.records.journal import Header
    from roi_bench.records.tokenizer import HFTokenCounter

    name = base_model_name(recipe)
    tokenizer = load_tokenizer(name)
    problems = sampled_problems(recipe.family, recipe.sampling.problems, stream_seed(recipe.seed, MFT_STREAM))
    refuse_evaluation_questions((item.question for items in problems.values() for item in items), recipe.family)
    requests = sampling_requests(recipe, problems, chat_wrapper(recipe, tokenizer))
    cap = solution_cap(recipe, problems)
    backend = choose_backend(recipe.sampling.backend)
    batch_size = VLLM_BATCH if backend == "vllm" else recipe.sampling.batch_size
    header = Header(
        {"model": recipe.model, "family": recipe.family, "seed": recipe.seed, "dtype": recipe.dtype},
        {"backend": backend, "batch_size": batch_size},
    )

    def make_generator() -> Generator:
        if backend == "vllm":
            return vllm_generator(name, tokenizer, recipe.sampling.temperature, cap)
        model = on_gpu(load_model(name, recipe).eval())
        return transformers_generator(model, tokenizer, recipe.sampling.temperature, cap)

    entries = sample_solutions(
        requests, header, out / "samples.jsonl", make_generator, batch_size, recipe.seed * 1_000_003
    )
    release_memory()
    samples = grade_samples(requests, entries, shared_grader(), cap)
    counter = HFTokenCounter(tokenizer)
    labels = [
        label(problem, tier, samples[problem.id], counter, recipe.labels)
        for tier, items in problems.items()
        for problem in items
    ]
    check_labels(labels)
    return balance(labels, recipe.labels, recipe.seed)


def make_examples(recipe: Recipe, labels: list[LabelledProblem]) -> list[Example]:
    """Return the examples of MFT in the order of training."""
    return mft_examples(labels, recipe.budgets, recipe.mft, stream_seed(recipe.seed, MFT_STREAM))


def train_mft(recipe: Recipe, examples: list[Example], out: Path) -> Path:
    """Train on ``examples`` and return the folder of the model; continues from a checkpoint in ``out`` if there is one.

    Raises:
        UsageError: The checkpoints are of a training on other examples.
        ModelError: Out of memory.
    """
    from datasets import Dataset
    from transformers import set_seed
    from trl import SFTTrainer

    name = base_model_name(recipe)
    tokenizer = load_tokenizer(name)
    set_seed(recipe.seed)
    rows = Dataset.from_list([sft_row(example, recipe.chat, tokenizer) for example in examples])
    inputs = {"model to start from": start_of(name), "set of examples": sha256_text(canonical_json(rows.to_list()))}
    trainer = SFTTrainer(
        model=load_model(name, recipe),
        args=sft_arguments(recipe, out / "mft-checkpoints"),
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=adapter_settings(recipe.lora),
    )
    lower = "mft.device_batch_size (the step stays the same by accumulation)"
    seconds = train_to_the_end(trainer, out / "mft-checkpoints", lower, inputs)
    data = dict(Counter(f"{example.kind} examples" for example in examples))
    record = stage_record("mft", recipe, trainer, data, inputs, seconds)
    save_stage(trainer, name, recipe, out / "mft", record)
    return out / "mft"


def sft_row(example: Example, chat: bool, tokenizer: Any) -> dict[str, Any]:
    """Return an example in TRL's prompt–completion form, conversational where prompts are chat messages."""
    completion = [{"role": "assistant", "content": example.completion}] if chat else example.completion
    return {"prompt": trl_prompt(example.prompt, chat, tokenizer), "completion": completion}


def sft_arguments(recipe: Recipe, checkpoints: Path) -> Any:
    """Return TRL's configuration of this stage.

    Raises:
        UsageError: A key under ``mft.trainer`` is unknown or fixed by the method, or a step cannot be divided.
        ValueError: TRL refuses a value; ``argument_checks.try_arguments`` says which.
        TypeError: The same.
    """
    from trl import SFTConfig

    settings = recipe.mft
    known = {item.name for item in fields(SFTConfig)}
    check_trainer_arguments(known, settings.trainer, FIXED_SFT, f"recipe {recipe.name}: mft.trainer")
    given = {
        **place_settings(recipe),
        "learning_rate": settings.learning_rate,
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.device_batch_size,
        "gradient_accumulation_steps": accumulation(settings.batch_size, settings.device_batch_size),
        "completion_only_loss": True,
        "train_sampling_strategy": "sequential",  # the examples stand in the order of the curriculum
        "max_length": None,
        "logging_steps": 10,
        "save_steps": 200,
        "save_total_limit": 2,
        **renamed_arguments(settings.trainer, known),
    }
    return SFTConfig(output_dir=str(checkpoints), **given)
