"""Reading replies of API models: what each holds, whether they still are replies to the exam, what a failure means."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from math import isfinite
from typing import Any

from roi_bench.exams.exam import sha256_text
from roi_bench.scoring.tokens import FinishReason, Usage, is_over_budget, was_cut_short

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


class NotSentError(Exception):
    """A call failed on this machine, before anything was sent: a package is missing, or litellm fell over it."""


def read_reply(
    body: Mapping[str, Any],
    budget: int,
    *,
    usd: float | None,
    think_end_token: str | None,
    record: Mapping[str, Any],
    raw: Mapping[str, Any] | None = None,
) -> ApiReply:
    """Return the response in a chat or text completion ``body``.

    Args:
        body: The completion object, in OpenAI's form.
        budget: The cap that was sent, in tokens.
        usd: Its cost, if known.
        think_end_token: Text that ends hidden reasoning inside the visible text, or None. With one, a response begins
            in reasoning (SPEC section 5), so that a text without it is all reasoning, unless the provider has parted
            the two itself.
        record: Further fields for the journal.
        raw: The provider's own JSON, where ``body`` was made from it: litellm replaces reasons to have finished.

    Raises:
        UnusableReplyError: It holds nothing, not even spent tokens, or the provider failed in the middle of it.
    """
    raw = chat_form(body if raw is None else raw)
    choice = _first(body.get("choices"))
    tokens, details = tokens_of(usage_of(body))
    if choice is None and (not tokens or body.get("error")):
        raise UnusableReplyError("the reply has no choices")
    choice = choice or {}  # tokens were spent and nothing was said: all went into hidden reasoning
    if failed := _failure_in(choice, raw):
        raise UnusableReplyError(f"the provider failed in the middle of the reply ({failed})")
    text, reasoning = _said(choice, raw)
    if not text and not tokens and not reasoning:
        raise UnusableReplyError("the reply has neither text nor reasoning nor spent tokens")
    if not tokens:
        tokens = None  # something that took no tokens: the provider does not count
    if think_end_token and think_end_token in text:
        inside, _, text = text.rpartition(think_end_token)
        reasoning = f"{reasoning or ''}{inside}"
    elif think_end_token and not reasoning:
        reasoning, text = text, ""
    native = _native_reason(choice, raw)
    usage = None if tokens is None else Usage(tokens, _finish_reason(native, tokens, budget), "provider")
    reason = choice.get("finish_reason")
    kept = {
        **({"reasoning": reasoning} if reasoning else {}),
        **details,
        "usd": usd,
        "finish_reason": reason,
        **({"native_finish_reason": native} if native != reason else {}),
        "provider_model": body.get("model"),
        "provider_id": body.get("id"),
        **record,
    }
    if usage is not None and is_over_budget(usage, budget):
        kept["over_budget"] = True
    return ApiReply(text, usage, usd, kept)


def json_object(text: str | None) -> dict[str, Any]:
    """Return the JSON object that ``text`` holds, an empty one where it holds none."""
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def chat_form(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reply of OpenAI's Responses API as a chat completion, with all its messages; another as it is.

    https://platform.openai.com/docs/api-reference/responses/object
    """
    if body.get("object") != "response":
        return dict(body)
    items = [item for item in body.get("output") or [] if isinstance(item, Mapping)]
    parts = [part for item in items if item.get("type") == "message" for part in item.get("content") or []]
    thoughts = [part for item in items if item.get("type") == "reasoning" for part in item.get("summary") or []]
    content, reasoning = _texts(parts, thinking=False), _texts(thoughts, thinking=False)
    refusal = "".join(str(part.get("refusal") or "") for part in parts if isinstance(part, Mapping))
    message = {"role": "assistant", "content": content, "refusal": refusal, "reasoning_content": reasoning}
    status, why = body.get("status"), (body.get("incomplete_details") or {}).get("reason")
    reason = {"completed": "stop", "incomplete": why, "failed": "error"}.get(str(status), status)
    usage = body.get("usage") or {}
    counts = {"prompt_tokens": "input_tokens", "completion_tokens": "output_tokens", "total_tokens": "total_tokens"}
    return {
        "id": body.get("id"),
        "model": body.get("model"),
        "choices": [{"message": message, "finish_reason": reason, "error": body.get("error")}],
        "usage": {
            **{name: usage.get(theirs) for name, theirs in counts.items()},
            "completion_tokens_details": usage.get("output_tokens_details"),
        },
    }


def _first(values: object) -> Mapping[str, Any] | None:
    """Return the first of ``values`` if it is an object."""
    found = values[0] if isinstance(values, Sequence) and values else None
    return found if isinstance(found, Mapping) else None


