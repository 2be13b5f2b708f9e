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

from bisect import bisect_right
from itertools import pairwise

from roi_bench.reading.answer_lines import (
    AnswerLine,
    find_last_skip,
    find_skip,
    last_answer_line,
    line_end,
    value_behind,
)
from roi_bench.reading.closing_answers import ClosingOrder, find_conclusion
from roi_bench.reading.marks import Box, Header, Mark
from roi_bench.reading.outline import Answer, Closing, Marks, Outline, is_list_gap, next_visible

_LABELS = 8
"""Labels of a single problem that are looked at, so that the whole takes time linear in the text."""


class Restart(Exception):  # noqa: N818  (no error: it starts the walk anew)
    """Raised when a header is overruled: the walk starts again without it."""


def walk_headers(marks: Marks) -> Outline | None:
    """Read a response with headers, starting again whenever a header is overruled; None if no header counts.

    A single problem needs no header.
    """
    if not marks.headers and marks.count > 1:
        return None
    outline = _walked(marks, by_label=False)
    # ``Problem k: a`` counts only where nothing else in the whole response is an answer, which is known only now.
    if outline is not None and _may_read_labels(marks, outline):
        outline = _walked(marks, by_label=True)
    return outline


def _walked(marks: Marks, by_label: bool) -> Outline | None:
    overruled: set[int] = set()
    # Each restart overrules headers of at least one lower rank of a problem; the bound keeps the time linear anyway.
    restarts = 8 * marks.count
    while True:
        walk = Walk(marks, overruled, restarts > 0, by_label)
        restarts -= 1
        try:
            walk.run()
        except Restart:
            continue
        return walk.outline() if walk.counted_numbers() or marks.count == 1 else None


def _may_read_labels(marks: Marks, outline: Outline) -> bool:
    """Return whether ``Problem k: a`` may be an answer: the response has no answer of any other form.

    Only in a response that ended by itself: where the budget ended it, the boxes that would have followed are missing,
    and lines of a plan (``Problem 1: 100 tokens``) or first guesses would stand in for them.
    """
    if marks.count == 1 or marks.boxes or marks.cut_off:
        return False
    headers = [marks.headers[index] for index in outline.counted]
    return all(
        answer.skipped or any(h.start <= answer.start <= line_end(marks.text, h.end, len(marks.text)) for h in headers)
        for answer in outline.answers.values()
    )


