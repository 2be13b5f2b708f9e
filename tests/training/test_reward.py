"""What constructed responses earn: every outcome with every forecast, and what a cut leaves."""

from __future__ import annotations

from itertools import product

import pytest

from roi_bench.exams.exam import ORDERS, TIERS
from roi_bench.exams.tiny import tiny_training_exams
from roi_bench.grading.grader import shared_grader
from roi_bench.rewards import Reward, problem_reward, rollout_of, score_rollouts, total_reward
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.tokens import Usage
from tests.support.outcomes import outcome
from tests.training.tiny_labels import HEAD, counter, token_count

EXAM = tiny_training_exams(seed=11, count=1)[0]
FULL, CORRECT_ONLY = Reward(), Reward(level=False)
LEVEL = dict(zip(TIERS, (0, 1, 2), strict=True))
"""Levels of the worked solutions: 14–18, 38–54 and 110–126 tokens."""

WORKS = ("right", "wrong", "skipped")
TAGS = ("right", "other", "missing", "Level-3")


def segment(order, position, work, tag):
    problem, tier = EXAM.ordered(order)[position - 1], EXAM.tiers(order)[position - 1]
    level = {"right": LEVEL[tier], "other": (LEVEL[tier] + 1) % 3, "Level-3": 3, "missing": None}[tag]
    lines = [f"### Problem {position}"]
    if level is not None:
        lines.append(f"<predicted_level>Level-{level}</predicted_level>")
    head, _, answer = problem.solution.rpartition("\n")
    lines.append({"right": f"{head}\n{answer}", "wrong": f"{head}\n\\boxed{{x}}", "skipped": "\\boxed{NA}"}[work])
    return "\n".join(lines) + "\n"


def response(order, parts):
    """A response of the given ``(work, tag)`` by position, generated to its end."""
    text = "".join(segment(order, position, *part) for position, part in enumerate(parts, start=1))
    return Response(text, Usage(token_count(text) + 1, "stop", "generated"))


def cut(order, parts, tokens):
    """The first ``tokens`` tokens of such a response: the budget ended it."""
    text, _ = counter().cut(response(order, parts).text, tokens)
    return Response(text, Usage(tokens, "length", "generated"))


def rewards(*responses, order="easy", budget=256, settings=FULL):
    rollouts = [rollout_of(EXAM, order, budget, item) for item in responses]
    return [total_reward(scored, settings) for scored in score_rollouts(rollouts, shared_grader(), counter())]


def expected(work, tag, settings=FULL):
    """The rule in the issue's words, written down again as a table."""
    if work == "skipped":
        return 0.0 if tag == "Level-3" else -0.25
    if work == "wrong":
        return 0.0
    return 1.0 if tag == "right" or not settings.level else 0.0


@pytest.mark.parametrize("settings", [FULL, CORRECT_ONLY], ids=["full", "correct-only"])
@pytest.mark.parametrize("order", ORDERS)
def test_every_outcome_with_every_forecast_at_every_position(order, settings):
    """Each combination in turn, the other two problems skipped as they should be."""
    for position, work, tag in product((1, 2, 3), WORKS, TAGS):
        parts = [("skipped", "Level-3")] * 3
        parts[position - 1] = (work, tag)
        assert rewards(response(order, parts), order=order, settings=settings) == [expected(work, tag, settings)]


@pytest.mark.parametrize("settings", [FULL, CORRECT_ONLY], ids=["full", "correct-only"])
def test_the_reward_of_an_exam_is_the_sum_of_its_problems(settings):
    cases = list(product(product(WORKS, TAGS), repeat=3))[::17]  # steps through all first, second and third parts
    found = rewards(*[response("medium", parts) for parts in cases], order="medium", settings=settings)
    assert found == [sum(expected(*part, settings) for part in parts) for parts in cases]
    assert {-0.75, 0.0, 1.0} <= set(found)


def test_all_right_earns_3_in_every_order():
    for order in ORDERS:
        assert rewards(response(order, [("right", "right")] * 3), order=order) == [3.0]