def _said(choice: Mapping[str, Any], raw: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return text and hidden reasoning of a choice; a refusal is text too, in the provider's own reply as well.

    Nothing else of the latter is text: it may hold reasoning that litellm has parted from it.
    """
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {}
    content = message.get("content") if "message" in choice else choice.get("text")
    said = _texts(content, thinking=False) or _refusal(choice) or _refusal(_first(raw.get("choices")) or {})
    reasoning = message.get("reasoning_content") or message.get("reasoning") or _texts(content, thinking=True)
    return said, reasoning if isinstance(reasoning, str) and reasoning else None


def _refusal(choice: Mapping[str, Any]) -> str:
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {}
    fields = message.get("provider_specific_fields")
    found = message.get("refusal") or (fields.get("refusal") if isinstance(fields, Mapping) else None)
    return found if isinstance(found, str) else ""


def _texts(content: object, *, thinking: bool) -> str:
    """Return the text of a content, which is text or a list of parts (Mistral); or that of its parts of reasoning."""
    if isinstance(content, str):
        return "" if thinking else content
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    chosen = [part for part in parts if (part.get("type") == "thinking") is thinking]
    return "".join(
        found
        if isinstance(found := part.get("thinking" if thinking else "text"), str)
        else _texts(found, thinking=False)
        for part in chosen
    )


_FAILED = ("error", "network_error", "insufficient_system_resource", "abort", "repetition", "cancelled", "failed")
"""Reasons to have finished that are none of the model's: the provider failed, or stopped it."""

_CUT = ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded")
_ENDED = ("stop", "end_turn", "eos", "eos_token", "stop_sequence")


def _failure_in(choice: Mapping[str, Any], raw: Mapping[str, Any]) -> str | None:
    """Return what the provider says of a failure in the middle of a reply, or None."""
    fields = choice.get("provider_specific_fields")
    errors = [
        source.get("error") for source in (choice, fields, _first(raw.get("choices"))) if isinstance(source, Mapping)
    ]
    for error in filter(None, errors):
        said = error.get("message") if isinstance(error, Mapping) else error
        return " ".join(f"{said}".split())[:120]
    native = str(_native_reason(choice, raw) or "")
    return f"finish reason {native}" if native.casefold() in _FAILED else None


def _native_reason(choice: Mapping[str, Any], raw: Mapping[str, Any]) -> object:
    """Return the provider's own reason to have finished; litellm replaces those that it does not know by ``stop``."""
    fields = choice.get("provider_specific_fields")
    if native := fields.get("native_finish_reason") if isinstance(fields, Mapping) else None:
        return native
    theirs = _first(raw.get("choices"))
    if theirs is not None and "finish_reason" in theirs:
        return theirs["finish_reason"]
    return raw["stop_reason"] if "stop_reason" in raw else choice.get("finish_reason")  # the former is Claude's


def _finish_reason(reason: object, tokens: int, budget: int) -> FinishReason | None:
    """Return why a response ended; where nobody says it, one that used up its budget was cut."""
    if not reason:
        return "length" if tokens >= budget else None
    name = str(reason).casefold()
    return "length" if name in _CUT else "stop" if name in _ENDED else None


MOST_TOKENS = 10**8
"""A count above it is no count."""


def usage_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the usage in a completion object, an empty one where there is none that can be read."""
    usage = body.get("usage")
    return usage if isinstance(usage, Mapping) else {}


def tokens_of(usage: Mapping[str, Any]) -> tuple[int | None, dict[str, Any]]:
    """Return the generated tokens, None where the provider reports none that can be, and the counts worth keeping.

    Some providers leave hidden reasoning out of ``completion_tokens`` but count it in ``total_tokens``.
    """
    counts = [_count(usage.get(f"{part}_tokens") or 0) for part in ("prompt", "completion", "total")]
    if None in counts:
        return None, {"usage_refused": {name: str(usage[name]) for name in usage if name.endswith("_tokens")}}
    prompt, completion, total = (count or 0 for count in counts)
    generated = max(completion, total - prompt)
    if not prompt and not generated:
        return None, {}
    kept: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": completion}
    details = usage.get("completion_tokens_details") or {}
    reasoning = details.get("reasoning_tokens") if isinstance(details, Mapping) else None
    if reasoning is not None and (hidden := _count(reasoning)) is not None:
        kept["reasoning_tokens"] = hidden
    return generated, kept


def _count(value: object) -> int | None:
    """Return ``value`` if it can be a number of tokens."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= MOST_TOKENS
        or value != int(value)
    ):
        return None
    return int(value)


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
        self._said = {_short(identifier): _short(text) for identifier, text in known.items()}
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
        name, said = _short(identifier), _short(reply.text)
        before = self._said.get(name)
        if before is None:
            self._said[name] = said
        elif before != said:
            self._are_unique = False
        elif len(self._said) > 1 or not refused_before:
            raise UnusableReplyError(f"the reply {identifier} has already answered another request")


def _short(text: str) -> int:
    """Return 60 bits of a text's hash: a number takes half the memory of the text of a hash."""
    return int(sha256_text(text)[:15], 16)


# Noticing while a run goes on that it does not measure the exam any more.

FEW, ENOUGH = 3, 16
"""Replies of a kind before a warning, and replies of which all are of a kind before a stop."""


