r"""What the reading of a response goes over, and what it finds: marks, answers, and the outline of the problems."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from roi_bench.reading.answer_lines import AnswerLine, is_skip
from roi_bench.reading.closing import find_list, find_numbers, find_titles, top_level_values
from roi_bench.reading.headers import INVISIBLE, Header, Mark, find_names, nearest_names
from roi_bench.reading.marks import Box


class Order:
    """The problems' answers so far, taken into account from left to right.

    - A value counts only if no value of a higher problem has counted before.
    - A later value of the same problem replaces the earlier one until it is final.
    - NA counts as an answer, but makes no earlier problem dead, and needs no place in the order where there is none.
    """

    def __init__(self, text: str, count: int) -> None:
        """Start with no answer to any of ``count`` problems."""
        self.text, self.count = text, count
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
        """Make every value final but that of the problem the response goes on to."""
        self.final |= {other for other, answer in self.answers.items() if other != number and not answer.skipped}

    def value_box(self, number: int, place: int, box: Box, opens: bool = True) -> None:
        """Take a box of problem ``number`` into account; it goes on with that problem's list or is a new answer."""
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
        """Return whether a box goes on with the list that the problem's last box began."""
        return before.by == "box" and is_list_gap(self.text, before.end, box.start)

    def value(self, number: int, place: int, answer: Answer, opens: bool = True) -> None:
        """Take an answer into account at ``place``; a higher problem's value or a final one of its own forbids it."""
        if number == 0 or number in self.final:
            return
        dead = number < self._floor_at(place)
        if answer.skipped and not (dead and number in self.answers):
            # NA makes no earlier problem dead, opens nothing, and needs no place in the order.
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
        """Answer the problems in order that have no counted answer; change nothing else."""
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
    """What answers a problem so far.

    Attributes:
        contents: Contents of its boxes that make one list answer; one content otherwise.
        start: Offset of its first box, or of the answer in its line.
        end: Offset just behind it.
        by: ``box`` or ``line``.
        skipped: It is NA, and no value.
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
        """Return what ``box`` answers."""
        content = box.content or ""
        return cls([content], box.start, box.end, "box", is_skip(content))

    @classmethod
    def of_line(cls, line: AnswerLine) -> Answer:
        """Return what ``line`` answers."""
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
    """Return whether what stands between two boxes makes them one list (SPEC section 5, "Lists")."""
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
    """What the walk goes over.

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
    """What was read of a response.

    Attributes:
        opened: ``(number, start)`` of the problems reached, both ascending.
        answers: What answers each problem.
        levels: The level forecast of each problem.
        cut: The problem whose box the end of the text cut off, 0 if there is none.
        counted: Indices of the headers that count.
        closings: ``(start, end)`` offsets of the closing sections.
        breaks: Offsets at which a segment ends though no other problem begins, ascending.
        current: The problem in which the text ends, 0 if in none.
        left_all: A complete closing section stands in the text.
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
    owner: int  # the problem in whose section it stands
    early: bool = False  # it stands before all headers
    unnamed: list[Box] = field(default_factory=list)
    boxed: bool = False  # some box stands in it
    items: list[Mark] = field(default_factory=list)  # headers in it that only number the value in their line
    named: dict[int, Answer] = field(default_factory=dict)  # what a name or number in it answers
    numbered: int = -1  # offset of the last box that a name or number names
    answered: bool = False  # its unnamed boxes have answered something


def marks_within(kinds: list[list[Mark]], start: int, end: int) -> list[Mark]:
    """Return the marks of all ``kinds`` within ``start`` and ``end``, by start."""
    found: list[Mark] = []
    for marks in kinds:
        first = bisect_right(marks, start - 1, key=lambda mark: mark.start)
        found += marks[first : bisect_right(marks, end - 1, key=lambda mark: mark.start)]
    return sorted((mark for mark in found if mark.number), key=lambda mark: mark.start)
