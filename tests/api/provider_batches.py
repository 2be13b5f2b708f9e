"""What the provider server builds on: its thread, the JSON it answers with, the files and batches endpoints."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from uuid import uuid4

from aiohttp import web

Copied = TypeVar("Copied")
AnswerLine = Callable[[int, str, dict[str, Any], bool], Awaitable[tuple[int, dict[str, Any]]]]
"""Index of the line, its url, its body, whether it is to fail -> status and body of the answer."""

TIMES = ("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")
EXPIRED_LINE = {"code": "batch_expired", "message": "This request could not be executed before the batch expired."}
FAILED_BATCH = {"code": "injected", "message": "The batch failed.", "param": None, "line": None}


@dataclass(frozen=True)
class Reply:
    """What a healthy provider would answer."""

    content: str | None
    completion_tokens: int
    finish_reason: str = "stop"
    reasoning: str | None = None  # shown as message.reasoning_content when not None
    reasoning_tokens: int = 0  # included in completion_tokens
    usage: bool = True  # False: no usage object at all
    model: str | None = None  # default: the model of the request
    prompt_tokens: int | None = None  # default: its words


def prompt_of(body: dict[str, Any]) -> str:
    """Return what the messages of a chat say, or the prompt of a text completion; other shapes as JSON."""
    if isinstance(body.get("input"), list):  # of OpenAI's Responses API
        return "\n\n".join([body.get("instructions") or "", *map(_content, body["input"])]).strip()
    if "messages" in body:
        return "\n\n".join(_content(message) for message in body["messages"])
    content = body.get("prompt", "")
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    return content if isinstance(content, str) else json.dumps(content)


def _content(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def prompt_sha256(body: dict[str, Any]) -> str:
    """Return the hash under which the books keep the prompt of a request."""
    return hashlib.sha256(prompt_of(body).encode("utf-8", "surrogatepass")).hexdigest()


def completion(path: str, body: dict[str, Any], reply: Reply, name: str) -> dict[str, Any]:
    """Return the chat or text completion that says ``reply``, with an id made of ``name``."""
    if path.endswith("/responses"):
        return _responses_form(body, reply, name)
    is_chat = path.endswith("/chat/completions")
    choice: dict[str, Any] = {"index": 0, "logprobs": None, "finish_reason": reply.finish_reason}
    if is_chat:
        choice["message"] = {"role": "assistant", "content": reply.content, "refusal": None}
        if reply.reasoning is not None:
            choice["message"]["reasoning_content"] = reply.reasoning
    else:
        choice["text"] = reply.content
    answer = {
        "id": f"chatcmpl-{name}" if is_chat else f"cmpl-{name}",
        "object": "chat.completion" if is_chat else "text_completion",
        "created": int(time.time()),
        "model": body.get("model") if reply.model is None else reply.model,
        "choices": [choice],
    }
    if reply.usage:
        prompt_tokens = len(prompt_of(body).split()) if reply.prompt_tokens is None else reply.prompt_tokens
        answer["usage"] = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "total_tokens": prompt_tokens + reply.completion_tokens,
            "completion_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        }
    return answer


def _responses_form(body: dict[str, Any], reply: Reply, name: str) -> dict[str, Any]:
    """Return ``reply`` as OpenAI's Responses API would say it."""
    part = {"type": "output_text", "text": reply.content or "", "annotations": []}
    message = {"type": "message", "id": f"msg-{name}", "role": "assistant", "status": "completed", "content": [part]}
    cut = reply.finish_reason == "length"
    prompt_tokens = len(prompt_of(body).split())
    usage = {"input_tokens": prompt_tokens, "output_tokens": reply.completion_tokens}
    return {
        "id": f"resp-{name}",
        "object": "response",
        "created_at": int(time.time()),
        "model": body.get("model"),
        "status": "incomplete" if cut else "completed",
        "output": [message],
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "usage": {
            **usage,
            "total_tokens": sum(usage.values()),
            "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        },
    }


def error_response(
    status: int, message: str, *, code: str | None = None, param: str | None = None, retry_after: str | None = None
) -> web.Response:
    """Return a response with OpenAI's error object."""
    kind = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    if code == "insufficient_quota":
        kind = code
    error = {"message": message, "type": kind, "param": param, "code": code}
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return web.json_response({"error": error}, status=status, headers=headers)


class ThreadedServer:
    """Serves an application on 127.0.0.1 from an event loop in a thread of its own."""

    def __init__(self, make_application: Callable[[], web.Application], port: int) -> None:
        self._make_application, self._port = make_application, port
        self._working: set[asyncio.Task[Any] | None] = set()  # cancelled at the end
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="provider-server")

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        application = self._make_application()
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        try:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024).start()
            self._port = runner.addresses[0][1]
            self._ready.set_result(None)
            await self._stop.wait()
            for task in filter(None, self._working):
                task.cancel()
        except OSError as error:  # the port is taken
            self._ready.set_exception(error)
        finally:
            await runner.cleanup()

    def __enter__(self) -> Self:
        self._thread.start()
        error = self._ready.exception()
        if error is not None:
            self._thread.join()
            raise error
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _copy(self, take: Callable[[], Copied]) -> Copied:
        """Take a copy between two steps of the loop: what a client has read by now is in the copy as well."""
        if not self._thread.is_alive() or self._thread is threading.current_thread():
            return take()
        taken: Future[Copied] = Future()
        self._loop.call_soon_threadsafe(lambda: taken.set_result(take()))
        return taken.result()

    @staticmethod
    async def _write(request: web.Request, response: web.Response) -> web.Response:
        """Write the whole response, also a long one, in one step of the loop."""
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=2**30)
        await response.prepare(request)
        await response.write_eof()
        return response


