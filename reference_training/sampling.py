"""Sample solutions of problems asked alone, each on disk as soon as it is there; an interrupted run goes on.

Generation is that of transformers or, where it is installed and a CUDA GPU is there, vLLM. Responses go into a journal
(:mod:`roi_bench.journal`); a run that is started again asks for the missing ones only, in the batches of an
uninterrupted run, so that both end with the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from roi_bench.errors import DependencyError, ModelError
from roi_bench.journal import Journal
from roi_bench.journal_format import Entry, Header, RequestKey, request_key
from roi_bench.outcomes import Response, level_bounds, read_problems
from roi_bench.problems import TIERS, Problem
from roi_bench.prompts import exam_prompt
from roi_bench.reference_training.labels import SampledSolution
from roi_bench.reference_training.recipe import Recipe
from roi_bench.reference_training.stage_model import is_out_of_memory
from roi_bench.scoring import GraderLike, score_sheets
from roi_bench.tokens import Usage

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


class Generator(Protocol):
    """Writes one response to each of a batch of prompts."""

    def __call__(self, prompts: Sequence[str], seed: int) -> list[tuple[str, Usage]]:
        """Return text and usage for each prompt; the same prompts and seed give the same texts."""
        ...


def solution_cap(recipe: Recipe, problems: Mapping[str, Sequence[Problem]]) -> int:
    """Return the most tokens of a sampled solution: the recipe's, or the upper bound of Level-2."""
    if recipe.sampling.cap is not None:
        return recipe.sampling.cap
    return max(level_bounds(problem.pool)[-1] for items in problems.values() for problem in items[:1])


def sampling_requests(
    recipe: Recipe, problems: Mapping[str, Sequence[Problem]], wrap: Callable[[str], str]
) -> list[Request]:
    """Return all requests: sample by sample, tier by tier (so that those of like length meet in a batch).

    Args:
        recipe: The recipe.
        problems: Problems by tier.
        wrap: Applies the chat template, or returns the prompt as it is.
    """
    cap = solution_cap(recipe, problems)
    generation = {"temperature": recipe.sampling.temperature, "max_tokens": cap}
    requests = []
    for tier in TIERS:
        prompts = [wrap(exam_prompt([problem.question], cap, "solo")) for problem in problems[tier]]
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
    """Return the recorded response to every request, asking for those that ``path`` does not hold yet.

    Args:
        requests: All requests, in a fixed order.
        header: Whose responses these are.
        path: The journal.
        make_generator: Loads what writes the responses; not called where all are there.
        batch_size: Requests of a batch; batch b holds requests b·n to (b+1)·n - 1 and is sampled with seed + b.
        seed: Seed of the first batch.

    Raises:
        RecordError: The journal is damaged, of another run, or cannot be written.
        ModelError: Out of memory, or the model never writes an answer that can be read.
    """
    from tqdm import tqdm

    generator = None
    with Journal(path, header) as journal:
        with tqdm(total=len(requests), unit="sample", desc="sampling", mininterval=1) as bar:
            for number, batch in enumerate(_batches(requests, batch_size)):
                if not all(request.key in journal.entries for request in batch):
                    generator = generator or make_generator()
                    answers = _answer(batch, generator, seed + number, batch_size, path)
                    # A kill can leave part of a batch; on a GPU, writing it again may not give the very same texts.
                    journal.append([entry for entry in answers if entry.key not in journal.entries])
                    _check_answers(journal)
                bar.update(len(batch))
        return [journal.entries[request.key] for request in requests]


def _batches(requests: Sequence[Request], size: int) -> Iterator[Sequence[Request]]:
    for start in range(0, len(requests), size):
        yield requests[start : start + size]


def _answer(batch: Sequence[Request], generator: Generator, seed: int, batch_size: int, path: Path) -> list[Entry]:
    try:
        answers = generator([request.prompt for request in batch], seed)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"out of memory while sampling {batch_size} prompts at once; what was sampled is in {path}; lower "
            "sampling.batch_size (or sampling.cap) and run the same command again"
        ) from error
    return [
        Entry(request.key, text, usage, {"problem": request.problem.id, "tier": request.tier})
        for request, (text, usage) in zip(batch, answers, strict=True)
    ]


