"""Each provider's own shape of request and response, through litellm: what is sent, counted, kept apart and paid."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from roi_bench.api.gateway import Gateway, import_litellm, request_parameters
from roi_bench.api.replies import ApiReply, Kind, failure_of, read_reply
from roi_bench.api.settings import api_settings
from roi_bench.errors import ModelError
from tests.support.messages import shows

TASK = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": 2048}

CLAUDE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [
        {"type": "thinking", "thinking": "two and two", "signature": "c2ln"},
        {"type": "text", "text": "\\boxed{4}"},
    ],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 11, "output_tokens": 60},
}
CLAUDE_CUT = {**CLAUDE, "content": CLAUDE["content"][:1], "stop_reason": "max_tokens"}  # type: ignore[index]

GEMINI = {
    "responseId": "gemini-1",
    "modelVersion": "gemini-2.5-flash-002",
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "two and two", "thought": True}, {"text": "\\boxed{4}"}]},
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 11,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 53,
        "totalTokenCount": 71,
    },
}


class Provider:
    """A server that gives one JSON answer to every POST and remembers paths and bodies."""

    def __init__(self, answer: dict[str, Any], status: int = 200) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append((self.path, body))
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def ask(arguments: dict[str, Any], more: dict[str, Any] | None = None) -> ApiReply:
    """Return the reply to one request of the task's parameters."""
    settings = api_settings(arguments)
    gateway = Gateway(settings)
    parameters = request_parameters(TASK, settings)

    async def call() -> Any:
        try:
            return await gateway.complete("What is 2 + 2?", {**parameters, **(more or {})})
        finally:
            await gateway.close()

    completion = asyncio.run(call())
    record = {"sent": completion.sent}
    return read_reply(completion.body, 2048, usd=completion.usd, think_end_token=None, record=record)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, "a-key-for-nobody")
    return


def test_claude_thinking_is_kept_apart_counted_and_its_budget_really_sent() -> None:
    with Provider(CLAUDE) as provider:
        arguments = {"model": "anthropic/claude-sonnet-4-5", "base_url": provider.url}
        reply = ask({**arguments, "thinking": 1024, "omit": "temperature"})
        ((path, body),) = provider.asked
    assert path == "/v1/messages"
    assert (body["max_tokens"], body["thinking"]) == (2048, {"type": "enabled", "budget_tokens": 1024})
    assert "temperature" not in body
    assert (reply.text, reply.record["reasoning"]) == ("\\boxed{4}", "two and two")
    assert (reply.usage.tokens, reply.usage.finish_reason) == (60, "stop")  # type: ignore[union-attr]
    assert reply.record["sent"]["thinking"] == body["thinking"]
    assert reply.record["provider_model"] == "claude-sonnet-4-5-20250929"
    assert reply.usd == pytest.approx(11 * 3e-6 + 60 * 15e-6)


def test_claude_that_only_thought_is_empty_with_its_tokens() -> None:
    with Provider(CLAUDE_CUT) as provider:
        arguments = {"model": "anthropic/claude-sonnet-4-5", "base_url": provider.url}
        reply = ask({**arguments, "thinking": 1024, "omit": "temperature"})
    assert reply.text == ""
    assert (reply.usage.tokens, reply.usage.finish_reason) == (60, "length")  # type: ignore[union-attr]


