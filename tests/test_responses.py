"""Reading of responses: golden cases and properties."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roi_bench.responses import Reading, read_response

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases" / "responses.jsonl").read_text().splitlines()]

PIECES = (
    "### Problem 1\n",
    "### Problem 2\n",
    "### Problem 3\n",
    "### Problem 4\n",
    "**Problem 2**\n",
    "Problem 1: ",
    "Problem 3:",
    "\\boxed{5}",
    "\\boxed{NA}",
    "\\boxed{",
    "\\fbox{a}",
    "\\boxed 7",
    "\\boxed",
    "\\boxed as asked",
    "\\boxed{\\boxed ",
    "_Problem 1_\n",
    "\ufeff",
    "{",
    "}",
    "\\",
    "\n",
    "\r\n",
    "\r",
    " ",
    "x+1",
    "<predicted_level>Level-2</predicted_level>",
    "<predicted_level>",
    "```\n",
    "\u2212",
    "\ud800",
    "\x00",
    "#",
    "Problem ",
)
RESPONSES = st.one_of(
    st.text(st.characters(), max_size=300), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
)
HOSTILE = (
    "\\boxed{",
    "{",
    "}",
    "\\",
    "\\boxed ",
    "\\boxed{}",
    "\\boxed{1}\n",
    "\\boxed{\\boxed{1}}",
    "### Problem 1\n",
    "### Problem 1",
    "Problem 1: ",
    "Problem 1: \\boxed{1",
    "Problem  ",
    "**Problem 2** ",
    "<predicted_level>Level-1</predicted_level>",
    "### Problem 2\n<predicted_level>Level-1</predicted_level>\n",
    "<predicted_level> ",
    "\r",
    "\n",
    " ",
    "\t",
    "#",
    "*",
    "# ",
    "$",
    "a",
)


NESTED = (  # (opening, middle, closing): n openings, the middle, n closings
    ("\\boxed{", "1", "}"),
    ("\\boxed{x", "", "}"),
    ("\\boxed{", "", "x}"),
    ("\\boxed{x ", "1", " y}"),
    ("\\fbox{", "1", "}"),
    ("\\boxed {\\fbox{", "1", "}}"),
    ("\\boxed\\boxed{", "1", "}"),
    ("\\boxed{\\boxed 5", "1", "}"),
    ("\\boxed{1}\\boxed{", "1", "}"),
    ("\\boxed{", "1", "}\\boxed{2}"),
    ("\\boxed{{", "1", "}}"),
    ("{\\boxed{", "1", "}}"),
    ("{", "\\boxed{1}", "}"),
    ("{", "1", "}"),
    ("\\boxed ({[", "1", "]})"),
    ("\\boxed{", "1", ""),
    ("\\boxed{x", "\\boxed{1}", ""),
    ("\\boxed{\\boxed{1}", "", ""),
    ("", "1", "}"),
    ("", "\\boxed{1", "}"),
    ("{", "\\boxed{", ""),
    ("\\boxed{", "\n### Problem 2\n", "}"),
    ("\\boxed{\n### Problem 1\n", "1", "}"),
    ("\\boxed{Problem 1: ", "1", "}"),
    ("\\boxed{<predicted_level>Level-1</predicted_level>", "1", "}"),
    ("\\boxed{\n", "1", "\n}"),
    ("\\boxed{" + " " * 70, "1", " " * 70 + "}"),
    ("\\boxed" + " " * 70, "1", "}"),
    ("\\boxed 5\\boxed 5", "(", ")"),
)


def facts(text: object, reading: Reading) -> dict[str, object]:
    """What a golden case may state."""
    return {
        "answers": [segment.answer for segment in reading.segments],
        "skipped": [segment.skipped for segment in reading.segments],
        "cut": [segment.cut for segment in reading.segments],
        "levels": [segment.level for segment in reading.segments],
        "worked": [segment.worked for segment in reading.segments],
        "reached": [segment.start < segment.end for segment in reading.segments],
        "preamble": text[: reading.preamble_end] if isinstance(text, str) else "",
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden_case(case: dict[str, object]) -> None:
    count = case["count"]
    assert isinstance(count, int)
    found = facts(case["text"], read_response(case["text"], count))
    assert {key: found[key] for key in case if key in found} == {key: case[key] for key in case if key in found}


@given(RESPONSES, st.integers(1, 4))
def test_every_position_has_one_segment_in_order(text: str, count: int) -> None:
    reading = read_response(text, count)
    assert [segment.position for segment in reading.segments] == list(range(1, count + 1))
    place = reading.preamble_end
    for segment in reading.segments:
        assert place <= segment.start <= segment.end <= len(text)
        place = segment.end
    for start, end in reading.closings:
        assert all(segment.end <= start or segment.start >= end for segment in reading.segments)


@given(RESPONSES)
def test_line_ends_do_not_change_the_reading(text: str) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    plain, dos = read_response(text), read_response(text.replace("\n", "\r\n"))
    for left, right in zip(plain.segments, dos.segments, strict=True):
        assert (left.answer or "").split() == (right.answer or "").split()
        assert (left.skipped, left.cut, left.level, left.worked) == (
            right.skipped,
            right.cut,
            right.level,
            right.worked,
        )


@given(RESPONSES)
def test_written_again_it_reads_the_same(text: str) -> None:
    """A canonical response made from a reading gives the same answers, skips and levels."""
    first = read_response(text)
    parts = []
    for segment in first.segments:
        parts.append(f"### Problem {segment.position}\n")
        if segment.level is not None:
            parts.append(f"<predicted_level>Level-{segment.level}</predicted_level>\n")
        if segment.answer is not None:
            # A stray brace can stand in an answer only if it was unbraced; it cannot be written in a box.
            if segment.answer.count("{") != segment.answer.count("}") or "\\" in segment.answer:
                return
            parts.append(f"\\boxed{{{segment.answer}}}\n")
    again = read_response("".join(parts))
    for left, right in zip(first.segments, again.segments, strict=True):
        assert (left.answer, left.skipped, left.level) == (right.answer, right.skipped, right.level)


@given(
    st.one_of(
        st.none(), st.integers(), st.floats(), st.binary(), st.lists(st.text()), st.dictionaries(st.text(), st.text())
    )
)
def test_what_is_no_string_reads_as_empty(value: object) -> None:
    assert read_response(value) == read_response("")


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(PIECES), st.integers(1, 2000))
def test_long_repetitions_never_raise(piece: str, times: int) -> None:
    read_response(piece * times)


def seconds_to_read(text: str) -> float:
    """Return the processor time of one reading: the least of several, for other load only ever adds to it."""
    times = []
    for _ in range(3):
        started = time.process_time()
        read_response(text)
        times.append(time.process_time() - started)
    return min(times)


def assert_linear(short: str, long: str) -> None:
    """``long`` has eight times the length of ``short``: a quadratic reader would take 64 times as long."""
    base = max(seconds_to_read(short), 0.002)  # below that the clock's grain dominates
    assert seconds_to_read(long) < 32 * base


@pytest.mark.parametrize("pattern", HOSTILE)
def test_time_is_linear(pattern: str) -> None:
    long = (pattern * 1_000_000)[:1_000_000]
    assert_linear(long[:125_000], long)


@pytest.mark.parametrize(("opening", "middle", "closing"), NESTED)
def test_time_is_linear_however_deep(opening: str, middle: str, closing: str) -> None:
    depth = 125_000 // len(opening + closing)
    assert_linear(*(opening * times + middle + closing * times for times in (depth, 8 * depth)))
