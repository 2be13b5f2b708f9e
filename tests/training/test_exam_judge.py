"""The judge of RARL on constructed token ids: what it pays, what it counts, and the numbers made of that, by hand."""

from __future__ import annotations

from itertools import count

import pytest

from roi_bench.exams.tiny import tiny_training_exams
from roi_bench.rewards import Reward, RolloutRecord, generated_response, record_of, training_numbers
from roi_bench.scoring.metrics import ScoredResponse
from roi_bench.scoring.outcomes import Response
from roi_bench.scoring.tokens import Usage
from roi_bench.training.rarl.budget_trainer import ExamJudge, Judged, held_out_numbers
from tests.support.outcomes import outcome
from tests.training.tiny_labels import token_count, tokenizer

EXAMS = tiny_training_exams(seed=11, count=3)


def judge(**settings):
    return ExamJudge(EXAMS, Reward(**settings), tokenizer())


def ids(text):
    return tokenizer().encode(text, add_special_tokens=False)


def end():
    return tokenizer().eos_token_id


def worked(exam, order, levels, skip=()):
    """A response that works all problems but those in ``skip``, with the given forecasts."""
    parts = []
    for index, (problem, level) in enumerate(zip(EXAMS[exam].ordered(order), levels, strict=True)):
        work = "\\boxed{NA}" if index in skip else problem.solution
        parts.append(f"### Problem {index + 1}\n<predicted_level>Level-{level}</predicted_level>\n{work}\n")
    return "".join(parts)


# ----------------------------------------------------------------- ids to response


def response(tokens, budget):
    return generated_response(tokens, budget, tokenizer())


def test_a_response_that_ended_by_itself():
    tokens = ids("9 1 +5\n\\boxed{14}")
    assert response([*tokens, end()], 128) == Response(
        "9 1 +5\n\\boxed{14}", Usage(len(tokens) + 1, "stop", "generated")
    )


def test_a_response_at_the_boundary_of_its_budget():
    tokens = ids("9 1 +5\n\\boxed{14}")
    budget = len(tokens)
    ended = response([*tokens[:-1], end()], budget)  # its end is the last token that the budget allows
    assert ended == Response("9 1 +5\n\\boxed{14", Usage(budget, "stop", "generated"))
    cut = response(tokens, budget)
    assert cut == Response("9 1 +5\n\\boxed{14}", Usage(budget, "length", "generated"))
    late = response([*tokens, end()], budget)  # the end would have been one token too many
    assert late == cut
    assert response([*tokens, *tokens], budget) == cut
    assert response([*tokens, end()], budget + 1).usage == Usage(budget + 1, "stop", "generated")


def test_padding_is_an_end_too():
    assert response([*ids("9 1"), tokenizer().pad_token_id], 3).usage.finish_reason == "stop"


def test_a_response_without_tokens():
    assert response([], 128) == Response("", Usage(0, "stop", "generated"))


# ----------------------------------------------------------------- rewards


def test_rewards_come_in_the_order_of_the_responses_each_for_its_own_exam_order_and_budget():
    right, skipping = worked(0, "easy", (0, 1, 2)), worked(1, "hard", (3, 1, 0), skip=(0,))
    texts = [right, skipping, right, right]
    tokens = [[*ids(text), end()] for text in texts]
    rows = {"exam": [0, 1, 2, 0], "order": ["easy", "hard", "easy", "easy"], "budget": [256, 128, 256, 128]}
    found = judge().reward(completion_ids=tokens, **rows, prompts=[""] * 4, completions=texts, trainer_state=None)
    assert found == [3.0, 2.0, 0.0, 2.0]  # all; two and a skip; another exam's answers; the third did not fit
    assert (
        judge(level=False).reward(tokens, [0, 1, 2, 0], ["easy", "hard", "easy", "easy"], [256, 128, 256, 128]) == found
    )
    assert all(isinstance(value, float) for value in found)


def test_a_budget_below_what_was_generated_cuts_the_response():
    """TRL generates to the largest budget of a batch; the smaller one of an exam holds all the same."""
    text = worked(0, "easy", (0, 1, 2))
    first = token_count(text.partition("### Problem 2")[0])
    tokens = [*ids(text), end()]
    found = judge().reward([tokens] * 3, [0] * 3, ["easy"] * 3, [first, first - 3, len(tokens)])
    assert found == [1.0, 0.0, 3.0]


def test_metrics_of_a_batch_are_logged():
    logged = {}
    texts = [worked(0, "easy", (0, 1, 2)), worked(0, "easy", (0, 1, 3), skip=(2,))]
    judge().reward(
        [[*ids(text), end()] for text in texts], [0, 0], ["easy"] * 2, [256] * 2, log_metric=logged.__setitem__
    )
    assert logged == {
        "score": 2.5, "truncated": 0.0, "skip_rate_easy": 0.0, "skip_rate_middle": 0.0, "skip_rate_hard": 0.5,
        "level_accuracy": 1.0,
    }  # fmt: skip


