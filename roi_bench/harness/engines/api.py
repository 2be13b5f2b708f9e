"""API models as an engine: they ask each request by itself, and money is at stake (:mod:`roi_bench.api`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roi_bench.harness.api_entries import ApiEntries
from roi_bench.harness.batches import Question, exam_fields
from roi_bench.harness.engines.protocol import Asking


class ApiEngine:
    """``roi-api``.

    Args:
        lm: A :class:`roi_bench.harness.api_model.ApiLM`.
        seed: Seed of sampling; None sends none.
    """

    def __init__(self, lm: Any, *, seed: int | None = None) -> None:
        self.lm = lm
        self._seed = seed

    @property
    def facts(self) -> Mapping[str, Any]:
        """Which client talks to which kind of endpoint, how many requests at once."""
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
        """Return why the model cannot sit exams under ``generation`` arguments, or None.

        Raises:
            ModelError: It could, but not with these parameters.
            UsageError: A generation argument is none that API models take.
        """
        reason: str | None = self.lm.why_not(generation)
        return reason

    def preview(self, questions: Sequence[Question]) -> str:
        """Write what would be sent to stdout, a JSON object a line, and return the estimate.

        Raises:
            ModelError: The model cannot sit these exams.
        """
        return str(self.lm.preview([question.instance(self._seed) for question in questions]))

    def advice(self, questions: int) -> str | None:
        """Return None: how many requests fly at once is paced by the provider's own limits."""
        del questions
        return None

    def keep_batch_size(self, size: int) -> None:
        """Nothing is planned in batches."""

    def close(self) -> None:
        """Nothing to end: nothing was started."""

    def ask(self, asking: Asking) -> None:
        """Ask concurrently; each finished response is recorded before anything else.

        Raises:
            ModelError: The model cannot sit these exams, the limit of money is reached, or no request can succeed.
            EndedEarlyError: A batch was submitted, and is not to be waited for.
        """
        missing = asking.missing
        with ApiEntries(asking.journal) as entries:

            def record(outcomes: Any) -> None:
                found = [(missing[request.index], outcome) for request, outcome in outcomes]
                asking.tell(entries.add([(item.key, exam_fields(item), outcome) for item, outcome in found]))

            requests = [question.instance(self._seed) for question in missing]
            self.lm.ask_each(requests, [question.key for question in missing], record, asking.journal)
