"""Answer lines: the last one is found from the end of the text, and is the last one of all."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from roi_bench.reading.answer_lines import answer_lines, last_answer_line

OPENERS = (
    *("Answer: 7", "The answer is 8.", "#### 9", "A: 3", "Final Answer", "**Final Answer:**", "<answer>4</answer>"),
    *(
        "The answer to problem 2 is 7",
        "Answer:",
        "<answer>",
        "</answer>",
        "the final answer is: the answer is",
        "答案：5",
    ),
)
FILLERS = ("", "so", "***", "12", "x" * 90, "An answer is needed. " * 12, " " * 150, "İ", "work " * 50, "- - -\n" * 30)
LINES = st.lists(st.sampled_from([*OPENERS, *FILLERS, *FILLERS]), max_size=60).map("\n".join)


@given(text=LINES, cut_off=st.booleans(), start=st.integers(0, 300), number=st.integers(1, 3))
@settings(max_examples=400, deadline=None)
def test_the_last_answer_line_is_the_last_of_all(text: str, cut_off: bool, start: int, number: int) -> None:
    start = min(start, len(text))
    lines = [line for line in answer_lines(text, start, len(text), cut_off) if line.may_answer(number)]
    assert last_answer_line(text, start, len(text), cut_off, number) == (lines[-1] if lines else None)


def test_a_line_far_from_the_end_is_found() -> None:
    text = "The answer is 8.\n" + "Nothing more to say about the answer\n" * 200
    found = last_answer_line(text, 0, len(text), False, 1)
    assert found is not None
    assert found.text == "8"