def test_what_was_counted_is_taken_once():
    made = judge()
    tokens = [*ids(worked(0, "hard", (2, 0, 3), skip=(2,))), end()]
    made.reward([tokens], [0], ["hard"], [256])
    made.reward([tokens[:40]], [0], ["hard"], [40])
    (*row, whole), (*other, cut) = made.take_judged()
    assert (row, other) == ([0, "hard", 256], [0, "hard", 40])
    # Level-0 for the middle problem is a wrong forecast; the easy one, skipped, has no level to be right about
    assert whole == RolloutRecord(2, ("easy",), ((2, 2), (0, 1)), truncated=False)
    assert cut == RolloutRecord(0, (), ((2, 1),), truncated=True)
    assert made.take_judged() == []


# ----------------------------------------------------------------- numbers


def test_count_keeps_levels_of_attempts_only():
    outcomes = (outcome("correct", 0, 0), outcome("skipped", 2, None), outcome("truncated", None, 2))
    scored = ScoredResponse(outcomes, 128, None, None, over_budget=False, failed=False)
    assert record_of(scored) == RolloutRecord(1, ("easy",), ((0, 0),), truncated=False)


def counted(order, budget, correct, skipped=(), levels=(), truncated=False):
    return Judged(next(NUMBERS), order, budget, RolloutRecord(correct, tuple(skipped), tuple(levels), truncated))


NUMBERS = count()
"""Each response is to another exam."""


BATCH = [
    counted("hard", 128, 2, ["hard"], [(0, 0), (1, 2)]),
    counted("hard", 128, 0, ["hard", "easy"], [], truncated=True),
    counted("hard", 128, 1, [], [(0, 0), (1, 1), (2, 2)], truncated=True),
    counted("hard", 128, 1, [], []),
]


def numbers_of(judged):
    return training_numbers([one.record for one in judged])


def test_training_numbers_by_hand():
    assert numbers_of(BATCH) == {
        "score": 1.0, "truncated": 0.5, "skip_rate_easy": 0.25, "skip_rate_middle": 0.0, "skip_rate_hard": 0.5,
        "level_accuracy": 0.8,
    }  # fmt: skip


def test_without_levels_there_is_no_level_accuracy():
    assert "level_accuracy" not in numbers_of(BATCH[1:2])
    assert numbers_of([]) == {}


def test_held_out_numbers_by_hand():
    easy = [counted("easy", 128, value) for value in (2, 1, 2, 3)]
    loose = [counted("hard", 256, 3), counted("hard", 256, 2), counted("easy", 256, 2), counted("easy", 256, 2)]
    numbers = held_out_numbers([*BATCH, *easy, *loose])
    assert numbers["held_out"] == pytest.approx((1 + 2 + 2.5 + 2) / 4)
    assert numbers["score_128"] == 1.0
    assert numbers["score_easy_128"] == 2.0
    assert numbers["regret_128"] == pytest.approx(0.5)
    assert numbers["score_256"] == 2.5
    assert numbers["regret_256"] == pytest.approx(-0.25)
    assert numbers["truncated_128"] == 0.5
    assert numbers["skip_rate_hard_128"] == 0.5
    assert numbers["skip_rate_hard_256"] == 0.0
    assert numbers["level_accuracy_128"] == 0.8
    assert "level_accuracy_256" not in numbers


def test_regret_is_left_out_where_nothing_was_right_in_easy_order():
    numbers = held_out_numbers([counted("hard", 128, 1), counted("easy", 128, 0)])
    assert "regret_128" not in numbers
    assert (numbers["score_128"], numbers["score_easy_128"], numbers["held_out"]) == (1.0, 0.0, 0.5)


def test_rows_that_fill_up_a_batch_of_several_processes_count_once():
    """accelerate repeats the first rows where the last batch would be smaller on one process."""
    rows = [counted("hard", 128, 3), counted("hard", 128, 0), counted("easy", 128, 3)]
    assert held_out_numbers([*rows, rows[0], rows[0]]) == held_out_numbers(rows)
    assert held_out_numbers([*rows, rows[0]])["score_128"] == 1.5


def test_medium_order_has_a_score_and_a_regret():
    numbers = held_out_numbers([counted("hard", 128, 1), counted("medium", 128, 2), counted("easy", 128, 2)])
    assert (numbers["score_medium_128"], numbers["regret_medium_128"], numbers["regret_128"]) == (2.0, 0.0, 0.5)
    assert numbers["held_out"] == pytest.approx(5 / 3)


def test_groups_weigh_the_same_in_the_number_that_checkpoints_are_compared_by():
    numbers = held_out_numbers([counted("hard", 128, 3) for _ in range(9)] + [counted("easy", 128, 1)])
    assert numbers["held_out"] == 2.0


def test_one_order_alone_has_no_regret():
    assert held_out_numbers([counted("hard", 128, 1)]) == {
        "held_out": 1.0, "score_128": 1.0, "truncated_128": 0.0, "skip_rate_easy_128": 0.0,
        "skip_rate_middle_128": 0.0, "skip_rate_hard_128": 0.0,
    }  # fmt: skip
    assert held_out_numbers([counted("easy", 128, 1)]) == {"held_out": 1.0, "score_easy_128": 1.0}
    assert held_out_numbers([]) == {}
