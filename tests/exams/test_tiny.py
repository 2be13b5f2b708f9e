"""The tiny family: answers, tiers, disjointness, determinism, the text of worked solutions."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.errors import UsageError
from roi_bench.exams.exam import TIERS, canonical_text
from roi_bench.exams.tiny import (
    SHIPPED_MODELS,
    is_evaluation_question,
    model_path,
    tiny_exams,
    tiny_problem,
    tiny_training_exams,
)
from roi_bench.reading.responses import read_response
from roi_bench.scoring.prompts import worked_response
from tests.support.messages import shows

QUESTION = re.compile(r"Start at (\d+)\. Apply ([+*]\d+) and (-\d+) in turn, (\d+) times, modulo 100\.")
GOLDEN_QUESTIONS = [
    "Start at 67. Apply +17 and -9 in turn, 3 times, modulo 100.",
    "Start at 43. Apply +13 and -18 in turn, 9 times, modulo 100.",
    "Start at 80. Apply *83 and -17 in turn, 27 times, modulo 100.",
]

TIER = st.sampled_from(TIERS)
SPLIT = st.sampled_from(["evaluation", "training"])


def recomputed(question: str) -> list[int]:
    """Walk a question's values from its text alone, with Python's own arithmetic on unreduced integers."""
    found = QUESTION.fullmatch(question)
    assert found, question
    value, values = int(found[1]), []
    for step in range(int(found[4])):
        value = eval(f"({value}){found[2 + step % 2]}")  # noqa: S307 - matched by the pattern above
        values.append(value % 100)
    return values


@given(seed=st.integers(0, 2**40), tier=TIER, index=st.integers(0, 10**6), split=SPLIT)
def test_answer_and_every_worked_line_agree_with_the_question(seed, tier, index, split):
    problem = tiny_problem(seed, tier, index, split)
    values = recomputed(problem.question)
    assert problem.answer == str(values[-1])
    lines = problem.solution.split("\n")
    assert [int(line.split(" ")[0]) for line in lines[1:-1]] == values[:-1]
    assert [int(line.split(" ")[1]) for line in lines[:-1]] == list(range(len(values), 0, -1))
    assert lines[-1] == f"\\boxed{{{values[-1]}}}"
    assert problem.question == canonical_text(problem.question)
    assert is_evaluation_question(problem.question) == (split == "evaluation")


def test_same_seed_gives_the_same_exams_and_a_prefix_of_more():
    exams = tiny_exams(3, 60)
    assert exams == tiny_exams(3, 60) == tiny_exams(3, 90)[:60]
    assert exams != tiny_exams(4, 60)
    assert tiny_training_exams(3, 5, start=7) == tiny_training_exams(3, 12)[7:]


def test_default_exams_are_the_ones_that_results_were_measured_on():
    exam = tiny_exams()[17]
    assert [problem.question for problem in exam.problems] == GOLDEN_QUESTIONS


def test_shape_of_an_exam_set():
    exams = tiny_exams()
    assert [exam.id for exam in exams] == [f"tiny/0/{i:03d}" for i in range(480)]
    assert exams[12].problems[0].id == "tiny/0/easy/012"
    assert all(exam.cluster == exam.id for exam in exams)
    assert all(tuple(p.pool for p in exam.problems) == ("tiny-easy", "tiny-middle", "tiny-hard") for exam in exams)
    for start in range(0, 480, 30):
        assert Counter(exam.medium for exam in exams[start : start + 30]) == {"EHM": 10, "MEH": 10, "MHE": 10}
    questions = [problem.question for exam in exams for problem in exam.problems]
    assert len(set(questions)) == len(questions)


def test_evaluation_and_training_share_no_problem():
    evaluated = {problem.question for exam in tiny_exams(0) + tiny_exams(1) for problem in exam.problems}
    trained = {problem.question for exam in tiny_training_exams(0, 2000) for problem in exam.problems}
    assert not evaluated & trained
    assert not any(map(is_evaluation_question, trained))


def test_worked_response_is_read_back_by_the_benchmark():
    exam = tiny_exams(5, 1)[0]
    problems = exam.ordered("hard")
    reading = read_response(worked_response(problems))
    assert [segment.answer for segment in reading.problems] == [problem.answer for problem in problems]
    skipping = read_response(worked_response(problems, skip={1})).problems
    assert [segment.skipped for segment in skipping] == [True, False, False]
    assert not skipping[0].worked


def test_the_question_names_neither_tier_nor_cost_in_words():
    for exam in tiny_exams(0, 30):
        for problem in exam.problems:
            assert not re.search("easy|middle|medium|hard|tier|level", problem.question)


def test_bad_arguments_are_refused():
    with pytest.raises(UsageError, match=shows("tier", "'medium'")):
        tiny_problem(0, "medium", 0, "training")
    with pytest.raises(UsageError, match=shows("-1")):
        tiny_exams(0, -1)


@pytest.mark.parametrize("stage", SHIPPED_MODELS)
def test_transformers_4_knows_the_tokenizer_of_each_shipped_model(stage):
    config = json.loads((model_path(stage) / "tokenizer_config.json").read_text("utf-8"))
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"  # version 5 writes "TokenizersBackend"
