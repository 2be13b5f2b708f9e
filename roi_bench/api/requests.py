"""One request to an API model, what makes its attempts, what can become of it, and how a run over many can end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from roi_bench.api.replies import ApiReply

if TYPE_CHECKING:
    from roi_bench.api.gateway import Completion


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request.

    Attributes:
        index: Its place in the caller's list.
        prompt: The prompt, or a conversation as text (:func:`roi_bench.api.parameters.chat_prompt`).
        parameters: Parameters of the call.
        budget: The cap among them, in tokens.
    """

    index: int
    prompt: str
    parameters: Mapping[str, Any]
    budget: int


@dataclass(frozen=True, slots=True)
class Missing:
    """A request to which no response could be had.

    Attributes:
        message: Why, in one line.
        record: What else the journal keeps: attempts, and what they may have cost.
    """

    message: str
    record: Mapping[str, Any]


Outcome = ApiReply | Missing
OnOutcomes = Callable[[Sequence[tuple[ApiRequest, Outcome]]], None]


class Ending(Enum):
    """How a run over requests ended: done, by Ctrl-C, at its limit of money, for a reason that no request can pass, or
    with a batch submitted whose results are still to come.
    """

    DONE = "done"
    INTERRUPTED = "interrupted"
    MONEY = "money"
    STOPPED = "stopped"
    SUBMITTED = "submitted"


class GatewayLike(Protocol):
    """Makes single attempts; :class:`roi_bench.api.gateway.Gateway` does it with litellm."""

    async def complete(self, prompt: str, parameters: Mapping[str, Any]) -> Completion:
        """Ask for one response."""
        ...

    def prompt_tokens(self, prompt: str) -> int:
        """Return about how many tokens ``prompt`` takes."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
