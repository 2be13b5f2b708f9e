"""The one place that touches litellm: calls, what a call would send, model facts, prices, token counts."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import os
import re
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from roi_bench.api.limits import dearest_prices
from roi_bench.api.replies import (
    ApiReply,
    NotSentError,
    UnusableReplyError,
    chat_form,
    json_object,
    one_line,
    tokens_of,
    usage_of,
)
from roi_bench.api.settings import (
    NOT_PARAMETERS,
    OTHER,
    ApiSettings,
    checked_url,
    make_of_server,
    messages_of,
    without_prompt,
)
from roi_bench.errors import DependencyError, ModelError


@dataclass(slots=True)
class _Call:
    """What the callback notes of the call of one task.

    Attributes:
        body: The body of the request as litellm really sends it; None where that is not known.
        is_begun: Whether the request is going out.
        raw: The provider's reply as it came, where there was one.
        rehearsal: Stop before anything is sent.
    """

    body: Mapping[str, Any] | None = None
    is_begun: bool = False
    raw: str | None = None
    rehearsal: bool = False


_CALL: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("roi_bench_call", default=None)


class _RehearsedError(BaseException):
    """Ends a call before it is sent. No ``Exception``, because litellm keeps those of callbacks to itself."""


class _LoopWithoutNetwork(asyncio.SelectorEventLoop):
    """An event loop without connections: whatever a provider's client does, a rehearsal sends nothing."""

    async def create_connection(self, *_: Any, **__: Any) -> Any:
        """Make none."""
        raise ConnectionError("a rehearsal sends nothing")

    getaddrinfo = sock_connect = create_connection


BASE_VARIABLES = ("BASE_URL", "API_BASE")
"""Ends of the environment variables (after the provider's name) in which litellm and the openai client find servers."""

