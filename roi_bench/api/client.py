"""Sending many requests to an API model at once: retries, pacing, limits on money, every outcome recorded first."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from roi_bench.api.gateway import ApiRequest, Ending, GatewayLike, Missing, OnOutcomes, Outcome
from roi_bench.api.limits import AdaptiveLimit, Pace, Price, Purse, usd_text
from roi_bench.api.replies import (
    ApiReply,
    Failure,
    Kind,
    ReplyIds,
    RunWatch,
    UnusableReplyError,
    failure_of,
    read_reply,
)
from roi_bench.api.settings import ApiSettings

# Group commit: outcomes that finish while the disk is busy are written together; no worker goes on before its own is.

Item = TypeVar("Item")


class Recorder(Generic[Item]):
    """Passes items to ``write`` in a thread, one call at a time, so that the event loop never waits for the disk.

    Args:
        write: Records items; when it returns they are safe.
        on_failure: Called with the first error of ``write``.
    """

    def __init__(self, write: Callable[[Sequence[Item]], None], on_failure: Callable[[Exception], None]) -> None:
        self._write, self._on_failure = write, on_failure
        self._waiting: list[Item] = []
        self._put = self._written = 0
        self._writing: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def put(self, item: Item) -> None:
        """Return when ``item`` is written, or writing it failed (see :meth:`raise_failure`)."""
        self.add(item)
        number = self._put
        while self._written < number:
            await self._flush()

    def add(self, item: Item) -> None:
        """Have ``item`` written with the next ones, at the latest by :meth:`close`."""
        self._waiting.append(item)
        self._put += 1

    async def close(self) -> None:
        """Return when everything is written, including items whose worker did not wait for them."""
        while self._written < self._put:
            await self._flush()

    def raise_failure(self) -> None:
        """Raise the first error of ``write``, if there was one."""
        if self._failure is not None:
            raise self._failure

    async def _flush(self) -> None:
        """Start writing the waiting items unless a write is under way, and wait for that write."""
        if self._writing is None:
            batch, self._waiting = self._waiting, []
            self._writing = asyncio.create_task(self._write_batch(batch))
        await asyncio.shield(self._writing)  # cancelling the waiting worker must not cancel the write

    async def _write_batch(self, batch: Sequence[Item]) -> None:
        try:
            await asyncio.to_thread(self._write, batch)
        except Exception as error:  # noqa: BLE001 - kept, and raised at the end: what is in flight must be offered too
            if self._failure is None:
                self._failure = error
                self._on_failure(error)
        finally:
            self._written += len(batch)
            self._writing = None


# Running a coroutine to its end, also from within a notebook, with a Ctrl-C that lets it finish.


class CtrlC:
    """Handles Ctrl-C for a group of workers: the first press calls ``on_first``, the second cancels them.

    Args:
        on_first: Called in the event loop at the first press.

    Attributes:
        was_sigterm: The first press was a SIGTERM.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self._on_first = on_first
        self._presses = 0
        self.was_sigterm = False
        self._workers: Sequence[asyncio.Task[None]] = ()

    def press(self) -> None:
        """Note a press; called in the event loop."""
        self._presses += 1
        if self._presses == 1:
            self._on_first()
            return
        for worker in self._workers:
            worker.cancel()

    def _terminate(self) -> None:
        self.was_sigterm = self.was_sigterm or not self._presses
        self.press()

    @contextlib.contextmanager
    def over(self, workers: Sequence[asyncio.Task[None]]) -> Iterator[None]:
        """Handle Ctrl-C for ``workers`` within the block; SIGTERM counts as a press too.

        Where signal handlers are not available (Windows, a thread), the caller has to call :meth:`press`.

        Raises:
            KeyboardInterrupt: The workers were cancelled.
        """
        self._workers = workers
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGINT, self.press)
            loop.add_signal_handler(signal.SIGTERM, self._terminate)
        try:
            yield
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error
        finally:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                for number, handler in before.items():
                    if loop.remove_signal_handler(number):
                        signal.signal(number, handler)


