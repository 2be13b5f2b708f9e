"""The arguments of ``--model roi-api``: which API model is asked, and how."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from roi_bench.api.replies import never_show
from roi_bench.errors import UsageError, nearest

# Self-hosted servers: which software answers at a ``base_url``, and what keeps it from changing the decoding.
#
# Such servers fill what a request leaves out from the model's ``generation_config.json`` or from defaults of their own.
# What is said here was read in their sources: vLLM 0.32 and SGLang (``protocol.py`` under ``entrypoints/openai``, both
# ``_DEFAULT_SAMPLING_PARAMS``), llama.cpp (``tools/server/server-task.cpp``, ``common/common.h``), transformers 5.19
# (``cli/serving/utils.py``). ``transformers serve`` answers 422 to names that it does not know; it takes a generation
# configuration as a text, whose fields win over the model's. It does not say what it is, so it has to be named.

_OPEN = {"top_p": 1.0, "min_p": 0.0}
_PLAIN = {"repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "num_beams": 1}
_DRAWN = {**_PLAIN, **_OPEN, "do_sample": True, "top_k": 0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}

ALWAYS: dict[str, dict[str, Any]] = {
    "vllm": {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
    "sglang": {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
    "llamacpp": {
        **dict.fromkeys(("presence_penalty", "frequency_penalty", "dry_multiplier"), 0.0),
        "repeat_penalty": 1.0,
        "mirostat": 0,
    },
    "transformers": {"generation_config": json.dumps({**_PLAIN, "do_sample": False})},
}
"""Parameters that switch off what a make of server may add to any decoding, by the make's name."""

SAMPLING: dict[str, dict[str, Any]] = {
    "vllm": {"top_k": -1, **_OPEN},
    "sglang": {"top_k": -1, **_OPEN},
    "llamacpp": {
        **_OPEN,
        **dict.fromkeys(("xtc_probability", "dynatemp_range"), 0.0),
        "top_k": 0,
        "typical_p": 1.0,
        "top_n_sigma": -1.0,
    },
    "transformers": {"generation_config": json.dumps(_DRAWN)},
}
"""Those that count only where there is sampling: greedy decoding is sent none of them."""

MAKES = tuple(ALWAYS)

SELF_NAMED = ("vllm", "sglang", "llamacpp")
"""Makes that name themselves in ``owned_by``; ``transformers serve`` puts the model's owner there."""

OTHER = "other"
"""A make that is sent nothing."""

ABSENT = "absent"
"""No server yet: nothing answers at the address, or what answers is still loading. It is sent nothing."""

LOOK_SECONDS = 5.0
"""Time for a server to say what it is."""


def make_of_server(base_url: str, model: str, key: str | None) -> str:
    """Ask the server at ``base_url`` for its models and return its make, ``other`` if unknown, ``absent`` if not up.

    Args:
        base_url: The address, with its version.
        model: The server's name of the model; its line counts where several makes stand behind one address.
        key: The key of requests to that server.
    """
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{base_url.rstrip('/')}/models", headers=headers, timeout=LOOK_SECONDS)  # no redirects
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return ABSENT
        body = answer.json() if answer.status_code == httpx.codes.OK else None
    except (httpx.ConnectError, httpx.ConnectTimeout):
        return ABSENT
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):  # whatever is wrong, the requests themselves will show it
        return OTHER
    listed = body.get("data") if isinstance(body, dict) else None
    lines = [line for line in listed if isinstance(line, dict)] if isinstance(listed, list) else []
    makes = {str(line.get("owned_by")) for line in [line for line in lines if line.get("id") == model] or lines}
    return makes.pop() if len(makes) == 1 and makes <= set(SELF_NAMED) else OTHER


def neutral_parameters(make: str) -> dict[str, Any]:
    """Return all parameters with which this server software adds nothing to any decoding."""
    return {**ALWAYS.get(make, {}), **SAMPLING.get(make, {})}


