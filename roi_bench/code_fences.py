r"""Code in a response: what stands between fences (three or more backticks or tildes at the start of a line).

Header lines inside code count for nothing (SPEC section 5): ``# Problem 2`` is a comment there. Every decision is
taken from what stands at the fence or before it, so that a response cut off reads as it did before the cut:

- A fence of no language or of ``markdown``, ``text`` or ``latex`` is a wrapper and no code if it is the first thing of
  the response, or if its first line with content is a ``### Problem k``: models fence whole responses.
- Code runs to its closing fence. One never closed runs to the end, but a ``### Problem k`` behind a blank line ends it:
  nobody comments code so, and a forgotten fence shall not swallow the problems behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

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
