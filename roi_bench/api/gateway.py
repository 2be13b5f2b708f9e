"""The one place that touches litellm: calls, what a call would send, model facts, prices, token counts."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol
from urllib.parse import urlsplit

from roi_bench.api.replies import ApiReply, one_line
from roi_bench.api.settings import OTHER, ApiSettings, checked_url, make_of_server
from roi_bench.errors import DependencyError, ModelError, UsageError

# What is sent with a prompt: the harness's generation arguments as parameters of an API call.

PASSED_ON = ("top_p", "top_k", "presence_penalty", "frequency_penalty")
"""Generation arguments that APIs know under the same name."""

OWN = ("until", "do_sample", "temperature", "max_gen_toks", "seed", "decoding")


def request_parameters(generation: Mapping[str, Any], settings: ApiSettings) -> dict[str, Any]:
    """Return ``generation`` arguments as parameters of an API call, under OpenAI's names.

    ``max_tokens`` is the budget: litellm turns it into the provider's own cap, hidden reasoning included.

    Raises:
        UsageError: API models do not take one of the generation arguments.
    """
    if unknown := [name for name in generation if name not in (*OWN, *PASSED_ON)]:
        raise UsageError(
            f"API models take no generation argument {unknown[0]!r}; where your server does, put it into extra_body: "
            f'--model_args \'{{"model": …, "extra_body": {{"{unknown[0]}": …}}}}\''
        )
    if "max_gen_toks" not in generation:
        raise UsageError("API models need a budget: add --gen_kwargs max_gen_toks=N")
    temperature = generation.get("temperature")
    sampled = generation.get("do_sample", float(temperature or 0) > 0)
    parameters: dict[str, Any] = {"max_tokens": int(generation["max_gen_toks"])}
    if not leaves_decoding(generation) or "do_sample" in generation or "temperature" in generation:
        parameters["temperature"] = (1.0 if temperature is None else float(temperature)) if sampled else 0.0
    until = generation.get("until") or []
    if stops := [stop for stop in ([until] if isinstance(until, str) else until) if stop]:
        parameters["stop"] = stops
    parameters |= {name: generation[name] for name in PASSED_ON if name in generation}
    if sampled and "seed" in generation:
        parameters["seed"] = generation["seed"]
    parameters |= _reasoning(settings)
    return {name: value for name, value in parameters.items() if name not in settings.omitted}


def leaves_decoding(generation: Mapping[str, Any]) -> bool:
    """Return whether ``generation`` arguments leave the decoding to the model and its server."""
    return generation.get("decoding") == "model"


def _reasoning(settings: ApiSettings) -> dict[str, Any]:
    """Return the reasoning settings and the further fields that a run sends with every request."""
    found: dict[str, Any] = {}
    if settings.reasoning_effort is not None:
        found["reasoning_effort"] = settings.reasoning_effort
    thinking = settings.thinking
    if isinstance(thinking, int):
        found["thinking"] = {"type": "enabled", "budget_tokens": thinking}
    elif isinstance(thinking, str):
        found["thinking"] = {"type": thinking}
    elif thinking is not None:
        found["thinking"] = thinking
    if settings.extra_body is not None:
        found["extra_body"] = settings.extra_body
    if settings.service_tier is not None:
        found["service_tier"] = settings.service_tier
    return found


def messages_of(prompt: str) -> list[dict[str, str]]:
    """Return ``prompt`` as a conversation: one written by :func:`chat_prompt`, else a single user message."""
    return _conversation(prompt) or [{"role": "user", "content": prompt}]


def is_conversation(prompt: str) -> bool:
    """Return whether ``prompt`` was written by :func:`chat_prompt`."""
    return _conversation(prompt) is not None


def _conversation(prompt: str) -> list[dict[str, str]] | None:
    if not prompt.startswith('[{"role":'):
        return None
    try:
        messages = json.loads(prompt)
    except (ValueError, RecursionError):
        return None
    return messages if isinstance(messages, list) and all(map(_is_message, messages)) else None


def _is_message(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"role", "content"}
        and all(isinstance(text, str) for text in value.values())
    )


def chat_prompt(messages: list[dict[str, str]]) -> str:
    """Return a conversation encoded as text for the harness; :func:`messages_of` decodes it."""
    plain = [{"role": message["role"], "content": message["content"]} for message in messages]
    return json.dumps(plain, ensure_ascii=False)


_SENT: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("roi_bench_sent", default=None)
"""Where the callback notes what litellm really sends for the call of this task."""

BASE_VARIABLES = ("BASE_URL", "API_BASE")
"""Ends of the environment variables (after the provider's name) in which litellm and the openai client find servers."""

OPENAI_PROTOCOL = ("openai", "text-completion-openai", "hosted_vllm")
"""litellm's providers that may be anybody's server."""

_NOT_PARAMETERS = ("messages", "prompt", "contents", "system", "system_instruction", "stream")
"""Fields of a request body that are no parameters: the prompt is in the journal by its hash."""


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


def import_litellm() -> Any:
    """Return litellm, configured: bundled price list unless the user says otherwise, nothing dropped silently.

    Raises:
        DependencyError: It is not installed.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # the installed version's prices: the same every time
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
    if not any(getattr(callback, "roi_bench", False) for callback in litellm.callbacks):
        litellm.callbacks.append(_sent_parameters_logger())
    return litellm


def _sent_parameters_logger() -> Any:
    from litellm.integrations.custom_logger import CustomLogger

    class SentParameters(CustomLogger):
        """Notes the body of every request before it goes out."""

        roi_bench = True

        def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
            body = (kwargs.get("additional_args") or {}).get("complete_input_dict")
            noted = _SENT.get()
            if noted is not None and isinstance(body, Mapping):
                noted.update(
                    {
                        name: value
                        for name, value in body.items()
                        if name not in _NOT_PARAMETERS and value not in ({}, None)
                    }
                )

    return SentParameters()


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished call.

    Attributes:
        body: The completion object in OpenAI's form.
        usd: Its cost by litellm's price list or the user's prices, or None if unknown.
        sent: The parameters that were really sent.
    """

    body: dict[str, Any]
    usd: float | None
    sent: dict[str, Any]


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
        if not any(prices[:2]):
            prices[:2] = [info.get(f"{side}_cost_per_token") for side in ("input", "output")]
        own = (self.settings.input_cost_per_token, self.settings.output_cost_per_token)
        if None not in own:
            prices = [*own, None, None]
        elif not any(prices[:2]):
            prices = [None] * 4  # the list has zeros for models without a price
        usd_in, usd_out, batch_usd_in, batch_usd_out = prices
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
        return {name: value for name, value in mapped.items() if name not in _NOT_PARAMETERS}

    def body(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return model name and ``parameters`` as the JSON body of a request, for batch mode."""
        mapped = {"model": self.facts.name, **self.mapped(parameters)}
        for extra in (mapped.pop("extra_body", None), parameters.get("extra_body")):
            mapped |= extra or {}
        return mapped

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
            Exception: One of litellm's or the openai client's errors; see :func:`roi_bench.api.replies.failure_of`.
        """
        noted: dict[str, Any] = {}
        _SENT.set(noted)
        arguments = {**self.access, **self._prices(), **self._allowed(), **parameters}
        timeout = self.settings.timeout
        limits = {"timeout": timeout, "max_retries": 0, "num_retries": 0}
        if self._is_text:
            self._share_connections()
            call = self._litellm.atext_completion(**self._text_target(), prompt=prompt, **arguments, **limits)
        else:
            call = self._litellm.acompletion(model=self.model, messages=messages_of(prompt), **arguments, **limits)
        response = await asyncio.wait_for(call, timeout * 1.1 + 1)  # some providers' clients overlook their time-out
        hidden = getattr(response, "_hidden_params", None) or {}
        body = response.model_dump()
        counted = any((body.get("usage") or {}).get(f"{part}_tokens") for part in ("prompt", "completion"))
        usd = hidden.get("response_cost") if self.facts.usd_out is not None and counted else None
        return Completion(body, None if usd is None else float(usd), noted)

    def _share_connections(self) -> None:
        """Give litellm one connection pool; for raw text it would open a connection per request and leave it open."""
        if self._litellm.aclient_session is None:
            import httpx

            connections = httpx.Limits(max_connections=None, max_keepalive_connections=self.settings.num_concurrent)
            self._pool = self._litellm.aclient_session = httpx.AsyncClient(limits=connections)

    def _text_target(self) -> dict[str, str]:
        """Return model and provider for a raw text completion."""
        if self.facts.provider == "openai":
            return {"model": f"text-completion-openai/{self.facts.name}"}
        return {"model": self.model}

    def _prices(self) -> dict[str, float]:
        given, taken = self.settings.input_cost_per_token, self.settings.output_cost_per_token
        return {} if given is None or taken is None else {"input_cost_per_token": given, "output_cost_per_token": taken}

    async def close(self) -> None:
        """Close connections, which belong to the event loop of this run."""
        await self._litellm.close_litellm_async_clients()
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = self._litellm.aclient_session = None


# A request to an API model, its possible outcomes, and the ways in which a run over many requests can end.


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request.

    Attributes:
        index: Its place in the caller's list.
        prompt: The prompt, or a conversation as text (:func:`roi_bench.api.gateway.chat_prompt`).
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
