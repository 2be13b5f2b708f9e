"""Each provider's own shape of request and response, through litellm: what is sent, counted, kept apart and paid."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from roi_bench.api.client import ApiClient
from roi_bench.api.gateway import ApiRequest, Gateway, import_litellm
from roi_bench.api.limits import Purse, dearest_prices
from roi_bench.api.replies import ApiReply, Failure, Kind, NotSentError, UnusableReplyError, failure_of
from roi_bench.api.settings import api_settings, request_parameters
from roi_bench.errors import ModelError
from roi_bench.scoring.tokens import Usage
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
    """Return the reply to one request of the task's parameters, read as a run reads it."""
    settings = api_settings(arguments)
    gateway = Gateway(settings)
    client = ApiClient(gateway, settings, price=None, purse=Purse(None))
    parameters = {**request_parameters(TASK, settings), **(more or {})}

    async def call() -> ApiReply | Failure:
        try:
            return (await client._reply(ApiRequest(0, "What is 2 + 2?", parameters, 2048), attempt=1, most=0.0))[0]
        finally:
            await gateway.close()

    reply = asyncio.run(call())
    if isinstance(reply, Failure):
        raise UnusableReplyError(reply.message)
    return reply


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("OPENAI", "ANTHROPIC", "GEMINI", "MISTRAL", "DEEPSEEK", "OPENROUTER"):
        monkeypatch.setenv(f"{name}_API_KEY", "a-key-for-nobody")
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


# ------------------------------------------------------------------------------------- replies that litellm reads oddly
def chat(content: object = "\\boxed{4}", finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    """Return a chat completion of an OpenAI-compatible server."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    usage = {"prompt_tokens": 11, "completion_tokens": 60, "total_tokens": 71}
    whole = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return {**whole, **more}


def responses(output: list[dict[str, Any]], status: str = "completed", why: str | None = None) -> dict[str, Any]:
    """Return a reply of OpenAI's Responses API."""
    usage = {"input_tokens": 11, "output_tokens": 60, "total_tokens": 71}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 40}}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5-pro",
        "status": status,
        "output": output,
        "incomplete_details": {"reason": why} if why else None,
        "usage": {**usage, **details},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "metadata": {},
        "instructions": None,
        "temperature": 1.0,
        "top_p": 1.0,
    }


