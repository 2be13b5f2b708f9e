"""What may be trained on: never an evaluation problem, nor one that is held out; on tiny, invented and real pools."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest

from roi_bench.errors import DataError
from roi_bench.exams.exam import MEDIUM_PERMUTATIONS, POOL_TIERS, TIERS, sha256_text
from roi_bench.exams.fresh import fresh_exams
from roi_bench.exams.manifest import load_manifest
from roi_bench.exams.tiny import TINY_BUDGETS, is_evaluation_question, tiny_exams
from roi_bench.scoring.prompts import PROMPTS, exam_messages
from roi_bench.training import data as training_problems
from roi_bench.training.data import (
    HELD_OUT_STREAM,
    MFT_STREAM,
    RARL_STREAM,
    exam_stream,
    held_out_exams,
    is_held_out,
    questions_of,
    refuse_evaluation_questions,
    sampled_problems,
    stream_seed,
)
from roi_bench.training.plan.recipe import TierCounts, load_recipe
from tests.support.pool_factory import write_pools

COUNTS = TierCounts(60, 40, 30)


@pytest.fixture(params=["tiny", "invented", "real"])
def family(request, monkeypatch):
    """Tiny problems, and the real exams' family on invented and on real pools."""
    if request.param == "tiny":
        return "tiny"
    folder = request.getfixturevalue("invented_pools" if request.param == "invented" else "data_dir")
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(folder))
    return "v1"


def is_evaluated(question, family):
    """Decided anew: by the rule of the tiny family, by the hashes of the manifest."""
    if family == "tiny":
        return int(sha256_text(question)[:8], 16) % 8 == 0
    return sha256_text(question) in {problem.question_sha256 for problem in load_manifest().problems.values()}


def exams(family, seed, count, held_out=False):
    return list(islice(exam_stream(family, seed, held_out=held_out), count))


def questions(exams):
    return {problem.question for exam in exams for problem in exam.problems}


# ----------------------------------------------------------------- disjoint


def test_nothing_that_is_sampled_or_trained_on_is_evaluated_or_held_out(family):
    sampled = {p.question for items in sampled_problems(family, COUNTS, 1).values() for p in items}
    trained = questions(exams(family, 2, 150))
    held_out = questions(exams(family, 3, 40, held_out=True))
    for question in sampled | trained | held_out:
        assert not is_evaluated(question, family)
    assert not (sampled | trained) & held_out
    assert not any(is_held_out(question) for question in sampled | trained)
    assert all(is_held_out(question) for question in held_out)
    assert len(held_out) > 25


def test_the_demonstration_trains_on_no_problem_of_the_evaluation_exams():
    """The very exams of the evaluation against the very problems of the recipe ``tiny``, by hash of the question."""
    recipe = load_recipe("tiny")
    evaluated = {sha256_text(question) for question in questions(tiny_exams(0, 480))}
    assert len(evaluated) == 3 * 480
    sampled = sampled_problems("tiny", recipe.sampling.problems, stream_seed(recipe.seed, MFT_STREAM))
    sat = exams("tiny", stream_seed(recipe.seed, RARL_STREAM), recipe.rarl.steps * recipe.rarl.prompts)
    trained = questions(sat) | questions(held_out_exams(recipe, recipe.rarl.evaluation_exams))
    trained |= {problem.question for items in sampled.values() for problem in items}
    for tier, items in sampled.items():  # so many that some would be drawn twice
        assert len({problem.question for problem in items}) == recipe.sampling.problems[tier] >= 1000
    assert not evaluated & {sha256_text(question) for question in trained}


def test_one_question_in_ten_is_held_out_whatever_the_evaluation_share():
    made = [f"Question {number}?" for number in range(4000)]
    held = [question for question in made if is_held_out(question)]
    assert 0.08 < len(held) / len(made) < 0.12
    both = sum(is_evaluation_question(question) for question in held)
    assert 0.08 < both / len(held) < 0.17  # 1 in 8: the two rules look at different digits


def test_fresh_problems_to_train_on_are_drawn_as_fresh_exams_and_are_others():
    evaluated = questions(fresh_exams(0))
    sampled = sampled_problems("fresh", TierCounts(20, 20, 20), 1)
    assert [len({p.question for p in items}) for items in sampled.values()] == [20] * 3
    made = exams("fresh", 2, 12)
    held_out = exams("fresh", 3, 2, held_out=True)
    for tier, items in sampled.items():
        assert {problem.pool for problem in items} == {f"fresh-{tier}"}
        assert all(problem.solution and problem.answer for problem in items)
    trained = questions(made) | {p.question for items in sampled.values() for p in items}
    assert not (trained | questions(held_out)) & evaluated
    assert not any(map(is_held_out, trained))
    assert all(map(is_held_out, questions(held_out)))
    assert exams("fresh", 2, 5) == made[:5]
    assert {exam.medium for exam in made} == set(MEDIUM_PERMUTATIONS)
    refuse_evaluation_questions(trained, "fresh")
    with pytest.raises(DataError, match="evaluation problem"):
        refuse_evaluation_questions([next(iter(evaluated))], "fresh")


# ----------------------------------------------------------------- seeds, prefixes, sizes


def test_sampled_problems_are_distinct_by_seed_and_a_prefix_of_more(family):
    few = sampled_problems(family, TierCounts(10, 5, 3), 1)
    many = sampled_problems(family, COUNTS, 1)
    assert list(few) == list(TIERS)
    assert [len(few[tier]) for tier in TIERS] == [10, 5, 3]
    for tier in TIERS:
        assert many[tier][: len(few[tier])] == few[tier]
        assert len({p.question for p in many[tier]}) == len({p.id for p in many[tier]}) == len(many[tier])
    assert sampled_problems(family, COUNTS, 1) == many
    assert sampled_problems(family, COUNTS, 2)["easy"] != many["easy"]


