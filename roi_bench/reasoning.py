r"""Visible reasoning in a response: spans between think tags, and the text without them (SPEC section 5).

- A span runs from an opening tag (``<think>``, ``<thinking>``, ``[THINK]``, in any case, and the run's own) to the next
  closing one of any kind, tags included; openings inside change nothing. One never closed runs to the end of the text.
- A response that starts in reasoning has a span from its first character.
- An opening tag within inline code (backticks in its line) opens nothing: the text speaks of it.
- A closing tag with nothing open is plain text; outside inline code it is reported, for it hints at a prompt that
  opened the block.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

_KNOWN = re.compile(r"[<\[](/?)think(?:ing)?[>\]]", re.IGNORECASE)

_INLINE_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)[^`\n]+\1(?!`)")

Spans = tuple[tuple[int, int], ...]
"""``(start, end)`` offsets, ascending and disjoint."""


def find_reasoning(
    text: str, starts_in_reasoning: bool = False, think_tags: Sequence[tuple[str, str]] = ()
) -> tuple[Spans, bool]:
    """Return the reasoning spans of ``text`` and whether a closing tag stands where none was open.

    Args:
        text: Any string.
        starts_in_reasoning: The prompt ended inside an open block.
        think_tags: Further pairs of opening and closing tag, as they are written.
    """
    tags = _tags(text, think_tags)
    if not tags and not starts_in_reasoning:
        return (), False
    spans, stray = [], False
    code = [match.span() for match in _INLINE_CODE.finditer(text)] if "`" in text else []
    opened = 0 if starts_in_reasoning else None
    for start, end, closing in tags:
        if opened is None and _within(start, code):
            continue
        if not closing:
            opened = start if opened is None else opened
        elif opened is None:
            stray = True
        else:
            spans.append((opened, end))
            opened = None
    if opened is not None and opened < len(text):
        spans.append((opened, len(text)))
    return tuple(spans), stray


def _within(offset: int, spans: list[tuple[int, int]]) -> bool:
    index = bisect_right(spans, (offset, offset)) - 1
    return index >= 0 and offset < spans[index][1]


def _tags(text: str, think_tags: Sequence[tuple[str, str]]) -> list[tuple[int, int, bool]]:
    """Return ``(start, end, closes)`` of every tag, ascending."""
    found = [(match.start(), match.end(), bool(match[1])) for match in _known_tags(text)]
    if not think_tags:
        return sorted(found)
    own = {tag: closing for pair in think_tags for tag, closing in zip(pair, (False, True), strict=True) if tag}
    own = {tag: closing for tag, closing in own.items() if _KNOWN.fullmatch(tag) is None}
    if own:
        pattern = re.compile("|".join(re.escape(tag) for tag in sorted(own, key=len, reverse=True)))
        found += [(match.start(), match.end(), own[match[0]]) for match in pattern.finditer(text)]
    return sorted(found)


def _known_tags(text: str) -> Iterator[re.Match[str]]:
    """Yield the usual tags; the few brackets of a text are looked at one by one."""
    for bracket in "<[":
        place = text.find(bracket)
        while place >= 0:
            if text[place + 1 : place + 2] in "/tT" and (match := _KNOWN.match(text, place)) is not None:
                yield match
            place = text.find(bracket, place + 1)


def hide_spans(text: str, spans: Spans) -> str:
    """Return ``text`` with every character of the ``spans`` replaced by a line feed: offsets stay what they were."""
    parts, place = [], 0
    for start, end in spans:
        parts += [text[place:start], "\n" * (end - start)]
        place = end
    return "".join([*parts, text[place:]])
