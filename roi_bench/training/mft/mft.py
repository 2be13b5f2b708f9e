"""Meta-Cognitive Fine-Tuning: sample, label, build examples, train on them with TRL's SFTTrainer (SPEC section 12)."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from roi_bench.errors import ModelError, first_line
from roi_bench.exams.exam import TIERS, Problem, sha256_text
from roi_bench.harness.engines.local import LocalEngine
from roi_bench.harness.engines.protocol import Engine, Job, exam_fields
from roi_bench.records.journal import Entry, Header, Journal, RequestKey, canonical_json, request_key
from roi_bench.scoring.kinds import GraderLike, score_responses
from roi_bench.scoring.outcomes import Response, level_bounds, parse_response
from roi_bench.scoring.prompts import Message, as_text, exam_messages
from roi_bench.scoring.tokens import Usage
from roi_bench.training.data import (
    MFT_STREAM,
    chat_wrapper,
    instructed,
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
from roi_bench.training.plan.recipe import Recipe, Sampling, stage_settings
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


def choose_backend(asked: str) -> str:
    """Return the backend: ``auto`` takes vLLM where it is installed and there is a CUDA GPU, else transformers."""
    if asked != "auto":
        return asked
    import torch

    return "vllm" if find_spec("vllm") is not None and torch.cuda.is_available() else "transformers"


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


def response_of(tokens: Sequence[int], ends: set[int], tokenizer: Any) -> tuple[str, Usage]:
    """Return text and exact usage of generated ``tokens``, of which those behind the first end are padding."""
    stop = next((index for index, token in enumerate(tokens) if token in ends), None)
    kept = list(tokens if stop is None else tokens[: stop + 1])
    text = tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text, Usage(len(kept), "length" if stop is None else "stop", "generated")


# Sampling solutions of problems asked alone: the runner of ``roi-bench run`` keeps the journal and drives vLLM. With
# transformers, RARL's own generation writes the responses.


class BaseModelEngine(LocalEngine):
    """The base model on transformers: batches in the order of the requests, each with a seed of its own.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        settings: The recipe's sampling.
        cap: Most tokens of a response.
        seed: Seed of the run: that of batch b is seed + b.
    """

    def __init__(self, model: Any, tokenizer: Any, settings: Sampling, cap: int, seed: int) -> None:
        self.lm = SimpleNamespace(rank=0, world_size=1)
        self._model, self._tokenizer, self._cap, self._seed = model, tokenizer, cap, seed
        self._size, self._temperature = settings.batch_size, settings.temperature

    @property
    def facts(self) -> Mapping[str, Any]:
        """Name and batch size."""
        return {"name": "transformers", "batch_size": self._size}

    def ask(self, job: Job) -> None:
        """Ask in fixed batches: one of which a kill left a part is written again, and what is there of it stays."""
        is_missing = job.is_missing()
        for number, start in enumerate(range(0, len(job.requests), self._size)):
            batch = job.requests[start : start + self._size]
            if any(is_missing(request.key) for request in batch):
                answers = self._write([request.prompt for request in batch], self._seed + number)
                entries = [
                    Entry(one.key, *answer, exam_fields(one)) for one, answer in zip(batch, answers, strict=True)
                ]
                job.record([entry for entry in entries if is_missing(entry.key)])

    def _write(self, prompts: Sequence[str], seed: int) -> list[tuple[str, Usage]]:
        """Return text and usage for each prompt: plain sampling, whatever the model's own settings say."""
        import torch

        from roi_bench.training.rarl.budget_trainer import generate

        torch.manual_seed(seed)
        ends = self._model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        asked, limits = prompt_tokens(prompts, self._tokenizer), [self._cap] * len(prompts)
        with torch.inference_mode():
            rows = generate(self._model, asked, limits, ends, self._tokenizer.pad_token_id, self._temperature)
        return [response_of(row, set(ends), self._tokenizer) for row in rows]


def sampling_engine(recipe: Recipe, backend: str, tokenizer: Any, cap: int) -> Engine:
    """Return what writes the solutions, loaded now: ``transformers``, or ``vllm`` or ``api`` as in ``roi-bench run``.

    Raises:
        ModelError: It cannot be loaded.
    """
    from roi_bench.harness.model_loading import engine_of
    from roi_bench.harness.model_loading import load_model as load_lm_eval_model

    name, seed = base_model_name(recipe), recipe.seed * 1_000_003
    if backend == "transformers":
        model = on_gpu(load_model(name, recipe).eval())
        return BaseModelEngine(model, tokenizer, recipe.sampling, cap, seed)
    teacher = dict(recipe.sampling.model_args)
    config = SimpleNamespace(
        model="roi-api" if backend == "api" else backend,
        model_args=teacher if backend == "api" else {"pretrained": name, **vllm_settings(recipe)},
        apply_chat_template=recipe.chat,
        batch_size="auto",
        max_batch_size=None,
        device=None,
        verbosity=None,
    )
    return engine_of(load_lm_eval_model(config), seed=seed)


def vllm_settings(recipe: Recipe) -> dict[str, Any]:
    """Return vLLM's own arguments where it has the GPUs for itself, under its names; what is not set stays its own."""
    settings = {
        "max_model_len": recipe.context,
        "gpu_memory_utilization": recipe.vllm.gpu_memory_utilization,
        "tensor_parallel_size": recipe.vllm.tensor_parallel_size if recipe.vllm.tensor_parallel_size > 1 else None,
    }
    return {name: value for name, value in settings.items() if value is not None}


EARLY_LOOK = 256
"""Responses after which sampling stops if none of them holds an answer that could be read."""


def check_answers(journal: Journal) -> None:
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


