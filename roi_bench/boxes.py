r"""Final-answer boxes in a response: ``\boxed{…}`` and ``\fbox{…}``, found in one linear pass.

What counts as a box:

- ``\boxed`` or ``\fbox`` (also with a doubled backslash, as models that escape for JSON write it), white space, then
  a braced argument. Braces nest; ``\{`` and ``\}`` do not count as braces.
- Without braces (``\boxed 5``) the argument is what follows up to white space, ``$`` or the end, without closing
  punctuation. (TeX would take one token, but nobody who writes ``\boxed 12`` means 1.)
- A box inside another box is part of the outer one; where it is all of it (``\boxed{\boxed{5}}``) the inner content is
  the answer. Inside an outer box that never closes, the inner boxes stand on their own.
- A blank box (``\boxed{}``) is no box.
- A box must close before the next header line; otherwise it is malformed and is no box.
- A box still open at the end of the text, with no complete box inside, is *cut*.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SPACE = " \t\r\n\u00a0"
_TOKEN = re.compile(r"\\{1,2}(?:boxed|fbox)(?![A-Za-z])|\\.|[{}]", re.DOTALL)
_UNBRACED = re.compile(r"[^\s$]{1,200}")
_TOKEN_BOX = re.compile(r"\\{1,2}(?:boxed|fbox)(?![A-Za-z])")
_WHOLE_BOX = re.compile(r"\\{1,2}(?:boxed|fbox)\s*\{")


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


def find_boxes(text: str, barriers: Sequence[int] = ()) -> list[Box]:
    """Return the outermost boxes of ``text`` by start; takes time linear in ``text``.

    Args:
        text: Any string.
        barriers: Ascending offsets (of header lines) that no box may span.
    """
    boxes: list[Box] = []
    limits = [*barriers, len(text)]
    position = 0
    for limit in limits:
        open_boxes = _scan(text, position, limit, boxes)
        if limit == len(text):
            _add_cut_box(text, open_boxes, boxes)
        position = limit
    return boxes


def _scan(text: str, position: int, limit: int, boxes: list[Box]) -> list[int]:
    """Append the complete boxes of ``text[position:limit]`` to ``boxes``; return the starts of those left open."""
    stack: list[tuple[int, int] | None] = []  # an open brace: (box start, content start), None for a plain brace
    while (token := _TOKEN.search(text, position, limit)) is not None:
        position = token.end()
        kind = token.group()
        if kind == "{":
            stack.append(None)
        elif kind == "}":
            opened = stack.pop() if stack else None
            if opened is not None:
                _add_box(boxes, opened[0], position, text[opened[1] : position - 1])
        elif len(kind) > 2:
            argument = _skip_space(text, position, limit)
            if argument == limit or text[argument] == "{":
                position = min(argument + 1, limit)
                stack.append((token.start(), position))
            elif (word := _UNBRACED.match(text, argument, limit)) is not None and _TOKEN_BOX.match(word[0]) is None:
                # Only the command is stepped over: a brace inside the argument may close an outer box.
                content = _balanced_prefix(word[0].rstrip(".,;:!?*") or word[0])
                _add_box(boxes, token.start(), argument + len(content), content)
    return [opened[0] for opened in stack if opened is not None]


def _skip_space(text: str, position: int, limit: int) -> int:
    # At most 64 characters, so that boxes separated from their braces by long blanks cost nothing.
    stop = min(limit, position + 64)
    while position < stop and text[position] in _SPACE:
        position += 1
    return position


def _balanced_prefix(content: str) -> str:
    """Cut an unbraced argument before the first brace that closes something opened outside it."""
    depth = 0
    for index, character in enumerate(content):
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return content[:index]
    return content


def _add_box(boxes: list[Box], start: int, end: int, content: str) -> None:
    while boxes and boxes[-1].start > start:  # boxes inside this one are part of it
        boxes.pop()
    content = _unwrap(content.strip())
    if content:
        boxes.append(Box(start, end, content))


def _add_cut_box(text: str, open_boxes: list[int], boxes: list[Box]) -> None:
    """Append the innermost box open at the end of the text, unless a complete box follows its start."""
    if open_boxes and not (boxes and boxes[-1].start > open_boxes[-1]):
        boxes.append(Box(open_boxes[-1], len(text), None))


def _unwrap(content: str) -> str:
    """Return the content of a box that is all of ``content``, else ``content``; at most eight layers."""
    for _ in range(8):
        whole = _WHOLE_BOX.match(content)
        if whole is None or not content.endswith("}"):
            return content
        depth, position = 1, whole.end()
        for token in _TOKEN.finditer(content, position):
            depth += (token.group() == "{") - (token.group() == "}")
            position = token.end()
            if depth == 0:
                break
        if depth != 0 or position != len(content):
            return content
        content = content[whole.end() : -1].strip()
    return content
