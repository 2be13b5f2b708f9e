"""Examples of MFT: each read and graded by the benchmark itself; shares, order, knapsack, and what cannot be built."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roi_bench.errors import DataError
from roi_bench.grading.grader import shared_grader
from roi_bench.scoring.kinds import score_responses
from roi_bench.scoring.outcomes import Response, level_bounds, parse_response
from roi_bench.scoring.prompts import exam_messages
from roi_bench.scoring.tokens import Usage
from roi_bench.training.mft.labels import SKIP, WINDOW, SampledSolution, knapsack, label, mft_examples
from roi_bench.training.plan.recipe import Labels, Mft, MftOrderShares
from tests.training.tiny_labels import SKIP_COST, counter, labels, problems, token_count, work_of_cost

BUDGETS = (128, 256)
SETTINGS = Mft(singles=60, solo=30, exams=180, over_budget_kept=1.0, batch_size=20, device_batch_size=20)
BY_ID = {item.problem.id: item for item in labels()}
LETTERS = {"easy": "E", "middle": "M", "hard": "H"}


def examples(given=None, budgets=BUDGETS, seed=0, **changes):
    return mft_examples(labels() if given is None else given, budgets, replace(SETTINGS, **changes), seed)


EXAMPLES = examples()


def of_kind(kind, made=EXAMPLES):
    return [example for example in made if example.kind == kind]


def scored(made, by_id=BY_ID, tokens=None):
    """What the benchmark says of the completions, generated to their end."""
    tokens = tokens or counter()
    parsed = []
    for example in made:
        items = [by_id[name] for name in example.problem_ids]
        usage = Usage(len(tokens.token_starts(example.completion)) + 1, "stop", "generated")
        parsed.append(
            parse_response(
                tuple(item.problem for item in items),
                tuple(item.tier for item in items),
                example.budget,
                Response(example.completion, usage),
                tokens,
            )
        )
    return score_responses(parsed, shared_grader())


# ----------------------------------------------------------------- by the benchmark's own reading


@pytest.mark.parametrize("settings", [{}, {"over_budget_kept": 0.0}])
def test_every_completion_is_right_where_attempted_skipped_elsewhere_and_within_its_budget(settings):
    made = examples(**settings)
    for example, response in zip(made, scored(made), strict=True):
        assert not response.over_budget
        tag = 1 if example.kind == "solo" else 0  # which it lacks
        assert response.usage.tokens + tag == example.tokens <= example.budget
        assert response.planning == 0
        for position, outcome in enumerate(response.problems):
            if example.kind == "solo":
                assert (outcome.outcome, outcome.level) == ("correct", None)
                continue
            level = example.levels[position]
            assert outcome.level == level
            if level == 3:
                assert (outcome.outcome, outcome.actual_level) == ("skipped", None)
            else:
                assert (outcome.outcome, outcome.actual_level) == ("correct", level)


def test_levels_are_those_of_the_labels_where_the_problem_is_attempted():
    attempted = 0
    for example in of_kind("exam") + of_kind("single"):
        for name, level in zip(example.problem_ids, example.levels, strict=True):
            assert level in (BY_ID[name].level, 3)
            attempted += level < 3
    assert attempted > 200


class MergingCounter:
    """A counter as of many large models, whose tokenizers make one token of ``}`` and a line end behind it."""

    def token_starts(self, text):
        return [start for start in counter().token_starts(text) if text[max(0, start - 1) : start + 1] != "}\n"]


def test_where_the_line_end_is_no_token_of_its_own_the_end_of_the_response_is_one_more():
    """Solutions of 32, 64 and 33 tokens; as the last of a response the first two have a level more."""
    built = []
    for tier, cost in (("easy", 32), ("middle", 64), ("hard", 33)):
        problem = replace(problems(1)[tier][0], answer="14")
        sample = SampledSolution(work_of_cost(cost + 1), True)
        item = label(problem, tier, [sample], MergingCounter(), Labels())
        assert (item.cost, item.last_cost) == (cost, cost + 1)
        built.append(item)
    assert [item.level for item in built] == [0, 1, 1]
    made = mft_examples(built, (256,), replace(SETTINGS, singles=12, exams=12, solo=0), 0)
    for example in made:
        items = [next(item for item in built if item.problem.id == name) for name in example.problem_ids]
        (response,) = scored([example], {item.problem.id: item for item in built}, MergingCounter())
        assert [outcome.actual_level for outcome in response.problems] == list(example.levels)
        assert list(example.levels) == [*(item.level for item in items[:-1]), {32: 1, 64: 2, 33: 1}[items[-1].cost]]
        assert response.usage.tokens == example.tokens
    for example in mft_examples(built, (129,), replace(SETTINGS, singles=0, exams=12, solo=0), 0):
        assert 3 in example.levels  # 32 + 64 + 33 and the end are 130


# ----------------------------------------------------------------- prompts


def test_prompts_are_those_of_the_tasks():
    for example in EXAMPLES:
        items = [BY_ID[name] for name in example.problem_ids]
        prompt = {"exam": "metacognitive", "single": "greedy_knapsack", "solo": "solo"}[example.kind]
        bounds = level_bounds(items[0].problem.pool)
        questions = [item.problem.question for item in items]
        assert example.prompt == exam_messages(questions, example.budget, prompt, bounds)


# ----------------------------------------------------------------- order and shares


def test_single_problems_come_first_and_solo_ones_are_spread_among_the_exams():
    kinds = [example.kind for example in EXAMPLES]
    assert set(kinds[:60]) == {"single"}
    assert set(kinds[60:]) == {"exam", "solo"}
    assert Counter(kinds) == {"single": 60, "solo": 30, "exam": 180}
    many = [example.kind for example in examples(singles=0, solo=300, exams=1800)]  # like lengths meet in batches
    halves = Counter(many[:1050]), Counter(many[1050:])
    assert min(half["solo"] for half in halves) > 60, "spread among the exams"


def test_counts_of_zero_leave_a_kind_out():
    assert examples(singles=0, solo=0, exams=0) == []
    assert {example.kind for example in examples(singles=0, solo=0)} == {"exam"}


@pytest.mark.parametrize("rule", [0.0, 0.5, 1.0])
def test_budgets_and_all_six_permutations_have_equal_shares(rule):
    for budgets in (BUDGETS, (128, 200, 256)):
        exams = of_kind("exam", examples(over_budget_kept=rule, budgets=budgets))
        for order, share in {"easy": 30, "medium": 120, "hard": 30}.items():
            found = Counter(example.budget for example in exams if example.order == order)
            assert found == dict.fromkeys(budgets, share // len(budgets))
    orders = {"EMH": "easy", "HME": "hard", "EHM": "medium", "MEH": "medium", "MHE": "medium", "HEM": "medium"}
    shares = Counter()
    for example in of_kind("exam", examples(exams=192, over_budget_kept=rule)):
        permutation = "".join(LETTERS[BY_ID[name].tier] for name in example.problem_ids)
        assert example.order == orders[permutation]
        shares[permutation, example.budget] += 1
    assert shares == dict.fromkeys(product(orders, BUDGETS), 16)


def test_shares_of_the_orders_among_the_exams():
    exams = of_kind("exam", examples(exams=192, orders=MftOrderShares(1, 0, 3)))
    assert Counter((example.order, example.budget) for example in exams) == {
        ("easy", 128): 24,
        ("easy", 256): 24,
        ("hard", 128): 72,
        ("hard", 256): 72,
    }


def test_singles_take_tiers_and_fitting_budgets_at_random():
    singles = of_kind("single", examples(singles=600, solo=0, exams=0))
    tiers = Counter(BY_ID[example.problem_ids[0]].tier for example in singles)
    assert min(tiers.values()) > 150
    assert set(Counter(example.budget for example in singles)) == set(BUDGETS)
    assert len({example.problem_ids for example in singles}) == len(BY_ID)


def test_solo_examples_are_of_solved_problems_and_write_no_level():
    solo = of_kind("solo", examples(singles=0, solo=300, exams=0))
    assert {BY_ID[example.problem_ids[0]].tier for example in solo} == {"easy", "middle", "hard"}
    for example in solo:
        item = BY_ID[example.problem_ids[0]]
        assert item.level < 3
        assert example.completion == f"### Problem 1\n{item.work}"
        assert example.levels == ()
        assert example.tokens == token_count(example.completion) + 1 + 1  # the end, and the tag that it lacks


def test_batches_hold_examples_of_like_length():
    exams = of_kind("exam", examples(singles=0, solo=0, exams=WINDOW * 20))
    batches = [exams[start : start + 20] for start in range(0, len(exams), 20)]
    spans = sorted((min(e.tokens for e in batch), max(e.tokens for e in batch)) for batch in batches)
    assert all(high <= low for (_, high), (low, _) in pairwise(spans))
    assert [min(e.tokens for e in batch) for batch in batches] != [low for low, _ in spans]  # batches in random order


# ----------------------------------------------------------------- what does not fit


def costs_of(example):
    return [BY_ID[name].cost if BY_ID[name].level < 3 else None for name in example.problem_ids]


def test_only_exams_that_fit_whole_where_none_over_budget_is_kept():
    for example in of_kind("exam", examples(over_budget_kept=0.0)):
        assert [level == 3 for level in example.levels] == [cost is None for cost in costs_of(example)]
        assert sum(cost or SKIP_COST for cost in costs_of(example)) <= example.budget


def test_a_share_of_the_exams_over_budget_is_kept():
    """Of those drawn, a share s of the exams over budget and all others: n·s / (1 − n·(1 − s)) of them, n of all."""

    def over_budget(share):
        made = of_kind("exam", examples(singles=0, solo=0, exams=1200, over_budget_kept=share, budgets=(128,)))
        left_out = [[level == 3 for level in e.levels] != [cost is None for cost in costs_of(e)] for e in made]
        return sum(left_out) / len(made)

    of_all = over_budget(1.0)
    assert 0.2 < of_all < 0.8
    assert over_budget(0.0) == 0
    assert over_budget(0.25) == pytest.approx(0.25 * of_all / (1 - 0.75 * of_all), abs=0.04)


def test_kept_exams_leave_out_what_a_knapsack_leaves_out():
    left_out = 0
    for example in of_kind("exam"):
        chosen = brute_force(costs_of(example), example.budget, SKIP_COST)
        assert {index for index, level in enumerate(example.levels) if level < 3} == set(chosen)
        left_out += sum(cost is not None for cost in costs_of(example)) - len(chosen)
    assert left_out > 10


def test_a_single_problem_that_fits_no_budget_is_skipped():
    singles = of_kind("single", examples(budgets=(60,), singles=200, solo=0, exams=0))
    for example in singles:
        item = BY_ID[example.problem_ids[0]]
        fits = item.cost <= 60
        assert example.levels == ((item.level if fits else 3),)
        assert example.completion.endswith(SKIP) == (example.levels == (3,))
        assert example.tokens == token_count(example.completion) + 1
    assert any(BY_ID[example.problem_ids[0]].level < 3 for example in singles if example.levels == (3,))


@pytest.mark.parametrize(("last_cost", "budgets"), [(90, {90, 120}), (91, {120}), (121, set())])
def test_a_problem_alone_names_only_budgets_that_hold_it_and_its_end(last_cost, budgets):
    item = next(item for item in labels() if item.tier == "hard" and item.level < 3)
    exact = [replace(other, last_cost=last_cost) if other is item else other for other in labels()]
    made = mft_examples(exact, (90, 120), replace(SETTINGS, singles=900, exams=0, solo=400), 0)
    of_item = [example for example in made if example.problem_ids == (item.problem.id,)]
    for kind in ("single", "solo"):
        written = {example.budget for example in of_item if example.kind == kind and example.levels != (3,)}
        assert written == budgets
    assert (3 in [example.levels[0] for example in of_item if example.kind == "single"]) == (not budgets)


def brute_force(costs, budget, skip_cost):
    """All subsets: most solved, then fewest tokens, then the earlier problems."""
    best = None
    for chosen in product((True, False), repeat=len(costs)):
        if any(taken and cost is None for taken, cost in zip(chosen, costs, strict=True)):
            continue
        spent = sum(cost if taken else skip_cost for taken, cost in zip(chosen, costs, strict=True))
        if spent <= budget or not any(chosen):
            key = (-sum(chosen), spent, [index for index, taken in enumerate(chosen) if taken])
            best = key if best is None or key < best else best
    return best[2]


@given(st.lists(st.none() | st.integers(1, 300), min_size=3, max_size=3), st.integers(1, 600), st.integers(1, 20))
def test_knapsack_against_all_subsets(costs, budget, skip_cost):
    assert knapsack(costs, budget, skip_cost) == set(brute_force(costs, budget, skip_cost))


def test_knapsack_counts_skips():
    assert knapsack([100, None, None], 114, 7) == {0}
    assert knapsack([100, None, None], 113, 7) == set()
    assert knapsack([50, 51, 27], 128, 7) == {0, 1, 2}
    assert knapsack([50, 51, 28], 128, 7) == {0, 2}


# ----------------------------------------------------------------- seeds and refusals


def test_one_seed_one_outcome():
    assert examples(seed=5) == examples(seed=5)
    assert examples(seed=5) != examples(seed=6)


def test_more_exams_begin_with_the_same_draws():
    few, many = (of_kind("exam", examples(exams=number)) for number in (60, 180))
    assert Counter(map(repr, few)) <= Counter(map(repr, many))


@pytest.mark.parametrize("tier", ["easy", "middle", "hard"])
def test_a_tier_without_labels_is_refused(tier):
    with pytest.raises(DataError, match=f"'{tier}'.*sampling.problems.{tier}"):
        examples([item for item in labels() if item.tier != tier])


def test_a_budget_that_hardly_any_exam_fits_is_refused_when_dropping():
    solved = [item for item in labels() if item.level < 3] + [item for item in labels() if item.level == 3][:1]
    with pytest.raises(DataError, match=r"\d+ .*exams.*\d+ .*budget.*30 tokens.*budgets"):
        examples(solved, budgets=(30, 256), over_budget_kept=0.0)
    assert len(of_kind("exam", examples(solved, budgets=(30, 256)))) == 180


@pytest.mark.parametrize("rule", [0.0, 0.5, 1.0])
def test_a_budget_that_cannot_even_hold_three_skips_is_refused(rule):
    with pytest.raises(DataError, match=r"18 tokens.*budget.*17 tokens"):
        examples(budgets=(17, 256), over_budget_kept=rule)
    assert examples(budgets=(18, 256), solo=0)


def test_solo_examples_need_a_solved_problem():
    unsolved = [item for item in labels() if item.level == 3]
    with pytest.raises(DataError, match=r"solved.*budget.*256 tokens"):
        examples(unsolved)
    assert len(examples(unsolved, solo=0)) == 240


def test_equal_draws_take_each_level_of_a_tier_as_often_as_the_others():
    """A third of the hard problems is Level-3, the rest Level-2: drawn as they are, or half and half."""

    def share(*tiers):
        made = of_kind("exam", examples(exams=600, equal_levels=tiers, budgets=(256,)))
        hard = [BY_ID[name] for example in made for name in example.problem_ids if BY_ID[name].tier == "hard"]
        assert len(hard) == 600
        return sum(item.level == 3 for item in hard) / 600

    natural = sum(item.level == 3 for item in labels() if item.tier == "hard") / 12
    assert natural == pytest.approx(1 / 3)
    assert share() == pytest.approx(natural, abs=0.07)
    assert share("easy", "middle") == pytest.approx(natural, abs=0.07)
    assert share("hard") == pytest.approx(1 / 2, abs=0.07)
