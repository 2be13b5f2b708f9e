"""Grading final answers: whether an answer equals an accepted one (SPEC section 6).

Numeric pools (``gsm8k``, ``aime``, ``fresh-*``, ``tiny-*``): the one number stated, compared exactly; where the gold
answer is no number, normalised strings. ``math``: normalised string, then number and structure, then a symbolic check
by math-verify in killable processes. The same answer gets the same verdict with any number of workers.
"""

from __future__ import annotations

import json
import os
import queue
import re
import selectors
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from roi_bench.errors import DependencyError
from roi_bench.grading.answer_words import write_digits
from roi_bench.grading.answers import MAX_ANSWER_CHARACTERS, normalize_answer
from roi_bench.grading.answers import Check as Check
from roi_bench.grading.comparison import compare, same_string
from roi_bench.grading.numerals import asked_percent, parse_number, read_quantity, same_quantity
from roi_bench.machine import usable_cores

# Whether an answer names something other than what was asked for: a time of day, or another unit. Pure.
#
# The grader ignores units, so ``5 cents`` would be right where five dollars are asked for, or where the gold
# answer says dollars; and ``6:00`` is six only where a time is asked for.

_KINDS = (
    ("dollars", "cents"),
    ("seconds", "minutes", "hours", "days", "weeks", "months", "years"),
    ("millimeters", "centimeters", "meters", "kilometers", "inches", "feet", "yards", "miles"),
    ("milligrams", "grams", "kilograms", "ounces", "pounds", "tons"),
    ("milliliters", "liters", "cups", "pints", "quarts", "gallons"),
    ("degrees", "radians"),
    ("celsius", "fahrenheit"),
)
_KIND_OF = {unit: kind for kind, units in enumerate(_KINDS) for unit in units}
_PLURALS = dict(zip(_KIND_OF, _KIND_OF, strict=True))
_PLURALS |= {re.sub("(met|lit)ers", r"\1res", name): unit for name, unit in _PLURALS.items()}
_SPELLINGS = _PLURALS | {name.removesuffix("s"): unit for name, unit in _PLURALS.items()}
_SPELLINGS |= {"inch": "inches", "foot": "feet", "in": "inches", "ft": "feet", "yd": "yards", "mi": "miles"}
_SPELLINGS |= {"mm": "millimeters", "cm": "centimeters", "m": "meters", "km": "kilometers", "ml": "milliliters"}
_SPELLINGS |= {"¢": "cents", "mg": "milligrams", "g": "grams", "kg": "kilograms"}
_SPELLINGS |= {"sec": "seconds", "secs": "seconds", "min": "minutes", "mins": "minutes", "hr": "hours", "hrs": "hours"}
_SPELLINGS |= {"deg": "degrees", "rad": "radians", "rads": "radians"}
_SPELLINGS |= {"degrees celsius": "celsius", "degrees fahrenheit": "fahrenheit"}
_SPELLINGS |= {"oz": "ounces", "lb": "pounds", "lbs": "pounds", "penny": "cents", "pennies": "cents"}
_NAMES = "|".join(sorted(map(re.escape, _SPELLINGS), key=len, reverse=True))
_NAMES = re.sub(r"(?<=\|)in(?=\|)", r"in(?![\\s}]+[A-Za-z])", _NAMES)  # 5 in total
_LONG = "|".join(sorted((name for name in _SPELLINGS if len(name) > 2 or name in ("cm", "km")), key=len, reverse=True))
_ASKED = re.compile(
    rf"\bhow\s+(?:many|much)\s+(?:(?!(?:an?|per|each|every)\s)[a-z]+\s+){{0,2}}?({_LONG})\b|\b(?:in|number\s+of)\s+(?:whole\s+)?({_LONG})\b"
    rf"|\b({_LONG})\s+(?:and|or)\s+({_LONG})\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    rf"(?:(?<=[0-9}})])|(?<=\\pi)|(?<=π))[\s~\\,!;-]*(?:(?:more|full|whole|extra|additional|total)\s+)?"
    rf"(?:\\?(?:text|mbox|textrm|mathrm)\s*\{{\s*)?({_NAMES})(?![A-Za-z])|(\\\$)\s*[0-9.]",
    re.IGNORECASE,
)
_DEGREE_SIGN = re.compile(r"\s*(?:\^\s*\{?\s*\\circ(?![A-Za-z])\s*\}?|\\degree(?![A-Za-z])|°)")
_SCALE_OF_DEGREES = re.compile(
    r"degrees?[\s~\\,]*(?:\\?(?:text|mbox|textrm|mathrm)\s*\{\s*)?(?:(C|celsius)|F|fahrenheit)(?![A-Za-z])",
    re.IGNORECASE,
)
_PI = re.compile(r"\\pi(?![A-Za-z])|π|(?<![A-Za-z])pi(?![A-Za-z])")
_ZERO = re.compile(r"[\s$\\-]*0*\.?0*[\s$]*")
_BARE = re.compile(r"\s*\$?\s*-?[0-9.,]+\s*\$?\s*")
_CLOCK = re.compile(r"[0-9]\s*:\s*[0-5][0-9][\s.$)}*]*\Z")
_MARKED = re.compile(
    r"(?<=[0-9])[\s~\\]*(?:\\?text\s*\{\s*)?(?:[ap]\s?\.?\s?m(?![A-Za-z])|o\s?['’]\s?clock)", re.IGNORECASE
)
_TIME_ASKED = re.compile(
    r"\bwhat\s+time|\btime\s+(?:of|is|was|will|did|does|do)\b|\bwhen\b|\bo['’]\s?clock|\bwhat\s+hour"
    r"|[0-9]\s*[ap]\.?\s?m\b|\bclock\b",
    re.IGNORECASE,
)


