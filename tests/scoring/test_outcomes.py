"""Every problem of every response ends in exactly one outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.scoring.kinds import parse_exam_response
from roi_bench.scoring.outcomes import OUTCOMES, ParsedResponse, Response, TextFacts, answers_to_grade, problem_outcomes
from roi_bench.scoring.tokens import Usage
from tests.support.exam_factory import WordCounter, make_exam, respond
from tests.support.graders import Same

CASES = json.loads((Path(__file__).parents[1] / "cases" / "outcomes.json").read_text(encoding="utf-8"))


def outcomes_of(parsed: ParsedResponse) -> list[str]:
    verdicts = [Same(check.answer in check.accepted) for check in answers_to_grade(parsed)]
    return [problem.outcome for problem in problem_outcomes(parsed, verdicts)]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_golden_outcomes(case: dict[str, Any]) -> None:
    source = case.get("source", "generated")
    usage = None if case["tokens"] is None else Usage(case["tokens"], case["finish"], source)
    texts = TextFacts(case.get("whole", True), case.get("in_reasoning", False))
    parsed = parse_exam_response(make_exam(), "easy", 40, Response(case["text"], usage), texts=texts)
    assert outcomes_of(parsed) == case["outcomes"]


def test_order_decides_which_answer_belongs_where() -> None:
    exam = make_exam()
    for order, answers in {"easy": "123", "hard": "321", "medium": "132"}.items():
        assert outcomes_of(parse_exam_response(exam, order, 40, Response(respond(answers)))) == ["correct"] * 3


def test_levels_and_shares_meet() -> None:
    text = respond(["1", "NA", "3"], work="w " * 300, level=[1, 3, 0])
    parsed = parse_exam_response(make_exam(), "easy", 10_000, Response(text), WordCounter())
    first, second, third = problem_outcomes(parsed, [Same(True), Same(True)])
    assert (first.level, first.actual_level) == (1, 1)
    assert (second.level, second.actual_level, second.outcome) == (3, None, "skipped")
    assert (third.level, third.actual_level) == (0, 1)
    assert parsed.shares is not None
    assert sum(parsed.shares) + (parsed.planning or 0) == len(WordCounter().token_starts(text))


def test_an_outcome_says_what_answered_and_where() -> None:
    text = "### Problem 1\nw\n\\boxed{1}\n### Problem 2\n\\boxed{NA}\n### Problem 3\nw"
    found = problem_outcomes(parse_exam_response(make_exam(), "easy", 40, Response(text)), [Same(True)])
    spans = [outcome.span for outcome in found]
    assert [outcome.answer for outcome in found] == ["1", "NA", None]
    assert [text[span[0] : span[1]] if span else None for span in spans] == ["\\boxed{1}", "\\boxed{NA}", None]
    assert [outcome.answered_by for outcome in found] == ["box", "box", None]


def test_tiny_levels_are_an_eighth_of_the_papers() -> None:
    from roi_bench.scoring.outcomes import level_bounds

    assert level_bounds("tiny-hard") == (32, 64, 128)
    assert level_bounds("math") == (256, 512, 1024)


@given(
    st.one_of(
        st.none(),
        st.text(max_size=300),
        st.lists(
            st.sampled_from(
                [
                    "### Problem 1\n",
                    "### Problem 2\n",
                    "Problem 3:",
                    "\\boxed{1}",
                    "\\boxed{NA}",
                    "\\boxed{",
                    "}",
                    "\n",
                    "w ",
                ]
            ),
            max_size=30,
        ).map("".join),
    ),
    st.one_of(
        st.none(), st.builds(Usage, st.integers(0, 60), st.sampled_from(["stop", "length"]), st.just("generated"))
    ),
    st.sampled_from(["easy", "medium", "hard"]),
    st.booleans(),
)
def test_exactly_one_outcome_each(text: object, usage: Usage | None, order: str, counted: bool) -> None:
    parsed = parse_exam_response(make_exam(), order, 40, Response(text, usage), WordCounter() if counted else None)
    outcomes = outcomes_of(parsed)
    assert len(outcomes) == 3
    assert set(outcomes) <= set(OUTCOMES)
    if "error" in outcomes or "empty" in outcomes:
        assert len(set(outcomes)) == 1
