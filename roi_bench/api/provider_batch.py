"""Provider batch mode: submit, poll, fetch, at half the price; the same journal and the same results."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

from roi_bench.api.batch_record import BatchLine, BatchRecord
from roi_bench.api.parameters import messages_of
from roi_bench.api.replies import ApiReply, UnusableReplyError, read_reply
from roi_bench.api.requests import ApiRequest, Ending, Missing, OnOutcomes, Outcome
from roi_bench.api.settings import ApiSettings
from roi_bench.api.spending import Price, Purse, usd_text
from roi_bench.errors import ModelError

MOST_REQUESTS = 50_000
MOST_BYTES = 150_000_000
"""Requests and bytes of one batch; OpenAI takes 50,000 and 200 MB. https://platform.openai.com/docs/guides/batch"""

ENDED = ("completed", "expired", "failed", "cancelled")
"""States after which nothing more comes."""


class BatchServiceLike(Protocol):
    """Files and batches of a provider (:class:`roi_bench.api.batch_service.BatchService`)."""

    @property
    def endpoint(self) -> str:
        """Path that the requests of a batch are for."""
        ...

    def upload(self, content: bytes) -> str:
        """Upload the requests of a batch and return the file's id."""
        ...

    def create(self, file_id: str, metadata: Mapping[str, str], find: Callable[[], dict[str, Any] | None]) -> str:
        """Submit a batch and return its id."""
        ...

    def retrieve(self, batch_id: str) -> dict[str, Any]:
        """Return the batch object."""
        ...

    def content(self, file_id: str) -> bytes:
        """Return what a result file holds."""
        ...

    def recent(self) -> list[dict[str, Any]]:
        """Return the newest batches."""
        ...


