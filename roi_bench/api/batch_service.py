"""The provider's batch service, through litellm: files, batches, results (OpenAI's protocol; Azure speaks it too)."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from roi_bench.api.failures import Kind, failure_of
from roi_bench.api.gateway import Gateway, import_litellm
from roi_bench.errors import ModelError

PROVIDERS = ("openai", "hosted_vllm", "azure")
"""Providers whose batch mode speaks OpenAI's protocol."""

ENDPOINTS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
LISTED = 100
"""Batches looked through for one whose number was lost."""

Answer = TypeVar("Answer")


class BatchService:
    """Files and batches of one provider. Passing faults are tried again; what is final is a :class:`ModelError`.

    Args:
        gateway: Gives model, provider and access.
        sleep: Waits for seconds.

    Raises:
        ModelError: The provider has no batch mode that we speak.
    """

    def __init__(self, gateway: Gateway, sleep: Callable[[float], None] = time.sleep) -> None:
        provider = gateway.facts.provider
        if provider not in PROVIDERS:
            raise ModelError(
                f"batch mode is there for {', '.join(PROVIDERS)} and not for {provider}; leave --provider-batch out"
            )
        self._litellm = import_litellm()
        self._settings, self._sleep = gateway.settings, sleep
        self._access = {**gateway.access, "custom_llm_provider": provider, "timeout": gateway.settings.timeout}
        self._endpoint = ENDPOINTS[gateway.settings.endpoint]

    @property
    def endpoint(self) -> str:
        """Path that the requests of a batch are for."""
        return self._endpoint

    def upload(self, content: bytes) -> str:
        """Upload the requests of a batch and return the file's id."""

        def call() -> Any:
            file = ("roi-bench.jsonl", io.BytesIO(content), "application/jsonl")
            return self._litellm.create_file(file=file, purpose="batch", **self._access)

        return str(self._tried("upload requests", call).id)

    def create(self, file_id: str, metadata: Mapping[str, str], find: Callable[[], dict[str, Any] | None]) -> str:
        """Submit a batch and return its id.

        Args:
            file_id: The uploaded requests.
            metadata: Kept with the batch.
            find: Looks for the batch after an attempt of which nobody knows whether it succeeded.
        """

        def call() -> Any:
            return self._litellm.create_batch(
                completion_window="24h",
                endpoint=self._endpoint,
                input_file_id=file_id,
                metadata=dict(metadata),
                max_retries=0,
                **self._access,
            )

        def again() -> Any:
            found = find()
            return call() if found is None else found

        created = self._tried("submit the batch", call, again)
        return str(created["id"] if isinstance(created, Mapping) else created.id)

    def retrieve(self, batch_id: str) -> dict[str, Any]:
        """Return the batch object."""
        return _plain(
            self._tried(f"look at batch {batch_id}", lambda: self._litellm.retrieve_batch(batch_id, **self._access))
        )

    def content(self, file_id: str) -> bytes:
        """Return what a result file holds."""
        call = self._litellm.file_content
        return bytes(self._tried(f"fetch {file_id}", lambda: call(file_id, **self._access).content))

    def recent(self) -> list[dict[str, Any]]:
        """Return the newest batches."""
        call = self._litellm.list_batches
        answer = self._tried("list the batches", lambda: call(limit=LISTED, **self._access))
        return [_plain(batch) for batch in getattr(answer, "data", answer)]

    def _tried(self, what: str, call: Callable[[], Answer], again: Callable[[], Answer] | None = None) -> Answer:
        """Return what ``call`` gives, tried again (with ``again``) after passing faults.

        Raises:
            ModelError: It failed for good.
        """
        for attempt in range(self._settings.max_retries + 1):
            try:
                return call() if attempt == 0 or again is None else again()
            except Exception as error:
                failure = failure_of(error)
                if failure.kind in (Kind.GIVE_UP, Kind.STOP) or attempt == self._settings.max_retries:
                    raise ModelError(
                        f"cannot {what} at the provider: {failure.message}; run the same command again to go on"
                    ) from error
                self._sleep(failure.retry_after or min(60.0, self._settings.retry_wait * 2**attempt))
        raise AssertionError("unreachable")


def _plain(batch: Any) -> dict[str, Any]:
    return dict(batch) if isinstance(batch, Mapping) else dict(batch.model_dump())
