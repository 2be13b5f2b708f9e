"""What is sent with a prompt: the harness's generation arguments as parameters of an API call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from roi_bench.api.settings import ApiSettings
from roi_bench.errors import UsageError

PASSED_ON = ("top_p", "top_k", "presence_penalty", "frequency_penalty")
"""Generation arguments that APIs know under the same name."""

OWN = ("until", "do_sample", "temperature", "max_gen_toks", "seed", "decoding")


def request_parameters(generation: Mapping[str, Any], settings: ApiSettings) -> dict[str, Any]:
    """Return the parameters of the call that ``generation`` arguments ask for, as OpenAI names them.

    ``max_tokens`` is the budget: litellm turns it into the provider's own cap, hidden reasoning included.

    Raises:
        UsageError: A generation argument is none that API models take.
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
    """Return the switches of hidden reasoning, and what else a run sends with every request."""
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
    """Return the conversation that ``prompt`` is: one written by :func:`chat_prompt`, else one message of the user."""
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
    """Return a conversation as the text that stands for it in the harness; :func:`messages_of` reads it back."""
    plain = [{"role": message["role"], "content": message["content"]} for message in messages]
    return json.dumps(plain, ensure_ascii=False)