class RunWatch:
    """Warns once of each way in which replies can be those to another exam, and stops where all of them are.

    Args:
        think_end_token: See :func:`read_reply`.

    Attributes:
        stop: Why the run should stop, in one line; None while some reply is worth something.
    """

    def __init__(self, think_end_token: str | None = None) -> None:
        self._end = think_end_token
        self._seen = self._worthless = 0
        self._counts: dict[str, int] = {}
        self._samples: dict[str, str] | None = {}
        self._pairs = 0
        self.stop: str | None = None

    def note(self, prompt: str, budget: int, reply: ApiReply, *, sampled: bool) -> str | None:
        """Return a warning, in one line, if there is a new one.

        Args:
            prompt: What was asked.
            budget: The cap that was sent, in tokens.
            reply: The reply.
            sampled: Whether sampling was asked for, so that replies to one prompt should differ.
        """
        self._seen += 1
        wrong = list(self._wrong(budget, reply))
        warnings = [self._count(name, message) for name, message in wrong]
        self._worthless += bool(wrong)
        if self._worthless == self._seen == ENOUGH:
            self.stop = f"all of the first {ENOUGH} responses are worth nothing, e.g. {wrong[-1][1]}"
        if sampled and (said := f"{reply.text}\0{reply.record.get('reasoning', '')}") != "\0":
            warnings.append(self._compare(prompt, said))
        return next(filter(None, warnings), None)

    def _wrong(self, budget: int, reply: ApiReply) -> Iterator[tuple[str, str]]:
        """Yield a name and a description of what is wrong with a reply."""
        usage, reason = reply.usage, reply.record.get("finish_reason")
        ended = reason not in _CUT if usage is None else usage.finish_reason == "stop"
        if self._end and not reply.text and ended:
            said = f"without {self._end}, so that all of each counts as reasoning and answers nothing; if the model "
            yield "open", said + "does not think, take think_end_token out of --model_args"
        if usage is None:
            return
        if was_cut_short(usage, budget):
            said = f"cut below the budget of {budget}, e.g. at {usage.tokens} tokens: the server's context is smaller "
            yield "cut", said + "than prompt + budget, or it has a limit of its own; raise it there"
        if is_over_budget(usage, budget):
            said = f"over the budget of {budget}, e.g. {usage.tokens} tokens: the server does not keep to the cap, and "
            yield "over", said + "such responses score nothing; see cap in docs/api-models.md"

    def _count(self, name: str, message: str) -> str | None:
        self._counts[name] = self._counts.get(name, 0) + 1
        return f"responses are {message}" if self._counts[name] == FEW else None

    def _compare(self, prompt: str, said: str) -> str | None:
        """Note a sample; warn if none of the first that could differ from an earlier one to the same prompt did."""
        if self._samples is None:
            return None
        before = self._samples.setdefault(prompt, said)
        if before is said:
            return None
        self._pairs += 1
        are_equal = before == said
        if are_equal and self._pairs < ENOUGH // 2:
            return None
        self._samples = None  # that is known now
        advice = "transformers serve: add server=transformers to --model_args"
        return f"sampling was asked for, but samples of one prompt are all equal ({advice})" if are_equal else None


# The consequence of a failed attempt: retry, slow down, give the request up, or stop the run.


class Kind(Enum):
    """What to do after a failed attempt."""

    AGAIN = "again"
    """A passing fault: ask again after a while."""
    SLOWER = "slower"
    """The provider asks to slow down: fewer requests at once, then again."""
    UNUSABLE = "unusable"
    """What came is no response and may have to be paid: ask again, but not for long if no response ever came."""
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
        usd: What it cost, where a reply without a response says so.
    """

    kind: Kind
    message: str
    retry_after: float | None = None
    maybe_paid: bool = False
    usd: float | None = None


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
_PREFIX = re.compile(r"^(litellm\.)?\w*(Error|Exception|Timeout): ?((litellm\.)?\w+(Error|Exception|Timeout)(:| -) ?)*")


def failure_of(error: BaseException) -> Failure:
    """Classify the ``error`` of an attempt (litellm's, the openai client's, or ours)."""
    message = one_line(error)
    if isinstance(error, UnusableReplyError):
        return Failure(Kind.UNUSABLE, message, maybe_paid=True)
    if isinstance(error, NotSentError):
        return Failure(Kind.STOP, f"the request could not be made: {message} (nothing was sent)")
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

    ``retry-after-ms``, which some providers send beside it, is more precise and wins.

    Args:
        headers: Response headers in lower case.
        now: Present time, for a header that gives a date.
    """
    value = headers.get("retry-after", "").strip()
    thousandths, seconds = _number(headers.get("retry-after-ms", "")), _number(value)
    if thousandths is not None:
        return max(0.0, thousandths / 1000)
    if seconds is None:
        try:
            until = parsedate_to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return None
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        seconds = (until - (now or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if isfinite(seconds) else None


def _number(text: str) -> float | None:
    """Return the finite number that ``text`` is, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def one_line(error: BaseException) -> str:
    """Return the message of ``error`` as one short line without secrets, litellm's prefixes and a full stop."""
    text = _SUFFIX.sub("", _PREFIX.sub("", " ".join(str(error).split()))) or type(error).__name__
    text = text if text.endswith("..") else text.removesuffix(".")
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
