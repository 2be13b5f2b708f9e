"""API models as an engine: each request is sent by itself and costs money (:mod:`roi_bench.api`)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from roi_bench.api.gateway import Missing, Outcome
from roi_bench.errors import RecordError
from roi_bench.exams.exam import sha256_text
from roi_bench.harness.engines.protocol import Job, Request, exam_fields
from roi_bench.records.journal import Entry, Journal, RequestKey, canonical_json, entry_line
from roi_bench.scoring.task_settings import BUDGET_ALIASES, budget_of

# Requests to API models as the harness and the journal see them: budget, name in batches, cost.

DEFAULT_BUDGET = 256
"""``max_gen_toks`` of lm_eval's models where a task sets none; ours always do."""


def with_budget(generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``generation`` arguments with their budget under one name, lm_eval's default where a task has none.

    Raises:
        UsageError: Two names of the budget disagree.
    """
    budget = budget_of(generation, DEFAULT_BUDGET)
    return {**{name: generation[name] for name in generation if name not in BUDGET_ALIASES}, "max_gen_toks": budget}


def request_name(key: RequestKey) -> str:
    """Return the name of a request in batches, the same in every start of a run."""
    return sha256_text(canonical_json([key.prompt_sha256, key.generation, key.sample]))[:32]


def paid(journal: Journal) -> float:
    """Return the cost of the responses in ``journal`` in USD."""
    return float(sum(entry.extra.get("usd") or 0.0 for entry in journal.entries.values()))


def maybe_paid(journal: Journal) -> float:
    """Return the most that attempts of unknown cost (no response, or one without usage) may have cost, in USD."""
    return float(sum(entry.extra.get("maybe_paid_usd") or 0.0 for entry in journal.entries.values()))


# Writing API responses to the journal; paid responses survive even if the journal cannot be written.


class ApiEntries:
    """A context manager that records the outcomes of API requests, and rescues those that the journal could not take.

    If the journal's disk is full, responses still in flight are kept, tried again at the end, and if that fails too
    written to the temporary folder, ready to be appended to the journal.

    Args:
        journal: The journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._unsaved: list[Entry] = []

    def add(self, outcomes: Sequence[tuple[RequestKey, Mapping[str, Any], Outcome]]) -> list[Entry]:
        """Record ``(key, further fields, outcome)`` and return the entries when they are on the disk.

        Raises:
            RecordError: The journal cannot be written.
        """
        # Kept until the journal has taken them: if the disk is full, a later call or the end tries again.
        entries = [self._entry(key, fields, outcome) for key, fields, outcome in outcomes]
        self._unsaved += entries
        self._journal.append(self._unsaved)
        self._unsaved = []
        return entries

    def _entry(self, key: RequestKey, fields: Mapping[str, Any], outcome: Outcome) -> Entry:
        known = self._journal.entries.get(key)
        extra = {**fields, **outcome.record}
        if known is not None and (lost := known.extra.get("maybe_paid_usd")):  # by attempts of an earlier start
            extra["maybe_paid_usd"] = lost + extra.get("maybe_paid_usd", 0.0)
        if isinstance(outcome, Missing):
            return Entry(key, None, None, {**extra, "error": outcome.message})
        return Entry(key, outcome.text, outcome.usage, extra)

    def __enter__(self) -> ApiEntries:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Only responses are worth rescuing; a failure is asked again anyway.
        paid = [entry for entry in self._unsaved if entry.response is not None]
        if not paid:
            return
        try:
            self._journal.append(self._unsaved)
        except RecordError as full:
            name = f"rescued-{self._journal.path.name}"
            rescued = Path(tempfile.mkdtemp(prefix="roi-bench-")) / name
            rescued.write_bytes(b"".join(entry_line(entry) for entry in paid))
            raise RecordError(
                f"{full}; what was in flight is in {rescued} (responses: {len(paid)}): make room, then append it with "
                f"cat {rescued} >> {self._journal.path}"
            ) from error


class ApiEngine:
    """Engine for ``roi-api``.

    Args:
        lm: A :class:`roi_bench.harness.engines.api_model.ApiLM`.
        seed: Seed of sampling; None sends none.
    """

    def __init__(self, lm: Any, *, seed: int | None = None) -> None:
        self.lm = lm
        self._seed = seed

    @property
    def facts(self) -> Mapping[str, Any]:
        """Client, kind of endpoint, and number of concurrent requests."""
        return dict(self.lm.facts)

    @property
    def identity(self) -> Mapping[str, Any] | None:
        """Its settings."""
        return dict(self.lm.identity)

    @property
    def takes_messages(self) -> bool:
        """Whether the endpoint is one for chats."""
        return bool(self.lm.is_chat)

    def why_not(self, generation: Mapping[str, Any]) -> str | None:
        """Return why the model cannot take exams under ``generation`` arguments, or None.

        Raises:
            ModelError: It could, but not with these parameters.
            UsageError: API models do not take one of the generation arguments.
        """
        reason: str | None = self.lm.why_not(generation)
        return reason

    def check_ready(self) -> None:
        """Check that the server is up.

        Raises:
            ModelError: It is not.
        """
        self.lm.check_server()

    def preview(self, requests: Sequence[Request]) -> str:
        """Print what would be sent, one JSON object per line, and return the estimated cost.

        Raises:
            ModelError: The model cannot take these exams.
        """
        return str(self.lm.preview([request.instance(self._seed) for request in requests]))

    def advice(self, requests: int) -> str | None:
        """Return None: the provider's limits set the pace."""
        del requests
        return None

    def keep_batch_size(self, size: int) -> None:
        """Do nothing: there are no planned batches."""

    def close(self) -> None:
        """Do nothing: no process was started."""

    def ask(self, job: Job) -> None:
        """Send requests concurrently; each finished response is recorded before anything else.

        Raises:
            ModelError: The model cannot take these exams, the limit of money is reached, or no request can succeed.
            EndedEarlyError: A batch was submitted, and the run does not wait for it.
        """
        missing = job.missing
        with ApiEntries(job.journal) as entries:

            def record(outcomes: Any) -> None:
                found = [(missing[request.index], outcome) for request, outcome in outcomes]
                job.on_recorded(entries.add([(item.key, exam_fields(item), outcome) for item, outcome in found]))

            instances = [request.instance(self._seed) for request in missing]
            self.lm.ask_each(instances, [request.key for request in missing], record, job.journal)
