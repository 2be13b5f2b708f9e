"""An OpenAI-compatible HTTP server for tests: injects faults and keeps exact books of what was asked and answered.

``python -m tests.api.provider_server --port 8000 --delay 0.5`` runs one in the foreground, for benchmarks.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

import aiohttp
from aiohttp import web

from tests.api.provider_batches import BatchEndpoints, Reply, ThreadedServer, completion, error_response, prompt_sha256
from tests.api.provider_batches import prompt_of as prompt_of  # tests import it from here

Body = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CHAT_PATH, TEXT_PATH, BATCH_PATH = "/v1/chat/completions", "/v1/completions", "/v1/batches"
JSON, NO_TIMEOUT = "application/json", aiohttp.ClientTimeout(total=None)


@dataclass(frozen=True)
class Fault:
    """What happens to a request instead of its healthy reply."""

    kind: Literal["status", "hang", "drop", "drop_mid_body", "truncated_json", "empty_body", "duplicate"]
    status: int = 500  # this and the fields below are for kind "status"
    retry_after: str | None = None
    code: str | None = None
    message: str = "injected"


@dataclass(frozen=True)
class Served:
    """One line of the books: a request for a completion, or one answered line of a batch."""

    number: int  # arrival, from 0; for a line of a batch its index in the input file
    path: str  # "/v1/batches" for a line of a batch
    prompt_sha256: str
    sample_seed: Any
    status: int  # 0: no answer was begun
    fault: str | None
    finished: bool  # a complete, healthy 200 reply was written to the end
    started: float  # time.monotonic()
    ended: float


Responder = Callable[[Body], Reply]
Faults = Callable[[int, Body], Fault | None]

ERRORS = (Fault("status", 429), Fault("status", 500), Fault("status", 503))
BROKEN_OFF = (Fault("drop"), Fault("drop_mid_body"), Fault("truncated_json"))
DEFAULT_FAULTS = (Fault("status", 429, retry_after="0.05"), *ERRORS, *BROKEN_OFF)


def echo_reply(body: Body) -> Reply:
    """Return a reply that names its prompt."""
    return Reply(f"reply to {prompt_sha256(body)[:12]}", 7)


def random_faults(share: float, seed: int, kinds: Sequence[Fault] = DEFAULT_FAULTS) -> Faults:
    """Return faults for a ``share`` of the requests; which ones depends on ``seed`` and their numbers alone."""

    def decide(number: int, body: Body) -> Fault | None:
        generator = random.Random(f"{seed}/{number}")
        return generator.choice(kinds) if generator.random() < share else None

    return decide


class ProviderServer(ThreadedServer):
    """A context manager; serves on 127.0.0.1 from an event loop in a thread of its own.

    Faults, delay, books and ``most_in_flight`` concern the two completion endpoints (the books also lines of batches),
    the key concerns all. ``upstream``, a base URL with its "/v1", answers for completions and models where it is given.
    """

    def __init__(
        self,
        respond: Responder = echo_reply,
        *,
        faults: Faults | None = None,
        delay: float | Callable[[int], float] = 0.0,
        key: str | None = None,
        upstream: str | None = None,
        port: int = 0,
        most_stop_sequences: int | None = None,
        rejected_parameters: Collection[str] = (),
        owned_by: str = "tests",
        batch_polls: int = 1,
        batch_line_error: Callable[[str], bool] | None = None,
        batch_final_status: str = "completed",
    ) -> None:
        super().__init__(self._application, port)
        self._respond, self._faults, self._delay = respond, faults, delay
        self._key, self._upstream = key, upstream
        self._owned_by = owned_by
        self._most_stop_sequences, self._rejected_parameters = most_stop_sequences, rejected_parameters
        self._batches = BatchEndpoints(
            self._answer_line, polls=batch_polls, line_error=batch_line_error, final_status=batch_final_status
        )
        self._server_name = uuid4().hex[:8]  # ids differ between servers too
        self._numbers, self._batch_numbers = itertools.count(), itertools.count()
        self._books: list[Served] = []
        self._bodies: list[Body] = []
        self._headers: list[dict[str, str]] = []
        self._most_in_flight = 0
        self._last_finished: web.Response | None = None

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._check_key], client_max_size=2**30)
        application.add_routes([web.post(CHAT_PATH, self._complete), web.post(TEXT_PATH, self._complete)])
        application.add_routes([web.get("/v1/models", self._models), web.get("/v1/models/{id:.+}", self._models)])
        application.add_routes([*self._batches.routes(), web.route("*", "/{path:.*}", self._unknown_path)])
        return application

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def books(self) -> list[Served]:
        """In the order in which the requests ended."""
        return self._copy(self._books.copy)

    @property
    def bodies(self) -> list[Body]:
        """Received at chat/completions, in the order of arrival."""
        return self._copy(self._bodies.copy)

    @property
    def headers(self) -> list[dict[str, str]]:
        """Received with ``bodies``; names in lower case."""
        return self._copy(self._headers.copy)

    @property
    def most_in_flight(self) -> int:
        return self._copy(lambda: self._most_in_flight)

    def finished_per_prompt(self) -> Counter[str]:
        return Counter(served.prompt_sha256 for served in self.books if served.finished)

    @web.middleware
    async def _check_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        in_books = request.path in (CHAT_PATH, TEXT_PATH)  # there a refusal gets its line in the books
        return (None if in_books else self._wrong_key(request)) or await handler(request)

    def _wrong_key(self, request: web.Request) -> web.Response | None:
        if self._key is None or request.headers.get("Authorization") == f"Bearer {self._key}":
            return None
        return error_response(401, "Incorrect API key provided.", code="invalid_api_key")

    def _refusal(self, body: Body) -> web.Response | None:
        """Return the answer to a request that a provider would not accept."""
        if body.get("model") == "missing-model":
            return error_response(404, "The model does not exist.", code="model_not_found", param="model")
        for name in body:
            if name in self._rejected_parameters:
                return error_response(400, f"Unsupported parameter: '{name}'", code="unsupported_parameter", param=name)
        stop = body.get("stop") or []
        count = 1 if isinstance(stop, str) else len(stop)
        if self._most_stop_sequences is not None and count > self._most_stop_sequences:
            message = f"Invalid 'stop': {count} sequences, at most {self._most_stop_sequences} are supported."
            return error_response(400, message, code="array_above_max_length", param="stop")
        return None

    async def _unknown_path(self, request: web.Request) -> web.Response:
        return error_response(404, f"Invalid URL ({request.method} {request.path})")

    async def _models(self, request: web.Request) -> web.Response:
        name = request.match_info.get("id", "test-model")
        refusal = self._refusal({"model": name})
        if refusal is not None or self._upstream is not None:
            return refusal or await self._forward("GET", request.path, b"", JSON)
        model = {"id": name, "object": "model", "created": 0, "owned_by": self._owned_by}
        return web.json_response(model if "id" in request.match_info else {"object": "list", "data": [model]})

    async def _forward(self, method: str, path: str, raw: bytes, content_type: str) -> web.Response:
        """Return the upstream's answer: its status, bytes and content type."""
        url, sent = f"{self._upstream}".rstrip("/") + path.removeprefix("/v1"), {"Content-Type": content_type}
        try:
            async with aiohttp.request(method, url, data=raw, headers=sent, timeout=NO_TIMEOUT) as answer:
                headers = {"Content-Type": answer.headers.get("Content-Type", JSON)}
                return web.Response(status=answer.status, body=await answer.read(), headers=headers)
        except aiohttp.ClientError as error:
            return error_response(502, f"upstream: {error!r}")

    async def _healthy(self, path: str, raw: bytes, content_type: str, body: Body, name: str) -> web.Response:
        refusal = self._refusal(body)
        if refusal is not None or self._upstream is not None:
            return refusal or await self._forward("POST", path, raw, content_type)
        return web.Response(body=self._own_answer(path, body, name), content_type=JSON)

    def _own_answer(self, path: str, body: Body, name: str) -> bytes:
        return json.dumps(completion(path, body, self._respond(body), f"{name}-{self._server_name}")).encode()

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        started, raw = time.monotonic(), await request.read()
        try:
            body = json.loads(raw)
        except ValueError:
            return error_response(400, "We could not parse the JSON body of your request.")
        number, task = next(self._numbers), asyncio.current_task()
        if request.path == CHAT_PATH:
            self._bodies.append(body)
            self._headers.append({name.lower(): value for name, value in request.headers.items()})
        self._working.add(task)
        self._most_in_flight = max(self._most_in_flight, len(self._working))
        status, fault, finished, refusal = 0, None, False, self._wrong_key(request)
        try:
            if self._faults is not None and refusal is None:
                fault = self._faults(number, body)
            await asyncio.sleep(self._delay(number) if callable(self._delay) else self._delay)
            if fault is not None and fault.kind == "duplicate" and self._last_finished is None:
                fault = None
            if fault is not None:
                answer = await self._inject(fault, request, body, str(number))
            else:
                healthy = refusal or await self._healthy(request.path, raw, request.content_type, body, str(number))
                answer = await self._write(request, healthy)
                if healthy.status == 200:
                    finished, self._last_finished = True, healthy
            status = answer.status if answer.prepared else 0
            return answer
        except ConnectionError:  # the client went away
            return web.Response()
        finally:
            self._working.discard(task)
            self._note(number, request.path, body, status, fault.kind if fault else None, finished, started)

    async def _inject(self, fault: Fault, request: web.Request, body: Body, name: str) -> web.StreamResponse:
        """Return the faulty answer, written as far as it is to be."""
        if fault.kind == "status":
            error = error_response(fault.status, fault.message, code=fault.code, retry_after=fault.retry_after)
            return await self._write(request, error)
        if fault.kind == "duplicate" and self._last_finished is not None:
            return await self._write(request, web.Response(body=self._last_finished.body, content_type=JSON))
        bodiless = fault.kind in ("hang", "drop", "empty_body")
        whole = b"" if bodiless else self._own_answer(request.path, body, name)
        half = whole[: len(whole) // 2]
        if fault.kind in ("empty_body", "truncated_json"):
            return await self._write(request, web.Response(body=half, content_type=JSON))
        broken_off = web.StreamResponse()
        if fault.kind == "drop_mid_body":
            broken_off.content_type, broken_off.content_length = JSON, len(whole)
            await broken_off.prepare(request)
            await broken_off.write(half)
        elif fault.kind == "hang":
            await self._stop.wait()
        if request.transport is not None:
            request.transport.close()
        return broken_off

    async def _answer_line(self, index: int, url: str, body: Body, fails: bool) -> tuple[int, Body]:
        """Answer line ``index`` of a batch."""
        started, raw, name = time.monotonic(), json.dumps(body).encode(), f"batch{next(self._batch_numbers)}"
        answer = error_response(500, "injected") if fails else await self._healthy(url, raw, JSON, body, name)
        fault = "batch_line_error" if fails else None
        self._note(index, BATCH_PATH, body, answer.status, fault, answer.status == 200, started)
        return answer.status, json.loads(answer.text or "null")

    def _note(
        self, number: int, path: str, body: Body, status: int, fault: str | None, finished: bool, started: float
    ) -> None:
        prompt, seed, ended = prompt_sha256(body), body.get("seed"), time.monotonic()
        self._books.append(Served(number, path, prompt, seed, status, fault, finished, started, ended))


def main() -> None:
    """Serve in the foreground until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before any answer")
    options = parser.parse_args()
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # here, so that the server's thread inherits it
    with ProviderServer(port=options.port, delay=options.delay) as server:
        print(server.url, flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
