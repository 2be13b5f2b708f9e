"""Reading of responses: golden cases and properties."""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roi_bench.reading.marks import _SOLUTIONS, _WORDS, find_boxes, find_headers, find_levels, find_reasoning
from roi_bench.reading.outline import Marks
from roi_bench.reading.responses import Reading, _reading, read_response
from roi_bench.reading.walk import Walk

CASES = [
    json.loads(line) for line in (Path(__file__).parents[1] / "cases" / "responses.jsonl").read_text().splitlines()
]

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
    "Problem:\n",
    "\n**Problem**\nSo 5.\n",
    "\\boxed{5}, ",
    "\\boxed{5, 6, 7}\n",
    "Final answers:\n",
    "Final answers:\n5\n",
    "Answers: 5, ",
    "= ",
    "\u2705",
    "Problem1\n",
    "Prob. 1:\n",
    "Solving ",
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
    "### Problem 3\nSummary\n",
    "Summary\n",
    "Final Answer: 5\n",
    "Answer: ",
    "The answer is 5 ",
    "**Answer",
    "#### ",
    "<think>",
    "<think></think>",
    "```\n",
    "```python\n### Problem 1\n",
    "1. \\boxed{5}\n2. \\boxed{6}\n3. \\boxed{7}\n",
    "| 1 | \\boxed{5} |\n",
    "| Problem | Answer |\n",
    "Solution 2\n\\boxed{1}\n",
    "### Problem 1\n### Problem 2\n### Problem 3\nSolution 1\n",
    "Problem 1:\nProblem 2:\n**Problem 1**\n### Problem 1\n",
    "\\boxed{1}, ",
    "### Problem 1\nNA\n",
    "NA\n",
    "---\n",
    "`<think>",
    "Final Answers:\n1. 5\n2. 6\n3. 7\n",
    "1. 5\n",
    "Problem 1: 5, ",
    "The answer to problem 2 is 7. ",
    "Answer: 5 because ",
    "### Problem 1\nAnswer: 5\n### Problem 2\n",
)
SKELETON = "### Problem 1\n### Problem 2\n### Problem 3\n"


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
        "answers": [segment.answer for segment in reading.problems],
        "skipped": [segment.skipped for segment in reading.problems],
        "cut": [segment.cut for segment in reading.problems],
        "levels": [segment.level for segment in reading.problems],
        "worked": [segment.worked for segment in reading.problems],
        "by": [segment.answered_by for segment in reading.problems],
        "left": [segment.left for segment in reading.problems],
        "marked": [None if segment.span is None else segment.span[0] for segment in reading.problems],
        "headers": [text[start:end] for start, end in reading.headers] if isinstance(text, str) else [],
        "closings": [list(span) for span in reading.closings],
        "stray": reading.stray_closing_tag,
        "reached": [segment.start < segment.end for segment in reading.problems],
        "preamble": text[: reading.preamble_end] if isinstance(text, str) else "",
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden_case(case: dict[str, object]) -> None:
    count = case["count"]
    assert isinstance(count, int)
    keywords = {key: case[key] for key in ("starts_in_reasoning", "think_tags", "cut_off") if key in case}
    found = facts(case["text"], read_response(case["text"], count, **keywords))
    assert {key: found[key] for key in case if key in found} == {key: case[key] for key in case if key in found}


@given(RESPONSES, st.integers(1, 4))
def test_every_position_has_one_segment_in_order(text: str, count: int) -> None:
    reading = read_response(text, count)
    assert [segment.position for segment in reading.problems] == list(range(1, count + 1))
    place = reading.preamble_end
    for segment in reading.problems:
        assert place <= segment.start <= segment.end <= len(text)
        place = segment.end
    for start, end in reading.closings:
        assert all(segment.end <= start or segment.start >= end for segment in reading.problems)


@given(RESPONSES)
def test_line_ends_do_not_change_the_reading(text: str) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    plain, dos = read_response(text), read_response(text.replace("\n", "\r\n"))
    for left, right in zip(plain.problems, dos.problems, strict=True):
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
    for segment in first.problems:
        parts.append(f"### Problem {segment.position}\n")
        if segment.level is not None:
            parts.append(f"<predicted_level>Level-{segment.level}</predicted_level>\n")
        if segment.answer is not None:
            # A stray brace can stand in an answer only if it was unbraced; it cannot be written in a box.
            if segment.answer.count("{") != segment.answer.count("}") or "\\" in segment.answer:
                return
            parts.append(f"\\boxed{{{segment.answer}}}\n")
    again = read_response("".join(parts))
    for left, right in zip(first.problems, again.problems, strict=True):
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
    """Return the processor time of one reading."""
    started = time.process_time()
    read_response(text)
    return time.process_time() - started


