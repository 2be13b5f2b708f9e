r"""Reading a response: which box or line answers which problem, what was skipped, cut off or forecast, and where.

:func:`read_response` prepares the text once (line ends, reasoning spans, code), finds its marks and reads it in one of
two ways:

- with headers: :mod:`roi_bench.reading.walk`, where the order rule, closing sections and levels are;
- without: :func:`read_unnamed`, below.

This is SPEC section 5, rule 2.

A single problem (``count=1``) needs no header; its text is walked wherever it holds a mark. What rule 2 is, and why,
says docs/benchmark.md.

**Segments.** A header opens its problem, except where a value of a higher problem has counted (going back is part of
that problem's text). A header of a smaller problem than the last closes the openings behind it that have no value: they
were a plan, and count as preamble. A segment ends with the next problem's, at a closing section, or at the header of a
problem that is not in this exam; text in no segment is planning overhead.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from roi_bench.reading.answer_lines import answer_lines, find_skip, is_skip, last_answer_line, line_end
from roi_bench.reading.closing_answers import find_conclusion
from roi_bench.reading.marks import (
    Box,
    Header,
    Spans,
    find_boxes,
    find_code,
    find_headers,
    find_levels,
    find_reasoning,
    hide_spans,
)
from roi_bench.reading.outline import Answer, Marks, Outline, item_value, top_level_values
from roi_bench.reading.walk import walk_headers


def read_unnamed(marks: Marks) -> Outline:
    """Read a response whose text names no problem by a header."""
    outline = Outline([], {}, {})
    if any(mark is not None for mark in marks.box_names):
        _read_names(marks, outline)
    elif marks.boxes:
        _read_boxes(marks, outline)
    else:
        _read_lines(marks, outline)
    outline.current = outline.opened[-1][0] if outline.opened else 0
    return outline


_ONLY_A_LIST = 120
"""A response shorter than this is no work: one box in it with as many values as problems is the list of all answers."""


def _read_names(marks: Marks, outline: Outline) -> None:
    """Count the boxes that a name in their own line goes with, under the order rule."""
    floor = 0
    for box, name in zip(marks.boxes, marks.box_names, strict=True):
        if name is None or name.number == 0 or name.number < floor:
            continue
        if box.content is None:
            outline.cut = name.number
            continue
        answer = Answer.of_box(box)
        if name.number > floor and not answer.skipped:
            outline.opened.append((name.number, name.start))
            floor = name.number
        outline.answers[name.number] = answer
    _levels(marks, outline, [box.start for box in marks.boxes])


def _read_boxes(marks: Marks, outline: Outline) -> None:
    """Assign boxes to problems by numbers at the start of lines, or by their order."""
    beginnings = marks.find_closings()
    closing = next((start for start in beginnings if _closes(marks, start)), len(marks.text))
    if closing == len(marks.text) and len(marks.text.strip()) < _ONLY_A_LIST and _closes(marks, 0):
        closing = 0
    work = [box for box in marks.boxes if box.start < closing]
    owners = _numbered(marks, work) or (list(range(1, len(work) + 1)) if len(work) <= marks.count else [])
    place = 0
    for owner, box in zip(owners, work, strict=False):
        outline.opened.append((owner, place))
        place = box.end
        if box.content is None:
            outline.cut = owner
        else:
            outline.answers[owner] = Answer.of_box(box)
    if work and owners:
        following = owners[-1] + 1
        if following <= marks.count and marks.text[place:closing].strip():
            outline.opened.append((following, place))
    _levels(marks, outline, [box.start for box in work] if owners or not work else [-1] * (marks.count + 1))
    if closing < len(marks.text):
        _read_closing(marks, outline, closing)


def _numbered(marks: Marks, boxes: list[Box]) -> list[int]:
    """Return the line numbers that go with the boxes (in their line or the one above); empty unless each has one."""
    end = boxes[-1].start if boxes else 0
    numbers = [mark for mark in marks.line_numbers() if mark.start < end]
    if not numbers or len(numbers) > marks.count or numbers[0].start > boxes[0].start:
        return []
    # Where all numbers occur and at least two have boxes, they number problems, not steps of one problem's work.
    all_numbered = [mark.number for mark in numbers] == list(range(1, marks.count + 1)) and len(boxes) > 1
    owners = []
    for mark, stop in zip(numbers, [*(mark.start for mark in numbers[1:]), end + 1], strict=True):
        inside = [box for box in boxes if mark.start < box.start < stop]
        if len(inside) == 1:
            owners.append(mark.number)
        elif inside or not (all_numbered or find_skip(marks.text, mark.end, stop) is not None):
            return []
    return owners if owners == sorted(set(owners)) and len(owners) == len(boxes) else []


def _closes(marks: Marks, start: int) -> bool:
    """Return whether a closing section at ``start`` has the answers of all problems."""
    first = bisect_left(marks.boxes, start, key=lambda box: box.start)
    boxes = marks.boxes[first : first + marks.count + 1]
    if start and len(boxes) == marks.count:
        return True
    return len(boxes) == 1 and (len(top_level_values(boxes[0].content or "")) == marks.count)


def _read_closing(marks: Marks, outline: Outline, start: int) -> None:
    """Answer the problems without an answer from the closing section."""
    boxes = [box for box in marks.boxes if box.start >= start]
    owners = _numbered(marks, boxes) if len(boxes) > 1 else []
    answers = [Answer.of_box(box) for box in boxes if box.content is not None]
    if len(boxes) == 1 and answers:
        values = top_level_values(answers[0].contents[0])
        answers = [Answer([v], answers[0].start, answers[0].end, "box", is_skip(v, words=True)) for v in values]
    for owner, answer in zip(owners or range(1, marks.count + 1), answers, strict=False):
        outline.answers.setdefault(owner, answer)
    outline.closings.append((start, len(marks.text)))
    outline.breaks.append(start)
    outline.left_all = len(answers) == marks.count
    if not outline.opened:
        outline.opened.append((1, 0))


def _levels(marks: Marks, outline: Outline, starts: list[int]) -> None:
    """Assign each level tag to the problem whose box follows it."""
    for mark in marks.levels:
        owner = bisect_right(starts, mark.start) + 1
        if owner <= marks.count:
            outline.levels.setdefault(owner, mark.number)


def _read_lines(marks: Marks, outline: Outline) -> None:
    """Read a response without any box: numbered values, else answer lines by their order."""
    found: list[tuple[int, Answer]] = []
    numbers = marks.line_numbers() or marks.names
    if [mark.number for mark in numbers] == list(range(1, len(numbers) + 1)):
        for mark in numbers:
            stop = line_end(marks.text, mark.end, len(marks.text))
            line = item_value(marks.text, mark.end, stop, marks.cut_off)
            if line is not None:
                skipped = is_skip(line.text, words=True)
                found.append((mark.number, Answer([line.text], line.start, line.end, "line", skipped)))
        found = found if len(found) == len(numbers) > 1 else []
    if not found:
        lines = []
        for line in answer_lines(marks.text, 0, len(marks.text), marks.cut_off):
            lines.append(line)
            # A line that names a problem answers only that one.
            if len(lines) > marks.count or not line.may_answer(len(lines)):
                lines = []
                break
        skips = [is_skip(line.text, words=True) for line in lines]
        pairs = zip(lines, skips, strict=True)
        found = [(i, Answer([x.text], x.start, x.end, "line", s)) for i, (x, s) in enumerate(pairs, start=1)]
    place = 0
    for number, answer in found:
        outline.opened.append((number, place))
        outline.answers[number] = answer
        place = answer.end
    following = found[-1][0] + 1 if found else 1
    if following <= marks.count and any(map(str.isalnum, marks.text[place:])):
        outline.opened.append((following, place))
    _levels(marks, outline, [answer.start for _, answer in found])


_VISIBLE = re.compile(r"[^\W_]")
_CUT_HEADER = re.compile(
    r"^[ \t]{0,3}#{1,6}[ \t]*[*_]{0,3}(?:p(?:r(?:o(?:b(?:l(?:e(?:m[ \t]*)?)?)?)?)?)?)?\Z", re.I | re.M
)


@dataclass(frozen=True, slots=True)
class ProblemReading:
    r"""The reading of the problem at one position.

    Attributes:
        position: 1-based position of the problem.
        start: Offset of its header in the text.
        end: Offset of the next problem's header, of a closing section, or the end of the text; equal to ``start`` if it
            was never reached.
        answer: The answer (content of the counted box or boxes, text of the answer line, value of the
            conclusion), None if there is none.
        span: ``(start, end)`` offsets of the answer in the text (the whole box; from the first to the last
            of several); None if there is none.
        answered_by: ``box`` or ``line`` (without a box); None if there is no answer.
        skipped: The answer is NA (``NA``, ``N/A``, ``n.a.``, ``\text{NA}``, any case; outside boxes also ``skip``).
        cut: A box of this problem was opened and cut off by the end of the text.
        level: The forecast level 0–3, None if there is none.
        worked: The section has a letter or digit besides header, level tags, boxes and reasoning.
        left: The model had left this problem for another header or a complete closing section when the text ended.
    """

    position: int
    start: int
    end: int
    answer: str | None = None
    span: tuple[int, int] | None = None
    answered_by: Literal["box", "line"] | None = None
    skipped: bool = False
    cut: bool = False
    level: int | None = None
    worked: bool = False
    left: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of a response.

    Attributes:
        problems: The reading of each problem, by position; sections are disjoint and ascending.
        preamble_end: Offset at which the first segment starts; the text before it is planning overhead.
        reasoning: ``(start, end)`` offsets of the visible reasoning spans, ascending and disjoint.
        stray_closing_tag: There is a closing think tag where no reasoning was open.
        headers: ``(start, end)`` offsets of the headers that count, ascending.
        closings: ``(start, end)`` offsets of the closing sections, ascending; planning overhead.
        boxes: ``(start, end)`` offsets of all boxes outside reasoning, ascending; those that do not count too.
        levels: ``(start, end)`` offsets of the level tags outside reasoning, ascending.
    """

    problems: tuple[ProblemReading, ...]
    preamble_end: int
    reasoning: Spans = ()
    stray_closing_tag: bool = False
    headers: Spans = ()
    closings: Spans = ()
    boxes: Spans = ()
    levels: Spans = ()


