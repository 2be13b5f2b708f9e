"""Batch mode of providers: requests submitted as a file and fetched later, at half the price."""

from __future__ import annotations

import io
import json
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from roi_bench.api.gateway import (
    ApiRequest,
    Ending,
    Gateway,
    Missing,
    OnOutcomes,
    Outcome,
    import_litellm,
)
from roi_bench.api.limits import Price, Purse, usd_text
from roi_bench.api.replies import (
    ApiReply,
    Kind,
    UnusableReplyError,
    chat_form,
    failure_of,
    read_reply,
    tokens_of,
    usage_of,
)
from roi_bench.api.settings import ApiSettings, without_prompt
from roi_bench.errors import ModelError, RecordError

# Which batches were submitted, on disk before anything else: a batch whose number is lost would be paid twice.
#
# An open batch may hold requests of several commands (tasks, limits): each fetches its own responses, and it is done
# when all of them are in the journal.


def open_batches(journal: Path) -> list[BatchLine]:
    """Return the batches of the run of ``journal`` whose results are still to be fetched.

    Raises:
        RecordError: The record of batches cannot be read.
    """
    path = record_path(journal)
    return BatchRecord(path).open if path.exists() else []


def record_path(journal: Path) -> Path:
    """Return where the batches of the run of ``journal`` are noted; no run takes that for a journal."""
    named = journal.name.replace("journal-", "batches-", 1)
    return journal.with_name(named if named != journal.name else f"batches-{named}")


@dataclass(frozen=True, slots=True)
class BatchLine:
    """The record of one batch.

    Attributes:
        chunk: Our own name of it, also kept with the provider.
        requests: ``custom_id`` of each request.
        batch_id: The provider's id; None until the provider has answered.
        done: Whether its results are in the journal.
    """

    chunk: str
    requests: tuple[str, ...]
    batch_id: str | None = None
    done: bool = False


class BatchRecord:
    """An append-only file beside the journal: ``intend``, then ``submitted``, then ``done`` for each batch.

    Args:
        path: The file.

    Raises:
        RecordError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._batches: dict[str, BatchLine] = {}
        try:
            data = path.read_bytes() if path.exists() else b""
            whole = _mended(data)
            if whole != data:
                path.write_bytes(whole)
        except OSError as error:
            raise RecordError(f"cannot read {path}: {error.strerror or error}") from error
        for number, line in enumerate(whole.splitlines(), start=1):
            if line:
                self._read(line, number)

    def _read(self, line: bytes, number: int) -> None:
        try:
            value = json.loads(line)
            chunk, event = value["chunk"], value["event"]
            if event == "intend":
                self._batches[chunk] = BatchLine(chunk, tuple(value["requests"]))
            else:
                known = self._batches[chunk]
                batch_id = value.get("batch_id", known.batch_id)
                self._batches[chunk] = BatchLine(chunk, known.requests, batch_id, done=event == "done")
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{self.path}, line {number} is damaged ({error}); restore the file") from error

    @property
    def open(self) -> list[BatchLine]:
        """Batches whose results are not in the journal yet, in the order of their submission."""
        return [batch for batch in self._batches.values() if not batch.done]

    def intend(self, chunk: str, requests: Iterable[str]) -> BatchLine:
        """Note that a batch is about to be submitted."""
        line = BatchLine(chunk, tuple(requests))
        self._append({"event": "intend", "chunk": chunk, "requests": list(line.requests)})
        self._batches[chunk] = line
        return line

    def submitted(self, chunk: str, batch_id: str) -> BatchLine:
        """Note the provider's number of a batch."""
        self._append({"event": "submitted", "chunk": chunk, "batch_id": batch_id})
        self._batches[chunk] = BatchLine(chunk, self._batches[chunk].requests, batch_id)
        return self._batches[chunk]

    def done(self, chunk: str) -> None:
        """Note that the results of a batch are in the journal, or that there will be none."""
        self._append({"event": "done", "chunk": chunk})
        known = self._batches[chunk]
        self._batches[chunk] = BatchLine(chunk, known.requests, known.batch_id, done=True)

    def _append(self, value: dict[str, Any]) -> None:
        self._append_bytes((json.dumps(value) + "\n").encode("utf-8"))

    def _append_bytes(self, data: bytes) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RecordError(
                f"cannot write {self.path}: {error.strerror or error}; make room and run the same command again"
            ) from error


