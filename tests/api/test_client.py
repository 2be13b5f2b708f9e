"""The client against a gateway of our own: it stops when it must, waits when it must, and hangs never."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from roi_bench.api.client import FIRST_ATTEMPTS, ApiClient
from roi_bench.api.gateway import ApiRequest, Completion, Ending, Missing, Outcome
from roi_bench.api.limits import Price, Purse
from roi_bench.api.replies import ApiReply, NotSentError
from roi_bench.api.settings import api_settings
from tests.support.messages import shown_in

PRICE = Price(0.0, 0.01)
"""A response of 100 tokens costs 1 USD."""


class SlowDownError(Exception):
    status_code = 429

    def __init__(self, seconds: str) -> None:
        super().__init__("slow down")
        self.litellm_response_headers = {"Retry-After": seconds}


class FakeGateway:
    """Answers after a delay with 50 tokens, or raises what ``fail`` returns for an attempt's number."""

    def __init__(self, delay: float = 0.01, fail: Callable[[int, str], Exception | None] = lambda *_: None) -> None:
        self.delay, self.fail = delay, fail
        self.attempts: list[str] = []
        self.in_flight = self.most_in_flight = 0
        self.closed = 0

    async def complete(self, prompt: str, parameters: Mapping[str, Any]) -> Completion:
        number = len(self.attempts)
        self.attempts.append(prompt)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay)
            if (error := self.fail(number, prompt)) is not None:
                raise error
        finally:
            self.in_flight -= 1
        usage = {"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60}
        choices = [{"message": {"content": f"reply to {prompt}"}, "finish_reason": "stop"}]
        return Completion({"id": f"id-{number}", "choices": choices, "usage": usage}, None, {})

    def prompt_tokens(self, prompt: str) -> int:
        return 10

    async def close(self) -> None:
        self.closed += 1


class Run:
    """One call of a client, with all that came of it."""

    def __init__(self, gateway: FakeGateway, *, max_usd: float | None = None, price: Price | None = None, **args: Any):
        arguments = {"model": "openai/x", "retry_wait": 0.01, "num_concurrent": 4, **args}
        self.gateway = gateway
        self.events: list[str] = []
        self.purse = Purse(max_usd)
        self.client = ApiClient(
            gateway, api_settings(arguments), price=price, purse=self.purse, on_event=self.events.append
        )
        self.outcomes: dict[str, Outcome] = {}
        self.batches: list[int] = []

    def record(self, outcomes: Sequence[tuple[ApiRequest, Outcome]]) -> None:
        self.batches.append(len(outcomes))
        self.outcomes.update({request.prompt: outcome for request, outcome in outcomes})

    def ask(self, count: int) -> Ending:
        with within(20):
            return self.client.ask([ApiRequest(k, f"p{k}", {}, 100) for k in range(count)], self.record)

    @property
    def answered(self) -> set[str]:
        return {prompt for prompt, outcome in self.outcomes.items() if isinstance(outcome, ApiReply)}


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail instead of hanging."""

    def late(*_: Any) -> None:
        raise AssertionError(f"hung for {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_every_request_gets_its_own_reply_under_the_limit_of_concurrency() -> None:
    run = Run(FakeGateway())
    assert run.ask(30) is Ending.DONE
    assert {p: o.text for p, o in run.outcomes.items() if isinstance(o, ApiReply)} == {
        f"p{k}": f"reply to p{k}" for k in range(30)
    }
    assert run.gateway.most_in_flight == 4
    assert run.gateway.closed == 1


def test_nothing_to_ask_is_done() -> None:
    assert Run(FakeGateway()).ask(0) is Ending.DONE


@pytest.mark.parametrize("limit", [1.0, 2.5, 3.0, 10.0])
def test_money_is_spent_up_to_the_limit_and_never_beyond(limit: float) -> None:
    run = Run(FakeGateway(), max_usd=limit, price=PRICE)
    assert run.ask(100) is Ending.MONEY
    assert run.purse.spent == pytest.approx(0.5 * len(run.answered))
    assert limit - 1.0 < run.purse.spent <= limit
    assert len(run.gateway.attempts) == len(run.answered)


def test_enough_money_is_no_limit() -> None:
    run = Run(FakeGateway(), max_usd=6.0, price=PRICE)
    assert run.ask(10) is Ending.DONE
    assert len(run.answered) == 10


def test_attempts_that_may_be_billed_count_against_the_limit_and_are_recorded() -> None:
    run = Run(
        FakeGateway(fail=lambda n, _: TimeoutError() if n < 3 else None), max_usd=10.0, price=PRICE, num_concurrent=1
    )
    assert run.ask(1) is Ending.DONE
    (outcome,) = run.outcomes.values()
    assert outcome.record["maybe_paid_usd"] == pytest.approx(3.0)
    assert run.purse.spent == pytest.approx(3.5)
    run = Run(FakeGateway(fail=lambda *_: TimeoutError()), max_usd=2.0, price=PRICE, num_concurrent=1)
    assert run.ask(5) is Ending.MONEY
    (outcome,) = run.outcomes.values()
    assert isinstance(outcome, Missing)
    assert outcome.record["maybe_paid_usd"] == pytest.approx(2.0)


def test_a_short_retry_after_is_waited_for_by_all() -> None:
    run = Run(FakeGateway(fail=lambda n, _: SlowDownError("0.4") if n == 0 else None), num_concurrent=1)
    begin = time.monotonic()
    assert run.ask(3) is Ending.DONE
    assert time.monotonic() - begin > 0.4
    assert len(run.answered) == 3


def test_a_retry_after_of_a_day_stops_the_run_and_says_so() -> None:
    run = Run(FakeGateway(fail=lambda n, _: SlowDownError("86400") if n > 5 else None))
    assert run.ask(50) is Ending.STOPPED
    assert shown_in(run.client.reason, "86,400", "slow down")
    assert len(run.answered) == 6


def test_requests_that_fail_one_after_another_stop_the_run() -> None:
    run = Run(FakeGateway(fail=lambda n, _: ValueError("down") if n > 10 else None), max_retries=0)
    assert run.ask(200) is Ending.STOPPED
    assert shown_in(run.client.reason, 20, "down")
    assert len(run.gateway.attempts) < 11 + 20 + 4


def test_single_failures_among_successes_do_not() -> None:
    run = Run(FakeGateway(fail=lambda n, _: ValueError("now and then") if n % 3 == 2 else None), max_retries=0)
    assert run.ask(60) is Ending.DONE
    assert len(run.answered) == 40
    assert {o.message for o in run.outcomes.values() if isinstance(o, Missing)} == {"now and then"}


def test_an_error_of_the_recorder_stops_the_run_after_all_in_flight_was_offered() -> None:
    run = Run(FakeGateway(delay=0.05))
    offered: list[str] = []

    def record(outcomes: Sequence[tuple[ApiRequest, Outcome]]) -> None:
        offered.extend(request.prompt for request, _ in outcomes)
        if len(offered) > 6:
            raise OSError("disk full")

    with within(20), pytest.raises(OSError, match="disk full"):
        run.client.ask([ApiRequest(k, f"p{k}", {}, 100) for k in range(100)], record)
    assert sorted(offered) == sorted(run.gateway.attempts)  # whatever was sent came to the recorder
    assert len(offered) < 20


def test_an_unforeseen_error_loses_no_reply_that_is_in_flight() -> None:
    class Odd(FakeGateway):
        def prompt_tokens(self, prompt: str) -> int:
            if prompt == "p4":
                raise ValueError("no tokenizer for this prompt")
            return 10

    run = Run(Odd(delay=0.1), price=PRICE)
    with pytest.raises(ValueError, match="no tokenizer"):
        run.ask(50)
    assert run.answered == set(run.gateway.attempts)
    assert len(run.answered) >= 4


def interrupt_after(seconds: float, times: int = 1) -> None:
    """Press Ctrl-C after a while, from a process of its own."""
    kills = " ; ".join([f"sleep {seconds} ; kill -INT {os.getpid()}"] * times)
    os.system(f"({kills}) &")  # noqa: S605 - our own words


@pytest.mark.parametrize(
    ("arguments", "gateway"),
    [
        ({}, FakeGateway(delay=0.2)),
        ({"requests_per_minute": 1}, FakeGateway()),
        ({"tokens_per_minute": 110}, FakeGateway()),
        ({"num_concurrent": 2}, FakeGateway(fail=lambda *_: SlowDownError("300"))),
        ({"retry_wait": 500}, FakeGateway(fail=lambda *_: ValueError("down"))),
    ],
    ids=["in flight", "requests per minute", "tokens per minute", "held back", "between attempts"],
)
def test_ctrl_c_ends_every_kind_of_waiting_soon(arguments: dict[str, Any], gateway: FakeGateway) -> None:
    run = Run(gateway, **arguments)
    interrupt_after(0.5)
    begin = time.monotonic()
    assert run.ask(1000) is Ending.INTERRUPTED
    assert time.monotonic() - begin < 4
    (event,) = run.events
    assert "Ctrl-C" in event
    assert gateway.in_flight == 0
    assert len(run.outcomes) in (len(gateway.attempts), len(run.answered))


def test_a_second_ctrl_c_gives_up_what_is_in_flight() -> None:
    run = Run(FakeGateway(delay=60), price=PRICE)
    interrupt_after(0.4, times=2)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run.ask(10)
    assert time.monotonic() - begin < 5
    assert run.gateway.closed == 1
    ((prompt, missing),) = run.outcomes.items()  # the first request goes alone
    assert isinstance(missing, Missing)
    assert (prompt, missing.record) == ("p0", {"attempts": 1, "maybe_paid_usd": 1.0})


def test_a_second_ctrl_c_notes_everything_in_flight_that_may_be_billed() -> None:
    run = Run(FakeGateway(), price=PRICE)
    slow = run.gateway

    async def complete(prompt: str, parameters: Mapping[str, Any]) -> Completion:
        slow.delay = 0.01 if not slow.attempts else 60
        return await FakeGateway.complete(slow, prompt, parameters)

    slow.complete = complete  # type: ignore[method-assign]
    interrupt_after(0.6, times=2)
    with pytest.raises(KeyboardInterrupt):
        run.ask(10)
    abandoned = [outcome for outcome in run.outcomes.values() if isinstance(outcome, Missing)]
    assert run.answered == {"p0"}
    assert [missing.record["maybe_paid_usd"] for missing in abandoned] == [1.0] * 4
    assert run.purse.spent == pytest.approx(0.5 + 4)


# ------------------------------------------------------------------------------------------------- the first request
class Unusable(FakeGateway):
    """Answers 200 with nothing in it."""

    async def complete(self, prompt: str, parameters: Mapping[str, Any]) -> Completion:
        await super().complete(prompt, parameters)
        return Completion({"choices": []}, None, {})


@pytest.mark.parametrize("concurrent", [1, 16, 64])
def test_replies_that_are_none_end_a_run_after_a_handful(concurrent: int) -> None:
    run = Run(Unusable(), num_concurrent=concurrent)
    assert run.ask(500) is Ending.STOPPED
    assert "no choices" in run.client.reason
    assert len(run.gateway.attempts) == FIRST_ATTEMPTS


def test_the_first_request_goes_alone_and_the_others_follow_its_reply() -> None:
    run = Run(FakeGateway(delay=0.1), num_concurrent=8)
    at_first: list[int] = []
    original = run.gateway.complete

    async def complete(prompt: str, parameters: Mapping[str, Any]) -> Completion:
        if not run.gateway.closed and len(run.gateway.attempts) == 0:
            found = await original(prompt, parameters)
            at_first.append(run.gateway.most_in_flight)
            return found
        return await original(prompt, parameters)

    run.gateway.complete = complete  # type: ignore[method-assign]
    assert run.ask(30) is Ending.DONE
    assert at_first == [1]
    assert run.gateway.most_in_flight == 8


def test_a_passing_fault_of_the_first_request_does_not_keep_the_others_back() -> None:
    def fail(number: int, prompt: str) -> Exception | None:
        return ServerError() if prompt == "p0" else None

    run = Run(FakeGateway(fail=fail), max_retries=50, retry_wait=20)
    interrupt_after(1.0)
    assert run.ask(20) is Ending.INTERRUPTED
    assert run.answered == {f"p{number}" for number in range(1, 20)}


class ServerError(Exception):
    status_code = 500


# ------------------------------------------------------------------------------------------------------- real costs
@pytest.mark.parametrize(("tokens", "prompt_tokens"), [(2000, 10), (50, 900)])
def test_costs_above_the_price_list_count_for_all_further_requests(tokens: int, prompt_tokens: int) -> None:
    class Dear(FakeGateway):
        async def complete(self, prompt: str, parameters: Mapping[str, Any]) -> Completion:
            found = await super().complete(prompt, parameters)
            found.body["usage"] = {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": tokens,
                "total_tokens": prompt_tokens + tokens,
            }
            return found

    price = Price(0.001, 0.001)
    each = price.of(prompt_tokens, tokens)
    run = Run(Dear(), max_usd=5 * each + 0.01, price=price, num_concurrent=16)
    assert run.ask(500) is Ending.MONEY
    assert run.purse.spent == pytest.approx(5 * each)
    alone = Run(Dear(), max_usd=each / 2, price=price, num_concurrent=16)
    assert alone.ask(500) is Ending.MONEY
    assert len(alone.gateway.attempts) == 1


def test_what_cannot_be_sent_costs_nothing_and_is_shown_as_what_it_is() -> None:
    run = Run(FakeGateway(fail=lambda *_: NotSentError("No module named 'boto3'")), max_usd=5.0, price=PRICE)
    assert run.ask(100) is Ending.STOPPED
    assert "boto3" in run.client.reason
    assert run.purse.spent == 0.0
    assert len(run.gateway.attempts) == 1


class Odd(FakeGateway):
    """Answers with a number of tokens that depends on the attempt, and may fail in the middle of a reply."""

    def __init__(self, tokens: Callable[[int], int], reason: str = "stop", usd: float | None = None) -> None:
        super().__init__()
        self.tokens, self.reason, self.usd = tokens, reason, usd

    async def complete(self, prompt: str, parameters: Mapping[str, Any]) -> Completion:
        tokens = self.tokens(len(self.attempts))
        found = await super().complete(prompt, parameters)
        found.body["usage"] = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}
        if len(self.attempts) > 1:
            found.body["choices"][0]["finish_reason"] = self.reason
        usd = self.usd if len(self.attempts) > 1 else None
        return Completion(found.body, usd, {}, found.body)


def test_a_cap_that_is_ignored_after_the_first_reply_costs_one_reply_beyond_the_limit() -> None:
    run = Run(Odd(lambda number: 90 if number == 0 else 20_000), max_usd=5.0, price=PRICE, num_concurrent=16)
    assert run.ask(100) is Ending.MONEY
    assert run.purse.spent == pytest.approx(0.9 + 200)
    assert len(run.gateway.attempts) == 2


def test_with_a_limit_no_more_are_in_flight_than_replies_have_come() -> None:
    few, many = (Run(FakeGateway(0.05), max_usd=1000.0, price=PRICE, num_concurrent=16) for _ in range(2))
    assert few.ask(4) is Ending.DONE
    assert few.gateway.most_in_flight == 2  # after two that go alone
    assert many.ask(60) is Ending.DONE
    assert many.gateway.most_in_flight > 8


def test_what_a_failed_reply_really_cost_is_counted() -> None:
    run = Run(Odd(lambda _: 90, reason="error", usd=3.0), max_usd=10.0, price=PRICE, num_concurrent=1, max_retries=9)
    assert run.ask(50) is Ending.MONEY
    assert run.purse.spent == pytest.approx(0.9 + 9.0)
    assert (
        sum(
            float(outcome.record["maybe_paid_usd"]) for outcome in run.outcomes.values() if isinstance(outcome, Missing)
        )
        == 9.0
    )


@pytest.mark.parametrize("limited", [True, False])
def test_a_first_request_that_hangs_holds_up_the_others_only_for_the_sake_of_money(
    limited: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roi_bench.api.client.FIRST_SECONDS", 0.05)
    in_flight: list[int] = []

    class Slow(FakeGateway):
        async def complete(self, prompt: str, parameters: Mapping[str, Any]) -> Completion:
            in_flight.append(self.in_flight)
            return await super().complete(prompt, parameters)

    run = Run(Slow(0.4), max_usd=1000.0 if limited else None, price=PRICE)
    assert run.ask(3) is Ending.DONE
    assert max(in_flight[:2]) == (0 if limited else 1)
    assert len(run.events) == limited  # it is said why nothing goes on
