r"""Reading of a response to several problems that no header names (SPEC section 5, "No header").

In this order, the first that applies:

- Some box is named in its own line (``Problem 2: \boxed{5}``): boxes so named count, in ascending order, no others.
- Line-start numbers 1…count, each at most once, ascending, with one box (or a skip) each: they number their boxes.
- With at most as many boxes as problems, the i-th answers problem i.
- A closing section at the end answers the problems that have no answer so far: with numbered boxes, as many boxes as
  problems, or one box with as many values.
- Without any box: numbered values (``1. 5``), else at most as many answer lines as problems.

Problem i's segment ends with its answer; the text behind the last one belongs to the next problem. Where nothing is
answered all text is preamble, but a text without any answer is problem 1's work.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from roi_bench.answer_lines import answer_lines, find_skip, is_skip, line_end
from roi_bench.boxes import Box
from roi_bench.closing_sections import item_value, top_level_values
from roi_bench.response_outline import Answer, Marks, Outline


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
    """Take the boxes that are named in their own line, in the order rule."""
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
    """Give boxes their problems by line-start numbers or by their order."""
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
    """Return the numbers of the lines in which or below which the boxes stand; empty unless they number them."""
    end = boxes[-1].start if boxes else 0
    numbers = [mark for mark in marks.line_numbers() if mark.start < end]
    if not numbers or len(numbers) > marks.count or numbers[0].start > boxes[0].start:
        return []
    # Numbers of all problems with boxes behind two of them or more are no steps of one problem's work.
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
    """Return whether a closing section that begins at ``start`` holds the answers of all problems."""
    first = bisect_left(marks.boxes, start, key=lambda box: box.start)
    boxes = marks.boxes[first : first + marks.count + 1]
    if start and len(boxes) == marks.count:
        return True
    return len(boxes) == 1 and (len(top_level_values(boxes[0].content or "")) == marks.count)


def _read_closing(marks: Marks, outline: Outline, start: int) -> None:
    """Answer the problems without an answer by what stands in the closing section."""
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
    """Give level tag i to the problem whose box follows it."""
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
            # A line that names a problem answers no other one.
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
