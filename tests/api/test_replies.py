"""What is read from the providers' JSON: text, hidden reasoning, tokens, and what a reply must at least hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.api.replies import ApiReply, UnusableReplyError, read_reply
from roi_bench.scoring.tokens import Usage
from tests.support.messages import shows

USAGE = {"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}
NO_TOKENS = [None, {}, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {"completion_tokens": None}]
COUNTS = st.integers(0, 100_000)
END = "</think>"


def chat(content: object = "hi", usage: object = USAGE, reason: object = "stop", **message: Any) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": reason}
    return {"id": "reply-1", "model": "m-2025", "choices": [choice], "usage": usage}


def read(body: dict[str, Any], budget: int = 512, think_end_token: str | None = None, **record: Any) -> ApiReply:
    return read_reply(body, budget, usd=0.25, think_end_token=think_end_token, record=record)


def test_a_reply_gives_its_text_tokens_cost_and_what_the_journal_keeps() -> None:
    reply = read(chat(), latency_s=1.5, attempts=2)
    assert reply == ApiReply(
        "hi",
        Usage(7, "stop", "provider"),
        0.25,
        {
            "prompt_tokens": 10,
            "completion_tokens": 7,
            "usd": 0.25,
            "finish_reason": "stop",
            "provider_model": "m-2025",
            "provider_id": "reply-1",
            "latency_s": 1.5,
            "attempts": 2,
        },
    )


def test_a_text_completion_is_read_too() -> None:
    body = {"choices": [{"text": " four", "finish_reason": "length"}], "usage": USAGE}
    assert (read(body).text, read(body).usage) == (" four", Usage(7, "length", "provider"))


@pytest.mark.parametrize("reason", ["error", "ERROR", "network_error"])
def test_a_reply_in_whose_middle_the_provider_failed_is_none(reason: str) -> None:
    with pytest.raises(UnusableReplyError, match=shows(reason)):
        read(chat("### Problem 1 and", reason=reason))
    mapped = chat("### Problem 1 and")  # as litellm shows a reason that it does not know
    mapped["choices"][0]["provider_specific_fields"] = {"native_finish_reason": reason}
    with pytest.raises(UnusableReplyError, match=shows(reason)):
        read(mapped)
    mapped["choices"][0]["provider_specific_fields"] = {"native_finish_reason": "eos_token"}
    assert read(mapped).usage == Usage(7, "stop", "provider")


@pytest.mark.parametrize("content", [None, ""])
def test_a_budget_spent_on_hidden_reasoning_is_an_empty_text_that_cost_tokens(content: str | None) -> None:
    usage = {**USAGE, "completion_tokens": 512, "completion_tokens_details": {"reasoning_tokens": 512}}
    reply = read(chat(content, usage, "length"))
    assert (reply.text, reply.usage) == ("", Usage(512, "length", "provider"))
    assert reply.record["reasoning_tokens"] == 512


def test_a_message_without_content_is_an_empty_text_that_cost_tokens() -> None:
    body = {"choices": [{"message": {"role": "assistant"}, "finish_reason": "length"}], "usage": USAGE}
    assert (read(body).text, read(body).usage) == ("", Usage(7, "length", "provider"))
    body["choices"] = [{"message": None, "finish_reason": "length"}]
    assert (read(body).text, read(body).usage) == ("", Usage(7, "length", "provider"))


@pytest.mark.parametrize("content", [None, ""])
@pytest.mark.parametrize("usage", [*NO_TOKENS, {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}])
def test_neither_text_nor_tokens_is_no_response(content: str | None, usage: object) -> None:
    with pytest.raises(UnusableReplyError, match=shows("text", "reasoning", "tokens")):
        read(chat(content, usage, reason=None))
    empty = read(chat(content, usage, reason="stop"))  # the provider says that this is all: an answer, and no fault
    assert (empty.text, empty.usage) == ("", None)


@pytest.mark.parametrize("choices", [None, [], ["text"], [None]])
def test_a_reply_without_choices_is_no_response(choices: object) -> None:
    with pytest.raises(UnusableReplyError, match="choices"):
        read({"choices": choices, "usage": USAGE})
    with pytest.raises(UnusableReplyError, match="choices"):
        read({"error": {"message": "overloaded"}})


@pytest.mark.parametrize("usage", NO_TOKENS)
def test_where_the_provider_reports_no_usage_there_is_none(usage: object) -> None:
    reply = read(chat("hi", usage))
    assert (reply.text, reply.usage) == ("hi", None)
    assert "completion_tokens" not in reply.record
    body = chat()
    del body["usage"]
    assert read(body).usage is None


# --------------------------------------------------------------------------------------------------------- reasoning
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_hidden_reasoning_is_kept_apart_from_the_text(name: str) -> None:
    reply = read(chat("4", **{name: "2 + 2 …"}))
    assert reply.text == "4"
    assert reply.record["reasoning"] == "2 + 2 …"


@pytest.mark.parametrize("message", [{}, {"reasoning_content": None}, {"reasoning": ""}])
def test_no_reasoning_is_no_field(message: dict[str, Any]) -> None:
    assert "reasoning" not in read(chat("4", **message)).record


@given(inside=st.text(), answer=st.text().filter(lambda text: END not in text))
def test_reasoning_that_the_server_left_in_the_text_is_parted_at_its_last_end(inside: str, answer: str) -> None:
    reply = read(chat(f"{inside}{END}{answer}"), think_end_token=END)
    assert reply.text == answer
    assert reply.record.get("reasoning", "") == inside
    assert reply.usage == Usage(7, "stop", "provider")


def test_reasoning_of_both_kinds_is_joined() -> None:
    reply = read(chat("b</think>4", reasoning_content="a"), think_end_token=END)
    assert (reply.text, reply.record["reasoning"]) == ("4", "ab")


def test_a_text_whose_reasoning_the_budget_ended_is_all_reasoning() -> None:
    reply = read(chat("2 + 2 …", reason="length"), think_end_token=END)
    assert (reply.text, reply.record["reasoning"]) == ("", "2 + 2 …")
    parted = read(chat("\\boxed{4}", reason="length", reasoning_content="2 + 2"), think_end_token=END)
    assert (parted.text, parted.record["reasoning"]) == ("\\boxed{4}", "2 + 2")  # the server knew where it ended


def test_a_text_that_ended_without_reasoning_is_left_whole() -> None:
    reply = read(chat("4"), think_end_token=END)
    assert reply.text == "4"
    assert "reasoning" not in reply.record
    assert read(chat("a</think>4")).text == "a</think>4"
    assert read(chat("2 + 2 …", reason="length")).text == "2 + 2 …"


# ------------------------------------------------------------------------------------------------------------ tokens
@given(prompt=COUNTS, completion=COUNTS, hidden=COUNTS, budget=st.integers(1, 100_000))
def test_reasoning_left_out_of_the_completion_but_in_the_total_is_counted(
    prompt: int, completion: int, hidden: int, budget: int
) -> None:
    spent = completion + hidden
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + spent}
    reply = read(chat("", usage), budget)
    if not spent:
        assert reply.usage is None
        return
    assert reply.usage == Usage(spent, "stop", "provider")
    assert reply.record["prompt_tokens"] == prompt
    assert reply.record["completion_tokens"] == completion
    assert ("over_budget" in reply.record) == (spent > budget)


@given(prompt=COUNTS, completion=st.integers(1, 100_000), total=st.none() | st.just(0))
def test_without_a_total_the_completion_counts(prompt: int, completion: int, total: int | None) -> None:
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}
    assert read(chat("", usage)).usage == Usage(completion, "stop", "provider")


@pytest.mark.parametrize(("tokens", "over"), [(511, False), (512, False), (513, True)])
def test_exactly_above_the_cap_is_over_budget(tokens: int, over: bool) -> None:
    record = read(chat("hi", {"prompt_tokens": 1, "completion_tokens": tokens})).record
    assert record.get("over_budget", False) is over


def test_without_usage_nothing_is_over_budget() -> None:
    assert "over_budget" not in read(chat("hi " * 5000, None), budget=1).record


@pytest.mark.parametrize("details", [None, {}, {"reasoning_tokens": None}, "unknown"])
def test_details_that_say_nothing_are_no_field(details: object) -> None:
    reply = read(chat("hi", {**USAGE, "completion_tokens_details": details}))
    assert "reasoning_tokens" not in reply.record
    assert reply.usage == Usage(7, "stop", "provider")


def test_no_reasoning_tokens_is_a_number() -> None:
    usage = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 0}}
    assert read(chat("hi", usage)).record["reasoning_tokens"] == 0


@pytest.mark.parametrize(
    ("reason", "meant"),
    [
        *[("length", "length"), ("max_tokens", "length")],
        *[("stop", "stop"), ("end_turn", "stop"), ("eos", "stop")],
        *[("content_filter", None), ("tool_calls", None), (None, None), ("", None), (3, None)],
    ],
)
def test_the_reason_why_a_response_ended(reason: object, meant: str | None) -> None:
    reply = read(chat(reason=reason))
    assert reply.usage is not None
    assert reply.usage.finish_reason == meant
    assert reply.record["finish_reason"] == reason


def test_an_unknown_cost_is_recorded_as_unknown() -> None:
    reply = read_reply(chat(), 512, usd=None, think_end_token=None, record={})
    assert reply.usd is None
    assert reply.record["usd"] is None


def test_a_text_for_which_no_tokens_are_reported_has_no_known_usage() -> None:
    assert read(chat("hello", {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9})).usage is None
