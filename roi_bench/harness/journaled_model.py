"""An lm_eval model around any other: asks once, counts tokens, records every batch, resumes."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.model import LM

from roi_bench.errors import ModelError
from roi_bench.harness.api_entries import ApiEntries
from roi_bench.harness.batches import (
    Question,
    derived_seed,
    distinct_questions,
    fixed_batches,
    seed_everything,
)
from roi_bench.harness.metering import Meter, MeteredText, usage_of
from roi_bench.harness.progress import Progress
from roi_bench.harness.stopping import EndedEarlyError
from roi_bench.journal import Journal
from roi_bench.journal_format import Entry, RequestKey


class JournaledModel(LM):
    """Wraps an lm_eval model.

    - Equal requests (prompt, generation arguments, sample index) are asked once, whichever tasks they come from.
    - Batches are the same in every run of the same command, and sampling is seeded by batch, so a resumed run gives
      what an uninterrupted one gives.
    - Every finished batch is in the journal before anything else happens.
    - Responses are :class:`~roi_bench.harness.metering.MeteredText`; one that could not be had is None.

    Args:
        lm: The model.
        journal: Where this process records; open.
        recorded: Responses recorded by other processes of the run (accelerate).
        batch_size: Requests handed to the model at once.
        seed: Seed of the run for sampling; None leaves the generators alone.
        show_progress: Show a progress bar.
        preview: Only show what would be asked; for models that can (``roi-api``).
    """

    def __init__(
        self,
        lm: Any,
        journal: Journal,
        *,
        batch_size: int,
        recorded: Mapping[RequestKey, Entry] | None = None,
        seed: int | None = None,
        show_progress: bool = True,
        preview: bool = False,
    ) -> None:
        super().__init__()
        self._lm = lm
        self._preview = preview
        self._meter = Meter(lm)
        self.journal = journal
        self._show_progress = show_progress
        self._recorded = dict(recorded or {})
        self._batch_size = batch_size
        self._seed = seed

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """Return the responses to ``requests``, asking only for those that are recorded nowhere yet."""
        questions, keys = distinct_questions(requests)
        visible = self._show_progress and not disable_tqdm
        if hasattr(self._lm, "ask_each"):
            self._ask_each(questions, visible)
        else:
            self._ask_in_batches(questions, visible)
        responses = [_response(self._known(key)) for key in keys]
        self._refuse_gaps_under_cache(responses)
        return responses

    def _ask_in_batches(self, questions: Sequence[Question], visible: bool) -> None:
        batches = fixed_batches(questions, self._batch_size, self._prompt_length)
        waiting = [[question for question in batch if not self._has(question.key)] for batch in batches]
        with Progress(questions, waiting, visible=visible) as progress:
            for batch, missing in zip(batches, waiting, strict=True):
                if missing:
                    progress.add(self._ask(batch if self._batch_matters else missing, {item.key for item in missing}))

    def _ask_each(self, questions: Sequence[Question], visible: bool) -> None:
        """Hand over all at once to a model that asks concurrently, and record each response as it comes."""
        missing = [question for question in questions if not self._has(question.key)]
        requests = [self._instance(question) for question in missing]
        if self._preview:
            raise EndedEarlyError(f"nothing was sent: {self._lm.preview(requests)}")
        with Progress(questions, [missing], visible=visible) as progress, ApiEntries(self.journal) as entries:

            def record(outcomes: Any) -> None:
                found = [(missing[request.index], outcome) for request, outcome in outcomes]
                progress.add(entries.add([(item.key, exam_fields(item), outcome) for item, outcome in found]))

            self._lm.ask_each(requests, [question.key for question in missing], record, self.journal)

    def _known(self, key: RequestKey) -> Entry | None:
        """Return the recorded entry with a response, else the record of its lack, else None."""
        entry = self.journal.entries.get(key)
        return entry if entry is not None and entry.response is not None else self._recorded.get(key, entry)

    def _has(self, key: RequestKey) -> bool:
        entry = self._known(key)
        return entry is not None and entry.response is not None

    @property
    def _batch_matters(self) -> bool:
        """Whether a response may depend on its batch (padding, shared random numbers): true of local models."""
        return hasattr(self._lm, "_model_generate")

    def _prompt_length(self, prompt: str) -> int:
        if self._batch_matters and hasattr(self._lm, "tok_encode"):
            return len(self._lm.tok_encode(prompt))
        return len(prompt)

    def _ask(self, batch: Sequence[Question], wanted: set[RequestKey]) -> list[Entry]:
        """Ask for a batch and record the ``wanted`` responses."""
        if self._seed is not None and self._batch_matters and any(question.is_sampled for question in batch):
            seed_everything(derived_seed(self._seed, [question.key for question in batch]))
        responses = self._meter.generate([self._instance(question) for question in batch])
        entries = [
            Entry(question.key, None if response is None else str(response), usage_of(response), exam_fields(question))
            for question, response in zip(batch, responses, strict=True)
            if question.key in wanted
        ]
        self.journal.append(entries)
        return entries

    def _instance(self, question: Question) -> Any:
        """Return the request to hand to the model: its own copy, which a backend may change."""
        instance = copy.copy(question.request)
        generation = copy.deepcopy(question.generation)
        if self._seed is not None and question.is_sampled and type(self._lm).__name__ in ("VLLM", "ApiLM"):
            generation.setdefault("seed", derived_seed(self._seed, [question.key]))  # these seed each request by itself
        instance.arguments = (question.prompt, generation)
        instance.sample = question.key.sample
        return instance

    def _refuse_gaps_under_cache(self, responses: Sequence[object]) -> None:
        gaps = sum(response is None for response in responses)
        if gaps and getattr(self.cache_hook, "dbdict", None) is not None:
            raise ModelError(
                f"{gaps} of {len(responses)} responses could not be had, and with --use_cache lm_eval would give later "
                "responses to the wrong exams; run the same command again: it asks for the missing ones only"
            )

    # ------------------------------------------------------------------- what lm_eval asks of the model itself
    def __getattr__(self, name: str) -> Any:
        if name == "_lm":  # not yet set: copying or unpickling
            raise AttributeError(name)
        return getattr(self._lm, name)

    @property
    def rank(self) -> int:
        """Index of this process."""
        return int(self._lm.rank)

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return int(self._lm.world_size)

    @property
    def device(self) -> Any:
        """Device of the model."""
        return self._lm.device

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer or chat template."""
        return str(self._lm.tokenizer_name)

    def all_gather(self, tensor: Any) -> Any:
        """Gather a tensor from all processes."""
        return self._lm.all_gather(tensor)

    def gather_object(self, obj: Any, dst: int = 0) -> Any:
        """Gather an object from all processes on process ``dst``."""
        return self._lm.gather_object(obj, dst)

    def barrier(self) -> None:
        """Wait for all processes."""
        self._lm.barrier()

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the model's chat template."""
        template: str | None = self._lm.chat_template(chat_template)
        return template

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Return a conversation as one prompt."""
        prompt: str = self._lm.apply_chat_template(chat_history, add_generation_prompt=add_generation_prompt)
        return prompt

    def loglikelihood(self, requests: list[Any]) -> Any:
        """Pass on to the model; likelihoods are not recorded."""
        return self._lm.loglikelihood(requests)

    def loglikelihood_rolling(self, requests: list[Any]) -> Any:
        """Pass on to the model; likelihoods are not recorded."""
        return self._lm.loglikelihood_rolling(requests)


def _response(entry: Entry | None) -> MeteredText | None:
    if entry is None or entry.response is None:
        return None
    return MeteredText(entry.response, entry.usage, entry.extra.get("usd"))


def exam_fields(question: Question) -> dict[str, Any]:
    """Return which exam a question is, for the reader of the journal."""
    doc = question.request.doc
    if not isinstance(doc, Mapping):
        return {}
    if "problem" in doc:
        return {name: doc[name] for name in ("problem", "budget") if name in doc}
    named = {"exam": "exam_id", "order": "order", "budget": "budget"}
    return {name: doc[key] for name, key in named.items() if key in doc} if "exam_id" in doc else {}