def run_to_end(begin: Callable[[], Coroutine[Any, Any, None]], ctrl_c: CtrlC | None = None) -> None:
    """Run the coroutine that ``begin`` makes; within a running event loop (a notebook), in a thread of its own.

    Args:
        begin: Makes the coroutine.
        ctrl_c: Handles Ctrl-C for a coroutine in a thread; by default it is cancelled.

    Raises:
        KeyboardInterrupt: It was cancelled.
        Exception: What the coroutine raised.
    """
    try:
        asyncio.get_running_loop()
        inside = True
    except RuntimeError:
        inside = False
    if inside:
        _run_in_thread(begin, ctrl_c)
    else:  # not in the handler above: every error of the coroutine would name that one as its cause
        asyncio.run(begin())


def _run_in_thread(begin: Callable[[], Coroutine[Any, Any, None]], ctrl_c: CtrlC | None) -> None:
    failed: list[BaseException] = []
    ended = threading.Event()
    presses: list[Callable[[], object]] = []

    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        on_press: Callable[[], object] = ctrl_c.press if ctrl_c is not None else task.cancel if task else loop.stop
        presses.append(lambda: loop.call_soon_threadsafe(on_press))
        await begin()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - handed over to the caller's thread
            failed.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    while not ended.is_set():
        try:
            ended.wait()  # not join(): if it is interrupted, Python 3.11 takes the thread for finished
        except KeyboardInterrupt:
            for press in presses:
                with contextlib.suppress(RuntimeError):  # it has just ended
                    press()
    thread.join()
    if failed and isinstance(failed[0], asyncio.CancelledError):
        raise KeyboardInterrupt from failed[0]
    if failed:
        raise failed[0]


MOST_WAIT = 60.0
"""Longest wait between two attempts, in seconds, unless the provider asks for more."""

FIRST_ATTEMPTS = 3
"""Attempts at a connection, unusable replies, and requests that may fail, as long as no response has ever come."""

FIRST_SECONDS = 30.0
"""Time that the first request has the provider for itself; with a limit of money the others wait for its response."""

MOST_SPREAD = 0.008
"""Most seconds between the starts of two requests at the beginning: about what it takes to handle one."""

FIRST_REFUSED = 10
"""Requests that the provider may refuse (400) as long as it has answered none."""

MOST_RETRY_AFTER = 600.0
"""Longest wait, in seconds, that a provider may ask for; with more the run stops and says so."""

ABANDONED = "abandoned in flight, because the run was interrupted twice"

FAILED_IN_A_ROW = 20
"""Requests that may fail one after another before the run stops: the provider is down, or refuses everything."""


class _StoppedError(Exception):
    """Raised where the run stops, so that a request is not sent (again)."""


class _AbandonedError(Exception):
    """Raised where a request is cancelled that may have been paid; holds the record of it."""

    def __init__(self, missing: Missing) -> None:
        super().__init__(missing.message)
        self.missing = missing


