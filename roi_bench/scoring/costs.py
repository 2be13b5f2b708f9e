"""The cost of a task in USD, per exam and per correct answer, from the cost of each raw response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from roi_bench.scoring.kinds import ExamKind


@dataclass(frozen=True, slots=True)
class TaskCost:
    """The cost of one task.

    Attributes:
        usd: USD of the responses in the task's own order, which the score counts; where problems are asked alone,
            of all.
        usd_easy: USD of the responses in easy order, which only regret needs.
        exams: Exams × samples (problems × samples where problems are asked alone, for a profile).
        correct: Correct answers in the task's own order.
        unknown: Responses in either order with unknown cost; no sum includes them.
    """

    usd: float
    usd_easy: float
    exams: int
    correct: float
    unknown: int

    @property
    def usd_per_exam(self) -> float | None:
        """USD per exam in the task's order; None where a cost is unknown or there is no exam."""
        return None if self.unknown or not self.exams else self.usd / self.exams

    @property
    def usd_per_correct(self) -> float | None:
        """USD per correct answer in the task's order; None where a cost is unknown or nothing was correct."""
        return None if self.unknown or not self.correct else self.usd / self.correct

    def as_document(self) -> dict[str, float | int | None]:
        """Return every number by name, for the results file."""
        numbers = {name: getattr(self, name) for name in ("usd", "usd_easy", "exams", "correct", "unknown")}
        return {**numbers, "usd_per_exam": self.usd_per_exam, "usd_per_correct": self.usd_per_correct}


def task_cost(samples: Sequence[Mapping[str, Any]]) -> TaskCost | None:
    """Return the cost of a task from its logged samples; None where no response has one.

    Args:
        samples: One per exam, with ``usage`` and ``usd`` (USD) by request and sample, null where unknown (no ``usd`` at
            all: all of them), and ``score`` (correct answers, mean over the samples; null where a response is missing;
            ``acc`` in a solo task).
    """
    shapes = [sample.get("usd") or sample.get("usage") for sample in samples]
    shape = next((known for known in shapes if known), None)  # of a sample that has neither
    given = [sample.get("usd") or _unknown(sample.get("usage") or shape) for sample in samples]
    # An exam task asks in its own order and in easy order; problems asked alone serve both, and all of them count.
    both_orders = any(len(by_request) == ExamKind.requests for by_request in given)
    own = [by_request[:1] if both_orders else by_request for by_request in given]
    main_order = [usd for by_request in own for request in by_request for usd in request]
    easy_order = [usd for by_request in given for request in by_request[1:] for usd in request] if both_orders else []
    main, easy = ([usd for usd in order if usd is not None] for order in (main_order, easy_order))
    if not main and not easy:
        return None
    correct = fsum(
        (sample.get("score", sample.get("acc")) or 0.0) * len(usd[0])
        for sample, usd in zip(samples, given, strict=True)
    )
    unknown = len(main_order) + len(easy_order) - len(main) - len(easy)
    return TaskCost(fsum(main), fsum(easy), sum(len(usd[0]) for usd in given), correct, unknown)


def _unknown(usage: Sequence[Sequence[object]] | None) -> list[list[None]]:
    """Return unknown costs in the shape of ``usage``."""
    return [[None] * len(request) for request in usage or ([], [])]
