r"""Final-answer boxes in a response: ``\boxed{…}`` and ``\fbox{…}``, found in one linear pass.

What counts as a box:

- ``\boxed`` or ``\fbox`` (also with a doubled backslash, as models that escape for JSON write it), white space, then
  a braced argument. Braces nest; ``\{`` and ``\}`` do not count as braces.
- Without braces (``\boxed 5``) only what looks like an answer is an argument, for models also write about the command
  ("I put it in \boxed as asked"). It must stand in the same line and be NA (``N/A``, ``n.a.``), or start with a digit,
  a decimal point and digit, a TeX command (``\frac``), ``π``, ``√`` or ``∞``, signs and opening brackets before it
  allowed. Prose, a lone variable or ``$`` makes no box. The argument goes up to white space, ``$``, a backtick,
  ``\)``, ``\\``, another box, an unmatched closing bracket or the end, closing punctuation left out. (TeX would take
  one token, but nobody who writes ``\boxed 12`` means 1.)
- A box inside another box is part of the outer one; where it is all of it (``\boxed{\boxed{5}}``, however deep) the
  inner content is the answer. Inside an outer box that never closes, the inner boxes stand on their own.
- A blank box (``\boxed{}``) is no box, nor is one that only says what belongs there: ``\boxed{answer}``,
  ``\boxed{...}``.
- A box must close before the next header line; otherwise it is malformed and is no box.
- A box still open at the end of the text, with no complete box inside, is *cut*.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