def test_problems_stand_in_their_tiers(family):
    pools = {"easy": "tiny-easy", "middle": "tiny-middle", "hard": "tiny-hard"}
    if family == "v1":
        pools = {tier: pool for pool, tier in POOL_TIERS.items()}
    for tier, items in sampled_problems(family, COUNTS, 1).items():
        assert {problem.pool for problem in items} == {pools[tier]}
    for exam in exams(family, 2, 30):
        assert [problem.pool for problem in exam.problems] == [pools[tier] for tier in TIERS]


def test_a_pool_with_fewer_gives_all_it_has(invented_pools, monkeypatch):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(invented_pools))
    found = sampled_problems("v1", TierCounts(5000, 5000, 5000), 1)
    hard = [f"Invented aime question {index} of the training split: what is {index} + 1?" for index in range(90)]
    assert {p.question for p in found["hard"]} == {question for question in hard if not is_held_out(question)}


@pytest.mark.parametrize("held_out", [False, True])
def test_a_stream_is_the_same_each_time_and_of_its_seed(family, held_out):
    first = exams(family, 4, 40, held_out)
    assert exams(family, 4, 40, held_out) == first
    assert exams(family, 4, 15, held_out) == first[:15]
    assert [exam.problems for exam in exams(family, 5, 40, held_out)] != [exam.problems for exam in first]
    assert len({exam.id for exam in first}) == 40
    assert {exam.medium for exam in first} == set(MEDIUM_PERMUTATIONS)


def test_the_stream_of_real_exams_does_not_end_where_its_blocks_do(invented_pools, monkeypatch):
    """480 exams are composed at first, then twice as many: none is left out, repeated or changed."""
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(invented_pools))
    many = exams("v1", 2, 1000)
    assert [exam.id for exam in many] == [f"train/2/{index:05d}" for index in range(1000)]
    from roi_bench.exams.manifest import exam_of, training_triples

    pools = training_problems._real_pools(held_out=False)
    triples = training_triples(pools, [], seed=2, count=1000)
    assert [exam.problems for exam in many] == [exam_of("x", triple, pools).problems for triple in triples]


def test_held_out_exams_of_a_recipe(family):
    recipe = replace(load_recipe("test"), family=family)
    found = held_out_exams(recipe, 6)
    assert found == tuple(exams(family, stream_seed(recipe.seed, HELD_OUT_STREAM), 6, held_out=True))
    assert held_out_exams(recipe, 0) == ()
    assert held_out_exams(replace(recipe, seed=1), 6) != found


def test_no_two_streams_of_any_two_runs_share_a_seed():
    seeds = [stream_seed(seed, stream) for seed in range(50) for stream in (MFT_STREAM, RARL_STREAM, HELD_OUT_STREAM)]
    assert len(set(seeds)) == len(seeds) == 150


# ----------------------------------------------------------------- refusals


def test_an_evaluation_question_of_the_tiny_family_is_refused():
    fine = questions(exams("tiny", 2, 5))
    refuse_evaluation_questions(fine, "tiny")
    question = tiny_exams(0, 1)[0].problems[1].question
    with pytest.raises(DataError, match=sha256_text(question)[:16]):
        refuse_evaluation_questions([*fine, question], "tiny")


def test_an_evaluation_question_of_the_frozen_exams_is_refused(data_dir, monkeypatch):
    from roi_bench.exams.pools import load_pool, resolve_source

    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(data_dir))
    pool = load_pool("aime", "evaluation", resolve_source())
    question = next(iter(pool.values())).question
    with pytest.raises(DataError, match=sha256_text(question)[:16]):
        refuse_evaluation_questions([question], "v1")
    refuse_evaluation_questions([], "v1")
    refuse_evaluation_questions(["What is 1 + 1?"], "v1")


def test_a_training_pool_that_holds_a_frozen_problem_gives_it_to_nobody(tmp_path, monkeypatch):
    """One training row carries, by hash, a question of the manifest."""
    folder = write_pools(tmp_path)
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(folder))
    before = sampled_problems("v1", TierCounts(200, 0, 0), 1)["easy"]
    victim = before[0]
    monkeypatch.setattr(training_problems, "_frozen_hashes", lambda: frozenset({victim.sha256}))
    assert sampled_problems("v1", TierCounts(200, 0, 0), 1)["easy"] == before[1:]
    assert victim.question not in questions(exams("v1", 2, 200))
    with pytest.raises(DataError, match=sha256_text(victim.question)[:16]):
        refuse_evaluation_questions([victim.question], "v1")


def test_a_missing_pool_is_an_error_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("ROI_BENCH_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match="gsm8k"):
        sampled_problems("v1", COUNTS, 1)
    with pytest.raises(DataError, match="gsm8k"):
        exams("v1", 1, 1)


# ----------------------------------------------------------------- questions of saved prompts


@pytest.mark.parametrize("prompt", [name for name in PROMPTS if name not in ("solo", "greedy_knapsack")])
def test_the_questions_of_a_prompt_come_back(prompt, family):
    for exam in exams(family, 2, 20):
        asked = [problem.question for problem in exam.ordered("medium")]
        assert questions_of(exam_messages(asked, TINY_BUDGETS[0], prompt)) == asked


@pytest.mark.parametrize("prompt", ["solo", "greedy_knapsack"])
def test_the_question_of_a_prompt_for_one_problem_comes_back(prompt, family):
    for exam in exams(family, 2, 20):
        for problem in exam.problems:
            assert questions_of(exam_messages([problem.question], TINY_BUDGETS[0], prompt)) == [problem.question]
