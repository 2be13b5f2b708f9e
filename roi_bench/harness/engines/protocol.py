"""What the runner needs of an engine: requests, batches, and the protocol that every engine implements."""

from __future__ import annotations

import copy
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from roi_bench.records.journal import Entry, Journal, RequestKey, request_key
from roi_bench.scoring.outcomes import opens_reasoning

# What a loaded lm_eval model is.

VLLM = ("lm_eval.models.vllm_causallms", "VLLM")
HUGGING_FACE = ("lm_eval.models.huggingface", "HFLM")
API = ("roi_bench.harness.engines.api_model", "ApiLM")
PLAYBACK = ("roi_bench.harness.engines.playback", "PlaybackLM")


def is_a(lm: Any, kind: tuple[str, str]) -> bool:
    """Whether ``lm`` is of the class ``kind`` (module, name) or one derived from it.

    Nothing is imported for this: if the module is not loaded, no object can be of its class.
    """
    found = _class(kind)
    return found is not None and isinstance(lm, found)


def generates_as(lm: Any, kind: tuple[str, str]) -> bool:
    """Whether ``lm`` generates as the class ``kind`` does: a subclass may have its own generation loop."""
    found = _class(kind)
    names = ("generate_until", "_model_generate")
    return found is not None and all(getattr(type(lm), name) is getattr(found, name) for name in names)


def _class(kind: tuple[str, str]) -> Any:
    return getattr(sys.modules.get(kind[0]), kind[1], None)


# The sample index of a request that is made several times.


def sample_indices(instances: Sequence[Any]) -> list[int]:
    """Return the sample index of each lm_eval ``Instance``: its ``sample`` attribute, else from its repetition.

    lm_eval makes K copies of a request by listing the same ``Instance`` K times (``repeats``); they ask for samples
    0 … K−1. Copies beyond K pad the list of an accelerate process and ask for the same samples again. Equal requests
    of different tasks are different instances, so sample i of one is sample i of the other.
    """
    seen: Counter[int] = Counter()
    indices = []
    for instance in instances:
        repetition = seen[id(instance)] % (instance.repeats or 1)
        seen[id(instance)] += 1
        indices.append(getattr(instance, "sample", repetition))
    return indices


# Which distinct requests are sent to a model, in which fixed batches, with which seeds.

REQUESTS_PER_CONNECTION = 8
"""Requests handed over at once per concurrent connection of an API backend."""


@dataclass(frozen=True, slots=True)
class Request:
    """A distinct request to a model: its journal key, and one lm_eval ``Instance`` that makes it."""

    key: RequestKey
    origin: Any

    @property
    def prompt(self) -> str:
        """The prompt as sent."""
        return str(self.origin.args[0])

    @property
    def generation(self) -> dict[str, Any]:
        """Generation arguments."""
        return dict(self.origin.args[1])

    @property
    def is_sampled(self) -> bool:
        """Whether the response is drawn at random."""
        generation = self.generation
        return bool(generation.get("do_sample", float(generation.get("temperature") or 0) > 0))

    def instance(self, seed: int | None) -> Any:
        """Return a copy of the lm_eval ``Instance`` for the model; backends may change it.

        Args:
            seed: Seed of the run, for an engine that seeds each request by itself; None sends no seed.
        """
        instance = copy.copy(self.origin)
        generation = copy.deepcopy(self.generation)
        if seed is not None and self.is_sampled:
            generation.setdefault("seed", derived_seed(seed, [self.key]))
        instance.arguments = (self.prompt, generation)
        instance.sample = self.key.sample
        return instance


def distinct_requests(instances: Sequence[Any]) -> tuple[list[Request], list[RequestKey]]:
    """Return the distinct requests among lm_eval's ``instances`` in their order, and the key of each instance."""
    requests: dict[RequestKey, Request] = {}
    keys = []
    for instance, sample in zip(instances, sample_indices(instances), strict=True):
        prompt, generation = instance.args
        key = request_key(prompt, generation, sample)
        requests.setdefault(key, Request(key, instance))
        keys.append(key)
    return list(requests.values()), keys


def fixed_batches(requests: Sequence[Request], size: int, length: Callable[[str], int]) -> list[list[Request]]:
    """Return ``requests`` in batches of ``size`` that depend on nothing but the requests.

    All requests of a batch have the same generation arguments. The longest prompts come first, as in lm_eval: memory
    runs out at once or not at all, and the time left is over- rather than underestimated.
    """
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(request.key.generation, []).append(request)
    lengths = {prompt: length(prompt) for prompt in {request.prompt for request in requests}}
    batches = []
    for group in groups.values():
        group.sort(key=lambda request: (-lengths[request.prompt], request.prompt, request.key.sample))
        batches += [group[start : start + size] for start in range(0, len(group), size)]
    return batches


