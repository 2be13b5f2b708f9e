"""What tables and pages say of a run, in words: size, money, labels, ranks, outcomes."""

from __future__ import annotations

from itertools import pairwise

from roi_bench.leaderboard.board import Standing
from roi_bench.leaderboard.graded import GradedRun, Number, PromptSpread
from roi_bench.leaderboard.page import UNDEFINED, interval, number

BAR_WIDTH = 72
"""Width of the bar of outcomes in a table, in units of its picture."""

BAR_OUTCOMES = ("correct", "wrong", "skipped", "truncated", "unanswered", "empty")
"""Outcomes in the order of bars."""

NUMBER_OF_OUTCOME = {"skipped": "skip_rate"}
"""Names of metrics where they differ from the outcome's."""


OUTCOME_MEANINGS = {
    "correct": "a final answer was given and is right",
    "wrong": "a final answer was given and is not",
    "skipped": "answered NA, in a box or in words (or, problems asked alone, not among those that fit the budget)",
    "truncated": "the budget ended the response in the problem or before it, and the model had not left it",
    "unanswered": "the model left the problem, or ended the response, without an answer",
    "empty": "nothing visible: the tokens went into reasoning, or the budget ended the response",
    "error": "no response could be had, or the provider failed in the middle of it",
}
"""What each outcome (:data:`roi_bench.scoring.outcomes.OUTCOMES`) means, for readers of pages."""

TOKEN_SOURCES = {
    "generated": "counted while generating",
    "provider": "as the provider counts",
    "retokenized": "counted again from the text",
    "unknown": "unknown",
}
"""Where token counts come from (:class:`roi_bench.scoring.tokens.Usage`), in words."""


def size_text(parameters: int | None) -> str:
    """Return a number of parameters in millions or billions: ``0.8M``, ``1.5B``."""
    if parameters is None:
        return UNDEFINED
    unit, name = (1e9, "B") if parameters >= 1e9 else (1e6, "M")
    digits = f"{parameters / unit:.1f}" if parameters < 100 * unit else f"{parameters / unit:.0f}"
    return digits.removesuffix(".0") + name


def money_text(usd: float | None) -> str:
    """Return USD with two significant digits, never in powers of ten: ``0.0012``, ``0.42``, ``13``."""
    if usd is None:
        return UNDEFINED
    if usd == 0:
        return "0"
    text = f"{usd:.2g}"
    return f"{float(text):.12f}".rstrip("0").rstrip(".")


def labels_of(run: GradedRun) -> str:
    """Return how a run was decoded and what sets it apart from what its task's name promises."""
    parts = [run.decoding or "greedy"]
    if run.repeats > 1:
        parts.append(f"{run.repeats} samples")
    return "; ".join([", ".join(parts), *run.deviations])


def outcome_bar(run: GradedRun) -> tuple[tuple[int, int], ...]:
    """Return start and length of each outcome of :data:`BAR_OUTCOMES`, whole units that add up to the bar's width."""
    total, ends = 0.0, [0]
    for outcome in BAR_OUTCOMES:
        total += number_of(run, NUMBER_OF_OUTCOME.get(outcome, outcome)).value or 0.0
        ends.append(round(BAR_WIDTH * min(total, 1.0)))
    return tuple((start, end - start) for start, end in pairwise(ends))


def number_of(run: GradedRun, name: str) -> Number:
    """Return a metric of a run, an undefined one where it has none."""
    return run.numbers.get(name) or Number(None)


def ranks_text(standing: Standing | None) -> str:
    """Return best and worst rank: ``2``, ``1–3``; :data:`UNDEFINED` without any."""
    if standing is None or standing.ranks is None:
        return UNDEFINED
    best, worst = standing.ranks
    return str(best) if best == worst else f"{best}–{worst}"


def spread_lines(found: PromptSpread | None) -> tuple[tuple[str, str], ...]:
    """Return the spread over prompts, ``("4 prompts", "0.93 to 1.05")``, and likewise the interval with prompt noise.

    Nothing without paraphrases.
    """
    if found is None:
        return ()
    spread = f"{found.prompts} prompts", f"{number(found.low)} to {number(found.high)}"
    return (spread, ("with noise", wide)) if (wide := interval(found.noisy)) else (spread,)


def open_text(value: bool | None) -> str:
    """Return ``yes`` or ``no``; :data:`UNDEFINED` where it was not said."""
    if value is None:
        return UNDEFINED
    return "yes" if value else "no"
