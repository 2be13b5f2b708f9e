"""What a failed attempt means: ask again, slow down, give this request up, or stop the run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from math import isfinite

from roi_bench.api.replies import UnusableReplyError


class Kind(Enum):
    """What to do about a failed attempt."""

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
    """Return what the ``error`` of an attempt (litellm's, the openai client's, or ours) means."""
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
