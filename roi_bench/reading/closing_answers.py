"""Answers of closing sections and of concluding sentences (SPEC section 5, reading rule 2)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from itertools import pairwise

from roi_bench.reading.answer_lines import (
    AnswerLine,
    last_answer_line,
    line_end,
    sentence_ends,
)
from roi_bench.reading.marks import BLANK, Box, Mark
from roi_bench.reading.outline import (
    Answer,
    Closing,
    Order,
    is_list_gap,
    item_value,
    marks_within,
    titled_values,
)

# What a closing section answers: unnamed boxes, lists of all answers, lines (SPEC section 5, reading rule 2).

_NEAR = 300

_WORDS = re.compile(r"[^\W\d_]{2}")

_JOINTS = " \t,;|*_("  # between a value and the next name in its line


class ClosingOrder(Order):
    """The order rule, and the answers of closing sections under it.

    A closing section answers a problem that has no answer, or replaces one that is not yet final. A problem that was
    skipped has one: no list of answers takes a skip back.
    """

    def is_skipped(self, number: int) -> bool:
        """Return whether a problem was skipped; no list of answers undoes that."""
        answer = self.answers.get(number)
        return answer is not None and answer.skipped

    def box_in_closing(self, closing: Closing, box: Box, name: Mark | None) -> None:
        """Count a box of a closing section, or keep it for the section's end if no name or number goes with it."""
        closing.boxed = True
        number = name
        if number is None:
            index = bisect_right(self.marks.numbers, box.start, key=lambda mark: mark.end) - 1
            numbers = [*self.marks.numbers[max(0, index) : index + 1], *closing.items[-1:]]
            near = (m for m in numbers if m.start >= closing.start and self._is_near(closing, m, box))
            number = max(near, key=lambda m: m.start, default=None)
        if number is None:
            closing.unnamed.append(box)
            return
        closing.numbered = box.start
        self.finalize(0)
        if box.content is not None and number.number:
            closing.named[number.number] = Answer.of_box(box)
        if not self.is_skipped(number.number):
            self.value_box(number.number, number.start, box, opens=False)

    def _is_near(self, closing: Closing, number: Mark, box: Box) -> bool:
        """Return whether a box is in the line of its number, or in the next line if that line has no box."""
        lines = self.text.count("\n", number.end, box.start) if box.start - number.end <= _NEAR else 3
        return lines == 0 or (lines <= 2 and closing.numbered < number.end)

    def unnamed_boxes(self, closing: Closing) -> None:
        """Assign the boxes that no name or number goes with."""
        boxes = [box for box in closing.unnamed if box.content is not None]
        if len(boxes) < len(closing.unnamed):
            self.cut = self.cut or closing.owner
        answers = [Answer.of_box(box) for box in boxes]
        if closing.owner in closing.named:
            return  # it has its answer here
        answers, of_all = self._split(answers)
        if len(answers) == 1:
            self._last_word(closing, answers[0])
        elif len(answers) == self.count:
            self.fill(answers)
            closing.answered = True
        elif answers:
            self._several(closing, answers)
        if of_all:
            self.fill(of_all)
            closing.answered = True

    def _split(self, answers: list[Answer]) -> tuple[list[Answer], list[Answer]]:
        """Split off a list of all answers at the end of ``answers``; it is empty if there is none."""
        for size in (1, self.count):
            of_all = answers[-1].listed(self.count, self.answers) if size == 1 and answers else answers[-size:]
            if len(answers) > size and len(of_all) == self.count and self.repeats_known(of_all):
                return answers[:-size], of_all
        return answers, []

    def repeats_known(self, answers: list[Answer]) -> bool:
        """Return whether ``answers``, one a problem, repeat the known answers of all problems but the last."""
        known = [(self.answers[n], answers[n - 1]) for n in range(1, self.count) if n in self.answers]
        repeated = [ours.plain() == again.plain() for ours, again in known if not (ours.skipped and again.skipped)]
        return bool(repeated) and all(repeated)

    def _several(self, closing: Closing, answers: list[Answer]) -> None:
        """Take boxes that are neither one nor as many as problems.

        With words between all of them, only the last one counts; without, a problem without an answer may have
        one list. Anything else is an incomplete list of all answers.
        """
        if len({answer.plain() for answer in answers}) == 1:
            self._last_word(closing, answers[-1])
            return
        gaps = [(left.end, right.start) for left, right in pairwise(answers)]
        if all(is_list_gap(self.text, *gap) for gap in gaps):
            contents = [content for answer in answers for content in answer.contents]
            joined = Answer(contents, answers[0].start, answers[-1].end, "box", False)
            if closing.owner not in self.answers:
                self._last_word(closing, joined)
        elif all(_WORDS.search(self.text, *gap) for gap in gaps):
            self._last_word(closing, answers[-1])

    def _last_word(self, closing: Closing, answer: Answer) -> None:
        """Count the only unnamed answer: a list of all answers, or the last word on the section's problem."""
        owner, before = closing.owner, self.answers.get(closing.owner)
        values = answer.listed(self.count, self.answers)
        same = before is not None and before.plain() == answer.plain()
        if len(values) == self.count and not same:
            self.fill(values)
            closing.answered = True
        elif owner and (len(values) == 1 or before is None) and self._may_replace(owner, answer):
            self.final.discard(owner)
            self.value(owner, answer.start, answer, opens=False)
            closing.answered = True

    def _may_replace(self, owner: int, answer: Answer) -> bool:
        """Return whether ``answer`` may replace the owner's value: that one is not boxed, or this one is."""
        before = self.answers.get(owner)
        return before is None or answer.by == "box" or before.by == "line"

    def lines_of_closing(self, closing: Closing, end: int) -> None:
        """Read a closing section without boxes: ``Problem k: a`` and ``k. a`` answer problem k."""
        items = self._items(closing, end)
        if items:
            self.finalize(0)
            for number, line in items:
                answer = self.answers.get(number)
                closing.named[number] = Answer.of_line(line)
                if (answer is None or answer.by == "line") and not self.is_skipped(number):
                    self.value(number, line.place, Answer.of_line(line), opens=False)
            return
        if values := titled_values(self.text, closing.start, end, self.count, self.marks.cut_off):
            self.fill(map(Answer.of_line, values))
            closing.answered = True
            return
        last = last_answer_line(self.text, closing.start, end, self.marks.cut_off, closing.owner)
        if last is not None:
            self._last_word(closing, Answer.of_line(last))

    def _items(self, closing: Closing, end: int) -> list[tuple[int, AnswerLine]]:
        """Return the answers behind names and numbers without boxes; from each line all of them or none."""
        marks = marks_within([self.marks.numbers, self.marks.names, closing.items], closing.start, end)
        lines: dict[int, list[Mark]] = {}
        for mark in marks:
            same = lines.setdefault(line_end(self.text, mark.end, end), [])
            if same and same[-1].number == mark.number:
                same.pop()  # "1. Problem 1: 12"
            same.append(mark)
        items = []
        for stop, same in lines.items():
            stops = [*(mark.start for mark in same[1:]), stop]
            found = [self._item(mark, own, stop) for mark, own in zip(same, stops, strict=True)]
            if all(line is not None for line in found):
                items += [(mark.number, line) for mark, line in zip(same, found, strict=True) if line is not None]
        return items

    def _item(self, mark: Mark, own: int, stop: int) -> AnswerLine | None:
        """Return the value behind a name or number, which stands before ``own``, where the next one of its line is."""
        if own < stop:
            value = self.text[mark.end : own].rstrip(_JOINTS)
            own = mark.end + len(value.removesuffix(" and").rstrip(_JOINTS))
        line = item_value(self.text, mark.end, own, self.marks.cut_off)
        return None if line is None or line.text.count("(") < line.text.count(")") else line


# Conclusions: what "Therefore, the total is \$324." answers where a section has neither box nor answer line.
#
# A problem asked alone may have one; in an exam a sentence of the work would bar the closing list that has the answer.
# The *conclusion* is the last sentence of the section's last line that begins with a word of a closed list (so, thus,
# hence, therefore …). It answers with its last value: a formula between math delimiters, bold text, or a number. A
# display formula that ends the section belongs to the line above it.
#
# - Values with only a comma, "and" or "or" between them are one list.
# - The rest of the line after the sentence names no other value, and the line is not a question.
# - A sentence without such a word is no conclusion, nor is one about problems, tokens or skipping: problems are
#   restated in the one way and left in the other, and neither may answer them.
#
# The functions take text whose lines end with line feeds.

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
    """Return the start of the last line; the display formula that ends it may be some lines below."""
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
    """Return a value without its delimiters."""
    return str(value[value.lastgroup or 0]).strip().strip("*_`").rstrip(".,;:!").strip()