def test_the_price_of_a_format_fault_is_a_setting():
    faulty = response("easy", [("skipped", "other"), ("skipped", "missing"), ("skipped", "Level-3")])
    assert rewards(faulty) == [-0.5]
    assert rewards(faulty, settings=Reward(format_fault=1.0)) == [-2.0]
    assert rewards(faulty, settings=Reward(format_fault=0.0)) == [0.0]
    assert rewards(faulty, settings=Reward(level=False, format_fault=0.1)) == [-0.2]


def test_the_level_is_that_of_the_tokens_really_spent():
    """The same tag and answer, with idle work in between: what was right is wrong now."""
    right = segment("easy", 1, "right", "right")
    padded = right.replace("\\boxed", " 7" * 20 + "\n\\boxed")
    rest = segment("easy", 2, "skipped", "Level-3") + segment("easy", 3, "skipped", "Level-3")
    made = [Response(text + rest, Usage(token_count(text + rest) + 1, "stop", "generated")) for text in (right, padded)]
    assert rewards(*made) == [1.0, 0.0]
    assert rewards(*made, settings=CORRECT_ONLY) == [1.0, 1.0]


# ----------------------------------------------------------------- cut by the budget


def test_a_truncated_response_keeps_what_it_solved_before_the_cut():
    parts = [("right", "right")] * 3
    easy, middle = token_count(segment("easy", 1, *parts[0])), token_count(segment("easy", 2, *parts[1]))
    for tokens, reward in (
        (easy + middle + 40, 2.0),  # in the third
        (easy + middle, 2.0),
        (easy + 10, 1.0),  # in the second
        (easy - 3, 0.0),  # before the first answer was closed
        (1, 0.0),
    ):
        assert rewards(cut("easy", parts, tokens), budget=tokens) == [reward], tokens


def test_a_cut_in_a_forecast_or_before_na_is_no_format_fault():
    parts = [("right", "right"), ("skipped", "other"), ("skipped", "other")]
    easy = token_count(segment("easy", 1, *parts[0]))
    for more, reward in ((HEAD, 1.0), (HEAD + 2, 1.0), (HEAD + 3, 0.75)):  # tag; open box with NA; closed box
        assert rewards(cut("easy", parts, easy + more), budget=easy + more) == [reward]


def test_the_hard_problem_first_eats_the_budget():
    parts = [("right", "right")] * 3
    assert rewards(cut("hard", parts, 128), order="hard", budget=128) == [1.0]
    skipping = [("skipped", "Level-3"), ("right", "right"), ("right", "right")]
    assert rewards(response("hard", skipping), order="hard", budget=128) == [2.0]


def test_a_response_over_its_budget_earns_nothing():
    whole = response("easy", [("right", "right")] * 3)
    assert rewards(whole, budget=whole.usage.tokens) == [3.0]
    assert rewards(whole, budget=whole.usage.tokens - 1) == [0.0]


def test_no_text_earns_nothing():
    assert rewards(Response("", Usage(1, "stop", "generated")), Response("\n", Usage(256, "length", "generated"))) == [
        0.0,
        0.0,
    ]


def test_an_answer_without_headers_is_no_skip():
    assert rewards(Response("no idea", Usage(3, "stop", "generated"))) == [0.0]


# ----------------------------------------------------------------- the rule on single outcomes


@pytest.mark.parametrize("level", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("actual", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("what", ["correct", "wrong", "skipped", "truncated", "unanswered", "empty", "error"])
def test_the_rule(what, level, actual):
    reward = problem_reward(outcome(what, level, actual), FULL)
    if what == "skipped":
        assert reward == (0.0 if level == 3 else -0.25)
    elif what == "correct" and level is not None and level == actual:
        assert reward == 1.0
    else:
        assert reward == 0.0
    if what != "skipped":
        assert problem_reward(outcome(what, level, actual), CORRECT_ONLY) == float(what == "correct")
