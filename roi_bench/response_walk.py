r"""The walk through a response that has headers: which value answers which problem (SPEC section 5, reading rule 2).

The walk goes over headers, boxes and level tags once from left to right. Its state is the *section* it is in: of a
problem, of nothing (before the first header, under a header of another exam), or closing. Two things need what stands
later in the text and restart the walk, at most two times a problem: a header that one of higher rank overrules, and
whether the first header that counts names problem 2.

**Final.** A value is final once the response has gone on to another problem's header or to a closing section. No text
behind that changes it, also where the header that it went on to is overruled later: such a header opens nothing, but it
has ended the section of a problem that had its value.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from roi_bench.answer_lines import (
    AnswerLine,
    find_skip,
    is_skip,
    last_answer_line,
    line_end,
    value_behind,
)
from roi_bench.boxes import Box
from roi_bench.closing_sections import cells, find_beginnings, find_numbers, top_level_values
from roi_bench.headers import INVISIBLE, Header, Mark, find_names, nearest_names

_NOT_SPACE = re.compile(rf"[^\s{INVISIBLE}]")
_LIST_GAP = 60
_NEAR = 300
_WORDS = re.compile(r"[^\W\d_]{2}")
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
        unique = {re.sub(r"\s+", "", content): content for content in reversed(self.contents)}
        return ", ".join(reversed(unique.values()))


@dataclass(slots=True)
class _Closing:
    """A closing section that the walk is in."""

    start: int
    owner: int  # the problem in whose section it stands
    early: bool = False  # it stands before all headers
    unnamed: list[Box] = field(default_factory=list)
    boxed: bool = False  # some box stands in it
    items: list[Mark] = field(default_factory=list)  # headers in it that only number the value in their line
    named: dict[int, Answer] = field(default_factory=dict)  # what a name or number in it answers
    answered: bool = False  # its unnamed boxes have answered something


class Restart(Exception):  # noqa: N818  (no error: it starts the walk anew)
    """A header was overruled: the walk starts anew without it."""


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
    numbers: list[Mark] = field(default_factory=list)  # numbers at the start of a line, for closing sections
    first_visible: int = 0
    box_names: list[Mark | None] = field(default_factory=list)
    level_names: list[Mark | None] = field(default_factory=list)

    def find_names(self) -> None:
        """Find which name names each box and level tag; a single problem needs no name."""
        self.names = find_names(self.text, self.count) if self.count > 1 else []
        self.box_names = nearest_names(self.text, [box.start for box in self.boxes], self.names)
        self.level_names = nearest_names(self.text, [level.start for level in self.levels], self.names)
        self.first_visible = _next_visible(self.text, 0)

    def find_closings(self) -> list[int]:
        """Return where a closing section may begin, with the numbers at the start of lines looked for as well."""
        if self.beginnings is None:
            self.beginnings = find_beginnings(self.text, self.count)
            self.numbers = self.line_numbers() if self.beginnings else []
        return self.beginnings

    def line_numbers(self) -> list[Mark]:
        """Return the numbers 1…count at the start of a line."""
        return find_numbers(self.text, 0, len(self.text), self.count)


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
        found = {}
        ends = [*(start for _, start in self.opened[1:]), length]
        for (number, start), end in zip(self.opened, ends, strict=False):
            index = bisect_right(self.breaks, start)
            found[number] = (start, min(end, self.breaks[index]) if index < len(self.breaks) else end)
        return found

    def left(self, number: int) -> bool:
        """Return whether the response had left a problem when it ended."""
        later = any(other > number for other, _ in self.opened)
        return self.left_all or later or (self.current != number and any(other == number for other, _ in self.opened))


def walk_headers(marks: Marks) -> Outline | None:
    """Read a response with headers, anew whenever a header is overruled; None if no header counts.

    A single problem needs no header.
    """
    overruled: set[int] = set()
    restarts = 8 * marks.count
    while True:
        walk = Walk(marks, overruled, restarts > 0)
        restarts -= 1
        try:
            walk.run()
        except Restart:
            continue
        return walk.outline() if walk.counted_numbers() or marks.count == 1 else None


class Walk:
    """State of the walk from left to right."""

    def __init__(self, marks: Marks, overruled: set[int], may_overrule: bool) -> None:
        """Start before the first character.

        Args:
            marks: What is walked over.
            overruled: Indices of headers that do not count; the walk adds to them before it restarts.
            may_overrule: Whether it may do so; bounded, so that the whole takes time linear in the text.
        """
        self.may_overrule = may_overrule
        self.marks, self.text, self.count = marks, marks.text, marks.count
        self.overruled = overruled
        self.answers: dict[int, Answer] = {}
        self.final: set[int] = set()
        self.levels: dict[int, int] = {}
        self.opened: list[tuple[int, int]] = []  # (number, start), both ascending
        self.counted: list[int] = []  # indices of the headers that count
        self.ranks: dict[int, int] = {}  # highest rank (least number) of the counted headers of a problem
        self.indices: dict[tuple[int, int], list[int]] = {}  # counted headers by problem and rank
        self.current = 0  # problem of the section, 0 for a section of nothing
        self.section = 0  # where the section's text starts, behind its header
        self.last = 0  # problem of the last counted header
        self.floors: list[tuple[int, int]] = [(-1, 0)]  # (offset, highest problem with a counted value from there on)
        self.cut = 0
        self.ends_in = 0  # the problem in which the text ends
        self.closing: _Closing | None = None
        self.closings: list[tuple[int, int]] = []
        self.left_all = False  # a complete closing section has stood in the text
        self.breaks: list[int] = []  # where the text of a problem ends, no other problem's beginning
        self.solving = False  # in the solutions behind the statements of all problems
        self.answered_statements = -1  # the section in which an answer line was found when looked for solutions
        self.first_in_section = -1  # offset of the first visible character of the section, -1 if not yet known
        self.overruled_here = False  # the section is one of nothing, behind a header that is overruled
        self.named: dict[int, Answer] = {}  # what boxes named in the section answer
        self.boxes_seen = 0
        self.first_problem = next((h.start for h in marks.headers if not h.solution), len(self.text))
        numbers: dict[str, set[int]] = {}
        for header in marks.headers:
            if header.solution and header.start < self.first_problem:
                numbers.setdefault(header.solution, set()).add(header.number)
        self.paired = {word for word, found in numbers.items() if len(found) > 1}

    # -- the walk ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Walk over all marks."""
        marks = self.marks
        self._begin()
        events: list[tuple[int, int, int]] = [(mark.start, 0, index) for index, mark in enumerate(marks.headers)]
        events += [(mark.start, 1, index) for index, mark in enumerate(marks.levels)]
        events += [(box.start, 2, index) for index, box in enumerate(marks.boxes)]
        events.sort()
        for start, kind, index in events:
            self._maybe_close(start)
            if kind == 0:
                self._header(index, marks.headers[index])
            elif kind == 1:
                self._level(start, index)
            else:
                self._box(index, marks.boxes[index])
        end = len(self.text)
        self._maybe_close(end)
        self.ends_in = self.current
        self._leave_section(end)
        self._end_closing(end)

    def counted_numbers(self) -> set[int]:
        """Return the problems that a counted header names."""
        return {self.marks.headers[index].number for index in self.counted} - {0}

    def outline(self) -> Outline:
        """Return what was read."""
        return Outline(
            opened=self.opened,
            answers=self.answers,
            levels=self.levels,
            cut=self.cut,
            counted=self.counted,
            closings=self.closings,
            breaks=sorted(self.breaks),
            current=self.ends_in,
            left_all=self.left_all,
        )

    def _begin(self) -> None:
        """Open problem 1 at once if it is alone, or if the first header that counts names problem 2."""
        if self.count == 1:
            self.current = 1
        else:
            # Also where that header is overruled later: the value before it may be final by then.
            first = next((header for header in self.marks.headers if self._is_word(header)), None)
            self.current = 1 if first is not None and first.number == 2 else 0
        if self.current:
            self.opened.append((1, 0))
            self.last = 1

    @property
    def floor(self) -> int:
        """Highest problem with a counted value."""
        return self.floors[-1][1]

    def _floor_at(self, offset: int) -> int:
        return self.floors[bisect_right(self.floors, (offset, self.count + 1)) - 1][1]

    # -- headers ----------------------------------------------------------------------------------------------------

    def _is_word(self, header: Header) -> bool:
        """Return whether the header's word heads problems here: ``Solution k`` only in company."""
        if not header.solution:
            return True
        if self.count == 1:
            return False
        return (
            header.solution in self.paired
            if header.start < self.first_problem
            else self._after_statements(header.start)
        )

    def _after_statements(self, start: int) -> bool:
        """Return whether all problems stand opened without any answer before ``start``: their solutions follow."""
        if self.solving:
            return True
        if len(self.opened) < self.count or self.answers or self.section == self.answered_statements:
            return False
        if self._pending_line(start) is None:
            return True
        self.answered_statements = self.section
        return False

    def _header(self, index: int, header: Header) -> None:
        number = header.number
        if not self._is_word(header):
            return
        if number and self.closing is not None and self._is_item(header):
            return
        if index in self.overruled:
            self._pass_overruled(header)
            return
        answer = self.answers.get(number)
        if number and header.rank > self.ranks.get(number, 3) and answer is not None and not answer.skipped:
            return  # of lower rank than an earlier one, and the problem has its value
        if number and self._only_names(header):
            return
        if number and self.count > 1:
            self._overrule(index, header)
        if number == 0 and self.count == 1 and header.start <= self.marks.first_visible:
            return  # the response to a single problem begins with the number that problem has elsewhere
        self._go_on(number, header.start)
        self.counted.append(index)
        self._enter(number, header.end)
        if number == 0:
            self.breaks.append(header.start)
            return
        self.solving = bool(header.solution) and header.start > self.first_problem
        self.ranks[number] = min(header.rank, self.ranks.get(number, 3))
        self.indices.setdefault((number, header.rank), []).append(index)
        self._open_by_header(number, header)

    def _only_names(self, header: Header) -> bool:
        """Return whether a header of lower rank than an earlier one only names the box in its line.

        So it is in the section of a later problem that has been gone on to; not where all problems stand opened and
        empty, for then it heads the work that follows the empty skeleton.
        """
        if header.rank <= self.ranks.get(header.number, 3) or header.number >= self.current:
            return False
        if len(self.opened) == self.count and not self.answers:
            return False
        stop = line_end(self.text, header.end, len(self.text))
        return any(box.start < stop for box in self._boxes_behind(header.end))

    def _overrule(self, index: int, header: Header) -> None:
        """Overrule the headers of lower rank of a problem that has no final value."""
        ranks = range(header.rank + 1, 4)
        lower = [index for rank in ranks for index in self.indices.get((header.number, rank), [])]
        if lower and self.may_overrule and header.number not in self.final:
            self.overruled.update(lower)
            raise Restart

    def _pass_overruled(self, header: Header) -> None:
        """Pass a header that one of higher rank overrules later: it ends the section of a problem with a value."""
        if self.current == header.number:
            return
        self._leave_section(header.start)
        self._end_closing(header.start)
        self._finalize(header.number)
        answer = self.answers.get(self.current)
        if self.current == 0 or (answer is not None and not answer.skipped):
            self._enter(0, header.end)
            self.overruled_here = True  # names in it bind as they did before it was overruled

    def _enter(self, number: int, section: int) -> None:
        self.current, self.section, self.first_in_section = number, section, -1
        self.named = {}
        self.overruled_here = False

    def _open_by_header(self, number: int, header: Header) -> None:
        if number >= self.floor and number < self.last:
            # A smaller problem than the last: what stands behind it and has no value was a plan.
            for other in range(number, self.count + 1):
                if other in self.answers and self.answers[other].skipped:
                    del self.answers[other]
            self.opened = [(n, at) for n, at in self.opened if n < number or n in self.answers]
        if all(n < number for n, _ in self.opened):
            self.opened.append((number, header.start))
        if number >= self.floor and number not in self.answers:
            skip = find_skip(self.text, header.end, len(self.text))
            if skip is not None:
                self.answers[number] = Answer([skip.text], skip.start, skip.end, "line", True)
        self.last = number

    def _go_on(self, number: int, start: int) -> None:
        """Leave the section for a header of problem ``number``."""
        if number != self.current:
            self._leave_section(start)
        self._end_closing(start)
        self._finalize(number)

    def _finalize(self, number: int) -> None:
        """Make every value final but that of the problem the response goes on to."""
        self.final |= {other for other, answer in self.answers.items() if other != number and not answer.skipped}

    # -- values -----------------------------------------------------------------------------------------------------

    def _box(self, index: int, box: Box) -> None:
        name = self.marks.box_names[index]
        self.boxes_seen += 1
        if self.closing is not None:
            self._box_in_closing(box, name)
            return
        if self.current == 0 and (name is None or not self.overruled_here):
            return
        if name is None:
            self._value_box(self.current, box.start, box)
            return
        self._value_box(name.number, name.start, box)
        if box.content is not None and len(self.opened) == self.count:
            # All problems named in order in one section are a list of all answers, as in a closing section.
            self.named[name.number] = _of_box(box)
            if list(self.named) == list(range(1, self.count + 1)):
                self._list(self.named.values())

    def _value_box(self, number: int, place: int, box: Box) -> None:
        if number == 0 or number < self.floor:
            return
        if box.content is None:
            self.cut = number
            return
        skipped = is_skip(box.content)
        before = self.answers.get(number)
        if before is not None and not skipped and not before.skipped and self._continues_list(before, box):
            if number not in self.final:
                before.contents.append(box.content)
                before.end = box.end
            return
        self._value(number, place, Answer([box.content], box.start, box.end, "box", skipped))

    def _continues_list(self, before: Answer, box: Box) -> bool:
        """Return whether a box goes on with the list that the problem's last box began."""
        return before.by == "box" and self._is_list_gap(before.end, box.start)

    def _is_list_gap(self, start: int, end: int) -> bool:
        """Return whether what stands between two boxes makes them one list."""
        if not 0 <= end - start <= _LIST_GAP or "\n" in self.text[start:end]:
            return False
        return _BETWEEN_LIST.fullmatch(self.text, start, end) is not None

    def _value(self, number: int, place: int, answer: Answer) -> None:
        """Take an answer into account at ``place``; a higher problem's value or a final one of its own forbids it."""
        if number == 0 or number < self._floor_at(place) or number in self.final:
            return
        if answer.skipped:
            self.answers[number] = answer  # makes no earlier problem dead, and opens nothing
            return
        if self.closing is None and all(number != other for other, _ in self.opened) and number > self.floor:
            self.opened = [(n, at) for n, at in self.opened if n < number]
            self.opened.append((number, place))
        self.answers[number] = answer
        if number > self.floor:
            self.floors.append((place, number))

    def _pending_line(self, end: int) -> AnswerLine | None:
        """Return the answer line of the section that ends at ``end``; None if a box has answered its problem."""
        answer = self.answers.get(self.current)
        if self.current == 0 or self.current in self.final or (answer is not None and answer.by == "box"):
            return None
        line = last_answer_line(self.text, self.section, end, self.marks.cut_off)
        if line is None and not self.boxes_seen and self.counted and self.count > 1:
            line = value_behind(self.text, self.section, end, self.marks.cut_off)  # `Problem k: a`
        return line

    def _leave_section(self, end: int) -> None:
        """Leave a problem's section: its answer line counts now, as a box in its place would have."""
        if self.closing is not None:
            return
        line = self._pending_line(end)
        if line is not None:
            self._value(self.current, line.place, _of_line(line))

    # -- closing sections -------------------------------------------------------------------------------------------

    def _maybe_close(self, end: int) -> None:
        """Begin the closing sections that may begin before ``end``: all problems have been opened, or none has yet.

        A header that begins at the same place is a header.
        """
        early = not self.counted and not self.opened
        if self.count == 1 or not (early or len(self.opened) == self.count):
            return
        beginnings = self.marks.find_closings()
        while True:
            place = self.section if self.closing is None else self.closing.start
            index = bisect_right(beginnings, place) if place else bisect_right(beginnings, -1)
            if self.closing is not None and index < len(beginnings) and beginnings[index] == self.closing.start:
                index += 1
            if index == len(beginnings) or beginnings[index] > end - (end < len(self.text)):
                return
            start, owner = beginnings[index], self.current
            if self.closing is not None:
                owner = self._resolve_closing(start)
            else:
                self._leave_section(start)
            # The owner's value may still be replaced by the last word of the closing section, all others are final.
            self._finalize(owner)
            self.closing = _Closing(start, 0 if owner in self.final else owner, early)

    def _is_item(self, header: Header) -> bool:
        """Return whether a header in a closing section only numbers the value in its own line."""
        stop = line_end(self.text, header.end, len(self.text))
        boxed = any(box.start < stop for box in self._boxes_behind(header.end))
        item = boxed
        if self.closing is not None and not self.closing.early and not boxed:
            item = value_behind(self.text, header.end, stop, self.marks.cut_off) is not None
        if item and self.closing is not None:
            self.closing.items.append(Mark(header.start, header.end, header.number))
        return item

    def _boxes_behind(self, offset: int) -> list[Box]:
        index = bisect_right(self.marks.boxes, offset - 1, key=lambda box: box.start)
        return self.marks.boxes[index : index + 1]

    def _box_in_closing(self, box: Box, name: Mark | None) -> None:
        closing = self.closing
        assert closing is not None
        closing.boxed = True
        number = name
        if number is None:
            index = bisect_right(self.marks.numbers, box.start, key=lambda mark: mark.end) - 1
            numbers = [*self.marks.numbers[max(0, index) : index + 1], *closing.items[-1:]]
            near = (m for m in numbers if m.start >= closing.start and self._is_near(m.end, box.start))
            number = max(near, key=lambda m: m.start, default=None)
        if number is None:
            closing.unnamed.append(box)
            return
        self._finalize(0)
        if box.content is not None and number.number:
            closing.named[number.number] = _of_box(box)
        self._value_box(number.number, number.start, box)

    def _is_near(self, start: int, end: int) -> bool:
        """Return whether a box stands in the line of the number that ends at ``start``, or in the next one."""
        return end - start <= _NEAR and self.text.count("\n", start, end) <= 2

    def _resolve_closing(self, end: int) -> int:
        """Decide what the closing section that ends at ``end`` has answered; return the problem it stands in."""
        closing = self.closing
        assert closing is not None
        if closing.boxed:
            self._unnamed_boxes(closing)
        elif not closing.early:
            self._lines_of_closing(closing, end)
        if len(closing.named) == self.count and list(closing.named) == sorted(closing.named):
            # All problems, numbered or named in order, are a list of all answers like any other.
            self._list(closing.named.values())
            closing.answered = True
        self.closings.append((closing.start, end))
        self.breaks.append(closing.start)
        self.left_all |= not closing.early and (self.count in closing.named or closing.answered)
        self.closing = None
        return closing.owner

    def _end_closing(self, end: int) -> None:
        """End the closing section at a header or the text's end."""
        if self.closing is None:
            return
        self.left_all |= not self.closing.early and end < len(self.text)
        self._resolve_closing(end)
        self._finalize(0)
        self._enter(0, end)

    def _unnamed_boxes(self, closing: _Closing) -> None:
        boxes = [box for box in closing.unnamed if box.content is not None]
        if len(boxes) < len(closing.unnamed):
            self.cut = self.cut or closing.owner
        answers = [_of_box(box) for box in boxes]
        if len(boxes) == 1:
            self._last_word(closing, answers[0])
        elif len(boxes) == self.count:
            self._list(answers)
            closing.answered = True
        elif boxes:
            self._several(closing, answers)

    def _several(self, closing: _Closing, answers: list[Answer]) -> None:
        """Take boxes that are neither one nor as many as problems.

        With words between all of them the last one is the last word; without, a problem without an answer may have
        one list. Anything else is an incomplete list of all answers.
        """
        if len({_plain(answer.contents[0]) for answer in answers}) == 1:
            self._last_word(closing, answers[-1])
            return
        gaps = [(left.end, right.start) for left, right in pairwise(answers)]
        if all(self._is_list_gap(*gap) for gap in gaps):
            contents = [content for answer in answers for content in answer.contents]
            joined = Answer(contents, answers[0].start, answers[-1].end, "box", False)
            if closing.owner not in self.answers:
                self._last_word(closing, joined)
        elif all(_WORDS.search(self.text, *gap) for gap in gaps):
            self._last_word(closing, answers[-1])

    def _last_word(self, closing: _Closing, answer: Answer) -> None:
        """Take the only unnamed answer: a list of all answers, or the last word of the problem it stands in."""
        owner, before = closing.owner, self.answers.get(closing.owner)
        values = _list_values(answer.text(), self.count, self.answers)
        same = before is not None and _plain(before.text()) == _plain(answer.text())
        if len(values) == self.count and not same:
            self._list([Answer([v], answer.start, answer.end, answer.by, is_skip(v, True)) for v in values])
            closing.answered = True
        elif owner and (len(values) == 1 or before is None) and self._may_replace(owner, answer):
            self.final.discard(owner)
            self._value(owner, answer.start, answer)
            closing.answered = True

    def _may_replace(self, owner: int, answer: Answer) -> bool:
        """Return whether the owner's value is open to a last word: it has none by a box, or this one is a box."""
        before = self.answers.get(owner)
        return before is None or answer.by == "box" or before.by == "line"

    def _list(self, answers: Iterable[Answer]) -> None:
        """Answer the problems in order that have no counted answer; change nothing else."""
        for number, answer in enumerate(answers, start=1):
            if number not in self.answers:
                self.answers[number] = answer
                if not answer.skipped:
                    self.floors.append((answer.start, max(number, self.floor)))

    def _lines_of_closing(self, closing: _Closing, end: int) -> None:
        """Read a closing section without boxes: `Problem k: a` and `k. a` are answer lines of k."""
        items = []
        for mark in _within([self.marks.numbers, self.marks.names, closing.items], closing.start, end):
            line = item_value(self.text, mark.end, line_end(self.text, mark.end, end), self.marks.cut_off)
            if line is not None:
                items.append((mark.number, line))
        if items:
            self._finalize(0)
            for number, line in items:
                answer = self.answers.get(number)
                closing.named[number] = _of_line(line)
                if answer is None or answer.by == "line":
                    self._value(number, line.place, _of_line(line))
            return
        last = last_answer_line(self.text, closing.start, end, self.marks.cut_off)
        if last is not None:
            self._last_word(closing, _of_line(last))

    # -- levels -----------------------------------------------------------------------------------------------------

    def _level(self, start: int, index: int) -> None:
        """Take a level tag into account where a value in its place would count, or for the header right behind it."""
        marks, tag, name = self.marks, self.marks.levels[index], self.marks.level_names[index]
        owner = self.current if name is None or self.current == 0 else name.number
        if self.first_in_section < 0:
            self.first_in_section = _next_visible(self.text, self.section)
        headed = self.current in self.ranks
        leads = headed and owner not in self.levels and start == self.first_in_section
        following = bisect_right(marks.headers, start, key=lambda header: header.start)
        if not leads and following < len(marks.headers):
            header = marks.headers[following]
            if _next_visible(self.text, tag.end) >= header.start and following not in self.overruled:
                owner = header.number
        if owner > self.floor:
            self.levels.setdefault(owner, tag.number)