def said(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": f"m-{text}", "role": "assistant", "status": "completed", "content": [part]}


REASONED = {"type": "reasoning", "id": "rs_1", "summary": []}
SERVER = {"model": "openai/some-model"}
PRO = {"model": "openai/gpt-5-pro", "omit": "temperature"}


def answered(arguments: dict[str, Any], body: dict[str, Any]) -> ApiReply:
    """Return what comes of a provider's reply."""
    with Provider(body) as provider:
        version = "" if arguments["model"].startswith(("anthropic", "gemini")) else "/v1"
        return ask({**arguments, "base_url": f"{provider.url}{version}"})


@pytest.mark.parametrize("candidates", [{}, {"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}]}])
def test_gemini_that_only_thought_is_empty_and_was_paid_once(candidates: dict[str, Any]) -> None:
    counts = {"promptTokenCount": 11, "thoughtsTokenCount": 2048, "totalTokenCount": 2059}
    body = {**{name: value for name, value in GEMINI.items() if name != "candidates"}, **candidates}
    reply = answered({"model": "gemini/gemini-2.5-flash"}, {**body, "usageMetadata": counts})
    assert (reply.text, reply.usage) == ("", Usage(2048, "length", "provider"))
    assert reply.usd is not None
    assert reply.usd > 0


@pytest.mark.parametrize(
    ("output", "status", "text", "finish"),
    [
        ([REASONED], "incomplete", "", "length"),
        ([REASONED, said("half")], "incomplete", "half", "length"),
        ([REASONED, said("one "), said("two")], "completed", "one two", "stop"),
    ],
)
def test_models_of_the_responses_api_keep_what_was_paid(
    output: list[dict[str, Any]], status: str, text: str, finish: str
) -> None:
    reply = answered(PRO, responses(output, status, "max_output_tokens" if status == "incomplete" else None))
    assert (reply.text, reply.usage) == (text, Usage(60, finish, "provider"))  # type: ignore[arg-type]
    assert "2 + 2" not in json.dumps(reply.record["sent"])  # the prompt is under another name there
    assert reply.record["sent"]["max_output_tokens"] == 2048


@pytest.mark.parametrize("reason", ["error", "network_error", "insufficient_system_resource", "abort", "repetition"])
@pytest.mark.parametrize("model", ["openai/some-model", "deepseek/deepseek-chat", "openrouter/openai/gpt-4o-mini"])
def test_a_failure_of_the_provider_is_no_answer_of_the_model(model: str, reason: str) -> None:
    with pytest.raises(UnusableReplyError, match=reason):
        answered({"model": model}, chat("half an ans", reason))


@pytest.mark.parametrize("model", ["openai/some-model", "openrouter/openai/gpt-4o-mini"])
def test_an_error_in_a_choice_is_no_answer_of_the_model(model: str) -> None:
    body = chat("half an ans")
    body["choices"][0]["error"] = {"code": 502, "message": "upstream is gone"}
    with pytest.raises(UnusableReplyError, match="upstream is gone"):
        answered({"model": model}, body)


def test_why_a_response_ended_is_what_the_provider_says() -> None:
    at_the_cap = {"prompt_tokens": 11, "completion_tokens": 2048, "total_tokens": 2059}
    for reason in (None, ""):
        assert answered(SERVER, chat(finish=reason, usage=at_the_cap)).usage == Usage(2048, "length", "provider")
    for reason in ("model_length", "model_context_window_exceeded"):
        assert answered(SERVER, chat(finish=reason)).usage == Usage(60, "length", "provider")
    claude = {**CLAUDE, "stop_reason": "model_context_window_exceeded"}
    assert answered({"model": "anthropic/claude-sonnet-4-5"}, claude).usage == Usage(60, "length", "provider")


@pytest.mark.parametrize("model", ["openai/some-model", "mistral/magistral-small-latest"])
def test_content_in_parts_is_read(model: str) -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "2 + 2"}]},
        {"type": "text", "text": "It is 4."},
    ]
    reply = answered({"model": model}, chat(parts))
    assert (reply.text, reply.record["reasoning"]) == ("It is 4.", "2 + 2")
    assert reply.usage == Usage(60, "stop", "provider")


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("openai/some-model", {"choices": None}),
        ("openai/some-model", {"error": {"code": 429, "message": "later"}}),
        ("openai/some-model", []),
        ("anthropic/claude-sonnet-4-5", {"error": {"message": "later"}}),
        ("gemini/gemini-2.5-flash", {"error": {"message": "later"}}),
        ("gemini/gemini-2.5-flash", ["no", "reply"]),
        ("gemini/gemini-2.5-flash", "no reply"),
    ],
)
def test_a_reply_of_status_200_that_is_none_is_told_apart(model: str, body: Any) -> None:
    with pytest.raises(UnusableReplyError):
        answered({"model": model}, body)


@pytest.mark.parametrize("usage", [[1], "many", 7, {"prompt_tokens": "some", "completion_tokens": [3]}])
@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_usage_that_cannot_be_read_costs_no_answer(usage: Any, endpoint: str) -> None:
    body = chat(usage=usage)
    if endpoint == "completions":
        choice = {"index": 0, "text": "\\boxed{4}", "finish_reason": "stop", "logprobs": None}
        body = {**body, "object": "text_completion", "choices": [choice]}
    reply = answered({**SERVER, "endpoint": endpoint}, body)
    assert (reply.text, reply.usage) == ("\\boxed{4}", None)


def test_a_refusal_of_the_responses_api_is_read_and_a_cancelled_reply_is_none() -> None:
    refused = {"type": "message", "role": "assistant", "id": "m", "status": "completed", "content": []}
    refused["content"] = [{"type": "refusal", "refusal": "I cannot help."}]
    assert answered(PRO, responses([refused], "completed", None)).text == "I cannot help."
    with pytest.raises(UnusableReplyError, match="cancelled"):
        answered(PRO, responses([said("half an ans")], "cancelled", None))