OPENAI_PROTOCOL = ("openai", "text-completion-openai", "hosted_vllm")
"""litellm's providers that may be anybody's server."""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Facts about a model from litellm's model list; None where it has none.

    Attributes:
        provider: litellm's name of the provider.
        name: The provider's name of the model.
        mode: ``chat``, ``completion``, ``responses`` ….
        max_input_tokens: Longest prompt.
        max_output_tokens: Longest response.
        usd_in: USD per prompt token.
        usd_out: USD per generated token.
        batch_usd_in: USD per prompt token in batch mode.
        batch_usd_out: USD per generated token in batch mode.
        context: Most tokens of prompt and response together, where the user gives it.
        cache_has_price: Whether the list has a price for cached prompt tokens.
    """

    provider: str
    name: str
    mode: str | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    usd_in: float | None = None
    usd_out: float | None = None
    batch_usd_in: float | None = None
    batch_usd_out: float | None = None
    context: int | None = None
    cache_has_price: bool = False


def import_litellm() -> Any:
    """Return litellm, configured: bundled price list unless the user says otherwise, nothing dropped silently.

    Raises:
        DependencyError: It is not installed.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # the installed version's prices: the same every time
    # Of modules that litellm loads with the first call, and of odd replies that it copies; a filter for a block would
    # meet those of other calls.
    for harmless in (r"Items? '.* `ReadOnly` qualifier", "Pydantic serializer warnings"):
        warnings.filterwarnings("ignore", harmless, UserWarning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries that it imports
            import litellm
    except ImportError as error:
        raise DependencyError(
            f"API models need the package litellm, which cannot be imported ({one_line(error)}); "
            "pip install 'roi-bench[api]'"
        ) from error
    litellm.suppress_debug_info = True
    litellm.drop_params = False
    litellm.telemetry = False
    # As one of its callbacks for everything it would have litellm prepare a log entry of every response as well.
    if not any(getattr(callback, "roi_bench", False) for callback in litellm.input_callback):
        litellm.input_callback.append(_call_logger())
    return litellm


def _call_logger() -> Any:
    from litellm.integrations.custom_logger import CustomLogger

    class CallLogger(CustomLogger):
        """Notes the body of every request before it goes out, and the reply as it comes."""

        roi_bench = True

        def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
            if (call := _CALL.get()) is None:
                return
            body = (kwargs.get("additional_args") or {}).get("complete_input_dict")
            call.is_begun = True
            if isinstance(body, str):
                body = json_object(body)  # Bedrock's
            call.body = dict(body) if body and isinstance(body, Mapping) else None
            if call.rehearsal:
                raise _RehearsedError

        def log_post_api_call(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
            reply = kwargs.get("original_response")
            if (call := _CALL.get()) is not None and isinstance(reply, str):
                call.raw = reply

    return CallLogger()


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished call.

    Attributes:
        body: The completion object in OpenAI's form.
        usd: Its cost by litellm's price list or the user's prices, or None if unknown.
        sent: The parameters that were really sent.
        raw: The provider's own JSON, if it is known.
    """

    body: dict[str, Any]
    usd: float | None
    sent: dict[str, Any]
    raw: dict[str, Any] | None = None


class Gateway:
    """Calls one API model through litellm.

    Args:
        settings: The model and how it is asked.

    Raises:
        DependencyError: litellm is not installed.
        ModelError: litellm knows no such provider.
        UsageError: The variable that ``api_key_env`` names is not set.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self.settings = settings
        self._litellm = import_litellm()
        self._pool: Any = None
        self._make = settings.server
        self.model, provider, name = self._resolve()
        found = next(filter(None, (os.environ.get(f"{provider.upper()}_{part}") for part in BASE_VARIABLES)), None)
        if settings.base_url is None and found is not None:
            self.settings = replace(
                settings, base_url=checked_url(found)
            )  # the server's address is part of the run's identity
        self.facts = self._facts(provider, name)
        key = settings.api_key()
        if key is None and settings.base_url is not None and self._is_elsewhere(provider):
            key = "none"  # the provider's own key is not meant for it, and the openai client insists on some
        access = {"api_base": self.settings.base_url, "api_key": key}
        self.access = {name: value for name, value in access.items() if value is not None}

    def _resolve(self) -> tuple[str, str, str]:
        """Return litellm's name of the model, its provider, and the provider's name of it."""
        wanted, base = self.settings.model, self.settings.base_url
        for model in (wanted, f"openai/{wanted}") if base else (wanted,):
            try:
                name, provider, _, _ = self._litellm.get_llm_provider(model)
            except Exception as error:  # noqa: BLE001 - litellm raises its BadRequestError, and others for odd names
                reason = error
            else:
                return model, str(provider), str(name)
        raise ModelError(
            f"litellm knows no provider for model {wanted!r} ({one_line(reason)[:120]}); name it as PROVIDER/MODEL, "
            "e.g. openai/gpt-4o-mini, or give the base_url of an OpenAI-compatible server"
        )

    def _facts(self, provider: str, name: str) -> ModelFacts:
        try:
            info = dict(self._litellm.get_model_info(model=name, custom_llm_provider=provider))
        except Exception:  # noqa: BLE001 - it says "not mapped yet" by a bare Exception
            info = {}
        if self._is_elsewhere(provider):
            info = {}  # a server of the user's: another model of that name, and no list price
        tier = f"_{self.settings.service_tier}" if self.settings.service_tier else ""
        prices = [
            info.get(f"{side}_cost_per_token{mode}") for mode in (tier, "_batches") for side in ("input", "output")
        ]
        dearest = dearest_prices(info)
        if not any(prices[:2]):
            prices[:2] = [info.get(f"{side}_cost_per_token") or dearest[side] or None for side in ("input", "output")]
        own = (self.settings.input_cost_per_token, self.settings.output_cost_per_token)
        if None not in own:
            prices = [*own, None, None]
        elif not any(prices[:2]):
            prices = [None] * 4  # the list has zeros for models without a price
        usd_in, usd_out, batch_usd_in, batch_usd_out = prices
        if None in own and usd_in is not None and usd_out is not None:
            usd_in, usd_out = max(usd_in, dearest["input"]), max(usd_out, dearest["output"])
        return ModelFacts(
            provider,
            name,
            mode=info.get("mode"),
            max_input_tokens=info.get("max_input_tokens"),
            max_output_tokens=info.get("max_output_tokens"),
            usd_in=usd_in,
            usd_out=usd_out,
            batch_usd_in=batch_usd_in,
            batch_usd_out=batch_usd_out,
            context=self.settings.max_length,
            cache_has_price=info.get("cache_read_input_token_cost") is not None and None in own,
        )

    def _is_elsewhere(self, provider: str) -> bool:
        """Whether ``base_url`` is a server other than OpenAI's own that only speaks its protocol."""
        host = urlsplit(self.settings.base_url or "").hostname
        return host is not None and provider in OPENAI_PROTOCOL and not f".{host}".endswith(".openai.com")

    @property
    def own_server(self) -> str | None:
        """The address of a server that need not be a provider's own API; None for a provider's API."""
        return self.settings.base_url if self._is_elsewhere(self.facts.provider) else None

    def make(self) -> str:
        """Return which software the server runs; asked once, and only if it is not a provider's own API."""
        if self._make is None:
            url = self.own_server
            self._make = OTHER if url is None else make_of_server(url, self.facts.name, self.access.get("api_key"))
        return self._make

    @property
    def _is_text(self) -> bool:
        return self.settings.endpoint == "completions"

    def _allowed(self) -> dict[str, Any]:
        """Return the parameters to pass to an unknown server although litellm's list does not name them."""
        return {"allowed_openai_params": ["reasoning_effort"]} if self._is_elsewhere(self.facts.provider) else {}

    def mapped(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``parameters`` as the provider takes them, without asking it.

        Raises:
            Exception: litellm's UnsupportedParamsError where one would be dropped.
        """
        plain = {name: value for name, value in parameters.items() if name != "extra_body"}
        mapped: dict[str, Any] = self._litellm.get_optional_params(
            model=self.facts.name,
            custom_llm_provider=self.facts.provider,
            drop_params=False,
            **plain,
            **self._allowed(),
        )
        return {name: value for name, value in mapped.items() if name not in NOT_PARAMETERS}

    def bodies(self, requests: Sequence[ApiRequest]) -> list[dict[str, Any]]:
        """Return the JSON bodies of ``requests`` as they would be sent; made here where litellm does not tell."""
        rehearsed = self.rehearse([(request.prompt, request.parameters) for request in requests])
        return [
            _flat(self._own_body(request) if body is None else body)
            for request, body in zip(requests, rehearsed, strict=True)
        ]

    def _own_body(self, request: ApiRequest) -> dict[str, Any]:
        asked = {"prompt": request.prompt} if self._is_text else {"messages": messages_of(request.prompt)}
        extra = request.parameters.get("extra_body") or {}
        return {"model": self.facts.name, **self.mapped(request.parameters), **extra, **asked}

    def takes(self, parameter: str) -> bool:
        """Whether the provider takes a ``parameter`` for this model, as far as litellm knows."""
        supported = self._litellm.get_supported_openai_params(self.facts.name, self.facts.provider) or []
        return parameter in supported

    def prompt_tokens(self, prompt: str) -> int:
        """Return about how many tokens ``prompt`` takes (litellm's tokenizer for the model; close, not exact)."""
        return int(self._litellm.token_counter(model=self.facts.name, messages=messages_of(prompt)))

    async def complete(self, prompt: str, parameters: Mapping[str, Any]) -> Completion:
        """Ask for one response; one attempt, no retries.

        Raises:
            NotSentError: It failed before anything was sent.
            Exception: One of litellm's or the openai client's errors; see :func:`roi_bench.api.replies.failure_of`.
        """
        call = _Call()
        _CALL.set(call)
        timeout = self.settings.timeout
        try:
            # some providers' clients overlook their time-out
            response = await asyncio.wait_for(self._call(prompt, parameters), timeout * 1.1 + 1)
            body, hidden = response.model_dump(), getattr(response, "_hidden_params", None) or {}
        except Exception as error:
            if not call.is_begun and _is_of_this_machine(error):
                raise NotSentError(one_line(_first_cause(error))) from error
            raw = chat_form(json_object(call.raw))
            if not raw.get("choices"):
                if call.is_begun and (_is_unreadable(error) or _has_come(call.raw, error)):
                    raise UnusableReplyError(f"the reply cannot be read: {one_line(error)}") from error
                raise
            body, hidden = raw, {}  # a reply that came, and that litellm could not take
        raw = json_object(call.raw)
        usd = self._usd(hidden.get("response_cost"), usage_of(body), raw)
        return Completion(body, usd, without_prompt(_flat(call.body or {}), prompt), raw or None)

    def _call(self, prompt: str, parameters: Mapping[str, Any]) -> Coroutine[Any, Any, Any]:
        arguments = {**self.access, **self._prices(), **self._allowed(), **parameters}
        limits = {"timeout": self.settings.timeout, "max_retries": 0, "num_retries": 0}
        if self._is_text:
            self._share_connections()
            found = self._litellm.atext_completion(**self._text_target(), prompt=prompt, **arguments, **limits)
        else:
            found = self._litellm.acompletion(model=self.model, messages=messages_of(prompt), **arguments, **limits)
        return cast("Coroutine[Any, Any, Any]", found)

    def rehearse(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any] | None]:
        """Return the bodies that requests would have, given as prompt and parameters; nothing is sent.

        None stands for one that litellm cannot make here.
        """

        async def bodies() -> list[dict[str, Any] | None]:
            try:
                return [await self._rehearsed(*request) for request in requests]
            finally:
                await self.close()

        def run() -> list[dict[str, Any] | None]:
            with asyncio.Runner(loop_factory=_LoopWithoutNetwork) as runner:
                return runner.run(bodies())

        with ThreadPoolExecutor(1) as pool:  # there may be an event loop here already (a notebook)
            return pool.submit(run).result()

    async def _rehearsed(self, prompt: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
        call = _Call(rehearsal=True)
        _CALL.set(call)
        try:
            with contextlib.suppress(_RehearsedError):  # as intended
                await self._call(prompt, parameters)
        except Exception:  # noqa: BLE001 - whatever it is, the real request meets it too, and says it then
            return None
        return None if call.body is None else {name: value for name, value in call.body.items() if value is not None}

    def _usd(self, theirs: object, usage: Mapping[str, Any], raw: Mapping[str, Any]) -> float | None:
        """Return the cost of a response: the provider's own bill, else litellm's sum where the price list bears it out.

        Args:
            theirs: litellm's sum.
            usage: The counts, in OpenAI's form.
            raw: The provider's own JSON.
        """
        usd_in, usd_out = self.facts.usd_in, self.facts.usd_out
        billed: Any = usage_of(raw).get("cost") if self.facts.provider == "openrouter" else None
        if type(billed) in (int, float) and billed >= 0 and (billed or not usd_out):
            return float(billed)
        generated, counts = tokens_of(usage)
        if usd_in is None or usd_out is None or not generated:
            return None  # of the prompt alone, it would be too little
        listed = usd_in * counts["prompt_tokens"] + usd_out * generated
        cost = float(theirs) if isinstance(theirs, int | float) and theirs > 0 else listed
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
        # litellm's sum knows neither what is only in the total nor what a cached token without a price costs
        falls_short = generated > counts["completion_tokens"] or (cached and not self.facts.cache_has_price)
        return max(cost, listed) if falls_short else cost

    def _share_connections(self) -> None:
        """Give litellm one connection pool; for raw text it would open a connection per request and leave it open."""
        if self._litellm.aclient_session is None:
            import httpx

            connections = httpx.Limits(max_connections=None, max_keepalive_connections=self.settings.num_concurrent)
            hooks = {"response": [_keep_reply]}
            self._pool = self._litellm.aclient_session = httpx.AsyncClient(limits=connections, event_hooks=hooks)

    def _text_target(self) -> dict[str, str]:
        """Return model and provider for a raw text completion."""
        if self.facts.provider == "openai":
            return {"model": f"text-completion-openai/{self.facts.name}"}
        return {"model": self.model}

    def _prices(self) -> dict[str, float]:
        given, taken = self.settings.input_cost_per_token, self.settings.output_cost_per_token
        if given is None or taken is None:
            return {}
        cached = {"cache_read_input_token_cost": given}  # else litellm takes cached tokens for free
        return {"input_cost_per_token": given, "output_cost_per_token": taken, **cached}

    async def close(self) -> None:
        """Close connections, which belong to the event loop of this run."""
        await self._litellm.close_litellm_async_clients()
        self._litellm.in_memory_llm_clients_cache.flush_cache()  # older ones give a closed client to the next loop
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = self._litellm.aclient_session = None


async def _keep_reply(response: Any) -> None:
    """Note a reply to raw text as it comes: litellm does not hand on one whose counts it cannot read."""
    if (call := _CALL.get()) is not None and response.is_success:
        await response.aread()
        call.raw = response.text


_OWN_FAULTS = (ImportError, TypeError, AttributeError, LookupError, NameError)
"""Errors that no provider can send."""


_UNREADABLE = re.compile(
    "Invalid response object|Empty or invalid response|response with no 'choices'|converting to valid response block"
)
"""litellm's words for a reply with status 200 that it cannot take; it gives these errors status 500."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what is behind it, the first cause last."""
    behind: BaseException | None = error
    while behind is not None:
        yield behind
        behind = behind.__cause__ or behind.__context__


def _first_cause(error: BaseException) -> BaseException:
    return list(_causes(error))[-1]


def _has_own_status(error: BaseException) -> bool:
    return getattr(error, "status_code", None) not in (None, 500)  # litellm gives 500 to what it does not know


def _is_of_this_machine(error: BaseException) -> bool:
    return isinstance(_first_cause(error), _OWN_FAULTS) and not _has_own_status(error)


def _has_come(raw: str | None, error: BaseException) -> bool:
    """Return whether ``raw`` is a reply; for some providers litellm notes the text of an error there."""
    return raw is not None and all(str(cause) != raw for cause in _causes(error))


def _is_unreadable(error: BaseException) -> bool:
    """Return whether a reply came with status 200 and could not be read."""
    if getattr(error, "status_code", None) == 200:
        return True
    fell = any(isinstance(cause, json.JSONDecodeError) for cause in _causes(error)) or _is_of_this_machine(error)
    return bool(_UNREADABLE.search(str(error))) or (fell and not _has_own_status(error))


def _flat(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``body`` with the fields that the openai client merges into it."""
    plain = {name: value for name, value in body.items() if name not in ("extra_body", "extra_headers", "timeout")}
    return {**plain, **(body.get("extra_body") or {})}


# A request to an API model, its possible outcomes, and the ways in which a run over many requests can end.


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request.

    Attributes:
        index: Its place in the caller's list.
        prompt: The prompt, or a conversation as text (:func:`roi_bench.api.settings.chat_prompt`).
        parameters: Parameters of the call.
        budget: The cap among them, in tokens.
    """

    index: int
    prompt: str
    parameters: Mapping[str, Any]
    budget: int


@dataclass(frozen=True, slots=True)
class Missing:
    """The outcome of a request without a response.

    Attributes:
        message: The reason, in one line.
        record: Further fields for the journal: attempts, and the cost that they may have had.
    """

    message: str
    record: Mapping[str, Any]


Outcome = ApiReply | Missing
OnOutcomes = Callable[[Sequence[tuple[ApiRequest, Outcome]]], None]


class Ending(Enum):
    """How a run over requests ended: done, by Ctrl-C, at its limit of money, for a reason that no request passes, with
    replies that are all worthless, or with a batch submitted whose results are still to come.
    """

    DONE = "done"
    INTERRUPTED = "interrupted"
    TERMINATED = "terminated"
    MONEY = "money"
    STOPPED = "stopped"
    WORTHLESS = "worthless"
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
