"""What is sent to a model: the chat template and its system turn, and whether prompt and budget fit the context"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from roi_bench.api.gateway import is_conversation
from roi_bench.errors import ModelError
from roi_bench.exams.exam import sha256_text
from roi_bench.records.results import CHAT_TEMPLATE, MESSAGES, Sending
from roi_bench.scoring.prompts import Message, folded
from roi_bench.scoring.tokens import TokenCounter

# Does prompt + budget fit the model? lm_eval would cut the prompt's beginning off without a word.

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


# Chat templates and the system turn: some refuse it, some leave it out, and the instructions must not be lost.

_PROBE = "roi-bench asks whether a system turn is shown"


def shows_system_turn(render: Callable[[list[Message]], str]) -> bool:
    """Return whether a chat template shows what a system turn says; some refuse it, some leave it out.

    Args:
        render: Applies the chat template to messages.
    """
    from jinja2 import TemplateError

    try:
        return _PROBE in _text_of(render([{"role": "system", "content": _PROBE}, {"role": "user", "content": "?"}]))
    except TemplateError:
        return False


def rendered(messages: Sequence[Message], render: Callable[[list[Message]], str]) -> str:
    """Return what a chat template makes of messages; a system turn that it does not show goes into the user's turn."""
    return render(templated(messages, render))


def templated(messages: Sequence[Message], render: Callable[[list[Message]], str]) -> list[Message]:
    """Return the messages to hand to a chat template: with their system turn, or without where it would be lost."""
    has_system = bool(messages) and messages[0]["role"] == "system"
    return folded(messages) if has_system and not shows_system_turn(render) else list(messages)


def sending_through(render: Callable[[list[Message]], str], *, with_system_turn: bool) -> Sending:
    """Return how prompts are sent that ``render`` makes of messages: as messages, or as what a template makes of them.

    Args:
        render: Applies the chat template to messages.
        with_system_turn: Whether it shows a system turn.
    """
    probe = [{"role": "system", "content": _PROBE}, {"role": "user", "content": "?"}]
    sent = _text_of(render(probe if with_system_turn else folded(probe)))
    return Sending(MESSAGES) if is_conversation(sent) else Sending(CHAT_TEMPLATE, template_sha256(sent))


def template_sha256(sent: str) -> str:
    """Return what tells chat templates apart: the SHA-256 of what one makes of two fixed messages, dates left out.

    Unlike the text of a template it says which of several templates was applied, and with which options (thinking
    switched off). Some write today's date, which makes no other template.
    """
    return sha256_text(_DATE.sub("DATE", sent))


_DATE = re.compile(
    r"\b(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2} [A-Z][a-z]{2,8},? [0-9]{4}|[A-Z][a-z]{2,8} [0-9]{1,2}, [0-9]{4})\b"
)


def _text_of(rendered: object) -> str:
    """Return what lm_eval's models make of messages as text; some keep them as messages, or wrap their JSON."""
    if isinstance(rendered, list):
        return json.dumps(rendered, ensure_ascii=False)
    return str(getattr(rendered, "prompt", rendered))
