"""The exam that is sent is the exam: what litellm is about to send, before anything is sent."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import httpx
import pytest

from roi_bench.api.gateway import ApiRequest, Gateway
from roi_bench.api.preflight import check_body
from roi_bench.api.settings import api_settings, chat_prompt, messages_of, request_parameters, without_prompt
from roi_bench.errors import ModelError, UsageError
from tests.api.test_gateway import Provider
from tests.support.messages import shows

MESSAGES = [
    {"role": "system", "content": "Solve the exam.\n\nThe budget is 512 tokens."},
    {"role": "user", "content": "### Problem 1\nWhat is 2 + 2?\n"},
]
PROMPT = chat_prompt(MESSAGES)
TEXTS = [message["content"] for message in MESSAGES]
TASK = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": 2048}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC", "GEMINI", "MISTRAL", "DEEPSEEK", "COHERE"):
        monkeypatch.setenv(f"{name}_API_KEY", "a-key-for-nobody")


def rehearsed(prompt: str = PROMPT, **arguments: Any) -> tuple[Gateway, dict[str, Any]]:
    gateway = Gateway(api_settings(arguments))
    (body,) = gateway.rehearse([(prompt, request_parameters(TASK, gateway.settings))])
    assert body is not None
    return gateway, body


def check(prompt: str = PROMPT, **arguments: Any) -> None:
    gateway, body = rehearsed(prompt, **arguments)
    chat = gateway.settings.endpoint == "chat"
    texts = [message["content"] for message in messages_of(prompt)] if chat else [prompt]
    check_body(gateway.settings, texts, 2048, body)


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "openai/gpt-4o-mini"},
        {"model": "openai/gpt-5-mini", "omit": "temperature", "reasoning_effort": "low"},
        {"model": "openai/gpt-5-pro", "omit": "temperature"},
        {"model": "anthropic/claude-sonnet-4-5"},
        {"model": "anthropic/claude-sonnet-4-5", "thinking": 1024, "omit": "temperature"},
        {"model": "anthropic/claude-sonnet-4-5", "thinking": "disabled"},
        {"model": "gemini/gemini-2.5-flash", "thinking": 0},
        {"model": "gemini/gemini-2.5-flash", "thinking": 300},
        {"model": "gemini/gemini-2.5-flash", "reasoning_effort": "low"},
        {"model": "gemini/gemini-3-pro-preview", "reasoning_effort": "low"},
        {"model": "mistral/magistral-small-latest"},
        {"model": "cohere/command-r-plus"},
        {"model": "mine", "base_url": "http://127.0.0.1:9/v1", "reasoning_effort": "low"},
        {"model": "mine", "base_url": "http://127.0.0.1:9/v1", "endpoint": "completions"},
    ],
    ids=lambda arguments: json.dumps(arguments)[10:60],
)
def test_the_exam_arrives_as_it_is_with_its_switches(arguments: dict[str, Any]) -> None:
    check("Solve this." if "endpoint" in arguments else PROMPT, **arguments)


def test_a_system_prompt_that_litellm_adds_is_refused() -> None:
    with pytest.raises(ModelError, match=shows("SYSTEM_PROMPT", "reasoning_effort", "nothing was sent")):
        check(model="mistral/magistral-small-latest", reasoning_effort="low")


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": "gemini/gemini-3-pro-preview", "thinking": 0},
        {"model": "anthropic/claude-sonnet-5-5", "thinking": "disabled", "omit": "temperature"},
        {"model": "anthropic/claude-sonnet-5-5", "thinking": {"type": "disabled"}, "omit": "temperature"},
        {"model": "gemini/gemini-3-pro-preview", "thinking": {"type": "enabled", "budget_tokens": 0}},
    ],
)
def test_a_switch_that_does_not_arrive_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=shows("thinking=", arguments["model"])):
        check(**arguments)


@pytest.mark.parametrize(
    ("given", "body"),
    [
        ({"reasoning_effort": "low"}, {"thinking": {"type": "enabled"}}),
        ({"reasoning_effort": "none"}, {}),
        ({"thinking": "disabled"}, {"thinkingConfig": {"includeThoughts": False}}),
        ({"thinking": 1024}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ],
)
def test_a_switch_that_arrives_as_something_else_is_refused(given: dict[str, Any], body: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(given))):
        check_body(api_settings({"model": "openai/x", **given}), [], 64, {**body, "max_tokens": 64})


def test_texts_may_be_joined_or_nested_but_not_lost_or_added_to() -> None:
    settings = api_settings({"model": "openai/x"})
    joined = {"prompt": "\n\n".join(TEXTS), "max_tokens": 64}
    nested = {"contents": [{"role": "user", "parts": [{"text": TEXTS[1].strip()}]}], "system": [{"text": TEXTS[0]}]}
    elsewhere = {"a_field": "\n".join(TEXTS), "n": 64}
    for body in (joined, nested, elsewhere):
        check_body(settings, TEXTS, 64, {"n": 64, **body})
    foreign = "You may not use a box for any answer."
    for body in (
        {"messages": [{"role": "system", "content": foreign}, *MESSAGES]},
        {"messages": MESSAGES, "preamble": foreign},
        {"a_field": [*TEXTS, foreign]},
    ):
        with pytest.raises(ModelError, match="not use a box"):
            check_body(settings, TEXTS, 64, {"max_tokens": 64, **body})
    for lacking in ({"messages": MESSAGES[:1]}, {"a_field": TEXTS[0]}):
        with pytest.raises(ModelError, match=r"2 \+ 2"):
            check_body(settings, TEXTS, 64, {"max_tokens": 64, **lacking})


def test_what_the_user_puts_into_the_body_is_not_foreign() -> None:
    extra = {"guided_regex": "a pattern of more words than a name has"}
    body = {"messages": MESSAGES, "max_tokens": 64, **extra}
    settings = api_settings({"model": "openai/x", "extra_body": extra})
    check_body(settings, TEXTS, 64, body, request_parameters(TASK, settings))
    with pytest.raises(ModelError, match="a pattern"):
        check_body(api_settings({"model": "openai/x"}), TEXTS, 64, body)


def test_a_cap_that_is_not_the_budget_is_refused() -> None:
    settings = api_settings({"model": "openai/x"})
    with pytest.raises(ModelError, match=shows("4096", "512")):
        check_body(settings, [], 512, {"generationConfig": {"maxOutputTokens": 4096}})
    with pytest.raises(ModelError, match=shows("4096", "512")):
        check_body(settings, [], 512, {"max_tokens": 512, "max_completion_tokens": 4096})
    with pytest.raises(ModelError, match="512"):
        check_body(settings, [], 512, {"messages": [], "temperature": 0})
    check_body(settings, [], 512, {"inferenceConfig": {"maxTokens": 512}})
    check_body(settings, [], 512, {"options": [{"a_new_name": 512}]})


def test_the_user_can_name_the_cap() -> None:
    given = {"model": "new-reasoner", "base_url": "http://127.0.0.1:9/v1"}
    _, body = rehearsed(**given, cap="max_completion_tokens")
    assert body["max_completion_tokens"] == 2048
    assert "max_tokens" not in body
    with pytest.raises(UsageError, match=shows("cap=max_completion_tokens")):
        api_settings({**given, "extra_body": {"max_completion_tokens": 5}})
    with pytest.raises(UsageError, match=shows("'tokens'")):
        api_settings({**given, "cap": "tokens"})
    assert api_settings({**given, "cap": "max_tokens"}).identity()["cap"] == "max_tokens"


def test_what_is_shown_of_models_of_the_responses_api_is_what_is_sent() -> None:
    gateway = Gateway(api_settings({"model": "openai/gpt-5-pro", "omit": "temperature"}))
    parameters = request_parameters(TASK, gateway.settings)
    (body,) = gateway.bodies([ApiRequest(0, PROMPT, parameters, 2048)])
    assert body["max_output_tokens"] == 2048
    assert "messages" not in body
    assert "What is 2 + 2?" in json.dumps(body["input"])
    kept = without_prompt(body, PROMPT)
    assert kept["max_output_tokens"] == 2048
    assert not any(part in json.dumps(kept) for part in ("2 + 2", "budget is"))


def test_extra_body_stands_in_the_body_as_the_server_will_see_it() -> None:
    arguments = {"model": "mine", "base_url": "http://127.0.0.1:9/v1", "extra_body": {"min_p": 0.1}}
    gateway = Gateway(api_settings(arguments))
    (body,) = gateway.bodies([ApiRequest(0, PROMPT, request_parameters(TASK, gateway.settings), 2048)])
    assert (body["min_p"], body["max_tokens"], body["messages"]) == (0.1, 2048, MESSAGES)
    assert "extra_body" not in body


def test_a_field_that_holds_the_prompt_is_no_parameter_whatever_its_name() -> None:
    odd = {"deep": [TEXTS[1]]}
    for held in (odd, TEXTS[1].strip(), TEXTS[1].replace(" ", "\n"), json.dumps(odd)):
        assert without_prompt({"model": "m", "odd": held, "empty": None}, PROMPT) == {"model": "m"}


def test_a_rehearsal_sends_nothing_whatever_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    with Provider({}) as provider:
        monkeypatch.setenv("AWS_BEDROCK_RUNTIME_ENDPOINT", provider.url)
        arguments = {"model": "bedrock/converse/meta.llama3-1-8b-instruct-v1:0", "aws_region_name": "us-east-1"}
        gateway = Gateway(api_settings({"model": arguments["model"]}))
        (body,) = gateway.rehearse([(PROMPT, {"max_tokens": 2048, "aws_region_name": "us-east-1"})])
        if find_spec("botocore") is not None:
            assert body is not None
            check_body(gateway.settings, TEXTS, 2048, body)

        async def careless(_: str, parameters: dict[str, Any]) -> None:  # a provider's client that litellm asks at once
            async with httpx.AsyncClient(trust_env=False) as client:
                await client.post(provider.url, json=parameters)

        monkeypatch.setattr(gateway, "_call", careless)
        assert gateway.rehearse([(PROMPT, {"max_tokens": 2048})]) == [None]
        assert provider.asked == []
