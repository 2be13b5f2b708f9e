"""Which requests a model is really asked, in which fixed batches, with which seeds."""

from __future__ import annotations

import copy
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roi_bench.harness.sampling_index import sample_indices
from roi_bench.records.journal import RequestKey, request_key

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

    def instance(self, seed: int | None) -> Any:
        """Return the request to hand to a model: its own copy, which a backend may change.

        Args:
            seed: Seed of the run, for an engine that seeds each request by itself; None sends no seed.
        """
        instance = copy.copy(self.request)
        generation = copy.deepcopy(self.generation)
        if seed is not None and self.is_sampled:
            generation.setdefault("seed", derived_seed(seed, [self.key]))
        instance.arguments = (self.prompt, generation)
        instance.sample = self.key.sample
        return instance


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


def exam_fields(question: Question) -> dict[str, Any]:
    """Return which exam a question is, for the reader of the journal."""
    doc = question.request.doc
    if not isinstance(doc, Mapping):
        return {}
    if "problem" in doc:
        return {name: doc[name] for name in ("problem", "budget") if name in doc}
    named = {"exam": "exam_id", "order": "order", "budget": "budget"}
    return {name: doc[key] for name, key in named.items() if key in doc} if "exam_id" in doc else {}


def derived_seed(seed: int, keys: Sequence[RequestKey]) -> int:
    """Return a seed that depends on the run's ``seed`` and on what is asked, not on what was asked before it."""
    parts = [str(seed), *(f"{key.prompt_sha256} {key.generation} {key.sample}" for key in keys)]
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode("utf-8")).digest()[:4], "big")


def seed_everything(seed: int) -> None:
    """Seed every generator that a local model may draw from; what is not loaded draws nothing."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - models draw from the global generator
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
