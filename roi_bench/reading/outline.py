"""Outline of a response: its marks, its problems, and where a closing section begins."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from roi_bench.reading.answer_lines import (
    AnswerLine,
    is_bare_value,
    is_skip,
    line_end,
    read_answer,
    value_behind,
)
from roi_bench.reading.marks import BLANK, INVISIBLE, Box, Header, Mark, find_names, nearest_names

# Closing sections of a response: where a summary of the answers begins, and which problem a line of it numbers.
#
# One may begin (SPEC section 5) with a line such as Final Answer(s), Summary, Answers, Conclusion, a sentence such as
# "So the answers are", or the head of a table that has Problem or Answer. A numbered list of all answers that ends the
# text (:func:`find_list`) begins one under such a title however many problems have been opened, and without a title if
# each of its lines is a box and no more. Whether it does begin there is decided by the walk. In it, a line that starts
# with a number, a table row's first cell and a name number what stands behind them.
#
# All functions take text whose lines end with line feeds.

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
    """Return the starts of lines with an opening word near their start; most lines have none."""
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

    Its lines ``1.`` to ``count.`` follow each other, each with a box or a value. Only words come after it: no box, no
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
    r"""Return the values of a list by position: the text between commas, semicolons and "and" outside brackets.

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
    """Return the answers of all problems that follow the title of a closing section without names or boxes.

    They are one list in the title's line ("So the answers are 5, 6 and 7.") or the line below it, or lines of one a
    problem.
    Unless there are exactly ``count`` values, nothing is returned.

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


# Input and result of reading a response: its marks, the answers so far, and the outline of the problems.


class Order:
    """The order rule: the problems' answers so far, read from left to right.

    - A value counts only if no value of a higher problem has counted before.
    - A later value of the same problem replaces the earlier one until it is final.
    - NA counts as an answer, but does not bar earlier problems, and may come out of order where there is no answer yet.
    """

    def __init__(self, marks: Marks) -> None:
        """Start with no answer to any problem."""
        self.marks = marks
        self.text, self.count = marks.text, marks.count
        self.answers: dict[int, Answer] = {}
        self.final: set[int] = set()
        self.opened: list[tuple[int, int]] = []  # (number, start), both ascending
        self.floors: list[tuple[int, int]] = [(-1, 0)]  # (offset, highest problem with a counted value from there on)
        self.cut = 0  # the problem whose box the end of the text cut off

    @property
    def floor(self) -> int:
        """Highest problem with a counted value."""
        return self.floors[-1][1]

    def _floor_at(self, offset: int) -> int:
        return max(number for place, number in self.floors if place <= offset)

    def finalize(self, number: int) -> None:
        """Make every value final, except that of the problem the response goes on to."""
        self.final |= {other for other, answer in self.answers.items() if other != number and not answer.skipped}

    def value_box(self, number: int, place: int, box: Box, opens: bool = True) -> None:
        """Count a box of problem ``number``: it continues that problem's list or is a new answer."""
        skipped = box.content is not None and is_skip(box.content)
        if number == 0 or (number < self.floor and not skipped):
            return
        if box.content is None:
            self.cut = number
            return
        before = self.answers.get(number)
        if before is not None and not skipped and not before.skipped and self._continues_list(before, box):
            if number not in self.final:
                before.contents.append(box.content)
                before.end = box.end
            return
        self.value(number, place, Answer([box.content], box.start, box.end, "box", skipped), opens)

    def _continues_list(self, before: Answer, box: Box) -> bool:
        """Return whether a box continues the list that the problem's last box began."""
        return before.by == "box" and is_list_gap(self.text, before.end, box.start)

    def value(self, number: int, place: int, answer: Answer, opens: bool = True) -> None:
        """Count an answer at ``place``, unless a higher problem has a value or its own value is final."""
        if number == 0 or number in self.final:
            return
        dead = number < self._floor_at(place)
        if answer.skipped and not (dead and number in self.answers):
            # NA does not bar earlier problems, opens nothing, and may come out of order.
            self.answers[number] = answer
        if dead or answer.skipped:
            return
        if opens and all(number != other for other, _ in self.opened) and number > self.floor:
            self.opened = [(n, at) for n, at in self.opened if n < number]
            self.opened.append((number, place))
        self.answers[number] = answer
        if number > self.floor:
            self.floors.append((place, number))

    def fill(self, answers: Iterable[Answer]) -> None:
        """Answer the problems that have no counted answer, in order; change nothing else."""
        for number, answer in enumerate(answers, start=1):
            if number not in self.answers:
                self.answers[number] = answer
                if not answer.skipped:
                    self.floors.append((answer.start, max(number, self.floor)))


