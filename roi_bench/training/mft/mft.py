"""Meta-Cognitive Fine-Tuning: sample, label, build examples, train on them with TRL's SFTTrainer (SPEC section 12)."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from roi_bench.errors import DependencyError, ModelError, first_line
from roi_bench.exams.exam import TIERS, Problem, sha256_text
from roi_bench.records.journal import Entry, Header, Journal, RequestKey, canonical_json, request_key
from roi_bench.scoring.kinds import GraderLike, score_responses
from roi_bench.scoring.outcomes import Response, level_bounds, parse_response
from roi_bench.scoring.prompts import Message, exam_messages
from roi_bench.scoring.tokens import Usage
from roi_bench.training.data import (
    MFT_STREAM,
    chat_wrapper,
    refuse_evaluation_questions,
    sampled_problems,
    stream_seed,
    trl_prompt,
)
from roi_bench.training.mft.labels import (
    Example,
    LabelledProblem,
    SampledSolution,
    balance,
    check_labels,
    label,
    mft_examples,
)
from roi_bench.training.plan.recipe import Recipe, stage_settings
from roi_bench.training.plan.rules import FIXED_SFT, check_trainer_arguments, renamed_arguments
from roi_bench.training.stages.model import (
    accumulation,
    adapter_settings,
    base_model_name,
    is_out_of_memory,
    load_model,
    load_tokenizer,
    place_settings,
    save_stage,
    stage_record,
    start_of,
    train_to_the_end,
)

# Sampling solutions of problems asked alone with transformers or vLLM; each is on disk as soon as it is finished.

# The generator of sampled solutions: transformers, or vLLM where it is installed and there is a CUDA GPU.

VLLM_BATCH = 4096
"""Prompts of a call of vLLM. It gives a free place to the next prompt of the call, so that only the end of a call, when
no prompt waits any more, leaves the GPU idle; a kill loses what the call has written."""


@dataclass(frozen=True, slots=True)
class Seeds:
    """Seeds of a batch.

    Attributes:
        batch: One for all, where all responses are drawn from one source.
        requests: One for each prompt, which does not depend on the batch.
    """

    batch: int
    requests: Sequence[int]


class Generator(Protocol):
    """Writes one response to each of a batch of prompts."""

    def __call__(self, prompts: Sequence[str], seeds: Seeds) -> list[tuple[str, Usage]]:
        """Return text and usage for each prompt; the same prompts and seeds give the same texts."""
        ...


def choose_backend(asked: str) -> str:
    """Return ``transformers`` or ``vllm``.

    Raises:
        DependencyError: vLLM was requested and is not installed.
    """
    if asked == "auto":
        import torch

        return "vllm" if find_spec("vllm") is not None and torch.cuda.is_available() else "transformers"
    if asked == "vllm" and find_spec("vllm") is None:
        raise DependencyError("sampling.backend is vllm, which is not installed; pip install 'roi-bench[vllm]'")
    return asked


def prompt_tokens(prompts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Return the token ids of ``prompts``, by the rule of lm_eval, which measures the model.

    The tokenizer adds its special tokens, such as the BOS of Llama, unless the text begins with BOS: chat templates
    that want it write it themselves.
    """
    bos = tokenizer.bos_token
    return [
        tokenizer.encode(prompt, add_special_tokens=bos is None or not prompt.startswith(bos)) for prompt in prompts
    ]


def on_gpu(model: Any) -> Any:
    """Move ``model`` to the GPU if there is one, and return it.

    Raises:
        ModelError: It does not fit.
    """
    import torch

    if not torch.cuda.is_available():
        return model
    try:
        return model.to("cuda")
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"the base model does not fit into the free memory of the GPU: {first_line(error)}; free the GPU, or take "
            "lora: {quantised: true}"
        ) from error


def release_memory() -> None:
    """Free the GPU memory of models that are no longer used, for the training that follows."""
    import torch

    gc.collect()  # models hold references to themselves
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def transformers_generator(model: Any, tokenizer: Any, temperature: float, cap: int) -> Generator:
    """Return a generator on a loaded transformers model: plain sampling, whatever the model's own settings say."""

    def write(prompts: Sequence[str], seeds: Seeds) -> list[tuple[str, Usage]]:
        import torch

        from roi_bench.training.rarl.budget_trainer import generate

        torch.manual_seed(seeds.batch)
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        asked, limits = prompt_tokens(prompts, tokenizer), [cap] * len(prompts)
        with torch.inference_mode():
            rows = generate(model, asked, limits, ends, tokenizer.pad_token_id, temperature)
        return [response_of(row, set(ends), tokenizer) for row in rows]

    return write


def response_of(tokens: Sequence[int], ends: set[int], tokenizer: Any) -> tuple[str, Usage]:
    """Return text and exact usage of generated ``tokens``, of which those behind the first end are padding."""
    stop = next((index for index, token in enumerate(tokens) if token in ends), None)
    kept = list(tokens if stop is None else tokens[: stop + 1])
    text = tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text, Usage(len(kept), "length" if stop is None else "stop", "generated")


