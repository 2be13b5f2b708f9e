"""A response cut into what it says, as it was read: the problems, the text around them, and the marks that count."""

from __future__ import annotations

from dataclasses import dataclass

from roi_bench.reading.headers import find_levels
from roi_bench.reading.marks import find_boxes, hide_spans
from roi_bench.reading.responses import Reading

MARKS = {
    "answer": "the box, or the line, that answers a problem",
    "box": "a box that does not count",
    "level": "level tag: the forecast of what the problem costs",
    "head": "header line of a problem",
    "reasoning": "reasoning: it costs tokens and says nothing else",
}
"""Kinds of marks and what each is."""

BEFORE = "Before the first problem"
"""What text before the first problem is called."""

Mark = tuple[int, int, str]
"""``(start, end, kind)``: offsets in the text and a key of :data:`MARKS`."""


@dataclass(frozen=True, slots=True)
class Span:
    """Text of one kind.

    Attributes:
        kind: A key of :data:`MARKS`, or an empty text for unmarked text.
        text: The text as it is.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a response.

    Attributes:
        position: 1-based position of its problem, 0 for what belongs to none.
        reached: It holds text; a problem that was never begun has none.
        spans: Its text in order.
        title: What it is called.
    """

    position: int
    reached: bool
    spans: tuple[Span, ...]
    title: str


def cut_response(text: str, reading: Reading) -> tuple[Piece, ...]:
    """Return the pieces of a response, in order: one a problem, and one for each stretch before, between and behind.

    Args:
        text: The response.
        reading: What it says.
    """
    marks = _marks(text, reading)
    pieces, place = [], 0
    for segment in reading.problems:
        reached = segment.end > segment.start
        if reached and segment.start > place:
            pieces.append(Piece(0, True, _spans(text, place, segment.start, marks), _title(place, reading)))
        spans = _spans(text, segment.start, segment.end, marks)
        pieces.append(Piece(segment.position, reached, spans, f"Problem {segment.position}"))
        place = max(place, segment.end) if reached else place
    if place < len(text):
        pieces.append(Piece(0, True, _spans(text, place, len(text), marks), _title(place, reading)))
    return tuple(pieces)


def _title(place: int, reading: Reading) -> str:
    """Return what the text of no problem from ``place`` on is called."""
    if any(start <= place < end for start, end in reading.closings):
        return "Closing section"
    return BEFORE if place < reading.preamble_end else "Text of no problem"


def _marks(text: str, reading: Reading) -> list[Mark]:
    """Return every mark, ascending and disjoint; of two that overlap what answers goes first, then reasoning."""
    answers = [segment.span for segment in reading.problems if segment.span is not None]
    visible = hide_spans(text, reading.reasoning)
    boxes = find_boxes(visible, [start for start, _ in reading.headers])
    ranked: list[list[Mark]] = [
        [(start, end, "answer") for start, end in answers],
        [(start, end, "reasoning") for start, end in reading.reasoning],
        [(start, end, "head") for start, end in reading.headers],
        [(box.start, box.end, "box") for box in boxes],
        [(mark.start, mark.end, "level") for mark in find_levels(visible)],
    ]
    found: list[Mark] = []
    for marks in ranked:
        found = _with(found, marks)
    return found


def _with(marks: list[Mark], more: list[Mark]) -> list[Mark]:
    """Return ``marks`` and those of ``more`` that overlap none of them, ascending."""
    kept: list[Mark] = []
    index = 0
    for mark in sorted(more):
        while index < len(marks) and marks[index][1] <= mark[0]:
            index += 1
        if (index == len(marks) or marks[index][0] >= mark[1]) and (not kept or kept[-1][1] <= mark[0]):
            kept.append(mark)
    return sorted(marks + kept)


def _spans(text: str, start: int, end: int, marks: list[Mark]) -> tuple[Span, ...]:
    spans, place = [], start
    for mark_start, mark_end, kind in marks:
        if mark_end <= place or mark_start >= end:
            continue
        first, last = max(mark_start, place), min(mark_end, end)
        if first > place:
            spans.append(Span("", text[place:first]))
        spans.append(Span(kind, text[first:last]))
        place = last
    if place < end:
        spans.append(Span("", text[place:end]))
    return tuple(spans)
