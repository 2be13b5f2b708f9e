"""The adaptive limit and the pace, on a clock of their own: hours pass in no time, and the same way every time."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine, Sequence
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.api.limits import AdaptiveLimit, Pace

TINY = 1e-6
SECONDS = st.floats(0, 100, allow_subnormal=False)


class VirtualClock:
    """A clock that jumps to the next sleeper when everybody sleeps or waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._numbers = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), woken))
        await woken

    def run(self, *coroutines: Coroutine[Any, Any, None]) -> None:
        """Run all to their end; one that would wait for ever is an error."""
        asyncio.run(self._run(coroutines))

    async def _run(self, coroutines: Sequence[Coroutine[Any, Any, None]]) -> None:
        tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
        while not all(task.done() for task in tasks):
            for _ in range(20):  # until nobody can go on without the time going on
                await asyncio.sleep(0)
            if self._sleepers:
                self.now, _, woken = heapq.heappop(self._sleepers)
                if not woken.done():  # cancelled
                    woken.set_result(None)
            elif not all(task.done() for task in tasks):
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                raise AssertionError("somebody waits for ever")
        for task in tasks:
            task.result()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def limit_of(most: int, clock: VirtualClock) -> AdaptiveLimit:
    return AdaptiveLimit(most, clock, clock.sleep)


def pace_of(per_minute: int | None, clock: VirtualClock) -> Pace:
    return Pace(per_minute, clock, clock.sleep)


# ------------------------------------------------------------------------------------------------------------- limit
@given(
    most=st.integers(1, 6),
    jobs=st.lists(st.tuples(SECONDS, st.sampled_from(["fine", "slow down", "fault"])), max_size=25),
    hold=st.none() | SECONDS,
)
def test_never_more_than_the_limit_is_in_flight_and_everybody_gets_his_turn(
    most: int, jobs: list[tuple[float, str]], hold: float | None
) -> None:
    clock = VirtualClock()
    limit = limit_of(most, clock)
    in_flight, finished = 0, 0

    async def work(seconds: float, outcome: str) -> None:
        nonlocal in_flight, finished
        started = await limit.acquire()
        in_flight += 1
        assert in_flight <= most
        await clock.sleep(seconds)
        if outcome == "fine":
            limit.succeeded()
        elif outcome == "slow down":
            limit.slow_down(started, hold)
        assert 1 <= limit.limit <= most
        in_flight -= 1
        finished += 1
        await limit.release()

    clock.run(*(work(*job) for job in jobs))
    assert (in_flight, finished) == (0, len(jobs))


@pytest.mark.parametrize(("most", "jobs", "rounds"), [(1, 3, 3), (4, 4, 1), (4, 9, 3), (16, 3, 1)])
def test_the_limit_is_used_in_full(clock: VirtualClock, most: int, jobs: int, rounds: int) -> None:
    limit = limit_of(most, clock)

    async def work() -> None:
        await limit.acquire()
        await clock.sleep(10)
        await limit.release()

    began = clock.now
    clock.run(*(work() for _ in range(jobs)))
    assert clock.now - began == 10 * rounds


def test_a_burst_of_requests_to_slow_down_halves_the_limit_once(clock: VirtualClock) -> None:
    limit = limit_of(16, clock)
    seen = []

    async def work(number: int) -> None:
        started = await limit.acquire()
        await clock.sleep(5 + number)  # their answers come in one after another
        limit.slow_down(started, None)
        seen.append(limit.limit)
        await limit.release()

    clock.run(*(work(number) for number in range(16)))
    assert seen == [8.0] * 16


def test_an_attempt_begun_at_the_moment_of_the_halving_does_not_halve_again(clock: VirtualClock) -> None:
    limit = limit_of(8, clock)
    limit.slow_down(clock.now, None)
    limit.slow_down(clock.now, None)
    assert limit.limit == 4.0
    limit.slow_down(clock.now + 1, None)
    assert limit.limit == 2.0


