"""Which requests a model is really asked, in which fixed batches, with which seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from roi_bench.harness.sampling_index import sample_indices
from roi_bench.journal_format import RequestKey, request_key

AUTO_BATCH = 512
"""Requests handed over at once where a backend schedules by itself (vLLM with ``--batch_size auto``)."""

REQUESTS_PER_CONNECTION = 8
"""Requests handed over at once per concurrent connection of an API backend."""


@dataclass(frozen=True, slots=True)
class Question:
    """A distinct request: what is asked, and one lm_eval ``Instance`` that asks it."""

    key: RequestKey
    request: Any

    @property
    def prompt(self) -> str:
        """The prompt as sent."""
        return str(self.request.args[0])

    @property
    def generation(self) -> dict[str, Any]:
        """Generation arguments."""
        return dict(self.request.args[1])

    @property
    def is_sampled(self) -> bool:
        """Whether the response is drawn at random."""
        generation = self.generation
        return bool(generation.get("do_sample", float(generation.get("temperature") or 0) > 0))


def distinct_questions(requests: Sequence[Any]) -> tuple[list[Question], list[RequestKey]]:
    """Return the distinct questions of lm_eval ``requests`` in their order, and the key of each request."""
    questions: dict[RequestKey, Question] = {}
    keys = []
    for request, sample in zip(requests, sample_indices(requests), strict=True):
        prompt, generation = request.args
        key = request_key(prompt, generation, sample)
        questions.setdefault(key, Question(key, request))
        keys.append(key)
    return list(questions.values()), keys


def fixed_batches(questions: Sequence[Question], size: int, length: Callable[[str], int]) -> list[list[Question]]:
    """Return ``questions`` in batches of ``size`` that depend on nothing but the questions.

    One batch has one set of generation arguments. Longest prompts come first, as in lm_eval: memory runs out at once
    or not at all, and the time left is over- rather than underestimated.
    """
    groups: dict[str, list[Question]] = {}
    for question in questions:
        groups.setdefault(question.key.generation, []).append(question)
    lengths = {prompt: length(prompt) for prompt in {question.prompt for question in questions}}
    batches = []
    for group in groups.values():
        group.sort(key=lambda question: (-lengths[question.prompt], question.prompt, question.key.sample))
        batches += [group[start : start + size] for start in range(0, len(group), size)]
    return batches


def batch_size_of(lm: Any) -> int:
    """Return how many requests to hand to the lm_eval backend ``lm`` at once; an automatic size is found only once."""
    size = getattr(lm, "batch_size", None)
    if size == "auto" and hasattr(lm, "_detect_batch_size"):
        return int(lm._detect_batch_size())
    if size == "auto":
        return AUTO_BATCH
    connections = int(getattr(lm, "_concurrent", None) or 1)
    return max(int(size or 1), 1 if connections == 1 else connections * REQUESTS_PER_CONNECTION)


def derived_seed(seed: int, keys: Sequence[RequestKey]) -> int:
    """Return a seed that depends on the run's ``seed`` and on what is asked, not on what was asked before it."""
    parts = [str(seed), *(f"{key.prompt_sha256} {key.generation} {key.sample}" for key in keys)]
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode("utf-8")).digest()[:4], "big")


def seed_everything(seed: int) -> None:
    """Seed every generator that a local backend may draw from."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - backends draw from the global generator
    torch.manual_seed(seed)
