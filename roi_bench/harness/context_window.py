"""Does prompt + budget fit the model? lm_eval would cut the prompt's beginning off without a word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from roi_bench.errors import ModelError
from roi_bench.scoring.tokens import TokenCounter

_CONFIG_NAMES = ("n_positions", "max_position_embeddings", "n_ctx")


def context_length(model_args: Mapping[str, Any]) -> int | None:
    """Return the context length in tokens that lm_eval's backends will use for ``model_args``, or None if unknown."""
    for name in ("max_length", "max_model_len"):
        if isinstance(model_args.get(name), int):
            return int(model_args[name])
    pretrained = model_args.get("pretrained")
    if not isinstance(pretrained, str):
        return None
    try:
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(
            pretrained,
            revision=str(model_args.get("revision", "main")),
            trust_remote_code=bool(model_args.get("trust_remote_code", False)),
        )
    except (OSError, ValueError, ImportError):
        return None  # the backend itself will say what is wrong with this model
    config = getattr(config, "text_config", config)
    return next((int(getattr(config, name)) for name in _CONFIG_NAMES if getattr(config, name, None)), None)


def check_context(prompts: Iterable[str], budget: int, length: int, counter: TokenCounter, task: str) -> None:
    """Check that the longest of ``prompts`` and ``budget`` fit into ``length`` tokens.

    Raises:
        ModelError: They do not.
    """
    worst = 0
    for prompt in prompts:
        if len(prompt.encode("utf-8", "replace")) + 1 > max(worst, length - budget):  # a token holds at least one byte
            worst = max(worst, len(counter.token_starts(prompt)) + 1)  # 1: a start token that some models want
    if worst + budget > length:
        raise ModelError(
            f"{task}: the longest prompt takes {worst} tokens and the budget is {budget}, but the model's context "
            f"holds {length}; use a model with a longer context or a smaller budget (--metadata '{{\"budget\": N}}')"
        )
