"""Marks in the text of a response: final-answer boxes, code, visible reasoning. Each is found in one linear pass."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_SPACE = " \t\r\n\u00a0"
_COMMAND = r"\\{1,2}(?:boxed|fbox)(?![A-Za-z])"
_TOKEN = re.compile(rf"{_COMMAND}|\\.|[{{}}]", re.DOTALL)
_UNBRACED = re.compile(
    rf"(?!{_COMMAND})(?:[(\[+\-\u2212\u00b1]|\\\{{){{0,4}}"
    rf"(?:\.?[0-9]|(?!{_COMMAND})\\{{1,2}}[A-Za-z]|[\u03c0\u221a\u221e]|(?i:n/?a|n\.a\.?)(?![A-Za-z]))"
)
_UNBRACED_TOKEN = re.compile(rf"({_COMMAND}|\\[)\]\s]|\\\\(?![A-Za-z])|[\s$`])|\\.|[()\[\]{{}}]", re.DOTALL)
_UNBRACED_LENGTH = 200
_LONGEST_PLACEHOLDER = 40
_PLACEHOLDERS = frozenset({"", "answer", "youranswer", "finalanswer", "theanswer", "yourfinalanswer", "answerhere"})
_PLACEHOLDER_MARKS = re.compile(r"\\(?:text|textbf|mathrm|l?dots|cdots)(?![A-Za-z])|[\s{}.\u2026_<>\[\]*?]")
_LINE_END = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class Box:
    r"""One box.

    Attributes:
        start: Offset of its backslash.
        end: Offset just behind it (the end of the text for a cut box).
        content: What stands in it, outer white space stripped; None for a cut box.
    """

    start: int
    end: int
    content: str | None


@dataclass(frozen=True, slots=True)
class _Span:
    """A complete box by offsets; its text is cut out only once it is known to be an outermost one."""

    start: int
    end: int
    content_start: int
    content_end: int


def find_boxes(text: str, barriers: Sequence[int] = ()) -> list[Box]:
    """Return the outermost boxes of ``text`` by start, which do not overlap; takes time linear in ``text``.

    Args:
        text: Any string.
        barriers: Ascending offsets (of header lines) that no box may span.
    """
    spans: list[_Span] = []
    open_boxes: list[int] = []
    if (position := _first_line(text)) < 0:
        return []
    for limit in [*barriers, len(text)]:
        open_boxes = _scan(text, position, limit, spans)
        position = max(position, limit)
    boxes = []
    for span in spans:
        content = text[span.content_start : span.content_end].strip()
        if content and (len(content) > _LONGEST_PLACEHOLDER or _bare_words(content) not in _PLACEHOLDERS):
            boxes.append(Box(span.start, span.end, content))
    if open_boxes and not (boxes and boxes[-1].start > open_boxes[-1]):
        boxes.append(Box(open_boxes[-1], len(text), None))  # the innermost open box, with no complete box inside
    return boxes


def _first_line(text: str) -> int:
    """Return the start of the line with the first name of a command, -1 if there is none: most text needs no scan."""
    places = [place for name in ("boxed", "fbox") if (place := text.find(name)) >= 0]
    return text.rfind("\n", 0, min(places)) + 1 if places else -1


def _bare_words(content: str) -> str:
    return _PLACEHOLDER_MARKS.sub("", content).casefold()


def _scan(text: str, position: int, limit: int, spans: list[_Span]) -> list[int]:
    """Append the complete boxes of ``text[position:limit]`` to ``spans``; return the starts of those left open."""
    stack: list[tuple[int, int] | None] = []  # an open brace: (box start, content start), None for a plain brace
    while (token := _TOKEN.search(text, position, limit)) is not None:
        position = token.end()
        kind = token.group()
        if kind == "{":
            stack.append(None)
        elif kind == "}":
            opened = stack.pop() if stack else None
            if opened is not None:
                _close_box(text, _Span(opened[0], position, opened[1], position - 1), spans)
        elif len(kind) > 2:
            argument = _skip_space(text, position, limit)
            if argument == limit or text[argument] == "{":
                position = min(argument + 1, limit)
                stack.append((token.start(), position))
            elif _UNBRACED.match(text, argument, limit) and not _LINE_END.search(text, position, argument):
                # Only the command is stepped over: braces inside the argument are counted like any others.
                end = _unbraced_end(text, argument, limit)
                spans.append(_Span(token.start(), end, argument, end))
    return [opened[0] for opened in stack if opened is not None]


def _skip_space(text: str, position: int, limit: int) -> int:
    # At most 64 characters, so that boxes separated from their braces by long blanks cost nothing.
    stop = min(limit, position + 64)
    while position < stop and text[position] in _SPACE:
        position += 1
    return position


def _unbraced_end(text: str, start: int, limit: int) -> int:
    """Return where the unbraced argument from ``start`` ends."""
    end = min(limit, start + _UNBRACED_LENGTH)
    braces = brackets = 0
    for token in _UNBRACED_TOKEN.finditer(text, start, end):
        kind = token.group()
        braces += (kind == "{") - (kind == "}")
        brackets += (kind in ("(", "[")) - (kind in (")", "]"))
        if token.group(1) is not None or braces < 0 or brackets < 0:
            end = token.start()
            break
    return start + len(text[start:end].rstrip(".,;:!?*"))


def _close_box(text: str, box: _Span, spans: list[_Span]) -> None:
    """Append ``box`` in place of the boxes inside it; where one box is all of it, with that box's content."""
    inner = None
    count = 0
    while spans and spans[-1].start > box.start:
        inner = spans.pop()
        count += 1
    # Linear: what is read here lies outside the inner box, which is gone now, so that no outer box reads it again.
    if (
        inner is not None
        and count == 1
        and not text[box.content_start : inner.start].strip()
        and not text[inner.end : box.content_end].strip()
    ):
        box = _Span(box.start, box.end, inner.content_start, inner.content_end)
    spans.append(box)