class ProviderBatches:
    """Asks requests through a provider's batch mode.

    Args:
        service: The provider's service.
        record: Which batches were submitted.
        settings: How to ask.
        body: Model name and parameters of a request's parameters, as the provider takes them.
        prompt_tokens: Counts the tokens of a prompt.
        price: Price in batch mode, or None.
        purse: Money of the run.
        run: Digest of the run, kept with every batch.
        on_event: Told in one line of what a user should know while the run goes on.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        service: BatchServiceLike,
        record: BatchRecord,
        settings: ApiSettings,
        *,
        body: Callable[[Mapping[str, Any]], dict[str, Any]],
        prompt_tokens: Callable[[str], int],
        price: Price | None,
        purse: Purse,
        run: str,
        on_event: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._service, self._record, self._settings = service, record, settings
        self._body, self._prompt_tokens = body, prompt_tokens
        self._price, self._purse, self._run = price, purse, run
        self._on_event, self._sleep = on_event, sleep
        self.reason = ""
        """Why not everything was asked, in one line; empty if it was."""

    def ask(
        self,
        requests: Sequence[ApiRequest],
        identifiers: Sequence[str],
        on_outcomes: OnOutcomes,
        recorded: Collection[str] = (),
    ) -> Ending:
        """Submit what no open batch holds, wait, and hand every result to ``on_outcomes``.

        Args:
            requests: Requests without a response in the journal.
            identifiers: A name of each request that is the same in every start of the run.
            on_outcomes: Records outcomes; when it returns they are safe.
            recorded: Names of requests whose responses are in the journal.

        Raises:
            ModelError: The provider refuses a batch.
            RecordError: The record of batches cannot be written.
        """
        by_name = dict(zip(identifiers, requests, strict=True))
        self._adopt_lost()
        covered = {name for batch in self._record.open for name in batch.requests}
        self._purse.spent += sum(self._most(request) for name, request in by_name.items() if name in covered)
        ending, affordable = Ending.DONE, {}
        for name, request in by_name.items():
            if name in covered:
                continue
            if not self._purse.reserve(most := self._most(request)):
                self.reason = f"the next request may cost {usd_text(most)}"
                ending = Ending.MONEY
                break
            affordable[name] = request
        for chunk in self._chunks(affordable):
            self._submit(chunk)
        ours = [batch for batch in self._record.open if by_name.keys() & set(batch.requests)]
        if ours and not self._settings.wait:
            self.reason = ", ".join(str(batch.batch_id) for batch in ours)
            return Ending.SUBMITTED
        for batch in ours:
            self._fetch(batch, self._wait_for(batch), by_name, on_outcomes)
            if {*by_name, *recorded}.issuperset(batch.requests):
                self._record.done(batch.chunk)
            # Otherwise it holds responses to requests of other tasks: it stays open for the command that asks for them.
        return ending

    # ------------------------------------------------------------------------------------------------ submitting
    def _most(self, request: ApiRequest) -> float:
        """Return what a request may cost."""
        return 0.0 if self._price is None else self._price.of(self._prompt_tokens(request.prompt), request.budget)

    def _chunks(self, requests: Mapping[str, ApiRequest]) -> Iterator[dict[str, bytes]]:
        """Yield lines by name, in portions that the provider takes."""
        chunk: dict[str, bytes] = {}
        size = 0
        for name, request in requests.items():
            line = self._line(name, request)
            if chunk and (len(chunk) >= MOST_REQUESTS or size + len(line) > MOST_BYTES):
                yield chunk
                chunk, size = {}, 0
            chunk[name] = line
            size += len(line)
        if chunk:
            yield chunk

    def _line(self, name: str, request: ApiRequest) -> bytes:
        asked: dict[str, Any] = (
            {"prompt": request.prompt}
            if self._settings.endpoint == "completions"
            else {"messages": messages_of(request.prompt)}
        )
        body = {**self._body(request.parameters), **asked}
        line = {"custom_id": name, "method": "POST", "url": self._service.endpoint, "body": body}
        return (json.dumps(line, ensure_ascii=True) + "\n").encode("ascii")

    def _submit(self, chunk: Mapping[str, bytes]) -> None:
        content = b"".join(chunk.values())
        digest = secrets.token_hex(8)  # not of the content, which may have been in another batch before
        self._record.intend(digest, chunk)
        metadata = {"roi_bench_run": self._run, "roi_bench_chunk": digest}
        file_id = self._service.upload(content)
        batch_id = self._service.create(file_id, metadata, lambda: self._find(digest))
        self._record.submitted(digest, batch_id)
        self._on_event(f"batch {batch_id}: {len(chunk)} requests submitted")

    def _find(self, digest: str) -> dict[str, Any] | None:
        return next(
            (b for b in self._service.recent() if (b.get("metadata") or {}).get("roi_bench_chunk") == digest), None
        )

    def _adopt_lost(self) -> None:
        """Look at the provider for batches that we were about to submit when we died."""
        for batch in self._record.open:
            if batch.batch_id is None:
                found = self._find(batch.chunk)
                if found is None:
                    self._record.done(batch.chunk)  # it never got there: its requests are asked anew
                else:
                    self._record.submitted(batch.chunk, str(found["id"]))

    # ------------------------------------------------------------------------------------------------ fetching
    def _wait_for(self, batch: BatchLine) -> dict[str, Any]:
        shown = ""
        while True:
            found = self._service.retrieve(str(batch.batch_id))
            counts = found.get("request_counts") or {}
            line = (
                f"batch {batch.batch_id}: {found['status']}, {counts.get('completed', 0)} of {len(batch.requests)} done"
            )
            if line != shown:
                self._on_event(line)
                shown = line
            if found["status"] in ENDED:
                return found
            self._sleep(self._settings.poll_seconds)

    def _fetch(
        self,
        batch: BatchLine,
        found: Mapping[str, Any],
        by_name: Mapping[str, ApiRequest],
        on_outcomes: OnOutcomes,
    ) -> None:
        """Record the results of an ended batch, and a lack for each request that has none."""
        if found["status"] == "failed":
            self._record.done(batch.chunk)
            raise ModelError(f"the provider refused batch {batch.batch_id}: {_reasons(found)}")
        outcomes: dict[str, Outcome] = {}
        for file_id in filter(None, (found.get("output_file_id"), found.get("error_file_id"))):
            for line in self._service.content(str(file_id)).splitlines():
                name, result = _parsed(line)
                if name in by_name and not isinstance(outcomes.get(name), ApiReply):
                    outcomes[name] = self._outcome(by_name[name], result, str(batch.batch_id))
        for name in batch.requests:
            if name in by_name:
                lack = Missing(f"batch {batch.batch_id} ended without it ({found['status']})", {})
                outcomes.setdefault(name, lack)
        on_outcomes([(by_name[name], outcome) for name, outcome in outcomes.items()])

    def _outcome(self, request: ApiRequest, result: Mapping[str, Any], batch_id: str) -> Outcome:
        response = result.get("response") or {}
        body = response.get("body")
        if response.get("status_code") != 200 or not isinstance(body, Mapping):
            reason = result.get("error") or (body or {}).get("error") or f"status {response.get('status_code')}"
            return Missing(f"batch {batch_id}: {json.dumps(reason)[:200]}", {})
        record = {"batch_id": batch_id, "asked": dict(request.parameters), "sent": self._body(request.parameters)}
        usd = self._usd(body.get("usage") or {})
        think_end_token = self._settings.think_end_token
        try:
            return read_reply(body, request.budget, usd=usd, think_end_token=think_end_token, record=record)
        except UnusableReplyError as error:
            return Missing(f"batch {batch_id}: {error}", {})

    def _usd(self, usage: Mapping[str, Any]) -> float | None:
        prompt, total = int(usage.get("prompt_tokens") or 0), int(usage.get("total_tokens") or 0)
        generated = max(int(usage.get("completion_tokens") or 0), total - prompt)
        return None if self._price is None or not generated else self._price.of(prompt, generated)


def _parsed(line: bytes) -> tuple[str, dict[str, Any]]:
    """Return the name of the request that a line of results answers, and the line.

    Raises:
        ModelError: It is none.
    """
    try:
        result = json.loads(line)
        return str(result["custom_id"]), result
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"a result file of the provider is damaged ({error}); run the same command again to fetch it anew"
        ) from error


def _reasons(batch: Mapping[str, Any]) -> str:
    errors = (batch.get("errors") or {}).get("data") or []
    return "; ".join(str(error.get("message")) for error in errors[:3]) or "no reason given"