@pytest.mark.parametrize("model", ["openai/some-model", "deepseek/deepseek-chat"])
def test_reasoning_that_litellm_parts_from_the_text_does_not_come_back_as_text(model: str) -> None:
    reply = answered({"model": model}, chat("<think>Perhaps \\boxed{9}</think>"))
    assert (reply.text, reply.record["reasoning"]) == ("", "Perhaps \\boxed{9}")


def test_a_refusal_is_read() -> None:
    body = chat(None)
    body["choices"][0]["message"]["refusal"] = "I cannot help."
    assert answered(SERVER, body).text == "I cannot help."


@pytest.mark.parametrize("count", [-1, 7.5, 10**18])
def test_a_count_that_can_be_none_costs_no_answer(count: float) -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": count, "total_tokens": 11 + count}
    reply = answered(SERVER, chat(usage=usage))
    assert (reply.text, reply.usage) == ("\\boxed{4}", None)


def test_cached_tokens_without_a_price_of_their_own_cost_the_full_price() -> None:
    usage = {"prompt_tokens": 400, "completion_tokens": 20, "total_tokens": 420}
    cached = {**usage, "prompt_tokens_details": {"cached_tokens": 384}}
    own = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    assert answered({**SERVER, **own}, chat(usage=cached)).usd == pytest.approx(4.4e-4)


def test_a_cost_of_nothing_that_the_price_list_contradicts_is_not_believed() -> None:
    gateway = Gateway(api_settings({"model": "gpt-4o-mini"}))
    usage = {"prompt_tokens": 1000, "completion_tokens": 100}
    assert gateway._usd(0.0, usage, {}) == pytest.approx(1000 * 1.5e-7 + 100 * 6e-7)
    assert gateway._usd(None, usage, {}) == gateway._usd(0.0, usage, {})
    assert gateway._usd(0.25, usage, {}) == 0.25


def test_reasoning_that_only_the_total_shows_is_paid_for() -> None:
    own = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    hidden = {"prompt_tokens": 11, "completion_tokens": 20, "total_tokens": 5011}
    assert answered({**SERVER, **own}, chat(usage=hidden)).usd == pytest.approx(11e-6 + 5000 * 2e-6)


def test_a_bill_of_nothing_is_not_believed_where_the_model_has_a_price() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 60, "total_tokens": 71, "cost": 0}
    own = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    assert answered({"model": "openrouter/nobody/knows-it", **own}, chat(usage=usage)).usd == pytest.approx(1.31e-4)
    # another name: litellm 1.104 remembers a user's price for as long as the process lives
    assert answered({"model": "openrouter/nobody/knows-this"}, chat(usage=usage)).usd == 0.0


def test_openrouters_own_bill_is_taken() -> None:
    usage = {"prompt_tokens": 11, "completion_tokens": 60, "total_tokens": 71, "cost": 0.0123}
    assert answered({"model": "openrouter/nobody/knows-it"}, chat(usage=usage)).usd == 0.0123


def test_what_never_left_this_machine_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(api_settings(SERVER))

    async def broken(**_: Any) -> None:
        try:
            raise ModuleNotFoundError("No module named 'boto3'")
        except ModuleNotFoundError as error:
            raise import_litellm().APIConnectionError("No module named 'boto3'", "bedrock", "m") from error

    monkeypatch.setattr(gateway._litellm, "acompletion", broken)
    with pytest.raises(NotSentError, match="boto3"):
        asyncio.run(gateway.complete("x", {}))


def test_of_several_prices_of_a_token_the_highest_counts() -> None:
    tiers = [{"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}, {"output_cost_per_reasoning_token": 9e-6}]
    assert dearest_prices({"tiered_pricing": tiers}) == {"input": 1e-6, "output": 9e-6}
    assert dearest_prices({"output_cost_per_reasoning_token": 4e-6}) == {"input": 0.0, "output": 4e-6}
    assert dearest_prices({}) == {"input": 0.0, "output": 0.0}
    thinks = Gateway(api_settings({"model": "dashscope/qwen-turbo"})).facts
    listed = import_litellm().get_model_info("dashscope/qwen-turbo")
    assert thinks.usd_out == max(listed["output_cost_per_token"], listed["output_cost_per_reasoning_token"])
