"""What a run knows of the reasoning in its texts: stripped before they were recorded, or begun by the prompt. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from roi_bench.scoring.tokens import Usage, retokenization_slack

ThinkTags = tuple[tuple[str, str], ...]
"""Opening and closing tags of reasoning besides those that every run may use; an empty opening where none is known."""

KNOWN_TAGS: ThinkTags = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
"""Tags of reasoning in every run (SPEC section 5)."""

_OPENINGS = (("/", ""), ("END", "START"), ("end", "begin"))
"""How a closing tag is turned into its opening one."""


@dataclass(frozen=True, slots=True)
class TextFacts:
    """What has to be known of a run's texts to read them.

    Attributes:
        whole: False where the backend stripped reasoning from the text before it was recorded.
        starts_in_reasoning: The prompt as sent ends inside a block of reasoning, so that responses begin in it.
        think_tags: Tags of reasoning that are this run's own.
    """

    whole: bool = True
    starts_in_reasoning: bool = False
    think_tags: ThinkTags = ()


PLAIN = TextFacts()
"""Texts that are all that was generated and begin in no reasoning."""


def own_tags(think_end_token: object) -> ThinkTags:
    """Return the tags of a run whose model arguments name ``think_end_token``; none where every run knows them.

    A token given by its number names no text.
    """
    closing = think_end_token.strip() if isinstance(think_end_token, str) else ""
    if not closing or closing.isdigit() or any(closing == known for _, known in KNOWN_TAGS):
        return ()
    opening = next((closing.replace(end, start, 1) for end, start in _OPENINGS if end in closing), "")
    return ((opening, closing),)


def parse_tags(value: object) -> ThinkTags | None:
    """Return the tags that ``value``, read from JSON, lists in pairs; None where it lists something else."""
    if not isinstance(value, list):
        return None
    pairs = [tuple(pair) if isinstance(pair, list) else () for pair in value]
    if not all(len(pair) == 2 and all(isinstance(tag, str) for tag in pair) and pair[1] for pair in pairs):
        return None
    return tuple((opening, closing) for opening, closing in pairs)


def opens_reasoning(prompt: str, think_tags: ThinkTags = ()) -> bool:
    """Return whether ``prompt`` as sent ends inside a block of reasoning: no closing tag stands after its last opening.

    Args:
        prompt: The prompt, chat template applied.
        think_tags: Tags of the run's own.
    """
    tags = (*KNOWN_TAGS, *think_tags)
    opened = max(prompt.rfind(opening) for opening, _ in tags if opening)
    return opened >= 0 and all(prompt.rfind(closing) < opened for _, closing in tags)


def text_facts(metadata: Mapping[str, Any], prompts: Iterable[str]) -> TextFacts:
    """Return what a run knows of its texts.

    Args:
        metadata: Model arguments and ``--metadata``; lm_eval strips the reasoning before their ``think_end_token``.
        prompts: The prompts as sent. A template that opens a block does so in all of them; a question that holds such
            a tag says nothing of the others.
    """
    end = metadata.get("think_end_token")
    tags = own_tags(end)
    sent = list(prompts)
    opened = bool(sent) and all(opens_reasoning(prompt, tags) for prompt in sent)
    return TextFacts(end is None, end is not None or opened, tags)


def begins_in_reasoning(text: str, facts: TextFacts, budget: int, usage: Usage | None, shown: int | None) -> bool:
    """Return whether a response begins inside a block of reasoning.

    A backend that strips reasoning up to its closing tag leaves a text whose reasoning never ended as it is. Nothing
    was stripped from a text that the budget ended and whose own tokens are all that were spent.

    Args:
        text: The response as recorded.
        facts: What is known of the run's texts.
        budget: Budget in tokens.
        usage: Exact usage of the response, or None.
        shown: Tokens of the text, None where no tokenizer is known.
    """
    if not facts.starts_in_reasoning:
        return False
    if facts.whole or any(closing in text for _, closing in (*KNOWN_TAGS, *facts.think_tags)):
        return True
    if shown is None or (usage is not None and usage.finish_reason != "length"):
        return False
    spent = budget if usage is None else usage.tokens
    return shown >= spent - retokenization_slack(spent)
