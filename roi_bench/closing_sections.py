r"""Closing sections of a response: where a summary of the answers begins, and which problem a line of it numbers.

One may begin (SPEC section 5) with a line such as Final Answer(s), Summary, Answers, Conclusion, a sentence such as
"So the answers are", the head of a table that has Problem or Answer, or a run of lines ``1. \boxed{…}`` to the last
problem.
Whether it does begin there is the reader's to say. In it, a line that starts with a number, a table row's first cell
and a name number what stands behind them.

All functions take text whose lines end with line feeds.
"""

from __future__ import annotations

import re

from roi_bench.answer_lines import AnswerLine, value_behind
from roi_bench.headers import BLANK, Mark

_MARKS = rf"(?:{BLANK}|[#>*_+\u2022-]|\\(?:textbf|textit|section|subsection|paragraph)\*?\{{){{0,12}}?"
_LEAD = rf"(?:(?:so|thus|hence|therefore|finally|overall|in summary|in conclusion|to summarize),?{BLANK}{{1,3}}){{0,2}}"
_END = r"(?![A-Za-z])"
_TITLE = (
    rf"(?:(?:the|our|my|all){BLANK}{{1,3}})?final{BLANK}{{1,3}}(?:boxed{BLANK}{{1,3}})?(?:answers?|results?|solutions?){_END}|"
    rf"(?:brief{BLANK}|quick{BLANK})?summary{_END}|recap{_END}|conclusions?{_END}|answer{BLANK}(?:key|summary|list){_END}|"
    rf"(?:in{BLANK}(?:summary|conclusion|short)|to{BLANK}(?:summari[sz]e|sum{BLANK}up|conclude|recap)){_END}|"
    rf"answers(?=[*_]{{0,3}}{BLANK}{{0,3}}(?:[:\n]|\Z))|"
    rf"(?:the|our|my|all){BLANK}{{1,3}}(?:(?:three|3|correct|boxed){BLANK}{{1,3}}){{0,2}}answers{_END}"
    rf"(?=[^\n]{{0,80}}?(?:\bare\b|\bis\b|:))|"
    r"respuestas?[ ]finales|r[ée]ponses[ ]finales|endergebnisse|risposte[ ]finali|respostas[ ]finais|итог|ответы|"
    r"最[终終]答案|答案[汇彙]总|[总總][结結]|まとめ|최종[ ]?답"
)
_TABLE = r"\|(?=[^\n]{0,200}?\b(?:problem|answer)s?\b[^\n]{0,200}\|)(?![^\n]{0,200}\\boxed)"
_BEGIN = re.compile(rf"^{BLANK}{{0,6}}(?:{_MARKS}{_LEAD}(?:{_TITLE})|{_TABLE})", re.IGNORECASE | re.MULTILINE)
_HINTS = (
    *(
        "final",
        "finais",
        "summar",
        "recap",
        "conclu",
        "answer",
        "in short",
        "to sum",
        "problem",
        "endergebnis",
        "итог",
        "ответы",
    ),
    *("答案", "结", "結", "まとめ", "최종"),
)
"""Every beginning holds one of these, in lower case."""

_FAR = 260
_NUMBER = re.compile(
    rf"\n{BLANK}{{0,6}}(?:[|>\-*+#]{BLANK}{{0,3}}){{0,3}}[*_]{{0,3}}\(?[*_]{{0,3}}(?P<number>[1-9])[*_]{{0,3}}"
    rf"(?:[.):\uff1a](?![0-9])[*_]{{0,3}}|{BLANK}{{1,3}}[\u2013\u2014-](?={BLANK})|{BLANK}{{0,3}}\|)"
)
_BOX_IN_LINE = re.compile(r"[^\n]{0,200}?\\(?:boxed|fbox)")


def find_beginnings(text: str, count: int) -> list[int]:
    """Return the offsets of the lines at which a closing section for ``count`` problems may begin, ascending."""
    begins = {start for start in _lines_with_hints(text) if _BEGIN.match(text, start) is not None}
    if count > 1 and "box" in text:
        begins |= set(_runs(text, count))
    return sorted(begins)


