"""Reading replies of API models, and deciding which failed requests are worth a retry."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from math import isfinite
from typing import Any

from roi_bench.exams.exam import sha256_text
from roi_bench.scoring.tokens import FinishReason, Usage, is_over_budget

# Replies: text, hidden reasoning, usage and cost of one response, read from the provider's JSON.


@dataclass(frozen=True, slots=True)
class ApiReply:
    """One finished response.

    Attributes:
        text: The visible answer; empty where the budget went into hidden reasoning.
        usage: Generated tokens as the provider counts them, hidden reasoning included; None where it does not say.
        usd: Its cost in USD, or None if unknown.
        record: Further fields for the journal: hidden reasoning, prompt tokens, latency, parameters sent, …
    """

    text: str
    usage: Usage | None
    usd: float | None
    record: Mapping[str, Any] = field(default_factory=dict)


class UnusableReplyError(Exception):
    """The provider answered 200 with something that is not a response; a retry may help."""


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
        raise UnusableReplyError("the reply has no choices")
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
        raise UnusableReplyError("the reply has neither text nor reasoning, spent tokens or a reason to have finished")
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
    """Return the provider's own finish reason; litellm replaces those that it does not know by ``stop``."""
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


# Detecting replies that belong to another request, by the ids that providers give to replies.


class ReplyIds:
    """Remembers the ids and texts of replies, to detect a reply that belongs to another request.

    A proxy or connection that is out of step can give one request the reply to another: same id, same text. Servers
    whose ids are not unique (one id for all, or drawn from a small range) show it by giving one id to two texts;
    from then on nothing is refused.

    Args:
        known: Text by id, of the replies that earlier starts of the run have recorded.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self._said = {identifier: sha256_text(text) for identifier, text in known.items()}
        self._are_unique = True

    def check(self, reply: ApiReply, refused_before: bool) -> None:
        """Note the id of ``reply``.

        Args:
            reply: A reply just come.
            refused_before: This request got another one's reply before; then a server that has given only one
                id so far is taken to have no others.

        Raises:
            UnusableReplyError: It was the reply to another request.
        """
        identifier = reply.record.get("provider_id")
        if not isinstance(identifier, str) or not self._are_unique:
            return
        said = sha256_text(reply.text)
        before = self._said.get(identifier)
        if before is None:
            self._said[identifier] = said
        elif before != said:
            self._are_unique = False
        elif len(self._said) > 1 or not refused_before:
            raise UnusableReplyError(f"the reply {identifier} has already answered another request")


# The consequence of a failed attempt: retry, slow down, give the request up, or stop the run.


class Kind(Enum):
    """What to do after a failed attempt."""

    AGAIN = "again"
    """A passing fault: ask again after a while."""
    SLOWER = "slower"
    """The provider asks to slow down: fewer requests at once, then again."""
    UNREACHABLE = "unreachable"
    """No connection could be made: ask again, but not for long if there never was one."""
    GIVE_UP = "give up"
    """The provider refuses this request; others may do."""
    STOP = "stop"
    """No request can succeed: wrong key, unknown model, no credit."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt.

    Attributes:
        kind: What to do about it.
        message: One line without secrets.
        retry_after: Seconds that the provider asks to wait, or None.
        maybe_paid: Whether the provider may have worked on it and bill it all the same.
    """

    kind: Kind
    message: str
    retry_after: float | None = None
    maybe_paid: bool = False


MAX_MESSAGE = 300
"""Most characters of a failure's message; what a provider says is cut so that our advice fits in."""

_SLOW_STATUS = (429, 529)
_ADVICE = {
    401: "check the key in the environment; behind base_url only that of api_key_env is sent",
    402: "check the account's credit",
    404: "check the model's name and base_url, which for most servers ends in /v1",
}
"""What to do about a status at which no request can succeed."""

_NO_KEY = re.compile(r"missing (\w+ )?(credentials|api.?key)", re.I)
_NO_CREDIT = re.compile(r"insufficient.quota|exceeded your current quota|credit balance|payment required", re.I)
_FOR_A_WHILE = re.compile(r"retry in|try again|rate.limit|per (min|hour|day)", re.I)
"""In a 429 about a quota: it is one that fills up again."""