def with_neutral(parameters: Mapping[str, Any], make: str, omitted: Sequence[str] = ()) -> dict[str, Any]:
    """Return ``parameters`` with those that keep the server from adding its own; given values are kept.

    Args:
        parameters: Parameters of the call.
        make: The make of server.
        omitted: Names that are not to be sent.
    """
    fields = ALWAYS.get(make, {}) if parameters.get("temperature") == 0 else neutral_parameters(make)
    added = {name: value for name, value in fields.items() if name not in (*parameters, *omitted)}
    if not added:
        return dict(parameters)
    return {**parameters, "extra_body": {**added, **(parameters.get("extra_body") or {})}}


HARNESS_ARGUMENTS = ("batch_size", "max_batch_size", "device", "trust_remote_code", "tokenizer")
"""Arguments that lm_eval gives to every model, or that only the task reads (``tokenizer`` counts tokens by problem)."""

KEY_ARGUMENTS = ("api_key", "key", "token", "auth_token", "headers", "extra_headers")
"""Arguments that would carry a secret into results files; they are refused."""

ENDPOINTS = ("chat", "completions")

CAPS = ("max_tokens", "max_completion_tokens")
"""Names under which the budget may be sent."""

OMITTABLE = ("temperature", "stop", "seed", "top_p", "top_k", "presence_penalty", "frequency_penalty")
"""Parameters that ``omit`` may name."""