READING_RULE = 2
"""Number of the rule by which responses are read (SPEC section 5); results under different rules are never mixed."""


def read_response(
    text: object,
    count: int = 3,
    *,
    starts_in_reasoning: bool = False,
    think_tags: Sequence[tuple[str, str]] = (),
    cut_off: bool = False,
) -> Reading:
    """Read a response to an exam of ``count`` problems; linear in its length, never raises.

    Args:
        text: The response; anything but a string (None: no response) reads as an empty one.
        count: Number of problems, at least 1.
        starts_in_reasoning: The prompt ended inside an open think block.
        think_tags: The run's own pairs of opening and closing think tag, beside the usual ones.
        cut_off: The budget ended the response (finish reason "length"): an answer line that ends with the text is not
            whole and does not count.
    """
    response = str.__str__(text) if isinstance(text, str) else ""
    plain = response.replace("\r\n", " \n").replace("\r", "\n") if "\r" in response else response
    reasoning, stray = find_reasoning(plain, starts_in_reasoning, think_tags)
    plain = hide_spans(plain, reasoning) if reasoning else plain
    headers = find_headers(plain, count)
    if headers:
        headers = _outside(headers, find_code(plain))
    boxes = find_boxes(plain, [header.start for header in headers if header.rank < 3])
    if headers and boxes:
        # A line inside a box is not a header.
        headers = _outside(headers, [(box.start, box.end) for box in boxes if box.content is not None])
    levels = find_levels(plain)
    if count == 1 and not headers and not boxes and not levels:
        return _read_unmarked(plain, cut_off, reasoning, stray)
    marks = Marks(plain, count, headers, boxes, levels, cut_off)
    marks.find_names()
    outline = walk_headers(marks)
    if outline is None:
        outline = read_unnamed(marks)
    return _reading(marks, outline, reasoning, stray)


