r"""Closing sections of a response: where a summary of the answers begins, and which problem a line of it numbers.

One may begin (SPEC section 5) with a line such as Final Answer(s), Summary, Answers, Conclusion, a sentence such as
"So the answers are", or the head of a table that has Problem or Answer. A numbered list of all answers that ends the
text (:func:`find_list`) begins one under such a title however many problems have been opened, and without a title if
each of its lines is a box and no more.
Whether it does begin there is the reader's to say. In it, a line that starts with a number, a table row's first cell
and a name number what stands behind them.

All functions take text whose lines end with line feeds.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from roi_bench.reading.answer_lines import (
    AnswerLine,
    is_bare_value,
    line_end,
    read_answer,
    value_behind,
)
from roi_bench.reading.headers import BLANK, Mark
from roi_bench.reading.marks import Box

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

_GAP = 20  # characters between two lines of a list

_NUMBER = re.compile(
    rf"\n{BLANK}{{0,6}}(?:[|>\-*+#]{BLANK}{{0,3}}){{0,3}}[*_]{{0,3}}\(?[*_]{{0,3}}(?P<number>[1-9])[*_]{{0,3}}"
    rf"(?:[.):\uff1a](?![0-9])[*_]{{0,3}}|{BLANK}{{1,3}}[\u2013\u2014-](?={BLANK})|{BLANK}{{0,3}}\|)"
)

_LABEL_OF_BOX = (
    rf"(?:(?:problem|question|exercise|task){BLANK}{{1,3}}\#?[0-9][*_]{{0,3}}{BLANK}{{0,3}}[:=.)\u2013\u2014\u2192-]?)?"
    rf"(?:{BLANK}|[*_]){{0,6}}(?:(?:the{BLANK})?(?:final{BLANK})?answer(?:{BLANK}is)?)?"
)

_LEAD_OF_BOX = re.compile(rf"(?:{BLANK}|[*_]){{0,6}}{_LABEL_OF_BOX}(?:{BLANK}|[*_$:=|]|\\[(\[]){{0,12}}", re.I)

_TAIL_OF_BOX = re.compile(rf"(?:{BLANK}|[*_$|.,;]|\\[)\]]){{0,20}}")


@dataclass(frozen=True, slots=True)
class ClosingList:
    """The numbered list of all answers that ends a response.

    Attributes:
        start: Offset of its title, or of its first line if it has none.
        titled: A line such as "Final Answers:" stands right above it.
    """

    start: int
    titled: bool


@dataclass(frozen=True, slots=True)
class _Item:
    start: int
    only_box: bool  # its box is all of the line but marks or a label


def find_titles(text: str) -> list[int]:
    """Return the offsets of the lines whose words or table head may begin a closing section, ascending."""
    return sorted(start for start in _lines_with_hints(text) if _BEGIN.match(text, start) is not None)


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


def find_list(text: str, titles: list[int], boxes: list[Box], count: int, header: int) -> ClosingList | None:
    """Return the numbered list of all answers that ends ``text``, None if none does.

    Its lines ``1.`` to ``count.`` follow each other, each with a box or a value. Behind it stand only words: no box, no
    header, no item ``count + 1``.

    Args:
        text: The response.
        titles: Offsets of the lines at which a closing section may begin, ascending.
        boxes: Its boxes by start.
        count: Number of problems.
        header: Offset of the last line that may be a header, -1 if there is none.
    """
    starts = [box.start for box in boxes]
    found, run, place = None, list[_Item](), 0
    for number in find_numbers(text, count + 1):
        if number.number > count:
            found, run = None, []  # the list goes on behind the last of all problems
            continue
        if number.start - place >= _GAP or text[place : number.start].strip():
            run = []
        expected = len(run) + 1 if number.number == len(run) + 1 else 1
        place = line_end(text, number.end, len(text))
        item = _item(text, number, place, boxes, starts) if number.number == expected else None
        run = [*run[: expected - 1], item] if item is not None else []
        if len(run) == count:
            found, run = (run, place), []
    if found is None or header > found[1] or (starts and starts[-1] > found[1]):
        return None
    first = found[0][0].start
    above = bisect_right(titles, first) - 1
    between = text[line_end(text, titles[above], len(text)) : first] if above >= 0 and titles[above] < first else "x"
    titled = not between.strip(" \t\n|:-")  # the rule below a table's head
    if titled:
        return ClosingList(titles[above], True)
    return ClosingList(first, False) if all(item.only_box for item in found[0]) else None


def _item(text: str, number: Mark, stop: int, boxes: list[Box], starts: list[int]) -> _Item | None:
    """Return the numbered line up to ``stop`` as an item of a list of answers; None if it holds no answer."""
    first, last = bisect_left(starts, number.end), bisect_left(starts, stop) - 1
    if last < first:
        whole = item_value(text, number.end, stop, False) is not None
        return _Item(number.start, False) if whole else None
    if boxes[last].content is None or boxes[last].end > stop:
        return None
    row = text.find("|", number.start, number.end) >= 0
    lead = row or _LEAD_OF_BOX.fullmatch(text, number.end, starts[first]) is not None
    return _Item(number.start, lead and _TAIL_OF_BOX.fullmatch(text, boxes[last].end, stop) is not None)


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


_BEHIND_TITLE = re.compile(
    rf"[^\n]{{0,{_FAR}}}?(?:answers|results|solutions|summary|recap|finales|finais|finali|endergebnisse|ответы|итог|答案|总结)"
    rf"(?:{BLANK}{{1,3}}(?:are|is)(?![A-Za-z]))?[*_}}]{{0,4}}{BLANK}{{0,3}}[:=\uff1a]?[*_]{{0,3}}",
    re.IGNORECASE,
)

_BULLET = re.compile(rf"{BLANK}*[-*+\u2022]{BLANK}+")

_RESPECTIVELY = re.compile(r",?\s*respectively\s*\Z", re.IGNORECASE)


def titled_values(text: str, start: int, end: int, count: int, cut_off: bool) -> list[AnswerLine]:
    """Return the answers of all problems that stand without names or boxes behind the title of a closing section.

    They are one list in the title's line ("So the answers are 5, 6 and 7.") or the line below it, or lines of one a
    problem.
    Anything but ``count`` values is none.

    Args:
        text: The response.
        start: Offset of the title's line.
        end: Offset of the section's end.
        count: Number of problems.
        cut_off: The budget ended the response.
    """
    title = _BEHIND_TITLE.match(text, start, end)
    if title is None:
        return []
    line = read_answer(text, title.end(), end, cut_off)
    if line is None:
        return []
    values = top_level_values(_RESPECTIVELY.sub("", line.text))
    found = [AnswerLine(line.start, line.end, value.strip(" $*"), line.place) for value in values]
    if len(found) == 1:
        found = _lines_below(text, line_end(text, title.end(), end), end, count, cut_off)
    return found if len(found) == count and all(is_bare_value(value.text) for value in found) else []


def _lines_below(text: str, place: int, end: int, count: int, cut_off: bool) -> list[AnswerLine]:
    """Return the values of the lines with content from ``place`` on, at most one more than ``count``."""
    found: list[AnswerLine] = []
    while place < min(end, len(text)) and len(found) <= count:
        start, place = place + 1, line_end(text, place + 1, end)
        bullet = _BULLET.match(text, start, place)
        line = None if start >= place else value_behind(text, start if bullet is None else bullet.end(), place, cut_off)
        if line is not None:
            found.append(line)
        elif text[start:place].strip():
            break
    return found
