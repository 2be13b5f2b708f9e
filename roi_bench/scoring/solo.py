"""Problems asked alone: what a model can do, and at what cost, when nothing else wants its tokens (SPEC section 11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from roi_bench.exams.exam import TIERS, Exam, Problem
from roi_bench.scoring.metrics import ERROR, UNBOXED, Metric, Part, ScoredResponse, tier_names


class SoloProblem(NamedTuple):
    """A problem that is asked alone, and its tier."""

    tier: str
    problem: Problem


def solo_problems(exams: Sequence[Exam]) -> dict[str, SoloProblem]:
    """Return each distinct problem of ``exams`` by id, in the order in which exams need them."""
    found: dict[str, SoloProblem] = {}
    for exam in exams:
        for tier, problem in zip(TIERS, exam.problems, strict=True):
            found.setdefault(problem.id, SoloProblem(tier, problem))
    return found


def solo_metrics_of(pools: Sequence[str]) -> tuple[Metric[ScoredResponse], ...]:
    """Return the metrics of problems asked alone; pools as in :func:`roi_bench.scoring.metrics.metrics_of`."""
    named = tier_names(pools)
    return (
        Metric("acc", _share("correct"), True, "share of samples answered right, mean over problems, 0–1"),
        *(
            Metric(f"{named[t]}_acc", _in_tier(t, _share("correct")), True, f"the same for {named[t]} problems")
            for t in TIERS
        ),
        Metric("wrong", _share("wrong"), False, "share of samples with outcome wrong, 0–1"),
        Metric("skip_rate", _share("skipped"), None, "share of samples answered NA, 0–1"),
        Metric("truncated", _share("truncated"), False, "share of samples that the cap cut off, 0–1"),
        Metric("unanswered", _share("unanswered"), False, "share of samples without an answer, 0–1"),
        Metric("empty", _share("empty"), False, "share of samples with nothing visible, 0–1"),
        Metric("unboxed", lambda sample: sample.unboxed, None, UNBOXED),
        Metric("tokens", _tokens, None, "generated tokens per sample"),
        *(Metric(f"{named[t]}_tokens", _in_tier(t, _tokens), None, f"the same for {named[t]} problems") for t in TIERS),
        ERROR,
    )


_Of = Callable[[ScoredResponse], Part | None]


def _share(outcome: str) -> _Of:
    return lambda sample: (float(sample.count(outcome)), 1.0)


def _tokens(sample: ScoredResponse) -> Part | None:
    return None if sample.tokens is None else (float(sample.tokens), 1.0)


def _in_tier(tier: str, part: _Of) -> _Of:
    return lambda sample: part(sample) if sample.problems[0].tier == tier else None