def is_other_thing(gold: str, answer: str, question: str) -> bool:
    """Return whether ``answer``, as written, names a time of day or a unit that the ``gold`` answer cannot mean.

    A bare gold number has the unit that the question asks for.
    """
    if _BARE.fullmatch(gold) is None:
        return _names_other_unit(gold, answer, question)
    return _is_idle_time(answer, question) or (bool(question) and _has_other_unit(gold, answer, question))


def _names_other_unit(gold: str, answer: str, question: str) -> bool:
    r"""Return whether gold answer and answer name different units of one kind: ``90^\circ`` is not 90 radians.

    Degrees and multiples of ``\pi`` in radians are compared by value elsewhere, not distinguished here.
    """
    expected, gold_has_pi = _stated_by(gold)
    if not expected and not gold_has_pi:
        return False
    named, answer_has_pi = _named_units(answer), _PI.search(answer) is not None
    if not expected and answer_has_pi and "degree" not in question.casefold():
        expected = frozenset(("radians",))
    by_value = gold_has_pi != answer_has_pi and "radians" in named | expected
    return not by_value and _other_of_one_kind(expected, named)


@lru_cache(maxsize=2048)
def _stated_by(gold: str) -> tuple[frozenset[str], bool]:
    """Return the units that a gold answer names, and whether it is a multiple of π."""
    return _named_units(gold), _PI.search(gold) is not None


def _is_idle_time(answer: str, question: str) -> bool:
    """Return whether a time of day is stated that was not asked for.

    Where no question is known, ``6:00`` is one, and ``6 p.m.`` is taken for what was asked for.
    """
    marked = _MARKED.search(answer) is not None
    if not marked and _CLOCK.search(answer) is None:
        return False
    return not (_TIME_ASKED.search(question) if question else marked)


def _has_other_unit(gold: str, answer: str, question: str) -> bool:
    """Return whether a unit behind the number is not one that is asked for, but one of the same kind."""
    asked = _asked_units(question)
    return bool(asked) and _ZERO.fullmatch(gold) is None and _other_of_one_kind(asked, _named_units(answer))


def _other_of_one_kind(expected: frozenset[str], named: frozenset[str]) -> bool:
    """Return whether units are named, all other than expected, and one at least of a kind that is expected."""
    kinds = {_KIND_OF[unit] for unit in expected}
    return named.isdisjoint(expected) and any(_KIND_OF[unit] in kinds for unit in named)


