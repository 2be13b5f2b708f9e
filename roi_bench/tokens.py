"""The one token counter: how many tokens a response took, and which problem they were spent on (SPEC section 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

FinishReason = Literal["stop", "length"]
UsageSource = Literal["generated", "provider", "retokenized"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What one response cost.

    Attributes:
        tokens: Generated tokens, hidden reasoning and the end-of-sequence token included.
        finish_reason: ``length`` if the budget ended the response, ``stop`` if it ended by itself, None if unknown.
        source: ``generated`` = counted while generating, ``provider`` = reported by an API, ``retokenized`` = the
            visible text was encoded again (may differ a little from what was generated).
    """

    tokens: int
    finish_reason: FinishReason | None
    source: UsageSource


class TokenCounter(Protocol):
    """Counts tokens of text; :mod:`roi_bench.harness.tokenizer` makes one from a Hugging Face tokenizer."""

    def token_starts(self, text: str) -> Sequence[int]:
        """Return the character offset at which each token of ``text`` starts (no special tokens added), ascending."""
        ...
