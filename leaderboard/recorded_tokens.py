"""Token counts as a submission records them, in the place of a tokenizer; and whether they can be true. Pure."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from roi_bench.errors import RecordError
from roi_bench.leaderboard.limits import (
    MEAN_TOKEN_CHARACTERS,
    TOKEN_CHARACTERS,
    UNUSUAL_FREE,
    UNUSUAL_OF_ONE,
)
from roi_bench.scoring.tokens import Usage, retokenization_slack

_RUN = re.compile(r"(.)\1{8,}", re.DOTALL)

Lengths = Sequence[int]
"""Characters from the start of the token before to the start of each token; the first: from the text's beginning."""


class RecordedTokenCounter:
    """A :class:`roi_bench.scoring.tokens.TokenCounter` that knows the tokens of recorded texts and of no other.

    Args:
        known: Token lengths by text.
    """

    def __init__(self, known: Mapping[str, Lengths]) -> None:
        self._known = known

    def token_starts(self, text: str) -> list[int]:
        """Return the character offset at which each token of ``text`` starts, ascending.

        Raises:
            RecordError: The text is none of the recorded ones.
        """
        if text not in self._known:
            raise RecordError(f"the tokens of a text of {len(text)} characters were not recorded")
        return list(accumulate(self._known[text]))


def lengths_of(starts: Sequence[int]) -> array[int]:
    """Return the lengths whose running sums are ``starts``."""
    return array("L", [after - before for before, after in pairwise([0, *starts])])


def packed_lengths(values: Sequence[Any]) -> array[int]:
    """Return lengths read from JSON, two bytes each.

    Raises:
        ValueError: One is no length of a token.
    """
    try:
        if not set(map(type, values)) <= {int}:
            raise TypeError
        found = array("H", values)
    except (TypeError, OverflowError):
        raise ValueError(f"token_lengths must be whole numbers from 0 to {TOKEN_CHARACTERS}") from None
    if found and max(found) > TOKEN_CHARACTERS:
        raise ValueError(f"a token of {max(found)} characters; none has more than {TOKEN_CHARACTERS}")
    return found


def implausible(text: str, lengths: Lengths | None, usage: Usage | None, budget: int) -> str | None:
    """Return why the recorded tokens of a response contradict text, usage or budget, or None.

    Args:
        text: The response.
        lengths: Its token lengths, None where no tokenizer was known.
        usage: Its usage, None where none was metered.
        budget: Budget in tokens.
    """
    if lengths is None:
        return None
    if sum(lengths) > len(text):
        return f"token_lengths go on behind the end of its {len(text)} characters"
    if len(lengths) > budget + retokenization_slack(budget):
        return f"shows {len(lengths)} tokens, the budget is {budget}"
    if usage is not None and usage.tokens < len(lengths) - retokenization_slack(len(lengths)):
        return f"shows {len(lengths)} tokens and claims to have taken {usage.tokens}"
    if len(text) - sum(lengths) > TOKEN_CHARACTERS:
        return f"its last token would have {len(text) - sum(lengths)} characters"
    return None


def miscounted(shown: int, usage: Usage) -> bool:
    """Return whether ``usage``, counted from the text, is not that of a text of ``shown`` tokens.

    A text that ended by itself has one token more at most, the end of the sequence. One that was cut at the budget was
    counted before, and what is left of it may have a few tokens more or less.
    """
    if usage.source != "retokenized":
        return False
    if usage.finish_reason == "length":
        return abs(usage.tokens - shown) > retokenization_slack(shown)
    return not shown <= usage.tokens <= shown + 1


def is_unusual(text: str, tokens: int) -> bool:
    """Return whether ``text`` is far longer than so many tokens of most tokenizers are."""
    most = UNUSUAL_OF_ONE * tokens + UNUSUAL_FREE
    return len(text) > most and _without_runs(text) > most


def too_few(text: str, tokens: int) -> str | None:
    """Return why ``text`` cannot be so few tokens, or None; a bound for counts that are somebody's word.

    Real tokenizers can pass it: the shipped ones have whole lines as tokens, and a model may repeat one of them. So it
    says nothing against what was counted again.
    """
    most = MEAN_TOKEN_CHARACTERS * tokens + TOKEN_CHARACTERS
    whole = len(text) <= TOKEN_CHARACTERS * max(tokens, 1)  # a tokenizer may see nothing in a few characters
    if whole and (len(text) <= most or _without_runs(text) <= most):
        return None
    return f"{len(text)} characters cannot be {tokens} tokens"


def _without_runs(text: str) -> int:
    """Return the number of characters of ``text`` with runs of one character cut to eight."""
    return len(_RUN.sub(lambda run: run[0][:8], text))