class Walk(ClosingOrder):
    """State of the walk from left to right."""

    def __init__(self, marks: Marks, overruled: set[int], may_overrule: bool, by_label: bool = False) -> None:
        """Start before the first character.

        Args:
            marks: The marks of the response.
            overruled: Indices of headers that do not count; the walk adds to them before it restarts.
            may_overrule: Whether it may do so; the number of restarts is bounded, so the time is linear in the text.
            by_label: ``Problem k: a`` answers problem k.
        """
        self.may_overrule = may_overrule
        self.by_label = by_label
        super().__init__(marks)
        self.overruled = overruled
        self.levels: dict[int, int] = {}
        self.counted: list[int] = []  # indices of the headers that count
        self.ranks: dict[int, int] = {}  # highest rank (least number) of the counted headers of a problem
        self.indices: dict[tuple[int, int], list[int]] = {}  # counted headers by problem and rank
        self.current = 0  # problem of the section, 0 for a section of nothing
        self.section = 0  # where the section's text starts, after its header
        self.last = 0  # problem of the last counted header
        self.ends_in = 0  # the problem in which the text ends
        self.closing: Closing | None = None
        self.closings: list[tuple[int, int]] = []
        self.left_all = False  # the text has had a complete closing section
        self.breaks: list[int] = []  # where the text of a problem ends, no other problem's beginning
        self.solving = False  # in the solutions behind the statements of all problems
        self.answered_statements = -1  # the section in which an answer line was found when looked for solutions
        self.first_in_section = -1  # offset of the first visible character of the section, -1 if not yet known
        self.labels = 0  # labels of the only problem before which an answer line was looked for
        self.listed_until = 0  # the end of a list of all answers that boxes without a name make
        self.headed: set[int] = set()  # problems whose header has stood, overruled or not, less what was a plan
        self.overruled_here = False  # the section is one of nothing, behind a header that is overruled
        self.within_overruled = False  # an overruled header stands in the section, which had no value there
        self.named: dict[int, Answer] = {}  # answers of the boxes named in the section
        self.skipped_before: dict[int, Answer] = {}  # skips that stood when boxes in the section named their problems
        self.first_problem = next((h.start for h in marks.headers if not h.solution), len(self.text))
        # Before any other header, "Solution k" or "Answer k" heads problems if the same word does so for two of them.
        numbers: dict[str, set[int]] = {}
        for header in marks.headers:
            if header.solution and header.start < self.first_problem:
                numbers.setdefault(header.solution, set()).add(header.number)
        self.paired = {word for word, found in numbers.items() if len(found) > 1}

    def run(self) -> None:
        """Walk over all marks."""
        marks = self.marks
        self._begin()
        # At the same offset a header comes first, then a level tag, then a box: the tag and box belong to the header.
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
        """Open problem 1 at once if it is the only one, or if the first header that counts names problem 2."""
        if self.count == 1:
            self.current = 1
        else:
            # Also where that header is overruled later: the value before it may be final by then.
            first = next((header for header in self.marks.headers if self._is_word(header)), None)
            self.current = 1 if first is not None and first.number == 2 else 0
        if self.current:
            self.opened.append((1, 0))
            self.last = 1

    def _is_word(self, header: Header) -> bool:
        """Return whether the header heads a problem: ``Solution k`` only with others, or after all statements."""
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
        """Return whether all problems were opened before ``start`` without an answer, so that solutions follow."""
        if self.solving:
            return True
        # An answer among the statements means that they were worked on; then "Solution k" is part of the work.
        if not self._all_opened() or self.answers or self.section == self.answered_statements:
            return False
        if self._pending_line(start) is None:
            return True
        self.answered_statements = self.section
        return False

    def _header(self, index: int, header: Header) -> None:
        number = header.number
        if not self._is_word(header):
            return
        # "Problem 2: \boxed{7}" in a closing section is an item of its list, not a return to problem 2.
        if number and self.closing is not None and self._is_item(header):
            return
        # Rule "headers": of two ranks for one problem the higher one counts. It may come later in the text, so the
        # lower one is overruled in an earlier walk and only passed in this one.
        if index in self.overruled:
            self._pass_overruled(header)
            return
        answer = self.answers.get(number)
        if number and header.rank > self.ranks.get(number, 3) and answer is not None and not answer.skipped:
            return  # of lower rank than an earlier one, and the problem has its value
        if number and self._only_names(header):
            return
        if number and self.count > 1:
            self._overrule(index, header)  # raises Restart if an earlier header has a lower rank
        if self._is_step(header):
            return
        if number == 0 and self.count == 1 and header.start <= self.marks.first_visible:
            return  # the response to a single problem begins with the number that problem has elsewhere
        if header.is_label and not self._has_answer_before(header.start):
            return  # the problem restated before its work
        # The header counts: the values of all other problems become final (rule "order").
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

    def _has_answer_before(self, start: int) -> bool:
        """Return whether the only problem has an answer before a label at ``start``; only a few labels are checked."""
        if 1 in self.answers:
            return True
        self.labels += 1
        return self.labels <= _LABELS and self._pending_line(start) is not None

    def _is_step(self, header: Header) -> bool:
        """Return whether it is a step of the work: a bare "Question 6:" where other headers name the problems."""
        if header.rank < 3 or header.solution or self._says_problem(header):
            return False
        return min(self.ranks.values(), default=3) < 3 or any(
            self._says_problem(self.marks.headers[index]) for index in self.counted[-self.count :]
        )

    def _says_problem(self, header: Header) -> bool:
        return "problem" in self.text[header.start : header.end].casefold()

    def _only_names(self, header: Header) -> bool:
        """Return whether a header of lower rank than an earlier one only names the box in its line.

        So it does in the section of a later problem that the response has reached; not where all problems are opened
        and empty: then it heads the work that follows an empty skeleton of headers.
        """
        # The last item of "Problem 1: …, Problem 2: …, Problem 3: …" is in its own problem's section.
        last_of_list = 1 < header.number == self.current and list(self.named) == list(range(1, header.number))
        if header.rank <= self.ranks.get(header.number, 3) or not (header.number < self.current or last_of_list):
            return False
        if self._all_opened() and not self.answers:
            return False
        stop = line_end(self.text, header.end, len(self.text))
        return any(box.start < stop for box in self._boxes_behind(header.end))

    def _overrule(self, index: int, header: Header) -> None:
        """Overrule the lower-rank headers of a problem that has no final value."""
        if not self.may_overrule or header.number in self.final:
            return
        ranks = range(header.rank + 1, 4)
        lower = [index for rank in ranks for index in self.indices.get((header.number, rank), [])]
        if lower:
            self.overruled.update(lower)
            raise Restart

    def _pass_overruled(self, header: Header) -> None:
        """Pass a header that a later one of higher rank overrules: it only ends a section that has its value."""
        if self.current == header.number:
            self.finalize(header.number)
            return
        # The value before it becomes final as if the header counted, so that a response cut here reads the same.
        self._leave_section(header.start)
        self._end_closing(header.start)
        self.finalize(header.number)
        self._undo_plan(header.number)
        answer = self.answers.get(self.current)
        if self.current == 0 or (answer is not None and not answer.skipped):
            self._enter_overruled(header.end)
        else:
            self.within_overruled = True

    def _enter_overruled(self, section: int) -> None:
        """Enter a section of no problem after an overruled header; names in it still apply as before."""
        self._enter(0, section)
        self.overruled_here = True

    def _enter(self, number: int, section: int) -> None:
        self.current, self.section, self.first_in_section = number, section, -1
        self.named, self.skipped_before = {}, {}
        self.overruled_here = self.within_overruled = False

    def _open_by_header(self, number: int, header: Header) -> None:
        self._undo_plan(number)
        if all(n < number for n, _ in self.opened):
            self.opened.append((number, header.start))
        if number not in self.answers:
            skip = find_skip(self.text, header.end, len(self.text))
            if skip is not None:
                self.answers[number] = Answer([skip.text], skip.start, skip.end, "line", True)

    def _undo_plan(self, number: int) -> None:
        """Undo a plan before a header of problem ``number``: openings of it and later problems that have no value."""
        if self.count == 1 and 1 in self.answers and self.answers[1].skipped:
            del self.answers[1]  # an NA before the header of the only problem was a plan as well
        # Rule "plan": going back before any later problem has a value shows that headers and NAs so far were a plan.
        if number >= self.floor and number < self.last:
            for other in range(number, self.count + 1):
                if other in self.answers and self.answers[other].skipped:
                    del self.answers[other]
            self.opened = [(n, at) for n, at in self.opened if n < number or n in self.answers]
            self.headed = {n for n in self.headed if n < number or n in self.answers}
        self.headed.add(number)
        self.last = number

    def _all_opened(self) -> bool:
        """Return whether all problems have been opened, by a header that counts, by an overruled one, or by a name."""
        return len(self.headed.union(n for n, _ in self.opened)) == self.count

    def _go_on(self, number: int, start: int) -> None:
        """Leave the section for a header of problem ``number``."""
        if number != self.current:
            self._leave_section(start)
        self._end_closing(start)
        self.finalize(number)

    def _box(self, index: int, box: Box) -> None:
        name = self.marks.box_names[index]
        if self.closing is not None:
            self.box_in_closing(self.closing, box, name)
            return
        # Text of no problem (a preamble, a problem of another exam) answers nothing. After an overruled header a name
        # in the box's own line still says which problem it answers.
        if self.current == 0 and (name is None or not self.overruled_here):
            return
        if name is None:
            if box.start >= self.listed_until and not self._lists_all(index):
                self.value_box(self.current, box.start, box)
            return
        before = self.answers.get(name.number)
        if before is not None and before.skipped:
            self.skipped_before.setdefault(name.number, before)
        self.value_box(name.number, name.start, box)
        if self.within_overruled and name.number == self.current and self.current in self.answers:
            # A value named in another problem's section is not replaced by the boxes without a name that follow.
            self._enter_overruled(self.section)
        if box.content is not None and self._all_opened():
            # All problems named in order in one section are a list of all answers, as in a closing section.
            self.named[name.number] = Answer.of_box(box)
            if list(self.named) == list(range(1, self.count + 1)):
                self.answers.update(self.skipped_before)  # no list takes a skip back
                self.fill(self.named.values())

    def _lists_all(self, index: int) -> bool:
        """Read the box at ``index``, or the run of boxes that it begins, as a list of all answers if it is one.

        It is one at the end of the last problem's section where it repeats the answers of the earlier problems; as in
        a closing section, it answers the problems that have no answer and changes nothing else.
        """
        if self.count == 1 or self.current != self.count or not self._all_opened():
            return False
        boxes = self.marks.boxes[index : index + self.count + 1]
        # Either one box has all values (``\boxed{5, 6, 7}``), or exactly as many boxes as problems follow each other.
        answers, end = Answer.of_box(boxes[0]).listed(self.count, self.answers), boxes[0].end
        if len(answers) != self.count:
            runs = [is_list_gap(self.text, left.end, right.start) for left, right in pairwise(boxes)]
            whole = len(runs) >= self.count - 1 and all(runs[: self.count - 1]) and not any(runs[self.count - 1 :])
            if not whole or any(box.content is None for box in boxes[: self.count]):
                return False
            answers = [Answer.of_box(box) for box in boxes[: self.count]]
            end = boxes[self.count - 1].end
        if not self.repeats_known(answers):
            return False
        self.fill(answers)
        self.listed_until = end
        return True

    def _pending_line(self, end: int) -> AnswerLine | None:
        """Return the answer line, skip or conclusion of the section that ends at ``end``; None if a box answers it."""
        answer = self.answers.get(self.current)
        if self.current == 0 or self.current in self.final or (answer is not None and answer.by == "box"):
            return None
        # In this order: an answer line, a label, a skip as last line (exams), a conclusion (problems asked alone).
        line = last_answer_line(self.text, self.section, end, self.marks.cut_off, self.current)
        if line is None and self.by_label and self.counted:
            line = value_behind(self.text, self.section, end, self.marks.cut_off)
        if line is None and self.count > 1 and self.current not in self.answers:
            line = find_last_skip(self.text, self.section, end, self.marks.cut_off)
        if line is None and self.count == 1 and self.current not in self.answers:
            line = find_conclusion(self.text, self.section, end, self.marks.cut_off)
        return line

    def _leave_section(self, end: int) -> None:
        """Leave a problem's section: its answer line counts now, as a box in that place would have."""
        if self.closing is not None:
            return
        line = self._pending_line(end)
        if line is not None:
            self.value(self.current, line.place, Answer.of_line(line))

    def _maybe_close(self, end: int) -> None:
        """Begin the closing sections possible before ``end``: after all problems, before any, or a titled list.

        A header that begins at the same place is a header.
        """
        early = not self.counted and not self.opened and not self.headed
        if self.count == 1:
            return
        beginnings = self.marks.find_closings()
        if not (early or self._all_opened()):
            # A titled list of all answers at the end closes the response whether or not all have been opened.
            beginnings = [start for start in (self.marks.titled_list,) if start >= self.section]
        while True:
            place = self.section if self.closing is None else self.closing.start
            # A section that starts at offset 0 may close right there: the response may begin with its answers.
            index = bisect_right(beginnings, place) if place else bisect_right(beginnings, -1)
            if self.closing is not None and index < len(beginnings) and beginnings[index] == self.closing.start:
                index += 1
            if index == len(beginnings) or beginnings[index] > end - (end < len(self.text)):
                return
            start, owner = beginnings[index], self.current
            if self.closing is not None:
                owner = self._resolve(self.closing, start)
            else:
                self._leave_section(start)
            # The owner's value may still be replaced by the last word of the closing section, all others are final.
            self.finalize(owner)
            self.closing = Closing(start, 0 if owner in self.final else owner, early)

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

    def _resolve(self, closing: Closing, end: int) -> int:
        """Assign the answers of the closing section that ends at ``end``; return the problem in whose section it is."""
        if closing.boxed:
            self.unnamed_boxes(closing)
        elif not closing.early:
            self.lines_of_closing(closing, end)
        if len(closing.named) == self.count and list(closing.named) == sorted(closing.named):
            # All problems, numbered or named in order, are a list of all answers like any other.
            self.fill(closing.named.values())
            closing.answered = True
        self.closings.append((closing.start, end))
        self.breaks.append(closing.start)
        # A complete closing section means that the response was done with every problem, even if the budget cut it.
        self.left_all |= not closing.early and (self.count in closing.named or closing.answered)
        self.closing = None
        return closing.owner

    def _end_closing(self, end: int) -> None:
        """End the closing section at a header or the text's end."""
        if self.closing is None:
            return
        self.left_all |= not self.closing.early and end < len(self.text)
        self._resolve(self.closing, end)
        self.finalize(0)
        self._enter(0, end)

    def _level(self, start: int, index: int) -> None:
        """Count a level tag where a value in its place would count, or for the header right after it."""
        marks, tag, name = self.marks, self.marks.levels[index], self.marks.level_names[index]
        owner = self.current if name is None or self.current == 0 else name.number
        if self.first_in_section < 0:
            self.first_in_section = next_visible(self.text, self.section)
        # The first visible thing in a section with a header is that problem's forecast; any other tag right before a
        # header is the forecast of the problem that the header opens.
        headed = self.current in self.ranks
        leads = headed and owner not in self.levels and start == self.first_in_section
        following = bisect_right(marks.headers, start, key=lambda header: header.start)
        if not leads and following < len(marks.headers):
            header = marks.headers[following]
            if next_visible(self.text, tag.end) >= header.start and following not in self.overruled:
                owner = header.number
        if owner > self.floor:
            self.levels.setdefault(owner, tag.number)