def _read_unmarked(text: str, cut_off: bool, reasoning: Spans, stray: bool) -> Reading:
    """Read a response to a single problem that has no marks: the same result as the walk's, much faster."""
    end = len(text)
    line = last_answer_line(text, 0, end, cut_off, 1)
    line = find_conclusion(text, 0, end, cut_off) if line is None else line
    if line is None:
        segment = ProblemReading(1, 0, end, worked=_worked(text, 0, end, _cut_header(text)))
    else:
        skipped = is_skip(line.text, words=True)
        noise = ([(line.start, line.end)] if skipped else []) + _cut_header(text)
        worked = _worked(text, 0, end, noise)
        segment = ProblemReading(1, 0, end, line.text, (line.start, line.end), "line", skipped, worked=worked)
    return Reading((segment,), 0, reasoning, stray)


def _outside(headers: list[Header], spans: list[tuple[int, int]]) -> list[Header]:
    """Return the headers outside the ``spans``, which are ascending and disjoint."""
    following = iter(spans)
    start, end = next(following, (0, 0))
    kept = []
    for header in headers:
        while end <= header.start and (span := next(following, None)) is not None:
            start, end = span
        if not start <= header.start < end:
            kept.append(header)
    return kept


def _reading(marks: Marks, outline: Outline, reasoning: Spans, stray: bool) -> Reading:
    text, spans = marks.text, outline.spans(len(marks.text))
    counted: Spans = ()
    if outline.counted:
        found = [marks.headers[index] for index in outline.counted]
        # Blanks behind a header, and so the carriage return of a line end, are no part of it.
        counted = tuple((head.start, head.start + len(text[head.start : head.end].rstrip())) for head in found)
    noise = _noise(marks, outline, counted)
    preamble_end = outline.opened[0][1] if outline.opened else len(text)
    problems, place = [], preamble_end
    for number in range(1, marks.count + 1):
        start, end = spans.get(number, (place, place))
        answer = outline.answers.get(number)
        problems.append(
            ProblemReading(
                position=number,
                start=start,
                end=end,
                answer=None if answer is None else answer.text(),
                span=None if answer is None else (answer.start, answer.end),
                answered_by=None if answer is None else answer.by,
                skipped=answer is not None and answer.skipped,
                cut=outline.cut == number,
                level=outline.levels.get(number),
                worked=_worked(text, start, end, noise),
                left=outline.left(number),
            )
        )
        place = end
    return Reading(
        problems=tuple(problems),
        preamble_end=preamble_end,
        reasoning=reasoning,
        stray_closing_tag=stray,
        headers=counted,
        closings=tuple(outline.closings),
        boxes=tuple((box.start, box.end) for box in marks.boxes),
        levels=tuple((mark.start, mark.end) for mark in marks.levels),
    )