def _mended(data: bytes) -> bytes:
    """Return ``data`` without a last line torn by a kill or a power loss; its content is found again later."""
    intact = data[: data.rstrip(b"\0").rfind(b"\n") + 1]
    tail = data[len(intact) :].rstrip(b"\0")
    try:
        json.loads(tail)
    except ValueError:
        return intact
    return intact + tail + b"\n"  # only its line end is missing


# Provider batch mode: submit, poll, fetch, at half the price; the same journal and the same results.

MOST_REQUESTS = 50_000
MOST_BYTES = 150_000_000
"""Requests and bytes of one batch; OpenAI takes 50,000 and 200 MB. https://platform.openai.com/docs/guides/batch"""

ENDED = ("completed", "expired", "failed", "cancelled")
"""States after which nothing more comes."""


class BatchServiceLike(Protocol):
    """Files and batches of a provider (:class:`roi_bench.api.batches.BatchService`)."""

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
    """Sends requests through a provider's batch mode.

    Args:
        service: The provider's service.
        record: Which batches were submitted.
        settings: How to ask.
        bodies: Makes the bodies of requests, as the provider takes them.
        prompt_tokens: Counts the tokens of a prompt.
        price: Price in batch mode, or None.
        purse: The run's money.
        run: Digest of the run, kept with every batch.
        on_event: Called with one line on anything that a user should know while the run goes on.
    """

    def __init__(
        self,
        service: BatchServiceLike,
        record: BatchRecord,
        settings: ApiSettings,
        *,
        bodies: Callable[[Sequence[ApiRequest]], list[dict[str, Any]]],
        prompt_tokens: Callable[[str], int],
        price: Price | None,
        purse: Purse,
        run: str,
        on_event: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._service, self._record, self._settings = service, record, settings
        self._bodies, self._prompt_tokens = bodies, prompt_tokens
        self._price, self._purse, self._run = price, purse, run
        self._on_event = on_event
        self.reason = ""
        """Why not everything was asked, in one line; empty if it was."""

    def ask(
        self,
        requests: Sequence[ApiRequest],
        identifiers: Sequence[str],
        on_outcomes: OnOutcomes,
        recorded: Collection[str] = (),
    ) -> Ending:
        """Submit requests that no open batch has, wait, and pass every result to ``on_outcomes``.

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
        """Return the most that a request may cost."""
        return 0.0 if self._price is None else self._price.of(self._prompt_tokens(request.prompt), request.budget)

    def _chunks(self, requests: Mapping[str, ApiRequest]) -> Iterator[dict[str, bytes]]:
        """Yield lines by name, in portions of the size that the provider accepts."""
        chunk: dict[str, bytes] = {}
        size = 0
        for name, body in zip(requests, self._bodies(list(requests.values())), strict=True):
            line = self._line(name, body)
            if chunk and (len(chunk) >= MOST_REQUESTS or size + len(line) > MOST_BYTES):
                yield chunk
                chunk, size = {}, 0
            chunk[name] = line
            size += len(line)
        if chunk:
            yield chunk

    def _line(self, name: str, body: Mapping[str, Any]) -> bytes:
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
        self._on_event(f"batch {batch_id}: submitted (requests: {len(chunk)})")

    def _find(self, digest: str) -> dict[str, Any] | None:
        return next(
            (b for b in self._service.recent() if (b.get("metadata") or {}).get("roi_bench_chunk") == digest), None
        )

    def _adopt_lost(self) -> None:
        """Look for batches at the provider that were about to be submitted when an earlier start died."""
        for batch in self._record.open:
            if batch.batch_id is None:
                found = self._find(batch.chunk)
                if found is None:
                    self._record.done(batch.chunk)  # it never got there: its requests are sent again
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
            time.sleep(self._settings.poll_seconds)

    def _fetch(
        self,
        batch: BatchLine,
        found: Mapping[str, Any],
        by_name: Mapping[str, ApiRequest],
        on_outcomes: OnOutcomes,
    ) -> None:
        """Record the results of an ended batch, and a missing response for each request that has none."""
        if found["status"] == "failed":
            self._record.done(batch.chunk)
            raise ModelError(f"the provider refused batch {batch.batch_id}: {_reasons(found)}")
        outcomes: dict[str, Outcome] = {}
        ours = [request for name, request in by_name.items() if name in batch.requests]
        sent = dict(zip((request.index for request in ours), self._bodies(ours), strict=True))
        for file_id in filter(None, (found.get("output_file_id"), found.get("error_file_id"))):
            for line in self._service.content(str(file_id)).splitlines():
                name, result = _parsed(line)
                if name in by_name and not isinstance(outcomes.get(name), ApiReply):
                    request = by_name[name]
                    body = without_prompt(sent.get(request.index, {}), request.prompt)
                    outcomes[name] = self._outcome(request, result, str(batch.batch_id), body)
        for name in batch.requests:
            if name in by_name:
                lack = Missing(f"batch {batch.batch_id} ended without it ({found['status']})", {})
                outcomes.setdefault(name, lack)
        on_outcomes([(by_name[name], outcome) for name, outcome in outcomes.items()])

    def _outcome(
        self, request: ApiRequest, result: Mapping[str, Any], batch_id: str, sent: Mapping[str, Any]
    ) -> Outcome:
        response = result.get("response") or {}
        body = response.get("body")
        if response.get("status_code") != 200 or not isinstance(body, Mapping):
            reason = result.get("error") or (body or {}).get("error") or f"status {response.get('status_code')}"
            return Missing(f"batch {batch_id}: {json.dumps(reason)[:200]}", {})
        record = {"batch_id": batch_id, "asked": dict(request.parameters), "sent": dict(sent)}
        end = self._settings.think_end_token
        try:
            reply = read_reply(chat_form(body), request.budget, usd=None, think_end_token=end, record=record, raw=body)
            usd = self._usd(reply)
            lost = {} if reply.usage is not None else {"maybe_paid_usd": self._most(request)}
            return replace(reply, usd=usd, record={**reply.record, "usd": usd, **{k: v for k, v in lost.items() if v}})
        except UnusableReplyError as error:
            tokens, counts = tokens_of(usage_of(chat_form(body)))
            spent = self._price.of(counts["prompt_tokens"], tokens) if self._price is not None and tokens else 0.0
            return Missing(f"batch {batch_id}: {error}", {"maybe_paid_usd": spent} if spent else {})

    def _usd(self, reply: ApiReply) -> float | None:
        if self._price is None or reply.usage is None:
            return None
        return self._price.of(int(reply.record.get("prompt_tokens", 0)), reply.usage.tokens)


def _parsed(line: bytes) -> tuple[str, dict[str, Any]]:
    """Return the name of the request that a line of results answers, and the line.

    Raises:
        ModelError: It is not a result.
    """
    try:
        result = json.loads(line)
        return str(result["custom_id"]), result
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"a result file of the provider is damaged ({error}); run the same command again to fetch it again"
        ) from error


def _reasons(batch: Mapping[str, Any]) -> str:
    errors = (batch.get("errors") or {}).get("data") or []
    return "; ".join(str(error.get("message")) for error in errors[:3]) or "no reason given"


# The provider's batch service, through litellm: files, batches, results (OpenAI's protocol; Azure speaks it too).

PROVIDERS = ("openai", "hosted_vllm", "azure")
"""Providers whose batch mode speaks OpenAI's protocol."""

ENDPOINTS = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "responses": "/v1/responses"}
LISTED = 100
"""Batches looked through for one whose number was lost."""