def _lines_with_hints(text: str) -> set[int]:
    """Return the starts of the lines that hold a word of a beginning close to their start: most lines hold none."""
    lower = text.lower()
    lower = lower if len(lower) == len(text) else text  # a character whose lower case is longer
    starts = set()
    for hint in _HINTS:
        place = lower.find(hint)
        while place >= 0:
            before = text.rfind("\n", max(0, place - _FAR), place)
            if before >= 0 or place <= _FAR:
                starts.add(before + 1)
            place = lower.find(hint, place + 1)
    return starts


def _runs(text: str, count: int) -> list[int]:
    """Return where runs of consecutive lines ``k. \\boxed{…}`` from 1 to ``count`` begin."""
    found, start, place, expected = [], 0, 0, 1
    for number in find_numbers(text, count):
        if _BOX_IN_LINE.match(text, number.end) is None:
            continue
        between = text[place : number.start] if number.start - place < 20 else "x"
        expected = expected if number.number == expected and not between.strip() else 1
        if number.number != expected:
            continue
        start = number.start if expected == 1 else start
        line_end = text.find("\n", number.end)
        place = len(text) if line_end < 0 else line_end
        expected += 1
        if expected > count:
            found.append(start)
            expected = 1
    return found


def find_numbers(text: str, count: int) -> list[Mark]:
    """Return the numbers 1…``count`` at the start of a line or table row of ``text``."""
    first = _NUMBER.match("\n" + text[:_FAR])
    found = [(0, first.end() - 1, int(first["number"]))] if first is not None else []
    found += [(match.start() + 1, match.end(), int(match["number"])) for match in _NUMBER.finditer(text)]
    return [Mark(start, end, number) for start, end, number in found if number <= count]


def _cells(text: str) -> list[str]:
    """Return the contents of the cells of a table row; of another line, the line."""
    return [cell for cell in text.strip().strip("|").split("|") if cell.strip()]


_SEPARATOR = re.compile(
    r"(?:,\s*)?\\text\s*\{\s*(?:and|or|,)\s*\}|(?:,\s*)?\s(?:and|or)\s|\\q?quad(?![a-z])|(?<!\\);"
    r"|(?<!\\),(?!\\!)(?!(?<=[0-9],)[0-9]{3}(?![0-9]))"
)
_LABEL = re.compile(
    rf"\s*(?:\\text\s*\{{\s*)?(?:problem{BLANK}{{0,3}}[0-9]\s*[:=.)]|\(?[0-9]\)|[0-9][.:](?=\s))\s*\}}?\s*",
    re.IGNORECASE,
)


def top_level_values(content: str) -> list[str]:
    r"""Return the values of a list by position: what stands between commas, semicolons, "and" outside brackets.

    A comma within a number (``1,234``) separates nothing. Labels (``Problem 1: 5``, ``1) 5``) are left out.
    """
    depth, place, parts = 0, 0, []
    stops = {match.start(): match.end() for match in _SEPARATOR.finditer(content)}
    for index, character in enumerate(content):
        if index >= place and depth <= 0 and index in stops:
            parts.append(content[place:index])
            place = stops[index]
        depth += (character in "([{") - (character in ")]}")
    parts.append(content[place:])
    values = [_LABEL.sub("", part, count=1).strip() if _LABEL.match(part) else part.strip() for part in parts]
    return [value for value in values if value.strip(" $\\")]


def item_value(text: str, start: int, stop: int, cut_off: bool) -> AnswerLine | None:
    """Return the value of a numbered line or table row."""
    row = text[start:stop]
    if "|" in row:
        for cell in reversed(_cells(row)):
            place = text.index(cell, start)
            if (line := value_behind(text, place, place + len(cell), False)) is not None:
                return line
    return value_behind(text, start, stop, cut_off)
