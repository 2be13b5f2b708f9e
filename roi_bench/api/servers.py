"""Servers of one's own: which make answers behind a ``base_url``, and what keeps it from adding to the decoding.

Such servers fill what a request leaves out from the model's ``generation_config.json`` or from defaults of their own.
What is said here was read in their sources: vLLM 0.32 and SGLang (``protocol.py`` under ``entrypoints/openai``, both
``_DEFAULT_SAMPLING_PARAMS``), llama.cpp (``tools/server/server-task.cpp``, ``common/common.h``), transformers 5.19
(``cli/serving/utils.py``). ``transformers serve`` answers 422 to names that it does not know; it takes a generation
configuration as a text, whose fields win over the model's. It does not say what it is, so it has to be named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

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

LOOK_SECONDS = 5.0
"""Time for a server to say what it is."""


def make_of_server(base_url: str, model: str, key: str | None) -> str:
    """Ask the server at ``base_url`` for its models and return its make, ``other`` where that is unknown.

    Args:
        base_url: The address, with its version.
        model: The server's name of the model; its line counts where several makes stand behind one address.
        key: The key of requests to that server.
    """
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{base_url.rstrip('/')}/models", headers=headers, timeout=LOOK_SECONDS)  # no redirects
        body = answer.json() if answer.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):  # whatever is wrong, the requests themselves will say it
        return OTHER
    listed = body.get("data") if isinstance(body, dict) else None
    lines = [line for line in listed if isinstance(line, dict)] if isinstance(listed, list) else []
    makes = {str(line.get("owned_by")) for line in [line for line in lines if line.get("id") == model] or lines}
    return makes.pop() if len(makes) == 1 and makes <= set(SELF_NAMED) else OTHER


def neutral_parameters(make: str) -> dict[str, Any]:
    """Return all that a make of server may be sent so that it adds nothing to any decoding."""
    return {**ALWAYS.get(make, {}), **SAMPLING.get(make, {})}


def with_neutral(parameters: Mapping[str, Any], make: str, omitted: Sequence[str] = ()) -> dict[str, Any]:
    """Return ``parameters`` of a call with what keeps the server from adding to them; what they say stands.

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
