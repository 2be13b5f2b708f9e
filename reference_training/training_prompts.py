"""Prompts as training sends them: the same as in the evaluation, with or without a chat template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from roi_bench.errors import UsageError
from roi_bench.harness.chat_templates import rendered, templated
from roi_bench.reference_training.recipe import Recipe
from roi_bench.scoring.prompts import Message, as_text


def chat_wrapper(recipe: Recipe, tokenizer: Any) -> Callable[[Sequence[Message]], str]:
    """Return what turns a prompt into the text that is sent: the chat template, or none.

    Raises:
        UsageError: The recipe asks for a chat template and the tokenizer has none.
    """
    if not recipe.chat:
        return as_text
    if not tokenizer.chat_template:
        raise UsageError(
            f"recipe {recipe.name}: chat is true, but the tokenizer of {recipe.model!r} has no chat template"
        )
    return partial(rendered, render=template_of(tokenizer))


def template_of(tokenizer: Any) -> Callable[[list[Message]], str]:
    """Return what applies the tokenizer's chat template to messages, up to where the response starts."""
    render: Callable[[list[Message]], str] = partial(
        tokenizer.apply_chat_template, tokenize=False, add_generation_prompt=True
    )
    return render


def trl_prompt(messages: Sequence[Message], chat: bool, tokenizer: Any) -> str | list[Message]:
    """Return a prompt as TRL takes it: messages that it applies the chat template to, or bare text."""
    return templated(messages, template_of(tokenizer)) if chat else as_text(messages)