_NOT_SPACE = re.compile(rf"[^\s{INVISIBLE}]")
_LIST_GAP = 60
_BETWEEN_LIST = re.compile(
    r"(?:[\s,;$&]|\\[()\[\],;:!]|\\q?quad(?![A-Za-z])|\b(?:and|or)\b|\\text\s{0,3}\{\s{0,3}(?:,\s{0,3})?(?:and|or)\s{0,3}\}"
    r"|[A-Za-z](?:_\{?\w{1,3}\}?)?\s{0,3}=(?=[\s$]|\\|\Z))*"
)


@dataclass(slots=True)
class Answer:
    """The answer to a problem so far.

    Attributes:
        contents: Contents of its boxes where several make one list answer; else one content.
        start: Offset of its first box, or of the answer in its line.
        end: Offset just behind it.
        by: ``box`` or ``line``.
        skipped: It is NA, not a value.
    """

    contents: list[str]
    start: int
    end: int
    by: Literal["box", "line"]
    skipped: bool

    def text(self) -> str:
        """Return the answer: equal values are one."""
        if len(self.contents) == 1:
            return self.contents[0]
        unique = {re.sub(r"\s+", "", content): content for content in reversed(self.contents)}
        return ", ".join(reversed(unique.values()))

    @classmethod
    def of_box(cls, box: Box) -> Answer:
        """Return ``box`` as an answer."""
        content = box.content or ""
        return cls([content], box.start, box.end, "box", is_skip(content))

    @classmethod
    def of_line(cls, line: AnswerLine) -> Answer:
        """Return ``line`` as an answer."""
        return cls([line.text], line.start, line.end, "line", is_skip(line.text, words=True))

    def listed(self, count: int, answers: dict[int, Answer]) -> list[Answer]:
        """Return its top-level values as one answer each (see :func:`list_values`)."""
        values = list_values(self.text(), count, answers)
        return [Answer([value], self.start, self.end, self.by, is_skip(value, words=True)) for value in values]

    def plain(self) -> str:
        """Return the answer without blanks and dollar signs, to compare it with another."""
        return plain(self.text())


def plain(text: str) -> str:
    """Return ``text``, or the beginning of a very long one, without blanks and dollar signs."""
    return re.sub(r"[\s$]+", "", text[:1000])


def is_list_gap(text: str, start: int, end: int) -> bool:
    """Return whether the text between two boxes makes them one list (SPEC section 5, "Lists")."""
    if not 0 <= end - start <= _LIST_GAP or "\n" in text[start:end]:
        return False
    return _BETWEEN_LIST.fullmatch(text, start, end) is not None


def list_values(content: str, count: int, answers: dict[int, Answer]) -> list[str]:
    """Return the values of a box; ``5,120,300`` is a list where one of its parts is that problem's answer."""
    values = top_level_values(content)
    parts = content.split(",")
    if len(values) == 1 and len(parts) == count:
        known = [answers.get(number) for number in range(1, count + 1)]
        if any(a is not None and a.plain() == plain(p) for a, p in zip(known, parts, strict=True)):
            return [part.strip() for part in parts]
    return values


def next_visible(text: str, position: int) -> int:
    """Return the offset of the first visible character from ``position`` on."""
    found = _NOT_SPACE.search(text, position)
    return len(text) if found is None else found.start()


