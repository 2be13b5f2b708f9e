"""Counting tokens: how many a response took, and on which problem they were spent (SPEC section 7)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

FinishReason = Literal["stop", "length", "error"]
UsageSource = Literal["generated", "provider", "retokenized"]


@dataclass(frozen=True, slots=True)
class Usage:
    """The token usage of one response.

    Attributes:
        tokens: Generated tokens, hidden reasoning and the end-of-sequence token included.
        finish_reason: ``length`` if the budget ended the response, ``stop`` if it ended by itself, ``error`` if the
            engine failed in the middle of it, None if unknown.
        source: ``generated`` = counted while generating, ``provider`` = reported by an API, ``retokenized`` = the
            visible text was encoded again (may differ a little from what was generated).
    """

    tokens: int
    finish_reason: FinishReason | None
    source: UsageSource


class TokenCounter(Protocol):
    """Counts tokens of text; :mod:`roi_bench.records.tokenizer` makes one from a Hugging Face tokenizer."""

    def token_starts(self, text: str) -> Sequence[int]:
        """Return the character offset at which each token of ``text`` starts (no special tokens added), ascending."""
        ...


LEVEL_BOUNDS = (256, 512, 1024)
"""Upper token bounds (inclusive) of Level-0, Level-1, Level-2 (SPEC section 1)."""

NOT_WORTH_ATTEMPTING = 3
"""Level-3."""


def level_of(tokens: int, bounds: Sequence[int] = LEVEL_BOUNDS) -> int:
    """Return the level (0–3) whose range holds ``tokens``; 3 is "more than Level-2 allows"."""
    for level, bound in enumerate(bounds):
        if tokens <= bound:
            return level
    return NOT_WORTH_ATTEMPTING


def retokenization_slack(budget: int) -> int:
    """Return by how many tokens recounted text may exceed ``budget``: 2 % + 8 tokens (SPEC section 7)."""
    return budget * 2 // 100 + 8


def is_over_budget(usage: Usage, budget: int) -> bool:
    """Return whether a response took more than ``budget`` tokens, with slack if only its text was counted."""
    slack = retokenization_slack(budget) if usage.source == "retokenized" else 0
    return usage.tokens > budget + slack


SHORT = 0.95
"""Share of the budget below which a response that was cut was cut by something else: a server counts a little less."""


def was_cut_short(usage: Usage, budget: int) -> bool:
    """Return whether something else than the budget ended a response: a context that is too small, another limit."""
    return usage.finish_reason == "length" and usage.tokens < SHORT * budget


def retokenized_usage(tokens: int, budget: int) -> Usage:
    """Return the usage of a response whose text alone is known.

    A response whose text re-encodes to the budget, or to within 2 % below it (merging at the cut can save tokens), is
    taken for one that the budget ended. The end-of-sequence token of a finished one cannot be seen in the text.
    """
    ended_by_budget = tokens >= budget - budget * 2 // 100
    return Usage(tokens, "length" if ended_by_budget else "stop", "retokenized")


def token_shares(
    starts: Sequence[int], spans: Sequence[tuple[int, int]], usage: Usage | None
) -> tuple[int, tuple[int, ...]]:
    """Split the tokens of a response into planning overhead and one share per problem.

    A token belongs to the span in which it starts; tokens in no span, as in a closing section, are planning overhead.
    Tokens that the text does not show are overhead too: hidden reasoning, which comes before the visible text. Only the
    end-of-sequence token that a local model generated goes to the last problem reached, where the text ends in it.

    Args:
        starts: Character offset of each token of the visible text, ascending.
        spans: ``[start, end)`` character span of each problem by position; empty spans were never reached.
        usage: Exact usage of the response, or None.

    Returns:
        ``(planning tokens, tokens by position)``.
    """
    shares = [bisect_left(starts, end) - bisect_left(starts, start) if end > start else 0 for start, end in spans]
    planning = len(starts) - sum(shares)
    unseen = max(0, usage.tokens - len(starts)) if usage else 0
    reached = [position for position, (start, end) in enumerate(spans) if end > start]
    ending = (
        min(unseen, 1) if usage and usage.source == "generated" and usage.finish_reason == "stop" and reached else 0
    )
    if ending:
        last = max(reached, key=lambda position: spans[position][0])
        if starts and starts[-1] >= spans[last][1]:
            ending = 0  # it ends a closing section
        else:
            shares[last] += ending
    return planning + unseen - ending, tuple(shares)