def vllm_settings(recipe: Recipe) -> dict[str, Any]:
    """Return vLLM's own arguments where it has the GPUs for itself, under its names; what is not set stays its own."""
    settings = {
        "max_model_len": recipe.context,
        "gpu_memory_utilization": recipe.vllm.gpu_memory_utilization,
        "tensor_parallel_size": recipe.vllm.tensor_parallel_size if recipe.vllm.tensor_parallel_size > 1 else None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def vllm_generator(name: str, tokenizer: Any, recipe: Recipe, cap: int) -> Generator:
    """Return a generator on vLLM, in the type of the model's own configuration; the model is loaded now.

    Raises:
        ModelError: It cannot be loaded.
    """
    from vllm import LLM, SamplingParams

    try:
        engine = LLM(model=name, **vllm_settings(recipe))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"vLLM cannot load {name!r}: {first_line(error)}; see what vLLM printed above, or take "
            "sampling.backend: transformers"
        ) from error

    def generate(prompts: Sequence[str], seeds: Seeds) -> list[tuple[str, Usage]]:
        temperature = recipe.sampling.temperature
        settings = [SamplingParams(temperature=temperature, max_tokens=cap, seed=seed) for seed in seeds.requests]
        tokens = [{"prompt_token_ids": row} for row in prompt_tokens(prompts, tokenizer)]
        try:
            outputs = engine.generate(tokens, settings, use_tqdm=False)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise ModelError(
                f"vLLM ran out of memory: {first_line(error)}; free the GPU of other work, or take "
                "sampling.backend: transformers, and run the same command again"
            ) from error
        return [
            (
                output.outputs[0].text,
                Usage(
                    len(output.outputs[0].token_ids),
                    "length" if output.outputs[0].finish_reason == "length" else "stop",
                    "generated",
                ),
            )
            for output in outputs
        ]

    return generate


# Sampling requests: every response is on disk as soon as it is finished; an interrupted run resumes.
#
# Responses come from a backend (:mod:`roi_bench.training.mft.mft`) and go into a journal
# (:mod:`roi_bench.records.journal`); a run that is started again asks for the missing ones only, in the batches of an
# uninterrupted run, so that both end with the same samples.

EARLY_LOOK = 256
"""Responses after which sampling stops if none of them holds an answer that could be read."""


@dataclass(frozen=True, slots=True)
class Request:
    """Sample number ``sample`` of a problem.

    Attributes:
        problem: The problem.
        tier: Its tier.
        sample: 0 … K - 1.
        prompt: Text as sent, chat template applied.
        key: Its key in the journal.
    """

    problem: Problem
    tier: str
    sample: int
    prompt: str
    key: RequestKey


def solution_cap(recipe: Recipe, problems: Mapping[str, Sequence[Problem]]) -> int:
    """Return the most tokens of a sampled solution: the recipe's, or the upper bound of Level-2."""
    if recipe.sampling.cap is not None:
        return recipe.sampling.cap
    return max(level_bounds(problem.pool)[-1] for items in problems.values() for problem in items[:1])


def sampling_requests(
    recipe: Recipe, problems: Mapping[str, Sequence[Problem]], wrap: Callable[[list[Message]], str]
) -> list[Request]:
    """Return all requests: sample by sample, tier by tier (so that similar lengths are in one batch).

    Args:
        recipe: The recipe.
        problems: Problems by tier.
        wrap: Turns messages into the text that is sent.
    """
    cap = solution_cap(recipe, problems)
    generation = {"temperature": recipe.sampling.temperature, "max_tokens": cap}
    requests = []
    for tier in TIERS:
        prompts = [wrap(exam_messages([problem.question], cap, "solo")) for problem in problems[tier]]
        requests += [
            Request(problem, tier, sample, prompt, request_key(prompt, generation, sample))
            for sample in range(recipe.sampling.samples)
            for problem, prompt in zip(problems[tier], prompts, strict=True)
        ]
    return requests


def sample_solutions(
    requests: Sequence[Request],
    header: Header,
    path: Path,
    make_generator: Callable[[], Generator],
    batch_size: int,
    seed: int,
) -> list[Entry]:
    """Return the recorded response to every request, generating those that ``path`` does not have yet.

    Args:
        requests: All requests, in a fixed order.
        header: The identity of the run.
        path: The journal.
        make_generator: Loads the generator; not called if no response is missing.
        batch_size: Requests of a batch; batch b holds requests b·n to (b+1)·n - 1.
        seed: Seed of the run: that of batch b is seed + b, that of request r alone is seed + r.

    Raises:
        RecordError: The journal is damaged, of another run, or cannot be written.
        ModelError: Out of memory, or the model never writes an answer that can be read.
    """
    from tqdm import tqdm

    generator = None
    with Journal(path, header) as journal:
        with tqdm(total=len(requests), unit="sample", desc="sampling", mininterval=1) as bar:
            for number, start in enumerate(range(0, len(requests), batch_size)):
                batch = requests[start : start + batch_size]
                if not all(request.key in journal.entries for request in batch):
                    generator = generator or make_generator()
                    seeds = Seeds(seed + number, range(seed + start, seed + start + len(batch)))
                    answers = _answer(batch, generator, seeds, path)
                    # A kill can leave part of a batch; on a GPU, writing it again may not give the very same texts.
                    journal.append([entry for entry in answers if entry.key not in journal.entries])
                    _check_answers(journal)
                bar.update(len(batch))
        return [journal.entries[request.key] for request in requests]