def _named_units(text: str) -> frozenset[str]:
    """Return the units that stand behind numbers."""
    if "°" in text or r"\circ" in text or r"\degree" in text:
        text = _DEGREE_SIGN.sub(" degrees ", text)
    if "egree" in text:
        text = _SCALE_OF_DEGREES.sub(lambda match: "celsius" if match[1] else "fahrenheit", text)
    text = write_digits(text)
    return frozenset(_SPELLINGS[(match[1] or "dollar").casefold()] for match in _NAMED.finditer(text))


@lru_cache(maxsize=2048)
def _asked_units(question: str) -> frozenset[str]:
    names = (name for match in _ASKED.finditer(question) for name in match.groups() if name)
    return frozenset(_SPELLINGS[name.casefold()] for name in names)


WALL_FACTOR = 10.0
START_SECONDS = 120.0
"""Wall-clock limit for the start of a worker (importing SymPy from a cold disk)."""

MAX_PAYLOAD_BYTES = 32 * 1024
"""Longest request; smaller than a pipe's buffer, so that writing it never blocks."""

RECYCLE_AFTER = 2000
"""Checks after which a worker is replaced."""

WORKER = (sys.executable, "-P", "-m", "roi_bench.grading.symbolic_worker")
"""The command of a worker process; ``-P``: the working directory must not shadow modules."""

CheckResult = Literal["equal", "unequal", "limit"]

Pair = tuple[str, str, str]
"""(gold answer, answer, question)."""


class _DiedError(Exception):
    """The worker ended without a reply; ``limit`` says whether one of its own limits was the cause."""

    def __init__(self, limit: bool) -> None:
        super().__init__(limit)
        self.limit = limit


