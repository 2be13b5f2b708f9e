"""Prompts as chat messages, and as bare text where there is no chat template."""

from __future__ import annotations

from collections.abc import Sequence

Message = dict[str, str]
"""A message with ``role`` (``system`` or ``user``) and ``content``, as chat templates take it."""

RESPONSE_CUE = "Response:\n"
"""Last line of a prompt that is sent as bare text; the response starts right after it."""


def as_text(messages: Sequence[Message]) -> str:
    """Return messages as the bare text that is sent where no chat template is applied, with the cue as its last line.

    Without the cue a model that only continues text would go on with the prompt, a fourth problem perhaps.
    """
    return "\n\n".join([*(message["content"] for message in messages), RESPONSE_CUE])


def folded(messages: Sequence[Message]) -> list[Message]:
    """Return messages without a system turn: its text is the first paragraph of the next message."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return list(messages)
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]
