"""Chat templates and the system turn: some refuse it, some leave it out, and the instructions must not be lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from roi_bench.conversations import Message, folded

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


def _text_of(rendered: object) -> str:
    """Return what lm_eval's models make of messages as text; some keep them as messages, or wrap their JSON."""
    if isinstance(rendered, list):
        return json.dumps(rendered, ensure_ascii=False)
    return str(getattr(rendered, "prompt", rendered))