_NO_CONNECTION = ("ConnectError", "ConnectTimeout", "ClientConnectorError", "ConnectionRefusedError", "gaierror")
_known_secrets: set[str] = set()
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.I)
_SUFFIX = re.compile(r" (Traceback \(most recent call last\)|Handle with `litellm|To drop (unsupported|these)).*$")
_PREFIX = re.compile(r"^(litellm\.)?\w*(Error|Exception|Timeout): ?(\w+(Error|Exception|Timeout)(:| -) ?)*")


def failure_of(error: BaseException) -> Failure:
    """Classify the ``error`` of an attempt (litellm's, the openai client's, or ours)."""
    message = one_line(error)
    if isinstance(error, UnusableReplyError):
        return Failure(Kind.AGAIN, message, maybe_paid=True)
    if _never_connected(error):
        return Failure(Kind.UNREACHABLE, f"{message.rstrip('.')} (the server cannot be reached; is base_url right?)")
    if isinstance(error, TimeoutError) or type(error).__name__ in ("Timeout", "APITimeoutError"):
        return Failure(Kind.AGAIN, f"no response in time: {message}", maybe_paid=True)
    status = getattr(error, "status_code", None)
    wait = retry_after(_headers(error))
    said = f"{message} {getattr(error, 'body', '')}"
    fills_up_again = status == 429 and (wait is not None or _FOR_A_WHILE.search(said))
    if "insufficient_quota" in said or (
        status in (400, 402, 403, 429) and _NO_CREDIT.search(said) and not fills_up_again
    ):
        return Failure(Kind.STOP, message)
    if status in _SLOW_STATUS:
        return Failure(Kind.SLOWER, message, wait)
    if status in _ADVICE:
        return Failure(Kind.STOP, f"{message.rstrip('.')} ({_ADVICE[status]})")
    if _NO_KEY.search(message):
        return Failure(Kind.STOP, f"no key in the environment ({message})")
    if isinstance(status, int) and 400 <= status < 500 and status not in (408, 409, 425):
        return Failure(Kind.GIVE_UP, message)
    if status == 503:
        return Failure(Kind.SLOWER, message, wait)
    return Failure(Kind.AGAIN, message, wait, maybe_paid=True)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (RFC 9110, section 10.2.3), or None.

    Args:
        headers: Response headers in lower case.
        now: Present time, for a header that gives a date.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return None
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        seconds = (until - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if isfinite(seconds) else None


def one_line(error: BaseException) -> str:
    """Return the message of ``error`` as one line of bounded length, without secrets and litellm's prefixes."""
    text = _SUFFIX.sub("", _PREFIX.sub("", " ".join(str(error).split()))) or type(error).__name__
    named = {value for name, value in os.environ.items() if _SECRET_NAME.search(name)}
    secrets = {" ".join(value.split()) for value in named | _known_secrets}
    for secret in sorted(secrets, key=len, reverse=True):  # one may begin with another
        if len(secret) >= 8:
            text = text.replace(secret, "***")
    most = MAX_MESSAGE - 100
    return text if len(text) <= most else text[: most - 1] + "…"


def never_show(secret: str) -> None:
    """Keep ``secret`` out of every message, whatever its environment variable is called."""
    _known_secrets.add(secret)


def _never_connected(error: BaseException) -> bool:
    """Whether the failure behind ``error`` is that no connection could be made, so that nothing was sent."""
    seen: BaseException | None = error
    while seen is not None:
        if any(cls.__name__ in _NO_CONNECTION for cls in type(seen).__mro__):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _headers(error: BaseException) -> dict[str, str]:
    response = getattr(error, "response", None)
    for headers in (getattr(error, "litellm_response_headers", None), getattr(response, "headers", None)):
        if headers:
            return {str(name).lower(): str(value) for name, value in dict(headers).items()}
    return {}
