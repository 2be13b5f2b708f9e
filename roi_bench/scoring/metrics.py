"""Outcomes → the numbers of the benchmark (SPEC section 8).

Every metric is a ratio of sums over exams (:class:`scoring.statistics.ExamTerm`); an exam with an ``error`` in either
order is left out of all of them but ``error`` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any, Generic, Protocol, TypeVar

from roi_bench.exams.exam import POOL_TIERS, TIERS
from roi_bench.reading.responses import Reading
from roi_bench.scoring.outcomes import ProblemOutcome
from roi_bench.scoring.statistics import ExamTerm
from roi_bench.scoring.tokens import Usage


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """One response with the outcome of each of its problems.

    Attributes:
        problems: Outcome of each problem by position.
        budget: Budget in generated tokens.
        usage: Token usage of the response, or None if unknown.
        planning: Tokens of no problem: before the first header, in a closing section, hidden ones; None where nothing
            can be counted.
        over_budget: It took more tokens than the budget.
        failed: There is no response, or the provider failed in the middle of it.
        readings: The reading of its text; where problems were asked alone, that of each text, by position.
    """

    problems: tuple[ProblemOutcome, ...]
    budget: int
    usage: Usage | None
    planning: int | None
    over_budget: bool
    failed: bool
    readings: tuple[Reading, ...] = ()

    @property
    def score(self) -> int:
        """Number of correct answers, 0–3."""
        return self.count("correct")

    @property
    def tokens(self) -> int | None:
        """Tokens of the whole response, or None where nothing can be counted."""
        return self.usage.tokens if self.usage else None

    def count(self, outcome: str) -> int:
        """Return how many problems ended in ``outcome``."""
        return sum(problem.outcome == outcome for problem in self.problems)

    @property
    def unboxed(self) -> tuple[float, float] | None:
        """Number of graded answers read without a box, and number of graded answers; None if there are none."""
        graded = [problem.answered_by for problem in self.problems if problem.outcome in ("correct", "wrong")]
        return (float(graded.count("line")), float(len(graded))) if graded else None

    def no_answer(self, problem: ProblemOutcome) -> str | None:
        """Return why ``problem``, one of its own, was not graded: a key of :data:`NO_ANSWER`; None if it was."""
        if problem.outcome == "skipped":
            return "only_na" if self.count("skipped") == len(self.problems) else "na"
        if problem.outcome == "truncated":
            return "over_budget" if self.over_budget else "cut_off"
        if problem.outcome not in ("unanswered", "empty") or not self.readings:
            return None
        alone = len(self.readings) == len(self.problems) > 1
        reading = self.readings[problem.position - 1 if alone else 0]
        if problem.outcome == "empty":
            return "reasoning" if reading.reasoning else "nothing"
        section = reading.problems[0 if alone else problem.position - 1]
        if any(section.start <= start < section.end for start, _ in reading.boxes):
            return "other_box"
        if not reading.headers and len(reading.problems) > 1:
            has_text = any(part.end > part.start for part in reading.problems)
            return "few_boxes" if reading.boxes else "no_header" if has_text else "nothing"
        return "no_box" if section.end > section.start else "never_begun"


NO_ANSWER = {
    "cut_off": "cut off by the budget",
    "over_budget": "over the budget",
    "no_header": "no header of a problem and no \\boxed{…}",
    "few_boxes": "no header of a problem and too few \\boxed{…}",
    "no_box": "no \\boxed{…} and no answer line",
    "other_box": "a \\boxed{…} that does not count",
    "never_begun": "never begun",
    "reasoning": "nothing but reasoning",
    "nothing": "nothing visible",
    "only_na": "NA to every problem",
    "na": "NA",
}
"""What is seen where a problem has no answer that could be graded (:meth:`ScoredResponse.no_answer`), in words."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of an exam: the responses in the task's order and in easy order."""

    main: ScoredResponse
    easy: ScoredResponse

    @property
    def failed(self) -> bool:
        """Whether a response is missing; such a sample is never scored as wrong."""
        return self.main.failed or self.easy.failed


