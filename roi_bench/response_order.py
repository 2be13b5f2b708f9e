"""The order rule: which values count, and when one is final (SPEC section 5, reading rule 2)."""

from __future__ import annotations

from collections.abc import Iterable

from roi_bench.answer_lines import is_skip
from roi_bench.boxes import Box
from roi_bench.response_outline import Answer, is_list_gap


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