def _check_answers(journal: Journal) -> None:
    """Stop early where no response so far holds an answer.

    Raises:
        ModelError: So it is.
    """
    from roi_bench.reference_training.labels import work_of

    entries = journal.entries
    if len(entries) >= EARLY_LOOK and not any(work_of(entry.response or "") for entry in entries.values()):
        raise ModelError(
            f"none of the first {len(entries)} sampled responses holds a boxed answer that can be read, so there is "
            f"nothing to label; look at {journal.path}: is the chat template right (chat: true for an "
            "instruction-tuned model), is sampling.cap large enough?"
        )


def grade_samples(
    requests: Sequence[Request], entries: Sequence[Entry], grader: GraderLike, cap: int
) -> dict[str, list[SampledSolution]]:
    """Return the graded samples of each problem by id, with the benchmark's own reading and grading."""
    sheets = [
        read_problems((request.problem,), (request.tier,), cap, Response(entry.response, entry.usage))
        for request, entry in zip(requests, entries, strict=True)
    ]
    found: dict[str, list[SampledSolution]] = {}
    for request, entry, scored in zip(requests, entries, score_sheets(sheets, grader), strict=True):
        found.setdefault(request.problem.id, []).append(SampledSolution(entry.response or "", scored.correct == 1))
    return found


def choose_backend(asked: str) -> str:
    """Return ``transformers`` or ``vllm``.

    Raises:
        DependencyError: vLLM was asked for and is not installed.
    """
    if asked == "auto":
        import torch

        return "vllm" if find_spec("vllm") is not None and torch.cuda.is_available() else "transformers"
    if asked == "vllm" and find_spec("vllm") is None:
        raise DependencyError("sampling.backend is vllm, which is not installed; pip install 'roi-bench[vllm]'")
    return asked


def transformers_generator(model: Any, tokenizer: Any, temperature: float, cap: int) -> Generator:
    """Return a generator on a loaded transformers model."""

    def generate(prompts: Sequence[str], seed: int) -> list[tuple[str, Usage]]:
        import torch

        torch.manual_seed(seed)
        inputs = tokenizer(list(prompts), return_tensors="pt", padding=True, padding_side="left",
                           add_special_tokens=False).to(model.device)  # fmt: skip
        with torch.inference_mode():
            output = model.generate(
                **inputs,
                max_new_tokens=cap,
                do_sample=True,
                temperature=temperature,
                top_k=0,
                top_p=1.0,
                repetition_penalty=1.0,  # plain sampling, whatever the model's own settings say
            )
        ends = model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        return [response_of(row, ends, tokenizer) for row in output[:, inputs["input_ids"].shape[1] :].tolist()]

    return generate


def response_of(tokens: Sequence[int], ends: set[int], tokenizer: Any) -> tuple[str, Usage]:
    """Return text and exact usage of generated ``tokens``, of which those behind the first end are padding."""
    stop = next((index for index, token in enumerate(tokens) if token in ends), None)
    kept = list(tokens if stop is None else tokens[: stop + 1])
    text = tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text, Usage(len(kept), "length" if stop is None else "stop", "generated")


def vllm_generator(name: str, temperature: float, cap: int) -> Generator:
    """Return a generator on vLLM, in the type of the model's own configuration; the model is loaded now.

    Raises:
        ModelError: It cannot be loaded.
    """
    from vllm import LLM, SamplingParams

    try:
        engine = LLM(model=name)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"vLLM cannot load {name!r}: {str(error).splitlines()[0]}") from error

    def generate(prompts: Sequence[str], seed: int) -> list[tuple[str, Usage]]:
        settings = [
            SamplingParams(temperature=temperature, max_tokens=cap, seed=seed * 1_000_003 + index)
            for index in range(len(prompts))
        ]
        outputs = engine.generate(list(prompts), settings, use_tqdm=False)
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