def _next_visible(text: str, position: int) -> int:
    found = _NOT_SPACE.search(text, position)
    return len(text) if found is None else found.start()


def _of_box(box: Box) -> Answer:
    content = box.content or ""
    return Answer([content], box.start, box.end, "box", is_skip(content))


def _of_line(line: AnswerLine) -> Answer:
    return Answer([line.text], line.start, line.end, "line", is_skip(line.text, words=True))


def _plain(text: str) -> str:
    return re.sub(r"[\s$]+", "", text[:1000])


def _list_values(content: str, count: int, answers: dict[int, Answer]) -> list[str]:
    """Return the values of a box; ``5,120,300`` is a list where one of its parts is that problem's answer."""
    values = top_level_values(content)
    parts = content.split(",")
    if len(values) == 1 and len(parts) == count:
        known = [answers.get(number) for number in range(1, count + 1)]
        if any(a is not None and _plain(a.text()) == _plain(p) for a, p in zip(known, parts, strict=True)):
            return [part.strip() for part in parts]
    return values


def _within(kinds: list[list[Mark]], start: int, end: int) -> list[Mark]:
    """Return the marks of all ``kinds`` within ``start`` and ``end``, by start."""
    found: list[Mark] = []
    for marks in kinds:
        first = bisect_right(marks, start - 1, key=lambda mark: mark.start)
        found += marks[first : bisect_right(marks, end - 1, key=lambda mark: mark.start)]
    return sorted((mark for mark in found if mark.number), key=lambda mark: mark.start)


def item_value(text: str, start: int, stop: int, cut_off: bool) -> AnswerLine | None:
    """Return the value of a numbered line or table row."""
    row = text[start:stop]
    if "|" in row:
        for cell in reversed(cells(row)):
            place = text.index(cell, start)
            if (line := value_behind(text, place, place + len(cell), False)) is not None:
                return line
    return value_behind(text, start, stop, cut_off)
