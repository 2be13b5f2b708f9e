"""Money: what a run may cost at most, what it did cost, and stopping before it costs more than allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, log10


@dataclass(frozen=True, slots=True)
class Price:
    """List price of a model.

    Attributes:
        usd_in: USD per prompt token.
        usd_out: USD per generated token, hidden reasoning included.
    """

    usd_in: float
    usd_out: float

    def of(self, prompt_tokens: int, generated_tokens: int) -> float:
        """Return the USD of one response."""
        return prompt_tokens * self.usd_in + generated_tokens * self.usd_out


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run may cost.

    Attributes:
        requests: Requests still to be asked.
        prompt_tokens: Their prompts, counted with litellm's tokenizer.
        most_generated_tokens: The sum of their budgets.
        most_usd: The cost if every budget is used up; None where the price is unknown.
    """

    requests: int
    prompt_tokens: int
    most_generated_tokens: int
    most_usd: float | None

    def line(self) -> str:
        """Return the estimate as one line."""
        counts = (
            f"{self.requests:,} requests, {self.prompt_tokens:,} prompt tokens, "
            f"at most {self.most_generated_tokens:,} generated tokens"
        )
        return f"{counts}: {'price unknown' if self.most_usd is None else 'at most ' + usd_text(self.most_usd)}"


def estimate(requests: Iterable[tuple[int, int]], price: Price | None) -> Estimate:
    """Return what requests of ``(prompt tokens, budget)`` may cost."""
    counted = list(requests)
    prompts, budgets = (sum(pair[side] for pair in counted) for side in (0, 1))
    return Estimate(len(counted), prompts, budgets, None if price is None else price.of(prompts, budgets))


def usd_text(usd: float) -> str:
    """Return an amount with enough digits to mean something: ``$12.34``, ``$0.0420``, ``$0.00025``."""
    if usd >= 1:
        return f"${usd:,.2f}"
    decimals = 4 if usd == 0 else max(4, 1 - floor(log10(abs(usd))))
    return f"${usd:.{decimals}f}"


class Purse:
    """Keeps a run below ``max_usd``: what is in flight counts with its whole budget until its cost is known.

    Args:
        max_usd: The limit, or None.
        spent: What earlier starts of the run cost.

    Attributes:
        spent: What was paid so far, in USD.
        in_flight: Attempts for which something is set aside.
    """

    def __init__(self, max_usd: float | None, spent: float = 0.0) -> None:
        self.max_usd = max_usd
        self.spent = spent
        self.in_flight = 0
        self._reserved = 0.0

    def reserve(self, most: float) -> bool:
        """Set ``most`` USD aside for an attempt; False if the limit does not allow it."""
        if self.max_usd is not None and self.spent + self._reserved + most > self.max_usd:
            return False
        self._reserved += most
        self.in_flight += 1
        return True

    def settle(self, most: float, actual: float) -> None:
        """Turn what was set aside into what it cost."""
        self.in_flight -= 1
        self._reserved = self._reserved - most if self.in_flight else 0.0  # no rounding error stays behind
        self.spent += actual