def test_gemini_thoughts_count_though_it_reports_them_beside_the_answer() -> None:
    with Provider(GEMINI) as provider:
        arguments = {"model": "gemini/gemini-2.5-flash", "base_url": provider.url}
        reply = ask({**arguments, "reasoning_effort": "low"})
        ((path, body),) = provider.asked
    assert "gemini-2.5-flash:generateContent" in path
    assert body["generationConfig"]["max_output_tokens"] == 2048
    assert body["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1024
    assert (reply.text, reply.record["reasoning"]) == ("\\boxed{4}", "two and two")
    assert reply.usage.tokens == 60  # type: ignore[union-attr]
    assert reply.record["reasoning_tokens"] == 53


def mock(content: str | None, completion: int, reasoning: int, finish: str = "stop") -> Any:
    litellm = import_litellm()
    details = {"reasoning_tokens": reasoning}
    usage = {"prompt_tokens": 11, "completion_tokens": completion, "total_tokens": 11 + completion}
    message = {"role": "assistant", "content": content, "reasoning_content": "hidden" if reasoning else None}
    return litellm.ModelResponse(
        id="mock-1",
        model="mocked",
        choices=[{"index": 0, "finish_reason": finish, "message": message}],
        usage={**usage, "completion_tokens_details": details},
    )


@pytest.mark.parametrize("model", ["gpt-5-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "o3-mini"])
@pytest.mark.parametrize(
    ("content", "finish", "reason"), [("\\boxed{4}", "stop", "stop"), (None, "length", "length"), ("", "stop", "stop")]
)
def test_litellms_mock_of_a_provider_is_read_as_its_real_response_would_be(
    model: str, content: str | None, finish: str, reason: str
) -> None:
    reply = ask({"model": model, "omit": "temperature"}, {"mock_response": mock(content, 60, 53, finish)})
    assert reply.text == (content or "")
    assert reply.record["reasoning"] == "hidden"
    assert (reply.usage.tokens, reply.usage.finish_reason) == (60, reason)  # type: ignore[union-attr]
    assert reply.record["reasoning_tokens"] == 53
    assert reply.usd is not None
    assert reply.usd > 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("litellm.RateLimitError", Kind.SLOWER),
        ("litellm.InternalServerError", Kind.AGAIN),
        ("litellm.ContextWindowExceededError", Kind.GIVE_UP),
    ],
)
def test_litellms_mock_errors_mean_what_the_real_ones_do(error: str, kind: Kind) -> None:
    with pytest.raises(Exception) as raised:
        ask({"model": "gpt-4o-mini"}, {"mock_response": error})
    assert failure_of(raised.value).kind is kind


def test_openai_reasoning_models_get_the_cap_under_its_new_name() -> None:
    gateway = Gateway(api_settings({"model": "gpt-5-mini", "omit": "temperature", "reasoning_effort": "minimal"}))
    mapped = gateway.mapped(request_parameters(TASK, gateway.settings))
    assert mapped["max_completion_tokens"] == 2048
    assert "max_tokens" not in mapped
    assert mapped["reasoning_effort"] == "minimal"


def test_prices_are_the_lists_the_users_or_unknown() -> None:
    listed = Gateway(api_settings({"model": "gpt-4o-mini"})).facts
    assert (listed.usd_in, listed.usd_out) == (1.5e-7, 6e-7)
    own = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    given = Gateway(api_settings({"model": "gpt-4o-mini", **own})).facts
    assert (given.usd_in, given.usd_out, given.batch_usd_out) == (1e-6, 2e-6, None)
    elsewhere = {"model": "gpt-4o-mini", "base_url": "http://10.0.0.1/v1"}
    assert Gateway(api_settings(elsewhere)).facts.usd_out is None  # a server of that name is another model
    assert Gateway(api_settings({"model": "openai/nobody-knows-it"})).facts.usd_out is None


def test_a_server_behind_a_base_url_may_have_any_name() -> None:
    for name in ("Qwen/Qwen2.5-1.5B-Instruct", "/models/mine", "mine"):
        gateway = Gateway(api_settings({"model": name, "base_url": "http://127.0.0.1:9/v1"}))
        assert (gateway.facts.provider, gateway.facts.name) == ("openai", name)


def test_a_name_without_provider_is_refused_with_what_to_do() -> None:
    with pytest.raises(ModelError, match=shows("'nonsense'", "base_url")):
        Gateway(api_settings({"model": "nonsense"}))