@dataclass(slots=True)
class Marks:
    """The marks of a response: the input of the walk.

    Attributes:
        text: The response, line ends as line feeds, reasoning hidden.
        count: Number of problems.
        headers: Candidates by start.
        boxes: Boxes by start.
        levels: Level tags by start.
        cut_off: The budget ended the response.
    """

    text: str
    count: int
    headers: list[Header]
    boxes: list[Box]
    levels: list[Mark]
    cut_off: bool
    names: list[Mark] = field(default_factory=list)
    beginnings: list[int] | None = None  # where a closing section may begin; looked for where one may
    titled_list: int = -1  # where the titled list of all answers begins that ends the text
    numbers: list[Mark] = field(default_factory=list)  # numbers at the start of a line, for closing sections
    found_numbers: list[Mark] | None = None
    first_visible: int = 0
    box_names: list[Mark | None] = field(default_factory=list)
    level_names: list[Mark | None] = field(default_factory=list)

    def find_names(self) -> None:
        """Find which name names each box and level tag; a single problem needs no name."""
        self.names = find_names(self.text, self.count) if self.count > 1 else []
        self.box_names = nearest_names(self.text, [box.start for box in self.boxes], self.names)
        self.level_names = nearest_names(self.text, [level.start for level in self.levels], self.names)
        self.first_visible = next_visible(self.text, 0)

    def find_closings(self) -> list[int]:
        """Return where a closing section may begin, with the numbers at the start of lines looked for as well."""
        if self.beginnings is None:
            titles = find_titles(self.text)
            header = self.headers[-1].start if self.headers else -1
            last = find_list(self.text, titles, self.boxes, self.count, header) if self.count > 1 else None
            self.titled_list = last.start if last is not None and last.titled else -1
            self.beginnings = titles if last is None else sorted({*titles, last.start})
            self.numbers = self.line_numbers() if self.beginnings else []
        return self.beginnings

    def line_numbers(self) -> list[Mark]:
        """Return the numbers 1…count at the start of a line."""
        if self.found_numbers is None:
            self.found_numbers = find_numbers(self.text, self.count)
        return self.found_numbers


@dataclass(slots=True)
class Outline:
    """The result of reading a response: its problems, their answers and sections.

    Attributes:
        opened: ``(number, start)`` of the problems reached, both ascending.
        answers: The answer to each problem.
        levels: The level forecast of each problem.
        cut: The problem whose box the end of the text cut off, 0 if there is none.
        counted: Indices of the headers that count.
        closings: ``(start, end)`` offsets of the closing sections.
        breaks: Offsets at which a segment ends though no other problem begins, ascending.
        current: The problem in which the text ends, 0 if in none.
        left_all: The text has a complete closing section.
    """

    opened: list[tuple[int, int]]
    answers: dict[int, Answer]
    levels: dict[int, int]
    cut: int = 0
    counted: list[int] = field(default_factory=list)
    closings: list[tuple[int, int]] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    current: int = 0
    left_all: bool = False

    def spans(self, length: int) -> dict[int, tuple[int, int]]:
        """Return ``(start, end)`` of the problems reached in a text of ``length`` characters."""
        if len(self.opened) == 1 and not self.breaks:
            return {self.opened[0][0]: (self.opened[0][1], length)}
        found = {}
        ends = [*(start for _, start in self.opened[1:]), length]
        for (number, start), end in zip(self.opened, ends, strict=False):
            index = bisect_right(self.breaks, start)
            found[number] = (start, min(end, self.breaks[index]) if index < len(self.breaks) else end)
        return found

    def left(self, number: int) -> bool:
        """Return whether the response had left a problem when it ended."""
        if self.left_all or (self.opened and self.opened[-1][0] > number):
            return True
        return self.current != number and any(other == number for other, _ in self.opened)


@dataclass(slots=True)
class Closing:
    """A closing section that the walk is in."""

    start: int
    owner: int  # the problem in whose section it is
    early: bool = False  # it comes before all headers
    unnamed: list[Box] = field(default_factory=list)
    boxed: bool = False  # it has a box
    items: list[Mark] = field(default_factory=list)  # headers in it that only number the value in their line
    named: dict[int, Answer] = field(default_factory=dict)  # answers given by a name or number in it
    numbered: int = -1  # offset of the last box that a name or number names
    answered: bool = False  # its unnamed boxes have answered a problem


def marks_within(kinds: list[list[Mark]], start: int, end: int) -> list[Mark]:
    """Return the marks of all ``kinds`` within ``start`` and ``end``, by start."""
    found: list[Mark] = []
    for marks in kinds:
        first = bisect_right(marks, start - 1, key=lambda mark: mark.start)
        found += marks[first : bisect_right(marks, end - 1, key=lambda mark: mark.start)]
    return sorted((mark for mark in found if mark.number), key=lambda mark: mark.start)