def answers_read(samples: Sequence[Sample | ScoredResponse]) -> list[list[list[dict[str, str | None]]]]:
    """Return outcome and answer of each problem of a document's ``samples``, as samples files show them.

    By order (the task's own and easy order; one for problems asked alone), sample and position: ``problem`` (its id),
    ``outcome``, ``answer`` (None: none was read), and ``seen`` (a key of :data:`NO_ANSWER`) where it was not graded.
    """
    by_sample = [(each.main, each.easy) if isinstance(each, Sample) else (each,) for each in samples]
    return [
        [[_read(response, one) for one in response.problems] for response in order]
        for order in zip(*by_sample, strict=True)
    ]


def _read(response: ScoredResponse, problem: ProblemOutcome) -> dict[str, str | None]:
    found = {"problem": problem.problem_id, "outcome": problem.outcome, "answer": problem.answer}
    seen = response.no_answer(problem)
    return found if seen is None else {**found, "seen": seen}


class SampleLike(Protocol):
    """A sample from which metrics are computed: an exam in two orders, or a problem alone."""

    @property
    def failed(self) -> bool:
        """Whether a response is missing."""
        ...


SampleT = TypeVar("SampleT", bound=SampleLike)

Part = tuple[float, float]
"""Numerator and denominator that one sample adds to a metric."""


def _score(sample: Sample) -> Part:
    return float(sample.main.score), 1.0


def _score_easy(sample: Sample) -> Part:
    return float(sample.easy.score), 1.0


def _regret(sample: Sample) -> Part:
    return float(sample.easy.score - sample.main.score), float(sample.easy.score)


def _position_accuracy(position: int) -> Callable[[Sample], Part | None]:
    return lambda sample: (float(sample.main.problems[position - 1].outcome == "correct"), 1.0)


def _tier_accuracy(tier: str) -> Callable[[Sample], Part | None]:
    def part(sample: Sample) -> Part:
        return float(sum(p.outcome == "correct" for p in sample.main.problems if p.tier == tier)), 1.0

    return part


def _share(outcome: str) -> Callable[[Sample], Part | None]:
    return lambda sample: (sample.main.count(outcome) / len(sample.main.problems), 1.0)


def _level_pairs(sample: Sample) -> list[tuple[int, int]]:
    return [
        (p.level, p.actual_level) for p in sample.main.problems if p.level is not None and p.actual_level is not None
    ]


def _level_accuracy(sample: Sample) -> Part | None:
    pairs = _level_pairs(sample)
    return (float(sum(level == actual for level, actual in pairs)), float(len(pairs))) if pairs else None


def _level_error(sample: Sample) -> Part | None:
    pairs = _level_pairs(sample)
    return (float(sum(abs(level - actual) for level, actual in pairs)), float(len(pairs))) if pairs else None


def _tokens(sample: Sample) -> Part | None:
    return None if sample.main.tokens is None else (float(sample.main.tokens), 1.0)


def _position_tokens(position: int) -> Callable[[Sample], Part | None]:
    def part(sample: Sample) -> Part | None:
        tokens = sample.main.problems[position - 1].tokens
        return None if tokens is None else (float(tokens), 1.0)

    return part


def _planning_tokens(sample: Sample) -> Part | None:
    planning = sample.main.planning
    return None if planning is None else (float(planning), 1.0)


def _budget_use(sample: Sample) -> Part | None:
    return None if sample.main.tokens is None else (sample.main.tokens / sample.main.budget, 1.0)


def _over_budget(sample: Sample) -> Part | None:
    return None if sample.main.tokens is None else (float(sample.main.over_budget), 1.0)


@dataclass(frozen=True, slots=True)
class Metric(Generic[SampleT]):
    """A metric of the benchmark: a ratio of sums over exams.

    Attributes:
        name: Its name in the results table.
        part: One sample's contribution to numerator and denominator; None if it has none.
        higher_is_better: True, False, or None if neither is better.
        meaning: One line with unit and range.
    """

    name: str
    part: Callable[[SampleT], Part | None]
    higher_is_better: bool | None
    meaning: str


def tier_names(pools: Sequence[str]) -> dict[str, str]:
    """Return how the tiers of exams are called whose problems come from ``pools`` (tier order easy, middle, hard).

    Real pools give their name (``gsm8k``), generated ones their tier (``easy``).
    """
    return {tier: pool if pool in POOL_TIERS else tier for tier, pool in zip(TIERS, pools, strict=True)}