RESERVED = (
    *("model", "messages", "prompt", "n", "stream", "max_tokens", "max_completion_tokens", "max_output_tokens"),
    *("temperature", "top_p", "stop", "seed"),
)
"""Fields of a request that are the task's, or would change what a response is; ``extra_body`` cannot set them."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """An API model and how it is asked.

    The settings that shape a response (see :meth:`identity`) identify the run; all others may change between starts.

    Attributes:
        model: litellm's name, ``provider/model``; behind a ``base_url`` the server's own name will do.
        base_url: Address of an OpenAI-compatible server, up to and with its version (``http://localhost:8000/v1``).
        endpoint: ``chat`` or ``completions`` (raw text).
        api_key_env: Environment variable with the key, where it is not the provider's usual one.
        reasoning_effort: none, minimal, low, medium, high, as the provider knows it.
        thinking: Thinking tokens (a whole number), ``disabled``, or the provider's own object.
        extra_body: Further fields of the request body.
        service_tier: The provider's service tier, e.g. ``flex``.
        omit: Generation arguments not to send because the model does not take them, joined by ``+``.
        cap: Name under which the budget is sent, where the provider insists on one and litellm does not know it.
        server: Make of the server behind ``base_url``: vllm, sglang, llamacpp or other; None: it is asked.
        think_end_token: Text that ends hidden reasoning where the server leaves it in the answer.
        num_concurrent: Most requests in flight at once; fewer while the provider asks to slow down.
        timeout: Seconds to wait for a response.
        max_retries: Further attempts at a request that failed for a passing reason.
        retry_wait: Seconds of the first wait between attempts; doubled each time, up to 60, at random within that.
        requests_per_minute: Cap, or None.
        tokens_per_minute: Cap on prompt tokens + budget, or None.
        max_usd: Most that the run may cost over all its starts, or None.
        input_cost_per_token: USD per prompt token, where litellm's price list does not know the model.
        output_cost_per_token: USD per generated token, likewise.
        max_length: Context length in tokens, where litellm does not know the model.
        provider_batch: Use the provider's batch mode.
        wait: In batch mode, wait for the results; else end after submitting.
        poll_seconds: In batch mode, time between two looks.
        journal: Folder of the journal under plain lm_eval.
        seed: Seed of sampling under plain lm_eval.
    """

    model: str
    base_url: str | None = None
    endpoint: str = "chat"
    api_key_env: str | None = None
    reasoning_effort: str | None = None
    thinking: int | str | dict[str, Any] | None = None
    extra_body: dict[str, Any] | None = None
    service_tier: str | None = None
    omit: str = ""
    cap: str | None = None
    server: str | None = None
    think_end_token: str | None = None
    num_concurrent: int = 16
    timeout: float = 600.0
    max_retries: int = 8
    retry_wait: float = 1.0
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_usd: float | None = None
    input_cost_per_token: float | None = None
    output_cost_per_token: float | None = None
    max_length: int | None = None
    provider_batch: bool = False
    wait: bool = True
    poll_seconds: float = 30.0
    journal: str | None = None
    seed: int = 1234

    @property
    def omitted(self) -> tuple[str, ...]:
        """Generation arguments that are not sent."""
        return tuple(sorted(filter(None, self.omit.split("+"))))

    def identity(self) -> dict[str, Any]:
        """Return the settings that shape responses: a journal is continued only if all of them are equal."""
        shaping = ("model", "base_url", "endpoint", "reasoning_effort", "thinking", "extra_body", "service_tier")
        given = {name: getattr(self, name) for name in (*shaping, "think_end_token", "cap")}
        return {**{name: value for name, value in given.items() if value is not None}, "omit": list(self.omitted)}

    def api_key(self) -> str | None:
        """Return the key that ``api_key_env`` names; None to let litellm find the provider's usual one.

        A server on this machine gets no key unless one is named: the key in OPENAI_API_KEY is not meant for it.

        Raises:
            UsageError: The variable is not set.
        """
        if self.api_key_env:
            if not (key := os.environ.get(self.api_key_env)):
                raise UsageError(f"api_key_env names {self.api_key_env}, but that environment variable is not set")
            never_show(key)
            return key
        return "none" if self.base_url and _is_this_machine(urlsplit(self.base_url).hostname) else None


def api_settings(arguments: Mapping[str, Any]) -> ApiSettings:
    """Return the settings from the model ``arguments``.

    Raises:
        UsageError: An argument is unknown, missing, a secret, or invalid.
    """
    known = {field.name: field for field in fields(ApiSettings)}
    given = {name: value for name, value in arguments.items() if name not in HARNESS_ARGUMENTS and value is not None}
    for name in given:
        if name in KEY_ARGUMENTS:
            raise UsageError(
                f"roi-api takes no {name!r}: keys come from the environment only (OPENAI_API_KEY, ANTHROPIC_API_KEY, "
                "…; api_key_env=NAME for another variable), so that no results file can hold one"
            )
        if name not in known:
            raise UsageError(f"roi-api has no argument {name!r}; {nearest(name, sorted(known))}")
    if not given.get("model"):
        raise UsageError("roi-api needs a model: --model_args model=PROVIDER/MODEL, e.g. model=openai/gpt-4o-mini")
    settings = ApiSettings(**{name: _value(name, value, known[name].type) for name, value in given.items()})
    _check(settings)
    return settings


def _value(name: str, value: Any, kind: Any) -> Any:
    """Return ``value`` as the ``kind`` of its field (its annotation as text)."""
    kinds = {part.strip() for part in str(kind).split("|")}
    if "dict[str, Any]" in kinds and isinstance(value, dict):
        return value
    if "bool" in kinds and isinstance(value, bool):
        return value
    if "int" in kinds and isinstance(value, int) and not isinstance(value, bool):
        return value
    if "float" in kinds and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if "str" in kinds and not isinstance(value, dict | bool):
        return str(value)
    wanted = " or ".join(sorted(kinds - {"None"})).replace("dict[str, Any]", "an object (write --model_args as JSON)")
    raise UsageError(f"{name} must be {wanted}, not {value!r}")


def _check(settings: ApiSettings) -> None:
    """Check what types cannot check.

    Raises:
        UsageError: A value is invalid.
    """
    _check_name("endpoint", settings.endpoint, ENDPOINTS)
    _check_name("server", settings.server, (*MAKES, OTHER))
    _check_name("cap", settings.cap, CAPS)
    above_zero = ("num_concurrent", "timeout", "requests_per_minute", "tokens_per_minute", "max_usd", "poll_seconds")
    for name in (*above_zero, "max_length"):
        if (value := getattr(settings, name)) is not None and not value > 0:
            raise UsageError(f"{name} must be above 0, not {value!r}")
    for name in ("max_retries", "retry_wait", "input_cost_per_token", "output_cost_per_token"):
        if (value := getattr(settings, name)) is not None and not value >= 0:
            raise UsageError(f"{name} must not be below 0, not {value!r}")
    for name in settings.omitted:
        if name not in OMITTABLE:
            raise UsageError(
                f"omit names {name!r}, which is not a parameter that can be left out; {nearest(name, OMITTABLE)}"
            )
    for name in settings.extra_body or {}:
        if name in RESERVED:
            advice = f"; to send the budget under that name, add cap={name}" if name in CAPS else ""
            advice = advice or (f"; use --gen_kwargs, or omit={name}" if name in OMITTABLE else "; use --gen_kwargs")
            raise UsageError(f"extra_body cannot set {name!r}: it is the task's{advice}")
    if (settings.input_cost_per_token is None) != (settings.output_cost_per_token is None):
        raise UsageError("input_cost_per_token and output_cost_per_token must be given together")
    if settings.base_url is not None:
        checked_url(settings.base_url)


def _check_name(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value not in (None, *known):
        raise UsageError(f"unknown {name} {value!r}; {nearest(str(value), known)}")


def checked_url(url: str) -> str:
    """Return ``url`` if it may be the address of a server.

    Raises:
        UsageError: It may not; the message shows it only if it cannot contain a secret.
    """
    if set("@?#") & set(url):  # never shown: one of these may come with a secret
        raise UsageError(
            "base_url must hold no user, password, query or fragment: results files show it; put the key into an "
            "environment variable and name it by api_key_env"
        )
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(f"base_url must be like http://localhost:8000/v1, not {url!r}")
    if parts.path.rstrip("/").endswith(("/chat/completions", "/completions")):
        raise UsageError(f"base_url ends before /chat/completions, like http://localhost:8000/v1, not {url!r}")
    return url


def _is_this_machine(host: str | None) -> bool:
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


# What is sent with a prompt: the harness's generation arguments as parameters of an API call.

PASSED_ON = ("top_p", "top_k", "presence_penalty", "frequency_penalty")
"""Generation arguments that APIs know under the same name."""

OWN = ("until", "do_sample", "temperature", "max_gen_toks", "seed", "decoding")


def request_parameters(generation: Mapping[str, Any], settings: ApiSettings) -> dict[str, Any]:
    """Return ``generation`` arguments as parameters of an API call, under OpenAI's names.

    ``max_tokens`` is the budget: litellm turns it into the provider's own cap, hidden reasoning included. Where litellm
    does not know that a model wants another name, the settings say it.

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
    parameters: dict[str, Any] = {settings.cap or "max_tokens": int(generation["max_gen_toks"])}
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


# Texts in providers' own bodies: which are the prompt's, and what else is there.

PROMPT_FIELDS = (
    *("messages", "prompt", "contents", "input", "inputs", "inputText"),
    *("system", "system_instruction", "systemInstruction", "instructions"),
)
"""Fields of request bodies that hold the prompt, which is in the journal by its hash."""

NOT_PARAMETERS = (*PROMPT_FIELDS, "stream")


def without_prompt(body: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """Return the parameters in a request's ``body``: no field that holds any of ``prompt``."""
    texts = [bare_text(message["content"]) for message in messages_of(prompt) if message["content"].strip()]
    kept = {name: value for name, value in body.items() if name not in NOT_PARAMETERS and value not in ({}, None)}
    return {name: value for name, value in kept.items() if not any(_holds(value, text) for text in texts)}


def _holds(value: object, text: str) -> bool:
    escaped = json.dumps(text)[1:-1]  # a body within a body
    return any(text in found or escaped in found for found in map(bare_text, texts_in(value)))


def bare_text(text: str) -> str:
    """Return ``text`` without blanks and line ends, real and escaped ones."""
    return "".join(text.replace("\\n", " ").split())


_LABELS = ("role", "type", "id", "name", "status")
"""Fields of a message that hold no text of it."""


def texts_in(value: object) -> list[str]:
    """Return all texts of messages, however a provider nests them."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for name, item in value.items() if name not in _LABELS for text in texts_in(item)]
    return [text for item in value for text in texts_in(item)] if isinstance(value, list | tuple) else []