def assert_linear(short: str, long: str) -> None:
    """``long`` has eight times the length of ``short``: a quadratic reader would take 64 times as long."""
    base = max(min(seconds_to_read(short) for _ in range(2)), 0.002)  # below that the clock's grain dominates
    assert any(seconds_to_read(long) < 32 * base for _ in range(4))  # other load only ever adds to it


@pytest.mark.parametrize("start", ["", SKELETON, SKELETON + "Summary\n"], ids=["plain", "opened", "closing"])
@pytest.mark.parametrize("pattern", HOSTILE)
def test_time_is_linear(pattern: str, start: str) -> None:
    long = (pattern * 160_000)[:160_000]
    assert_linear(start + long[:20_000], start + long)


@pytest.mark.parametrize(("opening", "middle", "closing"), NESTED)
def test_time_is_linear_however_deep(opening: str, middle: str, closing: str) -> None:
    depth = 20_000 // len(opening + closing)
    assert_linear(*(opening * times + middle + closing * times for times in (depth, 8 * depth)))


FRAGMENTS = (
    *("### Problem 1\n", "### Problem 2\n", "### Problem 3\n"),
    *("**Problem 1**\n", "**Problem 2**\n", "**Problem 3:** "),
    *(
        "Problem 1: ",
        "Problem 2:\n",
        "Problem 3: ",
        "### Problem 4\n",
        "## Question 2\n",
        "### Solution to Problem 1\n",
    ),
    *(
        "### Solution 1\n",
        "### Solution 2\n",
        "\n",
        "\n\n",
        "work ",
        "1. ",
        "```\n",
        "```python\n",
        "<think>",
        "</think>",
    ),
    *("@", "@\n", " and @", "@, @ or @\n", "\\boxed{#, #, #}\n", " \\boxed{NA}\n", "NA\n", "\\boxed{"),
    *("Answer: #\n", "The answer is #. ", "#### #\n", "Problem 2 = #\n", "1. #\n", "1. @\n2. @\n3. @\n", "2. @\n"),
    *("### Final Answer\n", "Summary\n", "So the answers are ", "| Problem | Answer |\n", "| 1 | @ |\n"),
    *(
        "Final Answers:\n1. @\n2. @\n3. @\n",
        "Final Answers:\n1. #\n2. \\boxed{NA}\n3. @\n",
        "4. @\n",
        "`<think>` ",
        "`",
    ),
    *("The answer to problem 2 is #. ", "**Final Answers:** Problem 1: #, Problem 2: #, Problem 3: NA\n"),
    *("Therefore, x is #.\n", "Thus the sum is # cm. ", "So $ #$ holds. See # too.\n", "Hence it is:\n\\[ # \\]\n"),
    *("Answer: # because x\n", "Problem 2 \u2192 #\n", "Total: @\n", "Answer: NA\n"),
    *("Problem 1: # tokens\n", "Problem 2 -> #\n", "@, @, @\n", "\n@, @, and @.\n", "Final answers: #, #, #\n"),
    *("Final Answers:\n#\n#\n#\n", "### Problem1\n", "(1) ", "(2) ", "=== Problem 2 ===\n"),
    *("Check. Problem 1: @\n", "as Problem 2 is @. ", "<predicted_level>Level-1</predicted_level>\n"),
)
"""Pieces of responses; ``#`` is a number and ``@`` a box with one that stand nowhere else in the text."""


def generated(source: random.Random) -> list[str]:
    """Return the pieces of a response in which every value is another."""
    pieces, value = [], 100
    for _ in range(source.randint(3, 14)):
        piece = source.choice(FRAGMENTS).replace("@", "\\boxed{?}")
        piece = piece if piece.startswith(("###", "## ")) else piece.replace("#### #", "#### ?").replace(" #", " ?")
        piece = piece.replace("{#", "{?")
        while "?" in piece:
            value += 1
            piece = piece.replace("?", str(value), 1)
        pieces.append(piece)
    return pieces


def final_values(text: str, reading: Reading) -> dict[int, str | None]:
    """Return the values behind which the response has gone on to the header of another problem, whose line is whole."""
    found = {}
    for segment in reading.problems:
        if segment.span is None or segment.skipped:
            continue
        for start, end in reading.headers:
            other = int(re.findall("[0-9]", text[start:end])[-1]) != segment.position
            if start >= segment.span[1] and other and "\n" in text[end:]:
                found[segment.position] = segment.answer
    return found


