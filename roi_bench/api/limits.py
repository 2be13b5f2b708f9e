"""Limits on requests: the pace that a provider allows, and the money that a user allows."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from math import floor, log10
from typing import Any

# How fast to ask: a limit on requests in flight that adapts, and caps on requests and tokens per minute.

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

MINUTE = 60.0
"""Seconds."""

BACK_OFF = 0.5
"""Share of the limit that remains after the provider asked to slow down."""


class AdaptiveLimit:
    """A limit on attempts in flight: additive increase, multiplicative decrease (Chiu and Jain, 1989).

    Every success adds ``1 / limit``, so that one full round of successes adds one. Being asked to slow down halves the
    limit, once for all attempts that were under way at that moment, and delays new ones for as long as the provider
    asks.

    Args:
        most: The limit at the start and at most.
        clock: Monotonic time in seconds.
        sleep: Waits for seconds.
    """

    def __init__(self, most: int, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self.limit = float(most)
        self._most = most
        self._clock, self._sleep = clock, sleep
        self._in_flight = 0
        self._halved = self._held_until = -1.0
        self._free = asyncio.Condition()

    async def acquire(self) -> float:
        """Wait for a place in flight; return the time at which it was acquired, for :meth:`slow_down`."""
        async with self._free:
            while self._in_flight >= int(self.limit):
                await self._free.wait()
            self._in_flight += 1
        try:
            while (wait := self._held_until - self._clock()) > 0:
                await self._sleep(wait)
        except BaseException:
            await self.release()
            raise
        return self._clock()

    async def release(self) -> None:
        """Release the place."""
        async with self._free:
            self._in_flight -= 1
            self._free.notify_all()

    def succeeded(self) -> None:
        """Note an attempt that succeeded."""
        self.limit = min(float(self._most), self.limit + 1 / self.limit)

    def slow_down(self, started: float, seconds: float | None) -> None:
        """Note that the provider asked an attempt begun at ``started`` to slow down, or to wait ``seconds``."""
        if started > self._halved:
            self.limit, self._halved = max(1.0, self.limit * BACK_OFF), self._clock()
        if seconds is not None:
            self._held_until = max(self._held_until, self._clock() + seconds)


class Pace:
    """At most ``per_minute`` units in any 60 seconds, evenly spaced.

    Args:
        per_minute: The cap; None for none. A request larger than the cap gets a minute of its own.
        clock: Monotonic time in seconds.
        sleep: Waits for seconds.
    """

    def __init__(self, per_minute: int | None, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._per_minute = per_minute
        self._clock, self._sleep = clock, sleep
        self._next = -1.0
        self._recent: deque[tuple[float, int]] = deque()

    async def wait(self, units: int = 1) -> None:
        """Wait until ``units`` may be used, and use them."""
        if self._per_minute is None:
            return
        begin = self._begin(units, self._per_minute)
        if (wait := begin - self._clock()) > 0:
            await self._sleep(wait)

    def _begin(self, units: int, per_minute: int) -> float:
        """Return when ``units`` may be used, and count them as used then."""
        begin = max(self._clock(), self._next)
        while self._recent:
            time_of_oldest, _ = self._recent[0]
            if begin < time_of_oldest + MINUTE and units + sum(used for _, used in self._recent) <= per_minute:
                break
            begin = max(begin, time_of_oldest + MINUTE)
            self._recent.popleft()
        self._recent.append((begin, units))
        self._next = begin + units * MINUTE / per_minute
        return begin


# Money: the largest possible cost of a run, its actual cost, and stopping before the limit is exceeded.


@dataclass(frozen=True, slots=True)
class Price:
    """List price of a model.

    Attributes:
        usd_in: USD per prompt token.
        usd_out: USD per generated token, hidden reasoning included.
    """

    usd_in: float
    usd_out: float

    def of(self, prompt_tokens: int, generated_tokens: int) -> float:
        """Return the USD of one response."""
        return prompt_tokens * self.usd_in + generated_tokens * self.usd_out


def dearest_prices(info: Mapping[str, Any]) -> dict[str, float]:
    """Return the highest prices of a token in litellm's entry of a model: of reasoning, or of any tier; 0 without."""
    tiers = [tier for tier in info.get("tiered_pricing") or [] if isinstance(tier, Mapping)]
    found = {
        side: [tier.get(f"{side}_cost_per_{kind}") for tier in tiers for kind in ("token", "reasoning_token")]
        for side in ("input", "output")
    }
    found["output"].append(info.get("output_cost_per_reasoning_token"))
    return {side: max((float(price) for price in prices if price), default=0.0) for side, prices in found.items()}


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated cost of a run.

    Attributes:
        requests: Requests still to be asked.
        prompt_tokens: Their prompts, counted with litellm's tokenizer.
        most_generated_tokens: The sum of their budgets.
        most_usd: The cost if every budget is used up; None where the price is unknown.
    """

    requests: int
    prompt_tokens: int
    most_generated_tokens: int
    most_usd: float | None

    def line(self) -> str:
        """Return the estimate as one line."""
        counts = (
            f"{self.requests:,} requests, {self.prompt_tokens:,} prompt tokens, "
            f"at most {self.most_generated_tokens:,} generated tokens"
        )
        return f"{counts}: {'price unknown' if self.most_usd is None else 'at most ' + usd_text(self.most_usd)}"


def estimate(requests: Iterable[tuple[int, int]], price: Price | None) -> Estimate:
    """Estimate the cost of requests given as ``(prompt tokens, budget)``."""
    counted = list(requests)
    prompts, budgets = (sum(pair[side] for pair in counted) for side in (0, 1))
    return Estimate(len(counted), prompts, budgets, None if price is None else price.of(prompts, budgets))


def usd_text(usd: float) -> str:
    """Return an amount with enough digits to be meaningful: ``$12.34``, ``$0.0420``, ``$0.00025``."""
    if usd >= 1:
        return f"${usd:,.2f}"
    decimals = 4 if usd == 0 else max(4, 1 - floor(log10(abs(usd))))
    return f"${usd:.{decimals}f}"


class Purse:
    """Keeps a run below ``max_usd``: requests in flight count with their whole budget until their cost is known.

    Args:
        max_usd: The limit, or None.
        spent: Cost of earlier starts of the run in USD.

    Attributes:
        spent: Cost so far in USD.
        in_flight: Attempts for which money is reserved.
    """

    def __init__(self, max_usd: float | None, spent: float = 0.0) -> None:
        self.max_usd = max_usd
        self.spent = spent
        self.in_flight = 0
        self._reserved = 0.0

    def reserve(self, most: float) -> bool:
        """Reserve ``most`` USD for an attempt; False if the limit does not allow it."""
        if self.max_usd is not None and self.spent + self._reserved + most > self.max_usd:
            return False
        self._reserved += most
        self.in_flight += 1
        return True

    def settle(self, most: float, actual: float) -> None:
        """Replace a reservation of ``most`` USD by the actual cost."""
        self.in_flight -= 1
        self._reserved = self._reserved - most if self.in_flight else 0.0  # no rounding error stays behind
        self.spent += actual
