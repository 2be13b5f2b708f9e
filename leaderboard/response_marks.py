"""A response cut into what it says: the text before the first problem, the problems, and the marks that count."""

from __future__ import annotations

from dataclasses import dataclass

from roi_bench.boxes import find_boxes
from roi_bench.headers import find_canonical_headers, find_lenient_headers, find_levels
from roi_bench.responses import Reading, read_response

MARKS = {
    "answer": "the answer that was graded",
    "box": "a box that does not count",
    "level": "level tag: the forecast of what the problem costs",
    "head": "header line of a problem",
}
"""Kinds of marks and what each is."""


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
        position: 1-based position of its problem, 0 for what stands before the first one.
        reached: It holds text; a problem that was never begun has none.
        answer: The answer read from it; None if there is none.
        spans: Its text in order.
    """

    position: int
    reached: bool
    answer: str | None
    spans: tuple[Span, ...]


def cut_response(text: str, count: int) -> tuple[Piece, ...]:
    """Return the pieces of a response to ``count`` problems: the text before the first one, then one piece a problem.

    Together they are the whole text, in order, as :func:`roi_bench.responses.read_response` reads it.
    """
    reading = read_response(text, count)
    marks = _marks(text, count, reading)
    pieces = [Piece(0, reading.preamble_end > 0, None, _spans(text, 0, reading.preamble_end, marks))]
    for segment in reading.segments:
        spans = _spans(text, segment.start, segment.end, marks)
        pieces.append(Piece(segment.position, segment.end > segment.start, segment.answer, spans))
    return tuple(pieces)


def _marks(text: str, count: int, reading: Reading) -> list[tuple[int, int, str]]:
    """Return ``(start, end, kind)`` of every mark, ascending and disjoint."""
    headers = find_canonical_headers(text, count) or find_lenient_headers(text, count)
    boxes = find_boxes(text, [mark.start for mark in headers])
    graded = set()
    for segment in reading.segments:
        # The reader does not say which box it took; of equal ones the last in the problem's own text is shown.
        same = [box.start for box in boxes if segment.answer is not None and box.content == segment.answer]
        own = [start for start in same if segment.start <= start < segment.end]
        graded |= set((own or same)[-1:])
    found = [(mark.start, mark.end, "head") for mark in headers]
    found += [(mark.start, mark.end, "level") for mark in find_levels(text)]
    found += [(box.start, box.end, "answer" if box.start in graded else "box") for box in boxes]
    disjoint: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(found):
        if not disjoint or start >= disjoint[-1][1]:
            disjoint.append((start, end, kind))
    return disjoint


def _spans(text: str, start: int, end: int, marks: list[tuple[int, int, str]]) -> tuple[Span, ...]:
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