def metrics_of(pools: Sequence[str]) -> tuple[Metric[Sample], ...]:
    """Return the metrics of exams whose problems come from ``pools`` (tier order easy, middle, hard)."""
    named = tier_names(pools)
    return (
        Metric("score", _score, True, "correct answers per exam in the task's order, 0–3"),
        Metric("score_easy", _score_easy, True, "correct answers per exam in easy order, 0–3"),
        Metric("regret", _regret, False, "(Σ score_easy − Σ score) / Σ score_easy, ≤ 1; undefined if Σ score_easy = 0"),
        *(Metric(f"p{k}_acc", _position_accuracy(k), True, f"accuracy at position {k}, 0–1") for k in (1, 2, 3)),
        *(Metric(f"{named[t]}_acc", _tier_accuracy(t), True, f"accuracy on {named[t]} problems, 0–1") for t in TIERS),
        Metric("skip_rate", _share("skipped"), None, "share of problems answered NA, 0–1"),
        Metric("correct", _share("correct"), True, "share of problems with outcome correct, 0–1"),
        Metric("wrong", _share("wrong"), False, "share of problems with outcome wrong, 0–1"),
        Metric("truncated", _share("truncated"), False, "share of problems the budget cut off, 0–1"),
        Metric("unanswered", _share("unanswered"), False, "share of problems left without an answer, 0–1"),
        Metric("empty", _share("empty"), False, "share of problems in responses with nothing visible, 0–1"),
        Metric("unboxed", lambda s: s.main.unboxed, None, UNBOXED),
        Metric(
            "level_acc", _level_accuracy, True, "share of attempted problems with a level whose level was right, 0–1"
        ),
        Metric("level_mae", _level_error, False, "mean |predicted − actual level| of the same problems, 0–3"),
        Metric("tokens", _tokens, None, "generated tokens per exam"),
        *(Metric(f"p{k}_tokens", _position_tokens(k), None, f"tokens at position {k}") for k in (1, 2, 3)),
        Metric(
            "planning_tokens",
            _planning_tokens,
            None,
            "tokens of no problem (plan, closing, hidden), per exam",
        ),
        Metric("budget_use", _budget_use, None, "tokens / budget"),
        Metric("over_budget", _over_budget, False, "share of responses above the budget (worth nothing), 0–1"),
        ERROR,
    )


Range = tuple[float | None, float | None]
"""Least and greatest possible value; None: no bound."""

EFFICIENCIES: dict[str, Range] = {
    **dict.fromkeys(("v_dp", "v_replay"), (0.0, 3.0)),
    "ae": (0.0, 1.0),
    "sr": (0.0, None),
    "ae_sr": (0.0, None),
    "agreement": (0.0, 1.0),
    "lift": (-3.0, 3.0),
}
"""Possible values of what a solo profile adds (SPEC section 11)."""


def range_of(name: str) -> Range:
    """Return the possible values of the metric ``name``, within which its interval stays (SPEC section 9)."""
    if name in EFFICIENCIES:
        return EFFICIENCIES[name]
    if name == "regret":
        return None, 1.0
    if name in ("score", "score_easy", "level_mae"):
        return 0.0, 3.0
    return 0.0, None if name.endswith("tokens") or name == "budget_use" else 1.0


UNBOXED = "share of graded answers read from an answer line or conclusion, without a box, 0–1"
"""What the metric ``unboxed`` is, of exams and of problems asked alone."""

ERROR: Metric[Any] = Metric(
    "error", lambda sample: (float(sample.failed), 1.0), False, "share of exams without a response, 0–1"
)
"""The only metric that counts exams without a response."""


def exam_term(metric: Metric[SampleT], samples: Iterable[SampleT], cluster: str) -> ExamTerm | None:
    """Return what one exam (or problem alone) with its K ``samples`` contributes to ``metric``: the mean over them.

    A sample without a contribution (no level written) adds nothing to either sum. None where no sample has one, or no
    response exists.
    """
    parts = [metric.part(s) for s in samples if metric is ERROR or not s.failed]
    said = [part for part in parts if part is not None]
    if not said:
        return None
    return ExamTerm(fsum(n for n, _ in said) / len(parts), fsum(d for _, d in said) / len(parts), cluster)