def exam_fields(request: Request) -> dict[str, Any]:
    """Return exam, order, budget and prompt (or problem, budget and prompt) of a request, for readers of the journal.

    ``starts_in_reasoning`` is there where the prompt as sent ends inside a block of reasoning.
    """
    doc = request.origin.doc
    if not isinstance(doc, Mapping):
        return {}
    if "problem" in doc:
        found = {name: doc[name] for name in ("problem", "budget") if name in doc}
    else:
        named = {"exam": "exam_id", "order": "order", "budget": "budget"}
        found = {name: doc[key] for name, key in named.items() if key in doc} if "exam_id" in doc else {}
    if found:
        found |= getattr(request.origin, ASKED, {})
        found |= {"starts_in_reasoning": True} if opens_reasoning(request.prompt) else {}
    return found


ASKED = "roi_bench_asked"
"""Attribute of lm_eval's instances of our tasks: name and paraphrase of their prompt, as the journal shows them."""


def derived_seed(seed: int, keys: Sequence[RequestKey]) -> int:
    """Return a seed that depends on the run's ``seed`` and the requests alone, not on what was asked before them."""
    parts = [str(seed), *(f"{key.prompt_sha256} {key.generation} {key.sample}" for key in keys)]
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode("utf-8")).digest()[:4], "big")


def seed_everything(seed: int) -> None:
    """Seed every random generator that a local model may use: Python's, NumPy's, and torch's if torch is loaded."""
    import random

    import numpy as np

    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - models draw from the global generator
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


# What the runner needs of an engine, whichever backend generates the text.


@dataclass(frozen=True, slots=True)
class Job:
    """One call of :meth:`Engine.ask`: the requests, and where their responses go.

    Attributes:
        requests: All distinct requests of the run, including those already answered: batches made from all of them
            are the same at every start.
        missing: The requests to ask now.
        record: Writes finished responses to disk, and returns once they are there.
        journal: The journal of the run.
        on_recorded: Counts responses that the engine wrote to the journal itself.
    """

    requests: Sequence[Request]
    missing: Sequence[Request]
    record: Callable[[Sequence[Entry]], None]
    journal: Journal
    on_recorded: Callable[[Sequence[Entry]], None]

    def is_missing(self) -> Callable[[RequestKey], bool]:
        """Return a function that says whether the request with a given key is still to be asked."""
        return frozenset(request.key for request in self.missing).__contains__


class Engine(Protocol):
    """An lm_eval model as the runner sees it: it sends each request once, counts tokens exactly and describes itself.

    A response is handed to :attr:`Job.record` as soon as it is finished, so a crash loses only what was in flight.
    """

    @property
    def lm(self) -> Any:
        """The lm_eval model."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Description as JSON values: ``name``, ``version``, ``dtype``, ``quantization``, ``batch_size``, …"""

    @property
    def identity(self) -> Mapping[str, Any] | None:
        """Settings that shape its responses, where it knows more than its arguments say; else None."""

    @property
    def takes_messages(self) -> bool:
        """Whether it takes only chat messages, no plain text."""

    def why_not(self, generation: Mapping[str, Any]) -> str | None:
        """Return why it cannot answer under these generation arguments, or None if it can.

        Raises:
            RoiBenchError: It could, but not with its present settings.
        """

    def check_ready(self) -> None:
        """Check that it can be asked now; called before a journal is begun, and not where there is one.

        Raises:
            ModelError: It cannot.
        """

    def preview(self, requests: Sequence[Request]) -> str:
        """Print what would be sent, and return the estimated cost as one line.

        Raises:
            UsageError: This engine sends nothing over a network.
        """

    def advice(self, requests: int) -> str | None:
        """Return one line on how the user could make a run of that many ``requests`` faster, or None."""

    def keep_batch_size(self, size: int) -> None:
        """Reuse the automatic batch size of an earlier start of this run, if this start leaves it open too."""

    def ask(self, job: Job) -> None:
        """Ask the missing requests of ``job``.

        Raises:
            ModelError: The engine failed; responses finished before that are recorded.
            EndedEarlyError: The run ends here on purpose, such as after handing in a provider batch.
        """

    def close(self) -> None:
        """End the processes that the engine started, if any; it is not used afterwards."""
