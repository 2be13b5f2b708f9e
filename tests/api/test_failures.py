"""What failed attempts mean: their kind, how long to wait, whether they may be billed, and that no secret is shown."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.api.replies import MAX_MESSAGE, Kind, NotSentError, UnusableReplyError, failure_of, one_line, retry_after
from roi_bench.api.settings import api_settings

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
SECRETS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=20, max_size=80)


SECRET = "sk-very-secret-0123456789"


class ProviderError(Exception):
    """An error as litellm and the openai client raise them."""

    def __init__(
        self,
        message: str = "something",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> None:
        super().__init__(message)
        if status is not None:
            self.status_code = status
        self.response = SimpleNamespace(headers=httpx.Headers(headers or {}))
        self.body = body


class APITimeoutError(Exception):
    """A time-out of the openai client."""


class Timeout(Exception):  # noqa: N818 - litellm's name
    """A time-out of litellm."""


class ClientConnectorError(Exception):
    """A connection that aiohttp could not make."""


def caused(error: BaseException, *causes: BaseException) -> BaseException:
    """Return ``error`` with a chain of ``causes`` behind it, every other one only as its context."""
    behind: BaseException = error
    for number, cause in enumerate(causes):
        if number % 2:
            behind.__context__ = cause
        else:
            behind.__cause__ = cause
        behind = cause
    return error


# ------------------------------------------------------------------------------------------------------------- kinds
@pytest.mark.parametrize(
    ("status", "kind", "maybe_paid"),
    [
        *[(status, Kind.GIVE_UP, False) for status in (400, 403, 405, 413, 422, 451)],
        *[(status, Kind.STOP, False) for status in (401, 402, 404)],
        *[(status, Kind.SLOWER, False) for status in (429, 503, 529)],
        *[(status, Kind.AGAIN, True) for status in (408, 409, 425, 500, 502, 504, 520, None)],
    ],
)
def test_the_status_says_what_to_do_and_whether_it_may_be_billed(
    status: int | None, kind: Kind, maybe_paid: bool
) -> None:
    failure = failure_of(ProviderError("something went wrong", status))
    assert (failure.kind, failure.maybe_paid) == (kind, maybe_paid)
    assert failure.message.startswith("something went wrong")


@pytest.mark.parametrize(("status", "advice"), [(401, "key"), (402, "credit"), (404, "base_url")])
def test_where_no_request_can_succeed_the_message_says_what_to_check(status: int, advice: str) -> None:
    assert advice in failure_of(ProviderError("No.", status)).message


@pytest.mark.parametrize(
    ("status", "message", "body"),
    [
        (429, "You exceeded your current quota", {"code": "insufficient_quota"}),
        (429, "Error code: 429", {"error": {"type": "insufficient_quota"}}),
        (429, "insufficient_quota", None),
        (400, "Your credit balance is too low to access the API", None),
        (403, "Insufficient quota", None),
        (402, "Payment required", None),
    ],
)
def test_no_credit_stops_the_run_whatever_the_status(status: int, message: str, body: object) -> None:
    failure = failure_of(ProviderError(message, status, {"retry-after": "5"}, body))
    assert (failure.kind, failure.maybe_paid) == (Kind.STOP, False)


def test_an_ordinary_rate_limit_does_not_stop_the_run() -> None:
    message = "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000. Please try again in 2s."
    assert failure_of(ProviderError(message, 429, body={"code": "rate_limit_exceeded"})).kind is Kind.SLOWER


@pytest.mark.parametrize(
    "message",
    [
        "Missing credentials. Please pass an `api_key`, or set the OPENAI_API_KEY environment variable.",
        "Missing Anthropic API Key - A call is being made to anthropic but no key is set",
    ],
)
@pytest.mark.parametrize("status", [None, 500])
def test_a_key_that_is_missing_stops_the_run(message: str, status: int | None) -> None:
    assert failure_of(ProviderError(message, status)).kind is Kind.STOP


@pytest.mark.parametrize("error", [TimeoutError(), APITimeoutError("Request timed out."), Timeout("too slow")])
def test_a_response_that_did_not_come_in_time_may_be_billed(error: Exception) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.maybe_paid) == (Kind.AGAIN, True)
    assert failure.message.endswith(one_line(error))
    assert failure.message != one_line(error)  # ours says what that is


def test_a_reply_that_is_no_response_may_be_billed() -> None:
    failure = failure_of(UnusableReplyError("the reply holds no choices"))
    assert (failure.kind, failure.message, failure.maybe_paid) == (Kind.UNUSABLE, "the reply holds no choices", True)


def test_what_never_left_this_machine_is_not_paid_and_stops_the_run() -> None:
    failure = failure_of(NotSentError("No module named 'boto3'"))
    assert (failure.kind, failure.maybe_paid) == (Kind.STOP, False)
    assert "boto3" in failure.message


@pytest.mark.parametrize(
    "connection",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("too slow"),
        ConnectionRefusedError(111, "refused"),
        socket.gaierror(-2, "name or service not known"),
        ClientConnectorError("cannot connect to host"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("depth", range(5))
@pytest.mark.parametrize("status", [None, 500])
def test_a_connection_that_was_never_made_is_found_behind_any_error_and_not_billed(
    connection: Exception, depth: int, status: int | None
) -> None:
    between: list[BaseException] = [ProviderError(f"error {number}", status) for number in range(depth)]
    first, *behind = [*between, connection]
    failure = failure_of(caused(first, *behind))
    assert (failure.kind, failure.maybe_paid) == (Kind.UNREACHABLE, False)
    assert "base_url" in failure.message


def test_a_connection_that_broke_later_may_be_billed() -> None:
    failure = failure_of(caused(ProviderError("Connection error.", 500), httpx.ReadError("reset by peer")))
    assert (failure.kind, failure.maybe_paid) == (Kind.AGAIN, True)


# ------------------------------------------------------------------------------------------------------- Retry-After
@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), (" 0.5 ", 0.5), ("0", 0.0), ("-3", 0.0), ("-0.1", 0.0)])
def test_retry_after_in_seconds_is_never_negative(value: str, seconds: float) -> None:
    assert retry_after({"retry-after": value}) == seconds


@given(seconds=st.floats(0, 1e6))
def test_any_number_of_seconds_is_read(seconds: float) -> None:
    assert retry_after({"retry-after": repr(seconds)}) == seconds
    assert retry_after({"retry-after": f"-{seconds!r}"}) == 0.0


@given(seconds=st.integers(-100_000, 10_000_000), hours=st.integers(-12, 14))
def test_a_date_is_read_in_any_time_zone_and_the_past_means_at_once(seconds: int, hours: int) -> None:
    until = (NOW + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=hours)))
    assert retry_after({"retry-after": format_datetime(until)}, NOW) == max(0, seconds)


def test_the_http_date_of_the_standard_is_read() -> None:
    assert retry_after({"retry-after": "Sun, 01 Jun 2025 12:00:30 GMT"}, NOW) == 30.0
    assert retry_after({"retry-after": "Sun, 01 Jun 2025 12:00:30 -0000"}, NOW) == 30.0


@pytest.mark.parametrize("value", ["", "   ", "soon", "5 s", "1m", "Sun, 99 Jun 2025 12:00:30 GMT", "2025-06-01"])
def test_nonsense_is_no_wish(value: str) -> None:
    assert retry_after({"retry-after": value}, NOW) is None


def test_no_header_is_no_wish() -> None:
    assert retry_after({}) is None


@given(value=st.text())
def test_no_header_whatever_it_holds_breaks_the_run(value: str) -> None:
    seconds = retry_after({"retry-after": value}, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize("status", [429, 503, 529, 500])
def test_the_wish_to_wait_comes_with_the_failure(status: int) -> None:
    assert failure_of(ProviderError("slow down", status, {"Retry-After": "12"})).retry_after == 12.0
    assert failure_of(ProviderError("slow down", status)).retry_after is None


def test_headers_where_litellm_keeps_them_are_read_too() -> None:
    error = ProviderError("slow down", 429)
    error.litellm_response_headers = {"Retry-After": 3}  # type: ignore[attr-defined]
    assert failure_of(error).retry_after == 3.0


# ---------------------------------------------------------------------------------------------------------- messages
@given(
    before=st.text(max_size=400), secret=SECRETS, after=st.text(max_size=400), status=st.sampled_from([400, 401, 500])
)
def test_a_secret_of_the_environment_is_in_no_message(before: str, secret: str, after: str, status: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", secret)
        error = ProviderError(f"{before}{secret}{after}", status)
        for message in (one_line(error), failure_of(error).message):
            assert secret not in message


@pytest.mark.parametrize(
    "name", ["ANTHROPIC_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "my_password", "CREDENTIALS"]
)
def test_whatever_is_named_like_a_secret_is_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "0123456789")
    error = ProviderError("Incorrect API key provided: 0123456789.", 401)
    assert failure_of(error).message.startswith("Incorrect API key provided: ***")


@pytest.mark.parametrize(("value", "shown"), [("8 chars!", "***"), ("7 chars", "7 chars")])
def test_a_value_too_short_for_a_secret_is_none(monkeypatch: pytest.MonkeyPatch, value: str, shown: str) -> None:
    monkeypatch.setenv("SOME_KEY", value)
    assert one_line(ProviderError(f"not {value} again")) == f"not {shown} again"


def test_what_is_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE", "example-host")
    assert one_line(ProviderError("no connection to example-host")) == "no connection to example-host"


@given(text=st.text() | st.text("a \n\r\t\v\f\x1c\x85\u2028", min_size=200, max_size=900))
def test_a_message_is_one_line_of_bounded_length_and_never_empty(text: str) -> None:
    message = one_line(ProviderError(text))
    assert 1 <= len(message) <= MAX_MESSAGE == 300
    assert len(message.splitlines()) == 1


def test_a_long_message_keeps_its_beginning() -> None:
    text = "".join(f"{number} " for number in range(200)).strip()
    message = one_line(ProviderError(text))
    most = MAX_MESSAGE - 100  # our advice comes behind it
    assert len(message) == most
    assert message == f"{text[: most - 1]}…"
    assert one_line(ProviderError(text[:most].strip())) == text[:most].strip()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("litellm.RateLimitError: RateLimitError: OpenAIException - slow down", "slow down"),
        ("litellm.Timeout: APITimeoutError - Request timed out.", "Request timed out"),
        ("bad request Traceback (most recent call last): File x", "bad request"),
        ("no such model Handle with `litellm.BadRequestError`.", "no such model"),
        ("an Error: of somebody's", "an Error: of somebody's"),
        ("", "ProviderError"),
        ("litellm.Timeout: ", "ProviderError"),
    ],
)
def test_what_litellm_puts_around_a_message_is_taken_off(text: str, shown: str) -> None:
    assert one_line(ProviderError(text)) == shown


@pytest.mark.parametrize(
    "message",
    [
        "You exceeded your current quota, please check your plan and billing details. Please retry in 34.5s.",
        "Rate limit reached for gpt-4o: Limit 3. Try again in 20s. Visit …/account/billing to add a payment method.",
    ],
    ids=["gemini", "openai"],
)
def test_a_rate_limit_that_mentions_quota_or_billing_does_not_stop_the_run(message: str) -> None:
    assert failure_of(ProviderError(message, 429)).kind is Kind.SLOWER


@pytest.mark.parametrize("error", [APITimeoutError("Request timed out."), Timeout("too slow")])
def test_a_connection_that_could_not_be_made_in_time_is_not_billed(error: Exception) -> None:
    failure = failure_of(caused(error, httpx.ConnectTimeout("connect")))
    assert (failure.kind, failure.maybe_paid) == (Kind.UNREACHABLE, False)


@pytest.mark.parametrize("value", ["inf", "1e400", "-inf", "nan", "Mon, 01 Jan 99999999999 00:00:00 GMT"])
def test_a_number_that_is_no_time_is_no_wish(value: str) -> None:
    assert retry_after({"retry-after": value}) is None


def test_a_key_with_a_line_end_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET}\n")
    assert SECRET not in one_line(ProviderError(f"bad key {SECRET}"))


def test_a_key_that_the_settings_name_is_not_shown_whatever_its_variable_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_PROVIDER", SECRET)
    assert api_settings({"model": "m", "api_key_env": "MY_PROVIDER"}).api_key() == SECRET
    assert SECRET not in one_line(ProviderError(f"bad key {SECRET}"))


def test_a_key_that_begins_like_another_is_not_shown_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "sk-common-")
    monkeypatch.setenv("Z_KEY", "sk-common-and-private")
    monkeypatch.setenv("B_KEY", "sk-common-")
    assert one_line(ProviderError("bad key sk-common-and-private")) == "bad key ***"


def test_what_is_put_around_a_message_by_litellm_now_is_taken_off() -> None:
    text = "openai does not support parameters: ['x'], for model=m. To drop these, set `litellm.drop_params=True` or …"
    assert one_line(ProviderError(text)) == "openai does not support parameters: ['x'], for model=m"


@pytest.mark.parametrize("status", [401, 404])
def test_the_message_of_a_failure_is_bounded_too(status: int) -> None:
    assert len(failure_of(ProviderError("x " * 400, status)).message) <= 300


def test_thousandths_of_seconds_win_over_seconds() -> None:
    assert retry_after({"retry-after": "2", "retry-after-ms": "1500"}) == 1.5
    assert retry_after({"retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after-ms": "soon", "retry-after": "2"}) == 2.0
    assert retry_after({"retry-after-ms": "-5"}) == 0.0


def test_how_many_tokens_did_not_fit_is_shown() -> None:
    ours = (
        "This model's maximum context length is 2048 tokens. However, you requested 512 output tokens and your prompt "
    )
    ours += "contains at least 1537 input tokens, for a total of at least 2049 tokens."
    around = (
        "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: OpenAIException - "
    )
    message = failure_of(ProviderError(around + ours, 400)).message
    assert message.startswith("This model's")
    assert "1537" in message