_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})[ \t]*([A-Za-z0-9+#._-]{0,20})[^\n]*", re.MULTILINE)
_TEXT_LANGUAGES = frozenset({"", "markdown", "md", "text", "txt", "plaintext", "plain", "latex", "tex", "math"})
_FIRST_IS_HEADER = re.compile(r"\s{0,20}#{3}[ \t]*[*_]{0,3}problem[ \t]+[0-9]", re.IGNORECASE)
_HEADER_BEHIND_BLANK_LINE = re.compile(r"\n[ \t]*\n[ ]{0,3}###[ \t]*[*_]{0,3}(?i:problem)[ \t]+[0-9]")


def find_code(text: str) -> list[tuple[int, int]]:
    """Return ``(start, end)`` offsets of the code in ``text``, ascending and disjoint, fences included.

    Args:
        text: Any string whose lines end with line feeds.
    """
    if "```" not in text and "~~~" not in text:
        return []
    spans: list[tuple[int, int]] = []
    opened: tuple[int, str] | None = None
    seen = 0  # no header ends the open code before this offset
    wrapped = False
    first_visible = len(text) - len(text.lstrip())
    for fence in _fences(text):
        marks, language = fence[1], fence[2].casefold()
        bare = not fence[0].strip(" \t`~")
        if opened is not None:
            start, opening = opened
            header = _HEADER_BEHIND_BLANK_LINE.search(text, seen, fence.start())
            seen = max(seen, fence.start() - 1)
            if header is not None:
                spans.append((start, header.start() + 1))
                opened = None
            elif bare and marks.startswith(opening):
                spans.append((start, fence.end()))
                opened = None
                continue
            else:
                continue
        if wrapped and bare:
            wrapped = False
        elif language in _TEXT_LANGUAGES and (
            fence.start() <= first_visible or _FIRST_IS_HEADER.match(text, fence.end()) is not None
        ):
            wrapped = True
        else:
            opened, seen = (fence.start(), marks), fence.end()
    if opened is not None:
        header = _HEADER_BEHIND_BLANK_LINE.search(text, seen)
        spans.append((opened[0], len(text) if header is None else header.start() + 1))
    return spans


def _fences(text: str) -> Iterator[re.Match[str]]:
    """Yield the fences by start."""
    starts = set()
    for marks in ("```", "~~~"):
        place = text.find(marks)
        while place >= 0:
            starts.add(text.rfind("\n", 0, place) + 1)
            place = text.find("\n", place)
            place = -1 if place < 0 else text.find(marks, place)
    return filter(None, (_FENCE.match(text, start) for start in sorted(starts)))


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