def test_an_attempt_begun_after_the_halving_halves_again_but_never_below_one(clock: VirtualClock) -> None:
    limit = limit_of(5, clock)
    seen = []

    async def work() -> None:
        for _ in range(5):
            started = await limit.acquire()
            await clock.sleep(1)
            limit.slow_down(started, None)
            seen.append(limit.limit)
            await limit.release()
            await clock.sleep(1)

    clock.run(work())
    assert seen == [2.5, 1.25, 1.0, 1.0, 1.0]


def test_after_the_halving_only_as_many_begin_as_the_limit_still_allows(clock: VirtualClock) -> None:
    limit = limit_of(4, clock)
    begun = []

    async def first() -> None:
        started = await limit.acquire()
        await clock.sleep(1)
        limit.slow_down(started, None)
        await limit.release()

    async def later() -> None:
        await clock.sleep(2)
        await limit.acquire()
        begun.append(clock.now)
        await clock.sleep(10)
        await limit.release()

    began = clock.now
    clock.run(first(), *(later() for _ in range(5)))
    assert [moment - began for moment in begun] == [2, 2, 12, 12, 22]


@pytest.mark.parametrize("before", [1, 2, 7, 30])
def test_a_round_of_successes_adds_one_place(clock: VirtualClock, before: int) -> None:
    limit = limit_of(100, clock)
    limit.limit = float(before)
    for _ in range(before):
        limit.succeeded()
    assert before + 0.75 <= limit.limit <= before + 1  # later successes of a round add to a larger limit already
    limit.succeeded()
    assert int(limit.limit) == before + 1


def test_the_limit_grows_back_to_where_it_began_and_no_further(clock: VirtualClock) -> None:
    limit = limit_of(8, clock)
    limit.slow_down(clock.now, None)
    assert limit.limit == 4.0
    for _ in range(20):
        limit.succeeded()
    assert 7 < limit.limit < 8
    for _ in range(100):
        limit.succeeded()
    assert limit.limit == 8.0


def test_regained_places_are_taken_by_those_who_wait(clock: VirtualClock) -> None:
    limit = limit_of(4, clock)
    limit.limit = 1.0
    begun = []

    async def work() -> None:
        await limit.acquire()
        begun.append(clock.now)
        await clock.sleep(10)
        limit.succeeded()
        await limit.release()

    began = clock.now
    clock.run(*(work() for _ in range(5)))  # 1, then 2, then (at a limit of 2.9) 2
    assert [moment - began for moment in begun] == [0, 10, 10, 20, 20]


def test_the_wish_to_wait_holds_new_attempts_back_and_those_already_waiting(clock: VirtualClock) -> None:
    limit = limit_of(2, clock)
    begun = []

    async def refused() -> None:
        started = await limit.acquire()
        await clock.sleep(1)
        limit.slow_down(started, 30.0)
        await limit.release()

    async def other(delay: float) -> None:
        await clock.sleep(delay)
        begun.append(await limit.acquire())
        assert begun[-1] == clock.now
        await limit.release()

    began = clock.now
    clock.run(refused(), refused(), other(0.5), other(2.0), other(31.5))
    assert [moment - began for moment in begun] == [31, 31, 31.5]


def test_the_longest_wish_counts_and_it_counts_for_those_held_back_too(clock: VirtualClock) -> None:
    limit = limit_of(4, clock)
    begun = []

    async def refused(after: float, seconds: float | None) -> None:
        started = await limit.acquire()
        await clock.sleep(after)
        limit.slow_down(started, seconds)
        await limit.release()

    async def other() -> None:
        await clock.sleep(3.5)
        begun.append(await limit.acquire())
        await limit.release()

    began = clock.now
    clock.run(refused(1, 10.0), refused(2, 2.0), refused(3, None), refused(5, 20.0), other())
    assert [moment - began for moment in begun] == [25]


def test_a_wish_of_less_than_a_second_counts_too(clock: VirtualClock) -> None:
    limit = limit_of(4, clock)
    limit.slow_down(clock.now, 0.25)

    async def work() -> None:
        assert await limit.acquire() == clock.now == 1000.25

    clock.run(work())


def test_without_a_wish_nobody_is_held_back(clock: VirtualClock) -> None:
    limit = limit_of(4, clock)
    limit.slow_down(clock.now, None)

    async def work() -> None:
        assert await limit.acquire() == clock.now == 1000.0

    clock.run(work())


