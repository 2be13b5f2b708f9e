"""An lm_eval model around an engine: asks each distinct question once, records every response, resumes."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from lm_eval.api.model import LM

from roi_bench.errors import ModelError, RoiBenchError
from roi_bench.harness.ending import EndedEarlyError
from roi_bench.harness.engines.metering import MeteredText
from roi_bench.harness.engines.protocol import Engine, Job, Request, distinct_requests
from roi_bench.harness.processes import Processes
from roi_bench.machine import BarFile
from roi_bench.records.journal import Entry, Journal, RequestKey

# The progress bar of a run: responses, tokens per second, money, time left.


class Progress:
    """Progress bar (a context manager) of a run with ``total`` requests, of which ``missing`` are still to be asked."""

    def __init__(self, total: int, missing: int, visible: bool) -> None:
        self._total = total
        self._done = total - missing
        self._visible = visible
        self._tokens = self._failed = 0
        self._usd = 0.0

    def __enter__(self) -> Progress:
        from tqdm import tqdm

        file = BarFile()
        self._bar = tqdm(
            total=self._total,
            initial=self._done,
            desc="responses" if not self._done else f"responses ({self._done} from the journal)",
            unit="resp",
            disable=not self._visible,
            file=file,
            mininterval=file.interval,
            dynamic_ncols=True,
        )
        self._begin = time.monotonic()
        return self

    def add(self, entries: Sequence[Entry]) -> None:
        """Count finished responses, and say how many requests failed."""
        answered = sum(entry.response is not None for entry in entries)
        self._failed += len(entries) - answered
        self._tokens += sum(entry.usage.tokens for entry in entries if entry.usage is not None)
        self._usd += sum(entry.extra.get("usd") or 0.0 for entry in entries)
        if self._tokens or self._failed:
            rate = self._tokens / max(time.monotonic() - self._begin, 1e-9)
            money = f", ${self._usd:.4f}" if self._usd else ""
            failed = f", {self._failed} failed" if self._failed else ""
            self._bar.set_postfix_str(f"{rate:,.0f} tokens/s{money}{failed}", refresh=False)
        self._bar.update(answered)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


class JournaledModel(LM):
    """The lm_eval model that a run evaluates: wraps an engine's own model and records every response.

    - Equal requests (prompt, generation arguments, sample index) are sent once, whichever tasks they come from.
    - Every finished response is in the journal before anything else happens, and is never asked for again.
    - Responses are :class:`~roi_bench.harness.engines.metering.MeteredText`; a missing one is None.

    Args:
        engine: Generates the responses.
        journal: The open journal of this process.
        recorded: Responses recorded by other processes of the run.
        processes: The processes that share the requests; None: those that the model itself reports.
        show_progress: Show a progress bar.
        preview: Only show what would be sent; for engines that can.
    """

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        *,
        recorded: Mapping[RequestKey, Entry] | None = None,
        processes: Processes | None = None,
        show_progress: bool = True,
        preview: bool = False,
    ) -> None:
        super().__init__()
        self._lm = engine.lm
        self._world = processes or engine.lm
        self._engine = engine
        self._preview = preview
        self.journal = journal
        self._show_progress = show_progress
        self._recorded = dict(recorded or {})

    @property
    def resumed(self) -> bool:
        """Whether the responses come from more than one start of the run, in any of its journals."""
        return self.journal.starts > 1 or bool(self._recorded)

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[Any]:
        """Return the responses to ``requests``; only those recorded nowhere yet are asked for.

        Raises:
            ModelError: The engine failed; the message says what is kept and how to go on.
        """
        # The engine sees every distinct request, also the recorded ones, so that it can plan the same batches at every
        # start; it asks only the missing ones.
        distinct, keys = distinct_requests(requests)
        missing = [request for request in distinct if not self._has(request.key)]
        if self._preview:
            raise EndedEarlyError(f"nothing was sent: {self._engine.preview(missing)}")
        if missing:
            self._ask(distinct, missing, self._show_progress and not disable_tqdm)
        responses = [_response(self._known(key)) for key in keys]
        self._refuse_gaps_under_cache(responses)
        return responses

    def _ask(self, requests: Sequence[Request], missing: Sequence[Request], visible: bool) -> None:
        if visible and (advice := self._engine.advice(len(missing))):
            sys.stderr.write(f"roi-bench: {advice}\n")
        with Progress(len(requests), len(missing), visible=visible) as progress:

            def record(entries: Sequence[Entry]) -> None:
                self.journal.append(entries)
                progress.add(entries)

            job = Job(requests, missing, record, self.journal, progress.add)
            try:
                self._engine.ask(job)
            except (RoiBenchError, EndedEarlyError):
                raise
            # Backends raise anything. Whatever it is, the responses so far are on disk, and the message has to say so.
            except Exception as error:
                raise ModelError(failure_line(error, self._engine, self.journal)) from error

    def _known(self, key: RequestKey) -> Entry | None:
        """Return the recorded entry with a response, else the entry that records a failure, else None."""
        # Another process of the run may have a response where this one's journal has only a failure.
        entry = self.journal.entries.get(key)
        return entry if entry is not None and entry.response is not None else self._recorded.get(key, entry)

    def _has(self, key: RequestKey) -> bool:
        entry = self._known(key)
        return entry is not None and entry.response is not None

    def _refuse_gaps_under_cache(self, responses: Sequence[object]) -> None:
        # lm_eval's cache takes a None for a slot still to be filled, which shifts all later responses.
        gaps = sum(response is None for response in responses)
        if gaps and getattr(self.cache_hook, "dbdict", None) is not None:
            raise ModelError(
                f"missing responses: {gaps} of {len(responses)}; with --use_cache lm_eval would give later responses "
                "to the wrong exams; run the same command again: it asks only for the missing ones"
            )

    # ------------------------------------------------------------------- what lm_eval asks of the model itself
    # Everything not defined here is the wrapped model's: lm_eval and its tasks read attributes that no interface lists.
    def __getattr__(self, name: str) -> Any:
        if name == "_lm":  # not yet set: copying or unpickling
            raise AttributeError(name)
        return getattr(self._lm, name)

    @property
    def rank(self) -> int:
        """Index of this process."""
        return int(self._world.rank)

    @property
    def world_size(self) -> int:
        """Number of processes."""
        return int(self._world.world_size)

    @property
    def device(self) -> Any:
        """Device of the model, or of the tensors that processes exchange."""
        return self._world.device

    @property
    def tokenizer_name(self) -> str:
        """Name of the tokenizer or chat template."""
        return str(self._lm.tokenizer_name)

    def all_gather(self, tensor: Any) -> Any:
        """Gather a tensor from all processes."""
        return self._world.all_gather(tensor)

    def gather_object(self, obj: Any, dst: int = 0) -> Any:
        """Gather an object from all processes on process ``dst``."""
        return self._world.gather_object(obj, dst)

    def barrier(self) -> None:
        """Wait for all processes."""
        self._world.barrier()

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


def _response(entry: Entry | None) -> str | None:
    if entry is None or entry.response is None:
        return None
    if isinstance(entry.response, MeteredText):
        entry.response.prompt_tokens = entry.extra.get("prompt_tokens")
        return entry.response
    return MeteredText(entry.response, entry.usage, entry.extra.get("usd"), entry.extra.get("prompt_tokens"))


NO_SERVER = ("Connection refused", "Name or service not known", "Failed to get a valid response")
"""What lm_eval's backends say when nothing answers at the address; the last is all that its ``gguf`` says."""


def failure_line(error: Exception, engine: Engine, journal: Journal) -> str:
    """Return one line that says what failed in the engine, what is kept, and how to go on."""
    said = " ".join(str(error).split())[:300] or type(error).__name__
    name, size = engine.facts["name"], int(engine.facts.get("batch_size") or 1)
    kept = sum(entry.response is not None for entry in journal.entries.values())
    go_on = f"finished responses are in {journal.path} ({kept} so far); run the same command again to go on from there"
    if "out of memory" in said or isinstance(error, MemoryError):
        smaller = f" with a smaller --batch_size, e.g. {size // 2}" if size > 1 else ""
        return f"{name} is out of memory with batches of {size} ({said}); {go_on}{smaller}"
    said += "".join(f" ({note})" for note in getattr(error, "__notes__", ()))  # what the engine knows of it
    if any(sign in said for sign in NO_SERVER):
        said += " (the server cannot be reached; is it running, and is base_url right?)"
    return f"{name} failed: {type(error).__name__}: {said}; {go_on}"
