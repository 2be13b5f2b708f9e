"""What the runner needs of an engine: requests, batches, and the protocol behind which every engine stands"""

from __future__ import annotations

import copy
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from roi_bench.records.journal import Entry, Journal, RequestKey, request_key

# Which sample a request asks for, when the same request is made several times.


def sample_indices(requests: Sequence[Any]) -> list[int]:
    """Return the sample index of each lm_eval request: its ``sample`` attribute, else from its repetition.

    lm_eval makes K copies of a request by listing the same ``Instance`` K times (``repeats``); they ask for samples
    0 … K−1. Copies beyond K pad the list of an accelerate process and ask for the same samples again. Equal requests
    of different tasks are different instances, so sample i of the one is sample i of the other.
    """
    seen: Counter[int] = Counter()
    indices = []
    for request in requests:
        repetition = seen[id(request)] % (request.repeats or 1)
        seen[id(request)] += 1
        indices.append(getattr(request, "sample", repetition))
    return indices


# Which requests a model is really asked, in which fixed batches, with which seeds.

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


# What a run needs of an engine, whatever generates behind it.


@dataclass(frozen=True, slots=True)
class Asking:
    """What a run asks of an engine, and where the responses go.

    Attributes:
        questions: All distinct questions of the run, those that are answered already among them: a plan made from all
            of them is the same at every start.
        missing: Those to be asked now.
        record: Puts finished responses on the disk, and returns when they are there.
        journal: Where they go.
        tell: Counts responses that the engine put into the journal itself.
    """

    questions: Sequence[Question]
    missing: Sequence[Question]
    record: Callable[[Sequence[Entry]], None]
    journal: Journal
    tell: Callable[[Sequence[Entry]], None]

    def is_missing(self) -> Callable[[RequestKey], bool]:
        """Return whether a question of this key is still to be asked."""
        return frozenset(question.key for question in self.missing).__contains__


class Engine(Protocol):
    """An lm_eval model as a run sees it: asks each question once, counts exactly, says what it is.

    A response is handed to :attr:`Asking.record` as soon as it is finished, so at most what was in flight is lost.
    """

    @property
    def lm(self) -> Any:
        """The lm_eval model."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What it is, as JSON values: ``name``, ``version``, ``dtype``, ``quantization``, ``batch_size``, …"""

    @property
    def identity(self) -> Mapping[str, Any] | None:
        """What shapes its responses, if it knows better than its arguments say; else None."""

    @property
    def takes_messages(self) -> bool:
        """Whether it takes conversations only, no text."""

    def why_not(self, generation: Mapping[str, Any]) -> str | None:
        """Return why it cannot answer under these generation arguments at all, or None.

        Raises:
            RoiBenchError: It could, but not as it was set up.
        """

    def preview(self, questions: Sequence[Question]) -> str:
        """Show what would be sent, and return what it may cost as one line.

        Raises:
            UsageError: Nothing is sent anywhere by this engine.
        """

    def advice(self, questions: int) -> str | None:
        """Return one line on how the user could make a run of so many ``questions`` faster, or None."""

    def keep_batch_size(self, size: int) -> None:
        """Use the batch size that an earlier start of the run found by itself, if this start leaves it open too."""

    def ask(self, asking: Asking) -> None:
        """Ask what is missing.

        Raises:
            ModelError: The engine failed; what was finished before is recorded.
            EndedEarlyError: Nothing is to be waited for.
        """

    def close(self) -> None:
        """End the processes that the engine started, if any; nothing is asked of it afterwards."""
