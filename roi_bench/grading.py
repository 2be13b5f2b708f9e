"""Is this answer that answer? Verdicts on final answers (SPEC section 6).

Numeric pools (``gsm8k``, ``aime``, ``fresh-*``, ``tiny-*``): the one number stated, compared exactly; where the gold
answer is no number, normalised strings. ``math``: normalised string, then number and structure, then a symbolic check
by math-verify in killable processes. The same answer gets the same verdict with any number of workers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from roi_bench.answers import MAX_ANSWER_CHARACTERS, normalize_answer
from roi_bench.answers import Check as Check
from roi_bench.asked_units import is_other_thing
from roi_bench.comparison import compare, same_string
from roi_bench.numerals import asked_percent, parse_number, read_quantity, same_quantity
from roi_bench.symbolic_pool import WORKER, Pair, SymbolicPool

Method = Literal["string", "number", "symbolic", "limit"]

CHECK_SECONDS = 3.0
"""Default processor-time limit of one symbolic check; real ones take 5–300 ms."""

MEMORY_MB = 2048
"""Default address-space limit of one worker process in MiB."""

_CACHE_LIMIT = 200_000
_ONLY_DIGITS = re.compile(r"-?[0-9]{1,300}")

MAX_QUESTION_CHARACTERS = 4000
"""What a question says behind these is not looked at."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of a check.

    Attributes:
        correct: Whether the answer equals an accepted one.
        method: What decided: ``string``, ``number`` (values and structures of values), ``symbolic``, or ``limit``: a
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
        command: What a worker process runs (see :class:`roi_bench.symbolic_pool.SymbolicPool`).
    """

    def __init__(
        self,
        workers: int | None = None,
        seconds: float = CHECK_SECONDS,
        memory_mb: int = MEMORY_MB,
        command: tuple[str, ...] = WORKER,
    ) -> None:
        self._workers = workers or min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
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
        # Limits are remembered too: asked twice, a check must not get two verdicts. Overlong answers cost nothing.
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
    """Return the part of the question that is looked at."""
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
