"""Problems asked alone: which they are, how they are scored, and their metrics against numbers worked out by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roi_bench.exams.exam import TIERS, Exam
from roi_bench.exams.sets import load_exams
from roi_bench.scoring.kinds import Attempt, solo_metrics_of, solo_problems
from roi_bench.scoring.metrics import exam_term
from roi_bench.scoring.outcomes import Response, TextFacts
from roi_bench.scoring.statistics import Estimate, estimate_ratio
from roi_bench.scoring.tokens import Usage
from tests.support.attempts import score_solo, solo_attempt
from tests.support.exam_factory import WordCounter, make_exam, respond
from tests.support.graders import EqualityGrader

EASY, MIDDLE, HARD = make_exam().problems  # answers 1, 2, 3


def metered(text: str | None, tokens: int, finish: Any = "stop") -> Response:
    return Response(text, Usage(tokens, finish, "generated"))


def with_hard_of(exam: Exam, other: Exam) -> Exam:
    """The exam with the hard problem of another one, as AIME problems are used again."""
    easy, middle, _ = exam.problems
    return replace(exam, problems=(easy, middle, other.problems[2]))


def test_each_problem_is_asked_once_in_the_order_in_which_exams_need_it() -> None:
    first, second, third = make_exam(0), make_exam(1), make_exam(2)
    found = solo_problems([second, with_hard_of(first, second), third])
    pools = [("gsm8k", 1), ("math", 1), ("aime", 1), ("gsm8k", 0), ("math", 0), ("gsm8k", 2), ("math", 2), ("aime", 2)]
    assert list(found) == [f"{pool}/made-up/{index}" for pool, index in pools]
    assert [tier for tier, _ in found.values()] == [
        "easy",
        "middle",
        "hard",
        "easy",
        "middle",
        "easy",
        "middle",
        "hard",
    ]
    assert all(problem.id == name for name, (_, problem) in found.items())
    assert solo_problems([]) == {}


@pytest.mark.parametrize("exam_set", ["tiny", "fresh"])
def test_generated_sets_share_no_problem(exam_set: str) -> None:
    exams = load_exams(exam_set)
    found = solo_problems(exams)
    assert list(found) == [problem.id for exam in exams for problem in exam.problems]
    assert Counter(tier for tier, _ in found.values()) == dict.fromkeys(TIERS, 480)


def test_the_frozen_set_has_990_problems_30_of_them_of_aime(data_dir: Path) -> None:
    exams = load_exams("v1", source=data_dir)
    found = solo_problems(exams)
    assert Counter(problem.pool for _, problem in found.values()) == {"gsm8k": 480, "math": 480, "aime": 30}
    assert len(solo_problems(exams[:30])) == 90  # the first exams use each AIME problem once
    assert len(solo_problems(exams[:60])) == 150


def test_responses_are_scored_by_problem_and_sample() -> None:
    attempts = [
        solo_attempt(HARD, "hard", 40, (metered(respond(["3"]), 30), metered(respond(["2"]), 31))),
        solo_attempt(EASY, "easy", 40, (metered(respond([None]), 40, "length"), Response(None))),
        solo_attempt(MIDDLE, "middle", 50, (metered(None, 50), metered(respond(["2"]), 41))),
        solo_attempt(MIDDLE, "middle", 40, (metered(respond(["2"]), 41), metered(respond(["NA"]), 5))),
    ]
    scored = score_solo(attempts, EqualityGrader())
    found = [[(one.problems[0].outcome, one.tokens, one.over_budget) for one in samples] for samples in scored]
    assert found == [
        [("correct", 30, False), ("wrong", 31, False)],
        [("truncated", 40, False), ("error", None, False)],
        [("empty", 50, False), ("correct", 41, False)],
        [("truncated", 41, True), ("skipped", 5, False)],
    ]
    assert [[one.failed for one in samples] for samples in scored] == [
        [False, False],
        [False, True],
        *[[False] * 2] * 2,
    ]
    asked = [(one.problems[0].problem_id, one.problems[0].tier, one.budget, len(one.problems)) for one, _ in scored]
    assert asked == [(s.document.problem.id, s.document.tier, s.budget, 1) for s in attempts]


def test_tokens_are_counted_where_the_text_is_whole() -> None:
    response = Response(respond(["1"]))  # 3 words of header, 2 of work, a box
    for is_whole, expected in ((True, 6), (False, None)):
        attempt = solo_attempt(EASY, "easy", 40, (response,), TextFacts(is_whole))
        for counter, tokens in ((WordCounter(), expected), (None, None)):
            (((one,)),) = score_solo([attempt], EqualityGrader(), counter)
            assert (one.tokens, one.problems[0].outcome) == (tokens, "correct")


def estimates(attempts: list[Attempt], pools: tuple[str, str, str] = ("gsm8k", "math", "aime")) -> dict[str, Estimate]:
    scored = score_solo(attempts, EqualityGrader())
    found = {}
    for metric in solo_metrics_of(pools):
        terms = [exam_term(metric, row, s.document.problem.id) for s, row in zip(attempts, scored, strict=True)]
        found[metric.name] = estimate_ratio([term for term in terms if term is not None])
    return found


def profile(*rows: tuple[int, str, list[tuple[str | None, int]]]) -> list[Attempt]:
    """Problems with their samples: index, tier and (answer, tokens); a cap of 100."""
    return [
        solo_attempt(
            make_exam(index).problems[TIERS.index(tier)],
            tier,
            100,
            tuple(metered(respond([answer]), n, "length" if n == 100 else "stop") for answer, n in samples),
        )
        for index, tier, samples in rows
    ]


def test_metrics_by_hand() -> None:
    """Ten samples are correct, four unanswered, three truncated, two skipped, one wrong."""
    found = estimates(
        profile(
            (0, "easy", [("1", 10), ("1", 20), ("1", 30), ("9", 40)]),
            (1, "easy", [("1", 5)] * 4),
            (0, "middle", [("NA", 6), ("NA", 6), (None, 30), (None, 40)]),
            (0, "hard", [(None, 100), (None, 100), (None, 100), ("3", 64)]),
            (1, "hard", [(None, 50), (None, 60), ("3", 70), ("3", 80)]),
        )
    )
    value = {name: estimate.value for name, estimate in found.items()}
    assert value == {
        "acc": 10 / 20,
        "gsm8k_acc": 7 / 8,
        "math_acc": 0.0,
        "aime_acc": 3 / 8,
        "wrong": pytest.approx(1 / 20),
        "skip_rate": pytest.approx(2 / 20),
        "truncated": pytest.approx(3 / 20),
        "unanswered": pytest.approx(4 / 20),
        "empty": 0.0,
        "unboxed": 0.0,
        "tokens": pytest.approx((25 + 5 + 20.5 + 91 + 65) / 5),
        "gsm8k_tokens": 15.0,
        "math_tokens": 20.5,
        "aime_tokens": 78.0,
        "error": 0.0,
    }
    deviations = [1 / 4, 1 / 2, -1 / 2, -1 / 4, 0]  # of each problem's accuracy from the mean, one cluster a problem
    assert found["acc"].stderr_general == pytest.approx((sum(d * d for d in deviations) / 4 / 5) ** 0.5)
    assert (found["acc"].clusters, found["gsm8k_acc"].clusters, found["math_acc"].clusters) == (5, 2, 1)


def test_a_response_that_could_not_be_had_counts_as_error_alone() -> None:
    attempts = profile((0, "easy", [("1", 10)] * 4), (1, "easy", [("1", 10)] * 4))
    lost = Response(None)
    attempts[1] = replace(attempts[1], responses=((lost, metered("", 90), *[metered(respond(["1"]), 10)] * 2),))
    attempts.append(solo_attempt(HARD, "hard", 100, (lost,) * 4))
    value = {name: estimate.value for name, estimate in estimates(attempts).items()}
    assert value["error"] == pytest.approx((0 + 1 / 4 + 1) / 3)
    assert value["acc"] == pytest.approx((1 + 2 / 3) / 2)
    assert value["empty"] == pytest.approx((0 + 1 / 3) / 2)
    assert value["aime_acc"] is value["aime_tokens"] is value["math_acc"] is None


def test_generated_pools_are_called_by_tier_and_no_metric_is_there_twice() -> None:
    generated = [metric.name for metric in solo_metrics_of(("tiny-easy", "tiny-middle", "tiny-hard"))]
    assert [name for name in generated if name.endswith("_acc")] == ["easy_acc", "middle_acc", "hard_acc"]
    assert [name for name in generated if name.endswith("_tokens")] == ["easy_tokens", "middle_tokens", "hard_tokens"]
    assert len(set(generated)) == len(generated)
    better = {metric.name: metric.higher_is_better for metric in solo_metrics_of(("gsm8k", "math", "aime"))}
    assert {name for name, up in better.items() if up} == {"acc", "gsm8k_acc", "math_acc", "aime_acc"}
    assert {name for name, up in better.items() if up is False} == {
        "wrong",
        "truncated",
        "unanswered",
        "empty",
        "error",
    }