def _noise(marks: Marks, outline: Outline, counted: Spans) -> list[tuple[int, int]]:
    """Return the spans that are not work, by start: headers, level tags, boxes, skips in words, a header cut off."""
    text = marks.text
    noise = list(counted)
    noise += [(mark.start, mark.end) for mark in marks.levels]
    noise += [(box.start, box.end) for box in marks.boxes]
    for answer in outline.answers.values():
        if answer.skipped:
            noise.append((answer.start, answer.end))
    noise += _cut_header(text)
    noise.sort()
    return noise


def _cut_header(text: str) -> list[tuple[int, int]]:
    """Return the header that the end of the text cut off, as a list of none or one."""
    found = _CUT_HEADER.search(text, max(0, len(text) - 40)) if text.find("#", -40) >= 0 else None
    return [] if found is None else [(found.start(), len(text))]


def _worked(text: str, start: int, end: int, noise: list[tuple[int, int]]) -> bool:
    """Return whether a letter or digit stands in ``text[start:end]`` outside the ``noise`` spans."""
    for noise_start, noise_end in noise:
        if noise_end <= start:
            continue
        if noise_start >= end:
            break
        if _VISIBLE.search(text, start, min(noise_start, end)) is not None:
            return True
        start = max(start, noise_end)
    return start < end and _VISIBLE.search(text, start, end) is not None
