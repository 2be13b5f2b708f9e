r"""Labels re-derived by hand: which part of a sample is the work, what it costs, what level that is, what is kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.errors import DataError
from roi_bench.exams.exam import Problem
from roi_bench.exams.tiny import Walk
from roi_bench.reading.responses import read_response
from roi_bench.training.mft.labels import (
    SKIP,
    LabelledProblem,
    SampledSolution,
    balance,
    check_labels,
    label,
    labelled_segment,
    work_of,
)
from roi_bench.training.plan.recipe import Labels
from tests.training.tiny_labels import counter, token_count, work_of_cost

WALK = Walk(19, ("+5", "-15"), 3)
PROBLEM = Problem("train/x", "tiny-easy", WALK.question, "9")


def right(work):
    return SampledSolution(f"### Problem 1\n{work}\n", True)


def labelled(*samples, **settings):
    return label(PROBLEM, "easy", samples, counter(), Labels(**settings))


# ----------------------------------------------------------------- level and cost


def test_a_worked_solution_by_hand():
    r"""A token of the header, one of the tag; 3 lines of 4; ``\boxed{``, ``9``, ``}`` and a line end."""
    solution = "19 3 +5\n24 2 -15\n9 1 +5\n\\boxed{14}"
    assert WALK.solution() == solution
    found = labelled(right(solution), SampledSolution("### Problem 1\n\\boxed{3}", False))
    cost = 2 + 3 * 4 + 4  # with the end of the response in place of the line end it is the same
    assert found == LabelledProblem(PROBLEM, "easy", 0, solution, cost, cost, samples=2, correct=1)


@pytest.mark.parametrize(
    ("cost", "level"), [(9, 0), (31, 0), (32, 0), (33, 1), (63, 1), (64, 1), (65, 2), (127, 2), (128, 2)]
)
def test_the_level_is_that_of_all_tokens_of_the_problem_header_and_tag_included(cost, level):
    work = work_of_cost(cost)
    assert token_count(labelled_segment(1, level, work)) == cost
    found = labelled(right(work))
    assert (found.level, found.work, found.cost, found.correct) == (level, work, cost, 1)


@pytest.mark.parametrize("cost", [129, 130, 400])
def test_a_solution_beyond_level_2_is_none(cost):
    assert labelled(right(work_of_cost(cost))) == labelled(SampledSolution("\\boxed{1}", False))


def test_the_bounds_are_those_of_the_pool():
    real = replace(PROBLEM, pool="gsm8k")
    for cost, level in ((256, 0), (257, 1), (512, 1), (513, 2), (1024, 2), (1025, 3)):
        assert label(real, "easy", [right(work_of_cost(cost))], counter(), Labels()).level == level


def test_none_correct_is_level_3_and_na():
    found = labelled(*[SampledSolution(f"### Problem 1\n{work_of_cost(20)}", False)] * 4)
    assert found == LabelledProblem(PROBLEM, "easy", 3, SKIP, 6, 6, samples=4, correct=0)
    assert SKIP == r"\boxed{NA}"
    assert token_count(labelled_segment(2, 3, SKIP)) == 6


def test_a_correct_sample_without_work_that_can_be_told_apart_is_not_counted():
    two = SampledSolution("### Problem 1\n7\n\\boxed{9}\n### Problem 2\n\\boxed{9}", True)
    found = labelled(two, right(work_of_cost(40)))
    assert (found.level, found.samples, found.correct) == (1, 2, 1)
    assert labelled(two).level == 3


# ----------------------------------------------------------------- settings


def costs(keep, *given_costs):
    return labelled(*[right(work_of_cost(cost)) for cost in given_costs], keep=keep).cost


def test_which_correct_sample_is_kept():
    assert costs("shortest", 70, 20, 90, 40) == 20
    assert costs("first", 70, 20, 90, 40) == 70
    assert costs("median", 70, 20, 90) == 70
    assert costs("median", 70, 20, 90, 40) == 40  # the lower one of two in the middle
    assert costs("median", 70) == 70


def test_wrong_samples_are_never_kept():
    for keep in ("shortest", "first", "median"):
        wrong = SampledSolution(f"### Problem 1\n{work_of_cost(10)}", False)
        assert labelled(wrong, right(work_of_cost(50)), wrong, wrong, keep=keep).cost == 50


def test_equally_short_ones_keep_the_one_sampled_first():
    first, second = work_of_cost(20, "14"), work_of_cost(20, "15")
    assert labelled(right(first), right(second), keep="shortest").work == first
    assert labelled(right(second), right(first), keep="shortest").work == second


def test_the_label_is_the_level_of_the_kept_one():
    samples = [right(work_of_cost(cost)) for cost in (70, 20, 90)]
    assert [labelled(*samples, keep=keep).level for keep in ("first", "shortest", "median")] == [2, 0, 2]


@pytest.mark.parametrize(("minimum", "level"), [(1, 0), (2, 0), (3, 3), (4, 3)])
def test_fewer_correct_ones_than_asked_for_is_level_3(minimum, level):
    samples = [right(work_of_cost(20)), right(work_of_cost(24)), SampledSolution("", False)]
    found = labelled(*samples, minimum_correct=minimum)
    assert (found.level, found.samples, found.correct) == (level, 3, 2)
    assert (found.work == SKIP) == (level == 3)


# ----------------------------------------------------------------- work in the texts of large models

BODY = "Half of 10 is $10/2$."


@pytest.mark.parametrize(
    ("text", "work"),
    [
        ("7\n\\boxed{5}", "7\n\\boxed{5}"),
        (f"{BODY}\n\\boxed{{5}}", f"{BODY}\n\\boxed{{5}}"),
        (f"### Problem 1\n{BODY}\n\\boxed{{5}}\n", f"{BODY}\n\\boxed{{5}}"),
        (f"\n\n### Problem 1\n\n{BODY}\n\n\\boxed{{5}}\n\n", f"{BODY}\n\n\\boxed{{5}}"),
        (f"**Problem 1**\n{BODY}\n\\boxed{{5}}", f"{BODY}\n\\boxed{{5}}"),
        (f"Problem 1:\n{BODY}\n\\boxed{{5}}", f"{BODY}\n\\boxed{{5}}"),
        (f"### Problem 2\n{BODY}\n\\boxed{{5}}", f"{BODY}\n\\boxed{{5}}"),
        (f"### Problem 12\n{BODY}\n\\boxed{{5}}", f"{BODY}\n\\boxed{{5}}"),
        (f"**Problem 12**\n{BODY}\n\\boxed{{5}}", f"{BODY}\n\\boxed{{5}}"),
        ("### Problem 1\r\n5\r\n\\boxed{5}\r\n", "5\r\n\\boxed{5}"),
        ("So it is $\\boxed{5}$.", "So it is $\\boxed{5}$."),
        ("So it is $$\\boxed{5}.$$", "So it is $$\\boxed{5}.$$"),
        ("So it is \\(\\boxed{5}\\).", "So it is \\(\\boxed{5}\\)."),
        ("So it is **\\boxed{5}**.", "So it is **\\boxed{5}**."),
        ("So it is (\\boxed{5}).", "So it is (\\boxed{5})."),
        ("\\[ \\boxed{5} \\]\n\nI hope that helps!", "\\[ \\boxed{5} \\]"),
        ("\\[\n\\boxed{5}\n\\]\nI hope that helps!", "\\[\n\\boxed{5}\n\\]"),
        ("$$\n\\boxed{5}\n$$", "$$\n\\boxed{5}\n$$"),
        ("\\[\n\\begin{aligned}\nx &= \\boxed{5}\n\\end{aligned}\n\\]", None),  # as it stands
        ("7\n\\boxed{5}\nThe box holds half of 10.", "7\n\\boxed{5}"),
        ("7\n\\boxed{5} is the answer.", "7\n\\boxed{5}"),
        ("\\boxed{3} for now, then \\boxed{5}.", "\\boxed{3} for now, then \\boxed{5}."),
        ("\\boxed{\\frac{1}{2}}", "\\boxed{\\frac{1}{2}}"),
    ],
)
def test_work_is_what_stands_behind_the_header_up_to_the_box_that_counts(text, work):
    assert work_of(text) == (text if work is None else work)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is 5.",
        "7\n\\boxed{5",  # cut off by the budget
        "\\boxed{5} and again \\boxed{5",
        "\\boxed{}",
        "### Problem 1\n5\n\\boxed{5}\n### Problem 2\n6\n\\boxed{6}",
        "### Problem 1\n5\n\\boxed{5}\n### Problem 1\n\\boxed{5}",
        "I will do it.\n### Problem 1\n5\n\\boxed{5}",  # a header inside, in the middle of the work
        "**Problem 1**\n5\n**Problem 2**\n\\boxed{5}",
        "5\n### Problem 12\n\\boxed{5}",  # of no exam, but what stands below it answers nothing
        "### Problem 1\n5\n### Problem 0\n\\boxed{5}",
        "### Problem 1\nAnswer to Problem 1: \\boxed{5}",  # in another place it would answer the first problem
        "The answer to Problem 3: \\boxed{5}",
        "The answer to Problem 12: \\boxed{5}",
        "I will do it.\n**Problem 1**\n5\n\\boxed{5}",
        "### Problem 1\n5\n**Problem 2**\n\\boxed{5}",
        "<predicted_level>Level-0</predicted_level>\n5\n\\boxed{5}",
        "### Problem 1\n<predicted_level>Level-0</predicted_level>\n5\n\\boxed{5}",
        "### Problem 1\n5 <predicted_level>level 2</predicted_level>\n\\boxed{5}",
    ],
)
def test_work_that_could_not_stand_among_other_problems_is_none(text):
    assert work_of(text) is None


PIECES = st.sampled_from(
    [
        "### Problem 1", "### Problem 2", "### Problem 7", "### Problem 12", "### Problem 0", "**Problem 1**",
        "Problem 2:", "Problem 1: ", "see Problem 3: ", "<predicted_level>Level-1</predicted_level>",
        "<predicted_level>", "Level-2</predicted_level>", "\\boxed{5}", "\\boxed{NA}", "\\boxed{\\frac{1}{2}}",
        "\\boxed{", "\\boxed 7", "\\fbox{3}", "\\boxed{\\boxed{4}}", "\\boxed{}", "}", "{", "$", ".", "**",
        "\\]", "\\[", "\n", "\n", "\n", "\r\n", "\r", " ", "x = 5", "so", "\\\\", "```", "- ", "###", "#", "\u200b",
        "\\end{align}",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=14).map("".join) | st.lists(PIECES, max_size=6).map(
    lambda pieces: "### Problem 1\n" + "".join(pieces) + "\\boxed{5}"
)


@given(TEXTS, st.sampled_from([0, 1, 2]), st.permutations([1, 2, 3]))
def test_work_reads_in_an_exam_as_it_read_alone(text, level, order):
    work = work_of(text)
    if work is None:
        return
    alone = read_response(text, 1).problems[0]
    assert work in text
    position = order[0]
    others = {order[1]: labelled_segment(order[1], 3, SKIP), order[2]: labelled_segment(order[2], 1, "1\n\\boxed{1}")}
    parts = {**others, position: labelled_segment(position, level, work)}
    read = read_response("".join(parts[place] for place in (1, 2, 3)))
    segment = read.problems[position - 1]
    assert (segment.answer, segment.level, segment.skipped) == (alone.answer, level, alone.skipped)
    assert not segment.cut
    assert read.problems[order[1] - 1].skipped
    assert read.problems[order[2] - 1].answer == "1"
    assert [item.level for item in read.problems] == [{order[0]: level, order[1]: 3, order[2]: 1}[p] for p in (1, 2, 3)]


@given(st.text(max_size=80))
def test_no_text_makes_it_raise(text):
    assert work_of(text) is None or work_of(text) in text


def test_work_of_work_is_the_same():
    for text in ("### Problem 1\n7\n\\boxed{5}\nDone.", "So it is $\\boxed{5}$. Done.", WALK.solution()):
        assert work_of(work_of(text)) == work_of(text)


# ----------------------------------------------------------------- balance


def of_level(level, number):
    return LabelledProblem(replace(PROBLEM, id=f"train/{level}/{number}"), "easy", level, SKIP, 7, 7, 1, 0)


def mixed(counts):
    return [of_level(level, number) for number in range(max(counts, default=0)) for level in range(4)
            if number < (counts[level] if level < len(counts) else 0)]  # fmt: skip


@given(
    st.lists(st.integers(0, 60), min_size=4, max_size=4), st.sampled_from([0.25, 0.3, 1 / 3, 0.4, 0.5, 0.6, 0.7, 0.9])
)
def test_no_level_has_more_than_its_largest_share_and_no_more_is_dropped_than_must_be(counts, share):
    items = mixed(counts)
    kept = balance(items, Labels(largest_share=share), seed=0)
    assert kept == [item for item in items if item in kept]  # in their order, each at most once
    before, after = Counter(item.level for item in items), Counter(item.level for item in kept)
    assert set(after) == set(before)  # no class is emptied
    if not after:
        return
    share = max(share, 1 / len(after))  # equal parts, where the recipe asks for the impossible
    total = sum(after.values())
    assert max(after.values()) <= share * total + 1e-6
    dropped = [level for level in after if after[level] < before[level]]
    for level in dropped:  # only the largest lose, and one more of each would be too many
        assert after[level] >= max(after.values()) - 1
        assert after[level] + 1 > share * (total + len(dropped)) - 1e-6


def test_balance_by_hand():
    kept = balance(mixed([90, 10, 0, 10]), Labels(largest_share=0.5), seed=0)
    assert Counter(item.level for item in kept) == {0: 20, 1: 10, 3: 10}
    kept = balance(mixed([90, 80, 0, 10]), Labels(largest_share=0.4), seed=0)
    assert Counter(item.level for item in kept) == {0: 20, 1: 20, 3: 10}


def test_a_share_of_1_keeps_all():
    items = mixed([50, 1, 0, 2])
    assert balance(items, Labels(), seed=0) == items
    assert balance([], Labels(largest_share=0.5), seed=0) == []


def test_what_is_dropped_is_drawn_by_the_seed():
    items = mixed([50, 10, 0, 0])
    settings = Labels(largest_share=0.6)
    assert balance(items, settings, seed=1) == balance(items, settings, seed=1)
    assert balance(items, settings, seed=1) != balance(items, settings, seed=2)
    kept = [int(item.problem.id.rsplit("/")[-1]) for item in balance(items, settings, seed=1) if item.level == 0]
    assert max(kept) > 20  # not simply the first ones


# ----------------------------------------------------------------- empty classes


def test_labels_of_both_classes_pass():
    check_labels(mixed([1, 0, 0, 1]))


def test_nothing_solved_is_refused():
    with pytest.raises(DataError, match=r"none of 5 .*5 samples"):
        check_labels(mixed([0, 0, 0, 5]))


def test_everything_solved_is_refused():
    with pytest.raises(DataError, match=r"all 6 .*labels\.minimum_correct"):
        check_labels(mixed([2, 2, 2, 0]))
