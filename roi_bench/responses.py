r"""What a response says: which box answers which problem, what was skipped, cut off, forecast, and where (SPEC 5).

:func:`read_response` walks the marks of a response (:mod:`roi_bench.headers`) and its boxes (:mod:`roi_bench.boxes`)
once from left to right. Cases that the specification leaves open are decided here:

- **Which box.** A box belongs to the ``Problem j:`` nearest before it in its own line, else to the last header. Before
  the first header it belongs to nothing; before the first canonical header also if its line names a problem: that is a
  plan ("I'll skip Problem 3: …") or visible thinking. It counts only if its problem's number is not smaller than that
  of any box counted before; a later counted box of the same problem replaces the earlier one.
- **No header.** If some box is named in its own line, only boxes so named count. Otherwise, with at most ``count``
  boxes (a cut one included), box i answers problem i, and problem i's segment ends with it; the text behind the last
  box belongs to the next problem. With more boxes nothing is answered and all text is preamble. A single problem
  (``count=1``) needs no header: all boxes are its own and the last one counts.
- **Segments.** A header opens its problem, except where a box of a higher problem has counted (going back is part of
  that problem's text). Opening problem k closes the openings of higher problems before it: they were a plan. If any was
  closed so and k has no counted box yet, k starts anew at this header; otherwise a repeated header just continues k.
  So a plan that lists all headers is preamble, and a closing summary belongs to the last problem. A counted box of a
  problem that no header opened opens it. A problem never opened has an empty span where it would have stood.
- **Levels.** A tag belongs where a box in its place would, with one exception: followed by nothing but white space and
  a header line it belongs to that header, unless it is also the first thing behind its own header and that problem has
  no tag yet. So tags may stand consistently before or behind the headers. The first tag of a problem counts, and only
  if neither this problem nor a higher one has a counted box yet: a forecast comes before the solution.
- **Cut.** A box open at the end of the text belongs to a problem like any other box (if it could count) and leaves the
  answer as it was: an earlier complete box of that problem still answers it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Literal

from roi_bench.boxes import Box, find_boxes
from roi_bench.headers import (
    INVISIBLE,
    Mark,
    find_canonical_headers,
    find_lenient_headers,
    find_levels,
    find_names,
    nearest_names,
)

_SKIP_NOISE = re.compile(
    r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mathit|mbox|bf|rm)(?![A-Za-z])|[\s${}*_\"'`\\().]"
)
_SKIPS = frozenset({"na", "n/a"})
_NOT_SPACE = re.compile(rf"[^\s{INVISIBLE}]")
_VISIBLE = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Segment:
    r"""What a response says about the problem at one position.

    Attributes:
        position: 1-based position of the problem.
        start: Offset of its header in the text.
        end: Offset of the next problem's header, or the end of the text; equal to ``start`` if it was never reached.
        answer: What answers the problem (content of the counted box), None if there is none.
        answer_span: ``(start, end)`` offsets in the text of what answers it (the whole box); None if there is none.
        answered_by: ``box`` or ``line`` (an answer line without a box); None if there is no answer.
        skipped: The answer is NA (``NA``, ``N/A``, ``n.a.``, ``\text{NA}``, any case).
        cut: A box of this problem was opened and cut off by the end of the text.
        level: The forecast level 0–3, None if there is none.
        worked: Some letter or digit stands in the span besides header, level tags and boxes.
    """

    position: int
    start: int
    end: int
    answer: str | None = None
    answer_span: tuple[int, int] | None = None
    answered_by: Literal["box", "line"] | None = None
    skipped: bool = False
    cut: bool = False
    level: int | None = None
    worked: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """A response read.

    Attributes:
        segments: One segment a problem, by position; spans are disjoint and ascending.
        preamble_end: Offset at which the first segment starts; what stands before is planning overhead.
        reasoning: ``(start, end)`` offsets of the visible reasoning spans, ascending and disjoint.
        stray_closing_tag: A closing think tag stands where no reasoning was open.
    """

    segments: tuple[Segment, ...]
    preamble_end: int
    reasoning: tuple[tuple[int, int], ...] = ()
    stray_closing_tag: bool = False


READING_RULE = 1
"""Number of the rule by which responses are read (SPEC section 5); results under different rules are never mixed."""


def read_response(text: object, count: int = 3) -> Reading:
    """Read a response to an exam of ``count`` problems; linear in its length, never raises.

    Args:
        text: The response; anything but a string (None: no response) reads as an empty one.
        count: Number of problems, at least 1.
    """
    response = str.__str__(text) if isinstance(text, str) else ""
    canonical = find_canonical_headers(response, count)
    headers = canonical or find_lenient_headers(response, count)
    first = next((mark.start for mark in canonical if mark.number), -1)
    boxes = [box for box in find_boxes(response, [mark.start for mark in headers]) if box.start > first]
    names = find_names(response, count)
    levels = find_levels(response)
    walk = _Walk(count)
    if headers or any(nearest_names(response, [box.start for box in boxes], names)):
        _read_named(response, walk, headers, names, boxes, levels)
    else:
        _read_unnamed(response, walk, boxes, levels)
    return _reading(response, walk, [*headers, *levels], boxes)


def is_skip(answer: str) -> bool:
    r"""Return whether ``answer`` spells NA: ``NA``, ``N/A``, ``n.a.``, in any case, also in ``\text{}`` or bold."""
    return len(answer) <= 100 and _SKIP_NOISE.sub("", answer).casefold() in _SKIPS


@dataclass(slots=True)
class _Walk:
    """State of the walk from left to right."""

    count: int
    floor: int = 0  # highest problem with a counted box
    opened: list[tuple[int, int]] = field(default_factory=list)  # (number, start), both ascending
    answers: dict[int, Box] = field(default_factory=dict)
    levels: dict[int, int] = field(default_factory=dict)
    cut: int = 0

    def open(self, number: int, start: int) -> None:
        if number == 0 or number < self.floor:
            return
        restarted = False
        while self.opened and self.opened[-1][0] > number:
            self.opened.pop()
            restarted = True
        if self.opened and self.opened[-1][0] == number:
            if not restarted or number in self.answers:
                return
            self.opened.pop()
        self.opened.append((number, start))

    def box(self, number: int, start: int, box: Box) -> None:
        if number == 0 or number < self.floor:
            return
        if all(number != other for other, _ in self.opened):
            self.open(number, start)
        if box.content is None:
            self.cut = number
            return
        self.floor = number
        self.answers[number] = box

    def level(self, number: int, level: int) -> None:
        if number > self.floor:
            self.levels.setdefault(number, level)


def _read_named(
    text: str, walk: _Walk, headers: list[Mark], names: list[Mark], boxes: list[Box], levels: list[Mark]
) -> None:
    """Apply the ordered rule to a response that names its problems."""
    starts = [mark.start for mark in headers]
    level_names = nearest_names(text, [mark.start for mark in levels], names)
    box_names = nearest_names(text, [box.start for box in boxes], names)
    events: list[tuple[int, int, int]] = [(mark.start, 0, index) for index, mark in enumerate(headers)]
    events += [(mark.start, 1, index) for index, mark in enumerate(levels)]
    events += [(box.start, 2, index) for index, box in enumerate(boxes)]
    current, first_visible = 0, -1
    for start, kind, index in sorted(events):
        if kind == 0:
            current, first_visible = headers[index].number, _next_visible(text, headers[index].end)
            walk.open(current, start)
        elif kind == 1:
            name = level_names[index]
            owner = current if name is None else name.number
            leads = start == first_visible and owner not in walk.levels
            following = bisect_right(starts, start)
            if not leads and following < len(starts) and _next_visible(text, levels[index].end) >= starts[following]:
                owner = headers[following].number
            walk.level(owner, levels[index].number)
        else:
            name = box_names[index]
            walk.box(current if name is None else name.number, start if name is None else name.start, boxes[index])


def _next_visible(text: str, position: int) -> int:
    found = _NOT_SPACE.search(text, position)
    return len(text) if found is None else found.start()


def _read_unnamed(text: str, walk: _Walk, boxes: list[Box], levels: list[Mark]) -> None:
    """Give box i to problem i in a response that names no problem."""
    if walk.count == 1:
        owners = [1] * len(boxes)
    elif len(boxes) <= walk.count:
        owners = list(range(1, len(boxes) + 1))
    else:
        return
    starts = [box.start for box in boxes]
    for mark in levels:
        walk.level(min(bisect_right(starts, mark.start) + 1, walk.count + 1), mark.number)
    start = 0
    for owner, box in zip(owners, boxes, strict=True):
        walk.open(owner, start)
        walk.box(owner, start, box)
        start = box.end
    following = len(boxes) + 1
    if following <= walk.count and text[start:].strip():
        walk.open(following, start)


def _reading(text: str, walk: _Walk, marks: list[Mark], boxes: list[Box]) -> Reading:
    spans = {}
    for index, (number, start) in enumerate(walk.opened):
        end = walk.opened[index + 1][1] if index + 1 < len(walk.opened) else len(text)
        spans[number] = (start, end)
    noise = sorted([(mark.start, mark.end) for mark in marks] + [(box.start, box.end) for box in boxes])
    preamble_end = walk.opened[0][1] if walk.opened else len(text)
    segments, place = [], preamble_end
    for number in range(1, walk.count + 1):
        start, end = spans.get(number, (place, place))
        box = walk.answers.get(number)
        answer = None if box is None else box.content
        segments.append(
            Segment(
                position=number,
                start=start,
                end=end,
                answer=answer,
                answer_span=None if box is None else (box.start, box.end),
                answered_by=None if box is None else "box",
                skipped=answer is not None and is_skip(answer),
                cut=walk.cut == number,
                level=walk.levels.get(number),
                worked=_worked(text, start, end, noise),
            )
        )
        place = end
    return Reading(tuple(segments), preamble_end)


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