class BatchEndpoints:
    """Keeps the uploaded files and the batches; a batch is answered at the poll that finds it at its end."""

    def __init__(
        self, answer_line: AnswerLine, *, polls: int, line_error: Callable[[str], bool] | None, final_status: str
    ) -> None:
        if final_status not in ("completed", "expired", "failed"):
            raise ValueError(f"batch_final_status is {final_status!r}; use completed, expired or failed")
        self._answer_line, self._polls, self._final_status = answer_line, polls, final_status
        self._line_error = line_error or (lambda custom_id: False)
        self._files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._polls_left: dict[str, int] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes to add to the application."""
        return [
            web.post("/v1/files", self._upload),
            web.get("/v1/files/{id}", self._file),
            web.get("/v1/files/{id}/content", self._file),
            web.post("/v1/batches", self._create),
            web.get("/v1/batches", self._list),
            web.get("/v1/batches/{id}", self._poll),
            web.post("/v1/batches/{id}/cancel", self._cancel),
        ]

    def _store(self, content: bytes, filename: str, purpose: str) -> dict[str, Any]:
        stored = {
            "id": f"file-{uuid4().hex}",
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "expires_at": None,
            "filename": filename,
            "purpose": purpose,
            "status": "processed",
            "status_details": None,
        }
        self._files[stored["id"]] = (stored, content)
        return stored

    async def _upload(self, request: web.Request) -> web.Response:
        purpose, filename, content = "", None, b""
        async for part in await request.multipart():
            if part.name == "purpose":
                purpose = await part.text()
            elif part.name == "file":
                filename, content = part.filename or "upload", bytes(await part.read())
        if not purpose or filename is None:
            return error_response(400, "'purpose' and 'file' are required.", param="file" if purpose else "purpose")
        return web.json_response(self._store(content, filename, purpose))

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self._files:
            return error_response(404, f"No such File object: {name}", param="id")
        stored, content = self._files[name]
        if request.path.endswith("/content"):
            return web.Response(body=content, content_type="application/octet-stream")
        return web.json_response(stored)

    async def _create(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        if wanted.get("input_file_id") not in self._files:
            return error_response(400, "input_file_id names no file.", param="input_file_id")
        now = int(time.time())
        batch = {
            "id": f"batch_{uuid4().hex}",
            "object": "batch",
            "endpoint": wanted.get("endpoint"),
            "errors": None,
            "input_file_id": wanted["input_file_id"],
            "completion_window": wanted.get("completion_window"),
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + 24 * 60 * 60,
            **dict.fromkeys(TIMES),
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": wanted.get("metadata"),
        }
        self._batches[batch["id"]] = batch
        self._polls_left[batch["id"]] = self._polls
        return web.json_response(batch)

    async def _list(self, request: web.Request) -> web.Response:
        newest_first = list(reversed(self._batches.values()))
        names = [batch["id"] for batch in newest_first] or [None]
        listing = {"object": "list", "data": newest_first, "first_id": names[0], "last_id": names[-1]}
        return web.json_response({**listing, "has_more": False})

    async def _poll(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is None:
            return error_response(404, f"No batch found with id '{request.match_info['id']}'.")
        if batch["status"] == "cancelling":
            batch.update(status="cancelled", cancelled_at=int(time.time()))
        elif batch["status"] in ("validating", "in_progress"):
            batch.update(status="in_progress", in_progress_at=batch["in_progress_at"] or int(time.time()))
            batch["request_counts"]["total"] = len(self._lines(batch))
            self._polls_left[batch["id"]] -= 1
            if self._polls_left[batch["id"]] < 0:
                await self._finish(batch)
        return web.json_response(batch)

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._batches.get(request.match_info["id"])
        if batch is None:
            return error_response(404, f"No batch found with id '{request.match_info['id']}'.")
        if batch["status"] not in ("validating", "in_progress"):
            return error_response(409, f"Cannot cancel a batch with status '{batch['status']}'.")
        batch.update(status="cancelling", cancelling_at=int(time.time()))
        return web.json_response(batch)

    def _lines(self, batch: dict[str, Any]) -> list[dict[str, Any]]:
        content = self._files[batch["input_file_id"]][1]
        return [json.loads(line) for line in content.splitlines() if line.strip()]

    async def _finish(self, batch: dict[str, Any]) -> None:
        final, now = self._final_status, int(time.time())
        if final == "failed":
            batch.update(status=final, failed_at=now, errors={"object": "list", "data": [FAILED_BATCH]})
            return
        batch.update(status="finalizing", finalizing_at=now)  # another poll leaves it alone meanwhile
        lines = self._lines(batch)
        answered = len(lines) // 2 if final == "expired" else len(lines)
        outputs, errors = [], []
        for index, line in enumerate(lines):
            result: dict[str, Any] = {"id": f"batch_req_{uuid4().hex}", "custom_id": line["custom_id"]}
            if index >= answered:
                errors.append({**result, "response": None, "error": EXPIRED_LINE})
                continue
            fails = self._line_error(line["custom_id"])
            status, body = await self._answer_line(index, line["url"], line["body"], fails)
            response = {"status_code": status, "request_id": f"req_{uuid4().hex}", "body": body}
            (outputs if status == 200 else errors).append({**result, "response": response, "error": None})
        for field, results in (("output_file_id", outputs), ("error_file_id", errors)):
            if results:
                content = "".join(json.dumps(result) + "\n" for result in reversed(results))
                batch[field] = self._store(content.encode(), f"{batch['id']}_{field}.jsonl", "batch_output")["id"]
        batch["request_counts"].update(completed=len(outputs), failed=len(errors))
        batch.update({"status": final, f"{final}_at": int(time.time())})
