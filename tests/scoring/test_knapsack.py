"""Greedy knapsack: what is forecast, selected and paid, against numbers worked out by hand and against brute force."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.exams.exam import TIERS
from roi_bench.scoring.kinds import forecast_cost, pack, select
from roi_bench.scoring.metrics import Sample, ScoredResponse, exam_term
from roi_bench.scoring.outcomes import OUTCOMES, ProblemOutcome, Response, TextFacts
from roi_bench.scoring.statistics import estimate_ratio
from roi_bench.scoring.tokens import FinishReason, Usage
from tests.support.attempts import METRICS, knapsack_attempt, score_knapsack
from tests.support.exam_factory import WordCounter, make_exam, respond
from tests.support.graders import EqualityGrader

CASES = json.loads((Path(__file__).parents[1] / "cases" / "knapsack.json").read_text(encoding="utf-8"))
EXAM = make_exam()  # answers 1, 2, 3 in tier order; medium is E-H-M


def response(answer: str | None, level: int | None, tokens: int | None, budget: int = 512) -> Response:
    """A response to a problem asked alone, metered where ``tokens`` are given."""
    text = respond([answer], level=None if level is None else [level])
    finish: FinishReason = "length" if tokens is not None and tokens >= budget else "stop"
    return Response(text, None if tokens is None else Usage(tokens, finish, "generated"))


def written(answer: str, level: int, tokens: int) -> Response:
    """A response that takes ``tokens`` words: header 3, tag 1, work, box 1."""
    return Response(respond([answer], level=[level], work="w " * (tokens - 5)))


def sat(responses: list[Response], order: str = "hard", budget: int = 512, **more: Any) -> Sample:
    """One sample of one exam; responses in tier order."""
    counter = more.pop("counter", None)
    attempt = knapsack_attempt(EXAM, order, budget, tuple((one,) for one in responses), **more)
    ((sample,),) = score_knapsack([attempt], EqualityGrader(), counter)
    return sample


def shown(scored: ScoredResponse) -> list[list[object]]:
    return [[problem.outcome, problem.tokens] for problem in scored.problems]


def outcome(pool: str, level: int | None) -> ProblemOutcome:
    return ProblemOutcome(1, "id", "easy", pool, "correct", level, 0, 10, None)


@pytest.mark.parametrize(
    ("pool", "costs"), [("gsm8k", (128, 384, 768)), ("fresh-hard", (128, 384, 768)), ("tiny-middle", (16, 48, 96))]
)
def test_a_level_forecasts_the_middle_of_its_range(pool: str, costs: tuple[int, ...]) -> None:
    assert tuple(forecast_cost(outcome(pool, level)) for level in (0, 1, 2)) == costs
    assert forecast_cost(outcome(pool, None)) == costs[2]
    assert forecast_cost(outcome(pool, 3)) is None


@pytest.mark.parametrize(
    ("forecasts", "budget", "kept"),
    [
        ([], 10, set()),
        ([None, None, None], 10_000, set()),
        ([128, 128, 128], 383, {0, 1}),
        ([128, 128, 128], 384, {0, 1, 2}),
        ([384, 128, 384], 512, {0, 1}),
        ([768, 384, 128], 512, {1, 2}),
        ([768, None, 128], 800, {2}),
        ([768, 128, 128], 1024, {0, 1, 2}),
        ([16, 48, 96], 128, {0, 1}),
    ],
)
def test_select_by_hand(forecasts: list[int | None], budget: int, kept: set[int]) -> None:
    assert select(forecasts, budget) == kept


@given(st.lists(st.none() | st.integers(1, 12), max_size=7), st.integers(0, 60))
def test_select_keeps_as_many_as_possible_as_cheaply_as_possible_and_the_earlier(
    forecasts: list[int | None], budget: int
) -> None:
    """Ascending costs while they fit: no larger set fits, none as large is cheaper, none as cheap stands earlier."""
    costs = {index: cost for index, cost in enumerate(forecasts) if cost is not None}
    subsets = chain.from_iterable(combinations(costs, size) for size in range(len(costs) + 1))
    fitting = [subset for subset in subsets if sum(costs[index] for index in subset) <= budget]
    best = min(fitting, key=lambda subset: (-len(subset), sum(costs[index] for index in subset), subset))
    assert select(forecasts, budget) == set(best)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_golden_exams(case: dict[str, Any]) -> None:
    budget = case["budget"]
    scored = sat([response(*case[tier], budget) for tier in TIERS], case["order"], budget).main
    assert shown(scored) == case["expected"]
    assert scored.usage == Usage(sum(tokens for _, tokens in case["expected"]), case["finish"], "generated")
    assert (scored.budget, scored.planning, scored.over_budget, scored.failed) == (budget, 0, False, False)
    assert [problem.position for problem in scored.problems] == [1, 2, 3]
    assert tuple(problem.tier for problem in scored.problems) == EXAM.tiers(case["order"])
    assert [problem.problem_id for problem in scored.problems] == [p.id for p in EXAM.ordered(case["order"])]


def test_the_easy_order_is_put_together_from_the_same_answers() -> None:
    sample = sat([response("1", 0, 50), response("2", 0, 250), response("3", 0, 300)])
    assert shown(sample.main) == [["correct", 300], ["truncated", 212], ["truncated", 0]]
    assert shown(sample.easy) == [["correct", 50], ["correct", 250], ["truncated", 212]]
    assert (sample.main.score, sample.easy.score, sample.failed) == (1, 2, False)


def test_levels_stay_and_only_what_was_attempted_has_an_actual_one() -> None:
    answers = [written("1", 2, 300), written("2", 3, 600), written("3", 1, 200)]
    hard, middle, easy = sat(answers, budget=1024, counter=WordCounter()).main.problems  # 384 + 768 do not fit
    assert (hard.outcome, hard.tokens, hard.level, hard.actual_level) == ("correct", 200, 1, 0)
    assert (middle.outcome, middle.tokens, middle.level, middle.actual_level) == ("skipped", 0, 3, None)
    assert (easy.outcome, easy.tokens, easy.level, easy.actual_level) == ("skipped", 0, 2, None)
    answers = [written("1", 0, 300), written("2", 0, 400), written("3", 0, 20)]
    cut = sat(answers, "easy", counter=WordCounter()).main.problems[1]
    assert (cut.outcome, cut.tokens, cut.level, cut.actual_level) == ("truncated", 212, 0, 1)  # of its 400 tokens
    assert [one.actual_level for one in sat([response("1", 0, 40)] * 3).main.problems] == [0] * 3  # metered: no counter
    hidden = Response(respond(["1"], level=[1]), Usage(650, "stop", "provider"))  # most of it in hidden reasoning
    levels = [one.actual_level for one in sat([hidden] * 3, budget=2000, counter=WordCounter()).main.problems]
    assert levels == [2, 2, 2]


def test_text_counted_again_has_its_slack_and_a_skip_no_method() -> None:
    answers = [written("1", 0, 515), written("2", 3, 40), written("3", 3, 40)]
    hard, middle, easy = sat(answers, counter=WordCounter()).main.problems
    assert (easy.outcome, easy.tokens, hard.outcome, middle.method) == ("correct", 515, "skipped", None)
    answers[0] = written("1", 0, 535)
    assert sat(answers, counter=WordCounter()).main.problems[2].outcome == "truncated"


def test_an_answer_that_its_own_cap_cut_off_ends_the_exam_by_length() -> None:
    cut = Response("### Problem 1\n<predicted_level>Level-0</predicted_level>\nwork", Usage(512, "length", "generated"))
    scored = sat([response("1", 3, 40), response("2", 3, 40), cut]).main
    assert (scored.problems[0].outcome, scored.usage) == ("truncated", Usage(512, "length", "generated"))


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("level", [0, 3])
def test_an_answer_that_nobody_can_pay_for_fails_the_exam(lost: int, level: int) -> None:
    """Even one that would not have been kept: with its tokens or its text it might have been another exam."""
    answers = [response(answer, 0, 40) for answer in "123"]
    for gap in (Response(None), response("1", level, None)):
        answers[lost] = gap
        sample = sat(answers)
        assert sample.failed
        for scored in (sample.main, sample.easy):
            assert shown(scored) == [["error", None]] * 3
            assert (scored.tokens, scored.usage, scored.planning, scored.failed) == (None, None, None, True)
            assert [problem.actual_level for problem in scored.problems] == [None] * 3
    assert sample.main.problems[2 - lost].level == level


def test_text_is_counted_where_it_is_whole_and_usage_is_unknown() -> None:
    answers = [response(answer, 0, None) for answer in "123"]  # 3 words of header, a tag, 2 of work, a box: 7
    sample = sat(answers, counter=WordCounter())
    assert shown(sample.main) == [["correct", 7]] * 3
    assert sample.main.usage == Usage(21, "stop", "retokenized")
    assert sat(answers).failed
    assert sat(answers, counter=WordCounter(), texts=TextFacts(whole=False)).failed
    metered = [response(answer, 0, 30) for answer in "123"]
    assert shown(sat(metered, counter=WordCounter(), texts=TextFacts(whole=False)).main) == [["correct", 30]] * 3


def test_hidden_reasoning_without_a_text_is_paid_as_level_2() -> None:
    hidden = Response(None, Usage(200, "stop", "provider"))
    sample = sat([response("1", 0, 40), response("2", 3, 40), hidden], budget=1024)
    assert shown(sample.main) == [["empty", 200], ["skipped", 0], ["correct", 40]]
    assert shown(sat([response("1", 0, 40), response("2", 3, 40), hidden]).main)[0] == ["skipped", 0]


def test_samples_and_exams_are_kept_apart() -> None:
    other = make_exam(1, answers=("4", "5", "6"))
    right, wrong = ([response(answer, 0, tokens) for answer in answers] for answers, tokens in (("123", 7), ("999", 9)))
    two = tuple(zip(right, wrong, strict=True))  # per problem: first sample right, second wrong
    one = tuple((response(answer, 0, 20),) for answer in "459")
    first, second = score_knapsack(
        [knapsack_attempt(EXAM, "hard", 512, two), knapsack_attempt(other, "medium", 512, one)], EqualityGrader()
    )
    assert [sample.main.score for sample in first] == [3, 0]
    assert [sample.main.tokens for sample in first] == [21, 27]
    assert [[problem.outcome for problem in sample.main.problems] for sample in second] == [
        ["correct", "correct", "wrong"]  # M-E-H
    ]
    assert [problem.tier for problem in second[0].main.problems] == ["middle", "easy", "hard"]


def test_the_metrics_of_a_packed_exam_by_hand() -> None:
    loose = [written("1", 0, 50), written("2", 0, 250), written("3", 1, 300)]
    tight = [written("1", 0, 50), written("2", 0, 250), written("3", 0, 300)]  # 300 in front: 212 left for 250
    attempts = [knapsack_attempt(EXAM, "hard", budget, tuple((one,) for one in answers))
                for budget, answers in ((1024, loose), (512, tight))]  # fmt: skip
    rows = score_knapsack(attempts, EqualityGrader(), WordCounter())
    found = {
        name: estimate_ratio([term for row in rows if (term := exam_term(metric, row, "c")) is not None]).value
        for name, metric in METRICS.items()
    }
    assert (found["score"], found["score_easy"], found["regret"]) == (2, 2.5, pytest.approx(1 / 5))
    assert (found["p1_acc"], found["p2_acc"], found["p3_acc"]) == (1, 0.5, 0.5)
    assert (found["aime_acc"], found["math_acc"], found["gsm8k_acc"]) == (1, 0.5, 0.5)
    assert (found["tokens"], found["p1_tokens"], found["p2_tokens"], found["p3_tokens"]) == (556, 300, 231, 25)
    assert found["budget_use"] == pytest.approx((600 / 1024 + 1) / 2)
    assert (found["planning_tokens"], found["over_budget"], found["error"]) == (0, 0, 0)
    assert (found["truncated"], found["correct"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (found["level_acc"], found["level_mae"]) == (pytest.approx(5 / 6), pytest.approx(1 / 6))


ANSWERS = st.tuples(
    st.sampled_from(["1", "2", "3", "NA", None]), st.sampled_from([None, 0, 1, 2, 3]), st.integers(0, 1100)
)


@given(st.tuples(ANSWERS, ANSWERS, ANSWERS), st.sampled_from(["easy", "medium", "hard"]), st.integers(1, 1200))
def test_invariants(answers: tuple[Any, Any, Any], order: str, budget: int) -> None:
    sample = sat([response(*answer, budget) for answer in answers], order, budget)
    for scored, asked in ((sample.main, order), (sample.easy, "easy")):
        alone = [answers[tier] for tier in EXAM.permutation(asked)]
        tokens = [problem.tokens or 0 for problem in scored.problems]
        assert scored.tokens == sum(tokens) <= budget
        assert min(tokens) >= 0
        assert [problem.level for problem in scored.problems] == [level for _, level, _ in alone]
        cut = False
        for problem, (_, level, own) in zip(scored.problems, alone, strict=True):
            assert problem.outcome in OUTCOMES
            assert problem.outcome != "error"
            assert level != 3 or (problem.outcome, problem.tokens) == ("skipped", 0)
            if problem.tokens == own:
                continue  # paid in full
            assert problem.outcome in ("skipped", "truncated")
            if problem.outcome == "truncated":
                assert problem.tokens == (0 if cut else budget - sum(tokens[: problem.position - 1])) < own
                cut = True
        assert scored.usage is not None
        assert scored.usage.finish_reason == "length" or not cut
        said = {name: exam_term(metric, [sample], "c") for name, metric in METRICS.items()}
        names = ["skip_rate" if name == "skipped" else name for name in OUTCOMES if name != "error"]
        assert sum(said[name].numerator for name in names if said[name]) == pytest.approx(1)  # type: ignore[union-attr]
        assert len([name for name in names if said[name]]) == 6


def test_pack_is_of_the_order_it_is_asked_for() -> None:
    usage = Usage(40, "stop", "provider")
    alone = [
        ScoredResponse((replace(one, position=1),), 512, usage, 0, over_budget=False, failed=False)
        for one in sat([response(answer, 0, 40) for answer in "123"]).easy.problems
    ]
    for order, tiers in (("easy", "emh"), ("medium", "ehm"), ("hard", "hme")):
        packed = pack(EXAM, order, alone)
        assert "".join(problem.tier[0] for problem in packed.problems) == tiers
        assert packed.usage == Usage(120, "stop", "provider")