@pytest.mark.parametrize("seed", range(8))
def test_no_text_hedges_against_being_cut_off(seed: int) -> None:
    """A value that was final before a cut stays what it was, whatever follows."""
    source = random.Random(seed)
    seen = 0
    for _ in range(250):
        pieces = generated(source)
        text = "".join(pieces)
        lengths = [len("".join(pieces[:number])) for number in range(1, len(pieces) + 1)]
        cuts = sorted({*lengths, *(source.randint(0, len(text)) for _ in range(4))})
        final: dict[int, str | None] = {}
        for cut in cuts:
            reading = read_response(text[:cut], cut_off=True)
            now = {segment.position: segment.answer for segment in reading.problems}
            assert {position: now[position] for position in final} == final, (text, cut)
            final |= final_values(text[:cut], reading)
        seen += len(final)
    assert seen > 50  # the search has met what it looks for


@pytest.mark.parametrize("seed", range(8))
def test_no_value_answers_two_problems(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(600):
        text = "".join(generated(source))
        values = [
            value
            for segment in read_response(text).problems
            if segment.answer is not None and not segment.skipped
            for value in re.findall("[0-9]{3}", segment.answer)
        ]
        assert len(values) == len(set(values)), text


@pytest.mark.parametrize("wrong", ["\\boxed{5}", "Answer: 5"])
@pytest.mark.parametrize(
    "again",
    [
        "### Problem 1\n\\boxed{6}",
        "**Problem 1**\n\\boxed{6}",
        "Problem 1: \\boxed{6}",
        "so Problem 1 is \\boxed{6}",
        "### Final Answers\n\\boxed{6, 6, 6}",
        "### Final Answers\n1. \\boxed{6}\n2. \\boxed{6}\n3. \\boxed{6}",
        "### Final Answers\nProblem 1: 6\nProblem 2: 6\nProblem 3: 6",
        "| Problem | Answer |\n| 1 | 6 |\n| 2 | 6 |\n| 3 | 6 |",
        "### Solution to Problem 1\n\\boxed{6}",
        "<think>hm</think>\n### Problem 1\n\\boxed{6}\n### Problem 2\n\\boxed{6}",
    ],
)
def test_no_second_chance_for_a_problem_that_was_left(wrong: str, again: str) -> None:
    text = "".join(f"### Problem {number}\n{wrong}\n" for number in (1, 2, 3)) + again
    assert [segment.answer for segment in read_response(text).problems][:2] == ["5", "5"]


@given(RESPONSES, st.text(max_size=30))
def test_reasoning_says_nothing(text: str, thought: str) -> None:
    """A think block in a line of its own changes no answer."""
    plain = read_response(text)
    thinking = read_response(f"<think>{thought}</think>\n{text}")
    assert [segment.answer for segment in plain.problems] == [segment.answer for segment in thinking.problems]


@given(RESPONSES, st.integers(1, 3))
def test_spans_hold_what_they_say(text: str, count: int) -> None:
    reading = read_response(text, count)
    for segment in reading.problems:
        if segment.span is None:
            assert segment.answer is None
            assert segment.answered_by is None
        else:
            start, end = segment.span
            assert 0 <= start < end <= len(text)
            assert segment.answered_by == ("box" if text[start] == "\\" and "box" in text[start:end] else "line")


@given(
    st.lists(st.sampled_from([piece for piece in FRAGMENTS if "@" not in piece and "#" not in piece[:3]]), max_size=9)
)
def test_a_text_without_marks_is_read_as_the_walk_would(pieces: list[str]) -> None:
    text = "".join(pieces).replace("#", "7").replace("<predicted_level>", "").replace("\\boxed{", "")
    text = text.replace("\r", "\n")
    spans, stray = find_reasoning(text)
    if find_headers(text, 1) or find_levels(text) or find_boxes(text) or spans:
        return
    for cut_off in (False, True):
        marks = Marks(text, 1, [], [], [], cut_off)
        marks.find_names()
        walk = Walk(marks, set(), True)
        walk.run()
        assert read_response(text, 1, cut_off=cut_off) == _reading(marks, walk.outline(), (), stray)


def spelled(word: str) -> str:
    """Return a spelling of a word in the list of header words: options left out, the first letter of a choice."""
    return re.sub(r"\[([^\]]).?\]", r"\1", re.sub(r"\(\?:[^)]*\)\?", "", word))


@pytest.mark.parametrize("word", [spelled(word) for word in f"{_WORDS}|{_SOLUTIONS}".split("|")])
def test_every_word_for_problem_heads_one_in_any_case(word: str) -> None:
    """Lines are looked at by their first letters, which stand in a list of their own."""
    for written in (word, word.capitalize(), word.upper()):
        for line in (f"## {written} 2:", f"\\section*{{{written} 2}}", f"1. **{written} 2**"):
            assert [header.number for header in find_headers(f"text\n{line}\n", 3)] == [2], line
