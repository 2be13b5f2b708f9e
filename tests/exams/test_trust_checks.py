"""What responders that know nothing, everything or a trick must score, through the real task (see also analysis/).

Every number here follows from the exams alone, by a computation that reads and grades nothing.
"""

from __future__ import annotations

from typing import Any

import pytest
from lm_eval.api.instance import Instance

from roi_bench.exams.exam import Problem
from roi_bench.exams.sets import find_exam
from roi_bench.exams.tiny import TINY_BUDGETS
from tests.harness.harness_runs import simple_evaluate
from tests.harness.scripted_model import Responder, ScriptedModel, always, oracle
from tests.support.exam_factory import respond

TASK = f"roi_tiny_hard_{TINY_BUDGETS[0]}"
LIMIT = 30


def problems_of(instance: Instance) -> tuple[Problem, ...]:
    return find_exam(instance.doc["exam_id"]).ordered(instance.doc["order"])


def numbers_of(responder: Responder, task: str = TASK) -> dict[str, Any]:
    results = simple_evaluate([task], model=ScriptedModel(responder), model_args={}, metadata=None, limit=LIMIT)
    return {name.removesuffix(",none"): value for name, value in results["results"][task].items()}


def all_problems() -> list[Problem]:
    return [problem for index in range(LIMIT) for problem in find_exam(f"tiny/0/{index:03d}").problems]


def test_the_oracle_scores_three_with_regret_zero():
    found = numbers_of(oracle)
    assert (found["score"], found["score_easy"], found["regret"]) == (3.0, 3.0, 0.0)
    assert (found["score_stderr"], found["regret_stderr"]) == (0.0, 0.0)


@pytest.mark.parametrize("text", ["", " \n", "I do not know.", "### Problem 1\n### Problem 2\n### Problem 3\n"])
def test_who_says_nothing_scores_nothing_and_has_no_regret_to_speak_of(text):
    found = numbers_of(always(text))
    assert (found["score"], found["score_easy"], found["regret"]) == (0.0, 0.0, "N/A")
    assert found["unanswered"] == 1.0  # nothing tells of tokens that went into reasoning


@pytest.mark.parametrize("answer", ["7", "50"])
def test_a_constant_answer_scores_the_share_of_problems_that_it_answers(answer):
    found = numbers_of(always(respond([answer] * 3)))
    hits = sum(problem.answer == answer for problem in all_problems())
    assert found["score"] == found["score_easy"] == pytest.approx(hits / LIMIT)


@pytest.mark.parametrize(("between", "last"), [(" ", None), (", ", None), (" or else ", "99"), ("\n\nNo. ", "99")])
def test_listing_every_answer_counts_as_one_list_or_as_the_last_one_only(between, last):
    boxes = between.join(f"\\boxed{{{number}}}" for number in range(100))
    hits = sum(problem.answer == last for problem in all_problems())
    text = "\n".join(f"### Problem {k}\n{boxes}" for k in (1, 2, 3))
    assert numbers_of(always(text))["score"] == pytest.approx(hits / LIMIT)


@pytest.mark.parametrize("separator", [", ", " or ", ";", " ", r"\text{ and }", r" \cup "])
def test_listing_every_answer_in_one_box_answers_nothing(separator):
    everything = separator.join(str(number) for number in range(100))
    assert numbers_of(always(respond([everything] * 3)))["score"] == 0.0


@pytest.mark.parametrize("wrong", ["-{}", r"\neg {}", "not {}", r"\neq {}", "{}0", "1{}", "{}.5"])
def test_the_negated_or_altered_right_answer_is_wrong(wrong):
    def negate(instance: Instance, _: int) -> str:
        return respond([wrong.format(problem.answer) for problem in problems_of(instance)])

    zeros = sum(problem.answer == "0" for problem in all_problems()) if wrong in ("-{}", "{}0", r"\neg {}") else 0
    assert numbers_of(negate)["score"] <= zeros / LIMIT


def test_copying_the_question_or_the_prompt_scores_nothing():
    def copy(instance: Instance, _: int) -> str:
        return "\n".join(f"### Problem {k}\n{p.question}" for k, p in enumerate(problems_of(instance), start=1))

    assert numbers_of(copy)["score"] == 0.0
    assert numbers_of(lambda instance, _: str(instance.args[0]))["score"] == 0.0


def test_skipping_everything_scores_nothing():
    found = numbers_of(always(respond(["NA"] * 3)))
    assert (found["score"], found["skip_rate"], found["regret"]) == (0.0, 1.0, "N/A")


def test_who_answers_for_another_place_scores_nothing_for_it():
    def easy_order_always(instance: Instance, _: int) -> str:
        """Return the right answers in easy order whatever was asked: right for the middle problem only."""
        exam = find_exam(instance.doc["exam_id"])
        return respond([problem.answer for problem in exam.problems])

    exams = [find_exam(f"tiny/0/{index:03d}") for index in range(LIMIT)]
    same = sum(exam.problems[0].answer == exam.problems[2].answer for exam in exams)
    found = numbers_of(easy_order_always)
    assert found["score_easy"] == 3.0
    assert found["score"] == pytest.approx(1 + 2 * same / LIMIT)
    assert found["regret"] == pytest.approx((3 - found["score"]) / 3)


@pytest.mark.parametrize("prompt", ["plan_and_solve", "least_to_most", "metacognitive"])
def test_the_oracle_scores_three_under_every_prompt(prompt):
    found = numbers_of(oracle, f"{TASK}_{prompt}")
    assert (found["score"], found["regret"]) == (3.0, 0.0)