def _answer(batch: Sequence[Request], generator: Generator, seeds: Seeds, path: Path) -> list[Entry]:
    try:
        answers = generator([request.prompt for request in batch], seeds)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"out of memory while sampling {len(batch)} prompts at once; what was sampled is in {path}; lower "
            "sampling.batch_size (or sampling.cap) and run the same command again"
        ) from error
    return [
        Entry(request.key, text, usage, {"problem": request.problem.id, "tier": request.tier})
        for request, (text, usage) in zip(batch, answers, strict=True)
    ]


def _check_answers(journal: Journal) -> None:
    """Stop early if no response so far has an answer.

    Raises:
        ModelError: No response has an answer.
    """
    from roi_bench.training.mft.labels import work_of

    entries = journal.entries
    if len(entries) >= EARLY_LOOK and not any(work_of(entry.response or "") for entry in entries.values()):
        raise ModelError(
            f"none of the first {len(entries)} sampled responses contains a boxed answer that can be read, so there is "
            f"nothing to label; look at {journal.path}: is the chat template right (chat: true for an "
            "instruction-tuned model), is sampling.cap large enough?"
        )


def grade_samples(
    requests: Sequence[Request], entries: Sequence[Entry], grader: GraderLike, cap: int
) -> dict[str, list[SampledSolution]]:
    """Return the graded samples of each problem by id, with the benchmark's own reading and grading."""
    parsed = [
        parse_response((request.problem,), (request.tier,), cap, Response(entry.response, entry.usage))
        for request, entry in zip(requests, entries, strict=True)
    ]
    found: dict[str, list[SampledSolution]] = {}
    for request, entry, scored in zip(requests, entries, score_responses(parsed, grader), strict=True):
        found.setdefault(request.problem.id, []).append(SampledSolution(entry.response or "", scored.score == 1))
    return found


def make_labels(recipe: Recipe, out: Path) -> list[LabelledProblem]:
    """Return the labelled training problems, sampling solutions that ``out / "samples.jsonl"`` does not have yet.

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
            return vllm_generator(name, tokenizer, recipe, cap)
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
    rows = Dataset.from_list([sft_row(example, recipe, tokenizer) for example in examples])
    inputs = {"model to start from": start_of(name), "set of examples": sha256_text(canonical_json(rows.to_list()))}
    arguments = sft_arguments(recipe, out / "mft-checkpoints")  # first: they tell ZeRO-3 to load a part a process
    trainer = SFTTrainer(
        model=load_model(name, recipe),
        args=arguments,
        train_dataset=rows,
        processing_class=tokenizer,
        peft_config=adapter_settings(recipe.lora),
    )
    lower = "mft.device_batch_size (the step stays the same by accumulation)"
    seconds = train_to_the_end(trainer, out / "mft-checkpoints", lower, inputs, stage_settings(recipe, "mft"))
    data = dict(Counter(f"{example.kind} examples" for example in examples))
    record = stage_record("mft", recipe, trainer, data, inputs, seconds)
    save_stage(trainer, name, recipe, out / "mft", record)
    return out / "mft"


def sft_row(example: Example, recipe: Recipe, tokenizer: Any) -> dict[str, Any]:
    """Return an example in TRL's prompt–completion form, conversational where prompts are chat messages."""
    prompt = trl_prompt(example.prompt, recipe, tokenizer)
    if not recipe.chat:
        return {"prompt": prompt, "completion": example.completion}
    row = {"prompt": prompt, "completion": [{"role": "assistant", "content": example.completion}]}
    template = dict(recipe.chat_template_kwargs)
    return {**row, "chat_template_kwargs": template} if template else row


def sft_arguments(recipe: Recipe, checkpoints: Path) -> Any:
    """Return TRL's configuration of this stage.

    Raises:
        UsageError: A key under ``mft.trainer`` is unknown or fixed by the method, or a step cannot be divided.
        ValueError: TRL refuses a value; ``plan.checks.try_arguments`` says which.
        TypeError: The same.
    """
    from trl import SFTConfig

    settings = recipe.mft
    known = {item.name for item in fields(SFTConfig)}
    check_trainer_arguments(known, settings.trainer, FIXED_SFT, f"recipe {recipe.name}: mft.trainer")
    given = {
        **place_settings(recipe),
        "learning_rate": recipe.rate("mft"),
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