@dataclass(slots=True, eq=False)
class SampleRequest:
    """Sample number ``sample`` of a problem asked alone, as the runner takes lm_eval's requests.

    Attributes:
        problem: The problem.
        tier: Its tier.
        sample: 0 … K - 1.
        arguments: Text as sent, chat template applied, and the generation arguments.
        repeats: Samples that this very request asks for.
    """

    problem: Problem
    tier: str
    sample: int
    arguments: tuple[str, dict[str, Any]]
    repeats: int = 1

    @property
    def args(self) -> tuple[str, dict[str, Any]]:
        """The arguments, under lm_eval's other name."""
        return self.arguments

    @property
    def doc(self) -> dict[str, Any]:
        """What the journal says of it beside the key."""
        return {"problem": self.problem.id, "budget": self.arguments[1]["max_tokens"]}

    @property
    def key(self) -> RequestKey:
        """Its key in the journal."""
        return request_key(*self.arguments, self.sample)


def solution_cap(recipe: Recipe, problems: Mapping[str, Sequence[Problem]]) -> int:
    """Return the most tokens of a sampled solution: the recipe's, or the upper bound of Level-2."""
    if recipe.sampling.cap is not None:
        return recipe.sampling.cap
    return max(level_bounds(problem.pool)[-1] for items in problems.values() for problem in items[:1])


def sampling_requests(
    recipe: Recipe, problems: Mapping[str, Sequence[Problem]], wrap: Callable[[list[Message]], str]
) -> list[SampleRequest]:
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
            SampleRequest(problem, tier, sample, (prompt, generation))
            for sample in range(recipe.sampling.samples)
            for problem, prompt in zip(problems[tier], prompts, strict=True)
        ]
    return requests


def sample_solutions(
    requests: Sequence[SampleRequest], header: Header, path: Path, make_engine: Callable[[], Engine]
) -> list[Entry]:
    """Return the recorded response to every request, generating those that ``path`` does not have yet.

    Args:
        requests: All requests, in a fixed order.
        header: The identity of the run.
        path: The journal.
        make_engine: Loads the model; not called if no response is missing.

    Raises:
        RecordError: The journal is damaged, of another run, or cannot be written.
        ModelError: The engine failed; what is finished is kept.
    """
    from roi_bench.harness.journaled_model import JournaledModel

    with Journal(path, header) as journal:
        if _missing(requests, journal):
            engine = make_engine()
            if reason := engine.why_not(requests[0].args[1]):
                raise ModelError(f"the model that sampling.backend names cannot answer: {reason}")
            size = int(engine.facts.get("batch_size") or 1)
            first = -(-EARLY_LOOK // size) * size  # whole batches, the same ones as in a single call
            model = JournaledModel(engine, journal)
            try:
                for asked in (requests[:first], requests):
                    model.generate_until(list(asked))
                    check_answers(journal)
            except ModelError as error:
                if not is_out_of_memory(error):
                    raise
                raise ModelError(
                    f"out of memory while sampling with {engine.facts['name']}; what was sampled is in {path}; lower "
                    f"sampling.batch_size ({size}) or sampling.cap, with vLLM vllm.gpu_memory_utilization, and run the "
                    "same command again"
                ) from error
            finally:
                engine.close()
        if count := _missing(requests, journal):
            raise ModelError(f"missing samples: {count}, whose generation failed; run the same command again")
        return [journal.entries[request.key] for request in requests]


def _missing(requests: Sequence[SampleRequest], journal: Journal) -> int:
    """Return how many requests have no response in the journal; it may hold a failure in its place."""
    answered = {key for key, entry in journal.entries.items() if entry.response is not None}
    return sum(request.key not in answered for request in requests)


def grade_samples(
    requests: Sequence[SampleRequest], entries: Sequence[Entry], grader: GraderLike, cap: int
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


def teacher_wrapper(recipe: Recipe) -> Callable[[Sequence[Message]], str]:
    """Return a function that turns messages into what ``roi-api`` takes: a conversation, or bare text."""
    from roi_bench.api.settings import chat_prompt

    if recipe.sampling.model_args.get("endpoint") == "completions":
        return lambda messages: as_text(instructed(messages, recipe.system_prompt))
    return lambda messages: chat_prompt([{**message} for message in instructed(messages, recipe.system_prompt)])


def make_labels(recipe: Recipe, out: Path) -> list[LabelledProblem]:
    """Return the labelled training problems, sampling solutions that ``out / "samples.jsonl"`` does not have yet.

    Raises:
        DataError: A pool is missing, or a class of labels is empty.
        ModelError: The model cannot be loaded, or never writes an answer that can be read.
        RecordError: The journal is damaged or of another run.
    """
    from roi_bench.grading.grader import shared_grader
    from roi_bench.records.tokenizer import HFTokenCounter

    tokenizer = load_tokenizer(base_model_name(recipe))
    problems = sampled_problems(recipe.family, recipe.sampling.problems, stream_seed(recipe.seed, MFT_STREAM))
    refuse_evaluation_questions((item.question for items in problems.values() for item in items), recipe.family)
    backend = choose_backend(recipe.sampling.backend)
    wrap = teacher_wrapper(recipe) if backend == "api" else chat_wrapper(recipe, tokenizer)
    requests = sampling_requests(recipe, problems, wrap)
    cap = solution_cap(recipe, problems)
    run = {"model": recipe.model, "family": recipe.family, "seed": recipe.seed, "dtype": recipe.dtype}
    header = Header(
        run | ({"teacher": dict(recipe.sampling.model_args)} if backend == "api" else {}),
        {"backend": backend, "batch_size": recipe.sampling.batch_size},
    )
    entries = sample_solutions(
        requests, header, out / "samples.jsonl", lambda: sampling_engine(recipe, backend, tokenizer, cap)
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
