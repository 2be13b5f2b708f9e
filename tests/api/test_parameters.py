"""The harness's generation arguments as parameters of a call, and conversations as text and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roi_bench.api.settings import ApiSettings, chat_prompt, messages_of, request_parameters
from roi_bench.errors import UsageError
from tests.support.messages import shows

GREEDY: dict[str, Any] = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": 512}
SAMPLED: dict[str, Any] = {"until": [], "do_sample": True, "temperature": 0.7, "max_gen_toks": 512, "seed": 11}


def parameters(generation: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return request_parameters(generation, ApiSettings("m", **settings))


def test_a_greedy_task_sends_its_budget_and_temperature_zero() -> None:
    assert parameters(GREEDY) == {"max_tokens": 512, "temperature": 0.0}


def test_a_greedy_task_sends_no_seed_and_overrules_a_temperature() -> None:
    assert parameters({**GREEDY, "temperature": 0.9, "seed": 3}) == {"max_tokens": 512, "temperature": 0.0}


def test_a_sampled_task_sends_its_temperature_and_seed() -> None:
    assert parameters(SAMPLED) == {"max_tokens": 512, "temperature": 0.7, "seed": 11}


def test_sampling_without_a_temperature_is_at_one() -> None:
    assert parameters({"do_sample": True, "max_gen_toks": 8}) == {"max_tokens": 8, "temperature": 1.0}


@pytest.mark.parametrize(("temperature", "sent"), [({}, 0.0), ({"temperature": 0}, 0.0), ({"temperature": 0.3}, 0.3)])
def test_where_nobody_says_a_temperature_above_zero_means_sampling(temperature: dict[str, float], sent: float) -> None:
    found = parameters({"max_gen_toks": 8, "seed": 5, **temperature})
    assert found["temperature"] == sent
    assert ("seed" in found) == (sent > 0)


def test_the_budget_is_sent_as_a_whole_number() -> None:
    sent = parameters({**GREEDY, "max_gen_toks": 512.0})["max_tokens"]
    assert (sent, type(sent)) == (512, int)


def test_stop_strings_are_sent_without_empty_ones() -> None:
    assert parameters({**GREEDY, "until": ["", "END", "", "\n\n"]})["stop"] == ["END", "\n\n"]
    for nothing in ([], [""], None):
        assert "stop" not in parameters({**GREEDY, "until": nothing})


def test_what_apis_know_by_the_same_name_is_passed_on() -> None:
    more = {"top_p": 0.9, "top_k": 40, "presence_penalty": 0.1, "frequency_penalty": -0.1}
    assert parameters({**SAMPLED, **more}) == {**parameters(SAMPLED), **more}


def test_what_is_omitted_is_not_sent() -> None:
    generation = {**SAMPLED, "until": ["END"], "top_p": 0.5}
    assert parameters(generation, omit="temperature+stop+seed") == {"max_tokens": 512, "top_p": 0.5}
    assert parameters(GREEDY, omit="temperature", reasoning_effort="low") == {
        "max_tokens": 512,
        "reasoning_effort": "low",
    }


@pytest.mark.parametrize(
    ("thinking", "sent"),
    [
        (1024, {"type": "enabled", "budget_tokens": 1024}),
        (0, {"type": "enabled", "budget_tokens": 0}),
        ("disabled", {"type": "disabled"}),
        ({"type": "adaptive", "display": "omitted"}, {"type": "adaptive", "display": "omitted"}),
    ],
)
def test_thinking_is_sent_as_the_providers_object(thinking: Any, sent: dict[str, Any]) -> None:
    assert parameters(GREEDY, thinking=thinking) == {**parameters(GREEDY), "thinking": sent}


def test_the_other_switches_of_a_run_go_with_every_request() -> None:
    switches = {"reasoning_effort": "minimal", "service_tier": "flex", "extra_body": {"min_p": 0.1}}
    assert parameters(GREEDY, **switches) == {**parameters(GREEDY), **switches}


@pytest.mark.parametrize("name", ["repetition_penalty", "num_beams", "max_tokens", "stop"])
def test_an_argument_that_apis_do_not_take_is_refused_with_advice(name: str) -> None:
    with pytest.raises(UsageError, match=shows(repr(name), "extra_body")):
        parameters({**GREEDY, name: 1})


def test_the_arguments_of_the_task_are_left_alone() -> None:
    generation = {**SAMPLED, "until": ["", "END"]}
    before = {**generation, "until": list(generation["until"])}
    parameters(generation, omit="temperature")
    assert generation == before


# ----------------------------------------------------------------------------------------------------- conversations
MESSAGES = st.lists(st.fixed_dictionaries({"role": st.text(), "content": st.text()}), min_size=1, max_size=5)


@given(messages=MESSAGES)
@example([{"role": "system", "content": 'Say "yes" \\ π \u2028'}, {"role": "user", "content": "half \ud83d of a pair"}])
def test_a_conversation_written_as_text_is_read_back(messages: list[dict[str, str]]) -> None:
    assert messages_of(chat_prompt(messages)) == messages


def test_only_role_and_content_of_a_message_are_kept() -> None:
    prompt = chat_prompt([{"role": "user", "content": "hi", "name": "Ann"}])
    assert messages_of(prompt) == [{"role": "user", "content": "hi"}]


@given(prompt=st.text().filter(lambda text: not text.startswith('[{"role":')))
@example("[]")
@example('{"role": "user", "content": "hi"}')
@example(' [{"role": "user", "content": "hi"}]')
def test_any_other_text_is_one_message_of_the_user(prompt: str) -> None:
    assert messages_of(prompt) == [{"role": "user", "content": prompt}]


@given(rest=st.text())
@example("")
@example(' "user", "content": "hi"}')
@example(' "user", "content": "hi"}] is how a conversation is written')
@example(' "user"}]')
@example(' "user", "content": "hi", "name": "Ann"}]')
@example(' "user", "content": "hi"}, {"role": "user"}]')
@example(' "user", "content": "hi"}, {}]')
@example(" NaN}]")
def test_a_text_that_merely_begins_like_a_conversation_is_one_message_of_the_user(rest: str) -> None:
    prompt = f'[{{"role":{rest}'
    assert messages_of(prompt) == [{"role": "user", "content": prompt}]


@pytest.mark.parametrize(
    "rest",
    [
        ' "user", "content": "hi"}, 3]',
        ' "user", "content": "hi"}, null]',
        ' "user", "content": "hi"}, ["role", "content"]]',
        ' 1, "content": 2}]',
        "[" * 100_000,
    ],
    ids=["number", "null", "list", "types", "deep"],
)
def test_more_texts_that_merely_begin_like_a_conversation(rest: str) -> None:
    prompt = f'[{{"role":{rest}'
    assert messages_of(prompt) == [{"role": "user", "content": prompt}]


def test_one_stop_string_is_one() -> None:
    assert parameters({**GREEDY, "until": "END"})["stop"] == ["END"]


def test_without_a_budget_the_error_is_ours() -> None:
    with pytest.raises(UsageError, match="max_gen_toks"):
        parameters({"until": []})