class _Worker:
    """One worker process."""

    def __init__(self, seconds: float, memory_mb: int, command: tuple[str, ...]) -> None:
        environment = dict(os.environ, PYTHONHASHSEED="0", OMP_NUM_THREADS="1")
        package_parent = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), package_parent]))
        self._wall_seconds = seconds * WALL_FACTOR
        self._buffer = b""
        self.checks = 0
        self._process = subprocess.Popen(
            [*command, str(seconds), str(memory_mb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            bufsize=0,
        )
        try:
            self._read(START_SECONDS)
        except _DiedError as error:
            self.kill()
            try_it = f"{sys.executable} -m roi_bench.grading.symbolic_worker 5 2048"
            if error.limit:
                raise DependencyError(
                    f"the symbolic checker was not ready after {START_SECONDS:g} s; try again when the machine is less "
                    f"busy (to see how long it takes run: {try_it})"
                ) from error
            raise DependencyError(
                "the symbolic checker did not start; install its packages with: pip install math-verify "
                f"(to see the reason run: {try_it})"
            ) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self, payload: bytes) -> CheckResult:
        """Raises: _DiedError."""
        self.checks += 1
        stdin = self._process.stdin
        if stdin is None:  # cannot be: it was asked for as a pipe
            raise _DiedError(False)
        try:
            stdin.write(payload)
        except OSError:
            raise self._death() from None
        equal = json.loads(self._read(self._wall_seconds))["equal"]
        return "limit" if equal is None else "equal" if equal else "unequal"

    def _read(self, seconds: float) -> bytes:
        """Return the next line; raises _DiedError if none comes in time."""
        stdout = self._process.stdout
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            if stdout is not None:
                selector.register(stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if stdout is None or not selector.select(max(0.0, deadline - time.monotonic())):
                    self.kill()
                    raise _DiedError(True)
                received = os.read(stdout.fileno(), 65536)
                if not received:
                    raise self._death()
                self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _death(self) -> _DiedError:
        self.kill_if_running_after(1.0)
        code = self._process.returncode
        # SIGPROF: our processor-time limit. SIGSEGV and SIGABRT: a stack or an allocation that could not grow.
        own = {-getattr(signal, name) for name in ("SIGPROF", "SIGSEGV", "SIGABRT") if hasattr(signal, name)}
        return _DiedError(code in own)

    def kill_if_running_after(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()


class SymbolicPool:
    """Pool of worker processes; use it as a context manager or call :meth:`close`.

    Args:
        workers: Number of processes, at least 1.
        seconds: Processor-time limit of a check.
        memory_mb: Address-space limit of a process in MiB.
        command: What a worker process runs, the two limits behind it; another one stands in for it in tests.
    """

    def __init__(self, workers: int, seconds: float, memory_mb: int, command: tuple[str, ...] = WORKER) -> None:
        self._limits = (seconds, memory_mb, command)
        self._size = max(1, workers)
        self._reset()

    def _reset(self) -> None:
        self._owner = os.getpid()
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(self._size):
            self._slots.put(None)
        self._running: dict[int, _Worker] = {}
        self._finalizer = weakref.finalize(self, _kill_all, self._running, self._owner)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the running workers."""
        return tuple(self._running)

    def check(self, gold: str, answer: str, question: str = "") -> CheckResult:
        """Compare one answer with one gold answer; may be called from any thread.

        Raises:
            DependencyError: math-verify is not installed.
        """
        payload = json.dumps({"gold": gold, "answer": answer, "question": question}).encode("ascii") + b"\n"
        if len(payload) > MAX_PAYLOAD_BYTES:
            return "limit"
        if os.getpid() != self._owner:  # we are a forked copy: the pipes belong to the original
            self._running.clear()
            self._reset()
        worker = self._slots.get()
        try:
            for _ in range(2):
                if worker is None:
                    worker = self._start()
                try:
                    result = worker.check(payload)
                except _DiedError as death:
                    self._drop(worker)
                    worker = None
                    if death.limit:
                        return "limit"
                    continue
                if result == "limit" or worker.checks >= RECYCLE_AFTER:
                    self._drop(worker)
                    worker = None
                return result
            return "limit"
        finally:
            self._slots.put(worker)

    def check_many(self, pairs: Sequence[Pair]) -> list[CheckResult]:
        """Check answers in parallel; the order is kept."""
        if len(pairs) < 2 or self._size == 1:
            return [self.check(*pair) for pair in pairs]
        with ThreadPoolExecutor(self._size) as threads:
            return list(threads.map(lambda pair: self.check(*pair), pairs))

    def _start(self) -> _Worker:
        worker = _Worker(*self._limits)
        self._running[worker.pid] = worker
        return worker

    def _drop(self, worker: _Worker) -> None:
        self._running.pop(worker.pid, None)
        worker.kill()

    def close(self) -> None:
        """End all workers; a later check starts new ones."""
        self._finalizer()
        self._reset()

    def __enter__(self) -> SymbolicPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _kill_all(running: dict[int, _Worker], owner: int) -> None:
    if os.getpid() == owner:
        for worker in list(running.values()):
            worker.kill()
    running.clear()


Method = Literal["string", "number", "symbolic", "limit"]

CHECK_SECONDS = 3.0
"""Default processor-time limit of one symbolic check; real ones take 5–300 ms."""

MEMORY_MB = 2048
"""Default address-space limit of one worker process in MiB."""

_CACHE_LIMIT = 200_000
_ONLY_DIGITS = re.compile(r"-?[0-9]{1,300}")

MAX_QUESTION_CHARACTERS = 4000
"""Only so many characters of a question are read."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of a check.

    Attributes:
        correct: Whether the answer equals an accepted one.
        method: How decided: ``string``, ``number`` (values and structures of values), ``symbolic``, or ``limit``: a
            limit was hit (answer too long, time, memory); never correct.
    """

    correct: bool
    method: Method


def is_numeric_pool(pool: str) -> bool:
    """Return whether answers of ``pool`` are compared as numbers only: all pools except ``math``."""
    return pool != "math"


class Grader:
    """Grades answers; starts worker processes only when a symbolic check is needed. Thread-safe.

    Args:
        workers: Worker processes for symbolic checks; default: the usable CPU cores, at most 8.
        seconds: Processor-time limit of one symbolic check.
        memory_mb: Memory limit of one worker in MiB.
        command: What a worker process runs (see :class:`roi_bench.grading.grader.SymbolicPool`).
    """

    def __init__(
        self,
        workers: int | None = None,
        seconds: float = CHECK_SECONDS,
        memory_mb: int = MEMORY_MB,
        command: tuple[str, ...] = WORKER,
    ) -> None:
        self._workers = workers or min(8, len(usable_cores()))
        self._pool = SymbolicPool(self._workers, seconds, memory_mb, command)
        self._cache: dict[Check, Verdict] = {}

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of the running workers."""
        return self._pool.pids

    def grade(self, pool: str, answer: str, accepted: tuple[str, ...], question: str = "") -> Verdict:
        """Return the verdict on ``answer`` to a problem of ``pool`` with the ``accepted`` gold answers.

        Raises:
            DependencyError: a symbolic check is needed and math-verify is not installed.
        """
        return self.grade_many([Check(pool, answer, accepted, question)])[0]

    def grade_many(self, checks: Sequence[Check]) -> list[Verdict]:
        """Grade many answers, symbolic checks in parallel; the order is kept, identical checks cost once.

        Raises:
            DependencyError: a symbolic check is needed and math-verify is not installed.
        """
        decided: dict[Check, Verdict] = {}
        pending: dict[Check, list[Pair]] = {}
        for check in checks:
            if check in decided or check in pending:
                continue
            verdict = self._cache.get(check)
            if verdict is None:
                verdict, undecided = _decide(check)
                if undecided:
                    pending[check] = [(gold, check.answer, _looked_at(check)) for gold in undecided]
                    continue
            decided[check] = verdict
        pairs = [pair for group in pending.values() for pair in group]
        results = dict(zip(pairs, self._pool.check_many(pairs), strict=True))
        for check, group in pending.items():
            outcomes = {results[pair] for pair in group}
            method: Method = "limit" if "limit" in outcomes and "equal" not in outcomes else "symbolic"
            decided[check] = Verdict("equal" in outcomes, method)
        self._remember(decided)
        return [decided[check] for check in checks]

    def _remember(self, verdicts: dict[Check, Verdict]) -> None:
        if len(self._cache) > _CACHE_LIMIT:
            self._cache.clear()
        # Limits are remembered too: a repeated check must not get another verdict. Overlong answers cost nothing.
        self._cache.update(
            (check, verdict) for check, verdict in verdicts.items() if len(check.answer) <= MAX_ANSWER_CHARACTERS
        )

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()

    def __enter__(self) -> Grader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _looked_at(check: Check) -> str:
    """Return the beginning of the question, which is all that is read."""
    return check.question[:MAX_QUESTION_CHARACTERS]


def _decide(check: Check) -> tuple[Verdict, list[str]]:
    """Return the verdict that needs no symbolic check, and the gold answers for which one is needed."""
    answer, accepted, question = check.answer, check.accepted, _looked_at(check)
    if answer in accepted and answer.strip():
        return Verdict(True, "string"), []
    if is_numeric_pool(check.pool) and _ONLY_DIGITS.fullmatch(answer) and all(map(_ONLY_DIGITS.fullmatch, accepted)):
        return Verdict(any(int(gold) == int(answer) for gold in accepted), "number"), []
    if len(answer) <= MAX_ANSWER_CHARACTERS:
        accepted = tuple(gold for gold in accepted if not is_other_thing(gold, answer, question))
        if not accepted:
            return Verdict(False, "number"), []
    if any(same_string(gold, answer, question) for gold in accepted):
        return Verdict(True, "string"), []
    if len(answer) > MAX_ANSWER_CHARACTERS:
        return Verdict(False, "limit"), []
    if is_numeric_pool(check.pool):
        return _decide_numeric(answer, accepted, question), []
    verdicts = [(gold, compare(gold, answer, question=question)) for gold in accepted]
    if any(verdict for _, verdict in verdicts):
        return Verdict(True, "number"), []
    return Verdict(False, "number"), [gold for gold, verdict in verdicts if verdict is None]


def _decide_numeric(answer: str, accepted: tuple[str, ...], question: str) -> Verdict:
    numbers = [parse_number(normalize_answer(gold)) or read_quantity(gold, question) for gold in accepted]
    if all(number is None for number in numbers):
        return Verdict(False, "string")
    quantity = read_quantity(answer, question)
    if quantity is None:
        return Verdict(False, "number")
    asked = asked_percent(question) if quantity.percent else "unknown"
    return Verdict(any(number is not None and same_quantity(number, quantity, asked) for number in numbers), "number")


# The grader of a process, shared by its tasks.


@cache
def shared_grader() -> Grader:
    """Return this process's grader; its workers start with the first symbolic check."""
    return Grader()
