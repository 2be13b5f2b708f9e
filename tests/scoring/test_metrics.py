"""Metrics against numbers worked out by hand, and their invariants."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.scoring.kinds import Attempt
from roi_bench.scoring.metrics import ERROR, NO_ANSWER, Sample, answers_read, exam_term, range_of
from roi_bench.scoring.outcomes import OUTCOMES, Response, TextFacts
from roi_bench.scoring.statistics import Estimate, estimate_ratio
from roi_bench.scoring.tokens import Usage
from tests.support.attempts import METRICS, exam_attempt, score_exams
from tests.support.exam_factory import WordCounter, make_exam, respond
from tests.support.graders import EqualityGrader


def estimates(attempts: list[Attempt], counted: bool = True) -> dict[str, Estimate]:
    scored = score_exams(attempts, EqualityGrader(), WordCounter() if counted else None)
    found = {}
    for name, metric in METRICS.items():
        terms = [exam_term(metric, samples, s.document.cluster) for s, samples in zip(attempts, scored, strict=True)]
        found[name] = estimate_ratio([term for term in terms if term is not None])
    return found


def attempt(index: int, hard: list[str | None], easy: list[str | None], budget: int = 1000) -> Attempt:
    """One sample; answers by position; the right ones are 3, 2, 1 (hard order) and 1, 2, 3 (easy order)."""
    return exam_attempt(make_exam(index), "hard", budget, (Response(respond(hard)),), (Response(respond(easy)),))


def test_by_hand() -> None:
    found = estimates(
        [
            attempt(0, ["NA", "2", "1"], ["1", "2", "NA"]),  # 2 of 3; easy 2
            attempt(1, ["9", "2", None], ["1", "2", "3"]),  # 1; easy 3
            attempt(2, ["3", "2", "1"], ["1", "9", "9"]),  # 3; easy 1
        ]
    )
    assert found["score"].value == pytest.approx(2)
    assert found["score_easy"].value == pytest.approx(2)
    assert found["regret"].value == pytest.approx(0)
    assert found["p1_acc"].value == pytest.approx(1 / 3)
    assert found["p2_acc"].value == 1.0
    assert found["p3_acc"].value == pytest.approx(2 / 3)
    assert found["gsm8k_acc"].value == pytest.approx(2 / 3)
    assert found["aime_acc"].value == pytest.approx(1 / 3)
    assert found["skip_rate"].value == pytest.approx(1 / 9)
    assert found["wrong"].value == pytest.approx(1 / 9)
    assert found["unanswered"].value == pytest.approx(1 / 9)
    assert found["level_acc"].value is None
    # header 3 words, work 2, box 1 → 6 a problem, 5 without a box
    assert found["tokens"].value == pytest.approx((18 + 17 + 18) / 3)
    assert found["p3_tokens"].value == pytest.approx((6 + 5 + 6) / 3)
    assert found["planning_tokens"].value == 0
    assert found["budget_use"].value == pytest.approx((18 + 17 + 18) / 3000)


def test_regret_is_a_ratio_of_sums_not_a_mean_of_ratios() -> None:
    found = estimates([attempt(0, ["9", "9", "1"], ["1", "2", "3"]), attempt(1, ["9", "9", "9"], ["9", "9", "9"])])
    assert found["regret"].value == pytest.approx((3 - 1) / 3)
    nothing = estimates([attempt(1, ["9", "9", "9"], ["9", "9", "9"])])
    assert nothing["regret"].value is None
    assert nothing["score"].value == 0


def test_repeats_are_averaged_within_the_exam() -> None:
    exam = make_exam()
    right, wrong = Response(respond(["3", "2", "1"])), Response(respond(["9", "9", "9"]))
    easy = Response(respond(["1", "2", "3"]))
    found = estimates([exam_attempt(exam, "hard", 1000, (right, wrong, wrong, wrong), (easy,) * 4)])
    assert found["score"].value == pytest.approx(0.75)
    assert found["regret"].value == pytest.approx(0.75)
    assert found["score"].exams == 1


def test_a_sample_without_levels_weighs_nothing_not_less() -> None:
    tagged = Response(respond(["3", "2", "1"], level=[0, 0, 0]))
    untagged, easy = Response(respond(["3", "2", "1"])), Response(respond(["1", "2", "3"]))
    wrong = Response(respond(["3", "2", "1"], level=[2, 2, 2]))
    rows = [(tagged, untagged, untagged, untagged), (wrong,) * 4]
    found = estimates([exam_attempt(make_exam(i), "hard", 1000, row, (easy,) * 4) for i, row in enumerate(rows)])
    assert found["level_acc"].value == pytest.approx(3 / 15)  # 3 right of 3 + 12 levels


def test_unboxed_is_a_share_of_the_graded_answers() -> None:
    """Three lines of five graded answers in two exams; the easy order, a skip and a cut one say nothing."""
    exam, (both,) = make_exam(), score_exams([attempt(0, ["3", "2", "1"], ["1", "2", "3"])], EqualityGrader())
    first, second, third = both[0].main.problems
    line, skipped = replace(first, answered_by="line"), replace(third, outcome="skipped", answered_by="line")
    cut = replace(second, outcome="truncated", answer=None, answered_by=None)
    rows = [
        replace(both[0], main=replace(both[0].main, problems=(line, replace(line, outcome="wrong"), third))),
        replace(both[0], main=replace(both[0].main, problems=(line, skipped, replace(second, outcome="wrong")))),
        replace(both[0], main=replace(both[0].main, problems=(cut, skipped, cut))),
    ]
    terms = [exam_term(METRICS["unboxed"], [row], exam.cluster) for row in rows]
    assert terms[2] is None
    assert estimate_ratio([term for term in terms if term is not None]).value == pytest.approx(3 / 5)
    boxed = [exam_term(METRICS["unboxed"], [sample], exam.cluster) for sample in both]
    assert estimate_ratio([term for term in boxed if term is not None]).value == 0


def test_stripped_reasoning_leaves_no_token_numbers_unless_metered() -> None:
    exam, easy = make_exam(), Response(respond(["1", "2", "3"]), Usage(90, "stop", "generated"))
    for usage, expected in ((None, None), (Usage(400, "stop", "generated"), 400)):
        row = exam_attempt(
            exam, "hard", 1000, (Response(respond(["3", "2", "1"]), usage),), (easy,), texts=TextFacts(whole=False)
        )
        found = estimates([row])
        assert found["tokens"].value == expected
        assert found["planning_tokens"].value == (None if expected is None else 400 - 18 - 1)
        assert found["score"].value == 3


def test_a_failed_request_is_never_scored_as_wrong() -> None:
    exam, lost = make_exam(), Response(None)
    full = Response(respond(["3", "2", "1"])), Response(respond(["1", "2", "3"]))
    for main, easy in ((lost, full[1]), (full[0], lost), (lost, lost)):
        found = estimates(
            [exam_attempt(exam, "hard", 1000, (main,), (easy,)), attempt(1, ["3", "2", "1"], ["1", "2", "3"])]
        )
        assert found["score"].value == 3.0
        assert found["score"].exams == 1
        assert found["wrong"].value == 0
        assert found["error"].value == 0.5


def test_over_budget_is_counted_and_worth_nothing() -> None:
    long = Response(respond(["3", "2", "1"]), Usage(101, "length", "generated"))
    easy = Response(respond(["1", "2", "3"]), Usage(100, "stop", "generated"))
    found = estimates([exam_attempt(make_exam(), "hard", 100, (long,), (easy,))])
    assert (found["score"].value, found["over_budget"].value, found["score_easy"].value) == (0, 1, 3)


ANSWERS = st.lists(st.sampled_from(["1", "2", "3", "NA", None]), min_size=3, max_size=3)


@given(st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=8), st.booleans())
def test_invariants(rows: list[tuple[list[str | None], list[str | None]]], counted: bool) -> None:
    found = estimates([attempt(i, hard, easy) for i, (hard, easy) in enumerate(rows)], counted)
    value = {name: estimate.value for name, estimate in found.items()}
    shares = [value["skip_rate" if name == "skipped" else name] for name in OUTCOMES if name != "error"]
    assert sum(x for x in shares if x is not None) == pytest.approx(1)
    score = value["score"]
    assert score is not None
    assert 0 <= score <= 3
    assert score == pytest.approx(sum(value[f"p{k}_acc"] or 0 for k in (1, 2, 3)))
    assert score == pytest.approx(sum(value[f"{pool}_acc"] or 0 for pool in ("gsm8k", "math", "aime")))
    assert score == pytest.approx(3 * (value["correct"] or 0))
    if value["regret"] is not None:
        assert value["regret"] <= 1


def test_a_sample_without_any_response_says_nothing_but_error() -> None:
    scored = score_exams(
        [exam_attempt(make_exam(), "hard", 10, (Response(None),), (Response(None),))], EqualityGrader()
    )
    samples: tuple[Sample, ...] = scored[0]
    said = {name for name, metric in METRICS.items() if exam_term(metric, samples, "c") is not None}
    assert said == {ERROR.name}


SEEN = [
    ("I think it is three.", ("no_header", "no_header", "no_header")),
    (r"\boxed{9}", (None, "few_boxes", "few_boxes")),
    ("", ("nothing", "nothing", "nothing")),
    ("<think>hm</think>", ("reasoning", "reasoning", "reasoning")),
    ("### Problem 1\nwork\n### Problem 2\n\\boxed{}", ("no_box", "no_box", "never_begun")),
    ("### Problem 1\n\\boxed{NA}\n### Problem 2\n\\boxed{9}\n### Problem 3\nwork", ("na", None, "no_box")),
    ("### Problem 1\nNA\n### Problem 2\nNA\n### Problem 3\nNA", ("only_na", "only_na", "only_na")),
]
"""Response, and what is seen of each problem in place of an answer (None: an answer)."""


@pytest.mark.parametrize(("text", "seen"), SEEN)
def test_what_is_seen_where_there_is_no_answer(text: str, seen: tuple[str | None, ...]) -> None:
    responses = (Response(text, Usage(9, "stop", "generated") if text else None),)
    ((sample,),) = score_exams([exam_attempt(make_exam(), "hard", 100, responses, responses)], EqualityGrader())
    assert tuple(sample.main.no_answer(problem) for problem in sample.main.problems) == seen
    assert set(seen) - {None} <= NO_ANSWER.keys()
    assert [one.get("seen") for one in answers_read([sample])[0][0]] == list(seen)


@pytest.mark.parametrize(("tokens", "seen"), [(100, "cut_off"), (500, "over_budget")])
def test_what_the_budget_ended_is_seen(tokens: int, seen: str) -> None:
    responses = (Response("### Problem 1\nwork", Usage(tokens, "length", "generated")),)
    ((sample,),) = score_exams([exam_attempt(make_exam(), "hard", 100, responses, responses)], EqualityGrader())
    assert [sample.main.no_answer(problem) for problem in sample.main.problems] == [seen] * 3
    assert [one["problem"] for one in answers_read([sample])[1][0]] == [p.id for p in make_exam().ordered("easy")]


def test_metrics_have_possible_values() -> None:
    ranges = {name: range_of(name) for name in METRICS}
    assert (ranges["score"], ranges["regret"], ranges["level_mae"]) == ((0, 3), (None, 1), (0, 3))
    shares = {name for name, found in ranges.items() if found == (0, 1)}
    assert shares == {name for name, metric in METRICS.items() if metric.meaning.endswith(", 0–1")} | {
        *("p1_acc", "p2_acc", "p3_acc", "gsm8k_acc", "math_acc", "aime_acc")
    }
    assert {name for name in METRICS if ranges[name] == (0, None)} == {
        *("tokens", "p1_tokens", "p2_tokens", "p3_tokens", "planning_tokens", "budget_use")
    }
