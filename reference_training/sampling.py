"""Sample solutions of problems asked alone, each on disk as soon as it is there; an interrupted run goes on.

Responses come from a backend (:mod:`roi_bench.reference_training.sampling_backends`) and go into a journal
(:mod:`roi_bench.records.journal`); a run that is started again asks for the missing ones only, in the batches of an
uninterrupted run, so that both end with the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from roi_bench.errors import ModelError
from roi_bench.exams.exam import TIERS, Problem
from roi_bench.records.journal import Entry, Header, Journal, RequestKey, request_key
from roi_bench.reference_training.labels import SampledSolution
from roi_bench.reference_training.recipe import Recipe
from roi_bench.reference_training.sampling_backends import Generator, Seeds
from roi_bench.reference_training.training_checkpoints import is_out_of_memory
from roi_bench.scoring.kinds import GraderLike, score_responses
from roi_bench.scoring.outcomes import Response, level_bounds, parse_response
from roi_bench.scoring.prompts import Message, exam_messages

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
    """Return all requests: sample by sample, tier by tier (so that those of like length meet in a batch).

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
    """Return the recorded response to every request, asking for those that ``path`` does not hold yet.

    Args:
        requests: All requests, in a fixed order.
        header: Whose responses these are.
        path: The journal.
        make_generator: Loads what writes the responses; not called where all are there.
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
    parsed = [
        parse_response((request.problem,), (request.tier,), cap, Response(entry.response, entry.usage))
        for request, entry in zip(requests, entries, strict=True)
    ]
    found: dict[str, list[SampledSolution]] = {}
    for request, entry, scored in zip(requests, entries, score_responses(parsed, grader), strict=True):
        found.setdefault(request.problem.id, []).append(SampledSolution(entry.response or "", scored.score == 1))
    return found