class ApiClient:
    """Sends requests concurrently. One instance serves one call of :meth:`ask`.

    Args:
        gateway: Makes the attempts.
        settings: The model and how to ask it.
        price: List price, needed where the purse has a limit.
        purse: The run's money.
        known: Text by the provider's id, for the replies that earlier starts of the run recorded.
        on_event: Called with one line on anything that a user should know while the run goes on.
    """

    def __init__(
        self,
        gateway: GatewayLike,
        settings: ApiSettings,
        *,
        price: Price | None,
        purse: Purse,
        known: Mapping[str, str] = MappingProxyType({}),
        on_event: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._gateway, self._settings = gateway, settings
        self._price, self._purse = price, purse
        self._on_event = on_event
        self._limit = AdaptiveLimit(settings.num_concurrent, sleep=self._pause)
        self._requests = Pace(settings.requests_per_minute, sleep=self._pause)
        self._tokens = Pace(settings.tokens_per_minute, sleep=self._pause)
        self._settled = asyncio.Event()
        self._ctrl_c = CtrlC(self._interrupt)
        self._ids, self._watch = ReplyIds(known), RunWatch(settings.think_end_token)
        self._first = asyncio.Event()
        self._ratio = 1.0
        self._in_a_row = self._unusable = self._replies = 0
        self._heard_from = False
        self._succeeded = self._went_on = bool(known)
        self._error: Exception | None = None
        self.ending = Ending.DONE
        self.reason = ""
        """Why the run stopped, in one line; empty if it is done."""

    def ask(self, requests: Sequence[ApiRequest], on_outcomes: OnOutcomes) -> Ending:
        """Send all ``requests`` and return how the run ended; every outcome goes to ``on_outcomes`` first of all.

        The first request goes out alone: what is wrong with all of them shows at one. After one Ctrl-C, requests in
        flight finish, because they are paid for; a second one abandons them, and records what they may have cost.

        Raises:
            Exception: The error of ``on_outcomes``, after everything in flight was passed to it.
            KeyboardInterrupt: Ctrl-C was pressed twice.
        """
        run_to_end(lambda: self._ask_all(requests, on_outcomes), self._ctrl_c)
        return self.ending

    async def _ask_all(self, requests: Sequence[ApiRequest], on_outcomes: OnOutcomes) -> None:
        # All workers draw from one iterator, so each request is taken once and in order.
        waiting = iter(requests)
        recorder = Recorder(on_outcomes, on_failure=lambda error: self._stop(Ending.STOPPED, str(error)))
        # A few more than may be in flight: while one writes a response down, another's request is on its way.
        spare = 1 + self._settings.num_concurrent // 8
        others = min(self._settings.num_concurrent + spare, len(requests)) - 1
        workers = [asyncio.create_task(self._work_first(waiting, recorder))]
        workers += [asyncio.create_task(self._work_later(waiting, recorder, place)) for place in range(others)]
        try:
            with self._ctrl_c.over(workers):
                await asyncio.gather(*workers)
        finally:
            # Whatever ended the workers, outcomes already paid for are written before the error goes on.
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await recorder.close()
            await self._gateway.close()
        recorder.raise_failure()
        if self._error is not None:
            raise self._error

    async def _work_first(self, waiting: Iterator[ApiRequest], recorder: Recorder[tuple[ApiRequest, Outcome]]) -> None:
        try:
            await self._work(waiting, recorder)
        finally:
            self._first.set()

    async def _work_later(
        self, waiting: Iterator[ApiRequest], recorder: Recorder[tuple[ApiRequest, Outcome]], place: int
    ) -> None:
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._first.wait(), FIRST_SECONDS)
        if self._purse.max_usd is not None and not self._first.is_set():
            if place == 0:
                self._on_event(f"no response after {FIRST_SECONDS:.0f} s; with a limit of money the others wait for it")
            await self._first.wait()
        # Spread over the time that a reply takes: those that were sent together come together, and then all wait for
        # the processor, time and again.
        spread = (time.monotonic() - began) / self._settings.num_concurrent
        with contextlib.suppress(_StoppedError):
            await self._pause(place * min(spread, MOST_SPREAD))
        await self._work(waiting, recorder)

    async def _work(self, waiting: Iterator[ApiRequest], recorder: Recorder[tuple[ApiRequest, Outcome]]) -> None:
        for request in waiting:
            if self.ending is not Ending.DONE:
                return
            try:
                outcome = await self._outcome(request)
            except _StoppedError:
                return  # nothing is in flight for this request
            except _AbandonedError as error:
                recorder.add((request, error.missing))
                raise asyncio.CancelledError from error
            except Exception as error:  # noqa: BLE001 - raised at the end: what others have in flight is paid for
                self._error = self._error or error
                self._stop(Ending.STOPPED, str(error))
                return
            await recorder.put((request, outcome))

    async def _outcome(self, request: ApiRequest) -> Outcome:
        """Return the response to ``request``, or a record that there is none.

        Raises:
            _StoppedError: The run stops before either is known, and nothing can have been paid.
            _AbandonedError: It was cancelled, and something may have been paid.
        """
        # ``lost`` sums what attempts without a reply may have cost: the purse counts it, the journal keeps it.
        prompt_tokens = self._gateway.prompt_tokens(request.prompt) if self._counts_prompts else 0
        listed = 0.0 if self._price is None else self._price.of(prompt_tokens, request.budget)
        lost = 0.0
        for attempt in range(1, self._settings.max_retries + 2):
            try:
                result = await self._attempt(request, prompt_tokens, listed, attempt)
                most = listed * self._ratio
                if isinstance(result, ApiReply):
                    self._in_a_row, self._heard_from, self._succeeded = 0, True, True
                    self._first.set()
                    self._look_at(request, result)
                    lost += most if result.usd is None and result.usage is None else 0.0
                    return replace(result, record={**result.record, **_lost(lost)})
                failure = result
                lost += failure.usd if failure.usd is not None else most if failure.maybe_paid else 0.0
                self._stop_if_hopeless(failure, attempt)
                self._heard_from |= failure.kind is not Kind.UNREACHABLE  # a refusal is an answer too
                if self._purse.max_usd is None and failure.kind not in (Kind.UNREACHABLE, Kind.UNUSABLE):
                    self._first.set()  # a passing fault says nothing about the others
                if failure.kind is Kind.GIVE_UP or attempt > self._settings.max_retries:
                    break
                # Exponential backoff with full jitter, so that workers do not come back all at once.
                wait = random.uniform(0.0, min(MOST_WAIT, self._settings.retry_wait * 2 ** (attempt - 1)))
                await self._pause(wait + (failure.retry_after or 0.0))
            except _StoppedError:
                if not lost:
                    raise
                return Missing(f"the run stopped: {self.reason}", {"attempts": attempt, **_lost(lost)})
            except _AbandonedError as error:
                record = {"attempts": attempt, **_lost(lost + float(error.missing.record["maybe_paid_usd"]))}
                raise _AbandonedError(Missing(error.missing.message, record)) from error
            except asyncio.CancelledError as error:
                if not lost:
                    raise
                raise _AbandonedError(Missing(ABANDONED, {"attempts": attempt, **_lost(lost)})) from error
        self._note_failed(failure)
        return Missing(failure.message, {"attempts": attempt, **_lost(lost)})

    def _look_at(self, request: ApiRequest, reply: ApiReply) -> None:
        """Warn if replies are those to another exam; stop if all are."""
        sampled = float(request.parameters.get("temperature") or 0) > 0
        if warning := self._watch.note(request.prompt, request.budget, reply, sampled=sampled):
            self._on_event(warning)
        if self._watch.stop is not None and not self._went_on:
            self._stop(Ending.WORTHLESS, self._watch.stop)

    def _stop_if_hopeless(self, failure: Failure, attempt: int) -> None:
        """Stop the run after a failure that every request would meet, now or for a long time.

        Raises:
            _StoppedError: It was such a failure.
        """
        unreachable = failure.kind is Kind.UNREACHABLE and not self._heard_from and attempt >= FIRST_ATTEMPTS
        self._unusable += failure.kind is Kind.UNUSABLE
        unusable = failure.kind is Kind.UNUSABLE and not self._succeeded and self._unusable >= FIRST_ATTEMPTS
        wait = failure.retry_after or 0.0
        if failure.kind is Kind.STOP or unreachable or unusable:
            self._stop(Ending.STOPPED, failure.message)
        elif wait > MOST_RETRY_AFTER:
            self._stop(Ending.STOPPED, f"the provider asks to wait {wait:,.0f} s ({failure.message})")
        else:
            return
        raise _StoppedError

    async def _attempt(
        self, request: ApiRequest, prompt_tokens: int, listed: float, attempt: int
    ) -> ApiReply | Failure:
        """Make one attempt.

        Raises:
            _StoppedError: The run stops before it is sent.
            _AbandonedError: It was cancelled after it may have been sent.
        """
        # The order of waiting: a place in flight, the pace, the money. Whatever follows, the place and the money set
        # aside are given back.
        started = await self._limit.acquire()
        try:
            await self._requests.wait()
            await self._tokens.wait(prompt_tokens + request.budget)
            most = await self._reserve(listed)
            result: ApiReply | Failure
            actual = most  # of a request that was cancelled, or failed after it was sent
            try:
                result, actual = await self._reply(request, attempt, most)
                self._ratio = max(self._ratio, actual / listed if listed else 1.0)
            except asyncio.CancelledError as error:
                raise _AbandonedError(Missing(ABANDONED, {"maybe_paid_usd": most})) from error
            except Exception as error:  # noqa: BLE001 - providers' clients raise anything; failure_of tells them apart
                result = failure_of(error)
                actual = most if result.maybe_paid else 0.0
            finally:
                self._purse.settle(most, actual)
                self._settled.set()
            if isinstance(result, ApiReply):
                self._replies += 1
                self._limit.succeeded()
            elif result.kind is Kind.SLOWER:
                self._limit.slow_down(started, result.retry_after)
            return result
        finally:
            await self._limit.release()

    async def _reserve(self, listed: float) -> float:
        """Set money aside for an attempt, if need be after requests in flight turned out cheaper than reserved.

        Returns the amount: the largest cost by the price list, times the largest ratio of cost to it that was seen
        (a server that does not keep to the cap, or counts more prompt tokens than litellm does).

        Raises:
            _StoppedError: The run stops, because the limit does not allow it even then or for another reason.
        """
        # Attempts reserve their largest possible cost. At the limit, wait until one in flight has settled for less.
        while self.ending is Ending.DONE:
            most = listed * self._ratio
            if self._may_risk_one_more and self._purse.reserve(most):
                return most
            if not self._purse.in_flight:
                self._stop(Ending.MONEY, f"the next request may cost {usd_text(most)}")
                break
            self._settled.clear()
            await self._settled.wait()
        raise _StoppedError

    @property
    def _may_risk_one_more(self) -> bool:
        """Whether a limit of money allows one more in flight: no more at once than replies have come so far."""
        return self._purse.max_usd is None or self._purse.in_flight < max(1, self._replies)

    async def _reply(self, request: ApiRequest, attempt: int, most: float) -> tuple[ApiReply | Failure, float]:
        """Return what came, and what it cost, at most ``most`` where it does not say."""
        began = time.monotonic()
        completion = await self._gateway.complete(request.prompt, request.parameters)
        record = {
            "latency_s": round(time.monotonic() - began, 3),
            "attempts": attempt,
            "asked": dict(request.parameters),
            "sent": completion.sent,
        }
        try:
            reply = read_reply(
                completion.body,
                request.budget,
                usd=completion.usd,
                think_end_token=self._settings.think_end_token,
                record=record,
                raw=completion.raw,
            )
            self._ids.check(reply, refused_before=attempt > 1)
        except UnusableReplyError as error:
            usd = most if completion.usd is None else completion.usd
            return replace(failure_of(error), usd=usd), usd
        return reply, self._cost(reply, most)

    def _cost(self, reply: ApiReply, most: float) -> float:
        if reply.usd is not None:
            return reply.usd
        if self._price is None:
            return 0.0
        prompt = int(reply.record.get("prompt_tokens", 0))
        return self._price.of(prompt, reply.usage.tokens) if reply.usage else most

    @property
    def _counts_prompts(self) -> bool:
        return self._settings.tokens_per_minute is not None or self._price is not None

    def _note_failed(self, failure: Failure) -> None:
        """Count a request that failed for good; stop the run if all requests seem to fail."""
        if failure.kind is Kind.GIVE_UP and self._succeeded:
            return  # the provider's word on this request (its content), not on the others
        self._in_a_row += 1
        most = FIRST_REFUSED if failure.kind is Kind.GIVE_UP else FIRST_ATTEMPTS
        if self._in_a_row >= (FAILED_IN_A_ROW if self._succeeded else most):
            self._stop(Ending.STOPPED, f"{self._in_a_row} requests in a row failed, the last with: {failure.message}")

    def _interrupt(self) -> None:
        self._stop(Ending.TERMINATED if self._ctrl_c.was_sigterm else Ending.INTERRUPTED, "interrupted")
        self._on_event("finishing requests in flight, which are paid for; press Ctrl-C again to abandon them")

    def _stop(self, ending: Ending, reason: str) -> None:
        if self.ending is Ending.DONE:
            self.ending, self.reason = ending, reason

    async def _pause(self, seconds: float) -> None:
        """Sleep for ``seconds``.

        Raises:
            _StoppedError: The run stops meanwhile.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))
            if self.ending is not Ending.DONE:
                raise _StoppedError


def _lost(usd: float) -> dict[str, float]:
    """Return the journal's field for attempts whose response never came: the most that they may have cost."""
    return {"maybe_paid_usd": usd} if usd else {}
