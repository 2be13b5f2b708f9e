"""What is read from the providers' JSON: text, hidden reasoning, tokens, and what a reply must at least hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.api.replies import ENOUGH, FEW, ApiReply, RunWatch, UnusableReplyError, chat_form, one_line, read_reply
from roi_bench.scoring.tokens import Usage
from tests.support.messages import shown_in, shows

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


FAILED = ["error", "ERROR", "network_error", "insufficient_system_resource", "abort", "repetition"]


@pytest.mark.parametrize("reason", FAILED)
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
@pytest.mark.parametrize("reason", [None, "stop", "length"])
@pytest.mark.parametrize("usage", [*NO_TOKENS, {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}])
def test_neither_text_nor_tokens_is_no_response(content: str | None, reason: str | None, usage: object) -> None:
    with pytest.raises(UnusableReplyError, match=shows("text", "reasoning", "tokens")):
        read(chat(content, usage, reason=reason))


@pytest.mark.parametrize("choices", [None, [], ["text"], [None]])
def test_a_reply_without_choices_is_empty_if_tokens_were_spent_and_else_no_response(choices: object) -> None:
    empty = read({"choices": choices, "usage": {**USAGE, "completion_tokens": 512}}, budget=512)
    assert (empty.text, empty.usage) == ("", Usage(512, "length", "provider"))
    assert read({"choices": choices, "usage": USAGE}).usage == Usage(7, None, "provider")
    for body in ({"choices": choices}, {"error": {"message": "overloaded"}, "usage": USAGE}):
        with pytest.raises(UnusableReplyError, match="choices"):
            read(body)


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


def test_a_response_begins_in_reasoning_where_the_run_has_an_end_of_it() -> None:
    reply = read(chat("\\boxed{9}"), think_end_token=END)
    assert (reply.text, reply.record["reasoning"]) == ("", "\\boxed{9}")
    assert read(chat("a</think>4")).text == "a</think>4"
    assert read(chat("2 + 2 …", reason="length")).text == "2 + 2 …"


# ------------------------------------------------------------------------------------------------ odd shapes of replies
def test_an_error_object_in_the_choice_is_a_failure_whatever_the_finish_reason_says() -> None:
    for reason in ("stop", "length", None):
        body = chat("partial", reason=reason)
        body["choices"][0]["error"] = {"code": 502, "message": "upstream\nis gone"}
        with pytest.raises(UnusableReplyError, match="upstream is gone"):
            read(body)
        mapped = chat("partial", reason=reason)  # as litellm shows it
        mapped["choices"][0]["provider_specific_fields"] = {"error": {"message": "upstream is gone"}}
        with pytest.raises(UnusableReplyError, match="upstream is gone"):
            read(mapped)


def test_a_refusal_is_text() -> None:
    assert read(chat(None, refusal="I cannot help.")).text == "I cannot help."
    assert read(chat("", provider_specific_fields={"refusal": "I cannot help."})).text == "I cannot help."
    assert read(chat("4", refusal=None)).text == "4"


def test_content_in_parts_is_text_and_reasoning() -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "2 + "}, {"type": "text", "text": "2"}]}
    reply = read(chat([thinking, {"type": "text", "text": "It is "}, {"type": "text", "text": "4."}, None, 3]))
    assert (reply.text, reply.record["reasoning"]) == ("It is 4.", "2 + 2")


def test_what_the_provider_said_itself_is_the_reason_to_have_finished() -> None:
    raw = chat(reason="insufficient_system_resource")
    with pytest.raises(UnusableReplyError, match="insufficient_system_resource"):
        read_reply(chat(), 512, usd=None, think_end_token=None, record={}, raw=raw)
    raw = chat(reason=None)
    mapped = chat(usage={"prompt_tokens": 1, "completion_tokens": 512})
    at_the_cap = read_reply(mapped, 512, usd=None, think_end_token=None, record={}, raw=raw)
    assert at_the_cap.usage == Usage(512, "length", "provider")
    assert (at_the_cap.record["finish_reason"], at_the_cap.record["native_finish_reason"]) == ("stop", None)
    claude = {"stop_reason": "model_context_window_exceeded"}
    assert read_reply(chat(), 512, usd=None, think_end_token=None, record={}, raw=claude).usage == Usage(
        7, "length", "provider"
    )


def test_a_reply_of_the_responses_api_is_read_with_all_its_messages() -> None:
    def message(text: str) -> dict[str, Any]:
        return {"type": "message", "content": [{"type": "output_text", "text": text}]}

    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "2 + 2"}]}
    usage = {
        "input_tokens": 10,
        "output_tokens": 60,
        "total_tokens": 70,
        "output_tokens_details": {"reasoning_tokens": 40},
    }
    whole = {"id": "resp_1", "object": "response", "status": "completed", "usage": usage, "model": "m"}
    reply = read(chat_form({**whole, "output": [thought, message("one "), message("two")]}))
    assert (reply.text, reply.record["reasoning"]) == ("one two", "2 + 2")
    assert (reply.usage, reply.record["reasoning_tokens"]) == (Usage(60, "stop", "provider"), 40)
    cut = {**whole, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": [thought]}
    reply = read(chat_form(cut))
    assert (reply.text, reply.usage) == ("", Usage(60, "length", "provider"))
    with pytest.raises(UnusableReplyError, match="boom"):
        read(chat_form({**whole, "status": "failed", "error": {"message": "boom"}, "output": []}))
    with pytest.raises(UnusableReplyError):
        read(chat_form({**whole, "status": "cancelled", "output": [], "usage": None}))


# ------------------------------------------------------------------------------------------------------------ tokens
@given(prompt=COUNTS, completion=COUNTS, hidden=COUNTS, budget=st.integers(1, 100_000))
def test_reasoning_left_out_of_the_completion_but_in_the_total_is_counted(
    prompt: int, completion: int, hidden: int, budget: int
) -> None:
    spent = completion + hidden
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + spent}
    reply = read(chat("4", usage), budget)
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


@pytest.mark.parametrize("reason", ["", None])
def test_a_reply_at_the_cap_that_does_not_say_why_it_ended_was_cut(reason: str | None) -> None:
    at, below = ({"prompt_tokens": 1, "completion_tokens": tokens} for tokens in (512, 511))
    assert read(chat(usage=at, reason=reason)).usage == Usage(512, "length", "provider")
    assert read(chat(usage=below, reason=reason)).usage == Usage(511, None, "provider")


@pytest.mark.parametrize("count", [-1, 10**18, 7.5, float("nan"), float("inf"), "many", True])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "total_tokens"])
def test_a_count_that_can_be_none_is_not_believed_and_its_text_kept(name: str, count: object) -> None:
    reply = read(chat("4", {**USAGE, name: count}))
    assert (reply.text, reply.usage) == ("4", None)
    assert reply.record["usage_refused"][name] == str(count)
    with pytest.raises(UnusableReplyError):
        read(chat("", {**USAGE, name: count}))


def test_a_whole_number_written_as_a_fraction_is_a_count() -> None:
    assert read(chat("4", {**USAGE, "completion_tokens": 7.0})).usage == Usage(7, "stop", "provider")


@pytest.mark.parametrize("details", [None, {}, {"reasoning_tokens": None}, {"reasoning_tokens": -3}, "unknown"])
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
        *[(reason, "length") for reason in ("length", "max_tokens", "MAX_TOKENS", "model_length")],
        ("model_context_window_exceeded", "length"),
        *[("stop", "stop"), ("STOP", "stop"), ("end_turn", "stop"), ("eos", "stop")],
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


# ----------------------------------------------------------------------------------------------- watching a run
def watched(replies: list[ApiReply], *, end: str | None = None, sampled: bool = False) -> tuple[list[str], str | None]:
    """Return the warnings about replies, two to each prompt, and why the run should stop."""
    watch = RunWatch(end)
    said = [watch.note(f"p{number // 2}", 512, reply, sampled=sampled) for number, reply in enumerate(replies)]
    return [line for line in said if line is not None], watch.stop


def of(tokens: int, finish: str = "stop", text: str = "4") -> ApiReply:
    return read(chat(text, {"prompt_tokens": 1, "completion_tokens": tokens}, finish))


def test_replies_cut_below_the_budget_are_warned_of_once_and_stop_the_run_if_all_are() -> None:
    fine = of(512, "length")
    assert watched([fine] * 40) == ([], None)
    assert watched([of(490, "length")] * 40)[0] == []  # a provider may count a little less
    (warning,), stop = watched([fine, *[of(260, "length")] * 40])
    assert shown_in(warning, "512", "260")
    assert stop is None
    assert watched([of(260, "length")] * (FEW - 1)) == ([], None)
    (warning,), stop = watched([of(260, "length")] * ENOUGH)
    assert stop is not None
    assert warning.split("cut below")[1] in stop


def test_replies_over_the_budget_are_warned_of_and_stop_the_run_if_all_are() -> None:
    (warning,), stop = watched([of(20_000)] * ENOUGH)
    assert shown_in(warning, "512", "20000")
    assert stop is not None
    assert watched([of(20_000)] * (ENOUGH - 1))[1] is None
    assert watched([of(512), *[of(20_000)] * 40])[1] is None


def test_a_model_that_does_not_think_is_told_apart_where_the_run_expects_thinking() -> None:
    (warning,), stop = watched([read(chat("\\boxed{4}"), think_end_token=END)] * ENOUGH, end=END)
    assert END in warning
    assert stop is not None
    thinks = read(chat(f"2 + 2{END}\\boxed{{4}}"), think_end_token=END)
    assert watched([thinks] * 40, end=END) == ([], None)
    cut = read(chat("2 + 2", {**USAGE, "completion_tokens": 512}, "length"), think_end_token=END)
    assert watched([cut] * 40, end=END) == ([], None)


def test_a_model_that_does_not_think_is_told_apart_where_no_usage_is_reported() -> None:
    silent = ApiReply("", None, None, {"reasoning": "4", "finish_reason": "stop"})
    warnings, stop = watched([silent] * 16, end="</think>")
    assert len(warnings) == 1
    assert "</think>" in warnings[0]
    assert stop is not None
    cut = ApiReply("", None, None, {"reasoning": "4", "finish_reason": "length"})
    assert watched([cut] * 16, end="</think>") == ([], None)


def test_a_run_whose_replies_are_all_worthless_stops_though_for_different_reasons() -> None:
    _, stop = watched([of(900), of(20, "length")] * 8)
    assert stop is not None
    assert "16" in stop
    assert watched([of(900), of(20, "length")] * 7 + [of(20)] * 2)[1] is None


def test_samples_that_are_all_equal_though_drawn_are_warned_of() -> None:
    (warning,), stop = watched([of(40)] * 40, sampled=True)
    assert "transformers" in warning
    assert stop is None
    assert watched([of(40)] * 40) == ([], None)  # greedy
    assert watched([of(40, text=f"{number}") for number in range(40)], sampled=True) == ([], None)
    once = [of(40)] * 2 + [of(40, text=f"{number}") for number in range(6)] + [of(40)] * 40
    assert watched(once, sampled=True) == ([], None)


@pytest.mark.parametrize(
    ("message", "line"), [("Check it.\n", "Check it"), ("and so on ...", "and so on ..."), ("", "OSError")]
)
def test_a_message_of_a_server_goes_into_a_sentence(message: str, line: str) -> None:
    assert one_line(OSError(message)) == line
