r"""Conclusions: what "Therefore, the total is \$324." answers where a section has neither box nor answer line.

A problem asked alone may have one; in an exam a sentence of the work would bar the closing list that has the answer.
The *conclusion* is the last sentence of the section's last line that begins with a word of a closed list (so, thus,
hence, therefore …). It answers with its last value: a formula between math delimiters, bold text, or a number. A
display formula that ends the section belongs to the line above it.

- Values with only a comma, "and" or "or" between them are one list.
- What stands behind the sentence in its line may name no other value, and the line asks nothing.
- A sentence without such a word is no conclusion, nor is one about problems, tokens or skipping: problems are restated
  in the one way and left in the other, and neither may answer them.

The functions take text whose lines end with line feeds.
"""

from __future__ import annotations

import re
from collections import deque

from roi_bench.reading.answer_lines import AnswerLine, sentence_ends
from roi_bench.reading.headers import BLANK
from roi_bench.reading.outline import is_list_gap

_LONGEST = 600
"""Characters at the end of a line that are looked at."""

_BEGINNING = re.compile(
    rf"(?:^(?:{BLANK}|[>*_+-]){{0,6}}|(?<=[.!?:;]){BLANK}{{1,3}}(?:\*\*)?|(?<=[)\]}}$*]){BLANK}{{1,3}}(?-i:(?=[A-Z])))"
    rf"(?:so(?!{BLANK}that)|thus|hence|therefore|consequently|accordingly|in{BLANK}(?:conclusion|summary)|"
    rf"as{BLANK}a{BLANK}result|we{BLANK}conclude{BLANK}that|it{BLANK}follows{BLANK}that)(?![A-Za-z])",
    re.IGNORECASE | re.MULTILINE,
)
_VALUE = re.compile(
    r"\\\[(?P<display>(?s:.+?))\\\]|\\\((?P<inline>.+?)\\\)|\$\$(?P<dollars>[^$]+)\$\$"
    r"|(?<![\\$])\$(?P<dollar>[^$]{1,200})(?<!\\)\$(?![0-9$])|\*\*(?P<bold>[^*]{1,100})\*\*"
    r"|(?<![\w.,^{/])(?P<number>[-+\u2212]?\\?[$\u20ac\u00a3]?(?:[0-9]{1,3}[ ](?=[0-9]{1,3}/[0-9]))?"
    r"[0-9](?:[0-9,]*[0-9])?(?:\.[0-9]+)?(?:/[0-9]+|(?::[0-9]{1,2})+)?"
    r"(?:[ ]?\\?%|[ ](?:hundred|thousand|[mb]illion|dozen)s?)?)"
    r"(?![\w^])"
)
_NAME = re.compile(r"(?:.{1,20}=\s*)?[A-Za-z]{1,4}(?:_\{?[A-Za-z0-9]\}?)?(?:\([A-Za-z]\))?")
"""``n``, ``ABC``, ``f(x)``, ``k(x) = f(x)``: what a value belongs to. Capitals name a point or a choice, if nothing
else stands there."""

_OF_THE_EXAM = re.compile(r"(?<![A-Za-z])(?:problem|question|exercise|task|token|budget|skip)", re.IGNORECASE)


def find_conclusion(text: str, start: int, end: int, cut_off: bool) -> AnswerLine | None:
    """Return the value of the conclusion that ends ``text[start:end]``, None if it ends in none.

    Args:
        text: Any string.
        start: Offset of the section.
        end: Offset of its end.
        cut_off: The budget ended the text, so that a section ending with it has no conclusion.
    """
    if cut_off and end == len(text):
        return None
    start = max(start, end - 2 * _LONGEST)
    stop = start + len(text[start:end].rstrip())
    line = max(_last_line(text, start, stop), stop - _LONGEST)
    beginning = deque(_BEGINNING.finditer(text, line, stop), maxlen=1)
    if not beginning or text.find("?", line, stop) >= 0:
        return None
    place = beginning[0].end()
    values = list(_VALUE.finditer(text, place, stop))
    closes = next((end for end in sentence_ends(text, place, stop) if not _within(end, values)), stop)
    if _OF_THE_EXAM.search(text, place, closes) is not None:
        return None
    inside = [value for value in values if value.start() < closes]
    named = [value for value in inside if _NAME.fullmatch(_content(value)) is not None]
    inside = [value for value in inside if value not in named] or [v for v in named if _content(v).isupper()]
    if not inside or any(_content(value) != _content(inside[-1]) for value in values if value.start() > closes):
        return None
    first = len(inside) - 1
    while first and is_list_gap(text, inside[first - 1].end(), inside[first].start()):
        first -= 1
    contents = [_content(value) for value in inside[first:]]
    answer = ", ".join(dict.fromkeys(filter(None, contents)))
    place, end = text.index(contents[0], inside[first].start()), inside[-1].end()
    end = text.rindex(contents[-1], inside[-1].start(), end) + len(contents[-1])
    return AnswerLine(place, end, answer, beginning[0].start()) if answer else None


def _last_line(text: str, start: int, stop: int) -> int:
    """Return the start of the last line; the display formula that ends it may stand some lines below."""
    line = max(text.rfind("\n", start, stop) + 1, start)
    for opening, closing in ((r"\[", r"\]"), ("$$", "$$")):
        if text.endswith(closing, start, stop):
            line = max(text.rfind(opening, start, stop - 2), start)
            above = start + len(text[start:line].rstrip())
            return max(text.rfind("\n", start, above) + 1, start)
    return line


def _within(place: int, values: list[re.Match[str]]) -> bool:
    return any(value.start() < place < value.end() for value in values)


def _content(value: re.Match[str]) -> str:
    """Return a value without what encloses it."""
    return str(value[value.lastgroup or 0]).strip().strip("*_`").rstrip(".,;:!").strip()