def test_who_gives_up_while_held_back_leaves_his_place_to_the_next(clock: VirtualClock) -> None:
    limit = limit_of(1, clock)
    limit.slow_down(clock.now, 30.0)

    async def run() -> None:
        task = asyncio.create_task(limit.acquire())
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await limit.acquire() == 1030.0

    clock.run(run())


# -------------------------------------------------------------------------------------------------------------- pace
def begins(per_minute: int | None, arrivals: Sequence[tuple[float, int]]) -> list[float]:
    """Return when each of the requests, ``(seconds after the one before, units)``, may begin."""
    clock = VirtualClock()
    pace = pace_of(per_minute, clock)
    moments: list[float] = []

    async def ask(arrival: float, units: int) -> None:
        await clock.sleep(arrival)
        await pace.wait(units)
        moments.append(clock.now - 1000.0)

    arrival, asks = 0.0, []
    for after, units in arrivals:
        arrival += after
        asks.append(ask(arrival, units))
    clock.run(*asks)
    return moments


@given(per_minute=st.integers(1, 8), gaps=st.lists(st.just(0.0) | st.floats(0, 40, allow_subnormal=False), max_size=30))
def test_no_minute_has_more_requests_than_allowed(per_minute: int, gaps: list[float]) -> None:
    moments = begins(per_minute, [(gap, 1) for gap in gaps])
    assert len(moments) == len(gaps)
    for first in moments:
        assert sum(first <= moment < first + 60 - TINY for moment in moments) <= per_minute


@given(per_minute=st.integers(1, 600), gaps=st.lists(st.just(0.0) | SECONDS, max_size=20))
def test_no_request_waits_longer_than_those_before_it_demand(per_minute: int, gaps: list[float]) -> None:
    expected, arrival, free = [], 0.0, 0.0
    for gap in gaps:
        arrival += gap
        expected.append(max(arrival, free))
        free = expected[-1] + 60 / per_minute
    assert begins(per_minute, [(gap, 1) for gap in gaps]) == pytest.approx(expected, abs=TINY)


@given(
    per_minute=st.integers(1, 1000),
    arrivals=st.lists(st.tuples(st.just(0.0) | SECONDS, st.integers(1, 2000)), max_size=20),
)
def test_the_next_request_waits_as_long_as_the_units_of_the_one_before_take(
    per_minute: int, arrivals: list[tuple[float, int]]
) -> None:
    moments = begins(per_minute, arrivals)
    assert len(moments) == len(arrivals)
    for (earlier, later), (_, units) in zip(pairwise(moments), arrivals, strict=False):
        assert later - earlier >= units * 60 / per_minute - TINY


def test_a_request_larger_than_a_minute_allows_is_not_kept_waiting_for_ever() -> None:
    moments = begins(100, [(0.0, 250), (0.0, 10)])
    assert moments == pytest.approx([0, 150])


def test_a_pause_earns_no_burst() -> None:
    assert begins(60, [(0.0, 1), (300.0, 1), (0.0, 1), (0.0, 1)]) == pytest.approx([0, 300, 301, 302])


def test_a_request_is_one_unit_unless_it_says_otherwise(clock: VirtualClock) -> None:
    pace = pace_of(60, clock)

    async def ask() -> None:
        for _ in range(3):
            await pace.wait()

    clock.run(ask())
    assert clock.now == pytest.approx(1002)


def test_without_a_cap_nobody_waits() -> None:
    assert begins(None, [(0.0, 10**9)] * 5) == [0.0] * 5


@given(
    per_minute=st.integers(1, 100),
    arrivals=st.lists(st.tuples(st.just(0.0) | st.floats(0, 40), st.floats(0, 1)), max_size=20),
)
def test_no_minute_has_more_units_than_allowed(per_minute: int, arrivals: list[tuple[float, float]]) -> None:
    sized = [(after, max(1, int(share * per_minute))) for after, share in arrivals]
    moments = begins(per_minute, sized)
    for first in moments:
        used = sum(
            units for moment, (_, units) in zip(moments, sized, strict=True) if first <= moment < first + 60 - TINY
        )
        assert used <= per_minute
