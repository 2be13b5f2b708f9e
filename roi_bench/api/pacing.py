"""How fast to ask: a limit on requests in flight that adapts, and caps on requests and tokens per minute."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

MINUTE = 60.0
"""Seconds."""

BACK_OFF = 0.5
"""Share of the limit that remains after the provider asked to slow down."""


class AdaptiveLimit:
    """A limit on attempts in flight: additive increase, multiplicative decrease (Chiu and Jain, 1989).

    Every success adds ``1 / limit``, so that one full round of successes adds one. Being asked to slow down halves the
    limit, once for all attempts that were under way at that moment, and holds new ones back for as long as the provider
    says.

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
        """Wait for a place and return the time at which it was had, to be given back with the outcome."""
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
        """Give the place back."""
        async with self._free:
            self._in_flight -= 1
            self._free.notify_all()

    def succeeded(self) -> None:
        """Note an attempt that succeeded."""
        self.limit = min(float(self._most), self.limit + 1 / self.limit)

    def slow_down(self, started: float, seconds: float | None) -> None:
        """Note that an attempt begun at ``started`` was told to slow down, and to wait for ``seconds`` if it was."""
        if started > self._halved:
            self.limit, self._halved = max(1.0, self.limit * BACK_OFF), self._clock()
        if seconds is not None:
            self._held_until = max(self._held_until, self._clock() + seconds)


class Pace:
    """At most ``per_minute`` units in any 60 seconds, evenly spaced.

    Args:
        per_minute: The cap; None for none. What is larger than the cap by itself has a minute of its own.
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