Answer = TypeVar("Answer")


class BatchService:
    """Files and batches of one provider. Temporary failures are retried; final ones are a :class:`ModelError`.

    Args:
        gateway: Gives model, provider and access.

    Raises:
        ModelError: The provider has no batch mode that this package supports.
    """

    def __init__(self, gateway: Gateway) -> None:
        provider = gateway.facts.provider
        if provider not in PROVIDERS:
            raise ModelError(
                f"batch mode is available for {', '.join(PROVIDERS)}, not for {provider}; leave --provider-batch out"
            )
        self._litellm = import_litellm()
        self._settings = gateway.settings
        self._access = {**gateway.access, "custom_llm_provider": provider, "timeout": gateway.settings.timeout}
        (body,) = gateway.rehearse([("", {"max_tokens": 16})])  # litellm asks some models through another endpoint
        is_other = body is not None and "input" in body and "messages" not in body
        self._endpoint = ENDPOINTS["responses" if is_other else gateway.settings.endpoint]

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
            find: Looks for the batch after an attempt that may have succeeded.
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
        """Return the result of ``call``, retried (with ``again``) after temporary failures.

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
                time.sleep(failure.retry_after or min(60.0, self._settings.retry_wait * 2**attempt))
        raise AssertionError("unreachable")


def _plain(batch: Any) -> dict[str, Any]:
    return dict(batch) if isinstance(batch, Mapping) else dict(batch.model_dump())
