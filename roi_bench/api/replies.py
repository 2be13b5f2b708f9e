"""What came back: text, hidden reasoning, usage and cost of one response, read from the provider's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from roi_bench.scoring.tokens import FinishReason, Usage, is_over_budget


@dataclass(frozen=True, slots=True)
class ApiReply:
    """One finished response.

    Attributes:
        text: The visible answer; empty where the budget went into hidden reasoning.
        usage: Generated tokens as the provider counts them, hidden reasoning included; None where it does not say.
        usd: What it cost, or None if unknown.
        record: What else the journal keeps: hidden reasoning, prompt tokens, latency, parameters sent, …
    """

    text: str
    usage: Usage | None
    usd: float | None
    record: Mapping[str, Any] = field(default_factory=dict)


class UnusableReplyError(Exception):
    """The provider answered 200 with something that is no response; asking again may help."""


def read_reply(
    body: Mapping[str, Any], budget: int, *, usd: float | None, think_end_token: str | None, record: Mapping[str, Any]
) -> ApiReply:
    """Return the response in a chat or text completion ``body``.

    Args:
        body: The completion object, in OpenAI's form.
        budget: The cap that was sent, in tokens.
        usd: Its cost, if known.
        think_end_token: Text that ends hidden reasoning inside the visible text, or None. A text that the cap ended
            before it is all reasoning.
        record: Further fields for the journal.

    Raises:
        UnusableReplyError: It holds no choice, or nothing at all, or the provider failed in the middle of it.
    """
    choices = body.get("choices") or []
    if not choices or not isinstance(choices[0], Mapping):
        raise UnusableReplyError("the reply holds no choices")
    choice = choices[0]
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {}
    content = message.get("content") if "message" in choice else choice.get("text")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    text = content if isinstance(content, str) else ""
    tokens, details = _tokens(body.get("usage") or {})
    reason = choice.get("finish_reason")
    if (native := _native_reason(choice)).casefold() in _FAILED:
        raise UnusableReplyError(f"the provider failed in the middle of the reply (finish reason {native})")
    if not text and not tokens and not reasoning and reason is None:
        raise UnusableReplyError(
            "the reply holds neither text nor reasoning, spent tokens or a reason to have finished"
        )
    if not tokens:
        tokens = None  # something that took no tokens: the provider does not count
    if think_end_token and think_end_token in text:
        inside, _, text = text.rpartition(think_end_token)
        reasoning = f"{reasoning or ''}{inside}"
    elif think_end_token and not reasoning and _finish_reason(reason) == "length":
        reasoning, text = text, ""  # the budget ended it before the reasoning did
    usage = None if tokens is None else Usage(tokens, _finish_reason(reason), "provider")
    kept = {
        **({"reasoning": reasoning} if reasoning else {}),
        **details,
        "usd": usd,
        "finish_reason": reason,
        "provider_model": body.get("model"),
        "provider_id": body.get("id"),
        **record,
    }
    if usage is not None and is_over_budget(usage, budget):
        kept["over_budget"] = True
    return ApiReply(text, usage, usd, kept)


_FAILED = ("error", "network_error")
"""Reasons to have finished that are none of the model's: the provider failed."""


def _native_reason(choice: Mapping[str, Any]) -> str:
    """Return the provider's own reason to have finished; litellm turns those that it does not know into ``stop``."""
    fields = choice.get("provider_specific_fields")
    native = fields.get("native_finish_reason") if isinstance(fields, Mapping) else None
    return str(native or choice.get("finish_reason") or "")


def _finish_reason(reason: object) -> FinishReason | None:
    if reason in ("length", "max_tokens"):
        return "length"
    return "stop" if reason in ("stop", "end_turn", "eos") else None


def _tokens(usage: Mapping[str, Any]) -> tuple[int | None, dict[str, int]]:
    """Return the generated tokens, None where the provider reports no usage at all, and the counts worth keeping.

    Some providers leave hidden reasoning out of ``completion_tokens`` but count it in ``total_tokens``.
    """
    prompt, completion, total = (int(usage.get(f"{part}_tokens") or 0) for part in ("prompt", "completion", "total"))
    generated = max(completion, total - prompt)
    if not prompt and not generated:
        return None, {}
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    details = usage.get("completion_tokens_details") or {}
    if isinstance(details, Mapping) and details.get("reasoning_tokens") is not None:
        counts["reasoning_tokens"] = int(details["reasoning_tokens"])
    return generated, counts
