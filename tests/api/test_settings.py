"""The arguments of ``--model roi-api``: what is refused and how, what identifies a run, and where keys come from."""

from __future__ import annotations

from typing import Any

import pytest

from roi_bench.api.settings import ApiSettings, api_settings
from roi_bench.errors import UsageError
from tests.support.messages import shown_in, shows

SECRET = "sk-very-secret-0123456789"
LOCAL = "http://localhost:8000/v1"


def settings(**arguments: Any) -> ApiSettings:
    return api_settings({"model": "openai/gpt-4o-mini", **arguments})


def refusal(**arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        settings(**arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_model_is_enough() -> None:
    given = settings()
    assert given == ApiSettings("openai/gpt-4o-mini")
    assert (given.endpoint, given.provider_batch, given.wait, given.max_usd) == ("chat", False, True, None)


@pytest.mark.parametrize("arguments", [{}, {"model": ""}, {"model": None}, {"num_concurrent": 2}])
def test_without_a_model_the_message_shows_how_to_name_one(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--model_args model="):
        api_settings(arguments)


def test_arguments_are_taken_as_they_are_and_numbers_as_seconds() -> None:
    given = settings(timeout=30, num_concurrent=4, thinking={"type": "adaptive"}, wait=False, max_usd=2)
    assert given == ApiSettings(
        "openai/gpt-4o-mini", timeout=30.0, num_concurrent=4, thinking={"type": "adaptive"}, wait=False, max_usd=2.0
    )
    assert [type(value) for value in (given.timeout, given.max_usd, given.num_concurrent)] == [float, float, int]


@pytest.mark.parametrize("thinking", [1024, "disabled", {"type": "enabled", "budget_tokens": 2048}])
def test_thinking_may_be_a_number_a_word_or_an_object(thinking: object) -> None:
    assert settings(thinking=thinking).thinking == thinking


def test_what_lm_eval_gives_every_model_and_what_is_none_is_passed_over() -> None:
    of_lm_eval = ("batch_size", "max_batch_size", "device", "trust_remote_code", "tokenizer")
    assert settings(**dict.fromkeys(of_lm_eval, "anything"), max_usd=None, api_key=None) == settings()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("reasoning_efort", "reasoning_effort"),
        ("num_concurent", "num_concurrent"),
        ("maxusd", "max_usd"),
        ("timeouts", "timeout"),
        ("api_base_url", "base_url"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_nearest_name(name: str, near: str) -> None:
    assert shown_in(refusal(**{name: 1}), repr(name), repr(near))


@pytest.mark.parametrize("name", ["api_key", "key", "token", "auth_token", "headers", "extra_headers"])
def test_a_secret_is_refused_and_never_shown(name: str) -> None:
    message = refusal(**{name: SECRET})
    assert SECRET not in message
    assert repr(name) in message
    assert "api_key_env" in message


@pytest.mark.parametrize("name", ["openai_api_key", "apikey", "API_KEY", "authorization"])
def test_a_secret_under_another_name_is_not_shown_either(name: str) -> None:
    assert SECRET not in refusal(**{name: SECRET})


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("num_concurrent", "many", "int"),
        ("num_concurrent", 1.5, "int"),
        ("num_concurrent", True, "int"),
        ("timeout", "long", "float"),
        ("timeout", False, "float"),
        ("wait", "no", "bool"),
        ("provider_batch", 1, "bool"),
        ("model", {"name": "m"}, "str"),
        ("reasoning_effort", True, "str"),
        ("extra_body", "top_k=3", "JSON"),
        ("thinking", True, "int"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_what_is_wanted(name: str, value: object, wanted: str) -> None:
    assert shown_in(refusal(**{name: value}), name, wanted, repr(value))


@pytest.mark.parametrize(
    "name",
    ["num_concurrent", "timeout", "requests_per_minute", "tokens_per_minute", "max_usd", "poll_seconds", "max_length"],
)
def test_what_must_be_above_zero_is(name: str) -> None:
    for value in (0, -1):
        message = refusal(**{name: value})
        assert any(shown_in(message, name, 0, given) for given in (value, float(value)))
    assert getattr(settings(**{name: 1}), name) == 1


def test_not_a_number_is_no_limit_of_money() -> None:
    assert shown_in(refusal(max_usd=float("nan")), "max_usd", 0, "nan")


@pytest.mark.parametrize("name", ["max_retries", "retry_wait"])
def test_what_may_be_zero_may_not_be_below(name: str) -> None:
    message = refusal(**{name: -1})
    assert any(shown_in(message, name, 0, given) for given in (-1, -1.0))
    assert getattr(settings(**{name: 0}), name) == 0


def test_prices_go_together_and_are_not_negative() -> None:
    both = ("input_cost_per_token", "output_cost_per_token")
    for name in both:
        assert shown_in(refusal(**{name: 1e-6}), *both)
    assert shown_in(refusal(input_cost_per_token=1e-6, output_cost_per_token=-1e-6), both[1], -1e-6)
    given = settings(input_cost_per_token=0, output_cost_per_token=2e-6)
    assert (given.input_cost_per_token, given.output_cost_per_token) == (0.0, 2e-6)


def test_an_unknown_endpoint_is_refused_with_the_nearest_name() -> None:
    assert shown_in(refusal(endpoint="completion"), "endpoint", "'completion'", "'completions'")
    assert settings(endpoint="completions").endpoint == "completions"


@pytest.mark.parametrize("url", ["localhost:8000/v1", "localhost", "ftp://localhost/v1", "http:///v1", ""])
def test_a_base_url_that_is_no_web_address_is_refused(url: str) -> None:
    assert shown_in(refusal(base_url=url), "base_url", repr(url), LOCAL)


@pytest.mark.parametrize(
    "url",
    [
        f"https://user:{SECRET}@api.example.com/v1",
        f"https://{SECRET}@api.example.com/v1",
        f"https://:{SECRET}@api.example.com/v1",
        f"https://api.example.com/v1?key={SECRET}",
    ],
)
def test_a_base_url_with_a_secret_in_it_is_refused_and_never_shown(url: str) -> None:
    message = refusal(base_url=url)
    assert SECRET not in message
    assert "api_key_env" in message


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/chat/completions/", "/v1/completions", "/completions"])
def test_a_base_url_that_goes_on_to_the_endpoint_is_refused(path: str) -> None:
    url = f"http://localhost:8000{path}"
    message = refusal(base_url=url)
    assert shown_in(message, "base_url", repr(url))
    assert "/chat/completions" in message.replace(url, "")


@pytest.mark.parametrize("url", [LOCAL, "https://api.example.com", "http://[::1]:8000/v1/", "https://h/completions/v1"])
def test_an_address_is_kept_as_given(url: str) -> None:
    assert settings(base_url=url).base_url == url


# ---------------------------------------------------------------------------------------------------------- identity
@pytest.mark.parametrize(
    "changed",
    [
        {"max_usd": 1.0},
        {"num_concurrent": 1},
        {"timeout": 5.0},
        {"max_retries": 0},
        {"retry_wait": 9.0},
        {"requests_per_minute": 3},
        {"tokens_per_minute": 3},
        {"input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6},
        {"provider_batch": True, "wait": False, "poll_seconds": 1.0},
        {"journal": "elsewhere"},
        {"api_key_env": "OTHER_KEY"},
    ],
)
def test_speed_money_and_keys_do_not_make_another_run(changed: dict[str, Any]) -> None:
    assert settings(**changed).identity() == settings().identity()


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "openai/gpt-4o"},
        {"base_url": LOCAL},
        {"endpoint": "completions"},
        {"reasoning_effort": "low"},
        {"thinking": 1024},
        {"thinking": "disabled"},
        {"extra_body": {"top_k": 1}},
        {"service_tier": "flex"},
        {"omit": "temperature"},
        {"think_end_token": "</think>"},
    ],
)
def test_what_shapes_a_response_makes_another_run(changed: dict[str, Any]) -> None:
    identity = settings(**changed).identity()
    assert identity != settings().identity()
    assert all(identity[name] == (["temperature"] if name == "omit" else value) for name, value in changed.items())


def test_the_order_of_what_is_omitted_does_not_matter() -> None:
    assert settings(omit="stop+temperature").omitted == ("stop", "temperature")
    assert settings(omit="stop+temperature").identity() == settings(omit="temperature+stop+").identity()
    assert settings().omitted == ()


# -------------------------------------------------------------------------------------------------------------- keys
def test_a_named_key_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", SECRET)
    for url in (None, LOCAL):
        given = settings(api_key_env="OTHER_KEY", base_url=url)
        assert given.api_key() == SECRET
        assert SECRET not in repr(given)


@pytest.mark.parametrize("value", [None, ""])
def test_a_named_variable_that_is_not_set_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("OTHER_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("OTHER_KEY", value)
    with pytest.raises(UsageError, match=shows("api_key_env", "OTHER_KEY")):
        settings(api_key_env="OTHER_KEY").api_key()


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "[::1]"])
def test_a_server_on_this_machine_never_gets_the_key_of_openai(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    for url in (f"http://{host}:8000/v1", f"https://{host}/v1"):
        key = settings(base_url=url).api_key()
        assert key  # litellm would look the usual one up if there were none
        assert key != SECRET


@pytest.mark.parametrize("url", [None, "https://api.example.com/v1", "http://localhost.example.com/v1"])
def test_elsewhere_litellm_finds_the_providers_usual_key(monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert settings(base_url=url).api_key() is None


@pytest.mark.parametrize("url", [f"ftp://u:{SECRET}@h/v1", f"h/v1?key={SECRET}", f"http://u:{SECRET}@/v1"])
def test_a_secret_in_something_that_is_no_address_is_not_shown(url: str) -> None:
    assert SECRET not in refusal(base_url=url)


def test_a_secret_behind_a_number_sign_is_refused() -> None:
    assert SECRET not in refusal(base_url=f"http://h/v1#{SECRET}")


@pytest.mark.parametrize("url", ["http://[::1/v1", "http://h:port/v1", "http://h:99999/v1"])
def test_a_broken_address_is_refused(url: str) -> None:
    assert "base_url" in refusal(base_url=url)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.1.1", "[::]"])  # noqa: S104
def test_every_address_of_this_machine_is_one(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    assert api_settings({"model": "m", "base_url": f"http://{host}:8000/v1"}).api_key() == "none"
