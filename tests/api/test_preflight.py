"""What a model takes and which budgets it can sit: with invented gateways, and by the rules that litellm knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from roi_bench.api.gateway import Gateway, ModelFacts
from roi_bench.api.preflight import check_parameters, thinking_budget, why_not_applicable
from roi_bench.api.settings import ApiSettings, api_settings, request_parameters
from roi_bench.errors import ModelError
from tests.support.messages import shown_in, shows

GREEDY: dict[str, Any] = {"until": [], "do_sample": False, "temperature": 0.0, "max_gen_toks": 512}
CLAUDE = ModelFacts("anthropic", "claude-sonnet", "chat", 200_000, 64_000)
GEMINI = ModelFacts("gemini", "gemini-flash", "chat", 1_000_000, 65_535)
OPENAI = ModelFacts("openai", "gpt", "chat", 128_000, 16_384)
SERVER = ModelFacts("hosted_vllm", "my-model")
EVERY = [CLAUDE, GEMINI, OPENAI, SERVER]


class UnsupportedParamsError(Exception):
    """What litellm raises where it would drop a parameter."""


def as_given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return dict(parameters)


def as_gemini(parameters: Mapping[str, Any]) -> dict[str, Any]:
    mapped = {**parameters, "max_output_tokens": parameters["max_tokens"]}
    del mapped["max_tokens"]
    if thinking := mapped.pop("thinking", None):
        mapped["thinkingConfig"] = {"thinkingBudget": thinking["budget_tokens"], "includeThoughts": True}
    return mapped


@dataclass
class FakeGateway:
    """A provider: what is known of its model, and how it takes parameters."""

    facts: ModelFacts
    mapping: Callable[[Mapping[str, Any]], dict[str, Any]] = as_given
    refuses: tuple[str, ...] = ()

    def mapped(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if refused := [name for name in parameters if name in self.refuses]:
            raise UnsupportedParamsError(f"litellm.UnsupportedParamsError: provider does not support {refused}")
        return self.mapping(parameters)


def generation(budget: int, **more: Any) -> dict[str, Any]:
    return {**GREEDY, "max_gen_toks": budget, **more}


def checked(gateway: FakeGateway | Gateway, settings: ApiSettings, **arguments: Any) -> dict[str, Any]:
    return check_parameters(gateway, settings, request_parameters({**GREEDY, **arguments}, settings))


def reason(gateway: FakeGateway | Gateway, settings: ApiSettings, budget: int) -> str | None:
    return why_not_applicable(gateway.facts, checked(gateway, settings, max_gen_toks=budget), budget)


def refusal(gateway: FakeGateway | Gateway, settings: ApiSettings, **arguments: Any) -> str:
    with pytest.raises(ModelError) as caught:
        checked(gateway, settings, **arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(settings.model)
    return message


# ---------------------------------------------------------------------------------------------------- any provider
@pytest.mark.parametrize("facts", EVERY, ids=lambda facts: facts.provider)
def test_a_plain_greedy_task_can_be_sat_with_any_provider(facts: ModelFacts) -> None:
    mapped = checked(FakeGateway(facts), ApiSettings("m"))
    assert mapped == {"max_tokens": 512, "temperature": 0.0}
    assert why_not_applicable(facts, mapped, 512, 1000) is None


def test_parameters_come_back_as_the_provider_takes_them() -> None:
    mapped = checked(FakeGateway(GEMINI, as_gemini), ApiSettings("m", thinking=128))
    assert mapped["max_output_tokens"] == 512
    assert mapped["thinkingConfig"] == {"thinkingBudget": 128, "includeThoughts": True}


@pytest.mark.parametrize(("budget", "fits"), [(16_384, True), (16_385, False)])
def test_a_budget_above_the_longest_response_is_not_applicable(budget: int, fits: bool) -> None:
    found = reason(FakeGateway(OPENAI), ApiSettings("m"), budget)
    assert (found is None) is fits
    assert fits or shown_in(str(found), 16384, 16385)


@pytest.mark.parametrize(("longest", "fits"), [(None, True), (128_000, True), (128_001, False)])
def test_a_prompt_longer_than_the_context_is_not_applicable(longest: int | None, fits: bool) -> None:
    found = why_not_applicable(OPENAI, {"max_tokens": 512}, 512, longest)
    assert (found is None) is fits
    assert fits or shown_in(str(found), 128001, 128000)


def test_of_a_model_that_nobody_knows_nothing_is_held_against_it() -> None:
    assert why_not_applicable(SERVER, {"max_tokens": 10**6}, 10**6, 10**7) is None


@pytest.mark.parametrize("mode", ["chat", "responses"])
def test_a_chat_model_takes_no_raw_text(mode: str) -> None:
    gateway = FakeGateway(ModelFacts("openai", "gpt", mode))
    assert "endpoint=completions" in refusal(gateway, ApiSettings("m", endpoint="completions"))
    assert checked(gateway, ApiSettings("m"))


def test_a_text_model_takes_no_conversation() -> None:
    gateway = FakeGateway(ModelFacts("openai", "instruct", "completion"))
    assert "endpoint=completions" in refusal(gateway, ApiSettings("m"))
    assert checked(gateway, ApiSettings("m", endpoint="completions"))


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_a_server_of_unknown_kind_may_take_either(endpoint: str) -> None:
    assert checked(FakeGateway(SERVER), ApiSettings("m", endpoint=endpoint))


@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_more_stop_strings_than_openai_takes_are_refused_with_advice(provider: str) -> None:
    gateway = FakeGateway(ModelFacts(provider, "gpt", "chat"))
    message = refusal(gateway, ApiSettings("m"), until=list("abcde"))
    assert shown_in(message, 4, 5, "omit=stop")
    assert checked(gateway, ApiSettings("m"), until=list("abcd"))["stop"] == list("abcd")
    assert "stop" not in checked(gateway, ApiSettings("m", omit="stop"), until=list("abcde"))


def test_other_providers_take_more_stop_strings() -> None:
    assert checked(FakeGateway(SERVER), ApiSettings("m"), until=list("abcdefgh"))["stop"] == list("abcdefgh")


@pytest.mark.parametrize("refused", [("temperature",), ("stop",), ("temperature", "stop")])
def test_a_parameter_that_would_be_dropped_is_named_in_the_advice_and_the_advice_helps(
    refused: tuple[str, ...],
) -> None:
    gateway = FakeGateway(SERVER, refuses=refused)
    message = refusal(gateway, ApiSettings("my-model"), until=["END"])
    omit = "+".join(refused)
    assert f"omit={omit} " in message
    assert "UnsupportedParamsError" not in message
    assert not {*refused} & {*checked(gateway, ApiSettings("my-model", omit=omit), until=["END"])}


def test_a_refusal_that_names_no_parameter_is_passed_on_in_one_line() -> None:
    def refuse(parameters: Mapping[str, Any]) -> dict[str, Any]:
        raise ValueError("this model\nis retired")

    message = refusal(FakeGateway(SERVER, refuse), ApiSettings("m"))
    assert "this model is retired" in message
    assert "omit=NAME" in message


def test_nobody_is_advised_to_leave_the_budget_out() -> None:
    message = refusal(FakeGateway(SERVER, refuses=("temperature", "max_tokens")), ApiSettings("m"))
    assert "omit=temperature " in message


def test_the_budget_itself_cannot_be_left_out() -> None:
    with pytest.raises(ModelError, match=shows("max_tokens", "omit")):
        checked(FakeGateway(OPENAI), ApiSettings("m", omit="max_tokens"))


# ------------------------------------------------------------------------------------------------------------ thinking
@pytest.mark.parametrize(
    ("mapped", "tokens"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, 1024),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, 0),
        ({"thinking": {"type": "disabled"}}, None),
        ({"thinking": {"type": "adaptive"}}, None),
        ({"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}}, 1024),
        ({"thinkingConfig": {"thinkingBudget": 0}}, 0),
        ({"thinkingConfig": {"thinkingBudget": -1}}, None),
        ({"thinkingConfig": {}}, None),
        ({"thinking": "enabled", "thinkingConfig": None}, None),
        ({"max_tokens": 512}, None),
    ],
)
def test_the_thinking_budget_is_found_where_each_provider_has_it(mapped: dict[str, Any], tokens: int | None) -> None:
    assert thinking_budget(mapped) == tokens


@pytest.mark.parametrize(("budget", "fits"), [(512, False), (1024, False), (1025, True), (8192, True)])
@pytest.mark.parametrize("gateway", [FakeGateway(CLAUDE), FakeGateway(GEMINI, as_gemini)], ids=["claude", "gemini"])
def test_thinking_has_to_leave_room_for_the_answers(gateway: FakeGateway, budget: int, fits: bool) -> None:
    found = reason(gateway, ApiSettings("m", thinking=1024, omit="temperature"), budget)
    assert (found is None) is fits
    assert fits or shown_in(str(found), 1024, budget)


def test_claude_thinks_with_1024_tokens_or_more() -> None:
    found = reason(FakeGateway(CLAUDE), ApiSettings("m", thinking=1023, omit="temperature"), 8192)
    assert shown_in(str(found), 1023, 1024)
    assert reason(FakeGateway(GEMINI, as_gemini), ApiSettings("m", thinking=128), 512) is None


def test_gemini_with_thinking_off_can_sit_every_budget() -> None:
    assert reason(FakeGateway(GEMINI, as_gemini), ApiSettings("m", thinking=0), 64) is None


@pytest.mark.parametrize(
    "facts",
    [CLAUDE, ModelFacts("bedrock", "anthropic.claude-sonnet"), ModelFacts("anthropic", "our-alias")],
    ids=["api", "cloud", "alias"],
)
def test_claude_takes_no_temperature_while_it_thinks(facts: ModelFacts) -> None:
    for thinking in (1024, {"type": "adaptive"}):
        message = refusal(FakeGateway(facts), ApiSettings("claude", thinking=thinking))
        assert "omit=temperature" in message
        assert "thinking=disabled" in message
        assert checked(FakeGateway(facts), ApiSettings("claude", thinking=thinking, omit="temperature"))
        assert checked(FakeGateway(facts), ApiSettings("claude", thinking=thinking), do_sample=True, temperature=1.0)


def test_claude_takes_a_temperature_while_it_does_not_think() -> None:
    for thinking in (None, "disabled"):
        assert checked(FakeGateway(CLAUDE), ApiSettings("claude", thinking=thinking))["temperature"] == 0.0


def test_others_take_a_temperature_while_they_think() -> None:
    assert checked(FakeGateway(GEMINI, as_gemini), ApiSettings("m", thinking=128))["temperature"] == 0.0
    assert checked(FakeGateway(SERVER), ApiSettings("m", thinking=128))["temperature"] == 0.0


# ---------------------------------------------------------------------------------------------- litellm's own rules
@cache
def known(model: str) -> Gateway:
    """Return what litellm makes of a ``model``; nothing is sent anywhere."""
    return Gateway(api_settings({"model": model}))


@pytest.mark.parametrize(
    ("model", "cap"),
    [
        ("gpt-4o-mini", "max_tokens"),
        ("anthropic/claude-sonnet-4-5", "max_tokens"),
        ("gemini/gemini-2.5-flash", "max_output_tokens"),
    ],
)
def test_known_models_sit_a_plain_exam(model: str, cap: str) -> None:
    settings = ApiSettings(model)
    mapped = checked(known(model), settings)
    assert (mapped[cap], mapped["temperature"]) == (512, 0.0)
    assert reason(known(model), settings, 512) is None
    assert shown_in(str(reason(known(model), settings, 10_000_000)), 10_000_000)


def test_o3_takes_no_temperature_and_its_cap_holds_the_reasoning_too() -> None:
    assert "omit=temperature " in refusal(known("o3"), ApiSettings("o3"))
    mapped = checked(known("o3"), ApiSettings("o3", omit="temperature", reasoning_effort="low"))
    assert (mapped["max_completion_tokens"], mapped["reasoning_effort"]) == (512, "low")


def test_a_model_that_does_not_reason_takes_no_effort() -> None:
    message = refusal(known("gpt-4o-mini"), ApiSettings("gpt-4o-mini", reasoning_effort="low"))
    assert shown_in(message, "reasoning_effort", "--model_args")
    assert "omit=reasoning_effort" not in message


@pytest.mark.parametrize("how", [{"thinking": 1024}, {"reasoning_effort": "low"}])
@pytest.mark.parametrize("model", ["anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"])
def test_thinking_of_known_models_does_not_fit_a_small_budget(model: str, how: dict[str, Any]) -> None:
    settings = ApiSettings(model, omit="temperature", **how)
    assert shown_in(str(reason(known(model), settings, 512)), 1024, 512)
    assert reason(known(model), settings, 2048) is None


def test_known_claude_refuses_a_temperature_while_it_thinks() -> None:
    model = "anthropic/claude-sonnet-4-5"
    for how in ({"thinking": 1024}, {"reasoning_effort": "low"}):
        assert "omit=temperature" in refusal(known(model), ApiSettings(model, **how), max_gen_toks=2048)
    assert reason(known(model), ApiSettings(model, thinking="disabled"), 64) is None


@pytest.mark.parametrize("how", [{"thinking": 0}, {"reasoning_effort": "none"}, {"reasoning_effort": "disable"}])
def test_known_gemini_sits_a_small_budget_with_thinking_off(how: dict[str, Any]) -> None:
    model = "gemini/gemini-2.5-flash"
    mapped = checked(known(model), ApiSettings(model, **how))
    assert mapped["thinkingConfig"]["thinkingBudget"] == 0
    assert reason(known(model), ApiSettings(model, **how), 64) is None


def test_the_endpoint_of_known_models_is_checked() -> None:
    assert "endpoint=completions" in refusal(known("gpt-4o-mini"), ApiSettings("gpt-4o-mini", endpoint="completions"))
    model = "gpt-3.5-turbo-instruct"
    assert "endpoint=completions" in refusal(known(model), ApiSettings(model))
    assert checked(known(model), ApiSettings(model, endpoint="completions"))["max_tokens"] == 512


def test_a_server_of_the_users_own_takes_as_many_stop_strings_as_it_likes() -> None:
    from roi_bench.api.gateway import Gateway

    settings = api_settings({"model": "m", "base_url": "http://localhost:8000/v1"})
    assert len(checked(Gateway(settings), settings, until=list("abcde"))["stop"]) == 5


def test_gemini_does_not_take_disabled_thinking_for_nothing() -> None:
    model = "gemini/gemini-2.5-flash"
    try:
        mapped = checked(known(model), ApiSettings(model, thinking="disabled"))
    except ModelError as refused:
        assert "thinking=0" in str(refused)  # noqa: PT017
    else:
        assert mapped["thinkingConfig"]["thinkingBudget"] == 0
